"""All inputs of one kernel build, and the key they add up to: equal keys are equal kernels."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import attrs

from harness.build import kconfig, request
from harness.build.request import Request
from harness.errors import UsageError
from harness.model import BoardProfile, KernelSource, Toolchain

GENERATED = frozenset({"allnoconfig", "allmodconfig", "allyesconfig", "alldefconfig"})
"""Base configurations that Kconfig makes up; all others are files of the tree."""
FORMAT = 2
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
    request: Request
    """What the fragments ask for."""
    fragments: tuple[str, ...]
    dtb_targets: tuple[str, ...]
    """``dtbs`` in a Raspberry Pi tree, which brings overlays along; single files in a mainline tree."""
    extra_version: str
    """Asked for by the user; the release ends in it and the key."""
    base_text: str = ""
    """Content of the base configuration, if it is a file and not a name in the tree."""

    @property
    def wanted(self) -> Mapping[str, str]:
        """Symbol -> value of what the fragments ask for."""
        return self.request.wanted

    @property
    def key(self) -> str:
        """Digest of all inputs."""
        return self._digest(self.source.digest)[:32]

    @property
    def localversion(self) -> str:
        """What makes the release unique: a kernel that answers with it was built from exactly these inputs.

        All changes on top of one commit share a release, which ends in ``-dirty``: a new one would compile whatever
        tells it and link all modules again at every edit. Their build ids differ.
        """
        if self.source.dirty:
            return f"{self.extra_version}-pi64-{self._digest(str(self.source.commit))[:8]}-dirty"
        return f"{self.extra_version}-pi64-{self.key[:8]}"

    def _digest(self, source: str) -> str:
        inputs = [
            FORMAT, source, self.source.epoch, self.toolchain.digest, self.base_config,
            kconfig.render(self.wanted), self.dtb_targets, self.extra_version, *filter(None, [self.base_text]),
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()

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
    """Return the recipe; UsageError for a defconfig or fragment that does not exist or contradicts another one."""
    extra = localversion or ""
    if not LOCALVERSION.fullmatch(extra):
        raise UsageError(f"localversion {extra!r}: up to 24 letters, digits and . + ~ - _", hint="e.g. -mybranch")
    default = board.defconfig if source.flavour == "raspberrypi" else "defconfig"
    base, text = _base(source, str(config or default))
    return Recipe(
        source=source,
        toolchain=toolchain,
        base_config=base,
        base_text=text,
        request=request.read(fragments),
        fragments=tuple(map(str, fragments)),
        dtb_targets=("dtbs",) if source.flavour == "raspberrypi" else tuple(_mainline_dtbs(source, board)),
        extra_version=extra,
    )


def _base(source: KernelSource, config: str) -> tuple[str, str]:
    """Return what to call the base configuration, and its content if it is a file: of the user, not of the tree."""
    in_tree = "/" not in config and (source.path / CONFIGS / config).is_file()
    if config in GENERATED or in_tree or not request.is_file(config):
        return _known_config(source, config), ""
    path = Path(config).expanduser()
    return re.sub(r"[^\w.+-]", "_", path.name), request.base_text(path)


def _known_config(source: KernelSource, name: str) -> str:
    if name in GENERATED or (source.path / CONFIGS / name).is_file():
        return name
    offered = sorted(path.name for path in (source.path / CONFIGS).glob("*defconfig"))
    raise UsageError(
        f"{source.path}: kernel tree {source.version} ({source.flavour}) has no {name}",
        hint=f"its {CONFIGS} has {', '.join(offered) or 'none'}; allnoconfig is possible as well",
    )


def _mainline_dtbs(source: KernelSource, board: BoardProfile) -> Iterable[str]:
    """Return the targets of all Raspberry Pi DTBs, not only this board's: one build then serves every board.

    ``make dtbs`` would compile those of all other vendors as well, some hundreds.
    """
    names = sorted(path.stem for path in (source.path / DTS / "broadcom").glob("bcm2[78]*-rpi-*.dts"))
    if not {f"{name}.dtb" for name in names} & set(board.dtbs):
        missing = " nor ".join(f"{Path(dtb).stem}.dts" for dtb in board.dtbs)
        raise UsageError(f"{source.path}: kernel tree {source.version} has neither {missing}", hint="an older board?")
    return [f"broadcom/{name}.dtb" for name in names]
