"""A card behind a mux of an exporter: the same work, done there over a real ssh connection, and nothing left there."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import kernelpair
import pytest
import raspios
from labgrid import Environment, Target
from labgrid.resource.remote import NetworkUSBSDMuxDevice
from labgrid.util.ssh import sshmanager
from scriptedmux import Mux, ScriptedPowerDriver
from smallcard import BOOT_OFFSET, ROOT_OFFSET, make_card, tool
from sshboard import cutter, free_port, wait_for
from sshexporter import SshExporter

from harness.card import flashplan
from harness.card.ext4 import Ext4Partition
from harness.card.prepare import account
from harness.deploy.sdmux import SdMuxDeployDriver
from harness.errors import LabError
from harness.model import BaseImage

OLD, NEW = "6.12.1-old", "6.12.2-new"


@pytest.fixture(scope="module")
def flashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = make_card(tmp_path_factory.mktemp("base") / "base.img")
    kernelpair.stock(path, BOOT_OFFSET)
    return path


@pytest.fixture
def mux(tmp_path: Path, flashed: Path, monkeypatch: pytest.MonkeyPatch) -> Mux:
    mux = Mux(tmp_path / "mux", monkeypatch)
    tool(["cp", "--sparse=always", flashed, mux.card])
    return mux


@pytest.fixture
def exporter(mux: Mux, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SshExporter]:
    """It has the mux's program; the lab host itself has not."""
    with SshExporter(tmp_path / "exporter", monkeypatch) as exporter:
        yield exporter


@pytest.fixture
def driver(exporter: SshExporter, mux: Mux, flashed: Path) -> Iterator[SdMuxDeployDriver]:
    target = Target("rpi4")
    exporter.bind(target, mux.disk)
    ScriptedPowerDriver(target, name=None)
    driver = SdMuxDeployDriver(target, name=None, switch_timeout=5, medium_timeout=2)
    target.activate(driver)
    driver.use(BaseImage(flashed, BOOT_OFFSET, 1, ROOT_OFFSET, 2, 32, "base", "raspios.img"))
    yield driver
    target.deactivate(driver)


def booting(mux: Mux) -> str:
    return kernelpair.booting(mux.card, BOOT_OFFSET, ROOT_OFFSET)


def test_deploy_and_restore_over_ssh_do_what_they_do_here(
    driver: SdMuxDeployDriver, mux: Mux, exporter: SshExporter, tmp_path: Path
) -> None:
    said: list[str] = []
    assert driver.stock()["config.txt"] == kernelpair.STOCK["config.txt"]
    for number, release in enumerate((OLD, NEW)):
        driver.deploy(kernelpair.files(tmp_path / str(number), release), progress=said.append)
        assert (booting(mux), mux.mode) == (release, "dut")
    link = Ext4Partition(mux.card, ROOT_OFFSET).nodes(f"/lib/modules/{NEW}")["build"]
    assert link.is_link
    assert driver.deploy(kernelpair.files(tmp_path / "1", NEW)).written == ()
    driver.restore()
    assert booting(mux) == "stock"
    assert any(line.startswith("deploy: sending") for line in said)
    assert "deploy: 14 module files to write" in said  # from over there
    assert list(exporter.tmp.iterdir()) == []


def test_what_fails_there_is_told_here_with_where(driver: SdMuxDeployDriver, mux: Mux, tmp_path: Path) -> None:
    mux.card.write_bytes(bytes(1 << 20))
    with pytest.raises(LabError, match=r"exporter: wrong card\? .*no 55 AA") as caught:
        driver.deploy(kernelpair.files(tmp_path / "a", NEW))
    assert "pi64 flash" in caught.value.hint


def test_a_disk_that_never_appears_there_ends_the_wait(driver: SdMuxDeployDriver, mux: Mux) -> None:
    mux.fault(lost=True)
    with pytest.raises(LabError, match=r"exporter: no card at the host's side after 2 s: looked for .*dev/sdx"):
        driver.stock()


def test_an_exporter_without_python_is_told_with_its_words(
    driver: SdMuxDeployDriver, exporter: SshExporter, mux: Mux
) -> None:
    (mux.folder / "bin" / "python3").write_text("#!/bin/sh\necho 'python3: not for you' >&2\nexit 127\n")
    (mux.folder / "bin" / "python3").chmod(0o755)
    with pytest.raises(LabError, match=r"exporter: no answer about the card: .* status 127") as caught:
        driver.stock()
    assert caught.value.evidence == ("python3: not for you",)
    assert mux.mode == "dut"


def test_an_exporter_that_is_gone_is_the_benchs_fault(
    driver: SdMuxDeployDriver, exporter: SshExporter, mux: Mux
) -> None:
    sshmanager.close_all()
    exporter.stop()
    with pytest.raises(LabError, match=r"rpi4: the mux did not switch to host: failed to connect"):
        driver.stock()


@pytest.mark.slow
@pytest.mark.parametrize("after_bytes", [150_000, 420_000])
def test_a_connection_lost_in_the_midst_leaves_one_whole_kernel(
    driver: SdMuxDeployDriver, exporter: SshExporter, mux: Mux, tmp_path: Path, after_bytes: int
) -> None:
    driver.deploy(kernelpair.files(tmp_path / "a", OLD))
    files = kernelpair.files(tmp_path / "b", NEW)
    sshmanager.close_all()
    with cutter(exporter.port, after_bytes) as port:
        exporter.reach_by(port)
        with pytest.raises(LabError, match=r"exporter|mux"):
            driver.deploy(files)
        sshmanager.close_all()
    exporter.reach_by(exporter.port)
    tool(["mv", mux.disk, mux.card]) if mux.disk.exists() else None
    assert booting(mux) == OLD
    mux.fault(mode="dut")
    driver.deploy(files)
    assert booting(mux) == NEW


def test_a_whole_image_is_written_there_and_prepared(driver: SdMuxDeployDriver, mux: Mux, tmp_path: Path) -> None:
    image, said = raspios.make(tmp_path / "raspios.img", "bookworm"), []
    with mux.card.open("wb") as file:
        file.truncate(64 << 20)
    plan = flashplan.plan(image, image)
    driver.flash(plan, None, progress=said.append)
    assert mux.card.read_bytes()[: image.stat().st_size] == image.read_bytes()
    assert any(line.endswith("MiB read back") for line in said)
    driver.flash(plan, account("pi", "raspberry", salt="x"))
    assert "ssh.service" in Ext4Partition(mux.card, ROOT_OFFSET).nodes(raspios.WANTS)
    assert mux.mode == "dut"


def test_nothing_is_sent_to_a_reader_without_a_card(driver: SdMuxDeployDriver, mux: Mux, tmp_path: Path) -> None:
    mux.card.write_bytes(b"")
    image = raspios.make(tmp_path / "raspios.img", "bookworm")
    with pytest.raises(LabError, match=r"exporter: no card at the host's side .* without a medium"):
        driver.flash(flashplan.plan(image, image), None)


LAB = """
imports: [harness.lab.drivers, scriptedmux]
options: {{coordinator_address: "127.0.0.1:{port}"}}
targets:
  rpi4:
    options: {{model: rpi-4-b}}
    resources:
      RemotePlace: {{name: rpi4}}
    drivers:
      USBSDMuxDriver: {{}}
      ScriptedPowerDriver: {{}}
      SdMuxDeployDriver: {{}}
"""
EXPORT = """
rpi4:
  NetworkUSBSDMuxDevice:
    {{host: exporter, busnum: 1, devnum: 2, vendor_id: 1060, model_id: 16449, path: {disk}, control_path: /dev/sg9}}
"""


@pytest.fixture
def place(tmp_path: Path, mux: Mux, exporter: SshExporter) -> Iterator[int]:
    """labgrid's own coordinator and exporter, and the place `rpi4`, acquired."""
    port, programs, folder = free_port(), Path(sys.executable).parent, tmp_path / "coordinator"
    folder.mkdir()
    (folder / "export.yaml").write_text(EXPORT.format(disk=mux.disk))
    environment = {**os.environ, "LG_COORDINATOR": f"127.0.0.1:{port}", "LG_USERNAME": "me", "LG_HOSTNAME": "here"}
    arguments = {"cwd": folder, "env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    coordinator = subprocess.Popen([programs / "labgrid-coordinator", "-l", f"127.0.0.1:{port}"], **arguments)
    try:
        wait_for(port, coordinator)
        command = [programs / "labgrid-exporter", "-c", f"127.0.0.1:{port}", "-n", "bench", "export.yaml"]
        exporting = subprocess.Popen(command, **arguments)
        try:
            client = [programs / "labgrid-client", "-p", "rpi4"]
            for words in (["create"], ["add-match", "bench/rpi4/*"], ["acquire"]):
                subprocess.run([*client, *words], env=environment, check=True, capture_output=True, timeout=60)
            yield port
        finally:
            exporting.terminate()
            exporting.wait()
    finally:
        coordinator.terminate()
        coordinator.wait()


@pytest.mark.slow
def test_a_place_of_a_coordinator_gets_its_kernel_through_labgrids_own_resource(
    place: int, mux: Mux, flashed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LG_USERNAME", "me")
    monkeypatch.setenv("LG_HOSTNAME", "here")
    lab = tmp_path / "lab.yaml"
    lab.write_text(LAB.format(port=place))
    target = Environment(str(lab)).get_target("rpi4")
    driver = target.get_driver("SdMuxDeployDriver")
    driver.use(BaseImage(flashed, BOOT_OFFSET, 1, ROOT_OFFSET, 2, 32, "base", "raspios.img"))
    assert isinstance(driver.mux.mux, NetworkUSBSDMuxDevice)
    driver.deploy(kernelpair.files(tmp_path / "a", NEW))
    assert (booting(mux), mux.mode) == (NEW, "dut")
    target.cleanup()
