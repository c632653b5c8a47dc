"""What the command line says over what lab.yaml says: words that were given replace, fragments come on top."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import attrs

from harness.errors import UsageError
from harness.lab.options import KernelOptions

T = TypeVar("T")


def kernel(
    given: KernelOptions,
    *,
    source: str | None = None,
    ref: str | None = None,
    branch: str | None = None,
    toolchain: str | None = None,
    config: str | None = None,
    fragments: Sequence[str] | None = None,
    requires: Sequence[str] | None = None,
    prebuilt: Sequence[str] | None = None,
) -> KernelOptions:
    """Return which kernel is meant: another source is not the one that the target's ``ref`` was meant for.

    UsageError when one that is built already is to be built in some way.
    """
    asked = {"--source": source, "--ref": ref, "--toolchain": toolchain, "--config": config, "--fragment": fragments}
    if prebuilt and (useless := [word for word, value in asked.items() if value]):
        raise UsageError(f"--kernel {prebuilt[0]}: built already, so {', '.join(useless)} cannot change it")
    if source is not None:
        given = attrs.evolve(given, ref=None, branch=None, prebuilt=())
    words = {"source": source, "ref": ref, "branch": branch, "toolchain": toolchain, "config": config}
    lists = {"requires": requires, "prebuilt": prebuilt}
    said = over(given, words | {name: tuple(value) for name, value in lists.items() if value})
    return attrs.evolve(said, fragments=(*given.fragments, *(fragments or ())))


def toolchains(lab: Path) -> Path:
    """Return where the user's own toolchains may be described: beside *lab*, the lab.yaml."""
    return lab.with_name("toolchains.toml")


def over(value: T, words: Mapping[str, Any]) -> T:
    """Return *value* with those of *words* that were said."""
    said: T = attrs.evolve(value, **{key: word for key, word in words.items() if word is not None})  # type: ignore[misc]
    return said
