"""An exporter that is this computer behind a real sshd: labgrid reaches it by the name ``exporter``."""

import getpass
import os
import shutil
import subprocess
from pathlib import Path
from typing import Self

import attr
import pytest
from labgrid import Target
from labgrid.driver import USBSDMuxDriver
from labgrid.factory import target_factory
from labgrid.resource.common import ResourceManager
from labgrid.resource.remote import NetworkUSBSDMuxDevice
from labgrid.util.ssh import sshmanager
from sshboard import free_port, wait_for

HOST = "exporter"
SBIN = "/usr/sbin:/sbin"


@target_factory.reg_resource
@attr.s(eq=False)
class ExportedSDMux(NetworkUSBSDMuxDevice):
    """As labgrid's client has it from a coordinator, without one."""

    manager_cls = ResourceManager


class SshExporter:
    """``with`` starts its sshd; its ``path`` is where a login there looks for programs."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.port = folder, free_port()
        self.path = f"{os.environ['PATH']}:{SBIN}"
        self._sshd: subprocess.Popen[bytes] | None = None
        self.tmp = folder / "tmp"
        for made in (folder / "bin", self.tmp):
            made.mkdir(parents=True)
        for name in ("host", "user"):
            key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(key, check=True, capture_output=True)
        self.reach_by(self.port)
        ssh = shutil.which("ssh")
        assert ssh
        (folder / "bin" / "ssh").write_text(f'#!/bin/sh\nexec {ssh} -F {folder}/ssh_config "$@"\n')
        (folder / "bin" / "ssh").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
        monkeypatch.setenv("LG_SSH_CONNECT_TIMEOUT", "10")

    def reach_by(self, port: int) -> None:
        """Let the name lead to *port*."""
        key = (self.folder / "host.pub").read_text()
        (self.folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {key}")
        (self.folder / "ssh_config").write_text(
            f"Host {HOST}\n HostName 127.0.0.1\n Port {port}\n User {getpass.getuser()}\n"
            f" IdentityFile {self.folder}/user\n UserKnownHostsFile {self.folder}/known_hosts\n IdentityAgent none\n"
        )

    def __enter__(self) -> Self:
        config = self.folder / "sshd_config"
        config.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.folder}/host\n"
            f"AuthorizedKeysFile {self.folder}/user.pub\nStrictModes no\nUsePAM no\nPidFile none\n"
            f"PasswordAuthentication no\nPermitRootLogin yes\n"
            f"SetEnv PATH={self.path} TMPDIR={self.tmp} HOME={self.folder}\n"
        )
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:{SBIN}")
        assert sshd, "this test needs sshd: apt-get install openssh-server, or bash scripts/setup.sh test"
        self._log = (self.folder / "log").open("ab")
        self._sshd = subprocess.Popen([sshd, "-D", "-e", "-f", str(config)], stderr=self._log)
        wait_for(self.port, self._sshd)
        return self

    def __exit__(self, *_: object) -> None:
        sshmanager.close_all()
        self.stop()

    def stop(self) -> None:
        """Stop listening; who is logged in stays so."""
        if self._sshd:
            self._sshd.terminate()
            self._sshd.wait()
            self._log.close()
            self._sshd = None

    def bind(self, target: Target, disk: Path) -> None:
        """Give *target* labgrid's driver for the mux that hangs there."""
        resource = ExportedSDMux(
            target, name=None, host=HOST, busnum=1, devnum=2, vendor_id=0x0424, model_id=0x4041,
            path=str(disk), control_path="/dev/sg9",
        )  # fmt: skip
        resource.avail = True
        USBSDMuxDriver(target, name=None)
