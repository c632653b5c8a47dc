"""pi64's own command line options; each overrides the same word in lab.yaml."""

import argparse
import re
from typing import Any

import attrs
import pytest

from harness.lab import choices
from harness.lab import config as lab_config
from harness.lab.options import TargetOptions

DEFAULT = "virtual-rpi3"
RETRIES = 2  # of one run: a bench that needs more is to be looked at, not asked again


class Board(argparse.Action):
    """Keep each ``--board`` in ``boards``; ``board`` is the last one."""

    def __call__(self, _parser: Any, namespace: Any, value: Any, _option: Any = None) -> None:
        """Take one more board."""
        namespace.boards = (*getattr(namespace, "boards", ()), value)
        namespace.board = value


def seconds(word: str) -> float:
    """Return a time to wait; ValueError, which argparse tells, when it is none."""
    value = float(word)
    if not 0 <= value < float("inf"):
        raise ValueError(word)
    return value


def count(word: str) -> int:
    """Return how often; ValueError, which argparse tells, when it is no number, or a negative one."""
    value = int(word)
    if value < 0:
        raise ValueError(word)
    return value


def words(text: str) -> tuple[str, ...]:
    """Return names of kselftest's targets, ``arm64/abi,size``; ValueError for what is no name of a folder."""
    found = tuple(filter(None, text.split(",")))
    if not found or not all(re.fullmatch(r"\w[\w.-]*(?:/\w[\w.-]*)*", word, re.ASCII) for word in found):
        raise ValueError(text)
    return found


def suite(text: str) -> str:
    """Return a suite of LTP, with the names of tests behind it; ValueError for what is none."""
    if not re.fullmatch(r"\w[\w.-]*(?::[\w.-]+(?:,[\w.-]+)*)?", text, re.ASCII):
        raise ValueError(text)
    return text


def add(parser: pytest.Parser) -> None:
    """Add what a user may choose."""
    group = parser.getgroup("pi64", "pi64: 64-bit kernels on Raspberry Pi boards")
    group.addoption(
        "--board",
        metavar="NAME",
        default=DEFAULT,
        action=Board,
        help="target of lab.yaml (default: %(default)s); may be repeated: side by side, as `pi64 run` does",
    )
    group.addoption(
        "--board-wait",
        metavar="SECONDS",
        type=seconds,
        default=0.0,
        help="how long to wait for a board that somebody else has (default: not at all)",
    )
    group.addoption("--source", help="kernel source: folder, tarball, git URL, or package:PATTERN")
    group.addoption("--ref", help="branch, tag or commit of a git source")
    group.addoption("--branch", metavar="NAME", help="what the history calls the branch of which --ref is a commit")
    group.addoption("--toolchain", help="`system`, `llvm`, `built`, a folder, or a cross prefix")
    group.addoption(
        "--config", dest="kernel_config", metavar="BASE", help="defconfig of the tree, allnoconfig, or a file"
    )
    group.addoption("--fragment", action="append", metavar="NAME", help="config fragment on top of the target's")
    group.addoption(
        "--requires", action="append", metavar="SET", help="what its configuration must have, instead of the usual"
    )
    group.addoption(
        "--kernel",
        action="append",
        metavar="PATH",
        help="a kernel that is built already: build directory, linux-image .deb, folder or tarball; may be repeated",
    )
    group.addoption("--image", metavar="FILE", help="base image: a Raspberry Pi OS .img or .img.xz")
    group.addoption("--image-sha256", metavar="HEX", help="what the SHA-256 of --image must be")
    group.addoption("--layout", choices=lab_config.CHOICES["layout"], help="where the kernel goes on the card")
    group.addoption("--depmod", choices=lab_config.CHOICES["depmod"], help="who runs depmod; `target`: the guide's way")
    group.addoption("--runs", metavar="DIR", default="runs", help="where records of runs go (default: %(default)s)")
    group.addoption(
        "--lab-retries",
        type=int,
        choices=range(RETRIES + 1),
        default=RETRIES,
        help="how many tests of a run may be repeated, once each, because the bench failed (default: %(default)s)",
    )
    group.addoption(
        "--known-good",
        metavar="KERNEL",
        help="boot this one as well when the kernel under test does not: key or folder of a stored kernel, or `last`",
    )
    _add_questions(group)


def _add_questions(group: Any) -> None:
    """Add what may be asked of a kernel beyond the usual."""
    group.addoption(
        "--boots", metavar="N", type=count, default=0, help="N more cold starts and N reboots, and how long they take"
    )
    group.addoption(
        "--accept-changes",
        action="store_true",
        help="what is missing or new on the board against its last good run is told, not judged",
    )
    group.addoption(
        "--kselftest",
        metavar="TARGET[,TARGET]",
        type=words,
        default=(),
        help="build these targets of the kernel's tools/testing/selftests, and run them",
    )
    group.addoption(
        "--ltp",
        metavar="SUITE[:TEST,TEST]",
        action="append",
        type=suite,
        default=[],
        help="run these tests of the Linux Test Project in /opt/ltp of the image; may be repeated",
    )


def over(given: TargetOptions, option: Any) -> TargetOptions:
    """Return what lab.yaml says about a target (*given*), with the command line's words (*option*) over it."""
    kernel = choices.kernel(
        given.kernel,
        source=option.source,
        ref=option.ref,
        branch=option.branch,
        toolchain=option.toolchain,
        config=option.kernel_config,
        fragments=option.fragment,
        requires=option.requires,
        prebuilt=option.kernel,
    )
    image = choices.over(given.image, {"file": option.image, "sha256": option.image_sha256})
    said = attrs.evolve(given, kernel=kernel, image=image)
    return choices.over(said, {"layout": option.layout, "depmod": option.depmod})
