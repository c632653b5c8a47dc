"""Questions to a running kernel, one file each: the command to run on the target, and what its output means.

A check is a module of this folder; its name is the file's. Its docstring's first line is the sentence that ought
to be true; it has

- ``ORDER``: a number; checks are asked in this order, those up to 49 (who answers?) before anything else is done,
- ``COMMAND``, or ``command(build)``: the shell command whose output is judged; it should end with status 0,
- ``judge(output, build, board)``: the objections, an empty list if there are none,
- or, in its place, ``INVENTORY``, the word under which history keeps what is there, and ``names(output)``, which
  returns it: that is compared with the board's own last good run. With ``MORE_IS_WORSE`` what is new is objected to,
  else what is missing. Inventories are taken right after the reboot, before any test has loaded a module,
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
from harness.verdict.findings import finding

Judge = Callable[[str, KernelBuild, BoardProfile], list[Finding]]


@attrs.frozen
class Inventory:
    """What there is of one kind on a board, and which change of it is one for the worse."""

    kind: str
    """As history calls it: ``devices``."""
    names: Callable[[str], list[str]]
    """Finds them in the command's output; the same word for the same thing in every boot."""
    more_is_worse: bool = False

    def changes(self, there: Iterable[str], before: Iterable[frozenset[str]]) -> list[str]:
        """Return what is worse than it was in good runs, *before*, the newest first; sorted.

        What is missing was there in the newest; what is new was in none of them.
        """
        runs, now = list(before), frozenset(there)
        if not runs:
            return []
        return sorted(now.difference(*runs) if self.more_is_worse else runs[0] - now)

    def objections(self, changes: Iterable[str], since: str) -> list[Finding]:
        """Return a finding for each of *changes* against the good run *since*."""
        kind, how = (f"new-{self.kind}", "not in") if self.more_is_worse else (f"lost-{self.kind}", "there in")
        what = "new" if self.more_is_worse else "missing"
        return [finding(kind, f"{what}: {name}", fault="KERNEL", text=(f"{name}: {how} {since}",)) for name in changes]


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
    inventory: Inventory | None = None
    """Set where the answer is a list to be compared with the last good run's; then ``judge`` objects to nothing."""

    @property
    def group(self) -> str:
        """When it is asked: the name of the fixture that stands for it in a test."""
        if self.inventory:
            return "inventory"
        return "identity" if self.identity else "check"

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
    kind: str = getattr(module, "INVENTORY", "")
    worse = getattr(module, "MORE_IS_WORSE", False)
    return Check(
        name=name,
        summary=(module.__doc__ or "").strip().splitlines()[0],
        command=module.command if constant is None else lambda _: constant,
        judge=_silent if kind else module.judge,
        requires=frozenset(getattr(module, "REQUIRES", ())),
        not_for=frozenset(getattr(module, "NOT_FOR", ())),
        timeout_s=getattr(module, "TIMEOUT_S", 30.0),
        order=getattr(module, "ORDER", 100),
        inventory=Inventory(kind, module.names, more_is_worse=worse) if kind else None,
    )


def _silent(_output: str, _build: KernelBuild, _board: BoardProfile) -> list[Finding]:
    return []
