"""Whose fault was it? Breaks something on purpose, on a virtual board with a real kernel, and asks pi64.

One line a fault: its name, the verdict expected, the one given in run.json, and the seconds from the fault (or from
power-on, where the fault was there before) until the first test had failed for it. Status 1 when a verdict is wrong.
`--only NAME` runs some of them, `--markdown` prints the table of docs/verdicts.md, `--keep DIR` keeps the runs.
"""

import argparse
import contextlib
import http.server
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import yaml
from _common import PYTEST, ROOT, environment, say, scratch
from _faults import DISK, mark

from harness import boards
from harness.build import kernel as kernels
from harness.build import source as sources
from harness.build import toolchain as toolchains
from harness.lab import config
from harness.model import KernelBuild

FRAGMENTS = ROOT / "bench" / "faults"
RUN_LIMIT_S = 400
INIT = "as init process"
STRIKE = "strike now"
KNOWN_GOOD = "(the shipped kernel)"  # stands for its key in the cache
UNDERVOLTED = """init=/bin/sh -- -c "printf '<4>hwmon hwmon1: Undervolt%s detected!' age > /dev/kmsg" """.strip()


@attrs.frozen
class Fault:
    """One thing that goes wrong, and the verdicts that are right then."""

    name: str
    what: str
    """For people."""
    expected: str
    """Verdicts, with ``|`` between them where more than one is right."""
    tests: str = "boots"
    """Tests of ``_faults_hw.py``, without ``test_``."""
    target: str = "virtual-rpi3"
    fragment: str = ""
    """File in ``faults/`` on top of the target's fragments."""
    options: Mapping[str, Any] = attrs.field(factory=dict)
    """Over the target's options in lab.yaml."""
    driver: Mapping[str, Any] = attrs.field(factory=dict)
    """Arguments of FaultyPiDriver."""
    wrong: Mapping[str, Any] = attrs.field(factory=dict)
    """What is deployed wrongly: see ``_faults_hw.py``."""
    args: tuple[str, ...] = ()
    """Further arguments of pytest."""
    bench: str = ""
    """What else is wrong with the bench: ``switch`` answers 500, ``disk`` is small."""
    blamed: str = ""
    """The only test that may fail, by a part of its name."""


# fmt: off
WAIT = {"cmdline": ["rootwait=3"]}
SILENT = {"deadlines": {"silence": 15}}
FAULTS = (
    # --- the kernel ---------------------------------------------------------------------------------------------------
    Fault("healthy", "nothing is broken", "PASS", "boots test_before"),
    Fault("panic-in-init", "no CONFIG_COMPAT_32BIT_TIME below a 32-bit userland", "KERNEL",
          fragment="no-time32.config"),
    Fault("boot-loop", "the same with panic=1: it would begin again and again", "KERNEL",
          fragment="no-time32.config", options={"cmdline": ["panic=1"]}),
    Fault("hang", "the device tree names the timer's interrupt wrongly: the kernel waits for a tick", "KERNEL",
          options=SILENT, wrong={"timer": [9, 4] * 4}),
    Fault("hang-and-control", "the same, and the known-good kernel boots on the same bench", "KERNEL",
          fragment="faults.config", options=SILENT, wrong={"timer": [9, 4] * 4}, args=("--known-good", KNOWN_GOOD)),
    Fault("stopped", 'all processors stop after "Booting Linux"', "KERNEL",
          options=SILENT, driver={"at": "Linux version", "fault": "stopped", "monitor": "qmp"}),
    Fault("no-card-driver", "no driver for the card's controller", "KERNEL",
          target="virtual-rpi4", fragment="faults.config", options=WAIT),
    Fault("no-card-driver-rootwait", "the same, and the kernel waits for ever", "KERNEL",
          target="virtual-rpi4", fragment="faults.config", options=SILENT),
    Fault("no-watchdog", "no CONFIG_BCM2835_WDT: a reboot does not come back", "KERNEL", "reboots",
          fragment="faults.config"),
    Fault("warning", "WARNING from a module during a test", "KERNEL",
          "before provokes[WARNING-0] after", fragment="faults.config", blamed="WARNING"),
    Fault("oops", "NULL pointer written to by a module during a test", "KERNEL",
          "before provokes[EXCEPTION-0] after", fragment="faults.config", blamed="EXCEPTION"),
    Fault("bug", "BUG() in a module during a test", "KERNEL",
          "before provokes[BUG-0] after", fragment="faults.config", blamed="BUG"),
    Fault("panic", "panic during a test", "KERNEL", "before provokes[PANIC-0]", fragment="faults.config"),
    Fault("soft-lockup", "a module spins during a test", "KERNEL",
          "before provokes_a_hang[SOFTLOCKUP-20]", fragment="faults.config", blamed="SOFTLOCKUP"),
    Fault("hung-task", "a task never wakes up during a test", "KERNEL",
          "before provokes_a_hang[HUNG_TASK-30] after", fragment="faults.config", blamed="HUNG_TASK"),

    # --- what was deployed --------------------------------------------------------------------------------------------
    Fault("wrong-root", "root= names a partition that is not there", "DEPLOY",
          options=WAIT | {"root": "/dev/mmcblk0p9"}),
    Fault("wrong-root-rootwait", "the same, and the kernel waits for ever", "DEPLOY",
          options=SILENT | {"root": "/dev/mmcblk0p9"}),
    Fault("no-init", "init= names a program that is not there", "DEPLOY", options={"cmdline": ["init=/no/such"]}),
    Fault("foreign-module", "lib/modules holds modules of another build", "DEPLOY", "a_module_loads",
          wrong={"modules": "no-time32.config"}),
    Fault("wrong-console", "console= names a port that is not there: no login comes on ours", "DEPLOY|INCONCLUSIVE",
          options=SILENT, wrong={"cmdline": {"console=serial0,115200": "console=ttyS1,115200"}}),

    # --- the bench ----------------------------------------------------------------------------------------------------
    Fault("qemu-killed-boot", "QEMU dies during the boot", "LAB", driver={"at": INIT, "fault": "qemu-killed"}),
    Fault("qemu-killed-test", "QEMU dies during a test", "LAB", "something_breaks_meanwhile",
          driver={"at": STRIKE, "fault": "qemu-killed"}),
    Fault("hung-up-boot", "the serial line is hung up during the boot", "LAB", driver={"at": INIT, "fault": "hung-up"}),
    Fault("hung-up-test", "the serial line is hung up during a test", "LAB", "something_breaks_meanwhile",
          driver={"at": STRIKE, "fault": "hung-up"}),
    Fault("power-fails", "the power switch answers 500", "LAB", bench="switch"),
    Fault("power-sticks", "the relay sticks: off does not cut", "LAB", "starts_cold", driver={"stuck": True}),
    Fault("card-ejected-boot", "the card is out of its slot during the boot", "LAB|INCONCLUSIVE",
          options=SILENT, driver={"at": INIT, "fault": "card-ejected", "monitor": "qmp"}),
    Fault("card-ejected-test", "the card is out of its slot during a test", "LAB|INCONCLUSIVE",
          "something_breaks_meanwhile", driver={"at": STRIKE, "fault": "card-ejected", "monitor": "qmp"}),
    Fault("wrong-baud", "the console comes at 1.6 times the baud rate from the start", "LAB",
          options=SILENT, driver={"at": "", "fault": "wrong-baud"}),
    Fault("wrong-baud-kernel", "the same from the kernel's first line on (a mini-UART's clock)", "LAB|INCONCLUSIVE",
          options=SILENT, driver={"at": "Linux version", "fault": "wrong-baud"}),
    Fault("silent-from-the-start", "not a byte on the console", "LAB",
          options=SILENT, driver={"at": "", "fault": "silent"}),
    Fault("loose-wire-and-control", "nothing is heard from init on, whichever kernel boots", "LAB",
          options=SILENT, driver={"at": INIT, "fault": "silent"}, args=("--known-good", KNOWN_GOOD)),
    Fault("flake", "QEMU dies during the boot, but only once", "INCONCLUSIVE",
          driver={"at": INIT, "fault": "qemu-killed", "times": 1}),
    Fault("disk-full", "the disk with the run's record is full", "LAB", driver={"at": INIT, "fault": "disk-full"},
          bench="disk"),
    Fault("stopped-once-and-control", "all processors stop, but only once: the kernel boots when asked again",
          "INCONCLUSIVE",
          options=SILENT, driver={"at": "Linux version", "fault": "stopped", "monitor": "qmp", "times": 1},
          args=("--known-good", KNOWN_GOOD)),

    # --- both ---------------------------------------------------------------------------------------------------------
    Fault("under-voltage-and-panic", "the kernel's voltage monitor has spoken (by /dev/kmsg), then init dies",
          "INCONCLUSIVE", wrong={"append": UNDERVOLTED}),
    Fault("under-voltage-and-oops", "the same (by /dev/kmsg), and a module writes to NULL, during a test",
          "INCONCLUSIVE", "is_undervolted_and_provokes", fragment="faults.config"),
)
# fmt: on


@attrs.frozen
class Answer:
    """What pi64 said about a fault."""

    verdict: str
    rule: str
    failed: tuple[str, ...]
    """Names of the tests that did not pass."""
    seconds: float | None
    since: str
    """What the seconds count from: ``fault`` or ``on``."""
    folder: Path | None

    def right(self, fault: Fault) -> bool:
        """Tell whether it is what was expected, and whether it names the right test."""
        named = not fault.blamed or (len(self.failed) == 1 and fault.blamed in self.failed[0])
        return self.verdict in fault.expected.split("|") and named


def ask(fault: Fault, folder: Path, runs: Path) -> Answer:
    """Run pytest with *fault* and read the verdict."""
    work = folder / fault.name
    work.mkdir()
    marks = work / "marks.json"
    with _bench(fault, marks) as url:
        lab = work / "lab.yaml"
        lab.write_text(json.dumps(_lab(fault, folder, work, url)))
        hardware = ROOT / "bench" / "_faults_hw.py"
        tests = [f"{hardware}::test_{name.removeprefix('test_')}" for name in fault.tests.split()]
        command = [*PYTEST, "-p", "_faults", *tests, "--board", fault.target, "--lg-env", str(lab)]
        command += [_shipped(work).key if arg == KNOWN_GOOD else arg for arg in fault.args]
        said = _run(_with_runs(command, fault, runs), _environment(fault, work, marks), work)
    return _answer(runs, marks, said)


def _run(command: list[str], env: dict[str, str], work: Path) -> str:
    with (work / "pytest.txt").open("w+") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=subprocess.STDOUT)
        try:
            process.wait(RUN_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.terminate()
            process.wait(60)
        out.seek(0)
        return out.read()


def _environment(fault: Fault, work: Path, marks: Path) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT / "bench"), str(ROOT)])
    wrong = dict(fault.wrong)
    if "modules" in wrong:
        other = _shipped(work, FRAGMENTS / wrong["modules"])
        wrong["modules"] = str(other.modules_root / "lib/modules" / other.release)
    own = {"PYTHONPATH": path, "PI64_FAULT": json.dumps(wrong), "PI64_FAULT_MARKS": str(marks)}
    return environment("verdicts", work) | own


def _shipped(folder: Path, *fragments: Path) -> KernelBuild:
    """Return the kernel of the shipped lab.yaml with *fragments* on top, from the cache or built now."""
    options = config.load(ROOT / "lab.yaml").target("virtual-rpi3")
    return kernels.build(
        sources.open_tree(options.kernel.source, ref=options.kernel.ref),
        toolchains.choose(options.kernel.toolchain),
        boards.load(options.model),
        config=options.kernel.config,
        fragments=[*options.kernel.fragments, *fragments],
        log=folder / "build.log",
    )


def _answer(runs: Path, marks: Path, said: str) -> Answer:
    record = runs / "latest" / "run.json"
    data = json.loads(record.read_text()) if record.exists() else {}
    verdict = data.get("verdict") or _spoken(said)
    failed = tuple(case["nodeid"] for case in data.get("tests", ()) if case["outcome"] in {"failed", "error"})
    times = json.loads(marks.read_text()) if marks.exists() else {}
    since = "fault" if "fault" in times else "on"
    seconds = times["known"] - times[since] if {since, "known"} <= times.keys() else None
    return Answer(verdict["name"], verdict["rule"], failed, seconds, since, record.parent.resolve())


def _spoken(said: str) -> dict[str, str]:
    """Return the verdict that was shown, for want of one in the record: a full disk takes nothing more."""
    found = re.search(r"^verdict: (\w+): (.*)$", said, re.MULTILINE)
    last = "\n".join(said.splitlines()[-12:])
    return {"name": found[1], "rule": found[2]} if found else {"name": "none", "rule": last}


# --- the bench -------------------------------------------------------------------------------------------------------
def _lab(fault: Fault, folder: Path, work: Path, url: str) -> dict[str, Any]:
    """Return a lab.yaml of one target: the shipped one, with a card of our own and with the fault."""
    target = yaml.safe_load((ROOT / "lab.yaml").read_text())["targets"][fault.target]
    options = target["options"]
    if fault.fragment:
        options["kernel"]["fragments"].append(str(FRAGMENTS / fault.fragment))
    options["cmdline"] = [*options["cmdline"], *fault.options.get("cmdline", ())]
    options |= {key: value for key, value in fault.options.items() if key != "cmdline"}
    driver = dict(fault.driver)
    if "monitor" in driver:
        driver["monitor"] = str(work / driver["monitor"])
    target["resources"] = {"CardImage": {"file": str(folder / f"{fault.target}.img")}}
    target["drivers"] = {"FaultyPiDriver": driver, "CardImageDriver": {}, "RaspberryPiStrategy": {}}
    if fault.bench == "switch":
        target["resources"]["NetworkPowerPort"] = {"model": "rest", "host": url, "index": "1"}
        target["drivers"] = {
            "FaultyPiDriver": driver | {"name": "pi"},
            "NetworkPowerDriver": {"name": "switch"},
            "CardImageDriver": {},
            "RaspberryPiStrategy": {"bindings": {"power": "switch", "console": "pi"}},
        }
    return {"imports": ["harness.lab.drivers", "_faults"], "targets": {fault.target: target}}


@contextlib.contextmanager
def _bench(fault: Fault, marks: Path) -> Iterator[str]:
    """Yield the address of a power switch that fails, if the fault wants one; *marks* gets the time it first does."""
    if fault.bench != "switch":
        yield ""
        return
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_FailingSwitch, marks))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/relay/{{index}}"
    finally:
        server.shutdown()
        server.server_close()


class _FailingSwitch(http.server.BaseHTTPRequestHandler):
    """A power switch with a web interface, whose relay board does not answer."""

    def __init__(self, marks: Path, *args: Any) -> None:
        self._marks = marks
        super().__init__(*args)

    def do_PUT(self) -> None:
        """Refuse to switch."""
        mark("fault", self._marks)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_error(500, "relay board does not answer")

    do_GET = do_PUT  # noqa: N815 - http.server's own way

    def log_message(self, *_: Any) -> None:
        """Say nothing: standard error belongs to the figures."""


ON_A_SMALL_DISK = """
mount -t tmpfs -o size=1m tmpfs "$PI64_FAULT_DISK" && "$@"
status=$?
rm -f "$PI64_FAULT_DISK/ballast"
cp -r "$PI64_FAULT_DISK"/. "$PI64_FAULT_DISK/.."
exit $status
"""


def _with_runs(command: list[str], fault: Fault, runs: Path) -> list[str]:
    """Return *command* so that it keeps its record in *runs*; if the fault wants it, on a disk of 1 MiB until it ends.

    That disk is mounted where no other process sees it, which needs no root.
    """
    if fault.bench != "disk":
        return [*command, "--runs", str(runs)]
    disk = runs / "disk"
    disk.mkdir(exist_ok=True)
    own = ["unshare", "--map-root-user", "--mount", "env", f"{DISK}={disk}", "sh", "-c", ON_A_SMALL_DISK, "sh"]
    return [*own, *command, "--runs", str(disk)]


# --- the table -------------------------------------------------------------------------------------------------------
def _line(fault: Fault, answer: Answer) -> str:
    seconds = "-" if answer.seconds is None else f"{answer.seconds:.1f} s since {answer.since}"
    state = "ok" if answer.right(fault) else "WRONG"
    return f"{fault.name:<26} {fault.expected:<17} {answer.verdict:<13} {seconds:<20} {state}"


def _row(fault: Fault, answer: Answer) -> str:
    seconds = "-" if answer.seconds is None else f"{answer.seconds:.1f} ({answer.since})"
    expected = fault.expected.replace("|", " or ")
    return f"| {fault.what} | {expected} | {answer.verdict} | {seconds} |"


def main() -> None:
    """Ask about each fault; status 1 when an answer is wrong."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was begun is undone
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="NAME", help="this fault; may be given again")
    parser.add_argument("--markdown", action="store_true", help="print the table for docs/verdicts.md at the end")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where to leave the records of the runs")
    args = parser.parse_args()
    unknown = set(args.only or ()) - {fault.name for fault in FAULTS}
    if unknown:
        parser.error(f"no fault {', '.join(sorted(unknown))}; known: {', '.join(fault.name for fault in FAULTS)}")
    asked = [fault for fault in FAULTS if not args.only or fault.name in args.only]
    rows, status = [], 0
    with scratch() as folder:
        for fault in asked:
            runs = (args.keep.absolute() if args.keep else folder / "runs") / fault.name
            runs.mkdir(parents=True, exist_ok=True)
            answer = ask(fault, folder, runs)
            print(_line(fault, answer), flush=True)
            if not answer.right(fault):
                say(f"  {answer.rule}; failed: {', '.join(answer.failed) or 'nothing'}; {answer.folder}")
            rows.append(_row(fault, answer))
            status |= not answer.right(fault)
    if args.markdown:
        print("\n".join(["| fault | expected | given | seconds until known |", "|---|---|---|---|", *rows]))
    sys.exit(status)


if __name__ == "__main__":
    main()
