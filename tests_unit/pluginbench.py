"""A bench on which pytester runs pytest: lab.yaml, a stub kernel tree, a tiny kernel in real QEMU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import fakekernel
import pytest
from fakelinux import write

LAB = """
imports: [harness.lab.drivers]
targets:
  virtual-rpi3:
    features: [virtual]
    options:
      model: rpi-3-b
      kernel: {{source: {tree}, requires: [none]}}
      image: {{file: {image}}}
      login: {{user: pi, password: hunter2}}
      depmod: target
      config_txt: [dtoverlay=disable-bt]
      deadlines: {{firmware: 60, kernel: 60, rootfs: 60, init: 60, login: 60, silence: 60}}
    resources:
      CardImage: {{file: {card}}}
    drivers:
      VirtualPiDriver: {{{driver}}}
      CardImageDriver: {{}}
      RaspberryPiStrategy: {{}}
"""
BOOTS = """
def test_boots(boot):
    assert boot.reached, boot.reason
"""
SHELL = """
def test_asks(shell):
    assert shell.check("uname -m") == "aarch64"
"""
PANIC = "VFS: Cannot open root device\nKernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\n"


class Bench:
    """A folder with a lab.yaml, a stub kernel tree and a base image."""

    def __init__(self, folder: Path, image: Path) -> None:
        self.path, self.image = folder, image
        self.lab()
        write(folder / "linux", blob=fakekernel.image(fakekernel.text("@RELEASE@")))

    def kernel(self, message: str, then: str = "hang") -> None:
        """Change what the kernel that is built will say and do."""
        (self.path / "linux" / "blob").write_bytes(fakekernel.image(message, then=then))

    def lab(self, driver: str = "") -> None:
        text = LAB.format(tree=self.path / "linux", image=self.image, card=self.path / "card.img", driver=driver)
        (self.path / "lab.yaml").write_text(text)

    @property
    def environment(self) -> dict[str, str]:
        return {"PI64_CACHE": str(self.path / "cache"), "COLUMNS": "200"}

    def command(self, test: str, *args: str) -> list[str]:
        (self.path / "test_it.py").write_text(test)
        return [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", *args]

    def start(self, test: str, *args: str) -> subprocess.Popen[str]:
        """Run pytest and do not wait for it."""
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        pipe = subprocess.PIPE
        return subprocess.Popen(
            self.command(test, *args),
            cwd=self.path,
            env=environment | self.environment,
            text=True,
            stdout=pipe,
            stderr=pipe,
        )

    def run(self, test: str, *args: str) -> pytest.RunResult:
        process = self.start(test, *args)
        out, err = process.communicate(timeout=60)
        return pytest.RunResult(process.returncode, out.splitlines(), err.splitlines(), 0.0)

    @property
    def folder(self) -> Path:
        return self.path / "runs" / "latest"

    @property
    def record(self) -> dict:
        return json.loads((self.folder / "run.json").read_text())
