"""How long a kernel takes over SSH to a virtual board that runs: all of it, and the same kernel again.

With ``--modules`` also 2,000 modules of 60 MB, as a Raspberry Pi's own kernel has them, over what plain tar needs for
the same files on the same connection, synced: a quarter of an hour.

Counted is all that a run does between having the kernel and restarting into it, on a connection that stands: depmod for
its modules, composing the boot files, asking the board what lies there, sending, and having it read back. Connecting
is told by itself: each run does it once. The card is a copy of the shipped base image with the target's stock kernel.
"""

import os
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
from _common import Figure, Inputs, boot_files, inputs, main, median, own_lab, repeats, say, scratch, timed
from labgrid import Environment

from harness.lab import config, kernels, stock
from harness.lab.targets import strategy_of
from harness.model import KernelBuild
from harness.strategy import Assignment, RaspberryPiStrategy

TARGET = "virtual-rpi3-ssh"
UNCHANGED_LIMIT_S = 1.0
OVER_TAR_LIMIT = 1.5
MODULES, MODULE_BYTES = 2000, 30_000
PORT = "47322"  # of the shipped target: a user's own board may hold it


def figures() -> Iterator[Figure]:
    """Boot the stock system once, deploy one kernel, and the same again as often as asked."""
    modules = "--modules" in sys.argv
    sys.argv = [word for word in sys.argv if word != "--modules"]
    number, given = repeats(5), inputs(TARGET)
    first: list[float] = []
    unchanged: list[float] = []
    with scratch() as folder:
        kernel = _another(given.kernel, folder / "kernel")
        ladder = _ladder(folder, given)
        os.environ["PI64_CACHE"] = str(folder)  # depmod's copies of this kernel, and the key, leave with the folder
        try:
            with timed(first):
                ladder.stock()  # boots the stock system and connects
            say(f"deploy_ssh: booted and connected after {first.pop():.0f} s")
            with timed(first):
                written = _deploy(ladder, given, kernel)
            say(f"deploy_ssh: {len(written)} files, {kernel.image.stat().st_size / 2**20:.1f} MiB of them the Image")
            for _ in range(number):
                with timed(unchanged):
                    assert _deploy(ladder, given, kernel) == ()
            reconnect: list[float] = []
            with timed(reconnect):
                ladder.medium.connect(lambda: None)
            over_tar = _over_tar(ladder, given, kernel, folder) if modules else None
        finally:
            ladder.close()
    say(f"deploy_ssh: unchanged, each: {', '.join(f'{seconds:.2f}' for seconds in unchanged)} s")
    yield Figure("deploy_ssh.connect", median(reconnect))
    yield Figure("deploy_ssh.new_kernel", median(first))
    yield Figure("deploy_ssh.unchanged", median(unchanged), limit=UNCHANGED_LIMIT_S)
    if over_tar is not None:
        yield Figure("deploy_ssh.modules_over_tar", over_tar, "x", limit=OVER_TAR_LIMIT)


def _ladder(folder: Path, given: Inputs) -> RaspberryPiStrategy:
    """Return the target of lab.yaml with a card and a port of its own, the stock kernel on that card."""
    lab = own_lab(folder)
    with socket.create_server(("127.0.0.1", 0)) as server:
        lab.write_text(lab.read_text().replace(PORT, str(server.getsockname()[1])))
    checked = config.load(lab)
    ladder = strategy_of(Environment(str(lab)), TARGET)
    ladder.prepare(Assignment(folder / "record", given.options.login.account(TARGET)), given.base)
    meant = kernels.purpose(given.options, features=checked.features[TARGET], userland_bits=given.base.userland_bits)
    stock.provide(attrs.evolve(given.options, stock=given.options.kernel), ladder, meant=meant)
    return ladder


def _deploy(ladder: RaspberryPiStrategy, given: Inputs, kernel: KernelBuild) -> tuple[str, ...]:
    """Do what the fixtures `boot_files` and `dut` do up to the restart; return what was written."""
    written: tuple[str, ...] = ladder.medium.deploy(boot_files(given, kernel, ladder.stock())).written
    return written


def _over_tar(ladder: RaspberryPiStrategy, given: Inputs, kernel: KernelBuild, folder: Path) -> float:
    """Return how much longer a deploy of many modules takes than tar alone, which neither compares nor reads back."""
    many = _another(kernel, folder / "many", "-many")
    tree = many.modules_root / "lib" / "modules" / many.release
    _fill(tree / "kernel", b"".join(path.read_bytes() for path in sorted(tree.rglob("*.ko"))))
    ours: list[float] = []
    plain: list[float] = []
    with timed(ours):
        assert len(_deploy(ladder, given, many)) > MODULES
    ssh = ladder.medium._ssh  # noqa: SLF001 - the same path: the connection that stands
    with timed(plain), subprocess.Popen(["tar", "-C", tree, "-cf", "-", "."], stdout=subprocess.PIPE) as tar:
        assert tar.stdout is not None
        stream = tar.stdout
        unpack = ["sudo", "-n", "sh", "-c", "mkdir -p /var/tmp/plain && tar -C /var/tmp/plain -xf - && sync"]
        status, _, errors = ssh.run(unpack, timeout_s=3600, feed=lambda far: shutil.copyfileobj(stream, far))
        assert status == 0, errors
    say(f"deploy_ssh: {MODULES} modules, {MODULES * MODULE_BYTES / 1e6:.0f} MB: {ours[0]:.1f} s, tar {plain[0]:.1f} s")
    return ours[0] / plain[0]


def _fill(folder: Path, real: bytes) -> None:
    """Write modules into *folder*: half a piece of *real* ones, half random, so that they pack no better than those."""
    dice = random.Random(1)
    for number in range(MODULES):
        place = folder / f"drivers-{number % 50}" / f"m{number}.bin"  # depmod reads what is called .ko
        place.parent.mkdir(parents=True, exist_ok=True)
        at = dice.randrange(len(real) - MODULE_BYTES // 2)
        place.write_bytes(dice.randbytes(MODULE_BYTES // 2) + real[at : at + MODULE_BYTES // 2])


def _another(kernel: KernelBuild, folder: Path, suffix: str = "-bench") -> KernelBuild:
    """Return a copy of *kernel* with another release, whose modules the stock system does not have; nobody boots it."""
    release = f"{kernel.release}{suffix}"
    shutil.copytree(kernel.modules_root, folder / "modules", symlinks=True)
    modules = folder / "modules" / "lib" / "modules"
    (modules / kernel.release).rename(modules / release)
    return attrs.evolve(kernel, release=release, modules_root=folder / "modules")


if __name__ == "__main__":
    main(figures())
