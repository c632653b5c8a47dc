"""Ways to get a kernel onto a board's medium, one file each, behind one protocol; each registers its labgrid driver."""

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping

from harness.host import Progress
from harness.model import BaseImage, BootFiles, Manifest


class DeployProtocol(ABC):
    """What every deploy driver can do; the board is off meanwhile."""

    @abstractmethod
    def use(self, base: BaseImage) -> None:
        """Say which system lies under the kernel."""

    @abstractmethod
    def stock(self) -> Mapping[str, bytes]:
        """Return the small text files of the boot partition as the stock system has them (config.txt, cmdline.txt)."""

    @abstractmethod
    def deploy(self, files: BootFiles, *, progress: Progress) -> Manifest:
        """Write what differs, read it back, and return what lies there now. LabError or DeployError."""


def register() -> None:
    """Import every deploy method, so that labgrid knows its drivers."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
