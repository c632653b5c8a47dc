"""The servers that a deploy needs answer: SSH, TFTP, NFS."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.errors import LabError
from harness.lab.doctor import wire
from harness.lab.doctor.answer import Answer, absent, fault, ok
from harness.lab.doctor.bench import Bench

ORDER = 95
BANNER_S = 3.0
TFTP_S = 2.0
TFTP_PORT, NFS_PORT = 69, 2049
LOOPBACK = "127.0.0.1"


def look(bench: Bench) -> Iterator[Answer]:
    """Ask each server that the target names as its clients would."""
    asked = False
    for cls, ask in ASKS.items():
        for resource in bench.resources(cls):
            asked = True
            yield from ask(bench, resource)
    if not asked and not bench.running:
        yield absent(bench.board, "needs no server")


def judge_ssh(subject: str, reply: wire.Reply) -> Answer:
    """Judge what came first on a connection to an SSH server."""
    said = reply.data.split(b"\n")[0].strip().decode(errors="replace")[:80]
    if said.startswith("SSH-2.0-"):
        return ok(subject, f"answers: {said}")
    if said:
        return fault(subject, f"is no SSH server: `{said}`", "correct `address` and `port` of the NetworkService")
    what = "accepts, and hangs up at once" if reply.closed else f"accepts, and says nothing within {BANNER_S:.0f} s"
    return fault(subject, what, "its sshd is overloaded or has no host keys: look at the board's console")


def judge_folder(subject: str, folder: Path, *, exists: bool, writable: bool) -> Answer:
    """Judge the folder that a TFTP server hands out."""
    if not exists:
        return fault(subject, f"there is no folder {folder}", "make it, and let the TFTP server hand it out")
    if not writable:
        return fault(subject, f"this user may not write to {folder}", f"`sudo chown $USER {folder}`")
    return ok(subject, f"{folder} can be written")


def _ssh(_: Bench, resource: Any) -> Iterator[Answer]:
    subject = f"SSH {resource.address}:{resource.port}"
    try:
        reply = wire.first_words(resource.address, resource.port, seconds=BANNER_S, until=b"\n")
    except LabError as error:
        yield absent(subject, f"{error.message}: the board is off, or has no network", "the part `power` shows which")
    else:
        yield judge_ssh(subject, reply)


def _provider(_: Bench, resource: Any) -> Iterator[Answer]:
    folder = Path(resource.internal)
    yield judge_folder("TFTP folder", folder, exists=folder.is_dir(), writable=os.access(folder, os.W_OK))
    yield _tftp(LOOPBACK, TFTP_PORT, "", None)


def _netboot(bench: Bench, server: Any) -> Iterator[Answer]:
    """Ask both servers of a board that boots by network, the TFTP server for what lies in the board's own folder."""
    for what in ("tftp", "nfs"):
        folder = Path(getattr(server, f"{what}_folder"))
        yield judge_folder(f"{what.upper()} folder", folder, exists=True, writable=os.access(folder, os.W_OK))
    name = f"{server.prefix}/config.txt"
    file = server.tftp_folder / name
    expected = file.read_bytes()[: wire.BLOCK] if file.is_file() else None
    own = getattr(bench.strategy.power, "netboot", None) or {}  # a virtual board may ask another port
    yield _tftp(own.get("server", LOOPBACK), own.get("port", TFTP_PORT), name if expected else "", expected)
    port = re.search(r"(?:^|,)port=(\d+)", server.nfs_options)
    # What a virtual board calls the NFS server is QEMU's name for this host.
    yield _nfs_at(LOOPBACK if bench.virtual else server.nfs_server, int(port[1]) if port else NFS_PORT)


def _tftp(host: str, port: int, name: str, expected: bytes | None) -> Answer:
    """Ask a TFTP server for *name*, whose first block is *expected*; None: for what it cannot have."""
    try:
        said = wire.tftp(host, port, name or wire.NO_SUCH_FILE, seconds=TFTP_S)
    except (LabError, ValueError) as error:
        return fault("TFTP server", f"{error}", "apt-get install tftpd-hpa, and see that it listens (`ss -lun`)")
    return judge_tftp(name, expected, said)


def judge_tftp(name: str, expected: bytes | None, said: wire.Tftp) -> Answer:
    """Judge what a TFTP server *said* when it was asked for *name*, whose first block is *expected*."""
    if expected is None:
        return ok("TFTP server", f"answers: {said.words or 'it has a file of any name'}")
    if said.block == expected:
        return ok("TFTP server", f"serves {name}")
    what = f"refuses {name}: {said.words}" if said.block is None else f"serves another {name} than lies in the folder"
    return fault("TFTP server", what, "`tftp_root` in lab.yaml is not the folder that it serves, or it may not read it")


def _nfs(_: Bench, __: Any) -> Iterator[Answer]:
    yield _nfs_at(LOOPBACK, NFS_PORT)


def _nfs_at(host: str, port: int) -> Answer:
    try:
        wire.connect(host, port).close()
    except LabError as error:
        return fault("NFS server", error.message, "apt-get install nfs-kernel-server, and `exportfs -v`")
    return ok("NFS server", f"{host}:{port} accepts connections")


ASKS = {"NetworkService": _ssh, "NetbootServer": _netboot, "TFTPProvider": _provider, "NFSProvider": _nfs}
"""Resource -> how its server is asked."""
