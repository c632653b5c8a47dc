"""What the firmware loads, and why."""

import json
from collections.abc import Mapping

import pytest
from bootfs_samples import ARM64, ARM64_GZIP, CMDLINE, CONFIG, PI3, PI4, STOCK, ZIMAGE, card, planned
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import boards
from harness.bootfs import explain, firmware
from harness.bootfs.partition import Files
from harness.model import BoardProfile

PREFIXED: dict[str, bytes | None] = {
    "hil/kernel8.img": ARM64,
    "hil/bcm2710-rpi-3-b.dtb": b"dtb",
    "hil/cmdline.txt": b"console=serial0,115200 root=/dev/hil\n",
}


def hil(
    config: str = "os_prefix=hil/\narm_64bit=1\n", changed: Mapping[str, bytes | None] | None = None
) -> firmware.FirmwarePlan:
    """Plan a Pi 3 with a second system in ``hil/``; of *changed*, None takes a file away."""
    return planned(config, {**PREFIXED, **(changed or {})})


# --- what is started -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("board", "kernel", "dtb", "wide"),
    [
        (PI3, "kernel7.img", "bcm2710-rpi-3-b.dtb", False),
        (PI4, "kernel8.img", "bcm2711-rpi-4-b.dtb", True),
    ],
)
def test_the_stock_card_boots_what_it_always_did(board: BoardProfile, kernel: str, dtb: str, wide: bool) -> None:
    plan = planned(board=board)
    assert (plan.bootable, plan.kernel, plan.dtb, plan.arm_64bit) == (True, kernel, dtb, wide)
    assert plan.cmdline == CMDLINE.strip()
    assert plan.remarks == ()


def test_arm_64bit_makes_a_pi_3_take_kernel8() -> None:
    plan = planned("arm_64bit=1\n")
    assert (plan.arm_64bit, plan.kernel, plan.kernel_kind, plan.kernel_address) == (
        True,
        "kernel8.img",
        "arm64",
        0x200000,
    )
    decision = plan.why("arm_64bit")
    assert decision is not None
    assert str(decision) == "config.txt:1: arm_64bit=1"


def test_without_arm_64bit_a_pi_4_takes_kernel7l() -> None:
    plan = planned("arm_64bit=0\n", board=PI4)
    assert (plan.arm_64bit, plan.kernel, plan.kernel_address) == (False, "kernel7l.img", 0x8000)


def test_a_known_kernel_name_overrules_arm_64bit() -> None:
    plan = planned("arm_64bit=0\nkernel=kernel8.img\n")
    assert plan.arm_64bit
    assert plan.remarks == ("config.txt:1: `arm_64bit=0` is overruled by the name in `kernel=kernel8.img`",)


def test_an_unknown_kernel_name_says_nothing_about_its_width() -> None:
    assert not planned("kernel=mine.img\n").arm_64bit


def test_the_old_arm_control_bit_still_means_64_bit() -> None:
    assert planned("arm_control=0x200\n").kernel == "kernel8.img"


@pytest.mark.parametrize(
    ("data", "kind", "reason"),
    [
        (ARM64, "arm64", ""),
        (ARM64_GZIP, "arm64 gzip", ""),
        (None, "missing", "kernel kernel8.img is missing"),
        (b"", "empty", "kernel kernel8.img is empty"),
        (b"\x1f\x8bgarbage", "damaged", "kernel kernel8.img is damaged"),
        (ZIMAGE, "arm32", "kernel kernel8.img is a 32-bit zImage, but arm_64bit=1 starts it in 64-bit mode"),
    ],
)
def test_the_kernel_must_be_what_the_mode_wants(data: bytes | None, kind: str, reason: str) -> None:
    plan = planned("arm_64bit=1", {"kernel8.img": data})
    assert (plan.kernel_kind, plan.reason, plan.bootable) == (kind, reason, not reason)


def test_a_64_bit_kernel_in_32_bit_mode_does_not_boot() -> None:
    plan = planned("", {"kernel7.img": ARM64})
    assert plan.reason == "kernel kernel7.img is a 64-bit Image, but arm_64bit=0 starts it in 32-bit mode"


def test_a_raw_binary_is_started_but_remarked() -> None:
    plan = planned("arm_64bit=1", {"kernel8.img": b"raw code" * 20})
    assert (plan.bootable, plan.kernel_address) == (True, 0x80000)
    assert "kernel8.img has no arm64 Image header" in plan.remarks[0]


@pytest.mark.parametrize(("name", "needs"), [("rpi-3-b", "start.elf"), ("rpi-4-b", "start4.elf or start.elf")])
def test_without_start_elf_it_is_no_boot_partition(name: str, needs: str) -> None:
    plan = firmware.plan(Files({"kernel8.img": ARM64}), boards.load(name))
    assert plan.reason == f"{needs} is missing: not a boot partition for {name}"


def test_a_64_bit_kernel_needs_a_device_tree() -> None:
    plan = planned("arm_64bit=1", {"bcm2710-rpi-3-b.dtb": None})
    assert plan.reason == "device tree bcm2710-rpi-3-b.dtb is missing"


def test_names_differ_in_case_only_on_paper() -> None:
    plan = firmware.plan(Files({name.upper(): data for name, data in STOCK.items()}), PI3)
    assert (plan.bootable, plan.kernel) == (True, "kernel7.img")


# --- os_prefix -------------------------------------------------------------------------------------------------------
def test_os_prefix_goes_before_every_file_of_the_system() -> None:
    plan = hil()
    assert (plan.kernel, plan.dtb) == ("hil/kernel8.img", "hil/bcm2710-rpi-3-b.dtb")
    assert plan.cmdline == "console=serial0,115200 root=/dev/hil"
    assert (plan.os_prefix, plan.os_prefix_ignored) == ("hil/", "")


@pytest.mark.parametrize("missing", ["hil/kernel8.img", "hil/bcm2710-rpi-3-b.dtb"])
def test_os_prefix_is_ignored_unless_kernel_and_dtb_are_there(missing: str) -> None:
    """Silently, and back to the old kernel: the worst way to fail."""
    plan = hil(changed={missing: None})
    assert (plan.kernel, plan.dtb, plan.cmdline) == ("kernel8.img", "bcm2710-rpi-3-b.dtb", CMDLINE.strip())
    assert (plan.os_prefix, plan.os_prefix_ignored) == ("", f"{missing} is missing")
    assert plan.remarks == (f"config.txt:1: os_prefix hil/ is ignored: {missing} is missing",)


def test_os_prefix_may_be_half_a_file_name() -> None:
    files: dict[str, bytes | None] = {"test-kernel8.img": ARM64, "test-bcm2710-rpi-3-b.dtb": b"dtb"}
    assert planned("arm_64bit=1\nos_prefix=test-", files).kernel == "test-kernel8.img"


def test_an_absolute_name_bypasses_the_prefix() -> None:
    plan = hil("os_prefix=hil/\narm_64bit=1\nkernel=/kernel8.img\ncmdline=/cmdline.txt\n")
    assert (plan.kernel, plan.dtb, plan.os_prefix) == ("kernel8.img", "hil/bcm2710-rpi-3-b.dtb", "hil/")
    assert plan.cmdline == CMDLINE.strip()


def test_a_command_line_missing_under_the_prefix_is_empty() -> None:
    plan = hil(changed={"hil/cmdline.txt": None})
    assert plan.cmdline == ""
    assert "hil/cmdline.txt is missing" in plan.remarks[0]


def test_overlays_are_shared_unless_the_prefix_has_their_readme() -> None:
    config = "os_prefix=hil/\narm_64bit=1\ndtoverlay=disable-bt\n"
    shared = hil(config)
    assert shared.overlays[0].path == "overlays/disable-bt.dtbo"
    assert shared.remarks == ("hil/overlays/README is missing: overlays come from overlays/",)
    plan = hil(config, {"hil/overlays/README": b"", "hil/overlays/disable-bt.dtbo": b"dtbo"})
    assert (plan.overlays[0].path, plan.overlay_prefix) == ("hil/overlays/disable-bt.dtbo", "hil/overlays/")


def test_tryboot_reads_the_other_file() -> None:
    files: dict[str, bytes | None] = {**PREFIXED, "tryboot.txt": b"os_prefix=hil/\narm_64bit=1\n"}
    stock = Files(card(None, files))
    assert firmware.plan(stock, PI3).kernel == "kernel7.img"
    plan = firmware.plan(stock, PI3, tryboot=True)
    assert (plan.kernel, plan.config) == ("hil/kernel8.img", "tryboot.txt")


# --- device tree -----------------------------------------------------------------------------------------------------
def test_the_upstream_name_is_not_looked_for_unasked() -> None:
    files: dict[str, bytes | None] = {"bcm2710-rpi-3-b.dtb": None, "bcm2837-rpi-3-b.dtb": b"dtb"}
    assert planned("arm_64bit=1", files).dtb is None
    plan = planned("arm_64bit=1\nupstream_kernel=1", files)
    assert (plan.dtb, plan.overlays) == ("bcm2837-rpi-3-b.dtb", ())


def test_upstream_kernel_has_a_prefix_of_its_own_and_an_overlay_for_downstream_dtbs() -> None:
    files: dict[str, bytes | None] = {"upstream/kernel8.img": ARM64, "upstream/bcm2710-rpi-3-b.dtb": b"dtb"}
    plan = planned("arm_64bit=1\nupstream_kernel=1", files)
    assert (plan.kernel, plan.dtb) == ("upstream/kernel8.img", "upstream/bcm2710-rpi-3-b.dtb")
    assert [overlay.name for overlay in plan.overlays] == ["upstream"]


def test_device_tree_names_the_dtb() -> None:
    files: dict[str, bytes | None] = {"dtbs/my.dtb": b"dtb"}
    assert planned("arm_64bit=1\ndevice_tree=dtbs/my.dtb", files).dtb == "dtbs/my.dtb"
    assert not planned("arm_64bit=1\ndevice_tree=", files).bootable


def test_parameters_belong_to_the_overlay_before_them() -> None:
    plan = planned(
        "dtparam=audio=on,i2c\ndtoverlay=disable-bt,a=1\ndtparam=b=2\ndtoverlay=\ndtparam=spi=on\ndtoverlay=gone\n"
    )
    assert plan.dtparams == (("audio", "on"), ("i2c", "on"), ("spi", "on"))
    assert [(overlay.name, overlay.path, overlay.params) for overlay in plan.overlays] == [
        ("disable-bt", "overlays/disable-bt.dtbo", (("a", "1"), ("b", "2"))),
        ("gone", None, ()),
    ]
    assert plan.remarks == ("config.txt:6: overlay overlays/gone.dtbo is missing; the firmware goes on without",)


def test_a_pi_4_has_its_own_kms_overlay_and_old_names_still_work() -> None:
    assert planned(CONFIG, board=PI4).overlays[0].path == "overlays/vc4-fkms-v3d-pi4.dtbo"
    assert planned("dtoverlay=vc4-fkms-v3d").overlays[0].path == "overlays/vc4-fkms-v3d.dtbo"
    assert planned("dtoverlay=pi3-disable-bt").overlays[0].path == "overlays/disable-bt.dtbo"


# --- the rest --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("initramfs a.gz,b.gz followkernel", ("a.gz", "b.gz")),
        ("ramfsfile=b.gz", ("b.gz",)),
        ("initramfs gone.gz followkernel", ()),
        ("auto_initramfs=1", ("initramfs8",)),
        ("auto_initramfs=1\ninitramfs a.gz followkernel", ("a.gz",)),
        ("auto_initramfs=0", ()),
    ],
)
def test_an_initramfs_is_loaded_where_there_is_one(line: str, found: tuple[str, ...]) -> None:
    files: dict[str, bytes | None] = {"a.gz": b"a", "b.gz": b"b", "initramfs8": b"8"}
    assert firmware.plan(Files(card(f"arm_64bit=1\n{line}", files)), PI3).initramfs == found


def test_surprises_are_remarked() -> None:
    files: dict[str, bytes | None] = {"cmdline.txt": b"init=/usr/lib/raspi-config/init_resize.sh", "autoboot.txt": b""}
    remarks = planned("armstub=armstub8-gic.bin", files).remarks
    assert len(remarks) == 3
    assert remarks[0].startswith("the command line starts init=/usr/lib/raspi-config/init_resize.sh")


def test_settings_for_the_board_are_numbers() -> None:
    plan = planned("total_mem=512\nenable_uart=1\n")
    assert (plan.total_mem_mib, plan.enable_uart) == (512, True)
    assert (planned().total_mem_mib, planned().enable_uart) == (None, None)


def test_a_plan_is_ready_for_json_and_for_people() -> None:
    plan = planned("os_prefix=hil/\narm_64bit=1\ndtoverlay=disable-bt,a=1\n")
    told = json.loads(json.dumps(explain.describe(plan)))
    assert told["kernel"] == "kernel8.img"
    assert told["decided"][0] == {
        "what": "arm_64bit", "value": "1", "file": "config.txt", "line": 2, "text": "arm_64bit=1"
    }  # fmt: skip
    text = explain.explain(plan)
    assert text.startswith("rpi-3-b boots\n")
    assert "<- config.txt:2: arm_64bit=1" in text
    assert "overlays/disable-bt.dtbo with a=1" in text
    assert "config.txt:1: os_prefix hil/ is ignored: hil/kernel8.img is missing" in text


CONFIGS = st.lists(
    st.one_of(
        st.binary(max_size=100),
        st.sampled_from(
            b"kernel= kernel=/ os_prefix=/ os_prefix=hil/ device_tree= dtoverlay=,, dtoverlay=: dtparam=,= initramfs "
            b"ramfsfile=, total_mem=x kernel_address=- cmdline= overlay_prefix= upstream_kernel=1 arm_64bit=1 "
            b"auto_initramfs=1 include\x20config.txt [all] [pi3] [tryboot]".split(b" ")
        ),
    ),
    max_size=10,
).map(b"\n".join)


@settings(max_examples=100, deadline=None)
@given(CONFIGS, st.sampled_from(boards.names()), st.booleans())
def test_any_config_gives_a_plan(config: bytes, name: str, tryboot: bool) -> None:
    """And a plan that does not boot says why; one that boots has a kernel."""
    board = boards.load(name)
    plan = firmware.plan(Files({**STOCK, "config.txt": config, "tryboot.txt": config}), board, tryboot=tryboot)
    assert plan.bootable == (plan.reason == "")
    assert plan.kernel is not None or not plan.bootable
    json.dumps(explain.describe(plan))
    assert explain.explain(plan)
