"""What a record says to the history: above all, that the bench never speaks for or against a kernel."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightrecords import OOPS, SAGGING, boot, case, night, spoilt

from harness.errors import UsageError
from harness.model import Verdict, VerdictName
from harness.nightly import facts

OUTCOMES = st.sampled_from(sorted(facts.LETTERS))
BLAMES = st.sampled_from(["", "KERNEL", "DEPLOY", "LAB", "BUILD", "INCONCLUSIVE"])
VERDICTS = st.sampled_from([None, *VerdictName])


def good(outcome: str, blame: str, verdict: VerdictName | None) -> bool | None:
    told = Verdict(verdict, "rule") if verdict else None
    record = attrs.evolve(night(1), tests=(case("test_x", outcome, blame),), verdict=told)
    return {one.test: one.good for one in facts.outcomes(record)}["test_x"]


@given(OUTCOMES, BLAMES, VERDICTS)
def test_only_the_kernel_and_what_was_deployed_can_be_bad(outcome, blame, verdict) -> None:
    if good(outcome, blame, verdict) is False:
        assert blame in {"KERNEL", "DEPLOY", ""}
        assert verdict not in {None, VerdictName.LAB, VerdictName.INCONCLUSIVE}
        assert outcome in {"failed", "error"}


@given(OUTCOMES, BLAMES)
def test_where_the_bench_failed_nothing_is_good_either(outcome, blame) -> None:
    assert good(outcome, blame, VerdictName.LAB) is None
    assert good(outcome, blame, None) is None


@given(BLAMES, st.sampled_from([name for name in VerdictName if name is not VerdictName.LAB]))
def test_what_passed_is_good_though_something_else_did_not(blame, verdict) -> None:
    assert good("passed", blame, verdict) is True


@pytest.mark.parametrize("outcome", ["skipped", "retried", "xfailed"])
def test_what_was_not_answered_says_nothing(outcome) -> None:
    assert good(outcome, "", VerdictName.PASS) is None


def test_a_control_boot_that_fails_silences_the_run() -> None:
    record = night(1, "KERNEL", boots=(boot(), boot(control=True, reached=False)))
    assert facts.control_failed(record) == "6.1-good: 60 s without a byte"
    assert not any(one.good for one in facts.outcomes(record) if one.test != facts.BUILD)


def test_a_teardown_that_fails_spoils_its_test() -> None:
    record = night(1, "LAB", tests={})
    record = attrs.evolve(record, tests=(case("t"), case("t", "error", "KERNEL")), verdict=Verdict("KERNEL", ""))
    (_, one) = facts.outcomes(record)
    assert (one.good, one.outcome, one.seconds) == (False, "error", 1.0)


def test_the_build_has_an_outcome_of_its_own() -> None:
    broken = night(1, "BUILD", tests={"t": "error"}, release="", build_key="")
    broken = attrs.evolve(broken, verdict=Verdict(VerdictName.BUILD, "the build failed", ("drivers/x.c:1: error",)))
    built, failed = facts.outcomes(night(1))[0], facts.outcomes(broken)[0]
    assert (built.test, built.good) == (facts.BUILD, True)
    assert (failed.test, failed.good, failed.headline) == (facts.BUILD, False, "drivers/x.c:1: error")


def test_of_a_failed_assertion_the_line_that_says_so_is_kept() -> None:
    message = "def test_x():\n>       assert 1 == 2\nE       assert 1 == 2\n\ntests_hw/test_x.py:3: AssertionError"
    record = attrs.evolve(night(1), tests=(attrs.evolve(case("t", "failed"), message=message),))
    assert facts.outcomes(record)[-1].headline == "assert 1 == 2"


def test_what_was_set_aside_and_what_the_control_kernel_said_is_no_sighting() -> None:
    boots = (boot(findings=[SAGGING]), boot(findings=[OOPS, OOPS]), boot(control=True, findings=[SAGGING]))
    record = night(1, boots=boots, attempts=(spoilt("t", 1),))
    assert [(seen.finding.kind, seen.times) for seen in facts.sightings(record)] == [("oops", 2)]
    assert [each.set_aside for each in facts.boots(record)] == [True, False, False]


@pytest.mark.parametrize(
    ("stamp", "seconds"), [("2026-01-02T03:04:05Z", 1767323045), ("2026-01-02T03:04:05", 1767323045)]
)
def test_a_time_without_a_zone_is_utc(stamp, seconds) -> None:
    assert facts.started(attrs.evolve(night(1), started=stamp)) == seconds


@pytest.mark.parametrize("stamp", ["", "yesterday", "2026-13-01T00:00:00Z"])
def test_a_record_without_a_time_is_refused(stamp) -> None:
    with pytest.raises(UsageError, match="no time"):
        facts.started(attrs.evolve(night(1), started=stamp))


def test_a_configuration_is_what_was_asked_for_whether_or_not_it_built() -> None:
    assert facts.configuration(night(1)) == ("", ("smoke",))
    assert facts.configuration(night(1, "BUILD", release="", base_config="")) == ("", ("smoke",))
    assert facts.configuration(night(1, asked={})) == ("bcm2711_defconfig", ("smoke",))
    assert facts.configuration(night(1, asked={"kernel": {"prebuilt": ["x.deb"], "config": "x"}})) == ("", ())
