"""Read from the history what comparison needs: one run, and those before it of the same series."""

import difflib
import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import attrs

from harness.errors import UsageError
from harness.model import STAGES
from harness.nightly import facts, slowness
from harness.nightly.compare import BUILT, Comparison, compare
from harness.nightly.views import Answered, Past, Ref, RunView, Seen

RUNS = slowness.REFERENCE + max(slowness.WINDOWS)  # so far back a comparison looks
LAST_GOOD = "last-good"
_WORDS = {letter: outcome for outcome, letter in facts.LETTERS.items()}
_SELECT = """
SELECT run.id, run.name, run.started, run.verdict, run.git_commit, run.series_id, run.control_failed, run.new_warnings,
       kernel.key, kernel.version, kernel.modules_id,
       toolchain.text AS toolchain, image.text AS image, setup.text AS setup, host.text AS host
FROM run
LEFT JOIN kernel ON kernel.id = run.kernel_id
JOIN word AS toolchain ON toolchain.id = run.toolchain_id
JOIN word AS image ON image.id = run.image_id
JOIN word AS setup ON setup.id = run.setup_id
JOIN word AS host ON host.id = run.host_id
"""


_TOLD = """SELECT id FROM run WHERE id = old.run_id AND verdict NOT IN ('LAB', 'INCONCLUSIVE')
           AND control_failed IS NULL"""


@attrs.frozen
class Place:
    """Where a run was: what people read above a comparison."""

    branch: str
    tree: str
    target: str
    model: str
    config: str
    fragments: str


def compared(db: sqlite3.Connection, run: int, *, against: int | None = None) -> Comparison:
    """Return what is new in the run with number *run*, against the last good one or the one with number *against*."""
    now = _views(db, [_row(db, run)])[0]
    now = attrs.evolve(now, seen=_seen(db, run, against))
    other = _views(db, [_row(db, against)])[0] if against else None
    return compare(now, past(db, run, now), against=other)


def past(db: sqlite3.Connection, run: int, now: RunView) -> Past:
    """Return the runs before *run* in its series, and of what fails in *now* where it was good before all of them.

    Of a run that nobody looks at for its own sake only those tests are told that failed in one of the runs.
    """
    (series,) = db.execute("SELECT series_id FROM run WHERE id = ?", (run,)).fetchone()
    where = "WHERE run.series_id = ? AND (run.started, run.id) < (?, ?) ORDER BY run.started DESC, run.id DESC LIMIT ?"
    rows = _rows(db, _SELECT + where, (series, now.ref.started, run, RUNS))
    failing = [name for name, answered in now.tests.items() if answered.good is False]
    runs = _views(db, rows, whole=_good_ones(rows, now), tests=failing)
    unknown = [name for name in failing if not any(name in each.tests and each.tests[name].good for each in runs)]
    oldest = runs[-1].ref.started if len(runs) == RUNS else 0
    found = {name: _older_good(db, series, name, oldest) for name in unknown} if oldest else {}
    return Past(tuple(runs), {name: ref for name, ref in found.items() if ref})


def find(db: sqlite3.Connection, word: str, *, target: str = "") -> int:
    """Return the number of the run that *word* names: its name, how the name begins, or ``latest`` (of *target*).

    UsageError when there is none, or more than one.
    """
    select = """SELECT run.id, run.name, host.text AS host FROM run JOIN target ON target.id = run.target_id
                JOIN word AS host ON host.id = run.host_id """
    values = {"word": word, "target": target}
    if word == "latest":
        newest = "WHERE :target IN ('', target.name) ORDER BY run.started DESC, run.id DESC LIMIT 1"
        found = _rows(db, select + newest, values)
    else:
        begins = "WHERE substr(run.name, 1, length(:word)) = :word"
        found = _rows(db, f"{select} WHERE run.name = :word", values) or _rows(db, select + begins, values)
    if len(found) == 1:
        number: int = found[0]["id"]
        return number
    if found:
        named = [f"{row['name']} of {row['host']}" for row in found[:5]]
        raise UsageError(f"{word}: {len(found)} runs are called so", evidence=named)
    known = [name for (name,) in db.execute("SELECT name FROM run")]
    near = difflib.get_close_matches(word, known, n=1)
    hint = f"did you mean {near[0]}?" if near else "`pi64 history runs` lists them"
    raise UsageError(f"{word}: no such run in the history", hint=hint)


def place(db: sqlite3.Connection, run: int) -> Place:
    """Return the branch, board and configuration of a run."""
    row = _rows(
        db,
        """SELECT branch.name AS branch, branch.tree, target.name AS target, target.model, series.config,
                  kernel.base_config, series.fragments
           FROM run JOIN series ON series.id = run.series_id JOIN branch ON branch.id = series.branch_id
           JOIN target ON target.id = run.target_id LEFT JOIN kernel ON kernel.id = run.kernel_id WHERE run.id = ?""",
        (run,),
    )[0]
    config = row["config"] or row["base_config"] or "default"
    return Place(row["branch"], row["tree"], row["target"], row["model"], config, row["fragments"])


# --- rows into values ------------------------------------------------------------------------------------------------
Row = Mapping[str, Any]


def _rows(db: sqlite3.Connection, select: str, values: Sequence[Any] | Mapping[str, Any]) -> list[Row]:
    cursor = db.execute(select, values)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def _row(db: sqlite3.Connection, run: int) -> Row:
    return _rows(db, f"{_SELECT} WHERE run.id = ?", (run,))[0]


def _good_ones(rows: Sequence[Row], now: RunView) -> list[int]:
    """Return the runs that *now* may be compared with: the last good one, and the last that is equal in all else."""
    good = [row for row in rows if row["verdict"] == "PASS" and not row["control_failed"]]
    equal = next((row for row in good if _equal(row) == now.equal), None)
    return [row["id"] for row in (*good[:1], equal) if row]


def _views(
    db: sqlite3.Connection, rows: Sequence[Row], *, whole: Iterable[int] | None = None, tests: Iterable[str] = ()
) -> list[RunView]:
    """Return the runs in *rows*, with all tests of *whole* (None: of all); else those that failed, and *tests*."""
    ids = json.dumps([row["id"] for row in rows])
    full = ids if whole is None else json.dumps([*whole])
    found, boots, there = _tests(db, full), _boots(db, ids), _there(db, rows, ids)
    if whole is not None:
        found = _some_tests(db, ids, tests) | found
    return [
        RunView(
            Ref(row["name"], row["started"], row["verdict"] or "", row["git_commit"], row["version"] or ""),
            kernel=row["key"] or "",
            equal=_equal(row),
            tests=found.get(row["id"], {}),
            there=there[row["id"]],
            boots=tuple(boots[row["id"]]),
            new_warnings=tuple((row["new_warnings"] or "").splitlines()),
            control_failed=row["control_failed"] or "",
        )
        for row in rows
    ]


def _equal(row: Row) -> Mapping[str, str]:
    return _equal_of(row["setup"], row["toolchain"], row["image"], row["host"])


@lru_cache(maxsize=1024)  # a year of a board has a handful
def _equal_of(setup: str, toolchain: str, image: str, host: str) -> Mapping[str, str]:
    told = {name: value if isinstance(value, str) else json.dumps(value) for name, value in json.loads(setup).items()}
    return MappingProxyType({**told, "toolchain": toolchain, "base image": image, "lab host": host})


def _tests(db: sqlite3.Connection, ids: str, only: str | None = None) -> dict[int, dict[str, Answered]]:
    """Return run -> test -> what came of its last attempt; *only* those with these numbers."""
    chosen = "" if only is None else "AND test_id IN (SELECT value FROM json_each(:only))"
    select = f"""SELECT run_id, test.name, outcome, good, blame, headline FROM outcome JOIN test ON test.id = test_id
                 WHERE run_id IN (SELECT value FROM json_each(:ids)) {chosen}
                 ORDER BY run_id, attempt"""  # noqa: S608 - our own words
    found: dict[int, dict[str, Answered]] = defaultdict(dict)
    same: dict[tuple[Any, ...], Answered] = {}
    for run, test, *rest in db.execute(select, {"ids": ids, "only": only}):
        key = tuple(rest)
        if key not in same:
            outcome, good, blame, headline = rest
            known = None if good is None else bool(good)
            same[key] = Answered(known, _WORDS.get(outcome, outcome), blame or "", headline or "")
        found[run][test] = same[key]
    for run, test, verdict, rule in db.execute(
        """SELECT run_id, test.name, verdict, rule.text FROM attempt JOIN test ON test.id = test_id
           JOIN word AS rule ON rule.id = rule_id
           WHERE set_aside AND run_id IN (SELECT value FROM json_each(?))""",
        (ids,),
    ):
        if test in found[run]:
            found[run][test] = attrs.evolve(found[run][test], retried=f"{verdict} ({rule})")
    return found


def _some_tests(db: sqlite3.Connection, ids: str, names: Iterable[str]) -> dict[int, dict[str, Answered]]:
    """Return what `_tests` does, of the tests with *names* and of those that failed in one of the runs."""
    select = """SELECT test_id FROM outcome INDEXED BY outcome_bad
                WHERE good = 0 AND run_id IN (SELECT value FROM json_each(:ids))
                UNION SELECT id FROM test WHERE name IN (SELECT value FROM json_each(:names))"""
    chosen = [test for (test,) in db.execute(select, {"ids": ids, "names": json.dumps([*names])})]
    return _tests(db, ids, json.dumps(chosen)) if chosen else {}


def _boots(db: sqlite3.Connection, ids: str) -> dict[int, list[dict[str, float]]]:
    columns = ", ".join(f"{stage}_ms" for stage in STAGES)
    select = f"""SELECT run_id, {columns} FROM boot WHERE NOT control AND NOT set_aside
                 AND run_id IN (SELECT value FROM json_each(?)) ORDER BY run_id, number"""  # noqa: S608 - our own names
    found: dict[int, list[dict[str, float]]] = defaultdict(list)
    for run, *times in db.execute(select, (ids,)):
        found[run].append({stage: ms / 1000 for stage, ms in zip(STAGES, times, strict=True) if ms is not None})
    return found


def _there(db: sqlite3.Connection, rows: Iterable[Row], ids: str) -> dict[int, dict[str, frozenset[str]]]:
    """Return run -> kind -> names. The same list is the same set, however many runs have it."""
    found: dict[int, dict[str, int]] = defaultdict(dict)
    select = "SELECT run_id, kind, names_id FROM inventory WHERE run_id IN (SELECT value FROM json_each(?))"
    for run, kind, names in db.execute(select, (ids,)):
        found[run][kind] = names
    for row in rows:
        if row["modules_id"]:
            found[row["id"]][BUILT] = row["modules_id"]
    lists = {names for kinds in found.values() for names in kinds.values()}
    sets = {
        number: frozenset(text.splitlines())
        for number, text in db.execute(
            "SELECT id, list FROM names WHERE id IN (SELECT value FROM json_each(?))", (json.dumps([*lists]),)
        )
    }
    return defaultdict(
        dict, {run: {kind: sets[names] for kind, names in kinds.items()} for run, kinds in found.items()}
    )


def _seen(db: sqlite3.Connection, run: int, against: int | None) -> tuple[Seen, ...]:
    """Return the signatures of *run*; one was there before if *against* had it, or any run before of the series.

    Of a run that says nothing (the bench failed, it was killed) nobody was told what its kernel said.
    """
    earlier = "old.run_id = :against" if against else "(old.started, old.run_id) < (new.started, new.run_id)"
    same = "" if against else f"AND old.series_id = new.series_id AND old.run_id IN ({_TOLD})"
    select = f"""SELECT text, severity, fault, example, EXISTS (
                   SELECT 1 FROM sighting AS old WHERE old.signature_id = new.signature_id {same} AND {earlier})
                 FROM sighting AS new JOIN signature ON signature.id = new.signature_id
                 WHERE new.run_id = :run ORDER BY text"""  # noqa: S608 - our own words
    rows = db.execute(select, {"run": run, "against": against})
    return tuple(Seen(text, severity, fault, example, bool(before)) for text, severity, fault, example, before in rows)


def _older_good(db: sqlite3.Connection, series: int, test: str, before: int) -> Ref | None:
    select = f"""{_SELECT} CROSS JOIN outcome ON outcome.run_id = run.id
                 AND outcome.test_id = (SELECT id FROM test WHERE name = ?) AND outcome.good
                 WHERE run.series_id = ? AND run.started < ? ORDER BY run.started DESC LIMIT 1"""  # noqa: S608 - ours
    for row in _rows(db, select, (test, series, before)):
        return Ref(row["name"], row["started"], row["verdict"] or "", row["git_commit"], row["version"] or "")
    return None
