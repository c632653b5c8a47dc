"""The far end of a card: what another computer answers is checked, whatever it is."""

import sys
from pathlib import Path

import pytest

from harness import host
from harness.deploy import exporter
from harness.deploy.cardwork import Found
from harness.deploy.exporter import START, Far
from harness.errors import DeployError, LabError, Pi64Error, UsageError

SINK = (
    "import sys\nfrom_us = sys.stdin.buffer\nn = int(from_us.readline())\nfrom_us.read(n)\nasked = from_us.readline()\n"
)


def far(script: str) -> Far:
    return Far("bench", [sys.executable, "-c", SINK + script])


def ask(script: str, said: list[str] | None = None) -> object:
    with far(script) as there:
        return there.call("look", progress=(said if said is not None else []).append, place={}, sizes={})


def test_our_own_code_runs_there_without_anything_installed(tmp_path: Path) -> None:
    """-S and -I: no site-packages, no PYTHONPATH, no current folder."""
    python = [sys.executable, "-S", "-I", "-c", START]
    with Far("bench", python) as there, pytest.raises(LabError, match=r"bench: no card at the host's side after 0 s"):
        there.call(
            "restore",
            progress=host.silent,
            place={
                "device": str(tmp_path / "nothing"), "timeout_s": 0, "what": "it", "boot_offset": 1, "root_offset": 2,
                "origin": "image",
            },
        )  # fmt: skip


def test_what_a_login_script_says_is_not_the_answer() -> None:
    assert ask("print('Welcome!'); print('[1]'); print('{\"result\": 42}')") == 42


def test_progress_is_told_as_it_comes_and_cut_to_a_line() -> None:
    said: list[str] = []
    ask("import json; print(json.dumps({'progress': 'x' * 999})); print('{\"result\": null}')", said)
    assert said == ["x" * 200]


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("LabError", LabError),
        ("UsageError", UsageError),
        ("DeployError", DeployError),
        ("SystemExit", LabError),
        (7, LabError),
    ],
)
def test_an_error_is_raised_as_what_it_is_if_it_is_one_of_ours(kind: object, error: type[Pi64Error]) -> None:
    script = f"import json; print(json.dumps({{'error': {{'kind': {kind!r}, 'message': 'm', 'evidence': 3}}}}))"
    with pytest.raises(Pi64Error, match="bench: m") as caught:
        ask(script)
    assert type(caught.value) is error


@pytest.mark.parametrize("script", ["", "print('no JSON')", "print('{\"other\": 1}')", "sys.exit('Permission denied')"])
def test_no_answer_is_the_benchs_fault_with_the_last_words(script: str) -> None:
    with pytest.raises(LabError, match="bench: no answer about the card") as caught:
        ask(script)
    assert caught.value.evidence == (("Permission denied",) if "denied" in script else ())


def test_a_far_end_that_stops_reading_does_not_hang_us() -> None:
    """A payload larger than any pipe, and somebody who says no before it has come."""
    with far('print(\'{"error": {"message": "card full"}}\')') as there, pytest.raises(LabError, match="card full"):
        there.call("write", progress=host.silent, payload=(bytes(1 << 20) for _ in range(64)))


@pytest.mark.parametrize(
    "change",
    [
        {"listed": {"boot": {"../../etc/passwd": "0"}, "modules": {}}},
        {"listed": {"boot": []}},
        {"listed": None},
        {"releases": ["6.12", 7]},
        {"texts": {"config.txt": 1}},
        {"more": "than there should be"},
    ],
)
def test_a_card_that_makes_no_sense_is_refused(change: dict[str, object]) -> None:
    told = {"texts": {}, "live": "", "listed": {"boot": {}, "modules": {}}, "ours": [], "releases": []}
    assert Found(**told).releases == ()
    with pytest.raises((TypeError, ValueError)):
        Found(**{**told, **change})


def test_a_link_is_sent_as_a_link(tmp_path: Path) -> None:
    (tmp_path / "build").symlink_to("/usr/src/linux")
    (tmp_path / "m.ko").write_bytes(b"module")
    contents = {"build": tmp_path / "build", "m.ko": tmp_path / "m.ko", "config.txt": b"text"}
    assert exporter.entries(contents) == [("build", "/usr/src/linux"), ("m.ko", 6), ("config.txt", 4)]
    assert b"".join(exporter.stream(contents)) == b"moduletext"
