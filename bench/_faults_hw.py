"""The tests during which `verdicts.py` lets something break; it gives one at a time to pytest, by name.

``PI64_FAULT`` holds what is deployed wrongly on purpose, as JSON: ``cmdline`` (texts to replace), ``append`` (to the
kernel command line), ``timer`` (its interrupts in the device tree), ``modules`` (the ``lib/modules/RELEASE`` of another
build, whose modules go over ours).
"""

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import attrs
import libfdt
import pytest
from _faults import mark

from harness.console.shell import Shell
from harness.errors import demand_healthy
from harness.model import BootFile, BootFiles, BootRecord
from harness.strategy import RaspberryPiStrategy

PROVOKE = "/sys/kernel/debug/provoke-crash/DIRECT"


@pytest.fixture(scope="session")
def boot_files(boot_files: BootFiles, tmp_path_factory: pytest.TempPathFactory) -> BootFiles:
    """What pi64 composes, spoilt as the fault wants it."""
    wrong = json.loads(os.environ.get("PI64_FAULT", "{}"))
    files = tuple(_spoilt(file, wrong) for file in boot_files.files)
    if "modules" not in wrong:
        return attrs.evolve(boot_files, files=files)
    return attrs.evolve(boot_files, files=files, modules_root=_mixed(boot_files, wrong["modules"], tmp_path_factory))


def _spoilt(file: BootFile, wrong: dict[str, Any]) -> BootFile:
    if file.path.suffix == ".dtb" and "timer" in wrong:
        return attrs.evolve(file, data=_with_timer(file.read(), wrong["timer"]), source=None)
    if file.path.name != "cmdline.txt":
        return file
    line = file.read().decode().rstrip("\n")
    for old, new in dict(wrong.get("cmdline", {})).items():
        assert old in line, f"{old} is not in {line}"
        line = line.replace(old, new)
    return attrs.evolve(file, data=f"{line} {wrong.get('append', '')}\n".encode())


def _with_timer(dtb: bytes, interrupts: list[int]) -> bytes:
    tree = libfdt.Fdt(bytearray(dtb))
    node = tree.path_offset("/timer")
    tree.setprop(node, "interrupts", b"".join(number.to_bytes(4, "big") for number in interrupts))
    return bytes(tree.as_bytearray())


def _mixed(files: BootFiles, other: str, factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the module tree in which modules of the same name come from *other*."""
    root = factory.mktemp("mixed") / "modules"
    shutil.copytree(files.modules_root, root, symlinks=True)
    for module in Path(other).rglob("*.ko*"):
        ours = root / "lib/modules" / files.release / module.relative_to(other)
        if ours.exists():
            shutil.copyfile(module, ours)
    return root


# --- boots -----------------------------------------------------------------------------------------------------------
def test_boots(boot: BootRecord) -> None:
    demand_healthy(boot)


@pytest.mark.usefixtures("shell")
def test_reboots(dut: RaspberryPiStrategy) -> None:
    mark("fault")
    demand_healthy(dut.reboot())


@pytest.mark.usefixtures("shell")
def test_starts_cold(dut: RaspberryPiStrategy) -> None:
    mark("fault")
    demand_healthy(dut.cold_boot())


# --- commands --------------------------------------------------------------------------------------------------------
def test_before(shell: Shell) -> None:
    """Runs before the one that breaks something, and has nothing to do with it."""
    assert shell.check("uname -m") == "aarch64"


def test_a_module_loads(shell: Shell) -> None:
    mark("fault")
    shell.check("sudo modprobe dummy")


def test_something_breaks_meanwhile(shell: Shell) -> None:
    """The driver waits for this word on the console."""
    shell.check("echo strike now | sudo tee /dev/kmsg; sleep 1; find /usr/share -type f | xargs -r cat >/dev/null")


@pytest.mark.parametrize(("how", "seconds"), [("WARNING", 0), ("EXCEPTION", 0), ("BUG", 0), ("PANIC", 0)])
def test_provokes(shell: Shell, how: str, seconds: float) -> None:
    _provoke(shell, how)
    time.sleep(seconds)


@pytest.mark.parametrize(("how", "seconds"), [("SOFTLOCKUP", 20), ("HUNG_TASK", 30)])
def test_provokes_a_hang(shell: Shell, how: str, seconds: float) -> None:
    """What never comes back goes to the background; the detectors need a while."""
    shell.check("sudo sysctl -q kernel.watchdog_thresh=4 kernel.hung_task_check_interval_secs=5")
    _provoke(shell, how, behind=" &")
    shell.check(f"sleep {seconds}", timeout=seconds + 30)


def test_is_undervolted_and_provokes(shell: Shell) -> None:
    """QEMU has no voltage: the kernel is made to say what its voltage monitor would."""
    shell.check("printf '<4>hwmon hwmon1: Undervolt%s detected!' age | sudo tee /dev/kmsg")
    _provoke(shell, "EXCEPTION")


def test_after(shell: Shell) -> None:
    """Runs after the one that broke something."""
    assert shell.check("uname -m") == "aarch64"


def _provoke(shell: Shell, how: str, *, behind: str = "") -> None:
    shell.check("sudo modprobe lkdtm")
    shell.check(f"sudo test -e {PROVOKE} || sudo mount -t debugfs debugfs /sys/kernel/debug")
    mark("fault")
    shell.run(f"sudo sh -c 'echo {how} > {PROVOKE}'{behind}", timeout=60)
