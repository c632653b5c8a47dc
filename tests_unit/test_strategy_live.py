"""The ladder of a board that runs while something is deployed to it: real QEMU, tiny kernels, tryboot by its firmware.

What SSH would do is left out: the driver here finds both kernels on the card already, and types the restart.
"""

import attr
import fakekernel
import pytest
import tinycard
from labgrid import Target
from labgrid.driver.common import Driver
from labgrid.protocol import ConsoleProtocol

from harness.card import layout
from harness.card.slot import CardImage
from harness.deploy.live import LiveDeployProtocol
from harness.errors import DeployError, LabError
from harness.model import Account, BaseImage, BootFiles, Deadlines, Manifest
from harness.strategy import Assignment, RaspberryPiStrategy
from harness.virtual.board import VirtualPiDriver

AMPLE = Deadlines(firmware=60, kernel=60, rootfs=60, init=60, login=60, silence=2)
STOCK, NEW = "6.12.1-stock", "6.12.2-new"
HANGS = fakekernel.image(f"Booting Linux on physical CPU 0x0\nLinux version {NEW} (x)\n", then="hang")


@attr.s(eq=False)
class TypedTryboot(Driver, LiveDeployProtocol):
    """A live driver whose kernels lie on the card; ``asked`` is what the ladder wanted of it, in order."""

    bindings = {"console": ConsoleProtocol}  # noqa: RUF012
    clean = True
    restores_live = True
    way_back = "take the card out"

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.asked: list[str] = []
        self.committed = False
        self.refuse = False
        self.stuck = False

    def use(self, base: BaseImage) -> None: ...

    def bare(self) -> None: ...

    def provide(self, files: BootFiles) -> None: ...

    def stock(self) -> dict[str, bytes]:
        return {"config.txt": b"stock"}

    def recover(self) -> None:
        self.asked.append("recover")

    def connect(self, console: object) -> str:
        self.asked.append("connect")
        return STOCK

    def disconnect(self) -> None:
        self.asked.append("disconnect")

    def deploy(self, files: BootFiles, *, progress: object) -> Manifest:
        self.asked.append("deploy")
        return Manifest({}, {}, (), 0.0)

    def step_back(self, files: BootFiles) -> bool:
        back, self.stuck = self.stuck, False
        return back

    def restart(self) -> None:
        self.asked.append("restart")
        self.console.write(b"~")

    def commit(self, console: object) -> None:
        self.asked.append("commit")
        if self.refuse:
            raise DeployError("another kernel answers")
        self.committed = True

    def restore(self, *, progress: object) -> None:
        self.asked.append("restore")
        self.clean = True


class Bench:
    def __init__(self, folder, *, stock: bytes, new: bytes) -> None:
        card = tinycard.make(folder / "card.img", stock)
        tinycard.put(card, "tryboot.txt", f"{tinycard.CONFIG}kernel=new.img\n".encode(), "new.img", new)
        found = layout.find(card)
        base = BaseImage(card, found.boot.start_bytes, 1, found.root.start_bytes, 2, 32, "tiny", "a test")
        target = Target("tiny")
        CardImage(target, name=None, file=str(card))
        VirtualPiDriver(target, name=None, model="rpi-3-b")
        self.medium = TypedTryboot(target, name=None)
        self.ladder = RaspberryPiStrategy(target, name=None)
        self.ladder.prepare(Assignment(folder / "record", Account("pi", "x"), AMPLE), base)
        self.ladder.files = BootFiles((), NEW, folder, "side-by-side", "pi64/")

    @property
    def done(self) -> list[str]:
        """What was asked of the driver, but for letting go, which happens at every power cut."""
        return [word for word in self.medium.asked if word not in {"disconnect", "recover"}]

    def releases(self) -> list[str]:
        log = self.ladder.boot.log.read_text(errors="replace")
        return [line.split()[2] for line in log.splitlines() if line.startswith("Linux version")]


@pytest.fixture
def bench(tmp_path):
    made: list[Bench] = []

    def make(**kernels: bytes) -> Bench:
        made.append(Bench(tmp_path, **{"stock": tinycard.healthy(STOCK), "new": tinycard.healthy(NEW)} | kernels))
        return made[-1]

    yield make
    for each in made:
        each.ladder.close()


def test_the_stock_system_boots_first_and_then_the_new_kernel_by_tryboot(bench) -> None:
    it = bench()
    assert it.ladder.transition("booted") == ["deployed", "booted"]
    assert it.done == ["connect", "deploy", "restart", "commit"]
    assert it.releases() == [STOCK, NEW]


def test_the_boot_of_the_stock_system_tells_about_the_bench_and_not_about_the_new_kernel(bench) -> None:
    it = bench()
    it.ladder.transition("booted")
    stock, new = it.ladder.boots
    assert (stock.control, stock.release, stock.reached) == (True, STOCK, True)
    assert (new.control, new.reached) == (False, True)


def test_asking_for_the_stock_files_boots_the_stock_system_once(bench) -> None:
    it = bench()
    assert it.ladder.stock() == {"config.txt": b"stock"}
    it.ladder.transition("booted")
    assert it.releases() == [STOCK, NEW]


def test_a_kernel_that_hangs_is_not_committed_and_gone_after_a_power_cycle(bench) -> None:
    it = bench(new=HANGS)
    it.ladder.transition("booted")
    assert not it.ladder.boot.reached
    assert it.ladder.boot.reason.startswith("silent for 2 s after stage `kernel`")
    assert "commit" not in it.done
    it.ladder.transition("off")
    it.ladder.stock()
    assert it.releases() == [STOCK, NEW, STOCK]


def test_a_kernel_that_hung_is_tried_again_from_the_stock_system(bench) -> None:
    it = bench(new=HANGS)
    it.ladder.transition("booted")
    it.ladder.transition("booted")
    assert it.releases() == [STOCK, NEW, STOCK, NEW]


def test_a_committed_kernel_starts_cold_without_any_detour(bench) -> None:
    it = bench()
    it.ladder.transition("booted")
    assert it.ladder.cold_boot().reached
    assert it.done == ["connect", "deploy", "restart", "commit"]


def test_another_kernel_that_answers_ends_the_boot_with_the_power_off(bench) -> None:
    it = bench()
    it.medium.refuse = True
    with pytest.raises(DeployError, match="another kernel answers"):
        it.ladder.transition("booted")
    assert it.ladder.power.get() is False
    assert it.ladder.status.name == "off"


def test_a_stock_system_that_does_not_boot_is_the_labs_fault_with_the_way_back(bench) -> None:
    it = bench(stock=HANGS)
    with pytest.raises(LabError, match="tiny: the system that is there already does not boot: silent") as caught:
        it.ladder.transition("booted")
    assert caught.value.hint == "take the card out"
    assert it.ladder.boots[-1].control


def test_what_cannot_ask_for_tryboot_makes_way_for_the_stock_system_first(bench) -> None:
    it = bench()
    it.medium.stuck = True
    it.ladder.transition("booted")
    assert it.done == ["connect", "connect", "deploy", "restart", "commit"]
    assert it.releases() == [STOCK, STOCK, NEW]


def test_a_board_that_was_only_attached_to_is_not_restarted_to_be_asked(bench) -> None:
    it = bench()
    it.ladder.force("booted")
    assert it.ladder.stock() == {}
    assert it.done == []


def test_off_means_off_also_while_only_the_stock_system_runs(bench) -> None:
    it = bench()
    it.ladder.stock()
    it.ladder.transition("off")
    assert it.ladder.power.get() is False


def test_restore_boots_what_is_there_and_once_more_where_ours_was_running(bench) -> None:
    it = bench()
    it.medium.clean = False
    it.ladder.restore()
    assert it.done == ["connect", "restore", "connect", "restore"]
    assert it.ladder.power.get() is False
