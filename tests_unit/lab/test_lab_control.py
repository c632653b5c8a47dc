"""Which kernel is known to be good, and when its boot would tell more."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.build import store
from harness.errors import UsageError
from harness.lab import control
from harness.model import BootRecord, Verdict, VerdictName
from harness.report.record import RunRecord, to_json
from harness.verdict.attempts import Evidence
from harness.verdict.clues import Raised

GOOD = BootRecord("pi", {"kernel": 0.3, "login": 20.0}, True, "", (), Path("console.log"), 1)
HUNG = BootRecord("pi", {"kernel": 0.3}, False, "60 s without a byte", (), Path("console.log"), 1)
MUTE = BootRecord("pi", {}, False, "60 s without a byte", (), Path("console.log"), 1)
LOST = Raised("LAB", "the line is lost")


@pytest.fixture
def kernels(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("PI64_CACHE", str(tmp_path / "cache"))
    for key in ("aaaa1111", "aaaa2222", "bbbb3333"):
        keep(tmp_path / "cache" / "kernels" / key)
    return tmp_path / "cache" / "kernels"


def keep(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "Image").write_bytes(b"kernel")
    source = {"path": "/src", "flavour": "mainline", "version": "6.12", "origin": "a folder", "digest": "0"}
    toolchain = {"name": "gcc", "cross_prefix": "", "version": "12", "digest": "0"}
    record = {"release": f"6.12-{folder.name}", "build_id": "00", "seconds": 9.0, "modules": [], "source": source}
    record |= {"toolchain": toolchain, "base_config": "allnoconfig", "fragments": ["smoke"]}
    store.seal(folder, record)


def ran(runs: Path, name: str, key: str, *, target: str = "pi", verdict: str = "PASS") -> None:
    record = RunRecord(name, target, f"2026-07-01T{name}", build_key=key, verdict=Verdict(VerdictName(verdict), "x"))
    (runs / name).mkdir(parents=True)
    (runs / name / "run.json").write_text(to_json(record))


@pytest.mark.parametrize("word", ["bbbb3333", "bb"])
def test_a_kernel_is_known_by_its_key_or_by_the_beginning_of_it(kernels, word) -> None:
    found = store.known(word)
    assert (found.release, found.key, found.cached, found.image.read_bytes()) == (
        "6.12-bbbb3333",
        "bbbb3333",
        True,
        b"kernel",
    )


def test_a_kernel_is_known_by_its_folder(kernels) -> None:
    assert store.known(str(kernels / "bbbb3333")).key == "bbbb3333"


@pytest.mark.parametrize(
    ("word", "fact"), [("aaaa", "more than one such kernel"), ("cccc", "no such kernel"), ("*", "no such kernel")]
)
def test_a_word_that_fits_none_or_several_is_refused_with_those_that_are_there(kernels, word, fact) -> None:
    with pytest.raises(UsageError, match=fact.replace("*", r"\*")) as caught:
        store.known(word)
    assert "bbbb3333  6.12-bbbb3333" in caught.value.evidence


def test_a_kernel_whose_files_were_changed_is_refused(kernels) -> None:
    (kernels / "bbbb3333" / "Image").write_bytes(b"worn out")
    with pytest.raises(UsageError, match="was changed"):
        store.known("bbbb")


def test_last_is_the_newest_run_on_this_target_that_passed_and_whose_kernel_is_there(kernels, tmp_path) -> None:
    runs = tmp_path / "runs"
    ran(runs, "01:00:00Z", "aaaa1111")
    ran(runs, "02:00:00Z", "bbbb3333")
    ran(runs, "03:00:00Z", "gone")
    ran(runs, "04:00:00Z", "aaaa2222", verdict="KERNEL")
    ran(runs, "05:00:00Z", "aaaa2222", target="other")
    (runs / "06").mkdir()
    (runs / "06" / "run.json").write_text("{")
    (runs / "latest").symlink_to("05:00:00Z")
    assert control.known_good("last", runs=runs, target="pi").key == "bbbb3333"


def test_without_such_a_run_the_hint_says_how_to_name_one(kernels, tmp_path) -> None:
    with pytest.raises(UsageError, match="no run on pi") as caught:
        control.known_good("last", runs=tmp_path / "runs", target="pi")
    assert "key or folder" in caught.value.hint


def test_a_target_on_which_nothing_is_deployed_has_no_control_boot() -> None:
    bare = SimpleNamespace(medium=None, target=SimpleNamespace(name="iron"))
    with pytest.raises(UsageError, match="iron: --known-good needs a deploy method"):
        control.need_medium(bare)


@pytest.mark.parametrize(
    ("expected", "verdict", "boots", "errors"),
    [
        (False, "PASS", [GOOD], []),
        (True, "KERNEL", [HUNG], []),
        (True, "DEPLOY", [GOOD, HUNG], []),
        (True, "INCONCLUSIVE", [HUNG], []),
        (True, "LAB", [MUTE], []),
        (False, "LAB", [HUNG], [LOST]),
        (False, "LAB", [MUTE], [LOST]),
        (False, "KERNEL", [GOOD], []),
        (False, "BUILD", [], []),
    ],
)
def test_a_control_boot_is_due_when_it_can_tell_more(expected, verdict, boots, errors) -> None:
    kept = Evidence(tuple(boots), (), tuple(errors))
    assert control.due(Verdict(VerdictName(verdict), "x"), kept) is expected
