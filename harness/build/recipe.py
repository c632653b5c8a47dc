"""All inputs of one kernel build, and the key they add up to: equal keys are equal kernels."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import attrs

from harness.build import kconfig
from harness.errors import UsageError
from harness.model import BoardProfile, KernelSource, Toolchain

FRAGMENTS = Path(__file__).parent / "fragments"
GENERATED = frozenset({"allnoconfig", "allmodconfig", "allyesconfig", "alldefconfig"})
"""Base configurations that Kconfig makes up; all others are files of the tree."""
FORMAT = 1
"""Counts up when the same inputs would leave other artifacts, so that those of older versions are not taken."""
CONFIGS = "arch/arm64/configs"
DTS = "arch/arm64/boot/dts"
LOCALVERSION = re.compile(r"[\w.+~-]{0,24}", re.ASCII)  # a release has 64 characters


@attrs.frozen
class Recipe:
    """What to build, from what, with what."""

    source: KernelSource
    toolchain: Toolchain
    base_config: str
    wanted: Mapping[str, str]
    """What the fragments ask for, merged: symbol -> value."""
    fragments: tuple[str, ...]
    dtb_targets: tuple[str, ...]
    """``dtbs`` in a Raspberry Pi tree, which brings overlays along; single files in a mainline tree."""
    extra_version: str
    """Asked for by the user; the release ends in it and the key."""

    @property
    def key(self) -> str:
        """Digest of all inputs."""
        inputs = [
            FORMAT, self.source.digest, self.source.epoch, self.toolchain.digest, self.base_config,
            kconfig.render(self.wanted), self.dtb_targets, self.extra_version,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:32]

    @property
    def localversion(self) -> str:
        """What makes the release unique: a kernel that answers with it was built from exactly these inputs."""
        return f"{self.extra_version}-pi64-{self.key[:8]}"

    @property
    def objects_name(self) -> str:
        """Names the object tree; inputs that change between two builds of one developer share it."""
        inputs = [str(self.source.path), self.base_config, self.toolchain.digest]
        return f"{self.base_config}-{hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:12]}"


def compose(
    source: KernelSource,
    toolchain: Toolchain,
    board: BoardProfile,
    *,
    config: str | None,
    fragments: Sequence[str | Path],
    localversion: str | None,
) -> Recipe:
    """Return the recipe; UsageError for a defconfig or fragment that does not exist."""
    extra = localversion or ""
    if not LOCALVERSION.fullmatch(extra):
        raise UsageError(f"localversion {extra!r}: up to 24 letters, digits and . + ~ - _", hint="e.g. -mybranch")
    default = board.defconfig if source.flavour == "raspberrypi" else "defconfig"
    return Recipe(
        source=source,
        toolchain=toolchain,
        base_config=_known_config(source, config or default),
        wanted=kconfig.merge(kconfig.parse(_fragment(name).read_text(), name=str(name)) for name in fragments),
        fragments=tuple(map(str, fragments)),
        dtb_targets=("dtbs",) if source.flavour == "raspberrypi" else tuple(_mainline_dtbs(source, board)),
        extra_version=extra,
    )


def _known_config(source: KernelSource, name: str) -> str:
    if name in GENERATED or (source.path / CONFIGS / name).is_file():
        return name
    offered = sorted(path.name for path in (source.path / CONFIGS).glob("*defconfig"))
    raise UsageError(
        f"{source.path}: kernel tree {source.version} ({source.flavour}) has no {name}",
        hint=f"its {CONFIGS} has {', '.join(offered) or 'none'}; allnoconfig is possible as well",
    )


def _fragment(name: str | Path) -> Path:
    """Return the file of a fragment: a name in ``fragments/``, or a path."""
    shipped = FRAGMENTS / f"{name}.config"
    path = shipped if shipped.is_file() else Path(name).expanduser()
    if path.is_file():
        return path
    known = ", ".join(sorted(file.stem for file in FRAGMENTS.glob("*.config")))
    raise UsageError(f"config fragment {name}: no such file", hint=f"known by name: {known}")


def _mainline_dtbs(source: KernelSource, board: BoardProfile) -> Iterable[str]:
    """Return the targets of all Raspberry Pi DTBs, not only this board's: one build then serves every board.

    ``make dtbs`` would compile those of all other vendors as well, some hundreds.
    """
    names = sorted(path.stem for path in (source.path / DTS / "broadcom").glob("bcm2[78]*-rpi-*.dts"))
    if not {f"{name}.dtb" for name in names} & set(board.dtbs):
        missing = " nor ".join(f"{Path(dtb).stem}.dts" for dtb in board.dtbs)
        raise UsageError(f"{source.path}: kernel tree {source.version} has neither {missing}", hint="an older board?")
    return [f"broadcom/{name}.dtb" for name in names]
