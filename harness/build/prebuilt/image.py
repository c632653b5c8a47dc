"""Kernel image files: what one is by its bytes, what lies packed in it, and what it says about itself; no I/O.

Sources, in the kernel: Documentation/arch/arm64/booting.rst (header), drivers/firmware/efi/libstub/zboot-header.S (EFI
zboot), init/version.c (banner), kernel/configs.c (configuration), include/linux/elfnote.h (build id).
"""

import bz2
import gzip
import lzma
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import attrs

from harness.build import elf

ARM64 = "arm64 Image"
BANNER = re.compile(rb"Linux version (\S+) \(([^\n\0]*)")
COMPILER = re.compile(r"[^\s()]*(?:gcc|clang)[^\s()]* (?:\([^()]*\)|version)[^,()]*")
NOTE = struct.pack("<II", 4, 20), struct.pack("<I", elf.NT_GNU_BUILD_ID) + b"GNU\0"
LIMIT = 512 * 2**20  # bytes; Debian's has 45 MB
CONFIG_START, CONFIG_END = b"IKCFG_ST", b"IKCFG_ED"
ELF_MACHINES = {3: "32-bit x86", 40: "32-bit Arm", 62: "64-bit x86", 183: "arm64", 243: "RISC-V"}


class Decompressor(Protocol):
    """What zlib, lzma and bz2 offer alike; what follows the packed data (a signature) does not count."""

    @property
    def eof(self) -> bool:
        """Whether the end was reached."""

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Return what *data* unpacks to, as far as it goes."""


Unpack = Callable[[bytes], bytes]
PACKED: Mapping[bytes, Callable[[], Decompressor]] = {
    b"\x1f\x8b": lambda: zlib.decompressobj(wbits=31),
    b"\xfd7zXZ\0": lzma.LZMADecompressor,
    b"BZh": bz2.BZ2Decompressor,
}
"""First bytes -> what unpacks it."""
ZSTD = b"\x28\xb5\x2f\xfd"


@attrs.frozen
class KernelImage:
    """An uncompressed arm64 Image and what was found in it."""

    data: bytes
    release: str
    """What ``uname -r`` will say."""
    built: str
    """By whom, with what and when: the rest of the banner."""
    build_id: str
    """GNU build id, hex; empty when it cannot be told from those of the vDSOs in it."""
    config: str
    """The ``.config`` inside; empty without CONFIG_IKCONFIG."""

    @property
    def compiler(self) -> str:
        """The compiler's name and version, or nothing."""
        found = COMPILER.search(self.built)
        return found[0].strip() if found else ""


def read(data: bytes, *, unzstd: Unpack) -> KernelImage:
    """Return the kernel in *data*, packed or not; ValueError tells what it is if it is no arm64 kernel.

    *unzstd* unpacks zstd, for which the standard library has nothing.
    """
    plain = unpacked(data, unzstd=unzstd)
    kind = identify(plain)
    if kind != ARM64:
        raise ValueError(kind)
    if plain[24] & 1:  # flags, bit 0
        raise ValueError("a big-endian arm64 kernel; Raspberry Pis run little-endian ones")
    # /proc/version has a pattern of its own in the kernel, without the number of the build
    banners = sorted(BANNER.finditer(plain), key=lambda match: not re.search(rb"#\d", match[2]))
    if not banners:
        raise ValueError("an arm64 Image without a `Linux version` in it: no Linux kernel")
    banner = banners[0]
    return KernelImage(
        data=plain,
        release=banner[1].decode("latin-1"),
        built=banner[2].decode("latin-1"),
        build_id=build_id(plain),
        config=config(plain),
    )


def unpacked(data: bytes, *, unzstd: Unpack) -> bytes:
    """Return what is packed in *data*, *data* itself when nothing is; ValueError when it is damaged."""
    if data[4:8] == b"zimg":  # EFI zboot: a small EFI program with the packed kernel behind it
        if len(data) < 64 or (start := struct.unpack_from("<II", data, 8))[0] < 64:
            raise ValueError("damaged: an EFI zboot image without a kernel behind its header")
        offset, size = start
        return unpacked(data[offset : offset + size], unzstd=unzstd)
    if data.startswith(ZSTD):
        return unzstd(data)
    new = next((new for magic, new in PACKED.items() if data.startswith(magic)), None)
    return data if new is None else _unpacked(data, new())


def _unpacked(data: bytes, decompressor: Decompressor) -> bytes:
    try:
        plain = decompressor.decompress(data, LIMIT)
    except (zlib.error, lzma.LZMAError, OSError, EOFError) as error:
        raise ValueError(f"damaged: {error}") from error
    if not decompressor.eof:
        raise ValueError("damaged: it ends too early" if len(plain) < LIMIT else "far too large for a kernel")
    return plain


def identify(data: bytes) -> str:
    """Say what an unpacked kernel file is by its first bytes; ARM64 for the right kind."""
    if data[56:60] == b"ARM\x64":
        return ARM64
    if data[:4] == b"\x7fELF" and len(data) > 20:
        machine = struct.unpack_from("<H", data, 18)[0]
        return f"an ELF file for {ELF_MACHINES.get(machine, f'machine {machine}')}; what boots is the Image"
    for offset, magic, kind in (
        (36, b"\x18\x28\x6f\x01", "a 32-bit Arm zImage"),
        (0x202, b"HdrS", "an x86 bzImage"),
        (56, b"RSC\x05", "a RISC-V Image"),
        (0, b"\x27\x05\x19\x56", "a U-Boot uImage"),
        (0, b"\xd0\x0d\xfe\xed", "a device tree or a FIT image"),
    ):
        if data[offset : offset + len(magic)] == magic:
            return kind
    return "no kernel image" if data else "an empty file"


def build_id(data: bytes) -> str:
    """Return the GNU build id of the kernel *data*, hex; empty unless exactly one can be it.

    The vDSOs, whole ELF files inside the kernel, carry build ids of their own; those do not count.
    """
    size, kind = NOTE
    inside = list(_elf_files(data))
    found = set()
    for match in re.finditer(re.escape(size + kind), data):
        if not any(start <= match.start() < end for start, end in inside):
            found.add(data[match.end() : match.end() + 20].hex())
    return found.pop() if len(found) == 1 else ""


def _elf_files(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield start and end of each ELF file inside *data*; its section headers are the last of it."""
    for match in re.finditer(rb"\x7fELF[\x01\x02]\x01\x01", data):
        start = match.start()
        wide = data[start + 4] == 2
        table, counts = ("<Q", 40), 58
        if not wide:
            table, counts = ("<I", 32), 46
        try:
            (offset,) = struct.unpack_from(table[0], data, start + table[1])
            size, count = struct.unpack_from("<HH", data, start + counts)
        except struct.error:
            return
        yield start, start + offset + size * count


def config(data: bytes) -> str:
    """Return the configuration inside the kernel *data* (``/proc/config.gz``); empty without one."""
    start = data.find(CONFIG_START)
    end = data.find(CONFIG_END, start)
    if start < 0 or end < 0:
        return ""
    try:
        return gzip.decompress(data[start + len(CONFIG_START) : end]).decode(errors="replace")
    except (OSError, EOFError, zlib.error):
        return ""
