import pytest

from harness.build import diagnose
from harness.errors import BuildError, LabError, Pi64Error

COMPILE = """\
  CC      kernel/fork.o
kernel/fork.c: In function 'fork':
kernel/fork.c:12:5: error: 'penguin' undeclared (first use in this function)
   12 |     penguin++;
      |     ^~~~~~~
  CC      mm/slab.o
make[3]: *** [scripts/Makefile.build:229: kernel/fork.o] Error 1
make[2]: *** [scripts/Makefile.build:478: kernel] Error 2
"""


def told(log: str) -> Pi64Error:
    return diagnose.failure(log, what="linux", status=2, hint="full log: x")


def test_the_first_compiler_error_is_the_message() -> None:
    error = told(COMPILE)
    assert isinstance(error, BuildError)
    assert error.message == "linux: kernel/fork.c:12:5: error: 'penguin' undeclared (first use in this function)"


def test_the_evidence_has_the_lines_after_the_error_and_the_end_of_the_log() -> None:
    evidence = told(COMPILE).evidence
    assert "   12 |     penguin++;" in evidence
    assert evidence[-1] == "make[2]: *** [scripts/Makefile.build:478: kernel] Error 2"


@pytest.mark.parametrize(
    ("line", "fact", "remedy"),
    [
        ("/tmp/cc.s: Fatal error: x.o: No space left on device", "the disk is full", "PI64_CACHE"),
        ("aarch64-linux-gnu-gcc: fatal error: Killed signal terminated program cc1", "not enough memory", "fewer jobs"),
        ("cc1: virtual memory exhausted: Cannot allocate memory", "not enough memory", "fewer jobs"),
        ("/bin/sh: 1: bison: not found", "`bison` is missing", "apt-get install bison"),
        ("/bin/sh: line 1: bc: command not found", "`bc` is missing", "apt-get install bc"),
        ("make[2]: flex: No such file or directory", "`flex` is missing", "apt-get install flex"),
        ("sign-file.c:25:10: fatal error: openssl/opensslv.h: No such file or directory", "OpenSSL", "libssl-dev"),
    ],
)
def test_what_the_bench_lacks_is_not_blamed_on_the_kernel(line: str, fact: str, remedy: str) -> None:
    error = told(f"  CC      a.o\n{line}\n{COMPILE}")
    assert isinstance(error, LabError)
    assert fact in error.message
    assert remedy in error.hint
    assert error.evidence == (line,)


@pytest.mark.parametrize(
    "line",
    [
        "drivers/foo/Kconfig:3: syntax error",
        "Error: arch/arm64/boot/dts/broadcom/x.dts:12.3-14 syntax error",
        'ERROR: modpost: "frob" [drivers/net/dummy.ko] undefined!',
        "aarch64-linux-gnu-ld: fork.c:(.text+0x10): undefined reference to `frob'",
        "kernel/fork.c:3:10: fatal error: linux/nosuch.h: No such file or directory",
    ],
)
def test_errors_of_every_tool_are_recognised(line: str) -> None:
    assert line in told(f"  CC      a.o\n{line}\nmake: *** [Makefile:1: x] Error 1\n").message


def test_a_log_without_any_known_error_gives_its_last_lines() -> None:
    error = told("one\ntwo\n")
    assert error.message == "linux: make returned 2"
    assert error.evidence == ("one", "two")
