"""A run's record: what was tested, on what, how far it came, and whose fault it was; JSON and back.

Nothing here opens a file or reads a clock: the caller gives times and writes the text, atomically.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

from harness.errors import UsageError
from harness.model import STAGES, AttemptRecord, BootRecord, Finding, Measurement, Verdict, VerdictName

PLAIN: dict[Any, Any] = {
    str: str, bool: bool, int: int, float: int | float, float | None: int | float | None,
}  # fmt: skip
"""Type of a field -> what JSON has for it; anything else would come out as a traceback somewhere in a report."""
SCHEMA = 1
"""Raised when a key changes its meaning; new keys do not raise it."""


@attrs.frozen
class CaseRecord:
    """How one test ended."""

    nodeid: str
    outcome: str
    """``passed``, ``failed``, ``error``, ``skipped``, ``xfailed``, ``xpassed``; ``retried``: another followed."""
    seconds: float
    message: str = ""
    fault: str = ""
    """Verdict of the error that ended it, if it was one of ours."""
    attempt: int = 1
    """1-based; only a test that the bench had spoilt has a second one."""
    blame: str = ""
    """Verdict to which this outcome alone would lead, whatever ended the test; empty if it did not fail."""


@attrs.frozen
class RunRecord:
    """One pytest session on one target."""

    run_id: str
    target: str
    started: str
    """ISO 8601, UTC, e.g. ``2026-07-01T12:00:00Z``."""
    finished: str = ""
    """Empty while it runs, or if it never ended properly."""
    board: str = ""
    host: str = ""
    pid: int = 0
    """Of the process on *host* that wrote it, for whoever wants to know whether it lives still; 0: nobody told."""
    argv: tuple[str, ...] = ()
    asked: Mapping[str, Any] = attrs.field(factory=dict)
    """The target's options with the command line's over them; neither who logs in nor deadlines are among them."""
    tree: str = ""
    """Where the kernel was asked for: a folder, a URL, ``package:PATTERN``, or the files of a prebuilt one."""
    branch: str = ""
    """The ref that was asked for, else the branch of the work tree."""
    source: str = ""
    """Origin of the kernel tree, for people."""
    commit: str = ""
    dirty: bool = False
    release: str = ""
    build_id: str = ""
    build_key: str = ""
    base_config: str = ""
    """Of the kernel built, e.g. ``bcm2711_defconfig``."""
    fragments: tuple[str, ...] = ()
    toolchain: str = ""
    image: str = ""
    """Origin of the system below the kernel, for people."""
    image_digest: str = ""
    build_seconds: float = 0.0
    """0 when the kernel was in the cache."""
    ccache_rate: float | None = None
    """Share of the objects that ccache had, 0 to 1; None where it was not asked."""
    warnings: int = 0
    """Of compiler, linker, modpost and dtc."""
    new_warnings: tuple[str, ...] = ()
    """Those that the last good build of the same configuration did not have."""
    remarks: tuple[str, ...] = ()
    """What the age of the firmware asked for, or did not, and why."""
    features: tuple[str, ...] = ()
    boots: tuple[BootRecord, ...] = ()
    findings: tuple[Finding, ...] = ()
    """Of checks and tests; those of a boot are with the boot."""
    tests: tuple[CaseRecord, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    inventory: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    """What was found on the board, sorted: ``modules`` that were loaded, ``devices`` with a driver ..."""
    compared: Mapping[str, str] = attrs.field(factory=dict)
    """Kind of inventory -> the good run that it was compared with while the board was there, or why with none."""
    attempts: tuple[AttemptRecord, ...] = ()
    """Of the tests that were repeated, each with all of its attempts."""
    verdict: Verdict | None = None
    """None until the run is judged."""
    interrupted: bool = False
    """Whether somebody ended it before its last test."""
    still_on: str = ""
    """Why the board could not be switched off in the end; empty when it was."""
    left_on_card: str = ""
    """Release of the known-good kernel when a control boot has put it in the place of the one under test."""
    console_log: str = ""
    """Path of the full log, relative to the record where it lies beside it."""
    extra: Mapping[str, Any] = attrs.field(factory=dict)
    """Keys of a newer program; kept, not understood."""


def to_json(record: RunRecord) -> str:
    """Return *record* as indented JSON in plain ASCII, with a newline at its end."""
    plain = attrs.asdict(record, value_serializer=_plain, filter=attrs.filters.exclude("extra"))
    return json.dumps({"schema": SCHEMA, **plain, **record.extra}, indent=1) + "\n"


def from_json(text: str, *, name: str = "run.json") -> RunRecord:
    """Return the record in *text*; what is missing gets its default, unknown keys go to ``extra``.

    UsageError when it is no JSON, no record, or one whose schema is newer than this program.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{name}: not JSON: {error}") from error
    if not isinstance(data, dict) or not isinstance(data.get("run_id"), str):
        raise UsageError(f"{name}: not the record of a run", hint="name a run.json, or a folder below runs/")
    schema = data.pop("schema", SCHEMA)
    if not isinstance(schema, int) or schema > SCHEMA:
        raise UsageError(f"{name}: schema {schema}, this program reads {SCHEMA}", hint="update pi64")
    try:
        return _record(data)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise UsageError(f"{name}: damaged record: {error}") from error


def _record(data: dict[str, Any]) -> RunRecord:
    verdict = data.get("verdict")
    known = {
        "target": "",
        "started": "",
        **_known(RunRecord, data),
        "argv": _words(data.get("argv", ())),
        **{name: _words(data.get(name, ())) for name in ("features", "fragments", "new_warnings", "remarks")},
        "boots": tuple(_boot(boot) for boot in data.get("boots", ())),
        "findings": tuple(_finding(found) for found in data.get("findings", ())),
        "tests": tuple(CaseRecord(**_known(CaseRecord, case)) for case in data.get("tests", ())),
        "measurements": tuple(Measurement(**_known(Measurement, each)) for each in data.get("measurements", ())),
        "inventory": {kind: _words(names) for kind, names in data.get("inventory", {}).items()},
        "compared": {str(kind): str(told) for kind, told in data.get("compared", {}).items()},
        "attempts": tuple(_attempt(attempt) for attempt in data.get("attempts", ())),
        "verdict": _verdict(verdict) if verdict else None,
        "extra": {key: value for key, value in data.items() if key not in _names(RunRecord)},
    }
    return RunRecord(**known)


def _boot(data: Mapping[str, Any]) -> BootRecord:
    known = _known(BootRecord, data)
    stages = {stage: float(data["stages"][stage]) for stage in STAGES if stage in data["stages"]}
    findings = tuple(_finding(found) for found in data["findings"])
    return BootRecord(
        **{
            **known,
            "stages": stages,
            "findings": findings,
            "log": Path(data["log"]),
            "tail": _words(data.get("tail", ())),
        }
    )


def _finding(data: Mapping[str, Any]) -> Finding:
    return Finding(**{**_known(Finding, data), "text": _words(data["text"])})


def _attempt(data: Mapping[str, Any]) -> AttemptRecord:
    known = {**_known(AttemptRecord, data), "verdict": VerdictName(data["verdict"])}
    known["evidence"] = _words(data.get("evidence", ()))
    known["findings"] = tuple(_finding(found) for found in data.get("findings", ()))
    return AttemptRecord(**known)


def _verdict(data: Mapping[str, Any]) -> Verdict:
    return Verdict(VerdictName(data["name"]), str(data["rule"]), _words(data.get("evidence", ())))


def _names(kind: type) -> frozenset[str]:
    return frozenset(field.name for field in attrs.fields(kind))


def _words(values: Iterable[Any]) -> tuple[str, ...]:
    return tuple(map(str, values))


def _known(kind: type, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of *data* that *kind* has fields for; TypeError for a value that is none of the field's type."""
    fields = {field.name: PLAIN.get(field.type) for field in attrs.fields(kind)}
    known = {key: value for key, value in data.items() if key in fields}
    for key, value in known.items():
        plain = fields[key]
        if plain and not isinstance(value, plain):
            raise TypeError(f"{key} is {value!r:.40}")
    return known


def _plain(_owner: Any, _field: Any, value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value
