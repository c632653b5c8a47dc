"""The servers a board boots from by network, as one resource: folders of this host, and what the board calls them."""

import re
from pathlib import Path
from typing import Any

import attr
from labgrid.factory import target_factory
from labgrid.resource.common import Resource

from harness.errors import LabError

SERIAL = re.compile(r"(?:[0-9a-fA-F]{8})?[0-9a-fA-F]{8}")
NFS_OPTIONS = "vers=3,tcp,timeo=150,retrans=1"
"""A server that is gone is told on the console after 30 s; by the kernel's own measure after 180 s, when nobody listens
any more."""
NFS_PATH = r"/[^\s,%\"]*"  # the kernel cuts its parameter at a comma, and fills in a host name for %s


def _words(pattern: str = ".+") -> Any:
    return attr.validators.and_(attr.validators.instance_of(str), attr.validators.matches_re(pattern))


def _serial(_: object, __: Any, value: Any) -> None:
    if not isinstance(value, str) or not SERIAL.fullmatch(value):
        raise ValueError(f'8 or 16 hexadecimal digits, in quotes: "50495634", say; not {value!r}')


@target_factory.reg_resource
@attr.s(eq=False)
class NetbootServer(Resource):
    """The TFTP and NFS server that one board boots from: folders of this host, and what the board calls them.

    Args:
        serial: the board's serial number, 8 or 16 hexadecimal digits, in quotes
        tftp_root: the folder that the TFTP server serves; the board's own is made in it
        nfs_root: a folder that the NFS server exports; the board's root filesystem is made in it
        nfs_server: address of the NFS server, as the board reaches it
        nfs_path: what the NFS server calls *nfs_root*, where that is another name
        nfs_options: further mount options, e.g. the ports where they are not the usual ones
    """

    serial: str = attr.ib(validator=_serial)
    tftp_root: str = attr.ib(validator=_words())
    nfs_root: str = attr.ib(validator=_words())
    nfs_server: str = attr.ib(validator=_words(r"[^\s:,\"]+"))
    nfs_path: str = attr.ib(default="", validator=_words(f"(?:{NFS_PATH})?"))
    nfs_options: str = attr.ib(default="", validator=_words(r"[^\s\"]*"))

    @property
    def prefix(self) -> str:
        """Name of the board's folder on both servers: the low half of its serial number, as its firmware asks for."""
        return self.serial[-8:].lower()

    @property
    def tftp_folder(self) -> Path:
        """*tftp_root*; LabError when it is no folder."""
        return self._folder("tftp_root", self.tftp_root)

    @property
    def nfs_folder(self) -> Path:
        """*nfs_root*; LabError when it is no folder."""
        return self._folder("nfs_root", self.nfs_root)

    def nfs_name(self, folder: str) -> str:
        """Return what a command line calls *folder* of *nfs_root*: ``server:path,options``."""
        path = (self.nfs_path or str(self.nfs_folder.resolve())).rstrip("/")
        if not re.fullmatch(NFS_PATH, path):
            raise LabError(
                f"{self.target.name}: the kernel's command line cannot name the NFS root {path!r}",
                hint="give it a name without blanks, commas and per cent signs, or the server's name for it: nfs_path",
            )
        return ",".join(filter(None, [f"{self.nfs_server}:{path}/{folder}", NFS_OPTIONS, self.nfs_options]))

    def _folder(self, what: str, given: str) -> Path:
        path = Path(self.target.env.config.resolve_path(given) if self.target.env else given)
        if not path.is_dir():
            raise LabError(
                f"{self.target.name}: {what} {path} is not a folder",
                hint=f"make it and have the server serve it (docs/deploy-netboot.md), or correct {what} in lab.yaml",
            )
        return path
