"""What programs of the Linux Test Project say. Written after its tst_test.c and tst_res.c: no image here has LTP."""

import pytest

from harness.verdict import ltp
from harness.verdict.ltp import Entry

NEW = """tst_test.c:1741: TINFO: LTP version: 20240129
tst_test.c:1625: TINFO: Timeout per run is 0h 00m 30s
getpid01.c:35: TPASS: getpid() returns 1234
"""


@pytest.mark.parametrize(
    ("text", "status", "outcome", "said"),
    [
        (NEW, 0, "passed", ""),
        (f"{NEW}getpid01.c:36: TWARN: odd\n", 4, "passed", "TWARN: odd"),
        (f"{NEW}getpid01.c:40: TFAIL: returned 0: EINVAL (22)\n", 1, "failed", "TFAIL: returned 0: EINVAL (22)"),
        (f"{NEW}getpid01.c:40: TFAIL: returned 0\n", 0, "failed", "TFAIL: returned 0"),
        ("a.c:40: TBROK: Test killed by SIGSEGV!\n", 2, "failed", "TBROK: Test killed by SIGSEGV!"),
        ("a.c:40: TCONF: syscall(-1) not supported on your arch\n", 32, "skipped", "TCONF: syscall(-1) not supported"),
        ("a.c:40: TCONF: no btrfs\na.c:41: TPASS: ext4\n", 0, "passed", ""),
        ("getuid01    1  TPASS  :  getuid returned 0\n", 0, "passed", ""),
        ("getuid01    2  TFAIL  :  getuid01.c:50: gone wrong\n", 1, "failed", "TFAIL: getuid01.c:50: gone wrong"),
        ("a.c:40: \x1b[1;32mTPASS: \x1b[0mcoloured\n", 0, "passed", ""),
        ("a.c:40: PASS: as LTP said it in 2018\n", 0, "passed", ""),
        ("silence\n", 0, "passed", ""),
        ("silence\n", 127, "failed", "status 127"),
        ("silence\n", 139, "failed", "status 139"),
        ("silence\n", 4, "failed", "status 4"),
        (NEW, 124, "failed", "did not end in time"),
        ("", 32, "skipped", ""),
    ],
)
def test_what_is_said_and_the_status_decide(text: str, status: int, outcome: str, said: str) -> None:
    result = ltp.read(text, status)
    assert (result.outcome, result.said[: len(said)]) == (outcome, said)


def test_a_runtest_file_is_a_list_of_names_and_commands() -> None:
    text = "#DESCRIPTION: syscalls\n\nabort01 abort01\n  pan a -b 'c d'\nhalf\n$(x) y\n"
    assert ltp.entries(text) == [Entry("abort01", "abort01"), Entry("pan", "a -b 'c d'")]
