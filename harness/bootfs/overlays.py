"""Which overlays ``dtoverlay=`` and ``dtparam=`` lines ask for, and under which file names they lie.

Source: https://www.raspberrypi.com/documentation/computers/configuration.html (device trees, overlays and parameters)
"""

from collections.abc import Sequence

import attrs

from harness.bootfs.config_txt import Setting
from harness.model import BoardProfile

Params = tuple[tuple[str, str], ...]

RENAMED = {"pi3-disable-bt": "disable-bt", "pi3-miniuart-bt": "miniuart-bt"}
BCM2711 = {"vc4-kms-v3d": "vc4-kms-v3d-pi4", "vc4-fkms-v3d": "vc4-fkms-v3d-pi4"}
"""Two excerpts of overlay_map.dtb: names of old, and what a Pi 4 takes instead."""


@attrs.frozen
class Request:
    """One ``dtoverlay=`` with the parameters on its line and on the ``dtparam=`` lines that follow it."""

    name: str
    params: Params
    setting: Setting


def requested(settings: Sequence[Setting]) -> tuple[Params, tuple[Request, ...]]:
    """Return the parameters of the base DTB, and the overlays in order; ``dtoverlay=`` alone leads back to the base."""
    base: Params = ()
    requests: list[Request] = []
    to_base = True
    for setting in settings:
        if setting.key == "dtoverlay":
            name, *items = setting.value.replace(":", ",", 1).split(",")
            to_base = not name
            if name:
                requests.append(Request(name, params(items), setting))
        elif setting.key == "dtparam" and to_base:
            base += params(setting.value.split(","))
        elif setting.key == "dtparam":
            more = requests[-1].params + params(setting.value.split(","))
            requests[-1] = attrs.evolve(requests[-1], params=more)
    return base, tuple(requests)


def params(items: Sequence[str]) -> Params:
    """Return ``name=value`` items as pairs; a bare name means on."""
    pairs = (item.partition("=") for item in items if item)
    return tuple((name, value if sign else "on") for name, sign, value in pairs)


def file_names(name: str, board: BoardProfile) -> tuple[str, ...]:
    """Return the file names under which overlay *name* may lie for *board*, the preferred one first."""
    special = {**RENAMED, **(BCM2711 if board.soc == "bcm2711" else {})}.get(name)
    return (*([f"{special}.dtbo"] if special else []), f"{name}.dtbo")
