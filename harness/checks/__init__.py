"""Questions to a running kernel, one file each: the command to run on the target, and what its output means.

A check is a module of this folder; its name is the file's. Its docstring's first line is the sentence that ought
to be true; it has

- ``ORDER``: a number; checks are asked in this order, those up to 49 (who answers?) before anything else is done,
- ``COMMAND``, or ``command(build)``: the shell command whose output is judged; it should end with status 0,
- ``judge(output, build, board)``: the objections, an empty list if there are none,
- optionally ``REQUIRES`` and ``NOT_FOR``: features a board must have, or must not have, for the question to make sense,
- optionally ``TIMEOUT_S``: how long the command may take.

Modules whose name begins with ``_`` are helpers.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from types import ModuleType

import attrs

from harness.model import BoardProfile, Finding, KernelBuild

Judge = Callable[[str, KernelBuild, BoardProfile], list[Finding]]


@attrs.frozen
class Check:
    """One question to a kernel."""

    name: str
    summary: str
    """The sentence that ought to be true."""
    command: Callable[[KernelBuild], str]
    judge: Judge
    requires: frozenset[str] = frozenset()
    not_for: frozenset[str] = frozenset()
    timeout_s: float = 30.0
    order: int = 100

    @property
    def identity(self) -> bool:
        """Whether it asks who answers, not how well."""
        return self.order < 50

    def unfit(self, features: Iterable[str]) -> str:
        """Return why a board with these *features* cannot be asked; empty if it can."""
        have = frozenset(features)
        if missing := self.requires - have:
            return f"needs {', '.join(sorted(missing))}"
        if excluded := self.not_for & have:
            return f"not for {', '.join(sorted(excluded))}"
        return ""


def load_all() -> list[Check]:
    """Return every check of this folder in the order in which they are asked."""
    names = [info.name for info in pkgutil.iter_modules(__path__) if not info.name.startswith("_")]
    checks = [_check(name, importlib.import_module(f"{__name__}.{name}")) for name in names]
    return sorted(checks, key=lambda check: (check.order, check.name))


def _check(name: str, module: ModuleType) -> Check:
    constant: str | None = getattr(module, "COMMAND", None)
    return Check(
        name=name,
        summary=(module.__doc__ or "").strip().splitlines()[0],
        command=module.command if constant is None else lambda _: constant,
        judge=module.judge,
        requires=frozenset(getattr(module, "REQUIRES", ())),
        not_for=frozenset(getattr(module, "NOT_FOR", ())),
        timeout_s=getattr(module, "TIMEOUT_S", 30.0),
        order=getattr(module, "ORDER", 100),
    )
