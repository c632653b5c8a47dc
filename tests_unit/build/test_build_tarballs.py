"""The table of toolchains: what is shipped, what a user adds, and what is refused."""

import re
import tomllib
from pathlib import Path

import pytest

from harness import host
from harness.build import download, tarballs
from harness.errors import ConfigError, LabError, UsageError

SHIPPED = tomllib.loads(tarballs.SHIPPED.read_text())


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PI64_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "toolchains.toml"


@pytest.mark.parametrize("name", ["", *SHIPPED["toolchain"]])
def test_every_shipped_toolchain_has_both_parts(name: str) -> None:
    assert [part.part for part in tarballs.entry(name)] == ["binutils", "gcc"]


def test_the_guides_versions_are_among_them() -> None:
    assert [part.version for part in tarballs.entry("guide")] == ["2.32", "9.1.0"]


@pytest.mark.parametrize("part", tarballs.PARTS)
def test_every_shipped_url_names_its_version_and_has_a_checksum(part: str) -> None:
    for version, entry in SHIPPED[part].items():
        if "url" in entry:
            assert f"{part}-{version}.tar." in entry["url"]
            assert re.fullmatch("[0-9a-f]{64}", entry["sha256"])


def test_a_user_adds_a_toolchain_of_known_parts(table: Path) -> None:
    table.write_text('[toolchain.mixed]\nbinutils = "2.45"\ngcc = "9.1.0"\n')
    assert [part.version for part in tarballs.entry("mixed", table)] == ["2.45", "9.1.0"]


def test_a_users_entry_wins_over_ours(table: Path) -> None:
    table.write_text('default = "guide"\n[gcc."9.1.0"]\nfile = "/srv/gcc-9.1.0.tar.xz"\n')
    assert tarballs.entry("", table)[1].file == "/srv/gcc-9.1.0.tar.xz"


def test_a_table_that_is_not_there_adds_nothing(table: Path) -> None:
    assert tarballs.entry("guide", table) == tarballs.entry("guide")


def test_an_unknown_name_lists_the_known_ones_and_the_nearest() -> None:
    with pytest.raises(UsageError, match="known: current, gcc-14, guide, distribution") as caught:
        tarballs.entry("gide")
    assert caught.value.hint == "did you mean built:guide?"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("default = ", "not TOML"),
        ("[tolchain.x]", "unknown key `tolchain`"),
        ("toolchain = 3", "`toolchain` must be a dict"),
        ('[toolchain.x]\ngcc = "9.1.0"', "key `binutils` is missing"),
        ('[toolchain.x]\ngcc = "9.1.0"\nbinutils = 2.32', "`binutils` must be a str"),
        ('[toolchain.x]\ngcc = "9.1.0"\nbinutils = "1.0"', r"there is no \[binutils.'1.0'\]"),
        ('[toolchain.x]\ngcc = "a"\nbinutils = "2.32"\n[gcc.a]\n', "needs either `url` or `file`"),
        ('[toolchain.x]\ngcc = "a"\nbinutils = "2.32"\n[gcc.a]\nurl = "https://x/y"\n', "needs its `sha256`"),
        ('[toolchain.x]\ngcc = "a"\nbinutils = "2.32"\n[gcc.a]\nurl = "u"\nshasum = "x"\n', "unknown key `shasum`"),
    ],
)
def test_a_table_with_a_mistake_is_refused(table: Path, text: str, wrong: str) -> None:
    table.write_text(text)
    with pytest.raises(ConfigError, match=wrong):
        tarballs.entry("x", table)


def test_a_pattern_takes_the_newest_by_number(tmp_path: Path) -> None:
    for version in ("12.2.0", "9.5.0", "12.10.0"):
        (tmp_path / f"gcc-{version}-dfsg.tar.xz").write_text(version)
    (tmp_path / "gcc-99.0.0.txt").touch()
    found = tarballs.find(tarballs.Part("gcc", "distribution", file=f"{tmp_path}/gcc-*"))
    assert (found.version, found.sha256) == ("12.10.0", host.sha256(tmp_path / "gcc-12.10.0-dfsg.tar.xz"))


def test_a_package_that_is_not_installed_is_named(tmp_path: Path) -> None:
    part = tarballs.Part("gcc", "distribution", file=f"{tmp_path}/gcc-*", package="gcc-12-source")
    with pytest.raises(LabError) as caught:
        tarballs.find(part)
    assert caught.value.hint.startswith("apt-get install gcc-12-source, or")


def test_a_file_with_another_checksum_is_refused(tmp_path: Path) -> None:
    (tmp_path / "gcc-9.tar.xz").touch()
    with pytest.raises(UsageError, match="has SHA-256 e3b0c442"):
        tarballs.find(tarballs.Part("gcc", "9", file=f"{tmp_path}/gcc-9.tar.xz", sha256="0" * 64))


def test_a_url_is_not_asked_before_it_is_needed(cache: Path) -> None:
    found = tarballs.find(tarballs.entry("guide")[1])
    assert (found.path, found.version) == (cache / "downloads/gcc-9.1.0.tar.xz", "9.1.0")
    assert not found.path.exists()


def test_a_download_that_was_damaged_since_is_fetched_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(download, "fetch", lambda url, *_: asked.append(url))
    found = tarballs.find(tarballs.entry("guide")[1])
    found.path.write_bytes(b"damaged")
    found.fetch()
    assert not found.path.exists()
    assert asked == ["https://ftp.gnu.org/gnu/gcc/gcc-9.1.0/gcc-9.1.0.tar.xz"]
