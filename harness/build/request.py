"""What a build is asked to configure: the base, and fragments by name, by file or in so many words.

Of two fragments that contradict each other the later one counts only if it speaks from nearer by: a file over a set
that ships, a word on the command line over both. Everything else is a mistake that would cost a build and a boot.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from harness.build import kconfig
from harness.build.kconfig import Setting
from harness.errors import ConfigError, UsageError

FRAGMENTS = Path(__file__).parent / "fragments"
WORD = re.compile(r"(?:CONFIG_)?(\w+)=(.*)", re.DOTALL)
NUMBER = re.compile(r"-?\d+|0[xX][0-9a-fA-F]+")
SHIPPED, FILE, DIRECT = range(3)  # how near the person stands who runs the build


@attrs.frozen
class Request:
    """All that the fragments ask for."""

    asked: Mapping[str, Setting]
    """Symbol -> the setting that counts."""
    overridden: tuple[tuple[Setting, Setting], ...] = ()
    """Pairs: a setting that does not count, and the one that stands over it."""

    @property
    def wanted(self) -> dict[str, str]:
        """Symbol -> value."""
        return {symbol: setting.value for symbol, setting in self.asked.items()}


def read(fragments: Sequence[str | Path]) -> Request:
    """Return what *fragments* ask for together: names in ``fragments/``, paths of files, ``KEY=value``.

    UsageError for one that does not exist, ConfigError for lines that are no settings or contradict each other.
    """
    asked: dict[str, tuple[int, Setting]] = {}
    overridden = []
    for fragment in fragments:
        rank, settings = _settings(fragment)
        for setting in settings:
            before = asked.get(setting.symbol)
            if before and not kconfig.same(setting.value, before[1].value):
                _refuse_contradiction(*before, rank, setting)
                overridden.append((before[1], setting))
            asked[setting.symbol] = (rank, setting)
    return Request({symbol: setting for symbol, (_, setting) in asked.items()}, tuple(overridden))


def base_text(path: Path) -> str:
    """Return the configuration in the file *path*: text, ``config.gz``, or a kernel image that carries one."""
    try:
        return kconfig.text_of(path.read_bytes(), name=str(path))
    except OSError as error:
        raise UsageError(f"base configuration {path}: {error.strerror}") from error


def is_file(config: str) -> bool:
    """Return whether the base configuration *config*, which is no name in the tree, is meant as a path."""
    return "/" in config or config.endswith((".config", ".gz")) or Path(config).is_file()


def _settings(fragment: str | Path) -> tuple[int, list[Setting]]:
    path = FRAGMENTS / f"{fragment}.config"
    if path.is_file():
        return SHIPPED, list(kconfig.settings(path.read_text(), name=f"fragment {fragment}"))
    path = Path(fragment).expanduser()
    if path.is_file():
        return FILE, list(kconfig.settings(path.read_text(errors="replace"), name=str(fragment)))
    if found := WORD.fullmatch(str(fragment)):
        return DIRECT, [Setting(found[1], _quoted(found[2], str(fragment)), f"--fragment {fragment}")]
    known = ", ".join(sorted(file.stem for file in FRAGMENTS.glob("*.config")))
    raise UsageError(f"config fragment {fragment}: no such file", hint=f"known by name: {known}; or KEY=value")


def _quoted(value: str, given: str) -> str:
    """Return *value* as Kconfig writes it: the shell has eaten the quotes of a string."""
    if not value.isprintable():
        raise UsageError(f"config fragment {given!r}: control characters in a value")
    if value.lower() in ("y", "m", "n"):
        return value.lower()
    if NUMBER.fullmatch(value) or re.fullmatch(r'"(?:[^"\\]|\\.)*"', value):
        return value
    escaped = re.sub(r'(["\\])', r"\\\1", value)
    return f'"{escaped}"'


def _refuse_contradiction(rank: int, before: Setting, later_rank: int, later: Setting) -> None:
    raised = (before.value, later.value) == ("m", "y")  # who asked for a module gets what it does
    if later_rank > rank or raised:
        return
    raise ConfigError(
        f"CONFIG_{later.symbol}: wanted {before.value}, overridden by a later fragment with {later.value}",
        hint=f"take one of the lines out, or say which counts: --fragment CONFIG_{later.symbol}={later.value}",
        evidence=[f"{each.where}: CONFIG_{each.symbol}={each.value}" for each in (before, later)],
    )
