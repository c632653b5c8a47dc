"""Kernels that others have built, in small: images, modules and device trees of a few hundred bytes, in packages."""

import gzip
import io
import json
import lzma
import struct
import tarfile
from collections.abc import Mapping
from pathlib import Path

import fakekernel
import libfdt

RELEASE = "6.12.1-distro-arm64"
BUILD_ID = "0123456789abcdef0123456789abcdef01234567"
BANNER = "Linux version {release} (me@host) (gcc-12 (Debian 12.2.0-14) 12.2.0, GNU ld 2.40) #1 SMP\n"
BUILT_IN = "CONFIG_MODULES=y\nCONFIG_BLK_DEV_INITRD=y\nCONFIG_DEVTMPFS=y\n"

Files = Mapping[str, bytes]


def note(build_id: str = BUILD_ID) -> bytes:
    return struct.pack("<III", 4, 20, 3) + b"GNU\0" + bytes.fromhex(build_id)


def image(release: str = RELEASE, *, extra: bytes = b"") -> bytes:
    return fakekernel.image(BANNER.format(release=release)) + note() + extra


def elf(sections: Mapping[str, bytes], *, machine: int = 183) -> bytes:
    """A 64-bit ELF file with *sections*, its section headers last, as linkers leave them."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name in [*sections, ".shstrtab"])
    contents, headers, at = b"", bytes(64), 64
    for name, content in {**sections, ".shstrtab": names}.items():
        headers += struct.pack("<IIQQQQIIQQ", names.index(name.encode() + b"\0"), 1, 0, 0, at, len(content), 0, 0, 1, 0)
        contents += content
        at += len(content)
    count = len(sections) + 2
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 1, machine, 1, 0, 0, at, 0, 64, 0, 0, 64, count, count - 1)
    return head + contents + headers


def module(*said: str, release: str = RELEASE, machine: int = 183) -> bytes:
    """A module that says *said* (``alias=...``) of itself."""
    words = [*said, f"vermagic={release} SMP aarch64"]
    return elf({".modinfo": b"".join(word.encode() + b"\0" for word in words)}, machine=machine)


def dtb(*compatibles: str) -> bytes:
    tree = libfdt.Fdt.create_empty_tree(4096)
    tree.setprop_str(0, "compatible", "raspberrypi,test")
    for number, compatible in enumerate(compatibles):
        tree.setprop_str(tree.add_subnode(0, f"node{number}"), "compatible", compatible)
    tree.pack()
    return bytes(tree.as_bytearray())


CARD = "brcm,bcm2835-sdhci"
DTBS = {"bcm2837-rpi-3-b.dtb": dtb(CARD), "bcm2711-rpi-4-b.dtb": dtb(CARD)}


def modules(release: str = RELEASE) -> dict[str, bytes]:
    """The modules of a kernel that has nothing built in that it needs for its card, by name below the release."""
    return {
        "kernel/drivers/mmc/host/sdhci-iproc.ko": module(f"alias=of:N*T*C{CARD}", "depends=sdhci", release=release),
        "kernel/drivers/mmc/host/sdhci.ko": module(release=release),
        "kernel/drivers/mmc/host/other.ko": module("alias=of:N*T*Cacme,mmc", release=release),
        "kernel/fs/ext4/ext4.ko": module("depends=", "softdep=pre: crypto-crc32c", release=release),
        "kernel/crypto/crc32c_generic.ko": module("alias=crypto-crc32c", release=release),
        "kernel/drivers/net/dummy.ko": module(release=release),
        "modules.order": b"",
        "modules.builtin": b"",
    }


def package(release: str = RELEASE, *, config: str = BUILT_IN) -> dict[str, bytes]:
    """The files of a Debian ``linux-image`` package."""
    return {
        f"boot/vmlinuz-{release}": image(release),
        f"boot/config-{release}": config.encode(),
        **{f"usr/lib/linux-image-{release}/broadcom/{name}": data for name, data in DTBS.items()},
        f"usr/lib/linux-image-{release}/allwinner/sun50i-a64-pine64.dtb": dtb(),
        **{f"lib/modules/{release}/{name}": data for name, data in modules(release).items()},
    }


def tar(files: Files, *, xz: bool = True) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return lzma.compress(data.getvalue(), preset=0) if xz else data.getvalue()


def deb(files: Files, *, name: str = "linux-image-distro", depends: str = "") -> bytes:
    control = f"Package: {name}\nVersion: 1.2-3\nArchitecture: arm64\nMaintainer: x\nDescription: x\n"
    if depends:
        control += f"Depends: {depends}\n"
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.xz": tar({"control": control.encode()}),
        "data.tar.xz": tar(files),
    }
    return b"!<arch>\n" + b"".join(
        f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
        for name, data in members.items()
    )


def write(folder: Path, files: Files) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def build_directory(folder: Path, release: str = RELEASE) -> Path:
    """What make leaves: nothing is installed yet."""
    built = {
        name.removeprefix("kernel/"): data for name, data in modules(release).items() if name.startswith("kernel/")
    }
    return write(
        folder,
        {
            ".config": BUILT_IN.encode(),
            "include/config/kernel.release": f"{release}\n".encode(),
            "arch/arm64/boot/Image": image(release),
            **{f"arch/arm64/boot/dts/broadcom/{name}": data for name, data in DTBS.items()},
            "modules.order": "".join(f"{name.removesuffix('.ko')}.o\n" for name in built).encode(),
            "modules.builtin": b"kernel/fs/fat/fat.ko\n",
            **built,
        },
    )


def tuxmake(folder: Path, release: str = RELEASE, **results: str) -> Path:
    """What tuxmake leaves."""
    metadata = {"build": {"target_arch": "arm64"}, "results": {"status": "PASS", **results}}
    return write(
        folder,
        {
            "Image.gz": gzip.compress(image(release), mtime=0),
            "config": BUILT_IN.encode(),
            "metadata.json": json.dumps(metadata).encode(),
            "dtbs.tar.xz": tar({f"dtbs/broadcom/{name}": data for name, data in DTBS.items()}),
            "modules.tar.xz": tar({f"lib/modules/{release}/{name}": data for name, data in modules(release).items()}),
        },
    )
