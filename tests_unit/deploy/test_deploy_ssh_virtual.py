"""The whole way on a virtual Pi 3: its real sshd, a real kernel in its own slot, and one that hangs. Takes minutes.

The kernel is the one that the target of lab.yaml builds, with another release written into it, so that it can be told
from the stock kernel, which is the same build.
"""

import shutil
import socket
from pathlib import Path

import attrs
import libfdt
import pytest
from labgrid import Environment

from harness.console.shell import Shell
from harness.image.choose import choose
from harness.lab import config, kernels, stock
from harness.lab.targets import strategy_of
from harness.model import BootFile, BootFiles, Deadlines, KernelBuild
from harness.strategy import Assignment, RaspberryPiStrategy

ROOT = Path(__file__).resolve().parents[2]
TARGET = "virtual-rpi3-ssh"
pytestmark = pytest.mark.slow


class Bench:
    """The target of lab.yaml with a card and a port of its own, its stock kernel, and two that are to be tried."""

    def __init__(self, folder: Path) -> None:
        from harness.build import source, toolchain

        lab = folder / "lab.yaml"
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        text = (ROOT / "lab.yaml").read_text().replace("47322", str(port))
        lab.write_text(text.replace("CardImage: {}", f"CardImage: {{file: {folder}/card.img}}"))
        checked = config.load(lab)
        self.options = checked.target(TARGET)
        self.ladder: RaspberryPiStrategy = strategy_of(Environment(str(lab)), TARGET)
        account, wanted = self.options.login.account(TARGET), self.options.kernel
        base = choose(None, sha256=None, suite="bookworm", username=account.user, password=account.password)
        self.ladder.prepare(Assignment(folder, account, Deadlines(silence=60)), base)
        meant = kernels.purpose(self.options, features=checked.features[TARGET], userland_bits=32)
        stock.provide(self.options, self.ladder, meant=meant)
        tree, compiler = source.open_tree(wanted.source), toolchain.choose(wanted.toolchain)
        self.stock = kernels.build(self.options, tree, compiler, meant=meant, log=folder / "build.log")
        self._folder = folder

    def files(self, release: str) -> BootFiles:
        return kernels.boot_files(renamed(self.stock, release, self._folder / release), self.options, self.ladder)

    def shell(self) -> Shell:
        self.ladder.transition("shell")
        assert self.ladder.shell is not None
        return self.ladder.shell


def renamed(build: KernelBuild, release: str, folder: Path) -> KernelBuild:
    """Return a copy of *build* that says of itself, everywhere, that it is *release*, a name of the same length."""
    assert len(release) == len(build.release)
    shutil.copytree(build.modules_root, folder / "modules", symlinks=True)
    tree = folder / "modules/lib/modules"
    (tree / build.release).rename(tree / release)
    for path in [*tree.rglob("*.ko"), shutil.copy(build.image, folder / "Image")]:
        file = Path(path)
        file.write_bytes(file.read_bytes().replace(build.release.encode(), release.encode()))
    return attrs.evolve(build, release=release, image=folder / "Image", modules_root=folder / "modules")


def hanging(files: BootFiles) -> BootFiles:
    """Return *files* with device trees that name the timer's interrupts wrongly: the kernel waits for a tick."""

    def spoilt(file: BootFile) -> BootFile:
        if file.path.suffix != ".dtb":
            return file
        tree = libfdt.Fdt(bytearray(file.read()))
        words = b"".join(number.to_bytes(4, "big") for number in [9, 4] * 4)
        tree.setprop(tree.path_offset("/timer"), "interrupts", words)
        return attrs.evolve(file, data=bytes(tree.as_bytearray()), source=None)

    return attrs.evolve(files, files=tuple(map(spoilt, files.files)))


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    bench = Bench(tmp_path_factory.mktemp("live"))
    yield bench
    bench.ladder.close()


def told(shell: Shell) -> tuple[str, str, str]:
    """Return release, slot and the firmware's tryboot flag of what runs."""
    cmdline = shell.check("cat /proc/cmdline").split()
    slot = next((word for word in cmdline if word.startswith("pi64.slot=")), "")
    flag = shell.check("od -An -tx1 /proc/device-tree/chosen/bootloader/tryboot").split()
    return shell.check("uname -r"), slot, "".join(flag)


def test_a_kernel_is_deployed_tried_and_kept_and_one_that_hangs_is_gone_after_a_power_cycle(bench) -> None:
    release = bench.stock.release
    new, bad = f"{release[:-8]}0000good", f"{release[:-8]}00000bad"
    ladder = bench.ladder

    ladder.files = bench.files(new)
    ladder.transition("booted")
    assert ladder.boot.reached, ladder.boot.reason
    assert told(bench.shell()) == (new, "pi64.slot=pi64", "00000001")
    bench.shell().check("sudo modprobe dummy", timeout=120)
    assert ladder.manifest is not None
    assert f"lib/modules/{new}/modules.dep" in ladder.manifest.modules

    assert ladder.cold_boot().reached
    assert told(bench.shell()) == (new, "pi64.slot=pi64", "00000000")

    ladder.files = hanging(bench.files(bad))
    ladder.transition("booted")
    assert not ladder.boot.reached
    assert ladder.boot.last_stage in {"firmware", "kernel"}

    ladder.files = None
    ladder.transition("booted")
    assert told(bench.shell()) == (new, "pi64.slot=pi64", "00000000")
