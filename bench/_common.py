"""What every figure needs: a line to say it with, what is measured, and how busy the machine was meanwhile."""

import argparse
import contextlib
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import attrs

from harness import boards, host
from harness.bootfs.compose import compose
from harness.build import kernel as kernels
from harness.build import source as sources
from harness.build import toolchain as toolchains
from harness.deploy.modules import with_depmod
from harness.errors import Pi64Error
from harness.lab import config, images
from harness.lab.options import TargetOptions
from harness.model import BaseImage, BoardProfile, BootFiles, KernelBuild

ROOT = Path(__file__).resolve().parent.parent
PYTEST = (str(Path(sys.executable).with_name("pytest")), "-p", "no:cacheprovider")
"""What a user types, but for what `--last-failed` would remember."""
MARK = "PI64_BENCH"
"""Environment variable that every process started for a figure carries, and its children with it."""


@attrs.frozen
class Figure:
    """One number with the limit it is held to; without a limit it is told, not judged."""

    name: str
    value: float
    unit: str = "s"
    limit: float | None = None

    @property
    def short(self) -> bool:
        """Whether it misses its limit."""
        return self.limit is not None and self.value > self.limit

    def __str__(self) -> str:
        limit = "-" if self.limit is None else f"<={self.limit:g}"
        return f"{self.name:<34} {self.value:>8.2f} {self.unit:<2} {limit:>6}  {'short' if self.short else 'ok'}"


def main(figures: Iterable[Figure]) -> None:
    """Print each figure as soon as it is known and end the process: status 1 when one is short, or cannot be had."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was begun is undone
    name, before = Path(sys.argv[0]).stem, _ticks_of_host()
    say(f"{name}: load {os.getloadavg()[0]:.1f} before")
    status = 0
    try:
        for figure in figures:
            print(figure, flush=True)
            status |= figure.short
    except Pi64Error as error:
        say(f"{name}: {error}")
        status = 1
    stolen, passed = (now - then for now, then in zip(_ticks_of_host(), before, strict=True))
    say(f"{name}: load {os.getloadavg()[0]:.1f} after; {100 * stolen / max(passed, 1):.0f} % of the time was stolen")
    sys.exit(status)


def _ticks_of_host() -> tuple[int, int]:
    """Return the ticks in which another guest of the same computer ran on our processors, and those of all kinds."""
    ticks = [int(text) for text in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return ticks[7], sum(ticks[:8])


def say(text: str) -> None:
    """Tell a person; the figures alone are on standard output."""
    print(f"# {text}", file=sys.stderr, flush=True)


def repeats(default: int) -> int:
    """Return how often to measure, from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=default, metavar="N", help="default: %(default)s; medians count")
    number: int = parser.parse_args().repeats
    return number


median = statistics.median


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Yield a folder on the disk where the cards lie, so that copies cost what they cost in a run."""
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=host.cache_dir("cards")) as name:
        yield Path(name)


@contextlib.contextmanager
def timed(into: list[float]) -> Iterator[None]:
    """Append the seconds that the block takes."""
    started = time.monotonic()
    yield
    into.append(time.monotonic() - started)


# --- what is measured ------------------------------------------------------------------------------------------------
@attrs.frozen
class Inputs:
    """What a run on a target of lab.yaml would use, from the cache or made now."""

    options: TargetOptions
    board: BoardProfile
    kernel: KernelBuild
    base: BaseImage


def inputs(target: str) -> Inputs:
    """Choose, build and take from the cache as the plugin's fixtures do, for *target* of the shipped lab.yaml."""
    options = config.load(ROOT / "lab.yaml").target(target)
    wanted, account, board = options.kernel, options.login.account(target), boards.load(options.model)
    with scratch() as folder:
        kernel = kernels.build(
            sources.open_tree(wanted.source, ref=wanted.ref),
            toolchains.choose(wanted.toolchain),
            board,
            config=wanted.config,
            fragments=wanted.fragments,
            log=folder / "build.log",
        )
    return Inputs(options, board, kernel, images.base_image(options, account))


def boot_files(given: Inputs, kernel: KernelBuild, stock: Mapping[str, bytes]) -> BootFiles:
    """Compose what goes onto the card with depmod on the host: what the fixture of that name does."""
    options = given.options
    return compose(
        attrs.evolve(kernel, modules_root=with_depmod(kernel.modules_root, kernel.release)),
        given.board,
        stock,
        layout=options.layout,
        root=options.root,
        config_extra=options.config_txt,
        cmdline_extra=options.cmdline,
    )


def own_lab(folder: Path) -> Path:
    """Return a copy of lab.yaml whose card lies in *folder*: the card of the user's runs stays as it is."""
    text, stock = (ROOT / "lab.yaml").read_text(), "CardImage: {}"
    assert stock in text, f"lab.yaml no longer says `{stock}`"
    copy = folder / "lab.yaml"
    copy.write_text(text.replace(stock, f"CardImage: {{file: {json.dumps(str(folder / 'card.img'))}}}"))
    return copy


# --- processes -------------------------------------------------------------------------------------------------------
def environment(mark: str, folder: Path) -> dict[str, str]:
    """Return the environment of a process to measure: it carries *mark*, and its temporary files go below *folder*."""
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    return {**os.environ, MARK: mark, "TMPDIR": str(temporary)}


def carriers(mark: str) -> Iterator[Path]:
    """Yield the folder in /proc of each process that carries *mark*."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                yield folder


def marked(mark: str) -> list[str]:
    """Return the command lines of the processes that carry *mark*."""
    return [text for folder in carriers(mark) if (text := _command_line(folder))]


def processor_seconds(mark: str, program: str) -> float:
    """Return the processor time that the running processes of *program* with *mark* have used so far."""
    ticks = os.sysconf("SC_CLK_TCK")
    return sum(
        _ticks(folder) / ticks for folder in carriers(mark) if program in _command_line(folder).partition(" ")[0]
    )


def _command_line(folder: Path) -> str:
    try:
        return (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:  # it has ended meanwhile
        return ""


def _ticks(folder: Path) -> int:
    """Return user and system time of the process and its threads: fields 14 and 15 of proc(5)'s ``stat``."""
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
