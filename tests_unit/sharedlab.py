"""A lab with a coordinator and exporters of labgrid's own, in front of served virtual boards; all of it on loopback."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import fakekernel
import yaml
from fakelinux import write

from harness.virtual.bench import Address

BIN = Path(sys.executable).parent
ENVIRONMENT = {"GRPC_ENABLE_FORK_SUPPORT": "0", "PYTHONUNBUFFERED": "1"}
BOOTS = """
def test_boots(boot):
    assert boot.reached, boot.reason
"""
GATED = """
import pathlib, time
def test_boots(boot):
    assert boot.reached, boot.reason
def test_waits(dut):
    pathlib.Path("ready").touch()
    while not pathlib.Path("go").exists():
        time.sleep(0.05)
def test_boots_again(dut, boot):
    assert dut.cold_boot().reached
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Program:
    """A program of labgrid's that runs until it is killed; its words go to a file."""

    def __init__(self, name: str, *args: str, folder: Path, log: str) -> None:
        self.log = folder / log
        with self.log.open("w") as file:
            self.process = subprocess.Popen(
                [str(BIN / name), *args], cwd=folder, env=os.environ | ENVIRONMENT, stdout=file, stderr=file
            )

    def until(self, words: str) -> "Program":
        deadline = time.monotonic() + 60
        while words not in self.log.read_text(errors="replace"):
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)
        return self

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class SharedLab:
    """The coordinator, and what else was started; ``close`` ends all of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "coordinator").mkdir()
        self.address = f"127.0.0.1:{free_port()}"
        self.programs: dict[str, Program] = {}
        self.start_coordinator()

    def start_coordinator(self) -> None:
        started = Program(
            "labgrid-coordinator", "-l", self.address, folder=self.folder / "coordinator", log="coordinator.log"
        )
        self.programs["coordinator"] = started
        host, port = self.address.split(":")
        deadline = time.monotonic() + 60
        while True:
            assert time.monotonic() < deadline, started.log.read_text()
            with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1):
                return
            time.sleep(0.05)

    def export(self, name: str, addresses: Sequence[Address]) -> None:
        """Start an exporter (again) that offers the boards at *addresses*."""
        groups = {
            each.name: {
                "NetworkPowerPort": {
                    "model": "rest",
                    "host": f"http://127.0.0.1:{each.relay}/relay/{{index}}/value",
                    "index": each.number,
                },
                "NetworkSerialPort": {
                    "host": "127.0.0.1",
                    "port": each.rfc2217,
                    "speed": 115200,
                    "protocol": "rfc2217",
                },
                "NetworkCardMux": {
                    "host": f"http://127.0.0.1:{each.relay}/card/{{index}}/mode",
                    "index": each.number,
                },
            }
            for each in addresses
        }
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(groups))
        started = Program(
            "labgrid-exporter",
            *("-c", self.address, "-n", name, "--hostname", "127.0.0.1", str(file)),
            folder=self.folder,
            log=f"{name}.log",
        )
        self.programs[name] = started.until("Exporter ready")

    def client(self, *args: str, user: str = "") -> str:
        environment = (
            os.environ | ENVIRONMENT | {"LG_COORDINATOR": self.address} | ({"LG_USERNAME": user} if user else {})
        )
        done = subprocess.run(
            [str(BIN / "labgrid-client"), *args],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def place(self, name: str, exporter: str, *tags: str) -> None:
        self.client("-p", name, "create")
        self.client("-p", name, "add-match", f"{exporter}/{name}/*")
        if tags:
            self.client("-p", name, "set-tags", *tags)

    def owner(self, name: str) -> str:
        """Who has the place: empty when nobody has."""
        shown = self.client("-p", name, "show")
        said = next(
            line.split(":", 1)[1].strip() for line in shown.splitlines() if line.strip().startswith("acquired:")
        )
        return "" if said == "None" else said

    def close(self) -> None:
        for program in self.programs.values():
            program.kill()


class User:
    """A user's folder: lab.yaml, a stub kernel tree, tests; runs pytest as its own process."""

    def __init__(self, folder: Path, image: Path, name: str, cache: Path | None = None) -> None:
        self.path, self.image, self.name = folder, image, name
        folder.mkdir(parents=True, exist_ok=True)
        self.cache = cache or folder / "cache"
        write(folder / "linux", blob=fakekernel.image(fakekernel.text("@RELEASE@")))

    def target(self, place: str, card: Path, *, reserve: Sequence[str] = ()) -> dict:
        options = {
            "model": "rpi-3-b",
            "kernel": {"source": str(self.path / "linux"), "requires": ["none"]},
            "image": {"file": str(self.image)},
            "login": {"user": "pi", "password": "hunter2"},
            "depmod": "target",
            "config_txt": ["dtoverlay=disable-bt"],
            "deadlines": dict.fromkeys(("firmware", "kernel", "rootfs", "init", "login", "silence"), 60),
        }
        if reserve:
            options["reserve"] = list(reserve)
        return {
            "options": options,
            "resources": {"RemotePlace": {"name": place}, "CardImage": {"file": str(card)}},
            "drivers": {
                "NetworkPowerDriver": {"delay": 0.1},
                "SerialDriver": {},
                "NetworkCardMuxDriver": {},
                "MuxedCardImageDriver": {},
                "RaspberryPiStrategy": {},
            },
        }

    def lab(self, targets: dict, address: str) -> None:
        content = {
            "imports": ["harness.lab.drivers"],
            "options": {"coordinator_address": address},
            "targets": targets,
        }
        (self.path / "lab.yaml").write_text(json.dumps(content))

    def start(self, test: str, *args: str, command: Sequence[str] = ()) -> subprocess.Popen[str]:
        (self.path / "test_it.py").write_text(test)
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        pytest_ = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
        return subprocess.Popen(
            [*(command or pytest_), *args],
            cwd=self.path,
            env=environment
            | ENVIRONMENT
            | {"PI64_CACHE": str(self.cache), "COLUMNS": "200", "LG_USERNAME": self.name, "LG_HOSTNAME": "desk"},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, test: str, *args: str, command: Sequence[str] = (), timeout: float = 240) -> tuple[int, str]:
        process = self.start(test, *args, command=command)
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return process.returncode, output

    def records(self) -> list[dict]:
        """The records of all runs, the oldest first."""
        files = sorted(path for path in (self.path / "runs").glob("*/run.json") if not path.parent.is_symlink())
        return [json.loads(path.read_text()) for path in files]
