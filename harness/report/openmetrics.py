"""A run as metrics for a monitoring system: OpenMetrics text, which Prometheus and its textfile collector both read.

Source: https://prometheus.io/docs/specs/om/open_metrics_spec/ - gauges only, because node_exporter's textfile collector
reads the older format, in which OpenMetrics' other types are unknown; no time stamps, which it refuses.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping

import attrs

from harness.model import STAGES, VerdictName
from harness.report import moment, overview
from harness.report.record import RunRecord
from harness.report.redact import printable


@attrs.frozen
class Gauge:
    """One metric with its samples."""

    name: str
    help: str
    samples: tuple[tuple[Mapping[str, str], float], ...]
    """Labels beside the target, and the value."""


def metrics(record: RunRecord) -> str:
    """Return all that *record* has in numbers; what is not known has no sample."""
    lines = [line for gauge in _gauges(record) for line in _lines(gauge, record.target)]
    return "\n".join([*lines, "# EOF", ""])


def _gauges(record: RunRecord) -> Iterator[Gauge]:
    said = record.verdict.name if record.verdict else None
    yield _one("pi64_run", "The run, by its labels; always 1.", 1, _identity(record))
    verdicts = tuple(({"verdict": str(name)}, float(name is said)) for name in VerdictName)
    yield Gauge("pi64_run_verdict", "1 for the verdict of the run, 0 for all others.", verdicts)
    started, took = moment.seconds(record.started), moment.between(record.started, record.finished)
    yield _one("pi64_run_started_timestamp_seconds", "When the run began, since 1970.", started)
    yield _one("pi64_run_duration_seconds", "How long the run took.", took)
    yield _one("pi64_build_duration_seconds", "How long the build took; 0 for a kernel that was there.", _built(record))
    yield Gauge("pi64_boot_stage_seconds", "Seconds from power-on to a boot stage.", tuple(_stages(record)))
    boots = Counter((kind, boot.reached) for _, boot, kind in overview.boots(record))
    counts = (({"kind": kind, "reached": str(up).lower()}, float(count)) for (kind, up), count in sorted(boots.items()))
    yield Gauge("pi64_boots", "Boots, by whether they reached their login.", tuple(counts))
    outcomes = Counter(case.outcome for case in record.tests)
    tests = (({"outcome": outcome}, float(count)) for outcome, count in sorted(outcomes.items()))
    yield Gauge("pi64_tests", "Tests, by their outcome.", tuple(tests))
    retried = sum(attempt.set_aside for attempt in record.attempts)
    yield _one("pi64_test_retries", "Tests that were repeated because the bench may have spoilt them.", retried)
    faults = sum(case.fault == "LAB" for case in record.tests)
    yield _one("pi64_lab_faults", "Attempts at tests that ended by a fault of the bench.", faults)
    measured = (({"name": each.name, "unit": each.unit, "test": each.test}, each.value) for each in record.measurements)
    yield Gauge("pi64_measurement", "What tests measured, each in its unit.", tuple(measured))
    yield _one("pi64_still_on", "1 when the board could not be switched off.", float(bool(record.still_on)))


def _one(name: str, about: str, value: float | None, labels: Mapping[str, str] | None = None) -> Gauge:
    return Gauge(name, about, () if value is None else ((labels or {}, float(value)),))


def _built(record: RunRecord) -> float | None:
    return record.build_seconds if record.release else None


def _identity(record: RunRecord) -> dict[str, str]:
    return {
        "run_id": record.run_id, "board": record.board, "host": record.host, "release": record.release,
        "commit": record.commit, "build_key": record.build_key, "source": record.source,
    }  # fmt: skip


def _stages(record: RunRecord) -> Iterator[tuple[Mapping[str, str], float]]:
    for number, boot, kind in overview.boots(record):
        labels = {"boot": str(number), "kind": kind}
        yield from (({**labels, "stage": stage}, boot.stages[stage]) for stage in STAGES if stage in boot.stages)


# --- text ------------------------------------------------------------------------------------------------------------
def _lines(gauge: Gauge, target: str) -> Iterator[str]:
    """Yield the lines of a gauge that has samples."""
    samples = [(labels, value) for labels, value in gauge.samples if math.isfinite(value)]
    if not samples:
        return
    yield f"# TYPE {gauge.name} gauge"
    if gauge.name.endswith("_seconds"):
        yield f"# UNIT {gauge.name} seconds"
    yield f"# HELP {gauge.name} {gauge.help}"
    for labels, value in samples:
        told = ",".join(f'{name}="{_escaped(text)}"' for name, text in {"target": target, **labels}.items())
        yield f"{gauge.name}{{{told}}} {value!r}"


def _escaped(text: str) -> str:
    return printable(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
