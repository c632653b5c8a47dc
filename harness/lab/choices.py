"""What the command line says over what lab.yaml says: words that were given replace, fragments come on top."""

from collections.abc import Sequence
from typing import Any

import attrs

from harness.lab.options import KernelOptions


def kernel(
    given: KernelOptions,
    *,
    source: str | None = None,
    ref: str | None = None,
    toolchain: str | None = None,
    config: str | None = None,
    fragments: Sequence[str] | None = None,
) -> KernelOptions:
    """Return which kernel to build. Another source is not the one that the target's ``ref`` was meant for."""
    if source is not None and ref is None:
        given = attrs.evolve(given, ref=None)
    said: KernelOptions = over(given, {"source": source, "ref": ref, "toolchain": toolchain, "config": config})
    return attrs.evolve(said, fragments=(*given.fragments, *(fragments or ())))


def over(value: Any, words: dict[str, Any]) -> Any:
    """Return *value* with those of *words* that were said."""
    return attrs.evolve(value, **{key: word for key, word in words.items() if word is not None})
