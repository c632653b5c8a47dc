"""The pytest plugin: each stage of the way from a kernel tree to a verdict is a fixture.

``board``, ``kernel_source``, ``toolchain``, ``kernel``, ``boot_files``, ``dut``, ``boot``, ``shell``: a test asks for
the one it needs, and gets those before it. labgrid's own plugin stays loaded, with its options and fixtures.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from labgrid.pytestplugin.hooks import LABGRID_ENV_KEY

from harness import asking, attempts, boards, options, outcomes
from harness.build import source as sources
from harness.build import toolchain as toolchains
from harness.build.requirements import Purpose
from harness.build.selftests import Selftests
from harness.console.shell import Shell
from harness.errors import BootFailed, Pi64Error, UsageError
from harness.lab import child, choices, control, images, kernels, sharing, sidebyside, stock
from harness.lab import config as lab_config
from harness.lab.config import Lab
from harness.lab.options import TargetOptions
from harness.lab.run import Run
from harness.lab.targets import strategy_of
from harness.model import (
    BaseImage,
    BoardProfile,
    BootFiles,
    BootRecord,
    KernelBuild,
    KernelSource,
    Toolchain,
)
from harness.outcomes import PROGRESS, RUN, SIGNALLED
from harness.progress import Progress
from harness.strategy import Assignment, RaspberryPiStrategy, Status

LAB = pytest.StashKey[Lab | None]()
ENDING_S = 120.0
"""A run that a signal has told to end is left alone with further ones for so long."""
KNOWN_GOOD = pytest.StashKey[KernelBuild | None]()


# --- options ---------------------------------------------------------------------------------------------------------
def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what a user may choose; each option overrides the same word in lab.yaml."""
    options.add(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Run several boards side by side, each in a pytest of its own; one board is pytest's own affair."""
    rest = sidebyside.without_boards(config.invocation_params.args)
    try:
        wanted = sidebyside.wanted(config.option, lambda: lab_config.load(_lab_file(config)))
        if not wanted:
            return None
        return sidebyside.run(wanted, rest, tell=lambda line: sys.stdout.write(f"{line}\n"), folder=Path.cwd())
    except Pi64Error as error:
        raise pytest.UsageError(str(error)) from error


def _lab_file(config: pytest.Config) -> Path:
    given = config.option.lg_env or os.environ.get("LG_ENV")
    return Path(given) if given else config.rootpath / "lab.yaml"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Take the board first: whoever cannot have it shall know before a kernel has been built for nothing."""
    for names in [getattr(item, "fixturenames", []) for item in items]:
        if "claim" in names:
            names.insert(0, names.pop(names.index("claim")))


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Check lab.yaml as a whole and hand it to labgrid, which configures itself last."""
    if not config.pluginmanager.has_plugin("labgrid.pytestplugin") and not hasattr(config.option, "lg_env"):
        raise pytest.UsageError("pi64 needs labgrid's pytest plugin: do not switch it off with -p no:labgrid")
    path = _lab_file(config)
    config.stash[LAB] = None
    try:
        if config.option.lg_env or os.environ.get("LG_ENV") or path.exists():
            config.stash[LAB] = lab = lab_config.load(path)
            config.option.lg_env = str(path)
            if config.option.board != options.DEFAULT:
                lab.target(config.option.board)
        config.stash[KNOWN_GOOD] = _known_good(config)
    except Pi64Error as error:
        raise pytest.UsageError(str(error)) from error
    config.pluginmanager.register(outcomes, "harness.outcomes")
    config.pluginmanager.register(attempts, "harness.attempts")
    config.pluginmanager.register(asking, "harness.asking")
    config.option.xmlpath = getattr(config.option, "xmlpath", None) or outcomes.PLACEHOLDER
    for number in (signal.SIGTERM, signal.SIGHUP):
        _end_by(number, config)


def _known_good(config: pytest.Config) -> KernelBuild | None:
    """Return the kernel of ``--known-good``; UsageError before anything moves when there is no such kernel."""
    word, runs = config.option.known_good, config.rootpath / config.option.runs
    return control.known_good(word, runs=runs, target=config.option.board) if word else None


def _end_by(number: int, config: pytest.Config) -> None:
    """Let the signal end the run like Ctrl-C, unless whoever started it said that it shall not (nohup)."""
    before = signal.getsignal(number)
    if before is not signal.SIG_IGN:
        signal.signal(number, partial(_terminated, config))
        config.add_cleanup(lambda: (signal.signal(number, before), None)[1])


def _terminated(config: pytest.Config, number: int, _: Any) -> None:
    """Take SIGTERM and SIGHUP as Ctrl-C: every ``finally`` runs, the board goes off, the record is written.

    Once: of a parent with threads that is killed, each thread's death sends the signal again, amid all that. One that
    comes much later is meant: whatever the run waits for, it shall not wait for ever.
    """
    now = time.monotonic()
    if now - config.stash.get(SIGNALLED, -ENDING_S) < ENDING_S:
        return
    config.stash[SIGNALLED] = now
    raise KeyboardInterrupt(f"signal {number}")


def _options(config: pytest.Config) -> TargetOptions:
    """Return what lab.yaml says about the chosen target, with the command line's words over it."""
    lab = config.stash[LAB]
    if lab is None:
        raise UsageError(f"no lab.yaml in {config.rootpath}", hint="name one with --lg-env FILE")
    return options.over(lab.target(config.option.board), config.option)


def _features_of(config: pytest.Config) -> frozenset[str]:
    """Return what lab.yaml says that the chosen target has beyond its model."""
    lab = config.stash[LAB]
    assert lab is not None
    return lab.features[config.option.board]


# --- the pipeline ----------------------------------------------------------------------------------------------------
@pytest.fixture(scope="session")
def run(request: pytest.FixtureRequest) -> Run:
    """The record of this run and the folder it lies in; written from the start, replaced as things become known."""
    config = request.config
    if RUN not in config.stash:
        wanted = _options(config)
        config.stash[RUN] = Run.begin(
            config.rootpath / config.option.runs,
            target=config.option.board,
            model=wanted.model,
            argv=config.invocation_params.args,
            options=wanted,
        )
        child.note(config.stash[RUN].folder)
    return config.stash[RUN]


@pytest.fixture(scope="session")
def progress(request: pytest.FixtureRequest, run: Run) -> Progress:
    """Shows how long work gets on: one line that changes on a terminal, plain lines elsewhere."""
    plugins = request.config.pluginmanager
    capture = plugins.get_plugin("capturemanager")
    shown = Progress(
        plugins.get_plugin("terminalreporter"),
        *([capture.global_and_fixture_disabled] if capture else []),
        note=run.note_doing,
    )
    request.config.stash[PROGRESS] = shown
    return shown


@pytest.fixture(scope="session")
def target_options(request: pytest.FixtureRequest, run: Run) -> TargetOptions:  # noqa: ARG001 - the record comes first
    """What is asked of the chosen target: lab.yaml, with the command line over it."""
    return _options(request.config)


@pytest.fixture(scope="session")
def claim(
    request: pytest.FixtureRequest, target_options: TargetOptions, run: Run, progress: Progress
) -> Iterator[sharing.Present]:
    """The board is this process's own, its place at a coordinator too: taken before all else, let go after it."""
    environment, wait_s = request.config.stash[LABGRID_ENV_KEY], request.config.option.board_wait
    reserve = target_options.reserve
    with sharing.hold(environment, run.target, reserve=reserve, wait_s=wait_s, tell=progress) as present:
        yield present


@pytest.fixture(scope="session")
def board(target_options: TargetOptions) -> BoardProfile:
    """The board model of the chosen target."""
    return boards.load(target_options.model)


@pytest.fixture(scope="session")
def purpose(request: pytest.FixtureRequest, target_options: TargetOptions) -> Purpose:
    """What the kernel is meant for: its configuration is held to that before anything is compiled or deployed."""
    own, features = target_options.image.file, _features_of(request.config)
    bits = request.getfixturevalue("base_image").userland_bits if own else kernels.OUR_USERLAND_BITS
    return kernels.purpose(target_options, features=features, userland_bits=bits)


@pytest.fixture(scope="session")
def prebuilt(target_options: TargetOptions, purpose: Purpose, run: Run, progress: Progress) -> KernelBuild | None:
    """The kernel that somebody else has built, if one was named; None when it is to be built here."""
    if not target_options.kernel.prebuilt:
        return None
    return kernels.take(target_options, meant=purpose, log=run.folder / "build.log", progress=progress)


@pytest.fixture(scope="session")
def kernel_source(
    target_options: TargetOptions, prebuilt: KernelBuild | None, run: Run, progress: Progress
) -> KernelSource:
    """The kernel tree to build, or what is told of the one that was built elsewhere."""
    wanted = target_options.kernel
    taken = (
        prebuilt.source
        if prebuilt
        else sources.open_tree(wanted.source, ref=wanted.ref, branch=wanted.branch, progress=progress)
    )
    return run.note(source=taken)


@pytest.fixture(scope="session")
def toolchain(
    request: pytest.FixtureRequest,
    target_options: TargetOptions,
    prebuilt: KernelBuild | None,
    run: Run,
    progress: Progress,
) -> Toolchain:
    """The compiler."""
    if prebuilt:
        return run.note(toolchain=prebuilt.toolchain)
    lab = request.config.stash[LAB]
    table = choices.toolchains(lab.path) if lab else None
    return run.note(toolchain=toolchains.choose(target_options.kernel.toolchain, table=table, progress=progress))


@pytest.fixture(scope="session")
def kernel(
    target_options: TargetOptions,
    kernel_source: KernelSource,
    toolchain: Toolchain,
    purpose: Purpose,
    prebuilt: KernelBuild | None,
    run: Run,
    progress: Progress,
) -> KernelBuild:
    """The kernel under test: built, from the cache, or as it came."""
    built = prebuilt or kernels.build(
        target_options,
        kernel_source,
        toolchain,
        meant=purpose,
        progress=progress,
        log=run.folder / "build.log",
    )
    return run.note(kernel=built)


@pytest.fixture(scope="session")
def base_image(target_options: TargetOptions, run: Run, progress: Progress) -> BaseImage:
    """The system that lies under the kernel."""
    account = target_options.login.account(run.target)
    if target_options.login.secret:
        run.keep_secret(account.password)
    return run.note(image=images.base_image(target_options, account, progress=progress))


@pytest.fixture(scope="session")
def ladder(
    request: pytest.FixtureRequest,
    claim: sharing.Present,
    target_options: TargetOptions,
    base_image: BaseImage,
    run: Run,
    progress: Progress,
) -> Iterator[RaspberryPiStrategy]:
    """The target's strategy, power off; off again at the end, whatever happens."""
    strategy = strategy_of(request.config.stash[LABGRID_ENV_KEY], run.target)
    run.meet(strategy)
    account, deadlines = target_options.login.account(run.target), target_options.deadlines
    strategy.prepare(Assignment(run.folder, account, deadlines, progress=progress, present=claim), base_image)
    run.watch(strategy)
    if request.config.stash[KNOWN_GOOD]:
        control.need_medium(strategy)
    try:
        if request.config.option.lg_initial_state:
            strategy.force(request.config.option.lg_initial_state)
        yield strategy
        _control(request, run, strategy, target_options)
    finally:
        strategy.close()


def _control(
    request: pytest.FixtureRequest, run: Run, strategy: RaspberryPiStrategy, target_options: TargetOptions
) -> None:
    """Boot the known-good kernel if one was named and would tell more; not when somebody wants an end of it."""
    known, interrupted = request.config.stash[KNOWN_GOOD], request.session.exitstatus == pytest.ExitCode.INTERRUPTED
    if known and not interrupted and run.wants_control():
        request.config.stash[PROGRESS](f"control boot: {known.release}")
        run.note_control(control.boot(known, target_options, strategy))


@pytest.fixture(scope="session")
def boot_files(
    target_options: TargetOptions,
    kernel: KernelBuild,
    ladder: RaspberryPiStrategy,
    purpose: Purpose,
    selftests: Selftests | None,
    run: Run,
    progress: Progress,
) -> BootFiles:
    """What goes onto the boot medium, composed with what the stock system has there."""
    stock.provide(target_options, ladder, meant=purpose, progress=progress)
    beside = selftests.root if selftests else None
    return run.remark(kernels.boot_files(kernel, target_options, ladder, selftests=beside, progress=progress))


@pytest.fixture(scope="session")
def dut(ladder: RaspberryPiStrategy, boot_files: BootFiles, run: Run) -> RaspberryPiStrategy:
    """The board with the kernel under test deployed, and the power off."""
    if ladder.status < Status.booted:  # else --lg-initial-state says that it runs already
        ladder.files = boot_files
        ladder.transition("deployed")
        _note_deploy(run, ladder)
    return ladder


@pytest.fixture(scope="session")
def boot(dut: RaspberryPiStrategy, run: Run) -> BootRecord:
    """The first boot of the kernel under test: a value, failed or not; the test that asks judges it."""
    if not dut.boots or dut.status < Status.booted:  # made anew after a cold start: the record of before is not it
        dut.transition("booted")
        _note_deploy(run, dut)  # where the files are served while the board boots, what it took is known only now
    return dut.boot


def _note_deploy(run: Run, strategy: RaspberryPiStrategy) -> None:
    if strategy.manifest:  # none where nothing is deployed
        run.note(deploy=strategy.manifest)


@pytest.fixture
def shell(dut: RaspberryPiStrategy, boot: BootRecord, run: Run) -> Shell:
    """A shell on the running board; BootFailed for everybody if it has not come to its login."""
    if not boot.reached:
        raise BootFailed(boot, brief=run.told(boot))
    dut.transition("shell")
    assert dut.shell is not None
    return dut.shell


@pytest.fixture(scope="session")
def features(request: pytest.FixtureRequest, board: BoardProfile, base_image: BaseImage, run: Run) -> frozenset[str]:
    """What this board can do: its model's features, its target's, and the word size of its userland.

    Of its model a virtual board has what QEMU emulates.
    """
    own = _features_of(request.config)
    model = board.qemu.features if board.qemu and kernels.VIRTUAL in own else board.features
    return run.note_features(model | own | {f"userland{base_image.userland_bits}"})
