"""What the harness costs: one scenario through pytest, and the same steps by a bare pexpect script.

Boot, login, depmod, reboot, login, modprobe, poweroff; on copies of one deployed card, with one kernel, DTB and kernel
command line, on the same QEMU machine; turn by turn, medians. Both clocks start before power-on and stop when QEMU has
ended. The comparison is hard on the harness: it pays for copying the card into the slot, for our firmware (which reads
the card at both boots) and for the record of every byte; the script finds its card, its kernel and its DTB ready, types
without pexpect's usual delay, and looks at nothing but its prompts.
"""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pexpect
from _common import (
    PYTEST,
    ROOT,
    Figure,
    Inputs,
    environment,
    inputs,
    main,
    median,
    own_lab,
    repeats,
    say,
    scratch,
    timed,
)

from harness import host
from harness.card.copy import copy_sparse
from harness.errors import LabError
from harness.virtual import firmware
from harness.virtual.qemu import BootImage

LIMIT = 1.10
TARGET = "virtual-rpi3"
STEPS = ("start", "login", "shell", "depmod", "login again", "shell again", "modprobe", "off")
PROMPT = r"\$ "
BOOT_S = 300  # the harness's own deadline


def figures() -> Iterator[Figure]:
    """Run both sides in turn, then compare the medians."""
    number, given = repeats(2), inputs(TARGET)
    ours: list[dict[str, float]] = []
    bare: list[dict[str, float]] = []
    whole: list[float] = []
    with scratch() as folder:
        lab = own_lab(folder)
        for _ in range(number):
            with timed(whole):
                ours.append(_harness(folder, lab))
            bare.append(_bare(folder, given))
    for step in STEPS[1:]:
        spent = [median([marks[step] - marks["start"] for marks in side]) for side in (ours, bare)]
        say(f"{step:<12} harness {spent[0]:6.2f} s   bare {spent[1]:6.2f} s")
    seconds = [median([marks["off"] - marks["start"] for marks in side]) for side in (ours, bare)]
    yield Figure("scenario.harness", seconds[0])
    yield Figure("scenario.bare", seconds[1])
    yield Figure("scenario.whole_command", median(whole))
    yield Figure("scenario.ratio", seconds[0] / seconds[1], unit="x", limit=LIMIT)


# --- through pytest --------------------------------------------------------------------------------------------------
def _harness(folder: Path, lab: Path) -> dict[str, float]:
    """Run the scenario through the plugin and return its time-stamps."""
    runs = folder / "runs"
    command = [*PYTEST, str(ROOT / "bench" / "_scenario_hw.py"), "--board", TARGET, "--depmod", "target"]
    done = subprocess.run(
        [*command, "--lg-env", str(lab), "--runs", str(runs)],
        cwd=ROOT,
        env=environment("scenario", folder),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise LabError("the scenario failed through the harness", evidence=done.stdout.splitlines()[-30:])
    marks: dict[str, float] = json.loads((runs / "latest" / "scenario.json").read_text())
    return marks


# --- by hand ---------------------------------------------------------------------------------------------------------
def _bare(folder: Path, given: Inputs) -> dict[str, float]:
    """Do the same on a copy of the card that the harness deployed, and return the time-stamps."""
    work = folder / "bare"
    work.mkdir()
    card = work / "card.img"
    copy_sparse(folder / "card.img", card)
    image = firmware.load(card, given.board, work).image
    assert image is not None
    command = _command(given, image, card)
    account = given.options.login.account(TARGET)
    try:
        return _steps(command, account.user, account.password, work / "console.log")
    except pexpect.ExceptionPexpect as error:
        raise LabError("the bare script failed", evidence=str(error).splitlines()) from error
    finally:
        shutil.rmtree(work)


def _steps(command: list[str], user: str, password: str, log: Path) -> dict[str, float]:
    marks = {"start": time.monotonic()}
    with log.open("wb") as written:
        pi = _on(command, written)
        _to_login(pi, marks, "login")
        _log_in(pi, user, password, marks, "shell")
        _ask(pi, "sudo depmod -a", marks, "depmod")
        pi.sendline("sudo systemctl reboot")
        pi.expect(pexpect.EOF, timeout=BOOT_S)
        pi.close()
        pi = _on(command, written)
        _to_login(pi, marks, "login again")
        _log_in(pi, user, password, marks, "shell again")
        _ask(pi, "sudo modprobe dummy", marks, "modprobe")
        pi.sendline("sudo systemctl poweroff")
        pi.expect(pexpect.EOF, timeout=BOOT_S)
        pi.close()
    return {**marks, "off": time.monotonic()}


def _on(command: list[str], log: BinaryIO) -> "pexpect.spawn[bytes]":
    pi: pexpect.spawn[bytes] = pexpect.spawn(command[0], command[1:], timeout=60)
    pi.logfile_read = log
    pi.delaybeforesend = None
    return pi


def _to_login(pi: "pexpect.spawn[bytes]", marks: dict[str, float], name: str) -> None:
    pi.expect("login: ", timeout=BOOT_S)
    marks[name] = time.monotonic()


def _log_in(pi: "pexpect.spawn[bytes]", user: str, password: str, marks: dict[str, float], name: str) -> None:
    pi.sendline(user)
    pi.expect("Password: ")
    pi.sendline(password)
    pi.expect(PROMPT)
    marks[name] = time.monotonic()


def _ask(pi: "pexpect.spawn[bytes]", command: str, marks: dict[str, float], name: str) -> None:
    pi.sendline(f"{command} && echo do''ne")  # its echo is not the answer
    if pi.expect(["done\r", PROMPT]) != 0:
        raise LabError(f"the bare script: `{command}` failed", evidence=str(pi.before).splitlines()[-5:])
    pi.expect(PROMPT)
    marks[name] = time.monotonic()


def _command(given: Inputs, image: BootImage, card: Path) -> list[str]:
    """Return QEMU's command line as one would type it: the same machine, the serial line on the terminal."""
    assert given.board.qemu is not None
    # fmt: off
    return [
        host.find("qemu-system-aarch64"),
        "-M", given.board.qemu.machine,
        "-kernel", str(image.kernel),
        "-dtb", str(image.dtb),
        "-append", image.cmdline,
        "-drive", f"if=sd,format=raw,file={card}",
        "-serial", "stdio",
        "-serial", "null",
        "-monitor", "none",
        "-display", "none",
        "-no-reboot",
    ]
    # fmt: on


if __name__ == "__main__":
    main(figures())
