"""What comparison sees of a run: values that history fills. Pure."""

from collections.abc import Mapping

import attrs

from harness.nightly.slowness import Boots


@attrs.frozen
class Ref:
    """One run, as people name it."""

    name: str
    started: int
    """Seconds since 1970."""
    verdict: str = ""
    """Empty while it runs, and for one that was killed."""
    commit: str = ""
    release: str = ""

    @property
    def kernel(self) -> str:
        """Commit if there is one, else the release."""
        return self.commit[:12] or self.release


@attrs.frozen
class Answered:
    """What came of one test."""

    good: bool | None
    """None: that says nothing about the kernel."""
    outcome: str = "passed"
    blame: str = ""
    headline: str = ""
    retried: str = ""
    """What the attempt came to that was set aside; empty if there was none."""


@attrs.frozen
class Seen:
    """One signature."""

    signature: str
    severity: str
    fault: str
    example: str
    before: bool = True
    """Whether an earlier run of the same branch, board and configuration had it too."""


@attrs.frozen
class RunView:
    """All of one run that another may be compared with."""

    ref: Ref
    kernel: str = ""
    """Key of the build; empty if it did not build."""
    equal: Mapping[str, str] = attrs.field(factory=dict)
    """What else must be equal: toolchain, image, lab host, layout ... by name."""
    tests: Mapping[str, Answered] = attrs.field(factory=dict)
    seen: tuple[Seen, ...] = ()
    """Filled for the run that is asked about only."""
    there: Mapping[str, frozenset[str]] = attrs.field(factory=dict)
    """Kind (``modules``, ``devices``; ``built``: modules of the build) -> names; of a kind that was asked for."""
    boots: Boots = ()
    """Those of the kernel under test, without what was set aside."""
    new_warnings: tuple[str, ...] = ()
    """Of the compiler, against the last good build."""
    control_failed: str = ""
    """Why the known-good kernel did not boot on this rig either."""

    @property
    def silent(self) -> str:
        """Why the run says nothing about its kernel; empty if it does."""
        if self.control_failed:
            return f"the board is out: the known-good kernel does not boot on it either ({self.control_failed})"
        if self.ref.verdict == "LAB":
            return "the bench failed (LAB): that says nothing about the kernel"
        return "" if self.ref.verdict else "the run has no verdict: it goes on, or was killed"


@attrs.frozen
class Past:
    """The runs of the same branch, board and configuration before one, newest first."""

    runs: tuple[RunView, ...] = ()
    older_good: Mapping[str, Ref] = attrs.field(factory=dict)
    """Test -> its last good run, where that lies before all of *runs*."""
