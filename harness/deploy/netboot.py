"""Deploy for a board that boots by network: a TFTP tree below its serial number, a root filesystem that NFS exports.

What the board boots is decided by one thing alone, the TFTP tree: its command line names the root filesystem (one
folder a base image), its config.txt the folder of the kernel (one folder a content). So the new kernel's modules are
put beside the old one's, and then the tree is switched; whoever is killed on the way leaves a board that boots wholly
the old system or wholly the new one.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import attr
from labgrid.driver.common import Driver
from labgrid.factory import target_factory
from labgrid.step import step

from harness import host
from harness.bootfs.compose import DEFAULT_CMDLINE
from harness.card.fat import FatPartition
from harness.deploy import DeployProtocol, netboot_base, netboot_folder
from harness.deploy.netboot_files import ROOT_NAME, Kernel, Record, by_content, for_nfs
from harness.deploy.netboot_folder import Content, Replaced
from harness.deploy.netboot_server import NetbootServer
from harness.deploy.oncard import TEXTS
from harness.errors import LabError
from harness.host import Progress
from harness.model import BaseImage, BootFiles, Manifest

RECORD = "pi64.json"
"""In each tree made here: what it is made of, and the sign that it is no tree of somebody else's."""
BOOTCODE, PLACEHOLDER = "bootcode.bin", b"pi64 placeholder"  # how the firmware files of pi64's own base image begin
CMDLINE = "cmdline.txt"
KEPT = 2  # kernels whose files stay: a board that has just fetched config.txt must find what that names


@target_factory.reg_driver
@attr.s(eq=False)
class NetbootDriver(Driver, DeployProtocol):
    """Writes boot files and modules where a ``NetbootServer`` serves them; runs where its folders are, as root.

    What the board writes into its root filesystem stays there, until ``restore`` or another base image.
    """

    bindings = {"server": NetbootServer}  # noqa: RUF012 - labgrid's own way to say it

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self._base: BaseImage | None = None
        self._lock: IO[str]

    def on_activate(self) -> None:
        """Take the board's folders for this process; LabError naming the one that has them."""
        try:
            self._lock = (self.server.tftp_folder / f".{self.server.prefix}.lock").open("a+")
        except OSError as error:
            raise LabError(
                f"{self.target.name}: {self.server.tftp_folder} cannot be written: {error.strerror}",
                hint="run pi64 as root where a target boots by network",
            ) from error
        host.take(
            self._lock,
            f"{self.target.name}: {self._tree}",
            hint="wait for it to end; if that runs another board, one of the two serial numbers is wrong",
        )

    def on_deactivate(self) -> None:
        """Let the folders go."""
        self._lock.close()

    def use(self, base: BaseImage) -> None:
        """Say which base image lies under the kernel."""
        self._base = base

    @property
    def base(self) -> BaseImage:
        """The base image in use."""
        if self._base is None:
            raise LabError(f"{self.target.name}: no base image was chosen for its network boot")
        return self._base

    def stock(self) -> Mapping[str, bytes]:
        """Return the text files of the base image's boot partition; the command line names the NFS root."""
        return self._stock(self._root_name(self._record()))

    @Driver.check_active
    @step(args=[])
    def deploy(self, files: BootFiles, *, progress: Progress = host.silent) -> Manifest:
        """Bring both trees to *files*; what was written is all that differed. LabError or DeployError."""
        started = time.monotonic()
        files = by_content(files)
        boot, modules, kernel = _boot(files), _modules(files), Kernel(files.os_prefix, files.release)
        with self._told():
            record, unpacked = self._record(), netboot_base.unpack(self.base, progress)
            root = self._root(self._root_name(record))
            if not root.is_dir():
                netboot_base.make(unpacked.root, root, progress)
            kernels = [kernel, *(old for old in record.kernels if old != kernel)][:KEPT]
            progress(f"deploy: comparing {len(modules)} module files")
            gone = {old.release for old in record.kernels} - {one.release for one in kernels}
            put = _put_modules(root, modules, files.release, gone)
            switched = self._switch(unpacked, boot, Record(self.base.digest, root.name, tuple(kernels)), progress)
        top = f"lib/modules/{files.release}/"
        return Manifest(
            {name: switched.digests[name] for name in boot},
            {f"{top}{name}": value for name, value in put.digests.items()},
            (*(name for name in switched.written if name != RECORD), *(f"{top}{name}" for name in put.written)),
            time.monotonic() - started,
        )

    @Driver.check_active
    @step(args=[])
    def restore(self, *, progress: Progress = host.silent) -> None:
        """Let the board boot the base image's own kernel, on a fresh copy of its root filesystem. LabError."""
        with self._told():
            current, unpacked = self._root_name(self._record()), netboot_base.unpack(self.base, progress)
            root = self._root(f"{self.base.digest[:12]}-{int(current.rpartition('-')[2]) + 1}")
            netboot_base.make(unpacked.root, root, progress)
            self._switch(unpacked, {}, Record(self.base.digest, root.name), progress)

    def _switch(
        self, unpacked: netboot_base.Unpacked, boot: Mapping[str, Content], record: Record, progress: Progress
    ) -> Replaced:
        """Let the board boot *boot*, on top of the stock files, from now on."""
        self._put_bootcode(unpacked.boot / BOOTCODE)
        kept = tuple(kernel.os_prefix for kernel in record.kernels[1:] if kernel.os_prefix)
        old = {name: path for name, path in netboot_folder.files(self._tree).items() if name.startswith(kept)}
        stock: dict[str, Content] = {**netboot_folder.files(unpacked.boot), **self._stock(record.root)}
        wanted: dict[str, Content] = {**stock, **old, **boot, RECORD: record.to_json()}
        progress(f"deploy: comparing {len(wanted)} boot files")
        replaced = netboot_folder.replace(self._tree, wanted)
        for path in self._root(record.root).parent.iterdir():
            if path.name != record.root and ROOT_NAME.fullmatch(path.name.removesuffix(".new").lstrip(".")):
                netboot_folder.remove(path)
        return replaced

    def _put_bootcode(self, own: Path) -> None:
        """Put what a Pi 3 asks for before it knows its serial number where all boards share it, if none is there."""
        shared = self.server.tftp_folder / BOOTCODE
        if own.is_file() and (not shared.exists() or shared.read_bytes().startswith(PLACEHOLDER)):
            host.write_atomic(shared, own.read_bytes())

    def _stock(self, root: str) -> dict[str, bytes]:
        fat = FatPartition(self.base.path, self.base.boot_offset)
        texts = {CMDLINE: f"{DEFAULT_CMDLINE}\n".encode()}
        texts |= {str(path): fat.read(path) for path in fat.sizes() if str(path).lower() in TEXTS}
        nfsroot = self.server.nfs_name(f"{self.server.prefix}/{root}")
        return texts | {CMDLINE: for_nfs(texts[CMDLINE].decode("latin-1"), nfsroot).encode("latin-1")}

    @property
    def _tree(self) -> Path:
        folder: Path = self.server.tftp_folder
        return folder / str(self.server.prefix)

    def _root(self, name: str) -> Path:
        """Return the folder of root filesystem *name*; those of a board lie beside one another."""
        folder: Path = self.server.nfs_folder / self.server.prefix
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
        return folder / name

    def _root_name(self, record: Record) -> str:
        return record.root if record.base == self.base.digest else f"{self.base.digest[:12]}-0"

    def _record(self) -> Record:
        """Return what the tree is made of; an empty record for none, LabError for one that pi64 did not make."""
        if not self._tree.is_symlink() and (not self._tree.exists() or not any(self._tree.iterdir())):
            return Record()
        try:
            return Record.from_json((self._tree / RECORD).read_text())
        except (OSError, ValueError, KeyError, TypeError, LabError) as error:
            raise LabError(
                f"{self.target.name}: {self._tree} is there, and not made by pi64: {RECORD}: {error}",
                hint="if nobody needs it, move it away",
            ) from error

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Tell what the file system said as the bench's fault."""
        try:
            yield
        except OSError as error:
            raise LabError(f"{self.target.name}: network boot: {error}") from error


def _boot(files: BootFiles) -> dict[str, Content]:
    return {netboot_folder.checked(file.path): file.source or file.read() for file in files.files}


def _modules(files: BootFiles) -> dict[str, Content]:
    """Return the modules by path below ``lib/modules/<release>``."""
    top = files.modules_root / "lib" / "modules" / netboot_folder.checked(files.release)
    return {**netboot_folder.files(top)}


def _put_modules(root: Path, modules: Mapping[str, Content], release: str, gone: set[str]) -> Replaced:
    """Put *modules* into the root filesystem *root*, and take those of *gone* releases out.

    A board may have put links where the folders were: what they point to outside of *root* is none of ours.
    """
    folder = netboot_folder.inside(root, "/lib/modules")
    folder.mkdir(parents=True, exist_ok=True)
    for path in (*(folder / name for name in gone), *folder.glob(".*.new")):  # the latter: left by one who was killed
        netboot_folder.remove(path)
    return netboot_folder.replace(folder / release, modules)
