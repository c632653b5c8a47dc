"""Power switches that labgrid has no driver for, one file each, and whether one that answers also switches."""

import importlib
import pkgutil


def register() -> None:
    """Import every power switch, so that labgrid knows its driver."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
