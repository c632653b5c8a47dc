"""The lab's side of an ``SshBoard``: a driver on a labgrid target, and what a strategy would do with it."""

from pathlib import Path

from labgrid import Target
from labgrid.resource import NetworkService
from sshboard import LocalConsole, SshBoard, boot_files

from harness.deploy.ssh import SshDeployDriver


class Lab:
    """One target; *port* leads to the board by another way than its own."""

    def __init__(self, board: SshBoard, folder: Path, *, port: int = 0, **driver: object) -> None:
        self.board, self._folder = board, folder
        target = Target("board")
        NetworkService(target, name=None, address="127.0.0.1", port=port or board.port, username=board.user)
        given = {"root": str(board.root), "connect_timeout": 20} | driver
        self.driver = SshDeployDriver(target, name=None, **given)
        target.activate(self.driver)
        self.console = LocalConsole(board)

    def connect(self) -> str:
        release: str = self.driver.connect(lambda: self.console)
        return release

    def deploy(self, release: str, **more: object) -> tuple[str, ...]:
        """Connect, compose on what the board has, deploy; return the names of what was written."""
        self.connect()
        files = boot_files(self._folder, release, dict(self.driver.stock()), **more)  # type: ignore[arg-type]
        written: tuple[str, ...] = self.driver.deploy(files).written
        return written

    def sent(self, release: str, **more: object) -> tuple[str, ...]:
        """Do so; return what was written but for tryboot.txt, which goes while its slot is not whole."""
        return tuple(name for name in self.deploy(release, **more) if name != "tryboot.txt")

    def try_it(self) -> str:
        """Restart into what was deployed, and return the release that runs then."""
        self.driver.restart()
        return self.board.reboot()

    def keep(self) -> None:
        self.driver.commit(lambda: self.console)

    def close(self) -> None:
        self.driver.target.deactivate(self.driver)
