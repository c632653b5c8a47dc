"""What a board says about two folders, and what has to be done: text in, values out."""

import pytest
from sshboard import boot_files

from harness.deploy import trees
from harness.deploy.trees import Piece, There, Wanted, Work
from harness.errors import DeployError

A, B = "a" * 64, "b" * 64
RELEASE = "6.12.1-new"
KERNEL, MODULE = "boot/pi64/kernel8.img", f"lib/modules/{RELEASE}/m.ko"
WANTED = Wanted(RELEASE, "boot/pi64", {KERNEL: Piece(A, 5000), MODULE: Piece(B, 10)}, b"os_prefix=pi64/")


def stat(name: str, *, time: str = "1.0", size: int = 1) -> str:
    return f"f\t{size}\t{time}\t\t./{name}\0"


def said(*, sums: str = "", then: str = "", now: str = "") -> There:
    return trees.parse(f"@sums\0{sums}\0@then\0{then}@now\0{now}".encode())


def test_a_file_that_nobody_touched_since_it_was_listed_is_what_the_list_says() -> None:
    there = said(sums=f"# pi64 key {RELEASE}\n{A}  {KERNEL}\n", then=stat(KERNEL), now=stat(KERNEL))
    assert there.known == {KERNEL: A}


@pytest.mark.parametrize("now", [stat(KERNEL, time="2.0"), stat(KERNEL, size=2), ""])
def test_a_file_that_was_touched_or_is_gone_is_not_believed(now) -> None:
    assert said(sums=f"{A}  {KERNEL}\n", then=stat(KERNEL), now=now).known == {}


def test_where_a_link_points_needs_no_list() -> None:
    assert said(now=f"l\t4\t1.0\tsomewhere\t./{MODULE}\0").known == {MODULE: "-> somewhere"}


def test_what_is_no_list_is_passed_over() -> None:
    assert said(sums="garbage\n\x1b[2J  x\n", then="x\0\0", now="f\tmany\t1\t\t./x\0").known == {}


def test_only_what_may_be_there_already_is_read() -> None:
    assert trees.unsure(WANTED, said(now=stat(KERNEL))) == [KERNEL]
    assert trees.unsure(WANTED, said()) == []


def test_what_is_as_wanted_is_left_what_is_not_wanted_goes() -> None:
    there = said(now=stat(KERNEL) + stat("boot/pi64/stray"))
    assert trees.compare(WANTED, there, {KERNEL: A}) == Work((MODULE,), ("boot/pi64/stray",))


def test_room_is_counted_in_whole_blocks_less_what_is_replaced() -> None:
    assert trees.need_bytes(WANTED, said(), [KERNEL, MODULE]) == 3 * 4096 + trees.SPARE_BYTES
    assert trees.need_bytes(WANTED, said(now=stat(KERNEL, size=5000)), [KERNEL]) == trees.SPARE_BYTES


def test_df_says_how_much_is_free_in_each_of_the_two() -> None:
    df = b"Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/p1 9 9 7 50% /boot/a b\n/dev/p2 9 9 8 5% /\n"
    assert trees.parse_free(df) == [("/boot/a b", 7168), ("/", 8192)]


def test_two_lists_of_the_same_files_have_the_same_key(tmp_path) -> None:
    texts = {"config.txt": b"arm_64bit=1\n", "cmdline.txt": b"root=/dev/mmcblk0p2\n"}
    once, again = (trees.gather(boot_files(tmp_path / at, RELEASE, texts), "/boot") for at in ("1", "2"))
    assert once.key == again.key
    assert once.files.keys() == again.files.keys()


@pytest.mark.parametrize("release", ["6.1 new", "6.1/../..", "..", "$(reboot)", ""])
def test_a_release_that_is_no_word_is_refused(tmp_path, release) -> None:
    import attrs

    files = boot_files(tmp_path, RELEASE, {"cmdline.txt": b"root=/dev/mmcblk0p2\n"})
    with pytest.raises(DeployError, match="a name that cannot be deployed"):
        trees.gather(attrs.evolve(files, release=release), "/boot")


def test_a_module_whose_name_no_list_can_hold_is_refused(tmp_path) -> None:
    files = boot_files(tmp_path, RELEASE, {"cmdline.txt": b"root=/dev/mmcblk0p2\n"})
    (files.modules_root / "lib/modules" / RELEASE / "odd\nname.ko").write_bytes(b"x")
    with pytest.raises(DeployError, match="a name that cannot be deployed"):
        trees.gather(files, "/boot")
