import json
from pathlib import Path

import pytest
import tinycard

from harness import cli

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def card(tmp_path_factory) -> Path:
    return tinycard.make(tmp_path_factory.mktemp("card") / "card.img", tinycard.healthy())


def test_bootfs_names_the_kernel_and_the_line_that_decided(card, capsys) -> None:
    assert cli.main(["bootfs", str(card), "--model", "rpi-3-b"]) == 0
    output = capsys.readouterr().out
    assert "kernel8.img" in output
    assert "config.txt:1: arm_64bit=1" in output


def test_bootfs_of_a_folder_is_that_of_a_card(card, tmp_path, capsys) -> None:
    for name in ("start.elf", "kernel8.img", tinycard.DTB["bcm2837"]):
        (tmp_path / name).write_bytes(tinycard.healthy())
    (tmp_path / "config.txt").write_text(tinycard.CONFIG)
    assert cli.main(["bootfs", str(tmp_path), "--model", "rpi-3-b", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kernel"] == "kernel8.img"


def test_bootfs_of_a_card_that_cannot_boot_says_why_and_returns_1(tmp_path, capsys) -> None:
    (tmp_path / "start.elf").write_bytes(b"")
    assert cli.main(["bootfs", str(tmp_path), "--model", "rpi-3-b"]) == 1
    assert "kernel" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bootfs", "/nowhere.img", "--model", "rpi-3-b"], "/nowhere.img: no such file or folder"),
        (["bootfs", "/dev/null", "--model", "rpi-3-b"], "not a card image"),
        (["bootfs", ".", "--model", "rpi-9"], "no board model `rpi-9`"),
        (["classify", "/nowhere.log"], "/nowhere.log: No such file or directory"),
    ],
)
def test_a_users_mistake_is_one_clear_line_and_status_2(arguments: list[str], message: str, capsys) -> None:
    assert cli.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_classify_prints_one_json_object_a_log(capsys) -> None:
    logs = [str(DATA / f"raspi3b-{name}.log") for name in ("healthy", "no-root")]
    assert cli.main(["classify", "--json", *logs]) == 1
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["verdict"], first["last_stage"]) == ("PASS", "login")
    assert second["findings"][-1]["severity"] == "fatal"


def test_hostile_bytes_in_a_log_do_not_reach_the_terminal(tmp_path, capsys) -> None:
    log = tmp_path / "hostile.log"
    log.write_bytes(b"Booting Linux on physical CPU 0x0\nKernel panic - not syncing: \x1b]0;owned\x07\n")
    cli.main(["classify", str(log)])
    assert "\x1b" not in capsys.readouterr().out
