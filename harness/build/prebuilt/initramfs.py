"""An initramfs for a kernel that has the drivers of its card as modules: which it needs, and what loads them.

Not a list of names: wanted are the drivers in `SUPPLIERS` that the boards' own device trees ask for, what reads the
root filesystem, and what those depend on. ``init.c`` loads them; it is compiled here, by any aarch64 compiler.
"""

import bz2
import gzip
import hashlib
import lzma
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import attrs
import libfdt

from harness import host
from harness.build.prebuilt import modinfo
from harness.build.prebuilt.modinfo import ModInfo, canonical
from harness.errors import DeployError, LabError

SOURCE = Path(__file__).with_name("init.c")
HOSTS = "drivers/mmc/host"
SUPPLIERS = tuple(
    f"drivers/{name}"
    for name in ("clk", "dma", "firmware", "gpio", "mailbox", "pinctrl", "pmdomain", "regulator", "reset", "soc")
)
"""Without its clocks, regulators and so on the card's controller is not even probed."""
MEDIUM = ("mmc_block", "ext4")
LIBRARIES = ("arch", "crypto", "lib")
"""Where a driver's wish for an algorithm (``softdep: pre: crc32c``) is looked for among the aliases."""
NEEDED = {
    "BLK_DEV_INITRD": "it cannot load an initramfs",
    "DEVTMPFS": "nobody would make the nodes in /dev",
}
CC = ("-Os", "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector", "-fno-pic", "-no-pie")
COMPILERS = (
    ("aarch64-linux-gnu-gcc",),
    ("clang", "--target=aarch64-linux-gnu", "-fuse-ld=lld"),
)


class _Damaged(LabError, ValueError):
    """A damaged file is its author's fault, not the bench's; ValueError is what the readers pass on."""


def unzstd(data: bytes) -> bytes:
    """Unpack zstd; ValueError when *data* is damaged, LabError when this host has no zstd."""
    return host.run(["zstd", "--decompress", "--stdout"], stdin=data, error=_Damaged)


UNPACK: Mapping[str, Callable[[bytes], bytes]] = {
    ".ko": bytes,
    ".gz": gzip.decompress,
    ".xz": lzma.decompress,
    ".bz2": bz2.decompress,
    ".zst": unzstd,
}


class Modules:
    """The modules below ``lib/modules/<release>``, each read once at most."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths = {canonical(path.name): path for path in sorted(folder.rglob("*.ko*")) if path.is_file()}
        self._read: dict[Path, tuple[bytes, ModInfo]] = {}

    def info(self, name: str) -> ModInfo:
        """Return what module *name* says of itself; KeyError when there is none, DeployError when it is damaged."""
        return self._get(self.paths[name])[1]

    def content(self, name: str) -> bytes:
        """Return module *name*, unpacked."""
        return self._get(self.paths[name])[0]

    def below(self, *folders: str) -> Iterator[ModInfo]:
        """Yield what lies in the kernel's *folders*."""
        tops = [self.folder / "kernel" / folder for folder in folders]
        for path in self.paths.values():
            if any(path.is_relative_to(top) for top in tops):
                yield self._get(path)[1]

    def _get(self, path: Path) -> tuple[bytes, ModInfo]:
        if path not in self._read:
            try:
                content = UNPACK[path.suffix](path.read_bytes())
                self._read[path] = content, modinfo.parse(content, path.name)
            except (KeyError, ValueError, OSError, EOFError, lzma.LZMAError) as error:
                raise DeployError(f"{path.relative_to(self.folder)}: no module for arm64: {error}") from error
        return self._read[path]


def make(modules: Modules, dtbs: Sequence[Path], config: Mapping[str, str]) -> bytes | None:
    """Return the initramfs with which a kernel with *modules* finds its card on the boards of *dtbs*.

    None when it needs none: the card's controller and ext4 are not among the modules. *config* is the kernel's
    configuration, empty when it is not known. DeployError when the kernel could not use what it needs.
    """
    names = chosen(modules, frozenset().union(*(compatibles(path.read_bytes()) for path in dtbs)))
    if not names:
        return None
    for symbol, why in NEEDED.items():
        if config and config.get(symbol) != "y":
            raise DeployError(
                f"{modules.folder.name}: {', '.join(names)} are modules, so the kernel needs an initramfs, but without"
                f" CONFIG_{symbol} {why}",
                hint=f"build them in, or set CONFIG_{symbol}=y",
            )
    top = f"lib/modules/{modules.folder.name}"
    files = {f"{top}/{name}.ko": modules.content(name) for name in names}
    listed = "".join(f"/{path}\n" for path in files).encode()
    return cpio({"init": compiled_init(), "modules": listed, **files})


# --- which modules ---------------------------------------------------------------------------------------------------
def chosen(modules: Modules, wanted: frozenset[str]) -> list[str]:
    """Return the modules needed to mount the card's root filesystem, each behind those that it needs.

    *wanted* are the ``compatible`` strings of the device trees. Empty when card and ext4 are built in: what else is a
    module then can be loaded from the card.
    """
    hosts = [info.name for info in modules.below(HOSTS) if info.compatibles & wanted]
    medium = [name for name in MEDIUM if name in modules.paths]
    if not hosts and not medium:
        return []
    suppliers = [info.name for info in modules.below(*SUPPLIERS, "drivers/mmc/core") if info.compatibles & wanted]
    return closure([*suppliers, *hosts, *medium], modules)


def closure(roots: Iterable[str], modules: Modules) -> list[str]:
    """Return *roots* and all that they depend on, in an order in which they load; DeployError when one is missing."""
    order: dict[str, None] = {}
    entered: set[str] = set()

    def visit(name: str, by: str) -> None:
        if name in entered:
            return
        entered.add(name)
        if name not in modules.paths:
            raise DeployError(
                f"{modules.folder.name}: module {by} needs {name}, which is not there",
                hint="name the package or the tarball with all modules of this kernel",
            )
        info = modules.info(name)
        for other in [*(one for wish in info.before for one in _offering(wish, modules)), *info.depends]:
            visit(other, name)
        order[name] = None

    for root in roots:
        visit(root, "")
    return list(order)


def _offering(wish: str, modules: Modules) -> list[str]:
    """Return the modules that *wish* (a name or an alias) means; none when it is built in."""
    if canonical(wish) in modules.paths:
        return [canonical(wish)]
    return [info.name for info in modules.below(*LIBRARIES) if wish in info.aliases]


def compatibles(dtb: bytes) -> frozenset[str]:
    """Return every ``compatible`` of a device tree; DeployError when it is none."""
    found: set[str] = set()
    code = libfdt.fdt_check_full(bytearray(dtb), len(dtb))
    if code < 0:
        raise DeployError(f"a device tree of this kernel is damaged: {libfdt.strerror(code)}")
    tree = libfdt.FdtRo(dtb)
    node, depth = 0, 0
    while node >= 0 and depth >= 0:
        value = tree.getprop(node, "compatible", [libfdt.FDT_ERR_NOTFOUND])
        if not isinstance(value, int):
            found.update(value.as_stringlist())
        node, depth = tree.next_node(node, depth, [libfdt.FDT_ERR_NOTFOUND])
    return frozenset(found)


# --- the archive -----------------------------------------------------------------------------------------------------
@attrs.frozen
class _Entry:
    name: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def cpio(files: Mapping[str, bytes]) -> bytes:
    """Return *files*, the folders above them and /dev/console as an initramfs: a plain ``newc`` archive.

    Not packed, for then no kernel needs a decompressor. Source: Documentation/driver-api/early-userspace/
    buffer-format.rst of the kernel.
    """
    folders = sorted({str(parent) for name in files for parent in Path(name).parents} - {"."} | {"dev"})
    entries = [
        *(_Entry(folder, 0o040755) for folder in folders),
        _Entry("dev/console", 0o020600, device=(5, 1)),  # what the kernel opens as standard output of /init
        *(_Entry(name, 0o100755, data) for name, data in files.items()),
        _Entry("TRAILER!!!", 0),
    ]
    return b"".join(_record(number, entry) for number, entry in enumerate(entries, start=1))


def _record(number: int, entry: _Entry) -> bytes:
    name = entry.name.encode() + b"\0"
    # inode, mode, uid, gid, links, mtime, size, device of the file (2), device that it is (2), name's size, checksum
    fields = (number, entry.mode, 0, 0, 1, 0, len(entry.data), 0, 0, *entry.device, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    return _padded(head) + _padded(entry.data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


# --- its only program ------------------------------------------------------------------------------------------------
def compiled_init() -> bytes:
    """Return ``init.c`` compiled, from the cache or now; LabError naming the package when there is no compiler."""
    compiler = _compiler()
    said = host.run([compiler[0], "--version"])
    key = hashlib.sha256(b"\0".join([SOURCE.read_bytes(), said, *map(str.encode, [*compiler, *CC])])).hexdigest()
    program = host.cache_dir("prebuilt") / f"init-{key[:16]}"
    if not program.is_file():
        with host.replacing(program) as beside:
            host.run([*compiler, *CC, "-Wl,--build-id=none,-s", "-o", beside, SOURCE])
    return program.read_bytes()


def _compiler() -> Sequence[str]:
    for command in COMPILERS[1:]:
        try:
            host.find(COMPILERS[0][0])
        except LabError:
            if _there(command):
                return command
    host.find(COMPILERS[0][0])
    return COMPILERS[0]


def _there(command: Collection[str]) -> bool:
    try:
        host.find(next(iter(command)))
        host.find("ld.lld")
    except LabError:
        return False
    return True
