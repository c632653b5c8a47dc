"""pi64's own command line options; each overrides the same word in lab.yaml."""

from typing import Any

import attrs
import pytest

from harness.lab import config as lab_config
from harness.lab.options import TargetOptions

DEFAULT = "virtual-rpi3"
RETRIES = 2  # of one run: a bench that needs more is to be looked at, not asked again


def add(parser: pytest.Parser) -> None:
    """Add what a user may choose."""
    group = parser.getgroup("pi64", "pi64: 64-bit kernels on Raspberry Pi boards")
    group.addoption("--board", metavar="NAME", default=DEFAULT, help="target of lab.yaml (default: %(default)s)")
    group.addoption("--source", help="kernel source: folder, tarball, git URL, or package:PATTERN")
    group.addoption("--ref", help="branch, tag or commit of a git source")
    group.addoption("--toolchain", help="`system`, or a cross prefix")
    group.addoption("--config", dest="kernel_config", metavar="DEFCONFIG", help="defconfig of the tree, or allnoconfig")
    group.addoption("--fragment", action="append", metavar="NAME", help="config fragment on top of the target's")
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


def over(given: TargetOptions, option: Any) -> TargetOptions:
    """Return what lab.yaml says about a target (*given*), with the command line's words (*option*) over it."""
    kernel = {"source": option.source, "ref": option.ref, "toolchain": option.toolchain, "config": option.kernel_config}
    kernel["fragments"] = (*given.kernel.fragments, *option.fragment) if option.fragment else None
    image = {"file": option.image, "sha256": option.image_sha256}
    own = {"layout": option.layout, "depmod": option.depmod}
    return attrs.evolve(given, kernel=_over(given.kernel, kernel), image=_over(given.image, image), **_said(own))


def _over(value: Any, words: dict[str, Any]) -> Any:
    return attrs.evolve(value, **_said(words))


def _said(words: dict[str, Any]) -> dict[str, Any]:
    return {key: word for key, word in words.items() if word is not None}
