"""What there is on a board, as real ones told it, and what of a change is one for the worse."""

import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.checks import load_all, modalias

DATA = Path(__file__).parent.parent / "data" / "checks"
CHECKS = {check.name: check for check in load_all()}
INVENTORIES = {name: check.inventory for name, check in CHECKS.items() if check.inventory}


def names(check: str, output: str) -> list[str]:
    return INVENTORIES[check].names(output)


def recorded(check: str) -> list[str]:
    return names(check, (DATA / f"virtual-rpi3-{check}.txt").read_text())


def changes(check: str, there: set[str], *before: set[str]) -> list[str]:
    return INVENTORIES[check].changes(there, [frozenset(run) for run in before])


# --- what real boards told -------------------------------------------------------------------------------------------
def test_devices_have_bus_name_and_driver() -> None:
    found = recorded("devices")
    assert len(found) == 20
    assert "platform/3f202000.mmc sdhost-bcm2835" in found


def test_modules_are_those_that_the_kernel_has_loaded() -> None:
    assert recorded("modules") == ["autofs4", "bcm2835_rng", "bcm2835_thermal", "dwc2", "roles"]


def test_messages_have_their_level_and_no_numbers() -> None:
    """Eight lines about eight GPIOs are one message."""
    found = recorded("messages")
    assert len(found) == 5
    assert "err: raspberrypi-exp-gpio soc:firmware:gpio: Failed to get GPIO # config (# #)" in found


# --- what differs from boot to boot, and is the same -----------------------------------------------------------------
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("./mmc/drivers/mmcblk/mmc0:59b4", "./mmc/drivers/mmcblk/mmc1:0001"),
        ("./platform/drivers/alarmtimer/alarmtimer.0.auto", "./platform/drivers/alarmtimer/alarmtimer.2.auto"),
        ("./sdio/drivers/brcmfmac/mmc1:0001:1", "./sdio/drivers/brcmfmac/mmc1:0002:1"),
        ("./hid/drivers/hid-generic/0003:046D:C31C.0001", "./hid/drivers/hid-generic/0003:046D:C31C.0003"),
        ("./mdio_bus/drivers/SMSC LAN8700/usb-001:003:01", "./mdio_bus/drivers/SMSC LAN8700/usb-001:004:01"),
    ],
)
def test_a_device_that_is_numbered_anew_is_the_same(one: str, other: str) -> None:
    assert len(names("devices", one)) == 1
    assert names("devices", one) == names("devices", other)


def test_two_functions_of_one_sdio_card_are_two_devices() -> None:
    assert len(names("devices", "./sdio/drivers/b/mmc1:0001:1\n./sdio/drivers/b/mmc1:0001:2")) == 2


@pytest.mark.parametrize(
    "line",
    [
        "<4>[    1.5] urandom[12]: mmc0: 0x1f",
        "<4>[   99.123456] urandom[7]: mmc1: 0x2f",
        "<4>[    1.500000][  T123] urandom[7]: mmc1: 0x2f",
        "<4>urandom[7]: mmc1: 0x2f",
    ],
)
def test_times_threads_and_numbers_make_no_new_message(line: str) -> None:
    assert names("messages", line) == ["warn: urandom: mmc#: #"]


def test_what_userland_writes_to_the_log_is_not_the_kernels() -> None:
    assert names("messages", "<30>[    5.0] systemd[1]: Started\n<12>[    5.0] udevd: failed\n<6>[    5.0] ok") == []


@pytest.mark.parametrize(
    "said",
    [
        "FAT-fs (mmcblk0p1): Volume was not properly unmounted. Some data may be corrupt. Please run fsck.",
        "hwmon hwmon1: Undervoltage detected!",
        "mmc0: error -110 whilst initialising SD card",
        "EXT4-fs error (device mmcblk0p2): ext4_lookup:1855: inode #2: comm init: iget: checksum invalid",
        "hrtimer: interrupt took 3141592 ns",
        "workqueue: drm_fb_helper_damage_work hogged CPU for >10000us 4 times, consider switching to WQ_UNBOUND",
    ],
)
def test_what_the_bench_did_is_no_message_of_the_kernels(said: str) -> None:
    assert names("messages", f"<4>[    5.000000] {said}\n<3>[    5.100000] vc4: broken") == ["err: vc#: broken"]


@given(st.text(max_size=300))
def test_half_a_line_breaks_nothing(text: str) -> None:
    for inventory in INVENTORIES.values():
        assert all(name and "\n" not in name for name in inventory.names(text))


def test_a_long_message_is_cut() -> None:
    assert len(names("messages", f"<3>[ 1.0] usb 1-1: {'x' * 5000}")[0]) < 250


# --- against the last good run ---------------------------------------------------------------------------------------
def test_what_the_last_good_run_had_is_missing() -> None:
    assert changes("devices", {"a"}, {"a", "b"}, {"a", "c"}) == ["b"]


def test_a_message_is_new_that_no_good_run_had() -> None:
    assert changes("messages", {"a", "b", "c"}, {"a"}, {"b"}) == ["c"]


def test_less_to_complain_about_is_no_loss() -> None:
    assert changes("messages", set(), {"a"}) == []
    assert changes("modalias", set(), {"a"}) == []


def test_without_a_good_run_nothing_is_missing_and_nothing_new() -> None:
    assert changes("devices", set()) == changes("messages", {"a"}) == []


def test_each_change_is_a_finding_that_names_the_good_run() -> None:
    found = INVENTORIES["devices"].objections(["usb/1-1 smsc95xx"], "2026-11-26T01-00-04-desk")
    assert [(each.kind, each.fault, each.severity) for each in found] == [("lost-devices", "KERNEL", "error")]
    assert found[0].text == ("usb/1-1 smsc95xx: there in 2026-11-26T01-00-04-desk",)


# --- the script that asks for every alias ----------------------------------------------------------------------------
def test_one_modprobe_asks_for_all_aliases_and_what_is_there_is_no_answer(tmp_path: Path) -> None:
    modules, programs = tmp_path / "lib/modules/R", tmp_path / "bin"
    for folder in (modules, programs, tmp_path / "sys/devices/a b"):
        folder.mkdir(parents=True)
    (modules / "modules.builtin").write_text("kernel/drivers/watchdog/built-in.ko\n")
    (tmp_path / "proc-modules").write_text("loaded_one 1 0 - Live 0x0\n")
    (tmp_path / "sys/devices/a b/modalias").write_text("of:NxT(null)C a$(touch hacked)\n")
    (tmp_path / "sys/devices/modalias").write_text("usb:v1\n")
    for name, body in {
        "uname": "echo R",
        "modprobe": 'echo "$@" >>"$CALLS"; printf "loaded-one\\nbuilt_in\\nabsent-one\\nabsent_one\\n"; exit 1',
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{body}\n")
        (programs / name).chmod(0o755)
    script = modalias.SCRIPT.replace("/lib/modules", f"{tmp_path}/lib/modules").replace("/sys/", f"{tmp_path}/sys/")
    script = script.replace("/proc/modules", f"{tmp_path}/proc-modules")
    env = {"PATH": f"{programs}:/usr/bin:/bin", "CALLS": str(tmp_path / "calls")}
    done = subprocess.run(["sh", "-c", script], env=env, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert names("modalias", done.stdout) == ["absent_one"]
    assert (tmp_path / "calls").read_text() == "-R -a -q of:NxT(null)C a$(touch hacked) usb:v1\n"
    assert not (tmp_path / "hacked").exists()
    assert shlex.split(modalias.COMMAND)[3] == modalias.SCRIPT
