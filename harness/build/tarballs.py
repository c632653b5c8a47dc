"""Which sources a toolchain is built from: the table of versions, and the tarball that an entry of it means."""

import difflib
import glob
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from harness import host
from harness.build import download, unpacked
from harness.errors import ConfigError, LabError, UsageError

SHIPPED = Path(__file__).with_name("toolchains.toml")
PARTS = ("binutils", "gcc")
"""In the order in which they are built."""
NAME = re.compile(r"\w[\w.+-]*", re.ASCII)
SUFFIXES = (".tar.xz", ".tar.gz", ".tar.bz2", ".tar.zst", ".tgz")
VERSION = re.compile(r"\d+(?:\.\d+)+")


@attrs.frozen
class Part:
    """One entry of the table: binutils or GCC in one version."""

    part: str
    """``binutils`` or ``gcc``."""
    version: str
    """Its name in the table."""
    url: str = ""
    sha256: str = ""
    file: str = ""
    """A path or a pattern of one; the newest match is taken."""
    package: str = ""
    """What brings *file*, for the hint."""
    configure: tuple[str, ...] = ()
    spare: tuple[str, ...] = ()
    """Files below the build folder that make shall believe to be made."""


@attrs.frozen
class Tarball:
    """The sources themselves."""

    part: Part
    path: Path
    """Where they lie, or will lie when they have been fetched."""
    sha256: str

    @property
    def version(self) -> str:
        """The version that the file name tells: the table may say ``distribution``."""
        found = VERSION.search(self.path.name)
        return found[0] if found else self.part.version

    def fetch(self, progress: host.Progress = host.silent) -> None:
        """Bring a tarball here that has a URL; LabError when it cannot be fetched or is another one."""
        if self.part.url:
            if self.path.is_file() and unpacked.digest(self.path) != self.sha256:
                self.path.unlink()  # damaged since
            download.fetch(self.part.url, self.sha256, self.path, progress)


def entry(name: str, table: Path | None = None) -> tuple[Part, ...]:
    """Return the parts of toolchain *name* (empty: the default); *table* is the user's, which may not exist.

    UsageError for a name that neither table has, ConfigError for a table that says something it must not.
    """
    merged = _merged(SHIPPED, table)
    name = name or str(merged["default"])
    toolchains: Mapping[str, Any] = merged["toolchain"]
    if name not in toolchains:
        near = difflib.get_close_matches(name, toolchains, n=1)
        raise UsageError(
            f"no toolchain `built:{name}`; known: {', '.join(toolchains)}",
            hint=f"did you mean built:{near[0]}?" if near else "a toolchains.toml beside lab.yaml can add one",
        )
    wanted = _checked(toolchains[name], dict.fromkeys(PARTS, str), f"[toolchain.{name}]", required=PARTS)
    return tuple(_part(merged, part, wanted[part], f"[toolchain.{name}]") for part in PARTS)


def find(part: Part) -> Tarball:
    """Return the tarball of *part*, which need not have been fetched yet.

    LabError when its package is not installed, UsageError when a file is not what the table says.
    """
    if part.url:
        return Tarball(part, host.cache_dir("downloads") / part.url.rpartition("/")[2], part.sha256)
    path = _newest(part)
    sha256 = unpacked.digest(path)
    if part.sha256 not in ("", sha256):
        raise UsageError(f"{path}: has SHA-256 {sha256}, not {part.sha256}", hint="correct the file or the table")
    return Tarball(part, path, sha256)


def _newest(part: Part) -> Path:
    found = [Path(name) for name in glob.glob(str(Path(part.file).expanduser())) if name.endswith(SUFFIXES)]  # noqa: PTH207 - the pattern is absolute
    if not found:
        needs = f"apt-get install {part.package}, or run `bash scripts/setup.sh toolchain`"
        needs = needs if part.package else "correct the table"
        raise LabError(f"{part.part} {part.version}: there is no {part.file}", hint=needs)
    return max(found, key=lambda path: [int(number) for number in re.findall(r"\d+", path.name)])


# --- the table -------------------------------------------------------------------------------------------------------
def _merged(*tables: Path | None) -> dict[str, Any]:
    merged: dict[str, Any] = {"toolchain": {}, **{part: {} for part in PARTS}}
    kinds = {"default": str, **dict.fromkeys(("toolchain", *PARTS), dict)}
    for path in tables:
        if path is None or not path.is_file():
            continue
        try:
            read = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: not TOML: {error}") from error
        for key, value in _checked(read, kinds, str(path)).items():
            known = merged.get(key)
            merged[key] = {**known, **value} if isinstance(known, dict) else value
    return merged


def _part(merged: Mapping[str, Any], part: str, version: str, where: str) -> Part:
    entries: Mapping[str, Any] = merged[part]
    if version not in entries:
        raise ConfigError(f"{where}: there is no [{part}.{version!r}]", hint=f"known: {', '.join(entries)}")
    where = f'[{part}."{version}"]'
    kinds = {"url": str, "sha256": str, "file": str, "package": str, "configure": list, "spare": list}
    values = _checked(entries[version], kinds, where)
    if bool(values.get("url")) == bool(values.get("file")):
        raise ConfigError(f"{where}: needs either `url` or `file`")
    if values.get("url") and not values.get("sha256"):
        raise ConfigError(f"{where}: a `url` needs its `sha256`", hint="nothing is built that cannot be verified")
    configure, spare = (tuple(map(str, values.pop(key, ()))) for key in ("configure", "spare"))
    return Part(part, version, configure=configure, spare=spare, **values)


def _checked(table: object, kinds: Mapping[str, type], where: str, *, required: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return *table*; ConfigError for an unknown, missing or mistyped key."""
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: must be a table")
    for key, value in table.items():
        if key not in kinds:
            near = difflib.get_close_matches(key, kinds, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"known: {', '.join(kinds)}"
            raise ConfigError(f"{where}: unknown key `{key}`", hint=hint)
        if not isinstance(value, kinds[key]):
            raise ConfigError(f"{where}: `{key}` must be a {kinds[key].__name__}, not {value!r}")
    for key in required:
        if key not in table:
            raise ConfigError(f"{where}: key `{key}` is missing")
    return dict(table)
