"""Small real card images, made by the programs that make large ones."""

import subprocess
from pathlib import Path

MIB = 1 << 20
BOOT_OFFSET = 1 * MIB
ROOT_OFFSET = 17 * MIB


def make_card(path: Path, *, fat_mib: int = 16, root_mib: int = 24) -> Path:
    """Make a card with a FAT in p1 and an ext4 in p2; at BOOT_OFFSET and ROOT_OFFSET if the FAT has its 16 MiB."""
    root_offset = (1 + fat_mib) * MIB
    with path.open("xb") as file:
        file.truncate(root_offset + root_mib * MIB)
    table = f"label: dos\nlabel-id: 0x12345678\n1M,{fat_mib}M,c\n{1 + fat_mib}M,{root_mib}M,83\n"
    tool(["sfdisk", "-q", path], stdin=table)
    tool(["mkfs.vfat", "-F", "16", "-n", "BOOT", "-s", "4", "--offset", "2048", path, str(fat_mib * 1024)])
    tool(["mke2fs", "-q", "-t", "ext4", "-E", f"offset={root_offset}", path, f"{root_mib}M"])
    return path


def tool(command: list[object], stdin: str = "") -> str:
    """Run a host program of the kind that a card image is made and checked with."""
    argv = [str(part) for part in command]
    env = {"PATH": "/usr/sbin:/sbin:/usr/bin:/bin", "MTOOLS_SKIP_CHECK": "1"}
    return subprocess.run(argv, input=stdin, check=True, capture_output=True, text=True, env=env).stdout
