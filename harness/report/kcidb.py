"""A run in the words of KernelCI's common database: what was checked out, built and tested, schema 5.3.

Source: https://github.com/kernelci/kcidb-io, schema v05_03. Only a kernel's own failure may count against its code
there, so whose fault it was decides on the status, and what a run as a whole lays on the bench is nobody's FAIL.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterator
from typing import Any

from harness.errors import UsageError
from harness.model import STAGES, VerdictName
from harness.report import moment, overview
from harness.report.record import CaseRecord, RunRecord
from harness.report.redact import printable

VERSION = {"major": 5, "minor": 3}
EXCERPT = 16384  # characters of a log_excerpt
ROOT = "pi64"
"""The node of the tree of tests below which ours are."""
FAILED = {"KERNEL": "FAIL", "DEPLOY": "FAIL", "LAB": "MISS"}
"""A test that failed, by the verdict of its error; all else means that the test itself is broken."""
RUN = {"PASS": "PASS", "KERNEL": "FAIL", "DEPLOY": "FAIL", "LAB": "MISS", "INCONCLUSIVE": "ERROR"}
WHOLE = {VerdictName.LAB: "MISS", VerdictName.INCONCLUSIVE: "ERROR"}
"""What becomes of a FAIL when that is the verdict of the run: something on the bench may explain it."""

_ORIGIN = re.compile(r"[a-z0-9_]+")
_SHA = re.compile(r"[0-9a-f]{40}")
_URL = re.compile(r"https?://[\w.:\[\]-]+(?:/[\w.~%/+-]*)?", re.ASCII)
_REPOSITORY = re.compile(r"https://[\w.-]+/[\w.~%/+-]*", re.ASCII)


def report(record: RunRecord, *, origin: str = "pi64", url: str = "") -> str:
    """Return the JSON of a run; *origin* is the name under which a lab submits.

    *url* is where the run's folder is published, for links to its logs. UsageError for what KCIDB would refuse.
    """
    if not _ORIGIN.fullmatch(origin):
        raise UsageError(f"origin `{origin}`: KCIDB takes small letters, digits and `_`")
    if url and not _URL.fullmatch(url):
        raise UsageError(f"url `{url}`: not a web address", hint="for example https://lab.example.org/runs/latest")
    base = f"{url.rstrip('/')}/" if url else ""
    told = {
        "version": VERSION,
        "checkouts": [_checkout(record, origin)],
        "builds": [_build(record, origin, base)],
        "tests": list(_tests(record, origin, base)),
    }
    return json.dumps(told, indent=1, allow_nan=False) + "\n"


# --- what was tested -------------------------------------------------------------------------------------------------
def _checkout(record: RunRecord, origin: str) -> dict[str, Any]:
    known = _SHA.fullmatch(record.commit) and not record.dirty  # of a changed tree nobody else has the commit
    return _without_none(
        id=_checkout_id(record, origin),
        origin=origin,
        git_commit_hash=record.commit if known else None,
        git_repository_url=record.tree if _REPOSITORY.fullmatch(record.tree) else None,
        git_repository_branch=_text(record.branch) or None,
        comment=_text(f"{record.source}{', with local changes' if record.dirty else ''}"),
        start_time=_started(record),
        valid=True,
    )


def _checkout_id(record: RunRecord, origin: str) -> str:
    if _SHA.fullmatch(record.commit) and not record.dirty:
        return f"{origin}:{record.commit}"
    return f"{origin}:{_digest(record.source, record.commit, record.build_key if record.dirty else '')}"


def _build(record: RunRecord, origin: str, base: str) -> dict[str, Any]:
    failed = record.verdict is not None and record.verdict.name is VerdictName.BUILD
    status = "FAIL" if failed else "PASS" if record.release else "MISS"
    excerpt = "\n".join(record.verdict.evidence) if failed and record.verdict else ""
    return _without_none(
        id=_build_id(record, origin),
        origin=origin,
        checkout_id=_checkout_id(record, origin),
        architecture="arm64",
        compiler=_text(record.toolchain) or None,
        config_name=_configuration(record) or None,
        config_url=f"{base}config" if base and record.release else None,
        log_url=f"{base}build.log" if base else None,
        log_excerpt=_text(excerpt)[:EXCERPT] or None,
        duration=_finite(record.build_seconds) if record.build_seconds else None,
        status=status,
        misc={"release": _text(record.release), "build_id": _text(record.build_id), "warnings": record.warnings},
    )


def _build_id(record: RunRecord, origin: str) -> str:
    """One build for all runs of the same kernel; what was not built has the run's name."""
    return f"{origin}:{_text(record.build_key) or _run(record)}"


# --- tests -----------------------------------------------------------------------------------------------------------
def _tests(record: RunRecord, origin: str, base: str) -> Iterator[dict[str, Any]]:
    """Yield the run as a whole, each test, and the seconds of each boot stage as measurements."""
    if record.verdict and record.verdict.name is VerdictName.BUILD:
        return  # there was nothing to test
    common = {
        "origin": origin,
        "build_id": _build_id(record, origin),
        "environment": {
            "comment": _text(f"{record.target}: {record.board or 'unknown board'}, lab host {record.host}"),
            "misc": {"target": record.target, "board": record.board, "features": list(record.features)},
        },
    }
    if base:
        common["log_url"] = f"{base}console.log"
    for number, test in enumerate([*_summary(record), *_cases(record), *_stages(record), *_measured(record)]):
        yield {"id": f"{origin}:{_run(record)}.{number}", **common, **test}


def _summary(record: RunRecord) -> Iterator[dict[str, Any]]:
    if record.verdict:
        yield _without_none(
            path=ROOT,
            status=RUN[record.verdict.name],
            comment=_text(f"{record.verdict.name}: {record.verdict.rule}"),
            log_excerpt=_text("\n".join(record.verdict.evidence))[:EXCERPT] or None,
            start_time=_started(record),
        )


def _cases(record: RunRecord) -> Iterator[dict[str, Any]]:
    for case in record.tests:
        if case.outcome != "retried":  # another attempt followed, and that one counts
            yield _without_none(
                path=_path(case.nodeid),
                comment=_text(case.nodeid),
                status=status(case, record.verdict.name if record.verdict else None),
                duration=_finite(case.seconds),
                log_excerpt=_text(case.message)[:EXCERPT] or None,
                misc={"fault": case.fault, "attempt": case.attempt} if case.fault or case.attempt > 1 else None,
            )


def status(case: CaseRecord, verdict: VerdictName | None) -> str:
    """Return KCIDB's status of a test in a run with *verdict*."""
    if case.outcome not in {"failed", "error"}:
        return {"passed": "PASS", "xpassed": "PASS"}.get(case.outcome, "SKIP")
    own = FAILED.get(case.blame or case.fault, "ERROR")
    return WHOLE.get(verdict, own) if own == "FAIL" and verdict else own


def _stages(record: RunRecord) -> Iterator[dict[str, Any]]:
    """Yield what was measured: of the kernel under test, in boots that count."""
    for number, boot, kind in overview.boots(record):
        for stage in STAGES if kind == "test" else ():
            if stage in boot.stages and math.isfinite(boot.stages[stage]):
                seconds = {"value": boot.stages[stage], "unit": "s"}
                path, comment = f"{ROOT}.boot_seconds.{stage}", f"boot {number}: from power-on to {stage}"
                yield {"path": path, "status": "DONE", "number": seconds, "comment": comment}


def _measured(record: RunRecord) -> Iterator[dict[str, Any]]:
    """Yield what tests measured; whether it keeps to its limit is the test's own status."""
    for each in record.measurements:
        if math.isfinite(each.value):
            yield _without_none(
                path=f"{ROOT}.measured.{'.'.join(filter(None, map(_word, each.name.split('.')))) or 'unnamed'}",
                status="DONE",
                number=_without_none(value=each.value, unit=_text(each.unit) or None),
                comment=_text(each.test) or None,
                misc={"limit": each.limit} if each.limit is not None and math.isfinite(each.limit) else None,
            )


# --- words -----------------------------------------------------------------------------------------------------------
def _path(nodeid: str) -> str:
    """``tests_hw/test_boot.py::test_who_answers[release]`` -> ``pi64.test_boot.test_who_answers.release``."""
    file, _, rest = nodeid.partition("::")
    words = [file.rpartition("/")[2].removesuffix(".py"), *re.split(r"::|\[", rest.removesuffix("]"))]
    return ".".join([ROOT, *filter(None, map(_word, words))])


def _word(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)


def _run(record: RunRecord) -> str:
    """A name that no other lab host gives."""
    return _text(f"{record.host}:{record.run_id}").replace("\n", " ")


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode(errors="replace")).hexdigest()[:32]


def _text(text: str) -> str:
    return printable(text)


def _started(record: RunRecord) -> str | None:
    return record.started if moment.seconds(record.started) is not None else None


def _configuration(record: RunRecord) -> str:
    return _text(" + ".join(filter(None, [record.base_config, *record.fragments])))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _without_none(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
