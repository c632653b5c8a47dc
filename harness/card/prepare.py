"""Makes an image, or the card that it was written to, come to its login without anybody at a keyboard."""

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from harness import host
from harness.card import firstboot
from harness.card.ext4 import Content, Ext4Partition, Rights
from harness.card.fat import FatPartition
from harness.card.firstboot import Account, Changes, Node

ROOT = PurePosixPath("/")
KEY_TYPES = ("ed25519", "ecdsa", "rsa")


def account(user: str, password: str, *, salt: str) -> Account:
    """Return who shall log in; the same *salt* gives the same hash, and so the same image."""
    short = hashlib.sha256(salt.encode()).hexdigest()[:16]
    command = ["openssl", "passwd", "-6", "-salt", short, "-stdin"]
    return Account(user, host.run(command, stdin=password.encode()).decode().strip())


def needed(path: Path, boot_offset: int, root_offset: int, who: Account) -> Changes:
    """Return what the image or card at *path* needs."""
    root, boot = Ext4Partition(path, root_offset), _boot_texts(FatPartition(path, boot_offset))
    names = {
        str(folder / name).lstrip("/")
        for folder in (ROOT / top for top in firstboot.FOLDERS)
        if root.is_folder(folder)
        for name in root.nodes(folder)
    }
    texts = {
        name: root.read(ROOT / name).decode(errors="surrogateescape")
        for name in firstboot.TEXTS
        if root.exists(ROOT / name)
    }
    return firstboot.changes(texts, names, boot.get("cmdline.txt", b""), boot.get("config.txt", b""), account=who)


def apply(path: Path, boot_offset: int, root_offset: int, wanted: Changes) -> None:
    """Make the changes on the image or card at *path*; everything is read back. LabError."""
    root, fat = Ext4Partition(path, root_offset), FatPartition(path, boot_offset)
    nodes = {**wanted.nodes, **(_host_keys() if wanted.keys else {})}
    with tempfile.TemporaryDirectory(prefix="pi64-prepare-") as stage:
        contents = {
            ROOT / name: _content(node, Path(stage) / str(at))
            for at, (name, node) in enumerate(nodes.items())
            if node.kind == "file"
        }
        root.mkdir(ROOT / name for name, node in nodes.items() if node.kind == "folder")
        root.write(contents, rights=_rights(root, nodes))
    root.delete(ROOT / name for name in wanted.delete)
    for name, data in wanted.boot.items():
        fat.switch(PurePosixPath(name), data)


def _boot_texts(fat: FatPartition) -> dict[str, bytes]:
    found = {str(path).lower() for path in fat.sizes()} & {"cmdline.txt", "config.txt"}
    return fat.read_many(sorted(found))


def _content(node: Node, stage: Path) -> Content:
    if not node.link:
        return node.content.encode(errors="surrogateescape")
    stage.symlink_to(node.link)
    return stage


def _rights(root: Ext4Partition, nodes: Mapping[str, Node]) -> dict[PurePosixPath, Rights]:
    """Return whose each file will be: a file that is replaced stays whose it was."""
    found = {}
    for name, node in nodes.items():
        path = ROOT / name
        if node.link:
            continue
        old = root.nodes(path.parent).get(path.name) if root.is_folder(path.parent) else None
        if node.mode is not None:
            found[path] = Rights(node.mode, node.uid, node.gid, folder=node.kind == "folder")
        elif old and not old.is_link:
            found[path] = Rights(old.mode & 0o7777, old.uid, old.gid)
    return found


def _host_keys() -> dict[str, Node]:
    """Make the host keys of an ssh server, as ``ssh-keygen -A`` would at the first boot."""
    nodes = {}
    with tempfile.TemporaryDirectory(prefix="pi64-keys-") as name:
        for kind in KEY_TYPES:
            key = Path(name) / f"ssh_host_{kind}_key"
            host.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "root@raspberrypi", "-f", key])
            nodes[f"etc/ssh/{key.name}"] = Node(key.read_text(), mode=0o600)
            nodes[f"etc/ssh/{key.name}.pub"] = Node(key.with_name(f"{key.name}.pub").read_text(), mode=0o644)
    return nodes
