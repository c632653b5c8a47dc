"""The control boot: whether a known-good kernel boots on the rig on which the one under test did not."""

from collections.abc import Iterator
from pathlib import Path

import attrs

from harness.build import store
from harness.errors import LabError, TargetError, UsageError
from harness.lab import kernels
from harness.lab.options import TargetOptions
from harness.model import BootRecord, KernelBuild, Verdict, VerdictName
from harness.report import record as records
from harness.report.record import RunRecord
from harness.strategy import RaspberryPiStrategy
from harness.verdict.attempts import Evidence

LAST = "last"


def known_good(word: str, *, runs: Path, target: str) -> KernelBuild:
    """Return the kernel that *word* names: a key (or its beginning) or folder of a stored one, or ``last``.

    ``last`` is the kernel of the newest run below *runs* on *target* that was a PASS and is still in the cache.
    UsageError when there is no such kernel.
    """
    if word != LAST:
        return store.known(word)
    for run in _passed(runs, target):
        try:
            return store.known(run.build_key)
        except UsageError:
            continue  # the cache has been cleared since
    raise UsageError(
        f"--known-good last: no run on {target} below {runs} was a PASS with a kernel that is still in the cache",
        hint="name a kernel by its key or folder, or run a kernel first that is known to boot",
    )


def _passed(runs: Path, target: str) -> Iterator[RunRecord]:
    """Yield the runs on *target* that passed, newest first; what cannot be read is no known-good run."""
    found = []
    for path in runs.glob("*/run.json"):
        if path.parent.is_symlink():
            continue
        try:
            found.append(records.from_json(path.read_text(), name=str(path)))
        except (OSError, UnicodeDecodeError, UsageError):
            continue
    for run in sorted(found, key=lambda run: (run.started, run.run_id), reverse=True):
        if run.target == target and run.build_key and run.verdict and run.verdict.name is VerdictName.PASS:
            yield run


def need_medium(strategy: RaspberryPiStrategy) -> None:
    """Raise UsageError for a target on which nothing is deployed: the same kernel would boot twice."""
    if not strategy.medium:
        raise UsageError(
            f"{strategy.target.name}: --known-good needs a deploy method, and this target has none",
            hint="add its driver in lab.yaml (`CardImageDriver: {}`, say), or leave --known-good out",
        )


def due(verdict: Verdict, kept: Evidence) -> bool:
    """Tell whether a control boot would say more than *verdict* does about *kept*.

    A boot stopped, and somebody may be blamed for it; or it was silent, and the bench itself knows of no fault.
    """
    stopped = [boot for boot in kept.boots if not boot.reached]
    broke = any(error.fault == "LAB" for error in kept.errors)
    silent = not broke and any(boot.last_stage == "none" and not boot.findings for boot in stopped)
    blames = {VerdictName.KERNEL, VerdictName.DEPLOY, VerdictName.INCONCLUSIVE}
    return bool(stopped) and (verdict.name in blames or (verdict.name is VerdictName.LAB and silent))


def boot(kernel: KernelBuild, options: TargetOptions, strategy: RaspberryPiStrategy) -> BootRecord:
    """Deploy *kernel*, boot it cold, and leave the board off; the record is the strategy's last.

    What the bench does wrong meanwhile is in the record, as a boot that stopped. UsageError when the kernel does not
    fit this board: nothing is known then.
    """
    before = len(strategy.boots)
    try:
        strategy.files = kernels.boot_files(kernel, options, strategy)
        strategy.start_over()
        strategy.transition("booted")
    except LabError as error:
        if len(strategy.boots) == before:
            strategy.boots.append(_none(strategy, error))
    except TargetError as error:
        raise UsageError(f"--known-good: {kernel.release} cannot be deployed here: {error.message}") from error
    finally:
        strategy.power_off()
    strategy.boots[-1] = attrs.evolve(strategy.boot, control=True, release=kernel.release)
    return strategy.boot


def _none(strategy: RaspberryPiStrategy, error: LabError) -> BootRecord:
    log = strategy.boots[-1].log if strategy.boots else Path("console.log")
    return BootRecord(strategy.target.name, {}, False, error.message, (), log, 1)
