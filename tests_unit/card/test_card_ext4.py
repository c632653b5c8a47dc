"""The root filesystem: what debugfs wrote is what e2fsck accepts and what is read back."""

from pathlib import Path, PurePosixPath

import pytest

from harness import host
from harness.card.ext4 import Ext4Partition, Rights
from harness.errors import LabError

P = PurePosixPath
MODULES = P("/lib/modules/6.12.1-pi64+")


@pytest.fixture
def root(card: Path, root_offset: int) -> Ext4Partition:
    return Ext4Partition(card, root_offset)


def fsck(root: Ext4Partition) -> None:
    host.run(["e2fsck", "-fn", f"{root.image}?offset={root.offset}"])


def test_a_module_tree_is_written_as_root_owns_it(root: Ext4Partition, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "kernel/drivers").mkdir(parents=True)
    (tree / "empty").mkdir()
    (tree / "kernel/drivers/loop.ko").write_bytes(b"\x7fELF" * 5000)
    (tree / "kernel/drivers/loop.ko").chmod(0o600)
    (tree / "build").symlink_to("/usr/src/linux")
    root.write_tree(tree, MODULES)
    nodes = root.walk(MODULES)
    assert {str(path.relative_to(MODULES)): (oct(node.mode), node.uid, node.gid) for path, node in nodes.items()} == {
        "kernel": ("0o40755", 0, 0),
        "kernel/drivers": ("0o40755", 0, 0),
        "kernel/drivers/loop.ko": ("0o100644", 0, 0),
        "empty": ("0o40755", 0, 0),
        "build": ("0o120777", 0, 0),
    }
    assert root.digests(MODULES) == {MODULES / "kernel/drivers/loop.ko": host.sha256(tree / "kernel/drivers/loop.ko")}
    fsck(root)


@pytest.mark.parametrize(
    "name", ["with blank", 'quo"te', "apo's", "<12>", "-R", "ünicode", "semi;colon #", "back\\slash"]
)
def test_a_name_that_debugfs_could_misread_is_quoted(root: Ext4Partition, name: str) -> None:
    root.write({P("/folder") / name / name: b"content"})
    assert root.read(P("/folder") / name / name) == b"content"
    assert list(root.nodes("/folder")) == [name]
    root.delete([P("/folder") / name])
    assert root.nodes("/folder") == {}
    fsck(root)


def test_a_name_with_a_line_break_is_refused_since_it_would_be_a_command(root: Ext4Partition) -> None:
    with pytest.raises(LabError, match="control characters"):
        root.write({P("/a\nrm /lost+found"): b""})


def test_folders_behind_links_are_used_not_replaced(root: Ext4Partition, tmp_path: Path) -> None:
    """Debian's /lib is a link to usr/lib."""
    (tmp_path / "lib").symlink_to("usr/lib")
    root.mkdir([P("/usr/lib")])
    root.write({P("/lib"): tmp_path / "lib"})
    root.write({P("/lib/modules/a.ko"): b"module"})
    assert root.nodes("/")["lib"].is_link
    assert root.read("/usr/lib/modules/a.ko") == b"module"


@pytest.mark.parametrize("target", ["dash", "/usr/bin/dash", "../bin/dash", "../bin/" + "./" * 40 + "dash"])
def test_reading_follows_links_short_and_long(root: Ext4Partition, tmp_path: Path, target: str) -> None:
    (tmp_path / "sh").symlink_to(target)
    root.write({P("/usr/bin/dash"): b"ELF", P("/usr/bin/sh"): tmp_path / "sh"})
    assert root.read("/usr/bin/sh") == b"ELF"


def test_a_link_in_a_circle_is_an_error_not_a_hang(root: Ext4Partition, tmp_path: Path) -> None:
    (tmp_path / "sh").symlink_to("sh")
    root.write({P("/sh"): tmp_path / "sh"})
    with pytest.raises(LabError, match="link to itself"):
        root.read("/sh")


def test_replacing_a_file_leaves_one_and_no_lost_blocks(root: Ext4Partition) -> None:
    for content in (b"first" * 9999, b"second" * 7777, b""):
        root.write({P("/etc/file"): content})
        assert root.read("/etc/file") == content
    assert list(root.nodes("/etc")) == ["file"]
    fsck(root)


def test_deleting_takes_a_whole_tree_and_ignores_what_is_gone(root: Ext4Partition) -> None:
    root.write({MODULES / f"kernel/{n}/{n}.ko": b"x" for n in range(30)} | {P("/lib/modules/other/a.ko"): b"y"})
    root.delete([MODULES, P("/never/there")])
    assert list(root.nodes("/lib/modules")) == ["other"]
    fsck(root)


def test_a_missing_path_is_not_a_damaged_card(root: Ext4Partition) -> None:
    assert not root.exists("/no/such/file")
    assert root.exists("/lost+found")
    assert root.walk("/no/such") == {}
    with pytest.raises(FileNotFoundError, match="/no/such/file"):
        root.read("/no/such/file")


def test_what_does_not_fit_is_refused_before_anything_is_touched(root: Ext4Partition) -> None:
    with pytest.raises(LabError, match=r"MiB and \d+ inodes free, 1 files need 64\.0 MiB"):
        root.write({P("/big"): bytes(64 << 20)})
    assert not root.exists("/big")


def test_an_error_that_debugfs_returns_0_for_is_an_error(root: Ext4Partition) -> None:
    root.write({P("/file"): b"x"})
    with pytest.raises(LabError, match="debugfs failed"):
        root.write({P("/file/below"): b"y"})


def test_a_card_that_lost_its_power_gets_its_journal_replayed_where_it_lies(
    root: Ext4Partition, tmp_path: Path
) -> None:
    """A power cut is how each run ends: the last writes are in the journal and nowhere else."""
    place = f"{root.image}?offset={root.offset}"
    root.write({P("/file"): b"old"})
    block = host.run(["debugfs", "-R", "blocks /file", place]).decode().strip()
    (tmp_path / "block").write_bytes(b"new".ljust(1024, b"\0"))
    (tmp_path / "script").write_text(f"journal_open\njournal_write -b {block} {tmp_path / 'block'}\njournal_close\n")
    host.run(["debugfs", "-w", "-f", tmp_path / "script", place])
    assert root.read("/file") == b"old"
    assert root.repair()
    assert not root.repair()
    assert root.read("/file") == b"new"
    fsck(root)


def test_a_writer_that_is_killed_leaves_a_mark_and_the_next_one_checks_first(
    root: Ext4Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Ext4Partition, "_verify", killed)
        with pytest.raises(KeyboardInterrupt):
            root.write({P("/file"): b"first"})
    again = Ext4Partition(root.image, root.offset)
    assert again.repair()
    again.write({P("/file"): b"second"})
    assert not Ext4Partition(root.image, root.offset).repair()


def break_root_folder(root: Ext4Partition, state: int) -> None:
    place = f"{root.image}?offset={root.offset}"
    block = int(host.run(["debugfs", "-R", "blocks /", place]).decode())
    with root.image.open("r+b") as file:
        file.seek(root.offset + block * 1024)
        file.write(b"\xff" * 1024)
    host.run(["debugfs", "-w", "-R", f"set_super_value state {state}", place])


def test_damage_that_the_kernel_has_met_is_told_in_e2fscks_words(root: Ext4Partition) -> None:
    """A card with bad blocks is not repaired behind anybody's back."""
    break_root_folder(root, state=2)
    with pytest.raises(LabError, match="the root filesystem is damaged: e2fsck -p returned 4") as caught:
        root.repair()
    assert any("RUN fsck MANUALLY" in line for line in caught.value.evidence)


def test_what_a_killed_writer_left_is_repaired_whatever_it_is(root: Ext4Partition) -> None:
    break_root_folder(root, state=0)
    assert root.repair()
    fsck(root)


def test_a_file_gets_the_rights_asked_for(root: Ext4Partition) -> None:
    root.write({P("/etc/shadow"): b"x", P("/etc/passwd"): b"y"}, rights={P("/etc/shadow"): Rights(0o640, gid=42)})
    nodes = root.nodes("/etc")
    assert (oct(nodes["shadow"].mode), nodes["shadow"].gid) == ("0o100640", 42)
    assert oct(nodes["passwd"].mode) == "0o100644"
    fsck(root)


def test_no_ext4_there_is_said_so(card: Path, boot_offset: int) -> None:
    with pytest.raises(LabError, match="no ext4 file system at byte 1048576"):
        Ext4Partition(card, boot_offset).write({P("/a"): b""})
