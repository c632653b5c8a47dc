"""A board that is only a folder: a root filesystem behind a real sshd of one's own, and a firmware that reads it.

sshd runs as whoever runs the tests, on a free port of the loopback interface, with a host key of its own. What would
touch the machine that the tests run on (sudo, reboot, vcgencmd) is a script of the board's.
"""

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from harness import boards
from harness.bootfs import firmware
from harness.bootfs.compose import compose
from harness.card.files import FolderFiles
from harness.model import BootFiles, CommandResult, KernelBuild, KernelSource, Toolchain

BOARD = boards.load("rpi-3-b")
STOCK = "6.1.21-v8+"
CMDLINE = "console=serial0,115200 console=tty1 root=PARTUUID=6c586e13-02 rootfstype=ext4 rootwait"
VCGENCMD = {"version": "Aug 15 2023 14:22:39 \nCopyright (c) 2012 Broadcom\nversion 6adf57c4 (clean) (release) (start)"}
DTB = "bcm2710-rpi-3-b.dtb"
SBIN = "/usr/sbin:/sbin"

WRAPPER = """#!/bin/sh
# Every command of a session comes through here: none shall ever find this machine's own reboot.
export PATH="{programs}:$PATH"
[ "$(command -v reboot)" = "{programs}/reboot" ] || exit 1
exec sh -c "$SSH_ORIGINAL_COMMAND"
"""
PROGRAMS = {
    "sudo": '[ "$1" = -n ] && shift\nexec "$@"',
    "reboot": 'echo "$1" >>"{root}/rebooted"',
    "vcgencmd": 'cat "{root}/vcgencmd.$1" 2>/dev/null || {{ echo "error=1"; exit 255; }}',
    "vcmailbox": 'echo "$*" >>"{root}/vcmailbox"',
}


def kernel_image(release: str) -> bytes:
    return b"\0" * 56 + b"ARM\x64" + f"Linux version {release} (x)".encode() + b"\0" * 5000


def kernel(folder: Path, release: str, *, modules: int = 3) -> KernelBuild:
    """Return a build with an Image that says its release, and modules of a few bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Image").write_bytes(kernel_image(release))
    (folder / DTB).write_bytes(b"dtb of " + release.encode())
    tree = folder / "lib" / "modules" / release
    (tree / "kernel").mkdir(parents=True, exist_ok=True)
    (tree / "modules.dep").write_text("".join(f"kernel/m{number}.ko:\n" for number in range(modules)))
    for number in range(modules):
        (tree / "kernel" / f"m{number}.ko").write_bytes(f"{release} {number} ".encode() * 300)
    source, toolchain = KernelSource(folder, "mainline", "6", "test", "0"), Toolchain("system", "x-", "gcc", "0")
    return KernelBuild(
        release, "00", folder / "Image", (folder / DTB,), (), folder, (), folder / "c", folder / "l", "0", source,
        toolchain, "defconfig", (), 0.0, False,
    )  # fmt: skip


def boot_files(folder: Path, release: str, stock: dict[str, bytes], *, modules: int = 3, **more: object) -> BootFiles:
    """Compose *release* on the text files of a running board."""
    return compose(kernel(folder / release, release, modules=modules), BOARD, stock, **more)  # type: ignore[arg-type]


class SshBoard:
    """``with`` starts its sshd; ``root`` is its root filesystem, ``reboot`` what its firmware does then."""

    def __init__(self, folder: Path, *, boot: str = "/boot") -> None:
        self.root, self.home, self._etc = folder / "root", folder / "home", folder / "etc"
        self.boot = self.root / boot[1:]
        self.user = getpass.getuser()
        self.port = free_port()
        self._programs = folder / "programs"
        self._sshd: subprocess.Popen[bytes] | None = None
        for made in (self.home, self._etc, self._programs, self.boot, self.root / "run", self.root / "lib/modules"):
            made.mkdir(parents=True)
        self._fill(boot)
        self.new_host_key()

    def _fill(self, boot: str) -> None:
        for name, text in {
            "proc/mounts": f"/dev/mmcblk0p2 / ext4 rw 0 0\n/dev/mmcblk0p1 {boot} vfat rw,fmask=0022 0 0\n",
            "proc/device-tree/model": "Raspberry Pi 3 Model B Rev 1.2\0",
            "proc/device-tree/compatible": "raspberrypi,3-model-b\0brcm,bcm2837\0",
            "dev/vcio": "",
            **{f"vcgencmd.{name}": said for name, said in VCGENCMD.items()},
        }.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for name, data in {
            "config.txt": b"# stock\ndtparam=audio=on\narm_64bit=1\n",
            "cmdline.txt": f"{CMDLINE}\n".encode(),
            "start.elf": b"x",
            "kernel8.img": kernel_image(STOCK),
            DTB: b"stock",
        }.items():
            (self.boot / name).write_bytes(data)
        (self.root / "lib/modules" / STOCK).mkdir()
        (self.root / "lib/modules" / STOCK / "modules.dep").write_text("stock")
        for name, script in PROGRAMS.items():
            self.program(name, script.format(root=self.root))
        self.program("wrapper", WRAPPER.format(programs=self._programs).removeprefix("#!/bin/sh\n"))
        self.power_cycle()

    def program(self, name: str, script: str) -> None:
        """Give the board a program of its own."""
        path = self._programs / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    # --- what its firmware does ---------------------------------------------------------------------------------------
    def power_cycle(self) -> str:
        """Start cold: return the release that runs then."""
        return self._boot(tryboot=False)

    def reboot(self) -> str:
        """Start as whoever called ``reboot`` last wanted it."""
        asked = (self.root / "rebooted").read_text().splitlines()[-1]
        return self._boot(tryboot=" tryboot" in asked)

    def _boot(self, *, tryboot: bool) -> str:
        plan = firmware.plan(FolderFiles(self.boot), BOARD, tryboot=tryboot)
        assert plan.bootable, plan.reason
        assert plan.kernel is not None
        image = (self.boot / plan.kernel).read_bytes()
        release = image.partition(b"Linux version ")[2].partition(b" ")[0].decode()
        (self.root / "proc/sys/kernel").mkdir(parents=True, exist_ok=True)
        (self.root / "proc/sys/kernel/osrelease").write_text(f"{release}\n")
        (self.root / "proc/cmdline").write_text(f"8250.nr_uarts=0 {plan.cmdline}\n")
        return release

    # --- its sshd -----------------------------------------------------------------------------------------------------
    def new_host_key(self) -> None:
        """Have another host key from the next start of sshd on."""
        for old in self._etc.glob("ssh_host_*"):
            old.unlink()
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._etc / "ssh_host_ed25519_key")])

    def __enter__(self) -> Self:
        config = self._etc / "sshd_config"
        config.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self._etc}/ssh_host_ed25519_key\n"
            f"AuthorizedKeysFile {self.home}/.ssh/authorized_keys\nStrictModes no\nUsePAM no\nPidFile none\n"
            f"PasswordAuthentication no\nPermitRootLogin yes\nForceCommand {self._programs}/wrapper\n"
            f"SetEnv HOME={self.home}\n"  # whose .bashrc is nobody's, and starts nothing
        )
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where root's sshd locks itself in before a login
        self._start(config)
        return self

    def _start(self, config: Path) -> None:
        sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:{SBIN}")
        assert sshd, "this test needs sshd: apt-get install openssh-server, or bash scripts/setup.sh test"
        self._log = (self._etc / "log").open("ab")
        self._sshd = subprocess.Popen([sshd, "-D", "-e", "-f", str(config)], stderr=self._log)
        wait_for(self.port, self._sshd)

    @property
    def pid(self) -> int:
        """Of its sshd, below which all runs that somebody has started there."""
        assert self._sshd
        return self._sshd.pid

    def restart(self) -> None:
        """Let sshd read its configuration again."""
        self.__exit__()
        self._start(self._etc / "sshd_config")

    def __exit__(self, *_: object) -> None:
        if self._sshd:
            self._sshd.terminate()
            self._sshd.wait()
            self._log.close()
            self._sshd = None


class Acquainted:
    """The keys of a board and of a lab that have met before."""

    def __init__(self, folder: Path) -> None:
        self._host, self._own = folder / "ssh_host_ed25519_key", folder / "id_ed25519"
        for key in (self._host, self._own):
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)])

    def meet(self, board: SshBoard, cache: Path, target: str) -> None:
        """Let *board*, and a lab whose cache is *cache*, know one another."""
        for key in (self._host, self._host.with_suffix(".pub")):
            shutil.copy(key, board._etc / key.name)
        known = cache / "ssh" / target / "known_hosts"
        known.parent.mkdir(parents=True)
        known.write_text(f"{target} {self._host.with_suffix('.pub').read_text()}")
        for key in (self._own, self._own.with_suffix(".pub")):
            shutil.copy(key, cache / "ssh" / key.name)
        (board.home / ".ssh").mkdir()
        shutil.copy(self._own.with_suffix(".pub"), board.home / ".ssh" / "authorized_keys")


class LocalConsole:
    """A serial console of an SshBoard: a shell of its user's, without any network."""

    def __init__(self, board: SshBoard) -> None:
        self.commands: list[str] = []
        self._board = board

    def run(self, command: str, *, timeout: float = 30.0) -> CommandResult:
        self.commands.append(command)
        typed = command.replace("/etc/ssh/", f"{self._board._etc}/")
        path = f"{self._board._programs}:{os.environ['PATH']}"
        done = subprocess.run(
            ["sh", "-c", typed],
            env={**os.environ, "HOME": str(self._board.home), "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
        )
        return CommandResult(command, done.stdout.decode(), done.returncode, 0.0)


@contextlib.contextmanager
def cutter(port: int, after_bytes: int) -> Iterator[tuple[int, Callable[[], int]]]:
    """Yield a port that leads to *port* until so many bytes have gone there, and how many have: then it is cut."""
    sent = [0]
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_cut, args=(server, port, after_bytes, sent), daemon=True)
        thread.start()
        yield server.getsockname()[1], lambda: sent[0]
    thread.join(10)


def _cut(server: socket.socket, port: int, after_bytes: int, sent: list[int]) -> None:
    try:
        near, _ = server.accept()
    except OSError:
        return
    far = socket.create_connection(("127.0.0.1", port))
    back = threading.Thread(target=_carry, args=(far, near, 10**12, [0]), daemon=True)
    back.start()
    _carry(near, far, after_bytes, sent)
    for end in (near, far):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
    back.join()
    near.close()
    far.close()


def _carry(source: socket.socket, target: socket.socket, limit: int, sent: list[int]) -> None:
    with contextlib.suppress(OSError):
        while sent[0] < limit and (data := source.recv(2048)):
            piece = data[: limit - sent[0]]
            target.sendall(piece)
            sent[0] += len(piece)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def wait_for(port: int, process: subprocess.Popen[bytes], *, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, f"sshd ended with status {process.returncode}"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
    raise AssertionError(f"nobody listens on port {port}")


def run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True)
