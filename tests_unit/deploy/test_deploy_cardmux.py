"""Deploying onto a card behind a mux: a served bench at the other end, with its real boards in QEMU."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import pytest
import tinycard
from labgrid import Environment, Target
from servedbench import Served, bench

from harness import boards
from harness.card import layout
from harness.card.fat import FatPartition
from harness.card.slot import CardImage
from harness.cli.bench import lab_yaml
from harness.deploy.cardmux import MuxedCardImageDriver, NetworkCardMux, NetworkCardMuxDriver
from harness.errors import ConfigError, LabError
from harness.lab import config
from harness.lab.targets import strategy_of
from harness.model import Account, BaseImage, BootFile, BootFiles, Deadlines
from harness.strategy import Assignment, RaspberryPiStrategy

AMPLE = Deadlines(firmware=60, kernel=60, rootfs=60, init=60, login=60, silence=60)


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    card = tinycard.make(tmp_path_factory.mktemp("base") / "base.img", None)
    found = layout.find(card)
    return BaseImage(card, found.boot.start_bytes, 1, found.root.start_bytes, 2, 32, "tiny", "a test")


@pytest.fixture
def served(tmp_path, monkeypatch):
    monkeypatch.setenv("PI64_CACHE", str(tmp_path / "cache"))
    with bench("one") as served:
        yield served


@pytest.fixture
def board(served, tmp_path, base):
    """A board with a deploy driver on its target."""
    with _with_deploy(served, tmp_path, base) as board:
        yield board


@contextmanager
def _with_deploy(served, tmp_path: Path, base: BaseImage, **words: str) -> Iterator[Served]:
    board = Served(served.addresses[0], tmp_path, **words)
    CardImage(board.target, name=None, file=str(board.address.card))
    board.medium = MuxedCardImageDriver(board.target, name=None)
    with board:
        board.target.activate(board.medium)
        board.medium.use(base)
        yield board
        board.target.deactivate(board.medium)


def files(tmp_path: Path, release: str = "6.12.1-test", *, size: int = 0) -> BootFiles:
    root = tmp_path / f"modules-{release}"
    folder = root / "lib" / "modules" / release
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "modules.order").write_text("dummy.ko\n")
    kernel = tinycard.healthy(release) + bytes(size)
    return BootFiles(
        (BootFile(PurePosixPath("kernel8.img"), data=kernel),), release, root, layout="in-place", os_prefix=""
    )


def test_what_is_deployed_boots_and_the_host_has_no_card_then(board, tmp_path) -> None:
    assert board.medium.deploy(files(tmp_path)).written
    assert (board.mux.get_mode(), board.address.card.exists()) == ("dut", False)
    board.boot()
    assert "Linux version 6.12.1-test" in board.recorder.log.read_text()


def test_the_same_files_again_write_nothing_and_hand_the_card_over_again(served, board, tmp_path) -> None:
    board.medium.deploy(files(tmp_path))
    turns = served.boards[0].mux.turns
    assert board.medium.deploy(files(tmp_path)).written == ()
    assert (board.mux.get_mode(), served.boards[0].mux.turns) == ("dut", turns + 1)


def test_a_deploy_that_fails_leaves_the_card_with_the_host(board, tmp_path) -> None:
    board.medium.deploy(files(tmp_path))
    with pytest.raises(LabError):
        board.medium.deploy(files(tmp_path, "6.12.2-large", size=32 << 20))
    assert board.mux.get_mode() == "host"
    board.medium.deploy(files(tmp_path, "6.12.3-next"))
    board.boot()
    assert "Linux version 6.12.3-next" in board.recorder.log.read_text()


def test_nothing_is_written_while_the_board_is_on(board, tmp_path) -> None:
    board.medium.deploy(files(tmp_path))
    board.boot()
    with pytest.raises(LabError, match="the card mux refuses") as caught:
        board.medium.deploy(files(tmp_path, "6.12.2-new"))
    assert "its power is on" in caught.value.evidence[0]
    assert not board.address.card.exists()
    assert board.echo(b"alive") == b"alive"


def test_the_stock_system_comes_back_onto_the_card(board, tmp_path, base) -> None:
    board.medium.deploy(files(tmp_path))
    board.medium.restore()
    assert board.mux.get_mode() == "dut"
    board.mux.set_mode("host")
    names = {str(path) for path in FatPartition(board.address.card, base.boot_offset).sizes()}
    assert "config.txt" in names
    assert "kernel8.img" not in names


@pytest.mark.parametrize("protocol", ["rfc2217", "raw"])
def test_the_ladder_leads_up_and_round_on_a_served_board(served, tmp_path, base, protocol: str) -> None:
    with _with_deploy(served, tmp_path, base, protocol=protocol) as board:
        board.recorder.stop()  # the ladder has its own
        ladder = RaspberryPiStrategy(board.target, name=None)
        ladder.prepare(Assignment(tmp_path / "record", Account("pi", "x"), AMPLE), base)
        for release in ("6.12.1-old", "6.12.2-new"):
            ladder.files = files(tmp_path, release)
            ladder.transition("off")
            assert ladder.transition("booted") == ["deployed", "booted"]
            assert list(ladder.boot.stages) == ["firmware", "kernel", "rootfs", "init", "login"]
            assert f"Linux version {release}" in ladder.boot.log.read_text().split("Starting ARM")[-1]
        assert ladder.cold_boot().reached
        ladder.close()
        assert ladder.still_on == ""
    assert served.boards[0].powered is False


def test_the_printed_lab_yaml_is_one_that_labgrid_and_pi64_take(served, tmp_path) -> None:
    path = tmp_path / "lab.yaml"
    path.write_text(lab_yaml(served.addresses, boards.load("rpi-3-b")))
    assert config.load(path).features["one"] == {"virtual"}
    strategy = strategy_of(Environment(str(path)), "one")
    assert type(strategy.medium) is MuxedCardImageDriver
    assert strategy.medium.slot.path == served.addresses[0].card
    strategy.target.activate(strategy.medium)
    assert strategy.medium.mux.get_mode() == "host"
    strategy.close()


def test_drivers_in_the_wrong_order_are_a_fault_of_lab_yaml(served, tmp_path) -> None:
    """labgrid binds in the order of the file: without its mux the driver would write to a card that is not there."""
    path = tmp_path / "lab.yaml"
    text = lab_yaml(served.addresses, boards.load("rpi-3-b")).replace("      NetworkCardMuxDriver: {}\n", "")
    path.write_text(text)
    with pytest.raises(ConfigError, match="NetworkCardMuxDriver"):
        strategy_of(Environment(str(path)), "one")


# --- a mux that is none ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("status", "answer", "message"),
    [(200, "<html>Router</html>", "is no card mux: it answers '<html>Router</html>'"), (404, "nothing", "refuses")],
)
def test_a_server_that_is_no_mux_is_told(status: int, answer: str, message: str) -> None:
    with _server(lambda _: (status, answer)) as url, pytest.raises(LabError, match=message):
        _driver(url).get_mode()


def test_a_mux_that_answers_and_does_not_switch_is_found_out() -> None:
    with (
        _server(lambda _: (200, "dut")) as url,
        pytest.raises(LabError, match="was switched to host and stays at dut"),
    ):
        _driver(url).set_mode("host")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/card/{index}/mode", "http://127.0.0.1:99999/card/1/mode"])
def test_a_mux_that_does_not_answer_is_told_with_the_next_step(url: str) -> None:
    with pytest.raises(LabError, match="does not answer") as caught:
        _driver(url).get_mode()
    assert "pi64 bench" in caught.value.hint


def test_no_proxy_of_the_environment_gets_between(monkeypatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with _server(lambda _: (200, "host")) as url:
        assert _driver(url).get_mode() == "host"


def test_a_deploy_driver_whose_mux_is_gone_says_so_at_once_and_makes_no_folder(tmp_path) -> None:
    target = _driver("http://127.0.0.1:1/card/1/mode").target
    CardImage(target, name=None, file=str(tmp_path / "gone" / "card.img"))
    medium = MuxedCardImageDriver(target, name=None)
    with pytest.raises(LabError, match="does not answer"):
        target.activate(medium)
    assert not (tmp_path / "gone").exists()


def _driver(url: str) -> NetworkCardMuxDriver:
    target = Target("tiny")
    NetworkCardMux(target, name=None, host=url, index=1)
    driver = NetworkCardMuxDriver(target, name=None)
    target.activate(driver)
    return driver


@contextmanager
def _server(answer) -> Iterator[str]:
    """An HTTP server that answers everything the same."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, text = answer(self.path)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        do_PUT = do_GET  # noqa: N815 - http.server's way

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/card/{{index}}/mode"
        server.shutdown()
        thread.join()
