"""Record console logs of a kernel that reports on itself: ``python scripts/record/record.py [NAME...]``.

NAME is a mistake that pi64_fault.c can make; the log goes to ``tests_unit/data/raspi3b-NAME.log``. The kernel is the
distribution's source with `smoke` and debug.config on top of allnoconfig, built below the cache folder (ten minutes on
two cores, the first time).
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from harness import host
from harness.build import source as sources

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DATA = ROOT / "tests_unit" / "data"
FRAGMENTS = (ROOT / "harness/build/fragments/smoke.config", HERE / "debug.config")
DTB = "broadcom/bcm2837-rpi-3-b.dtb"
BOOT = "arch/arm64/boot"
CMDLINE = (
    "earlycon=pl011,mmio32,0x3f201000 console=ttyAMA0,115200 root=/dev/mmcblk0 rootwait rw panic=1"
    " kfence.sample_interval=10 sysctl.kernel.watchdog_thresh=2"
    " sysctl.kernel.hung_task_timeout_secs=2 sysctl.kernel.hung_task_check_interval_secs=1"
)
LIMIT_S = 180


def main(names: list[str]) -> None:
    """Record *names*, or all of them."""
    objects = host.cache_dir("record")
    tree = sources.open_tree("package:linux-source-*").path
    _build(tree, objects)
    offered = re.findall(r'^\t\{ "([\w-]+)", ', (HERE / "pi64_fault.c").read_text(), re.MULTILINE)
    card = _card(tree, objects)
    for name in names or offered:
        if name not in offered:
            sys.exit(f"pi64_fault.c cannot make {name}; it can: {', '.join(offered)}")
        (DATA / f"raspi3b-{name}.log").write_bytes(_console(objects, card, name))


def _make(tree: Path, objects: Path, *arguments: str) -> None:
    compiler = "ccache aarch64-linux-gnu-gcc"
    command = ["make", "-C", tree, f"O={objects}", "ARCH=arm64", "CROSS_COMPILE=aarch64-linux-gnu-", f"CC={compiler}"]
    subprocess.run([*command, f"-j{os.cpu_count()}", *arguments], check=True, stdout=subprocess.DEVNULL)


def _build(tree: Path, objects: Path) -> None:
    asked = objects / "asked.config"
    asked.write_text("".join(fragment.read_text() for fragment in FRAGMENTS))
    _make(tree, objects, f"KCONFIG_ALLCONFIG={asked}", "allnoconfig")
    _make(tree, objects, "Image", "modules", DTB)
    module = objects / "pi64"  # named to make by a relative path: its own would be told by UBSAN
    module.mkdir(exist_ok=True)
    for name in ("Kbuild", "pi64_fault.c"):
        (module / name).write_bytes((HERE / name).read_bytes())
    _make(tree, objects, f"M={module.name}", "modules")


def _card(tree: Path, objects: Path) -> Path:
    """Return an ext4 file system, without partitions, that holds init and the module."""
    root, card = objects / "root", objects / "card.img"
    for folder in ("sbin", "proc", "sys", "dev"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "pi64_fault.ko").write_bytes((objects / "pi64/pi64_fault.ko").read_bytes())
    nolibc = ["-nostdlib", "-static", "-Os", "-I", tree / "tools/include/nolibc", "-I", objects / "usr/include"]
    _make(tree, objects, "headers")
    host.run(["aarch64-linux-gnu-gcc", *nolibc, "-o", root / "sbin/init", HERE / "init.c", "-lgcc"])
    card.unlink(missing_ok=True)
    host.run(["mke2fs", "-q", "-t", "ext4", "-d", root, card, "64M"])
    return card


def _console(objects: Path, card: Path, name: str) -> bytes:
    """Boot, let the module make its mistake, and return all that the serial line brought."""
    machine = ["-M", "raspi3b", "-kernel", objects / BOOT / "Image", "-dtb", objects / BOOT / "dts" / DTB]
    line = ["-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot"]
    drive = ["-drive", f"file={card},if=sd,format=raw,snapshot=on", "-append", f"{CMDLINE} pi64={name}"]
    command = ["qemu-system-aarch64", *machine, *line, *drive]
    done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT_S)
    return done.stdout


if __name__ == "__main__":
    main(sys.argv[1:])
