"""Ways to get a kernel onto a board's medium, one file each, behind one protocol; each registers its labgrid driver."""

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping

from harness.host import Progress
from harness.model import BaseImage, BootFiles, Manifest


class DeployProtocol(ABC):
    """What every deploy driver can do; the board is off meanwhile, unless the method is ``live``."""

    live = False
    """Whether it deploys into the running system: then it is a ``deploy.live.LiveDeployProtocol``."""
    committed = True
    """Whether a cold start boots what was deployed last."""
    stock_on_card = False
    """Whether ``stock`` reads the board's own card, which a running board has."""

    @abstractmethod
    def use(self, base: BaseImage) -> None:
        """Say which system lies under the kernel."""

    @abstractmethod
    def stock(self) -> Mapping[str, bytes]:
        """Return the small text files of the boot partition as the stock system has them (config.txt, cmdline.txt)."""

    @abstractmethod
    def deploy(self, files: BootFiles, *, progress: Progress) -> Manifest:
        """Write what differs, read it back, and return what lies there now. LabError or DeployError."""

    @abstractmethod
    def restore(self, *, progress: Progress) -> None:
        """Put the stock system back, so that the board boots as before the first deploy. LabError."""

    def disconnect(self) -> None:  # noqa: B027 - nothing to do for most
        """Let go of a running board: its power is cut, or it restarts."""

    def expect_boot(self) -> None:  # noqa: B027 - nothing to do for most
        """Take note that the board starts now: for a method that serves the files while it boots."""

    def fetched(self) -> Manifest | None:
        """Return what the board took since then; None for a method that has written it before. LabError."""
        return None


def register() -> None:
    """Import every deploy method, so that labgrid knows its drivers."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
