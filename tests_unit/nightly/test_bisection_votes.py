"""Who may vote: the kernel, by the symptom that was asked for, and nobody else."""

from pathlib import Path

import attrs
import pytest

from harness.model import BootRecord, Finding, Verdict, VerdictName
from harness.nightly.bisection import votes
from harness.nightly.bisection.votes import Known, Symptom
from harness.report.record import CaseRecord, RunRecord
from harness.verdict.findings import finding

OOPS = finding("oops", "Unable to handle NULL at 12 in vc4_bind", fault="KERNEL", first_line=7, text=("Oops", "pc"))
WARNING = finding("warning", "WARNING in foo", fault="KERNEL", severity="warning")
CARD = finding("mmc-error", "mmc0: error -110", fault="LAB")
MODULES, BOOTS = "tests_hw/test_checks.py::test_check[modules_load]", "tests_hw/test_boot.py::test_boots_to_login"


def record(name: str, *findings: Finding, **tests: str) -> RunRecord:
    """Return a run with that verdict; *tests*: ``modules`` and ``boots``, an outcome each."""
    ids = {"modules": MODULES, "boots": BOOTS}
    cases = [
        CaseRecord(ids[key], outcome, 1.0, "it failed\nin two lines", blame="KERNEL" if outcome == "failed" else "")
        for key, outcome in tests.items()
    ]
    boot = BootRecord("pi", {"login": 9.0}, True, "", findings, Path("console.log"), 1)
    return RunRecord("r", "pi", "now", boots=(boot,), tests=tuple(cases), verdict=Verdict(VerdictName(name), "why"))


VERDICT, CHECK, SIGNATURE = Symptom(), Symptom("check", "modules_load"), Symptom("signature", "IN VC4")


@pytest.mark.parametrize("symptom", [VERDICT, CHECK, SIGNATURE])
@pytest.mark.parametrize(("name", "vote"), [("BUILD", "skip"), ("LAB", "again"), ("DEPLOY", "again")])
def test_whatever_is_asked_for_build_bench_and_deploy_do_not_vote(symptom: Symptom, name: str, vote: str) -> None:
    assert votes.judge(symptom, record(name, OOPS, modules="failed", boots="failed")).vote == vote


@pytest.mark.parametrize(
    ("symptom", "run", "vote"),
    [
        (VERDICT, record("PASS"), "good"),
        (VERDICT, record("KERNEL", OOPS), "bad"),
        (VERDICT, record("INCONCLUSIVE", OOPS), "again"),
        (CHECK, record("PASS", modules="passed"), "good"),
        (CHECK, record("KERNEL", modules="failed"), "bad"),
        (CHECK, record("KERNEL", OOPS, modules="passed", boots="failed"), "good"),
        (CHECK, record("KERNEL", OOPS, modules="error", boots="failed"), "again"),
        (CHECK, record("KERNEL", OOPS, boots="failed"), "again"),
        (CHECK, record("KERNEL", boots="failed"), "again"),
        (CHECK, record("PASS", modules="skipped"), "skip"),
        (CHECK, record("INCONCLUSIVE", modules="error"), "again"),
        (CHECK, record("INCONCLUSIVE", OOPS, CARD, modules="failed"), "again"),
        (SIGNATURE, record("PASS"), "good"),
        (SIGNATURE, record("KERNEL", OOPS), "bad"),
        (SIGNATURE, record("KERNEL", WARNING), "again"),
        (SIGNATURE, record("INCONCLUSIVE", OOPS, CARD), "again"),
    ],
)
def test_only_the_symptom_that_was_asked_for_votes(symptom: Symptom, run: RunRecord, vote: str) -> None:
    assert votes.judge(symptom, run).vote == vote


def test_what_the_good_commit_does_as_well_is_no_other_symptom() -> None:
    usual = Known(votes.symptoms(record("KERNEL", WARNING)))
    assert votes.judge(SIGNATURE, record("KERNEL", WARNING), usual).vote == "good"
    assert votes.judge(SIGNATURE, record("KERNEL", WARNING, OOPS), usual).vote == "bad"


def test_what_did_not_come_to_its_login_is_not_as_usual() -> None:
    """It may have ended before it could say it."""
    run = record("KERNEL", WARNING)
    ended = attrs.evolve(run, boots=(attrs.evolve(run.boots[0], reached=False),))
    assert votes.judge(SIGNATURE, ended, Known(votes.symptoms(ended))).vote == "again"


@pytest.mark.parametrize("symptom", [VERDICT, CHECK, SIGNATURE])
def test_another_symptom_than_bads_never_votes(symptom: Symptom) -> None:
    other, bad = record("KERNEL", WARNING, boots="failed"), frozenset({OOPS.signature})
    assert votes.judge(symptom, other, Known(bad=bad)).vote == "again"
    assert votes.judge(symptom, other, Known(bad=bad, before=votes.marks(other))).vote == "skip"


def test_a_symptom_like_bads_counts_at_once() -> None:
    assert votes.judge(VERDICT, record("KERNEL", OOPS, WARNING), Known(bad=frozenset({OOPS.signature}))).vote == "bad"


def test_a_control_boot_says_nothing_about_the_kernel() -> None:
    run = record("KERNEL", OOPS)
    control = attrs.evolve(run.boots[0], control=True)
    assert votes.judge(SIGNATURE, attrs.evolve(run, boots=(control,))).vote != "bad"


@pytest.mark.parametrize("symptom", [CHECK, SIGNATURE])
def test_a_run_that_was_ended_before_its_end_may_be_bad_but_never_good(symptom: Symptom) -> None:
    """A check may stand for several tests, and those that were still to come might have failed."""
    good = record("INCONCLUSIVE", modules="passed"), record("KERNEL", modules="passed")
    assert {votes.judge(symptom, attrs.evolve(run, interrupted=True)).vote for run in good} == {"again"}
    bad = record("KERNEL", OOPS, modules="failed")
    assert votes.judge(symptom, attrs.evolve(bad, interrupted=True)).vote == "bad"


def test_no_record_and_no_verdict_are_asked_again() -> None:
    assert votes.judge(VERDICT, None).vote == "again"
    assert votes.judge(VERDICT, attrs.evolve(record("PASS"), verdict=None)).bench


def test_the_symptom_is_where_the_gravest_finding_stands() -> None:
    judged = votes.judge(VERDICT, record("KERNEL", WARNING, OOPS))
    assert judged.finding == OOPS


@pytest.mark.parametrize("word", [MODULES, "test_check[modules_load]", "test_check", "modules_load"])
def test_a_test_is_named_by_its_node_id_its_function_or_the_check(word: str) -> None:
    assert votes.named(CaseRecord(MODULES, "passed", 1.0), word)
    assert not votes.named(CaseRecord(BOOTS, "passed", 1.0), word)
