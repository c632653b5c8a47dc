"""The frozen values that travel between the stages of a run; no behaviour beyond naming their own parts."""

import enum
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

import attrs

STAGES = ("firmware", "kernel", "rootfs", "init", "login")
"""Boot stages in the order in which a healthy boot passes them."""


# --- choose ----------------------------------------------------------------------------------------------------------
@attrs.frozen
class QemuProfile:
    """What QEMU offers for a board model."""

    machine: str
    """``-M`` value, e.g. ``raspi3b``."""
    memory: str
    """Fixed by the machine, e.g. ``1G``."""
    features: frozenset[str] = frozenset()
    """What of a real board's it emulates: a virtual board has these instead of its model's."""


@attrs.frozen
class FirmwareHistory:
    """What a board needed of config.txt while its firmware was young; dates are ISO dates of the firmware's build."""

    armstub: str
    """The stub that older firmware must be given, e.g. ``armstub8-gic.bin``."""
    armstub_until: str
    """From this date on the firmware brings it itself."""
    armstub_config: tuple[str, ...]
    """Lines for config.txt that go with the stub."""
    arm_64bit_since: str
    """From this date on ``arm_64bit=1`` is the default, as ``BoardProfile.arm_64bit`` says."""
    total_mem_mib: int
    """Memory that kernels of that time could use."""
    total_mem_kernels: str
    """The last kernel series that was so, e.g. ``4.19``."""


@attrs.frozen
class BoardProfile:
    """What is common to all boards of one model; read from ``harness/boards/<name>.toml``."""

    name: str
    """File name, e.g. ``rpi-3-b``."""
    title: str
    """As printed on the box, e.g. ``Raspberry Pi 3 Model B``."""
    soc: str
    """``bcm2837`` or ``bcm2711``."""
    revision: int
    """Revision code as the firmware reports it, e.g. 0xa02082."""
    config_filters: frozenset[str]
    """Sections of config.txt this board answers to, e.g. {"pi3"}; ``all`` is implied."""
    start_elf: tuple[str, ...]
    """Firmware files of which one must lie on the boot partition, in the order in which they are tried."""
    arm_64bit: bool
    """Whether the firmware starts 64-bit kernels without ``arm_64bit=1``."""
    kernel_64: tuple[str, ...]
    """Kernel names looked for with ``arm_64bit=1``, in order."""
    kernel_32: tuple[str, ...]
    """Kernel names looked for with ``arm_64bit=0``, in order."""
    dtbs: tuple[str, ...]
    """DTB file names, downstream name first, then the upstream name."""
    defconfig: str
    """In a Raspberry Pi kernel tree, e.g. ``bcm2711_defconfig``."""
    mini_uart_primary: bool
    """Whether ``serial0`` is the mini-UART (ttyS0) unless an overlay swaps it for the PL011 (ttyAMA0)."""
    features: frozenset[str] = frozenset()
    """What every real board of the model has, e.g. {"ethernet", "wifi"}; targets add their own in lab.yaml."""
    qemu: QemuProfile | None = None
    """None where QEMU has no such machine."""
    history: FirmwareHistory | None = None
    """None where the oldest firmware for the board does already what today's does."""


# --- build -----------------------------------------------------------------------------------------------------------
@attrs.frozen
class KernelSource:
    """A kernel tree, ready to build out of tree."""

    path: Path
    flavour: str
    """``raspberrypi`` (has ``bcm2711_defconfig``) or ``mainline``."""
    version: str
    """VERSION.PATCHLEVEL.SUBLEVEL EXTRAVERSION of the Makefile."""
    origin: str
    """Where it came from, for people, e.g. ``package linux-source-6.12 6.12.117-1~deb12u1``."""
    digest: str
    """Hex digest that changes whenever the content does."""
    commit: str | None = None
    """Git SHA; None outside git."""
    dirty: bool = False
    """Whether the tree differs from *commit*."""
    epoch: int = 0
    """Seconds since 1970 of the commit, or of the Makefile; the kernel says it was built then."""
    branch: str = ""
    """Of a git work tree; empty outside git, for a detached HEAD, and where a ref was asked for."""


def _words(words: Iterable[str]) -> tuple[str, ...]:
    """JSON has lists; values have tuples."""
    return tuple(words)


@attrs.frozen
class Toolchain:
    """A compiler family and how to call it."""

    name: str
    cross_prefix: str
    """E.g. ``aarch64-linux-gnu-``; may be an absolute path."""
    version: str
    """First line of ``gcc --version``."""
    digest: str
    """Changes with what the compiler says of itself, with its linker, and with the driver's bytes."""
    target: str = ""
    """What the compiler compiles for, e.g. ``aarch64-linux-gnu``."""
    driver_sha256: str = ""
    """Of the compiler's own file."""
    make: tuple[str, ...] = attrs.field(default=(), converter=_words)
    """Variables for the kernel's make beside ``CROSS_COMPILE``, e.g. ``LLVM=1``."""
    compiler: str = attrs.Factory(lambda self: f"{self.cross_prefix}gcc", takes_self=True)
    """The C compiler, as make would call it."""
    host_compiler: str = "gcc"
    """What compiles the kernel's own tools."""


@attrs.frozen
class CacheUse:
    """How many objects of one build ccache had already."""

    hits: int
    misses: int
    remote: int = 0
    """How many of the hits came from ``CCACHE_REMOTE_STORAGE``."""

    @property
    def rate(self) -> float:
        """Share of the objects that need not be compiled, 0 to 1."""
        return self.hits / (self.hits + self.misses) if self.hits + self.misses else 0.0


@attrs.frozen
class KernelBuild:
    """What a build leaves; every path exists and is complete."""

    release: str
    """``include/config/kernel.release``: what ``uname -r`` must say."""
    build_id: str
    """GNU build id of vmlinux, hex; what ``/sys/kernel/notes`` of the running kernel holds."""
    image: Path
    dtbs: tuple[Path, ...]
    overlays: tuple[Path, ...]
    """``.dtbo`` files and the overlays' README; empty for a mainline tree."""
    modules_root: Path
    """Holds ``lib/modules/<release>``, without depmod's files."""
    modules: tuple[str, ...]
    """Names of the modules built, as ``modprobe`` takes them, sorted."""
    config: Path
    log: Path
    key: str
    """Digest of all inputs."""
    source: KernelSource
    toolchain: Toolchain
    base_config: str
    """``bcm2711_defconfig``, ``allnoconfig`` ..."""
    fragments: tuple[str, ...]
    seconds: float
    """Wall time of the build; 0 when the artifacts were there."""
    cached: bool
    ccache: CacheUse | None = None
    """None where ccache is not installed, or had nothing to do."""
    warnings: int = 0
    """Of compiler, linker, modpost and dtc, each counted once; what was not compiled again counts as before."""
    new_warnings: tuple[str, ...] = ()
    """Those that the last good build of the same configuration did not have."""
    initramfs: Path | None = None
    """Loads what the kernel needs to mount its root filesystem; None where all of that is built in."""


# --- base image ------------------------------------------------------------------------------------------------------
@attrs.frozen
class BaseImage:
    """A raw card image with a system on it; never written to, only copied."""

    path: Path
    boot_offset: int
    """Byte where the FAT boot partition starts."""
    boot_number: int
    """As Linux counts: 1 for ``mmcblk0p1``."""
    root_offset: int
    """Byte where the ext4 root filesystem starts."""
    root_number: int
    userland_bits: int
    """32 or 64: the word size of the programs on it, whatever the kernel's."""
    digest: str
    """Changes whenever the content does."""
    origin: str
    """Where it came from, for people, e.g. ``Debian bookworm armhf``."""


# --- compose and deploy ----------------------------------------------------------------------------------------------
@attrs.frozen
class BootFile:
    """One file for the boot partition: its bytes are *data*, or lie in *source*."""

    path: PurePosixPath
    """Relative to the root of the boot partition."""
    data: bytes | None = None
    source: Path | None = None

    def __attrs_post_init__(self) -> None:
        if (self.data is None) == (self.source is None):
            raise ValueError(f"{self.path}: its bytes are given, or lie in a file, not both")

    def read(self) -> bytes:
        """Return the content."""
        if self.data is not None:
            return self.data
        assert self.source is not None
        return self.source.read_bytes()


@attrs.frozen
class BootFiles:
    """All that a deploy method writes: boot partition files and one module tree."""

    files: tuple[BootFile, ...]
    release: str
    modules_root: Path
    """Holds ``lib/modules/<release>``; with depmod's files when the host runs depmod."""
    layout: str
    """``side-by-side`` (own os_prefix directory) or ``in-place`` (as the guide does)."""
    os_prefix: str
    """E.g. ``pi64/``; empty for in-place."""
    remarks: tuple[str, ...] = ()
    """What the age of the firmware asked for, or did not, and why; for people."""


@attrs.frozen
class Manifest:
    """What a deploy left on the medium: path -> SHA-256, and what of it had to be written."""

    boot: Mapping[str, str]
    modules: Mapping[str, str]
    """Relative to the root filesystem."""
    written: tuple[str, ...]
    seconds: float


# --- boot and ask ----------------------------------------------------------------------------------------------------
@attrs.frozen
class Deadlines:
    """Seconds from power-on to the first line of each stage, at most, and how long a board may be silent."""

    shutdown: float = 180.0
    """After ``reboot``, until the new system's first line; systemd alone gives a stubborn service 90 s."""
    firmware: float = 30.0
    kernel: float = 60.0
    rootfs: float = 120.0
    init: float = 150.0
    login: float = 300.0
    silence: float = 90.0


@attrs.frozen
class Account:
    """Who logs in; the password is not shown by ``repr``."""

    user: str
    password: str = attrs.field(repr=False)


@attrs.frozen
class Finding:
    """One objection with its evidence."""

    kind: str
    """E.g. ``panic``, ``oops``, ``warning``, ``root-missing``, ``under-voltage``."""
    message: str
    severity: str
    """``fatal`` ends a boot, ``error`` fails a run, ``warning`` fails it too, ``info`` does not."""
    fault: str
    """Verdict this finding alone would lead to: ``KERNEL``, ``DEPLOY``, ``LAB``."""
    signature: str
    """Kind and message without numbers and addresses: equal for the same problem in two runs."""
    first_line: int
    """1-based line number in the console log (or in the command's output)."""
    last_line: int
    text: tuple[str, ...]


@attrs.frozen
class BootRecord:
    """One attempt to boot; a boot that failed is a value until a test judges it."""

    target: str
    stages: Mapping[str, float]
    """Boot stage -> seconds from power-on (or reset) to its first line; only those reached."""
    reached: bool
    """Whether the login prompt came."""
    reason: str
    """Why it stopped; empty when *reached*."""
    findings: tuple[Finding, ...]
    log: Path
    first_line: int
    """Line of *log* where this boot starts, 1-based."""
    tail: tuple[str, ...] = ()
    """The last lines before it stopped."""
    control: bool = False
    """Whether the known-good kernel booted here: that tells about the bench, not about the kernel under test."""
    release: str = ""
    """Of the known-good kernel, in a control boot."""

    @property
    def last_stage(self) -> str:
        """The last boot stage reached, or ``none``."""
        return next((stage for stage in reversed(STAGES) if stage in self.stages), "none")


@attrs.frozen
class CommandResult:
    """A command executed exactly once on the target."""

    command: str
    output: str
    """Exact standard output and error, interleaved as the shell wrote them; no trailing newline is added or removed."""
    status: int
    seconds: float


@attrs.frozen
class Measurement:
    """A number that a test found out."""

    name: str
    """E.g. ``ethernet.throughput``."""
    value: float
    unit: str
    limit: float | None = None
    """What it is held to; None: told, not judged."""
    test: str = ""
    """Node id."""


# --- judge -----------------------------------------------------------------------------------------------------------
class VerdictName(enum.StrEnum):
    """Whose fault it was."""

    PASS = "PASS"  # noqa: S105
    KERNEL = "KERNEL"
    DEPLOY = "DEPLOY"
    LAB = "LAB"
    BUILD = "BUILD"
    INCONCLUSIVE = "INCONCLUSIVE"


@attrs.frozen
class Verdict:
    """One verdict with the lines that prove it and the rule that decided."""

    name: VerdictName
    rule: str
    evidence: tuple[str, ...] = ()


@attrs.frozen
class AttemptRecord:
    """One of several attempts at a test, which was repeated because the bench had failed."""

    test: str
    """Node id."""
    number: int
    """1-based."""
    verdict: VerdictName
    """Of what this attempt alone brought."""
    rule: str
    evidence: tuple[str, ...] = ()
    first_boot: int = 0
    """1-based number of its first boot among the run's; 0 when it booted nothing."""
    last_boot: int = 0
    set_aside: bool = False
    """Whether another attempt followed: the run is judged without what this one brought."""
    findings: tuple[Finding, ...] = ()
    """Of the test; those of its boots are with the boots."""
