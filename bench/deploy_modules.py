"""How long a full kernel's modules take onto a card, over a plain `tar` copy of the same files along the same way.

2,000 files, 60 MB, in 900 folders. `image`: a card that is a file, against tar into a folder of the same disk. `ssh`: a
card behind the mux of an exporter, reached through a real sshd on the loopback interface, against tar through the same
connection; there the time to connect and to look at the card counts too. `netboot`: the root filesystem that a board
mounts by NFS, a folder of this disk, against tar into one, flushed as that one is. `disk` (root, where there are loop
devices): a block device that is flushed, against tar onto the same device, mounted, and flushed; it is as fast as
memory, so that figure is told, not judged. The deploy hashes all files, and reads all of them back; tar does neither.
"""

import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
from _common import ROOT, Figure, main, median, repeats, say, scratch, timed

from harness import host
from harness.deploy import cardwork, listing, netboot
from harness.deploy.cardwork import Place
from harness.deploy.order import settle
from harness.deploy.reach import Reach
from harness.model import BootFiles

sys.path.append(str(ROOT / "tests_unit"))  # the far ends: a small card, a kernel of a few bytes, an sshd

import kernelpair
import pytest
from labgrid import Target
from smallcard import BOOT_OFFSET, ROOT_OFFSET, make_card
from sshexporter import SshExporter

FILES, MIB, RELEASE = 2000, 60, "6.12.1-v8-bench"
LIMIT = 1.5
ROOT_MIB = 640  # from 512 on mke2fs makes blocks of 4 KiB, as on a Raspberry Pi OS


def figures() -> Iterator[Figure]:
    """Measure each way in turn: tar, deploy, tar, deploy ..."""
    number = repeats(5)
    with scratch() as folder:
        files = _kernel(folder / "kernel")
        card = make_card(folder / "card.img", root_mib=ROOT_MIB)
        kernelpair.stock(card, BOOT_OFFSET)
        for name, way in (("image", _image), ("ssh", _ssh), ("netboot", _netboot), ("disk", _disk)):
            with way(folder / name) as found:
                if found is None:
                    say(f"deploy_modules.{name}: no loop device for this user: not measured")
                    continue
                yield from _compare(f"deploy_modules.{name}", number, files, card, *found)


def _compare(
    name: str,
    number: int,
    files: BootFiles,
    card: Path,
    fresh: Callable[[Path], None],
    copy: Callable[[Path], None],
    deploy: Callable[[BootFiles], None],
) -> Iterator[Figure]:
    tars: list[float] = []
    deploys: list[float] = []
    for _ in range(number):
        fresh(card)
        os.sync()
        with timed(tars):
            copy(files.modules_root)
        fresh(card)
        os.sync()
        listing._sha256.cache_clear()  # noqa: SLF001 - another kernel's files have not been read yet
        with timed(deploys):
            deploy(files)
    for what, each in (("tar", tars), ("deploy", deploys)):
        say(f"{name}.{what}: {', '.join(f'{seconds:.2f}' for seconds in each)} s")
    yield Figure(f"{name}.tar", median(tars))
    yield Figure(f"{name}.deploy", median(deploys))
    yield Figure(f"{name}.over_tar", median(deploys) / median(tars), "", limit=None if name.endswith("disk") else LIMIT)


def _deploy(card: Reach, files: BootFiles) -> None:
    """Do what SdMuxDeployDriver does once the mux has switched."""
    modules = listing.digests(files.modules_root)
    sizes = {name: (files.modules_root / name).lstat().st_size for name in modules}
    with card:
        found = card.look(sizes, progress=host.silent)
        files = settle(files, found.listed, found.live)
        now = listing.Listing(listing.boot(files), modules)
        work = cardwork.plan(files, found, now)
        card.write(work, files, progress=host.silent)
    assert len(work.order.modules) == FILES, len(work.order.modules)


def _place(path: Path) -> Place:
    return Place(path, 5.0, "the card of a benchmark", BOOT_OFFSET, ROOT_OFFSET, "its image")


@contextlib.contextmanager
def _image(folder: Path) -> Iterator[Any]:
    folder.mkdir()
    mine = folder / "card.img"

    def copy(tree: Path) -> None:
        with tempfile.TemporaryDirectory(dir=folder) as name:
            _tar(tree, ["tar", "-xf", "-", "-C", name])

    yield lambda card: _copied(card, mine), copy, lambda files: _deploy(Reach(_place(mine)), files)


@contextlib.contextmanager
def _ssh(folder: Path) -> Iterator[Any]:
    folder.mkdir()
    mine, target = folder / "card.img", Target("bench")
    with pytest.MonkeyPatch.context() as patch, SshExporter(folder / "exporter", patch) as exporter:
        exporter.bind(target, mine)
        resource = target.get_resource("ExportedSDMux")
        resource.wrap_command(["true"])  # labgrid's connection stands, as it does in a run

        def copy(tree: Path) -> None:
            with tempfile.TemporaryDirectory(dir=folder) as name:
                _tar(tree, resource.wrap_command(["tar", "-xf", "-", "-C", name]))

        yield lambda card: _copied(card, mine), copy, lambda files: _deploy(Reach(_place(mine), resource), files)


@contextlib.contextmanager
def _netboot(folder: Path) -> Iterator[Any]:
    root = folder / "root"

    def fresh(_: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        root.mkdir(parents=True)

    def copy(tree: Path) -> None:
        _tar(tree, ["tar", "-xf", "-", "-C", str(root)])
        subprocess.run(["sync", "-f", root], check=True)

    def deploy(files: BootFiles) -> None:
        put = netboot._put_modules(root, netboot._modules(files), files.release, set())  # noqa: SLF001 - without a board
        assert len(put.written) == FILES, len(put.written)

    yield fresh, copy, deploy


@contextlib.contextmanager
def _disk(folder: Path) -> Iterator[Any]:
    folder.mkdir()
    mine, mounted = folder / "card.img", folder / "mnt"
    mine.touch()
    mounted.mkdir()
    os.truncate(mine, (1 + 16 + ROOT_MIB) << 20)
    loop = _loop("-f", "--show", str(mine))
    part = _loop("-f", "--show", "-o", str(ROOT_OFFSET), str(mine)) if loop else ""
    if not part:
        yield None
        return

    def copy(tree: Path) -> None:
        subprocess.run(["mount", part, mounted], check=True)
        _tar(tree, ["tar", "-xf", "-", "-C", str(mounted)])
        subprocess.run(["umount", mounted], check=True)  # flushes
        subprocess.run(["blockdev", "--flushbufs", part], check=True)

    def fresh(card: Path) -> None:
        with card.open("rb") as source, mine.open("r+b") as sink:
            shutil.copyfileobj(source, sink, 4 << 20)
        for device in (loop, part):
            subprocess.run(["blockdev", "--flushbufs", device], check=True)

    try:
        yield fresh, copy, lambda files: _deploy(Reach(_place(Path(loop))), files)
    finally:
        for device in (part, loop):
            subprocess.run(["losetup", "-d", device], check=True)


def _loop(*words: str) -> str:
    try:
        done = subprocess.run([host.find("losetup"), *words], capture_output=True, text=True, check=False)
    except host.LabError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _copied(card: Path, mine: Path) -> None:
    mine.unlink(missing_ok=True)
    subprocess.run(["cp", "--sparse=always", card, mine], check=True)


def _tar(tree: Path, unpack: list[str]) -> None:
    """Copy *tree* with tar into the *unpack* command, wherever that runs."""
    with subprocess.Popen(["tar", "-C", str(tree), "-cf", "-", "lib"], stdout=subprocess.PIPE) as pack:
        subprocess.run(unpack, stdin=pack.stdout, check=True)
    assert pack.returncode == 0, pack.returncode


def _kernel(folder: Path) -> BootFiles:
    """Make a kernel with as many modules, and as large ones, as bcm2711_defconfig has."""
    files = kernelpair.files(folder, RELEASE)
    root = folder / "many"
    chance = random.Random(6)
    sizes = [chance.lognormvariate(9.85, 1.0) + 3000 for _ in range(FILES)]
    scale = MIB * 2**20 / sum(sizes)
    for number, size in enumerate(sizes):
        path = root / "lib" / "modules" / RELEASE / "kernel" / f"a{number % 9}" / f"d{number % 150}" / f"s{number % 3}"
        path.mkdir(parents=True, exist_ok=True)
        (path / f"m{number}.ko").write_bytes(chance.randbytes(int(size * scale)))
    return attrs.evolve(files, modules_root=root)


if __name__ == "__main__":
    main(figures())
