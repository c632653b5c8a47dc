"""A board's TFTP tree and NFS root: what lies there, what is written, and that a board never gets half of it."""

import errno
import os
import shutil
import threading
from pathlib import Path, PurePosixPath

import attrs
import pytest
import tftpservers
import tinycard
from labgrid import Target
from netbootbench import CMDLINE, CONFIG, FSTAB, SERIAL, STOCK, Bench, kernel, make_base, modes
from tftpservers import FaultyServer

from harness import boards
from harness.bootfs import firmware, slots
from harness.card.fat import FatPartition
from harness.deploy import netboot_base, netboot_folder
from harness.deploy.netboot_files import by_content, for_nfs
from harness.deploy.netboot_server import NetbootServer
from harness.errors import DeployError, LabError, UsageError
from harness.model import Account, BootFile, Deadlines
from harness.strategy import Assignment, RaspberryPiStrategy
from harness.virtual import netboot
from harness.virtual.board import VirtualPiDriver

OLD, NEW, NEXT = "6.12.1-old", "6.12.2-new", "6.12.3-next"
DIGEST, OTHER = "3c9361c4d7245566", "777788889999aaaa"


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """Two base images, by digest; the second has another firmware."""
    folder = tmp_path_factory.mktemp("base")
    return {
        DIGEST: make_base(folder / "base.img", DIGEST),
        OTHER: make_base(folder / "other.img", OTHER, **{"start.elf": b"newer firmware"}),
    }


@pytest.fixture
def bench(tmp_path, images, monkeypatch):
    monkeypatch.setenv("PI64_CACHE", str(tmp_path / "cache"))
    with Bench.make(tmp_path, images[DIGEST]) as bench:
        yield bench


# --- what the board asks for -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(("serial", "prefix"), [("1000000050495634", "50495634"), ("9FFD5EE1", "9ffd5ee1")])
def test_the_folder_is_the_low_half_of_the_serial_number_in_lower_case(serial, prefix) -> None:
    server = NetbootServer(Target("t"), None, serial=serial, tftp_root="x", nfs_root="x", nfs_server="x")
    assert server.prefix == prefix


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("serial", 50495634),  # YAML takes it for a number
        ("serial", "../50495"),
        ("serial", "5049563"),
        ("tftp_root", ""),
        ("nfs_server", "lab host"),
        ("nfs_server", "a,nolock"),
        ("nfs_path", "srv/nfs"),
        ("nfs_path", "/srv/%s"),
        ("nfs_options", "vers=3 init=/bin/sh"),
    ],
)
def test_what_no_board_could_be_told_is_refused(key, value) -> None:
    given = {"serial": "50495634", "tftp_root": "x", "nfs_root": "x", "nfs_server": "10.0.2.2", key: value}
    with pytest.raises((ValueError, TypeError)):
        NetbootServer(Target("t"), None, **given)


def test_a_folder_that_a_command_line_cannot_name_needs_another_name(tmp_path) -> None:
    folder = tmp_path / "my exports"
    folder.mkdir()
    given = {"serial": "50495634", "tftp_root": "x", "nfs_root": str(folder), "nfs_server": "lab"}
    server = NetbootServer(Target("t"), None, **given)
    with pytest.raises(LabError, match="cannot name the NFS root") as caught:
        server.nfs_name("50495634/root")
    assert "nfs_path" in caught.value.hint
    named = NetbootServer(Target("t"), None, **given, nfs_path="/exports")
    assert named.nfs_name("50495634/root") == "lab:/exports/50495634/root,vers=3,tcp,timeo=150,retrans=1"
    tuned = NetbootServer(Target("t"), None, **given, nfs_path="/e", nfs_options="port=12049,mountport=12048")
    assert tuned.nfs_name("x").endswith("retrans=1,port=12049,mountport=12048")


def test_the_stock_command_line_keeps_all_but_the_way_to_the_card() -> None:
    line = (
        "dwc_otg.lpm_enable=0 console=serial0,115200 ip=10.0.0.7 quiet init=/usr/lib/raspberrypi-sys-mods/firstboot\n"
    )
    expected = "dwc_otg.lpm_enable=0 console=serial0,115200 quiet root=/dev/nfs nfsroot=lab:/x,vers=3 ip=dhcp rw\n"
    assert for_nfs(line, "lab:/x,vers=3") == expected
    assert for_nfs(CMDLINE, "lab:/x") == "console=serial0,115200 root=/dev/nfs nfsroot=lab:/x ip=dhcp rw\n"


def test_an_init_of_the_user_s_own_stays() -> None:
    assert for_nfs("init=/sbin/myinit", "lab:/x").startswith("init=/sbin/myinit ")


def test_stock_texts_name_the_root_that_a_deploy_will_make(bench) -> None:
    texts = bench.driver.stock()
    bench.deploy(NEW)
    assert texts["config.txt"] == CONFIG.encode()
    assert f" nfsroot=10.0.2.2:/srv/50495634/{bench.root.name},vers=3,tcp,".encode() in texts["cmdline.txt"]


def test_a_base_image_without_a_command_line_gets_one(bench) -> None:
    bare = attrs.evolve(bench.base, path=bench.folder / "bare.img", digest="bare")
    shutil.copyfile(bench.base.path, bare.path)
    FatPartition(bare.path, bare.boot_offset).delete([PurePosixPath("cmdline.txt")])
    bench.driver.use(bare)
    assert b" root=/dev/nfs nfsroot=" in bench.driver.stock()["cmdline.txt"]


# --- what lies there -------------------------------------------------------------------------------------------------
def test_the_tree_has_the_stock_files_and_the_kernel_beside_them(bench) -> None:
    bench.deploy(NEW)
    prefix = slots.live((bench.tree / "config.txt").read_bytes())
    names = {path.relative_to(bench.tree).as_posix() for path in bench.tree.rglob("*") if path.is_file()}
    own = {f"{prefix}{name}" for name in ("kernel8.img", "bcm2710-rpi-3-b.dtb", "cmdline.txt")}
    assert names == {*STOCK, *own, "pi64.json"}
    assert bench.boots() == NEW
    assert not [path for path in bench.tree.rglob("*") if path.is_symlink()]


def test_everybody_may_read_the_tree_whatever_the_umask(bench) -> None:
    before = os.umask(0o077)
    try:
        bench.deploy(NEW)
    finally:
        os.umask(before)
    for folder in (bench.tree, bench.root / "usr/lib/modules" / NEW):
        for path, mode in modes(folder).items():
            assert mode == (0o755 if (folder / path).is_dir() else 0o644), path


def test_a_pi_3_finds_bootcode_in_the_root_of_the_server_but_another_s_stays(bench) -> None:
    shared = bench.folder / "tftp" / "bootcode.bin"
    shared.write_bytes(b"pi64 placeholder for bootcode.bin: of a virtual board")
    bench.deploy(NEW)
    assert shared.read_bytes() == STOCK["bootcode.bin"]
    shared.write_bytes(b"newer")
    bench.deploy(NEXT)
    assert shared.read_bytes() == b"newer"


def test_the_root_filesystem_has_the_modes_of_the_image_set_user_id_and_sticky_among_them(bench) -> None:
    bench.deploy(NEW)
    found = modes(bench.root)
    assert (found["usr/bin/sudo"], found["tmp"], found["etc/shadow"]) == (0o4755, 0o1777, 0o640)
    assert (bench.root / "lib").readlink() == Path("usr/lib")
    assert (bench.root / "etc/localtime").readlink() == Path("/usr/share/zoneinfo/UTC")


def test_nothing_of_the_card_is_mounted(bench) -> None:
    bench.deploy(NEW)
    first, boot, root, comment = (bench.root / "etc/fstab").read_text().splitlines()
    assert (first, comment) == (FSTAB.splitlines()[0], FSTAB.splitlines()[3])
    assert boot.startswith("# ")
    assert root.startswith("# ")


def test_only_root_can_give_files_away_and_the_message_says_so(bench, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    with pytest.raises(LabError, match=r"no file can be given to user \d+, group \d+") as caught:
        bench.deploy(NEW)
    assert "run pi64 as root" in caught.value.hint
    assert bench.boots() == "nothing"


def test_boards_share_no_file_with_one_another_or_with_the_cache(bench) -> None:
    bench.deploy(NEW)
    linked = [path for path in bench.root.rglob("*") if path.is_file() and path.lstat().st_nlink != 1]
    assert linked == []


# --- what is written -------------------------------------------------------------------------------------------------
def test_the_same_kernel_again_writes_nothing(bench) -> None:
    bench.deploy(NEW)
    before = bench.tree.stat().st_ino
    assert bench.deploy(NEW).written == ()
    assert bench.tree.stat().st_ino == before


def test_only_what_changed_is_written_and_the_rest_is_the_same_file(bench) -> None:
    bench.deploy(OLD)
    firmware_before = (bench.tree / "start.elf").stat().st_ino
    written = set(bench.deploy(NEW).written)
    prefix = slots.live((bench.tree / "config.txt").read_bytes())
    own = {f"{prefix}{name}" for name in ("kernel8.img", "bcm2710-rpi-3-b.dtb", "cmdline.txt")}
    modules = {f"lib/modules/{NEW}/{name}" for name in ("dummy.ko", "modules.dep")}
    assert written == {*own, *modules, "config.txt"}
    assert (bench.tree / "start.elf").stat().st_ino == firmware_before


def test_the_manifest_tells_what_lies_there(bench) -> None:
    manifest = bench.deploy(NEW)
    for name, digest in manifest.boot.items():
        assert netboot_folder.digest(bench.tree / name) == digest
    for name, digest in manifest.modules.items():
        assert netboot_folder.digest(bench.root / name) == digest


@pytest.mark.parametrize("name", ["start.elf", "config.txt"])
def test_what_somebody_else_wrote_into_the_tree_is_put_right(bench, name) -> None:
    bench.deploy(NEW)
    (bench.tree / name).write_bytes(b"damaged")
    (bench.tree / "stray.txt").write_text("left behind")
    assert bench.deploy(NEW).written == (name,)
    assert bench.boots() == NEW
    assert not (bench.tree / "stray.txt").exists()


def test_what_the_board_did_to_its_modules_is_put_right(bench) -> None:
    """A board that ran depmod, or loaded and damaged a module, shall start from what was built."""
    bench.deploy(NEW)
    modules = bench.root / "usr/lib/modules" / NEW
    (modules / "dummy.ko").write_bytes(b"damaged")
    (modules / "modules.alias").write_text("by the board's own depmod")
    assert bench.deploy(NEW).written == (f"lib/modules/{NEW}/dummy.ko",)
    assert bench.boots() == NEW


def test_what_the_board_wrote_elsewhere_stays(bench) -> None:
    bench.deploy(OLD)
    (bench.root / "home").mkdir()
    (bench.root / "home" / "note").write_text("of the board")
    bench.deploy(NEW)
    assert (bench.root / "home" / "note").read_text() == "of the board"


def test_the_kernel_before_stays_for_a_board_that_is_booting_it_and_then_goes(bench) -> None:
    for release in (OLD, NEW, NEXT):
        bench.deploy(release)
    kernels = {path.read_text() for path in bench.tree.glob("pi64-*/kernel8.img")}
    assert kernels == {f"kernel of {NEW}", f"kernel of {NEXT}"}
    assert {path.name for path in (bench.root / "usr/lib/modules").iterdir()} == {"4.19.57-v7+", NEW, NEXT}


def test_going_back_to_the_kernel_before_writes_its_config_only(bench) -> None:
    bench.deploy(OLD)
    bench.deploy(NEW)
    assert bench.deploy(OLD).written == ("config.txt",)
    assert bench.boots() == OLD


def test_a_kernel_may_lie_over_the_stock_one_as_in_the_guide(bench) -> None:
    bench.driver.deploy(kernel(bench.folder, NEW, prefix=""))
    assert (bench.tree / "kernel8.img").read_text() == f"kernel of {NEW}"
    bench.driver.restore()
    assert not (bench.tree / "kernel8.img").exists()


def test_another_base_image_has_a_root_filesystem_of_its_own(bench, images) -> None:
    bench.deploy(OLD)
    bench.driver.use(images[OTHER])
    bench.deploy(NEW)
    assert (bench.tree / "start.elf").read_bytes() == b"newer firmware"
    assert bench.roots == [bench.root]
    assert bench.root.name.startswith(OTHER[:12])
    assert (bench.root / "usr/lib/modules" / NEW).is_dir()


def test_a_base_image_is_unpacked_once(bench, monkeypatch) -> None:
    bench.deploy(OLD)
    monkeypatch.setattr(netboot_base, "_unpack", None)
    other = Bench.make(bench.folder / "another board", bench.base, serial="9ffd5ee1")
    with other:
        other.deploy(OLD)


# --- the way back ----------------------------------------------------------------------------------------------------
def test_restore_brings_the_stock_kernel_and_a_fresh_root_filesystem_back(bench) -> None:
    bench.deploy(NEW)
    (bench.root / "etc" / "made-by-the-board").write_text("x")
    bench.driver.restore()
    assert bench.boots() == "stock"
    assert {path.name for path in (bench.root / "usr/lib/modules").iterdir()} == {"4.19.57-v7+"}
    assert not (bench.root / "etc" / "made-by-the-board").exists()
    assert bench.roots == [bench.root]


def test_restore_before_any_deploy_gives_the_stock_system(bench) -> None:
    bench.driver.restore()
    assert bench.boots() == "stock"


def test_a_deploy_after_a_restore_boots_its_kernel_on_the_fresh_root(bench) -> None:
    bench.deploy(OLD)
    bench.driver.restore()
    fresh = bench.root
    bench.deploy(NEW)
    assert (bench.boots(), bench.root) == (NEW, fresh)


# --- what is refused -------------------------------------------------------------------------------------------------
def test_a_tree_that_pi64_did_not_make_is_left_alone(bench) -> None:
    bench.tree.mkdir()
    (bench.tree / "config.txt").write_text("kernel=mine.img")
    with pytest.raises(LabError, match=r"50495634 is there, and not made by pi64") as caught:
        bench.driver.stock()
    with pytest.raises(LabError, match="not made by pi64"):
        bench.deploy(NEW)
    assert (bench.tree / "config.txt").read_text() == "kernel=mine.img"
    assert "move it away" in caught.value.hint


def test_a_tree_that_is_a_link_is_left_alone(bench, tmp_path) -> None:
    (tmp_path / "elsewhere").mkdir()
    bench.tree.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LabError, match="not made by pi64"):
        bench.deploy(NEW)


def test_a_record_that_leads_elsewhere_is_refused(bench) -> None:
    bench.deploy(OLD)
    record = (bench.tree / "pi64.json").read_text()
    (bench.tree / "pi64.json").write_text(record.replace(OLD, "../../../etc"))
    with pytest.raises(LabError, match="not made by pi64"):
        bench.deploy(NEW)


def test_a_boot_file_that_leads_out_of_the_tree_is_refused(bench) -> None:
    files = kernel(bench.folder, NEW)
    evil = attrs.evolve(files, files=(*files.files, BootFile(PurePosixPath("../50495635/config.txt"), data=b"x")))
    with pytest.raises(LabError, match="not a name for a file below a folder"):
        bench.driver.deploy(evil)
    assert bench.boots() == "nothing"


def test_a_name_on_the_base_image_that_leads_out_of_its_root_filesystem_is_refused(bench) -> None:
    evil = attrs.evolve(bench.base, path=bench.folder / "evil.img", digest="evil")
    evil.path.write_bytes(bench.base.path.read_bytes().replace(b"shadow", b"../own"))
    bench.driver.use(evil)
    with pytest.raises(UsageError, match="is damaged") as caught:
        bench.deploy(NEW)
    assert any("illegal characters" in line for line in caught.value.evidence)
    assert bench.boots() == "nothing"


@pytest.mark.parametrize("link", ["lib", "usr/lib", "usr/lib/modules"])
@pytest.mark.parametrize("to", ["/outside", "../../../../../../../../../../../../outside"])
def test_links_that_a_board_made_lead_nowhere_but_into_its_own_root(bench, tmp_path, link, to) -> None:
    """A board that was broken into must not make the lab host's root write where it likes."""
    outside = tmp_path / "outside"
    outside.mkdir()
    bench.deploy(OLD)
    place = bench.root / link
    netboot_folder.remove(place)
    place.symlink_to(to.replace("/outside", str(outside)))
    bench.deploy(NEW)
    assert list(outside.iterdir()) == []
    assert (netboot_folder.inside(bench.root, f"/lib/modules/{NEW}") / "dummy.ko").is_file()


def test_a_modules_folder_that_a_board_made_a_link_is_replaced_not_followed(bench, tmp_path) -> None:
    (tmp_path / "outside").mkdir()
    bench.deploy(OLD)
    (bench.root / "usr/lib/modules" / NEW).symlink_to(tmp_path / "outside")
    bench.deploy(NEW)
    assert list((tmp_path / "outside").iterdir()) == []
    assert bench.boots() == NEW


def test_links_in_a_circle_are_told(tmp_path) -> None:
    (tmp_path / "lib").symlink_to("lib")
    with pytest.raises(LabError, match="a link to itself"):
        netboot_folder.inside(tmp_path, "/lib/modules")


def test_boot_files_without_their_os_prefix_in_config_txt_are_a_fault_of_the_deploy(bench) -> None:
    files = kernel(bench.folder, NEW)
    with pytest.raises(DeployError, match="does not say os_prefix=pi64/"):
        by_content(attrs.evolve(files, files=files.files[:-1]))


def test_two_runs_cannot_write_for_one_board(bench, images) -> None:
    second = Bench.make(bench.folder, images[DIGEST])
    with pytest.raises(LabError, match=r"50495634 is in use by another run \(process \d+\)"), second:
        pass


@pytest.mark.parametrize("what", ["tftp_root", "nfs_root"])
def test_a_folder_that_is_not_there_is_named_with_its_key(tmp_path, images, what) -> None:
    bench = Bench.make(tmp_path, images[DIGEST], **{what: str(tmp_path / "typo")})
    with pytest.raises(LabError, match=rf"net: {what} .*/typo is not a folder") as caught, bench:
        bench.deploy(NEW)
    assert "docs/deploy-netboot.md" in caught.value.hint


# --- never half of it ------------------------------------------------------------------------------------------------
def test_whoever_fetches_meanwhile_gets_the_old_kernel_or_the_new_one_whole(bench) -> None:
    """As a board does: config.txt first, then what that names."""
    bench.deploy(OLD)
    seen, over = set(), threading.Event()

    def fetch() -> None:
        while not over.is_set():
            prefix = slots.live((bench.tree / "config.txt").read_bytes())
            image = (bench.tree / prefix / "kernel8.img").read_text()
            assert (bench.tree / prefix / "bcm2710-rpi-3-b.dtb").read_text() == image.replace("kernel", "tree")
            assert (bench.tree / "start.elf").read_bytes() == STOCK["start.elf"]
            seen.add(image)

    failed: list[BaseException] = []
    board = threading.Thread(target=_keeping(failed, fetch))
    board.start()
    for _ in range(10):
        for release in (NEW, OLD):
            bench.deploy(release)
    over.set()
    board.join()
    assert not failed
    assert seen == {f"kernel of {OLD}", f"kernel of {NEW}"}


def _keeping(failed: list[BaseException], act):
    def run() -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - a thread's exception is lost otherwise
            failed.append(error)

    return run


@pytest.mark.parametrize("number", range(1, 8))
def test_a_full_disk_leaves_the_old_system(bench, monkeypatch, number) -> None:
    bench.deploy(OLD)
    write, calls = netboot_folder._write, iter(range(1, 100))

    def full(*given: object) -> str:
        if next(calls) == number:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(*given)

    monkeypatch.setattr(netboot_folder, "_write", full)
    with pytest.raises(LabError, match="No space left on device") as caught:
        bench.deploy(NEW)
    assert "free some space" in caught.value.hint
    assert bench.boots() == OLD
    monkeypatch.undo()
    bench.deploy(NEW)
    assert bench.boots() == NEW


def test_a_file_that_reads_back_different_is_not_switched_to(bench, monkeypatch) -> None:
    bench.deploy(OLD)
    write = netboot_folder._write

    def bad(path: Path, content: object) -> str:
        told = write(path, content)
        if path.name == "kernel8.img":
            path.write_bytes(b"rotten")
        return told

    monkeypatch.setattr(netboot_folder, "_write", bad)
    with pytest.raises(LabError, match=r"kernel8\.img reads back different"):
        bench.deploy(NEW)
    assert bench.boots() == OLD


# --- a board boots from it -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("program", ["atftpd", "in.tftpd"])
def test_a_real_server_gives_a_board_all_it_asks_for(bench, program) -> None:
    if program not in tftpservers.programs():
        pytest.skip(f"{program} is not installed, or it needs root")
    bench.driver.deploy(kernel(bench.folder, NEW, image=tinycard.healthy(NEW)))
    for folder in (bench.folder, *bench.folder.parents):
        if folder.owner() == Path.home().owner() and folder.name.startswith(("pytest-", "test_")):
            folder.chmod(0o755)
    with tftpservers.real(program, bench.folder / "tftp") as server:
        pi3 = boards.load("rpi-3-b")
        plan = firmware.plan(netboot.find(netboot.Netboot(server, int(SERIAL, 16)), pi3), pi3)
    assert plan.bootable
    assert plan.kernel == f"{plan.os_prefix}kernel8.img"
    assert plan.os_prefix.startswith("pi64-")


def test_a_virtual_board_boots_the_kernel_deployed_last(tmp_path, images, monkeypatch) -> None:
    monkeypatch.setenv("PI64_CACHE", str(tmp_path / "cache"))
    bench = Bench.make(tmp_path, images[DIGEST])
    with FaultyServer(tmp_path / "tftp") as far:
        given = {"server": "127.0.0.1", "port": far.port, "serial": SERIAL}
        VirtualPiDriver(bench.target, name=None, model="rpi-3-b", netboot=given)
        ladder = RaspberryPiStrategy(bench.target, name=None)
        ample = Deadlines(firmware=60, kernel=60, rootfs=60, init=60, login=60, silence=60)
        ladder.prepare(Assignment(tmp_path / "record", Account("pi", "x"), ample), images[DIGEST])
        for release in (OLD, NEW):
            ladder.files = kernel(tmp_path, release, image=tinycard.healthy(release))
            ladder.transition("off")
            ladder.transition("booted")
            assert ladder.boot.reached
            assert f"Linux version {release}" in ladder.boot.log.read_text().split("Starting ARM")[-1]
        ladder.close()
