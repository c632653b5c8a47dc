"""Read ``config.txt`` the way the Raspberry Pi firmware does: text in, values out, no I/O.

One byte is one character here, as it is to the firmware: decode with ``latin-1``, which also writes back what it read.

Source: https://www.raspberrypi.com/documentation/computers/config_txt.html (file format, conditional filters)
"""

import re
from collections.abc import Callable, Iterator

import attrs

from harness.errors import ConfigError
from harness.model import BoardProfile

LINE_LIMIT = 98  # characters; the firmware drops the rest of a longer line without a word
OLD_LINE_LIMIT = 78  # what firmware of earlier years read
INCLUDE_LIMIT = 32  # ours: a file that includes itself must end somewhere

Read = Callable[[str], bytes | None]
"""Content of a file of the boot partition, or None when there is no such file."""

MODELS = frozenset(
    "pi0 pi0w pi02 pi1 pi2 pi3 pi3+ pi4 pi400 pi5 pi500 cm0 cm1 cm3 cm3+ cm4 cm4s cm5".split()  # noqa: SIM905
)
"""Model sections of any board; one this board does not answer to is false, not unknown."""

_KINDS = (
    ("none", re.compile(r"none")),
    ("serial", re.compile(r"0x[0-9A-Fa-f]+")),
    ("gpio", re.compile(r"gpio\d+=[01]")),
    ("edid", re.compile(r"EDID=.+")),
    ("hdmi", re.compile(r"HDMI:[01]")),
    ("tryboot", re.compile(r"tryboot")),
    ("partition", re.compile(r"partition=\d+")),
    ("model", re.compile(r"board-type=\w+")),
    ("expression", re.compile(r"\w+(&\w+)?[=<>&]\w+")),
)


@attrs.frozen
class Setting:
    """One line that sets something, and where it stands, so that a decision can be explained."""

    key: str
    value: str
    filters: tuple[str, ...]
    """Sections in force where the line stands; a board applies the line if it answers to all of them."""
    file: str
    line: int
    text: str
    """The line as the firmware saw it."""

    @property
    def number(self) -> int:
        """The value as the firmware's C code would read it: 0 unless it starts with a number."""
        found = re.match(r"0[xX][0-9a-fA-F]+|-?[0-9]+", self.value)
        return int(found[0], 0 if found[0][:2] in {"0x", "0X"} else 10) if found else 0


@attrs.frozen
class Config:
    """What one board applies of a config.txt and its includes."""

    settings: tuple[Setting, ...]
    """In the order in which they count; of a repeated key the last wins."""
    remarks: tuple[str, ...]
    """What the firmware passes over in silence, as ``file:line: what``."""

    def last(self, key: str) -> Setting | None:
        """Return the setting that counts for *key*, or None."""
        return next((setting for setting in reversed(self.settings) if setting.key == key), None)


@attrs.frozen
class Conditions:
    """What a section can ask beyond the model."""

    tryboot: bool = False
    partition: int = 1
    serial: int | None = None
    """Serial number as in /proc/cpuinfo; None where nobody knows it."""


def parse(text: str, file: str = "config.txt", filters: tuple[str, ...] = ()) -> Iterator[Setting]:
    """Yield every setting in file order, whether or not any board would apply it; over-long lines are cut.

    *filters* are the sections in force where the file is included. ``include`` is a setting like any other here.
    """
    active = {kind(section): section for section in filters}
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.removesuffix("\r")[:LINE_LIMIT].strip()
        if line.startswith("["):
            _enter(line, active)
        elif line and not line.startswith("#"):
            spaced = line.partition(" ")[0] in {"initramfs", "include"}  # these two take no `=`
            key, _, value = line.partition(" " if spaced else "=")
            yield Setting(key, value.strip() if spaced else value, tuple(active.values()), file, number, line)


def applied(
    text: str,
    board: BoardProfile,
    read: Read | None = None,
    *,
    file: str = "config.txt",
    given: Conditions | None = None,
) -> Config:
    """Return what *board* would apply of *text*, with the files that it includes read through *read*."""
    reader = _Reader(board, read or (lambda _: None), given or Conditions())
    settings = tuple(reader.settings(text, file))
    return Config(settings, tuple(dict.fromkeys(reader.remarks)))


def lint(text: str, file: str = "config.txt", *, limit: int = LINE_LIMIT) -> None:
    """Raise ConfigError for a line of which the firmware would drop a part; comments may be long."""
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.removesuffix("\r")
        if len(line) > limit and not line.lstrip().startswith("#"):
            raise ConfigError(
                f"{file}:{number}: line has {len(line)} characters, the firmware reads {limit}",
                hint="give each dtparam= a line of its own",
                evidence=[line],
            )


def kind(section: str) -> str:
    """Return the kind of a section: one of the same kind replaces, another kind adds; empty for an unknown section.

    ``[none]`` is its own kind: it "prevents any settings that follow", so a later ``[pi4]`` does not lift it.
    """
    if section in MODELS:
        return "model"
    return next((name for name, pattern in _KINDS if pattern.fullmatch(section)), "")


def answers(section: str, board: BoardProfile, given: Conditions) -> bool | None:
    """Tell whether *board* answers to *section*; None where only the powered board could tell."""
    name, value = kind(section), section.partition("=")[2]
    if name == "model":
        return _type_code(value) == board.revision >> 4 & 0xFF if value else section in board.config_filters
    if name == "serial":
        return None if given.serial is None else int(section, 16) == given.serial & 0xFFFF_FFFF
    known = {
        "none": False,
        "hdmi": board.soc == "bcm2711",  # says which port a setting means; only these have two
        "tryboot": given.tryboot,
        "partition": value.isdecimal() and int(value) == given.partition,
    }
    return known.get(name)


@attrs.define
class _Reader:
    """One reading of a config.txt for one board; collects remarks on the way."""

    board: BoardProfile
    read: Read
    given: Conditions
    remarks: list[str] = attrs.field(factory=list)
    includes_left: int = INCLUDE_LIMIT

    def settings(self, text: str, file: str, filters: tuple[str, ...] = ()) -> Iterator[Setting]:
        """Yield what applies of one file, descending into its includes where they stand."""
        self.remarks.extend(_oddities(text, file))
        for setting in parse(text, file, filters):
            if not self.applies(setting):
                continue
            if setting.key == "include":
                yield from self.included(setting)
            else:
                yield setting

    def applies(self, setting: Setting) -> bool:
        """Tell whether the board answers to every section the line stands in."""
        verdicts = {section: answers(section, self.board, self.given) for section in setting.filters}
        unknown = [section for section, verdict in verdicts.items() if verdict is None]
        if unknown and False not in verdicts.values():
            where = f"{setting.file}:{setting.line}"
            self.remarks.append(f"{where}: [{unknown[0]}] cannot be told without the board; taken as false")
        return all(verdicts.values())

    def included(self, setting: Setting) -> Iterator[Setting]:
        """Yield the settings of the file that an ``include`` names."""
        data = self.read(setting.value)
        self.includes_left -= 1
        if data is None or self.includes_left < 0:
            why = "is not on the boot partition" if data is None else "is one too many; does a file include itself?"
            self.remarks.append(f"{setting.file}:{setting.line}: included file {setting.value} {why}")
            return
        yield from self.settings(data.decode("latin-1"), setting.value, setting.filters)


def _oddities(text: str, file: str) -> Iterator[str]:
    """Yield a remark for each line that the firmware reads otherwise than a person would."""
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.removesuffix("\r")
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        if len(line) > LINE_LIMIT:
            yield f"{file}:{number}: {len(line)} characters; the firmware drops all behind character {LINE_LIMIT}"
        elif len(line) > OLD_LINE_LIMIT:
            yield f"{file}:{number}: {len(line)} characters; older firmware drops all behind character {OLD_LINE_LIMIT}"
        if bare.startswith("["):
            section = bare[1:-1] if bare.endswith("]") else ""
            if section != "all" and not kind(section):
                yield f"{file}:{number}: unknown section {bare}; taken as if it were not there"
        elif bare.partition(" ")[0] in {"initramfs", "include"}:
            continue
        elif "=" not in bare:
            yield f"{file}:{number}: `{bare}` sets nothing"
        elif re.match(r"\S*\s+=|\S*=\s", bare):
            yield f"{file}:{number}: `{bare}` has a space beside `=`; it counts as part of the name or value"


def _enter(line: str, active: dict[str, str]) -> None:
    """Put the section *line* opens into *active*; an unknown one changes nothing."""
    section = line[1:-1] if line.endswith("]") else ""
    if section == "all":
        active.clear()
    elif kind(section):
        active[kind(section)] = section


def _type_code(text: str) -> int | None:
    """Return the number in ``board-type=0x11``; None if it is none."""
    try:
        return int(text, 0)
    except ValueError:
        return None
