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


# --- whose fault it was ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("line", "fact"),
    [
        ("collect2: fatal error: ld terminated with signal 9 [Killed]", "not enough memory"),
        ("make[4]: *** [scripts/Makefile.build:229: mm/slub.o] Killed", "not enough memory"),
        ("clang: error: unable to execute command: Killed", "not enough memory"),
        ("cc1: out of memory allocating 65536 bytes after a total of 1 bytes", "not enough memory"),
        ("/bin/sh: 1: cannot create fs/.ext4.o.d: Disk quota exceeded", "the disk is full"),
        ("make[2]: *** [Makefile:1: Image] Error 153", "the disk is full"),  # 128 + SIGXFSZ: `ulimit -f`
        ("File size limit exceeded (core dumped)", "the disk is full"),
        ("/bin/sh: 1: fork: Resource temporarily unavailable", "out of processes"),
        ("/bin/sh: 1: cannot create include/x.h: Permission denied", "cannot be written"),
        ("/bin/sh: 5: aarch64-linux-gnu-ld: not found", "`aarch64-linux-gnu-ld` is missing"),
        ("/usr/lib/pi64/ccache.sh: 20: exec: ccache: not found", "`ccache` is missing"),
        (
            'ccache: error: Could not find compiler "aarch64-linux-gnu-gcc" in PATH',
            "`aarch64-linux-gnu-gcc` is missing",
        ),
        (
            "scripts/Kconfig.include:39: C compiler 'sh /x/ccache.sh aarch64-linux-gnu-gcc' not found",
            "`aarch64-linux-gnu-gcc` is missing",
        ),
    ],
)
def test_more_of_what_the_bench_may_lack(line: str, fact: str) -> None:
    error = told(f"  CC      a.o\n{line}\n{COMPILE}")
    assert isinstance(error, LabError)
    assert fact in error.message


@pytest.mark.parametrize(
    "line",
    [
        '  211 |         pr_err("No space left on device");',
        "fs/x.c:3:1: warning: format `%s`: Cannot allocate memory [-Wformat]",
        "fs/x.c:9:2: note: `Killed signal terminated` declared here",
    ],
)
def test_source_that_the_compiler_quotes_is_not_the_benchs_word(line: str) -> None:
    assert isinstance(told(f"{line}\n{COMPILE}"), BuildError)


def test_a_make_that_was_killed_is_no_verdict_on_the_tree() -> None:
    error = diagnose.failure("  CC      a.o\n", what="linux", status=-9, hint="")
    assert isinstance(error, LabError)
    assert "make was ended by SIGKILL" in error.message


def test_colours_of_the_compiler_do_not_hide_the_error() -> None:
    coloured = "\x1b[01m\x1b[Kkernel/fork.c:12:5:\x1b[m\x1b[K \x1b[01;31m\x1b[Kerror: \x1b[m\x1b[K'penguin' undeclared"
    assert told(coloured).message == "linux: kernel/fork.c:12:5: error: 'penguin' undeclared"


# --- warnings --------------------------------------------------------------------------------------------------------
WARNED = """\
  CC      kernel/fork.o
/src/linux/kernel/fork.c:12:5: warning: unused variable 'penguin' [-Wunused-variable]
   12 |     int penguin;
source/kernel/fork.c:14:5: warning: unused variable 'penguin' [-Wunused-variable]
In file included from ./include/linux/mm.h:3,
./include/linux/x.h:3:2: warning: #warning old [-Wcpp]
  DTC     arch/arm64/boot/dts/broadcom/a.dtb
arch/arm64/boot/dts/broadcom/a.dts:12.3-14: Warning (unit_address_vs_reg): /soc: node has a unit name
WARNING: modpost: missing MODULE_DESCRIPTION() in lib/x.o
aarch64-linux-gnu-ld: warning: orphan section `.x'
  CC [M]  drivers/net/dummy.o
"""


def test_a_warning_counts_once_wherever_the_tree_lies_and_whatever_its_line() -> None:
    assert diagnose.warnings(WARNED, tree="/src/linux") == [
        "kernel/fork.c: warning: unused variable 'penguin' [-Wunused-variable]",
        "include/linux/x.h: warning: #warning old [-Wcpp]",
        "arch/arm64/boot/dts/broadcom/a.dts: Warning (unit_address_vs_reg): /soc: node has a unit name",
        "WARNING: modpost: missing MODULE_DESCRIPTION() in lib/x.o",
        "aarch64-linux-gnu-ld: warning: orphan section `.x'",
    ]


def test_what_was_not_compiled_again_complains_as_before() -> None:
    done = diagnose.compiled(WARNED)
    assert done == {"kernel/fork", "arch/arm64/boot/dts/broadcom/a", "drivers/net/dummy"}
    assert diagnose.still(["kernel/fork.c: warning: x", "mm/slub.c: warning: y"], done) == ["mm/slub.c: warning: y"]
