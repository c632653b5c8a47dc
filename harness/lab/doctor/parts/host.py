"""The programs that this bench needs are on the host, and new enough."""

import re
from collections.abc import Callable, Iterator

import attrs

from harness import host
from harness.deadline import within
from harness.errors import LabError
from harness.lab.doctor.answer import Answer, fault, ok
from harness.lab.doctor.bench import Bench

ORDER = 20
ASK_S = 10.0  # for one program's version; a busy host loads QEMU for a second

_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)*")


@attrs.frozen
class Need:
    """Programs for one purpose."""

    purpose: str
    programs: tuple[str, ...]
    when: Callable[[Bench], bool] = lambda _: True
    """Whether this bench has that purpose; asked only when there is a target."""
    told: tuple[str, ...] = ()
    """Those whose version is told: ``--version`` is known to all of them."""


# fmt: off
NEEDS = (
    Need("building a kernel", ("make", "gcc", "bc", "bison", "flex", "openssl"), told=("make", "gcc")),
    Need("cross-compiling", ("aarch64-linux-gnu-gcc",), lambda bench: bench.options.kernel.toolchain == "system",
         told=("aarch64-linux-gnu-gcc",)),
    Need("modules", ("depmod",), lambda bench: bench.options.depmod == "host", told=("depmod",)),
    Need("cards and images",
         ("mcopy", "mdeltree", "mmd", "mmove", "debugfs", "e2fsck", "mke2fs", "mkfs.vfat", "sfdisk"),
         told=("mcopy", "sfdisk")),
    Need("making the base image", ("mmdebstrap", "fakeroot", "qemu-arm-static"),
         lambda bench: bench.options.image.file is None, told=("mmdebstrap", "qemu-arm-static")),
)
# fmt: on
MUX_TOOLS = {"USBSDMuxDriver": "usbsdmux", "USBSDWireDriver": "sd-mux-ctrl", "USBSDWire3Driver": "sdwire"}
"""labgrid driver -> the program that it runs."""
FROM_PYPI = frozenset({"usbsdmux"})


def look(bench: Bench) -> Iterator[Answer]:
    """Find the programs, and ask some for their versions."""
    for need in NEEDS:
        if not bench.has_target or need.when(bench):
            missing = [program for program in need.programs if not _there(program)]
            yield from judge(need, missing, [_version(program) for program in need.told if program not in missing])
    if bench.has_target:
        yield from _of_target(bench)


def judge(need: Need, missing: list[str], versions: list[str]) -> Iterator[Answer]:
    """Judge one purpose: *missing* are those of its programs that are not there."""
    for program in missing:
        yield fault(program, f"is not on this host; needed for {need.purpose}", remedy(program))
    if not missing:
        rest = len(need.programs) - len(need.told)
        more = f", and {rest} more" if rest else ""
        yield ok(need.purpose, ", ".join(versions) + more)


def judge_qemu(version: str, machines: str, machine: str) -> Answer:
    """Judge QEMU by the list of *machines* that it prints: raspi4b came with version 9."""
    if re.search(rf"^{re.escape(machine)}\b", machines, re.MULTILINE):
        return ok("virtual boards", f"{version} with {machine}")
    remedy = "put QEMU 9 or newer into PATH; on Debian 12 `make setup` takes it from backports"
    return fault("virtual boards", f"{version} has no machine {machine}", remedy)


def remedy(program: str) -> str:
    """Return how *program* gets onto a host."""
    if program in FROM_PYPI:
        return f"`pip install {program}` into the environment in which the tests run"
    package = host.PACKAGES.get(program)
    return f"apt-get install {package}, or `make setup`" if package else "install it, or name its path under `tools:`"


def _of_target(bench: Bench) -> Iterator[Answer]:
    asked = bench.asked("drivers")
    if "VirtualPiDriver" in asked:
        program = "qemu-system-aarch64"
        if not _there(program):
            yield fault(program, "is not on this host; needed for the virtual board", remedy(program))
        elif bench.profile.qemu:
            yield judge_qemu(_version(program), _say(program, "-M", "help"), bench.profile.qemu.machine)
    for driver in asked.intersection(MUX_TOOLS):
        program = bench.tool(MUX_TOOLS[driver])
        if _there(program):
            yield ok(program, f"is there, for the {driver}")
        else:
            yield fault(program, f"is not on this host; the {driver} runs it", remedy(MUX_TOOLS[driver]))


def _there(program: str) -> bool:
    try:
        host.find(program)
    except LabError:
        return False
    return True


def _version(program: str) -> str:
    found = _VERSION.search(_say(program, "--version"))
    return f"{program} {found[0]}" if found else program


def _say(program: str, *words: str) -> str:
    """Return what a program says of itself; nothing when it does not say it in time."""
    try:
        said = within(ASK_S, lambda: host.run([program, *words], accept=range(256)), f"`{program} {' '.join(words)}`")
    except (LabError, OSError):
        return ""
    return said.decode(errors="replace")
