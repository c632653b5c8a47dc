"""A year of a lab that never was: records of runs as nights leave them, the same for the same seed."""

import datetime
import random
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import attrs
from _common import say

from harness.model import AttemptRecord, BootRecord, Measurement, Verdict, VerdictName
from harness.nightly import db
from harness.nightly.store import Paper, Store
from harness.report.record import CaseRecord, RunRecord
from harness.verdict.findings import finding

BEGAN = datetime.datetime(2025, 1, 1, 1, 0, tzinfo=datetime.UTC)
USUAL = {"firmware": 2.1, "kernel": 3.6, "rootfs": 6.2, "init": 6.6, "login": 21.0}  # seconds from power-on
BOOTS = 4
BATCH = 1000  # records a transaction
MODULES = tuple(f"module_{number}" for number in range(120))
DEVICES = tuple(f"platform/fe{number:06x}.device" for number in range(80))
AGAIN, BENCH, RETRIED, BROKEN, BREAKS, MENDED = 0.05, 0.02, 0.01, 0.02, 0.02, 0.1
"""How often a kernel runs a second time, the bench fails, a test is repeated, a test fails for once; how often a branch
breaks on a night, and is mended."""


@attrs.frozen
class Plan:
    """How large the lab is."""

    branches: int = 10
    boards: int = 20
    nights: int = 365
    checks: int = 60


@attrs.define
class _Branch:
    """What goes on in one branch."""

    name: str
    broken: list[int] = attrs.field(factory=list)
    """Numbers of the checks that fail on every board."""

    def night(self, plan: Plan, rng: random.Random) -> None:
        """Let a day of work pass."""
        if self.broken and rng.random() < MENDED:
            self.broken.pop()
        elif rng.random() < BREAKS:
            self.broken.append(rng.randrange(plan.checks))


def year(plan: Plan, seed: int = 1) -> Iterator[RunRecord]:
    """Yield all runs, in the order in which they were made."""
    rng = random.Random(seed)
    branches = [_Branch(f"rpi-6.{number}.y") for number in range(plan.branches)]
    for night in range(plan.nights):
        for branch in branches:
            branch.night(plan, rng)
            for board in range(plan.boards):
                times = 1 + (rng.random() < AGAIN)
                yield from (_run(plan, branch, board, night, again, rng) for again in range(times))


def filled(plan: Plan, path: Path, folder: Path) -> Iterator[str]:
    """Write a year into a new history; yield the names of the runs, whose folders would be below *folder*."""
    began = time.monotonic()
    with db.writing(path) as opened:
        store, runs = Store(opened), year(plan)
        while batch := list(islice(runs, BATCH)):
            with db.transaction(opened):
                for record in batch:
                    store.take(Paper(record, record.run_id.encode(), str(folder / record.run_id), lambda: MODULES))
                    yield record.run_id
    say(f"filled in {time.monotonic() - began:.0f} s")


def _run(plan: Plan, branch: _Branch, board: int, night: int, again: int, rng: random.Random) -> RunRecord:
    target, start = f"desk-rpi{board}", BEGAN + datetime.timedelta(days=night, minutes=3 * board, hours=again)
    commit = f"{night:04x}{sum(branch.name.encode()):04x}{'0' * 32}"
    bench, repeated = rng.random() < BENCH, rng.random() < RETRIED
    failed = {*branch.broken, *([rng.randrange(plan.checks)] if rng.random() < BROKEN else [])}
    boots = tuple(_boot(target, board, number, rng) for number in range(BOOTS))
    tests = tuple(_case(number, number in failed, bench) for number in range(plan.checks))
    oops = [_complaint(number) for number in branch.broken] if branch.broken else []
    name = VerdictName.LAB if bench else VerdictName.KERNEL if failed else VerdictName.PASS
    return RunRecord(
        run_id=f"{start:%Y-%m-%dT%H-%M-%S}-{target}-{branch.name}{'-2' * again}",
        target=target,
        started=f"{start:%Y-%m-%dT%H:%M:%SZ}",
        finished=f"{start + datetime.timedelta(seconds=180):%Y-%m-%dT%H:%M:%SZ}",
        board=("rpi-3-b", "rpi-4-b")[board % 2],
        host=f"bench{board % 3}",
        argv=("tests_hw", "--board", target, "--ref", branch.name),
        asked={"kernel": {"source": "git+https://git.example/linux.git", "ref": branch.name, "config": None,
                          "fragments": ["smoke"], "prebuilt": []}, "layout": "side-by-side", "depmod": "host"},
        tree="git+https://git.example/linux.git",
        branch=branch.name,
        source=f"git https://git.example/linux.git {branch.name} ({commit[:12]})",
        commit=commit,
        release=f"6.1.{night}-pi64-{commit[:8]}",
        build_id=commit,
        build_key=f"{commit[:30]}{board % 2:02x}",
        base_config="bcm2711_defconfig",
        fragments=("smoke",),
        toolchain="aarch64-linux-gnu-gcc 12.2.0",
        image="Debian bookworm armhf",
        image_digest="3c9361c4",
        boots=boots,
        findings=tuple(oops),
        tests=tests,
        attempts=(AttemptRecord(tests[0].nodeid, 1, VerdictName.LAB, "the bench failed", (), 1, 1, set_aside=True),)
        if repeated
        else (),
        measurements=tuple(
            Measurement(name, rng.gauss(100, 3), "MB/s") for name in ("card.read", "ethernet.receive", "memory.copy")
        ),
        inventory={"modules": MODULES, "devices": DEVICES},
        verdict=Verdict(name, "every boot reached its login" if name is VerdictName.PASS else "what the rule says"),
        console_log="console.log",
    )  # fmt: skip


def _boot(target: str, board: int, number: int, rng: random.Random) -> BootRecord:
    slow = rng.gauss(1 + board / 20 + 0.1 * (number == 0), 0.03)
    stages = {stage: round(seconds * slow * rng.gauss(1, 0.01), 3) for stage, seconds in USUAL.items()}
    told = finding("root-wait", "Waiting for root device", fault="KERNEL", severity="info", text=("Waiting",))
    return BootRecord(target, stages, True, "", (told,), Path("console.log"), 300 * number + 1, ("login: ",))


def _case(number: int, failed: bool, bench: bool) -> CaseRecord:
    name = f"tests_hw/test_checks.py::test_check[check_{number}]"
    if bench and number > 40:
        return CaseRecord(name, "error", 0.01, "desk: the console line was lost", "LAB", blame="LAB")
    if failed:
        return CaseRecord(name, "failed", 0.4, f"desk: check_{number}: wrong answer", "KERNEL", blame="KERNEL")
    return CaseRecord(name, "passed", 0.1)


def _complaint(number: int) -> object:
    return finding("warning", f"WARNING in driver_{number}", fault="KERNEL", severity="warning", text=("WARNING",))
