"""The form of the history's file: one script a version, each making the next out of the one before.

What thousands of runs share (a test's name, a compiler, a list of modules) stands once, and runs point to it. Times
are whole seconds since 1970, or milliseconds where the name ends in ``_ms``; booleans are 0 and 1; a run whose outcome
says nothing about the kernel has NULL for ``good``.
"""

APPLICATION = 0x70693634  # "pi64": SQLite's application_id, by which another program's file is told from ours

_FIRST = """
CREATE TABLE word (  -- any text that many runs share
  id INTEGER PRIMARY KEY,
  text TEXT NOT NULL UNIQUE
);
CREATE TABLE names (  -- lists of modules and devices: the same night for night
  id INTEGER PRIMARY KEY,
  digest BLOB NOT NULL UNIQUE,
  list TEXT NOT NULL  -- one a line, sorted
);
CREATE TABLE target (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  model TEXT NOT NULL
);
CREATE TABLE branch (
  id INTEGER PRIMARY KEY,
  tree TEXT NOT NULL,
  name TEXT NOT NULL,
  UNIQUE (tree, name)
);
CREATE TABLE series (  -- runs that differ in the commit alone, or in what `run` says besides
  id INTEGER PRIMARY KEY,
  branch_id INTEGER NOT NULL REFERENCES branch,
  target_id INTEGER NOT NULL REFERENCES target,
  config TEXT NOT NULL,
  fragments TEXT NOT NULL,
  UNIQUE (target_id, branch_id, config, fragments)
);
CREATE TABLE kernel (  -- one build
  id INTEGER PRIMARY KEY,
  key TEXT NOT NULL UNIQUE,
  version TEXT NOT NULL,  -- what `uname -r` says
  build_id TEXT NOT NULL,
  base_config TEXT NOT NULL,
  modules_id INTEGER REFERENCES names
);
CREATE TABLE run (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  host_id INTEGER NOT NULL REFERENCES word,
  series_id INTEGER NOT NULL REFERENCES series,
  target_id INTEGER NOT NULL REFERENCES target,
  kernel_id INTEGER REFERENCES kernel,
  started INTEGER NOT NULL,
  finished INTEGER,
  verdict TEXT,
  rule_id INTEGER REFERENCES word,
  source_id INTEGER NOT NULL REFERENCES word,
  git_commit TEXT NOT NULL,
  dirty INTEGER NOT NULL,
  toolchain_id INTEGER NOT NULL REFERENCES word,
  image_id INTEGER NOT NULL REFERENCES word,
  setup_id INTEGER NOT NULL REFERENCES word,
  control_failed TEXT,  -- why the known-good kernel did not boot either
  good INTEGER NOT NULL,  -- how many tests passed, and how many failed, where that says something
  bad INTEGER NOT NULL,
  build_seconds REAL NOT NULL,
  warnings INTEGER NOT NULL,
  new_warnings TEXT,
  folder TEXT NOT NULL,
  digest BLOB NOT NULL,  -- of run.json
  UNIQUE (name, host_id)
);
CREATE INDEX run_of_series ON run (series_id, started, verdict);
CREATE INDEX run_by_time ON run (started);
CREATE INDEX run_of_kernel ON run (target_id, kernel_id, started, bad, series_id);
CREATE INDEX run_finished ON run (folder) WHERE finished IS NOT NULL;
CREATE TABLE test (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE  -- pytest's node id, or `build`
);
CREATE TABLE outcome (
  run_id INTEGER NOT NULL REFERENCES run,
  test_id INTEGER NOT NULL REFERENCES test,
  attempt INTEGER NOT NULL,
  outcome TEXT NOT NULL,  -- a letter of facts.LETTERS
  good INTEGER,
  blame TEXT,
  took_ms INTEGER NOT NULL,
  headline TEXT,
  PRIMARY KEY (run_id, test_id, attempt)
) WITHOUT ROWID;
CREATE INDEX outcome_bad ON outcome (run_id, test_id) WHERE good = 0;
CREATE TABLE attempt (
  run_id INTEGER NOT NULL REFERENCES run,
  test_id INTEGER NOT NULL REFERENCES test,
  number INTEGER NOT NULL,
  verdict TEXT NOT NULL,
  rule_id INTEGER NOT NULL REFERENCES word,
  set_aside INTEGER NOT NULL,
  first_boot INTEGER NOT NULL,
  last_boot INTEGER NOT NULL,
  PRIMARY KEY (run_id, test_id, number)
) WITHOUT ROWID;
CREATE TABLE boot (
  run_id INTEGER NOT NULL REFERENCES run,
  number INTEGER NOT NULL,
  control INTEGER NOT NULL,
  set_aside INTEGER NOT NULL,
  reached INTEGER NOT NULL,
  reason TEXT,
  firmware_ms INTEGER,  -- from power-on
  kernel_ms INTEGER,
  rootfs_ms INTEGER,
  init_ms INTEGER,
  login_ms INTEGER,
  PRIMARY KEY (run_id, number)
) WITHOUT ROWID;
CREATE TABLE signature (
  id INTEGER PRIMARY KEY,
  text TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,
  severity TEXT NOT NULL,
  fault TEXT NOT NULL,
  example TEXT NOT NULL
);
CREATE TABLE sighting (
  signature_id INTEGER NOT NULL REFERENCES signature,
  series_id INTEGER NOT NULL REFERENCES series,
  started INTEGER NOT NULL,
  run_id INTEGER NOT NULL REFERENCES run,
  times INTEGER NOT NULL,
  PRIMARY KEY (signature_id, series_id, started, run_id)
) WITHOUT ROWID;
CREATE INDEX sighting_in_run ON sighting (run_id);
CREATE TABLE measurement (
  run_id INTEGER NOT NULL REFERENCES run,
  name_id INTEGER NOT NULL REFERENCES word,
  number INTEGER NOT NULL,  -- of those with this name in the run
  value REAL NOT NULL,
  unit TEXT NOT NULL,
  upper REAL,
  test_id INTEGER REFERENCES test,
  PRIMARY KEY (run_id, name_id, number)
) WITHOUT ROWID;
CREATE TABLE inventory (
  run_id INTEGER NOT NULL REFERENCES run,
  kind TEXT NOT NULL,
  names_id INTEGER NOT NULL REFERENCES names,
  PRIMARY KEY (run_id, kind)
) WITHOUT ROWID
"""

_TOLD = """
CREATE TABLE told (  -- what was new in a run, once somebody has worked it out, until a run before it changes
  run_id INTEGER PRIMARY KEY REFERENCES run,
  comparison TEXT NOT NULL,  -- JSON, see told.py
  slower TEXT  -- the stages that were told as slower, with spaces between
);
CREATE INDEX told_slower ON told (run_id) WHERE slower IS NOT NULL
"""

MIGRATIONS: tuple[str, ...] = (_FIRST, _TOLD)
"""Script number n (from 0) makes version n + 1. Append; never change one that was released."""

OF_A_RUN = ("outcome", "attempt", "boot", "sighting", "measurement", "inventory", "told")
"""Tables whose rows belong to one run and go with it."""
