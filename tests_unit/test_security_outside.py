"""Names and words from cards, servers and coordinators: none leads out of its folder, none drives a terminal."""

import json
import socket
import threading
from pathlib import Path, PurePosixPath
from types import SimpleNamespace

import pytest
import tinycard
from pluginbench import Bench
from smallcard import MIB

from harness import cli
from harness.card import layout
from harness.card.fat import FatPartition
from harness.errors import LabError
from harness.lab.doctor import answer
from harness.lab.doctor.bench import Bench as Doctored
from harness.lab.doctor.parts import network
from harness.lab.places import Lab

pytest_plugins = ["pluginfixtures"]

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m"


def clean(text: str) -> bool:
    """Whether nothing in *text* is what a terminal obeys."""
    return not [char for char in text if not char.isprintable() and char not in "\n\t"]


@pytest.fixture
def card(tmp_path) -> Path:
    """A card with a file whose long name holds an escape and a bell, as no mtools would write it."""
    card = tinycard.make(tmp_path / "card.img", tinycard.healthy())
    name = "ownedQQQQ-somebody.dtb"  # a record of FAT holds five, six and two characters of a long name
    tinycard.put(card, name, b"x")
    data, wanted = card.read_bytes(), "QQQQ".encode("utf-16-le")
    assert wanted in data
    card.write_bytes(data.replace(wanted, "\x1b[2J".encode("utf-16-le")))
    return card


def test_a_name_with_escapes_on_a_card_is_shown_in_plain_text(card, capsys) -> None:
    names = [str(path) for path in FatPartition(card, MIB).sizes()]
    assert any("\x1b[2J" in name for name in names)
    tinycard.put(card, "config.txt", f"{tinycard.CONFIG}device_tree=owned\x1b[2J-none.dtb\nkernel=\x1b[2Jk\n".encode())
    for words in ([], ["--json"]):
        cli.main(["bootfs", str(card), "--model", "rpi-3-b", *words])
        output = "".join(capsys.readouterr())
        assert clean(output)


@pytest.mark.parametrize("name", ["../secret.img", "/etc/hostname", "sub/../../secret.img"])
def test_a_config_txt_of_a_folder_reads_nothing_from_outside_of_it(tmp_path, name, capsys) -> None:
    (tmp_path / "secret.img").write_bytes(tinycard.healthy())
    folder = tmp_path / "boot"
    (folder / "sub").mkdir(parents=True)
    for known in ("start.elf", tinycard.DTB["bcm2837"]):
        (folder / known).write_bytes(b"x")
    (folder / "config.txt").write_text(f"arm_64bit=1\nkernel={name}\n")
    assert cli.main(["bootfs", str(folder), "--model", "rpi-3-b", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["kernel"] in {None, ""}


def test_a_label_of_a_card_that_is_no_text_is_told_in_plain_text(tmp_path, capsys) -> None:
    card = tmp_path / "\x1b[2J.img"
    card.write_bytes(b"\x1b[2J" * 4096)
    assert cli.main(["bootfs", str(card), "--model", "rpi-3-b"]) == 2
    assert clean("".join(capsys.readouterr()))


def test_a_hostile_ssh_banner_is_shown_in_plain_text() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            with server.accept()[0] as caller:
                caller.sendall(f"SSH-2.0-{ESCAPES}\r\n".encode())

        threading.Thread(target=greet, daemon=True).start()
        port = server.getsockname()[1]
        [found] = network._ssh(Doctored(Path("lab.yaml")), SimpleNamespace(address="127.0.0.1", port=port))
    assert "owned" in found.fact
    assert clean("".join(answer.lines(answer.clean(found))))


def test_what_a_coordinator_says_is_shown_in_plain_text() -> None:
    connection = SimpleNamespace(asked=SimpleNamespace(target="rpi3", address="127.0.0.1:1"))
    error = Lab.fault(connection, f"place {ESCAPES} is acquired", evidence=[f"by {ESCAPES}"])
    assert clean(str(error))


SAYS = f"""
import logging
import pytest
from harness.errors import LabError

@pytest.fixture
def broken(run):
    logging.getLogger("a driver").error("said %s", {ESCAPES!r})
    raise LabError({ESCAPES!r}, evidence=[{ESCAPES!r}], hint={ESCAPES!r})

def test_it(broken):
    pass
"""


def test_whatever_an_error_or_a_log_says_is_shown_in_plain_text(tmp_path, image) -> None:
    """A banner of SSH, a place's name, a program's last words: all come out here."""
    lab = Bench(tmp_path, image)
    result = lab.run(SAYS, "--junitxml=own.xml", "-o", "junit_logging=all")
    output = f"{result.stdout}\n{result.stderr}"
    assert output.count("owned") >= 4
    assert clean(output)
    for path in (lab.path / "own.xml", lab.folder / "run.json", lab.folder / "report.html"):
        assert clean(path.read_text()), path


def test_no_name_with_a_line_break_becomes_a_command_on_a_card(tmp_path) -> None:
    card = tinycard.make(tmp_path / "card.img", None)
    with pytest.raises(LabError, match="not a name for the boot partition"):
        FatPartition(card, layout.find(card).boot.start_bytes).write({PurePosixPath("a\nmdel b"): b""})
