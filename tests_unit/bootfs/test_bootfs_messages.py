"""What the firmware says on the console."""

import itertools

from bootfs_samples import ARM64, PI3, PI4, STOCK, planned

from harness import boards
from harness.bootfs import firmware, messages
from harness.bootfs.partition import Files


def said(plan: firmware.FirmwarePlan) -> list[str]:
    return [line.split(" ", 1)[1] for line in messages.log_lines(plan, boards.load(plan.board))]


def test_it_speaks_in_the_manner_of_the_firmware() -> None:
    assert said(planned("arm_64bit=1\n")) == [
        "brfs: File read: /mfs/sd/config.txt",
        "brfs: File read: 12 bytes",
        "dtb_file 'bcm2710-rpi-3-b.dtb'",
        "brfs: File read: /mfs/sd/bcm2710-rpi-3-b.dtb",
        "brfs: File read: 3 bytes",
        "Loaded 'bcm2710-rpi-3-b.dtb' to 0x2eff0000 size 0x3",
        "brfs: File read: /mfs/sd/cmdline.txt",
        "brfs: File read: 187 bytes",
        "Read command line from file 'cmdline.txt':",
        f"'{STOCK['cmdline.txt'].decode().strip()}'",
        "brfs: File read: /mfs/sd/kernel8.img",
        "brfs: File read: 260 bytes",
        "Loaded 'kernel8.img' to 0x200000 size 0x104",
        "arm_loader: Starting ARM in 64-bit mode with 948MB",
    ]


def test_lines_carry_the_seconds_since_power_on() -> None:
    clock = itertools.count(3723.5, 0.25)
    lines = messages.log_lines(planned(), PI3, clock.__next__)
    assert lines[0].startswith("MESS:01:02:03.500000:0: brfs")
    assert lines[1].startswith("MESS:01:02:03.750000:0: brfs")


def test_without_a_clock_time_passes_as_the_line_is_sent() -> None:
    lines = messages.log_lines(planned(), PI3, 1.123456)
    assert lines[0].startswith("MESS:00:00:01.123456:0: ")
    assert lines == sorted(lines, key=lambda line: line[:21])


def test_an_ignored_prefix_is_said_aloud() -> None:
    assert "arm_loader: config.txt:1: os_prefix hil/ is ignored: hil/kernel7.img is missing and " in "\n".join(
        said(planned("os_prefix=hil/"))
    )


def test_the_last_line_says_why_it_cannot_start() -> None:
    missing = planned("arm_64bit=1", {"kernel8.img": None})
    assert said(missing)[-2:] == [
        "Failed to load 'kernel8.img'",
        "arm_loader: Cannot start: kernel kernel8.img is missing",
    ]
    no_dtb = planned("arm_64bit=1", {"bcm2710-rpi-3-b.dtb": None})
    assert "dterror: Failed to load Device Tree file 'bcm2710-rpi-3-b.dtb'" in said(no_dtb)


def test_without_start_elf_there_is_only_the_reason() -> None:
    lines = said(firmware.plan(Files({"kernel8.img": ARM64}), PI4))
    assert lines == ["arm_loader: Cannot start: start4.elf or start.elf is missing: not a boot partition for rpi-4-b"]


def test_overlays_and_initramfs_are_said_too() -> None:
    config = "arm_64bit=1\ndtparam=audio=on\ndtoverlay=disable-bt,a=1\ndtoverlay=gone\ninitramfs a.gz followkernel\n"
    lines = said(planned(config, {"a.gz": b"abc"}))
    for line in (
        "dtparam: audio=on",
        "Loaded overlay 'disable-bt'",
        "dtparam: a=1",
        "dterror: Failed to load overlay 'gone'",
        "Loaded 'a.gz' size 0x3",
    ):
        assert line in lines


def test_memory_is_that_of_the_revision_capped_by_total_mem() -> None:
    assert messages.memory_mib(PI3) == 1024
    assert messages.memory_mib(PI4) == 2048
    assert messages.memory_mib(PI4, 1024) == 1024
    assert messages.memory_mib(PI4, 1) == 2048
