"""What a run says to a forge, to KernelCI's database and to a monitor is valid there, whatever the run was."""

import json
import re
from collections.abc import Callable

import attrs
import kcidb_io
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as prometheus_families
from report_samples import MEASURED, OOPS, RECORD, RETRIED, failed, recorded, with_case

from harness.errors import UsageError
from harness.model import BootRecord, Measurement, Verdict, VerdictName
from harness.report import github, gitlab, kcidb, openmetrics
from harness.report.record import CaseRecord, RunRecord
from harness.report.redact import UNSAFE
from harness.verdict.findings import finding

SHA = "0123456789abcdef0123456789abcdef01234567"
LOGS = ("raspi3b-module-oops", "raspi3b-no-root", "raspi3b-healthy", "virtual-rpi3-no-kernel")
EMPTY = RunRecord("1", "rpi3", "2026-07-01T12:00:00Z")
SAMPLES = [RECORD, MEASURED, RETRIED, EMPTY, *(recorded(log).record for log in LOGS)]
TEXT = st.text(st.characters(codec=None), max_size=40)
NUMBER = st.floats() | st.integers(-(10**30), 10**30)


def records(draw: Callable) -> RunRecord:
    word, number = draw(TEXT), draw(NUMBER)
    found = finding(word, word, fault=word, severity="error", text=(word,))
    case = CaseRecord(word, draw(st.sampled_from(OUTCOMES)), float(number), word, word, 2, word)
    boot = BootRecord(word, {"kernel": float(number), "login": 2.0}, draw(st.booleans()), word, (found,), "x", 1)
    return RunRecord(
        word, word, word, word, word, word, (word,), source=word, commit=word, dirty=draw(st.booleans()), release=word,
        build_key=word, tree=word, branch=word, base_config=word, build_seconds=float(number), boots=(boot,),
        findings=(found,), tests=(case,),
        measurements=(Measurement(word, float(number), word, float(number), word),), still_on=word,
        verdict=draw(st.none() | st.sampled_from(VerdictName).map(lambda name: Verdict(name, word, (word,)))),
    )  # fmt: skip


OUTCOMES = ("passed", "failed", "error", "skipped", "xfailed", "xpassed", "retried")
RUNS = st.composite(records)()


# --- KCIDB -----------------------------------------------------------------------------------------------------------
def submission(record: RunRecord, **options: str) -> dict:
    told = json.loads(kcidb.report(record, **options))
    kcidb_io.schema.LATEST.validate_exactly(told)
    return told


def statuses(record: RunRecord) -> dict[str, str]:
    return {test["path"]: test["status"] for test in submission(record)["tests"]}


@pytest.mark.parametrize("record", SAMPLES)
def test_kcidb_takes_every_run(record: RunRecord) -> None:
    told = submission(record, url="https://lab.example.org/runs/1")
    assert told["tests"][0]["build_id"] == told["builds"][0]["id"] if told["tests"] else True
    assert told["builds"][0]["checkout_id"] == told["checkouts"][0]["id"]
    names = [test["id"] for test in told["tests"]]
    assert len(set(names)) == len(names)


@settings(max_examples=50, deadline=None)
@given(RUNS)
def test_kcidb_takes_any_words_and_numbers(record: RunRecord) -> None:
    submission(record)


CASES = [  # blame, verdict of the run, status
    ("KERNEL", "KERNEL", "FAIL"),
    ("DEPLOY", "DEPLOY", "FAIL"),
    ("LAB", "LAB", "MISS"),
    ("INCONCLUSIVE", "KERNEL", "ERROR"),
    ("", "KERNEL", "ERROR"),
    ("KERNEL", "LAB", "MISS"),
    ("KERNEL", "INCONCLUSIVE", "ERROR"),
    ("LAB", "INCONCLUSIVE", "MISS"),
]


@pytest.mark.parametrize(("blame", "verdict", "status"), CASES)
def test_whose_fault_it_was_decides_on_the_status(blame: str, verdict: str, status: str) -> None:
    record = with_case(failed(blame), VerdictName(verdict))
    assert statuses(record)["pi64.test_boot.test_boots"] == status


@pytest.mark.parametrize(
    ("verdict", "status"),
    [("PASS", "PASS"), ("KERNEL", "FAIL"), ("DEPLOY", "FAIL"), ("LAB", "MISS"), ("INCONCLUSIVE", "ERROR")],
)
def test_the_run_as_a_whole_is_a_test_with_its_verdict(verdict: str, status: str) -> None:
    assert statuses(with_case(RECORD.tests[0], VerdictName(verdict)))["pi64"] == status


@pytest.mark.parametrize(("outcome", "status"), [("passed", "PASS"), ("skipped", "SKIP"), ("xfailed", "SKIP")])
def test_what_did_not_fail_keeps_its_outcome(outcome: str, status: str) -> None:
    record = attrs.evolve(RECORD, tests=(attrs.evolve(RECORD.tests[0], outcome=outcome),))
    assert statuses(record)["pi64.test_boot.test_who_answers.release"] == status


def test_an_attempt_that_another_followed_does_not_count() -> None:
    assert "pi64.test_boot.test_boots" not in statuses(RETRIED)


def test_measurements_are_done_with_their_number() -> None:
    tests = {test["path"]: test for test in submission(MEASURED)["tests"]}
    assert tests["pi64.measured.ethernet.throughput"]["number"] == {"value": 93.5, "unit": "Mbit/s"}
    assert tests["pi64.boot_seconds.login"]["number"] == {"value": 23.6, "unit": "s"}
    assert tests["pi64.boot_seconds.login"]["status"] == "DONE"


def test_only_boots_of_the_kernel_under_test_are_measured() -> None:
    logins = [test for test in submission(RETRIED)["tests"] if test["path"] == "pi64.boot_seconds.login"]
    assert [test["comment"] for test in logins] == ["boot 2: from power-on to login"]


def test_a_failed_build_is_the_builds_failure_and_nothing_was_tested() -> None:
    verdict = Verdict(VerdictName.BUILD, "the build failed", ("foo.c:1: error: x",))
    told = submission(attrs.evolve(EMPTY, tests=(failed("BUILD"),), verdict=verdict))
    assert told["builds"][0]["status"] == "FAIL"
    assert "foo.c:1: error: x" in told["builds"][0]["log_excerpt"]
    assert told["tests"] == []


def test_a_commit_is_named_only_when_the_tree_was_clean() -> None:
    clean = attrs.evolve(RECORD, commit=SHA, tree="https://git.example.org/linux.git", branch="rpi-6.12.y")
    checkout = submission(clean)["checkouts"][0]
    assert (checkout["git_commit_hash"], checkout["id"]) == (SHA, f"pi64:{SHA}")
    assert checkout["git_repository_url"] == "https://git.example.org/linux.git"
    dirty = submission(attrs.evolve(clean, dirty=True))["checkouts"][0]
    assert "git_commit_hash" not in dirty
    assert SHA not in dirty["id"]


def test_two_runs_of_one_kernel_share_the_build_and_not_the_tests() -> None:
    one, other = submission(RECORD), submission(attrs.evolve(RECORD, run_id="2026-07-01T13-00-00-rpi3"))
    assert one["builds"] == other["builds"]
    assert not {test["id"] for test in one["tests"]} & {test["id"] for test in other["tests"]}


def test_logs_are_linked_where_the_run_is_published() -> None:
    told = submission(RECORD, url="https://lab.example.org/runs/1/")
    assert told["tests"][0]["log_url"] == "https://lab.example.org/runs/1/console.log"


@pytest.mark.parametrize("options", [{"origin": "My Lab"}, {"url": "javascript:alert(1)"}, {"url": "lab.example.org"}])
def test_what_kcidb_would_refuse_is_refused_by_name(options: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=re.escape(next(iter(options.values())))):
        kcidb.report(RECORD, **options)


# --- OpenMetrics -----------------------------------------------------------------------------------------------------
def samples(record: RunRecord, parse: Callable = openmetrics_families) -> dict[tuple, float]:
    told = list(parse(openmetrics.metrics(record)))
    return {
        (sample.name, *sorted((name, value) for name, value in sample.labels.items() if name != "target")): sample.value
        for family in told
        for sample in family.samples
    }


@pytest.mark.parametrize("record", SAMPLES)
def test_both_formats_of_prometheus_read_the_same(record: RunRecord) -> None:
    assert samples(record) == samples(record, prometheus_families)
    assert samples(record)


@settings(max_examples=50, deadline=None)
@given(RUNS)
def test_any_words_and_numbers_are_metrics(record: RunRecord) -> None:
    assert samples(record, openmetrics_families)


def test_verdict_stages_durations_and_the_benchs_faults_are_there() -> None:
    told = samples(RETRIED)
    assert told["pi64_run_verdict", ("verdict", "PASS")] == 1
    assert told["pi64_run_verdict", ("verdict", "LAB")] == 0
    assert told["pi64_boot_stage_seconds", ("boot", "2"), ("kind", "test"), ("stage", "login")] == 23.6
    assert told["pi64_boot_stage_seconds", ("boot", "1"), ("kind", "set_aside"), ("stage", "kernel")] == 0.5
    assert told["pi64_boots", ("kind", "control"), ("reached", "true")] == 1
    assert told["pi64_run_duration_seconds",] == 60
    assert (told["pi64_test_retries",], told["pi64_lab_faults",]) == (1, 1)
    assert samples(MEASURED)[
        "pi64_measurement", ("name", "ethernet.throughput"), ("test", "test_net"), ("unit", "Mbit/s")
    ]


def test_a_run_that_goes_on_has_no_verdict_and_no_duration() -> None:
    told = samples(EMPTY)
    assert not any(value for (name, *_), value in told.items() if name == "pi64_run_verdict")
    assert ("pi64_run_duration_seconds",) not in told


# --- forges ----------------------------------------------------------------------------------------------------------
COMMAND = re.compile(r"::(notice|warning|error) (?:file=[^:,\n]*,)?title=[^:,\n]*::[^\n]*")


@pytest.mark.parametrize("record", SAMPLES)
def test_github_gets_one_line_an_annotation(record: RunRecord) -> None:
    lines = github.annotations(record).splitlines()
    assert lines
    assert all(COMMAND.fullmatch(line) for line in lines)


@settings(max_examples=50, deadline=None)
@given(RUNS)
def test_no_words_end_an_annotation_or_begin_another(record: RunRecord) -> None:
    told = github.annotations(record)
    assert all(COMMAND.fullmatch(line) for line in told.removesuffix("\n").split("\n"))
    assert not UNSAFE.search(told)


def test_github_gets_the_verdict_first_and_a_failed_test_with_its_file() -> None:
    lines = github.annotations(with_case(failed("KERNEL"), VerdictName.KERNEL)).splitlines()
    assert lines[0] == "::error title=rpi3%3A KERNEL%2C kernel 6.12.117-pi64::rule%0Aevidence"
    assert lines[1].startswith(
        "::error file=tests_hw/test_boot.py,title=tests_hw/test_boot.py%3A%3Atest_boots failed::"
    )
    assert lines[1].endswith("rpi3: stopped%0A  | evidence")


def test_the_bench_is_no_error_of_the_commit() -> None:
    records = [with_case(failed("LAB", outcome="error"), VerdictName.LAB), with_case(failed("LAB"), VerdictName.LAB)]
    records.append(attrs.evolve(with_case(failed("KERNEL"), VerdictName.INCONCLUSIVE), findings=(OOPS,)))
    for record in records:
        assert {line.split()[0] for line in github.annotations(record).splitlines()} == {"::warning"}


def test_gitlab_knows_the_same_problem_in_another_run_by_its_fingerprint() -> None:
    later = attrs.evolve(OOPS, first_line=900, message="Unable to handle kernel NULL")
    one, other = (
        json.loads(gitlab.code_quality(attrs.evolve(RECORD, findings=(found,)), path="runs/latest/console.log"))
        for found in (OOPS, later)
    )
    assert one[0]["fingerprint"] == other[0]["fingerprint"]
    assert one[0]["location"] == {"path": "runs/latest/console.log", "lines": {"begin": 122}}
    assert one[0]["severity"] == "critical"


@settings(max_examples=50, deadline=None)
@given(RUNS)
def test_gitlab_takes_any_words(record: RunRecord) -> None:
    issues = json.loads(gitlab.code_quality(record, path="console.log"))
    assert len({issue["fingerprint"] for issue in issues}) == len(issues)
    assert {issue["severity"] for issue in issues} <= {"info", "minor", "major", "critical", "blocker"}
