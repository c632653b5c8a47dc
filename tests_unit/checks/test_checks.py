"""What each check makes of what a target answered."""

import shlex
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs
import pytest

from harness.checks import _interfaces, build_id, load_all, modules_load
from harness.model import BoardProfile, Finding, KernelBuild, KernelSource, Toolchain

BUILD_ID = "0123456789abcdef0123456789abcdef01234567"
BUILD = KernelBuild(
    release="6.12.117-pi64",
    build_id=BUILD_ID,
    image=Path("Image"),
    dtbs=(),
    overlays=(),
    modules_root=Path("modules"),
    modules=("dummy", "loop", "snd_bcm2835"),
    config=Path("config"),
    log=Path("build.log"),
    key="key",
    source=KernelSource(Path("linux"), "mainline", "6.12.117", "a tarball", "digest"),
    toolchain=Toolchain("gcc", "aarch64-linux-gnu-", "12.2", "digest"),
    base_config="defconfig",
    fragments=(),
    seconds=0.0,
    cached=True,
)
BOARD = BoardProfile("rpi-3-b", "Pi 3", "bcm2837", 0xA02082, frozenset(), (), False, (), (), (), "", True)
NOTES = """
 06 00 00 00 04 00 00 00 00 01 00 00 4c 69 6e 75
 78 00 00 00 00 00 00 00 04 00 00 00 14 00 00 00
 03 00 00 00 47 4e 55 00 01 23 45 67 89 ab cd ef
 01 23 45 67 89 ab cd ef 01 23 45 67
"""
CHECKS = {check.name: check for check in load_all()}


def judged(name: str, output: str, **build: Any) -> list[Finding]:
    return CHECKS[name].judge(output, attrs.evolve(BUILD, **build), BOARD)


GOOD = {
    "architecture": "aarch64\n",
    "userland_bits": "32\narmhf\n",
    "release": "6.12.117-pi64\r\n",
    "build_id": NOTES,
    "modules_dep": "1432\n",
    "vermagic": "dummy.ko 6.12.117-pi64 SMP mod_unload aarch64\nloop.ko.xz 6.12.117-pi64 SMP mod_unload aarch64\n",
    "modules_load": "dummy 0 0\nloop 0 1\nsnd-bcm2835 0 -\n",
    "thermal": "47236\n25000\n",
    "throttled": "throttled=0x0\n",
    "ethernet": "wired eth0 0 \n",
    "ethernet_link": "wired eth0 1 192.0.2.5/24 2001:db8::5/64 \n",
    "wifi": "wireless wlan0 0 \nwired eth0 1 192.0.2.5/24\n",
    "wifi_link": "wireless wlan0 1 192.0.2.6/24\n",
    "kernel_log": "[    0.000000] Booting Linux on physical CPU 0x0\n[    1.0] Waiting for root device x...\n",
}
BAD = [  # check, output, kind and fault of its first objection
    ("architecture", "armv7l\n", "wrong-kernel", "DEPLOY"),
    ("architecture", "", "wrong-kernel", "DEPLOY"),
    ("userland_bits", "64\narm64\n", "userland", "LAB"),
    ("userland_bits", "32\n", "userland", "LAB"),
    ("release", "6.1.21-v8+\n", "wrong-kernel", "DEPLOY"),
    ("build_id", NOTES.replace("01 23 45 67 89", "ff 23 45 67 89"), "wrong-kernel", "DEPLOY"),
    ("build_id", "od: /sys/kernel/notes: No such file or directory", "wrong-kernel", "DEPLOY"),
    ("build_id", NOTES[:-30], "wrong-kernel", "DEPLOY"),
    ("modules_dep", "0\n", "modules-missing", "DEPLOY"),
    ("modules_dep", "no /lib/modules/6.12.117-pi64/modules.dep\n", "modules-missing", "DEPLOY"),
    ("vermagic", "dummy.ko 6.12.116 SMP mod_unload aarch64\n", "module-mismatch", "DEPLOY"),
    ("vermagic", "dummy.ko \n", "module-mismatch", "DEPLOY"),
    ("vermagic", "", "modules-missing", "DEPLOY"),
    ("modules_load", "dummy 0 0\nloop 0 0\n", "modules-missing", "DEPLOY"),
    (
        "modules_load",
        "dummy 1 - modprobe: ERROR: could not insert 'dummy': Exec format error",
        "module-mismatch",
        "DEPLOY",
    ),
    ("modules_load", "dummy 1 - modprobe: ERROR: could not insert 'dummy': Invalid argument", "module-load", "KERNEL"),
    ("thermal", "", "no-temperature", "KERNEL"),
    ("thermal", "cat: '/sys/class/thermal/thermal_zone*/temp': No such file or directory", "no-temperature", "KERNEL"),
    ("thermal", "-274000\n", "odd-temperature", "KERNEL"),
    ("thermal", "85123\n", "overheated", "LAB"),
    ("throttled", "throttled=0x50000\n", "under-voltage", "LAB"),
    ("throttled", "throttled=0x8\n", "overheated", "LAB"),
    ("throttled", "throttled=0x4", "throttled", "LAB"),
    ("throttled", "alarm=1\n", "under-voltage", "LAB"),
    ("throttled", "", "odd-answer", "KERNEL"),
    ("throttled", "throttled=0x", "odd-answer", "KERNEL"),
    ("ethernet", "wireless wlan0 1 192.0.2.6/24\n", "no-interface", "KERNEL"),
    ("ethernet_link", "wired eth0 1 \nwired eth1 0 192.0.2.5/24\n", "no-network", "KERNEL"),
    ("ethernet_link", "wired eth0 - \n", "no-network", "KERNEL"),
    ("wifi", "wired eth0 1 192.0.2.5/24\n", "no-interface", "KERNEL"),
    (
        "wifi",
        "[    9.0] brcmfmac mmc1:0001:1: Direct firmware load for brcm/brcmfmac43455-sdio.bin failed with error -2\n",
        "no-firmware",
        "LAB",
    ),
    ("wifi_link", "wireless wlan0 0 192.0.2.6/24\n", "no-network", "KERNEL"),
    ("kernel_log", "[    3.0] WARNING: CPU: 0 PID: 1 at mm/slub.c:5 foo+0x1/0x2", "warning", "KERNEL"),
    ("kernel_log", "[    3.0] hwmon hwmon1: Undervoltage detected!", "under-voltage", "LAB"),
]


@pytest.mark.parametrize(("calls", "found"), [(3, True), (99, False)])
def test_a_link_and_an_address_are_waited_for_but_not_for_ever(tmp_path: Path, calls: int, found: bool) -> None:
    net, programs = tmp_path / "net/eth0", tmp_path / "bin"
    for folder in (net / "device", programs):
        folder.mkdir(parents=True)
    (net / "carrier").write_text("1\n")
    address = "2: eth0    inet 192.0.2.5/24 brd 192.0.2.255 scope global eth0"
    for name, body in {
        "ip": f'echo >>"$CALLS"; [ "$(wc -l <"$CALLS")" -lt {calls} ] || echo "{address}"',
        "sleep": ":",
        "sudo": ":",
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{body}\n")
        (programs / name).chmod(0o755)
    env = {"PATH": f"{programs}:/usr/bin:/bin", "CALLS": str(tmp_path / "calls")}
    command = _interfaces.waiting("wired").replace("/sys/class/net", str(net.parent))
    said = subprocess.run(["sh", "-c", command], env=env, capture_output=True, text=True, check=True).stdout
    assert [one.up for one in _interfaces.interfaces(said)] == [found]


def test_every_check_is_asked_something_good() -> None:
    assert set(GOOD) == {name for name, check in CHECKS.items() if not check.inventory}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_answer_meets_no_objection(name: str) -> None:
    assert judged(name, GOOD[name]) == []


@pytest.mark.parametrize(("name", "output", "kind", "fault"), BAD)
def test_a_bad_answer_meets_one(name: str, output: str, kind: str, fault: str) -> None:
    first = judged(name, output)[0]
    assert (first.kind, first.fault, first.severity in {"warning", "error"}) == (kind, fault, True)


def test_a_module_that_misses_its_hardware_is_no_fault() -> None:
    answers = "dummy 1 - modprobe: ERROR: could not insert 'dummy': No such device\nloop 0 0\nsnd-bcm2835 0 0\n"
    assert judged("modules_load", answers) == []


def test_under_voltage_of_the_past_and_of_now_are_two_findings() -> None:
    found = judged("throttled", "throttled=0x50005\n")
    assert [each.kind for each in found] == ["under-voltage", "throttled", "under-voltage", "throttled"]
    assert found[2].message == "rpi-3-b: under-voltage has occurred since power-on"


def test_a_kernel_that_cannot_ask_the_firmware_is_not_blamed_for_the_supply() -> None:
    assert judged("throttled", "unknown\n") == []


def test_a_32_bit_userland_may_be_without_dpkg() -> None:
    assert judged("userland_bits", "32\nno dpkg\n") == []


def test_checks_come_in_the_guides_order() -> None:
    assert list(CHECKS) == [
        "architecture", "userland_bits", "release", "build_id",
        "modules", "modules_dep", "devices", "messages", "modalias",
        "vermagic", "modules_load",
        "thermal", "throttled", "ethernet", "ethernet_link", "wifi", "wifi_link", "kernel_log",
    ]  # fmt: skip


def test_a_32_bit_userland_is_not_asked_of_a_64_bit_one() -> None:
    assert CHECKS["userland_bits"].unfit({"userland64"}) == "not for userland64"
    assert CHECKS["userland_bits"].unfit({"wifi"}) == ""


@pytest.mark.parametrize("check", load_all(), ids=lambda check: check.name)
def test_a_command_is_one_line_that_a_shell_accepts(check) -> None:
    command = check.command(BUILD)
    assert "\n" not in command
    assert len(command) < 1000  # a tty in canonical mode takes 4095 bytes
    assert subprocess.run(["sh", "-n", "-c", command], check=False).returncode == 0
    assert check.summary.endswith(".")


def module_loop(folder: Path, modules: Iterable[str], modprobe: str) -> list[str]:
    """What the very script answers, with the programs that it calls replaced."""
    installed, programs = folder / "lib/modules/R", folder / "bin"
    for each in (installed, programs):
        each.mkdir(parents=True)
    for name in modules:
        (installed / name).parent.mkdir(parents=True, exist_ok=True)
        (installed / name).touch()
    (folder / "proc-modules").touch()
    (folder / "sys/bus/usb/devices/1").mkdir(parents=True)
    (folder / "sys/bus/usb/devices/1/modalias").write_text("usb:v1\n")
    modinfo = f"echo {installed}/kernel/drivers/asked-for.ko"
    for name, body in (("uname", "echo R"), ("modprobe", modprobe), ("modinfo", modinfo)):
        (programs / name).write_text(f"#!/bin/sh\n{body}\n")
        (programs / name).chmod(0o755)
    script = shlex.split(modules_load.COMMAND)[3]
    for path in ("/lib/modules", "/sys/bus"):
        script = script.replace(path, f"{folder}{path}")
    script = script.replace("/proc/modules", f"{folder}/proc-modules")
    env = {"PATH": f"{programs}:/usr/bin:/bin"}
    return subprocess.run(["sh", "-c", script], env=env, capture_output=True, text=True, check=True).stdout.splitlines()


def test_the_module_loop_answers_one_line_a_module(tmp_path: Path) -> None:
    modprobe = 'case "$*" in bad-one) echo "modprobe: ERROR: two  words"; exit 1;; "-r stuck") exit 1;; esac'
    said = module_loop(tmp_path, ("good.ko", "bad-one.ko.xz", "stuck.ko"), modprobe)
    assert said == ["bad-one 1 - modprobe: ERROR: two words", "good 0 0", "stuck 0 1"]


def test_of_many_modules_a_choice_is_tried_with_those_that_a_device_asks_for(tmp_path: Path) -> None:
    """No driver else: those of ISA cards reach for hardware that is not there."""
    names = [f"kernel/{part}/{part}{number:03}" for part in ("fs", "drivers") for number in range(150)]
    names.append("kernel/drivers/asked-for")
    said = module_loop(tmp_path, [f"{name}.ko" for name in names], "case $1 in -R) echo asked_for;; esac")
    tried = [line.split()[0] for line in said if line.endswith(" 0 0")]
    assert {line.split()[0] for line in said} == {Path(name).name for name in names}
    assert [name for name in tried if not name.startswith("fs")] == ["asked-for"]
    assert 20 < len(tried) < 60
    assert judged("modules_load", "\n".join(said), modules=tuple(Path(name).name for name in names)) == []


def test_the_build_id_is_found_among_other_notes() -> None:
    assert build_id.build_id(NOTES) == BUILD_ID
