"""Whether a board can try a kernel for one boot: answers of boards of several years, as their programs print them."""

import attrs
import pytest

from harness.bootfs import tryboot
from harness.bootfs.tryboot import Facts, firmware_date

# The form of `vcgencmd` is that of real boards; the dates are chosen around the ones that count.
FIRMWARE = (
    "{}\nCopyright (c) 2012 Broadcom\nversion 6adf57c4f1a0d4bdae8e5b6a1ac7a3d0b37d5f3a (clean) (release) (start)\n"
)
EEPROM = "{}\nversion c305221a6d7e532693cad7ff57fddfc8649def167f (release)\ntimestamp 1599135103\n"
PI3 = Facts(
    model="Raspberry Pi 3 Model B Rev 1.2",
    compatible="raspberrypi,3-model-b brcm,bcm2837",
    kernel="6.1.21-v8+",
    mailbox=True,
    vcmailbox=True,
    flag=True,
    firmware=FIRMWARE.format("Aug 15 2023 14:22:39"),
    bootloader='error=1 error_msg="Command not registered"',
    autoboot="",
)
PI4 = attrs.evolve(
    PI3,
    model="Raspberry Pi 4 Model B Rev 1.1",
    compatible="raspberrypi,4-model-b brcm,bcm2711",
    bootloader=EEPROM.format("2021/04/29 16:11:25"),
)
OLD = {"flag": False, "firmware": FIRMWARE.format("Jul  9 2019 14:40:53"), "kernel": "4.19.57-v7+"}


def why_not(facts: Facts, **changed: object) -> str:
    answer = tryboot.judge(attrs.evolve(facts, **changed))
    assert not answer.possible, answer.reason
    return answer.reason


@pytest.mark.parametrize("board", [PI3, PI4])
def test_a_board_of_today_can(board) -> None:
    assert tryboot.judge(board).possible


def test_a_raspbian_of_2019_cannot_and_its_firmware_s_date_is_told() -> None:
    assert why_not(PI3, **OLD) == "the firmware of 2019-07-09 knows no tryboot; it came at the end of 2020"


def test_the_flag_in_the_device_tree_is_better_evidence_than_a_date() -> None:
    assert tryboot.judge(attrs.evolve(PI3, firmware="")).reason == "the device tree shows the flag, kernel 6.1.21-v8+"


def test_a_firmware_that_does_not_say_how_old_it_is_is_not_trusted() -> None:
    assert "`vcgencmd version`" in why_not(PI3, flag=False, firmware="")


def test_a_pi_4_keeps_the_flag_in_its_eeprom_which_must_be_new_enough() -> None:
    reason = why_not(PI4, bootloader=EEPROM.format("2020/09/03 13:11:43"))
    assert reason.startswith("the EEPROM's bootloader of 2020-09-03 may drop it")
    assert "rpi-eeprom-update -a" in reason


def test_the_first_eeproms_spell_their_date_otherwise() -> None:
    assert "of 2019-05-10" in why_not(PI4, bootloader=EEPROM.format("May 10 2019 19:40:36"))


def test_a_pi_3_has_no_eeprom_to_ask() -> None:
    assert tryboot.judge(attrs.evolve(PI3, bootloader="")).possible


def test_a_mainline_kernel_passes_nothing_on() -> None:
    reason = why_not(PI3, kernel="6.1.0-50-arm64", mailbox=False)
    assert reason == "kernel 6.1.0-50-arm64 has no /dev/vcio: it is not Raspberry Pi's own and passes nothing on"


def test_an_old_kernel_needs_the_program_that_speaks_with_the_firmware_in_its_place() -> None:
    assert "may not pass it on" in why_not(PI3, kernel="5.4.72-v8+", vcmailbox=False)
    assert tryboot.judge(attrs.evolve(PI3, kernel="5.4.72-v8+")).possible
    assert tryboot.judge(attrs.evolve(PI3, kernel="5.10.17-v8+", vcmailbox=False)).possible


def test_with_two_boot_partitions_tryboot_means_the_other_one() -> None:
    autoboot = "[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n"
    assert "another partition" in why_not(PI4, autoboot=autoboot)
    assert tryboot.judge(attrs.evolve(PI4, autoboot="[all]\ntryboot_a_b=0\n")).possible


def test_a_virtual_board_can_whatever_its_kernel() -> None:
    virtual = attrs.evolve(PI3, model="Raspberry Pi 3 Model B (QEMU raspi3b)", mailbox=False, firmware="", flag=False)
    assert tryboot.judge(virtual).possible


@pytest.mark.parametrize("model", ["", "Radxa ROCK 4"])
def test_what_is_no_raspberry_pi_is_named(model) -> None:
    assert "not a Raspberry Pi" in why_not(PI3, model=model)


@pytest.mark.parametrize(
    ("said", "date"),
    [
        ("Aug 15 2023 14:22:39 \n", "2023-08-15"),
        ("2021/04/29 16:11:25\n", "2021-04-29"),
        ("VCHI initialization failed\n", ""),
        ("Xyz 15 2023 14:22:39\n", ""),
        ("eca 15 2023 14:22:39\n", ""),
        ("", ""),
    ],
)
def test_a_date_is_read_in_both_of_its_spellings(said, date) -> None:
    assert firmware_date(said) == date
