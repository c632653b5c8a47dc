"""Records of runs as nights leave them, for the tests of what becomes of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.model import AttemptRecord, BootRecord, Finding, Verdict, VerdictName
from harness.report.record import CaseRecord, RunRecord, to_json
from harness.verdict.findings import finding

KERNEL = {"source": "git+https://git.example/linux.git", "ref": "rpi-6.12.y", "config": None, "fragments": ["smoke"]}
OOPS = finding("oops", "Unable to handle kernel NULL at 0x8 (in vc4)", fault="KERNEL")
SAGGING = finding("under-voltage", "Undervoltage detected!", fault="LAB", severity="warning")
TESTS = {"test_boots": "passed", "test_check[release]": "passed", "test_check[modules]": "passed"}


def boot(
    login: float = 20.0, *, control: bool = False, reached: bool = True, findings: Sequence[Finding] = ()
) -> BootRecord:
    """A boot, whole or stopped at its root filesystem."""
    stages = {"firmware": 2.0, "kernel": 3.0, "rootfs": 6.0, **({"init": 6.5, "login": login} if reached else {})}
    reason = "" if reached else "60 s without a byte"
    return BootRecord(
        "desk",
        stages,
        reached,
        reason,
        tuple(findings),
        Path("console.log"),
        1,
        control=control,
        release="6.1-good" * control,
    )


def case(name: str, outcome: str = "passed", blame: str = "", *, attempt: int = 1) -> CaseRecord:
    """How a test ended."""
    failed = outcome in {"failed", "error"}
    message = f"desk: {name} did not hold" if failed else ""
    return CaseRecord(name, outcome, 0.5, message, attempt=attempt, blame=blame or ("KERNEL" if failed else ""))


def night(
    number: int,
    verdict: str | None = None,
    *,
    tests: Mapping[str, str] = TESTS,
    target: str = "desk",
    again: int = 0,
    **facts: Any,
) -> RunRecord:
    """Night *number*'s run on *target*: a PASS unless a test failed, or *verdict* says otherwise."""
    day = f"2026-{1 + number // 28:02}-{1 + number % 28:02}"
    failed = any(outcome in {"failed", "error"} for outcome in tests.values())
    name = VerdictName(verdict or ("KERNEL" if failed else "PASS"))
    known = {
        "board": "rpi-4-b",
        "host": "bench",
        "asked": {"kernel": KERNEL, "layout": "side-by-side"},
        "tree": KERNEL["source"],
        "branch": KERNEL["ref"],
        "source": f"git rpi-6.12.y ({number:012x})",
        "commit": f"{number:040x}",
        "release": f"6.12.{number}-pi64",
        "build_id": f"{number:040x}",
        "build_key": f"{number:032x}",
        "base_config": "bcm2711_defconfig",
        "fragments": ("smoke",),
        "toolchain": "gcc 12.2.0",
        "image": "Debian bookworm armhf",
        "image_digest": "1234",
        "boots": (boot(),),
        "tests": tuple(case(test, outcome) for test, outcome in tests.items()),
        "verdict": Verdict(name, "what the rule says"),
        "finished": f"{day}T01:1{again}:00Z",
    }
    return RunRecord(
        run_id=f"{day}T01-0{again}-00-{target}", target=target, started=f"{day}T01:0{again}:00Z", **{**known, **facts}
    )


def spoilt(test: str, boot_number: int = 1) -> AttemptRecord:
    """An attempt that was set aside because the bench had failed."""
    return AttemptRecord(test, 1, VerdictName.LAB, "the bench failed", (), boot_number, boot_number, set_aside=True)


def written(runs: Path, *records: RunRecord, modules: Sequence[str] = ("dummy", "vc4")) -> Path:
    """Write *records* below *runs* as runs do; return *runs*."""
    for record in records:
        folder = runs / record.run_id
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "run.json").write_text(to_json(record))
        if record.release:
            (folder / "kernel.json").write_text('{"modules": ["' + '", "'.join(modules) + '"]}')
    return runs
