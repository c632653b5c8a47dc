"""What the kernel complains about is lost in no phase of a test, and a full disk takes no verdict away."""

import fakekernel
import pytest
from pluginbench import BOOTS

pytest_plugins = ["pytester", "pluginfixtures"]

SAYING = """
import time
import pytest

@pytest.fixture(scope="session")
def say(boot, dut):
    def put(text, wait=True):
        # The tiny kernel echoes what is typed: so it says what we want to hear.
        position = dut.recorder.position
        dut.console.write((text + "\\n").encode())
        while wait and text.encode() not in dut.recorder.read(position, timeout=1):
            pass
    return put

BUG = "BUG: scheduling while atomic: swaaaa/0/0x00000002"
"""
SETUP = f"""{SAYING}
@pytest.fixture
def loud(say):
    say(BUG)

def test_one(boot):
    pass

def test_two(loud):
    pass

def test_three(boot):
    pass
"""
TEARDOWN = f"""{SAYING}
@pytest.fixture
def loud(say):
    yield
    say(BUG)

def test_one(loud):
    pass

@pytest.mark.skipif("not config.option.verbose")
def test_two(boot):
    pass
"""
ENDINGS = f"""{SAYING}
from harness.errors import CheckFailed
from harness.verdict.findings import finding

def test_ends(say):
    say(BUG)
    @@
"""


@pytest.fixture
def loud(bench):
    bench.kernel(fakekernel.text("@RELEASE@"), then="keys")
    return bench


def kinds(bench) -> list[str]:
    return [found["kind"] for found in bench.record["findings"]]


def test_a_complaint_during_the_set_up_fails_the_test_that_asked_for_it(loud) -> None:
    result = loud.run(SETUP, "-v")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*test_two FAILED*", "*the kernel complained during the set-up of test_two: BUG: *"])
    assert (loud.record["verdict"]["name"], kinds(loud)) == ("KERNEL", ["bug"])


@pytest.mark.parametrize("args", [[], ["-v"]], ids=["last test", "before another test"])
def test_a_complaint_after_a_test_is_in_the_verdict_and_is_nobody_elses_failure(loud, args) -> None:
    result = loud.run(TEARDOWN, *args)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "failed" not in result.parseoutcomes()
    assert (loud.record["verdict"]["name"], kinds(loud)) == ("KERNEL", ["bug"])


@pytest.mark.parametrize(
    ("ending", "known"),
    [
        ("pytest.skip('no')", ["bug"]),
        ("pytest.fail('no')", ["bug"]),
        ("pytest.xfail('no')", ["bug"]),
        ("raise CheckFailed('pi', 'x', [finding('wrong-bits', 'x', fault='KERNEL')])", ["bug", "wrong-bits"]),
    ],
)
def test_a_complaint_counts_however_the_test_ends(loud, ending, known) -> None:
    loud.run(ENDINGS.replace("@@", ending))
    assert (loud.record["verdict"]["name"], kinds(loud)) == ("KERNEL", known)


FAILS = """
import pytest

@pytest.fixture(params=[1])
def something(request):
    return request.param

def test_fails(boot, something):
    with pytest.raises(ValueError):
        int(something)
"""


def test_who_says_pytest_fail_asserts_and_the_evidence_is_what_was_said(loud) -> None:
    loud.run(FAILS).assert_outcomes(failed=1)
    assert loud.record["verdict"]["name"] == "KERNEL"
    [line] = loud.record["verdict"]["evidence"]
    assert line.startswith("Failed: DID NOT RAISE")


FULL = """
import errno
import builtins
from harness import host

def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")

def pytest_runtest_teardown():
    host.write_atomic = full
    import _pytest.junitxml
    _pytest.junitxml.open = full
"""


def test_a_disk_that_is_full_is_lab_and_the_verdict_is_told(bench) -> None:
    (bench.path / "conftest.py").write_text(FULL)
    result = bench.run(BOOTS)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["verdict: LAB: the bench failed", "*record of this run cannot be written: No space left on device"]
    )
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()
    assert "Traceback" not in result.stdout.str() + result.stderr.str()


def test_a_report_that_cannot_be_written_takes_no_summary_away(bench) -> None:
    """A disk that fills up at the very end."""
    (bench.path / "conftest.py").write_text(FULL.replace("host.write_atomic = full", "pass"))
    result = bench.run(BOOTS)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["verdict: LAB: the bench failed"])
