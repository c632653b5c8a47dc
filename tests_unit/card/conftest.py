"""Small real card images, made by the programs that make large ones."""

import subprocess
from pathlib import Path

import pytest

MIB = 1 << 20


def make_card(path: Path, *, fat_bits: int = 16, fat_mib: int = 16, root_mib: int = 24, root: bool = True) -> Path:
    """Make a card with a FAT in p1 and an ext4 in p2."""
    with path.open("xb") as file:
        file.truncate((1 + fat_mib + root_mib) * MIB)
    table = f"label: dos\nlabel-id: 0x12345678\nstart=2048, size={fat_mib}MiB, type=c\nstart={1 + fat_mib}MiB, type=83\n"
    run(["sfdisk", "-q", path], stdin=table)
    run(["mkfs.vfat", "-F", str(fat_bits), "-n", "BOOT", "-s", "4", "--offset", "2048", path, str(fat_mib * 1024)])
    if root:
        run(["mke2fs", "-q", "-t", "ext4", "-E", f"offset={(1 + fat_mib) * MIB}", path, f"{root_mib}M"])
    return path


def run(command: list[object], stdin: str = "") -> str:
    """Run a host program of the kind that a card image is made and checked with."""
    argv = [str(part) for part in command]
    env = {"PATH": "/usr/sbin:/sbin:/usr/bin:/bin", "MTOOLS_SKIP_CHECK": "1"}
    return subprocess.run(argv, input=stdin, check=True, capture_output=True, text=True, env=env).stdout


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A card nobody may write to."""
    return make_card(tmp_path_factory.mktemp("card") / "pristine.img")


@pytest.fixture
def card(pristine: Path, tmp_path: Path) -> Path:
    """A card of its own for each test."""
    copy = tmp_path / "card.img"
    run(["cp", "--sparse=always", pristine, copy])
    return copy


@pytest.fixture
def boot_offset() -> int:
    return MIB


@pytest.fixture
def root_offset() -> int:
    return 17 * MIB
