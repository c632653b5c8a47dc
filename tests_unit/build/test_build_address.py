import re

import pytest

from harness.build import address
from harness.errors import UsageError

SUM = "0123456789abcdef" * 4

KINDS = {
    "linux": "path",
    "~/linux": "path",
    "./linux-6.12.tar.xz": "path",
    "a:b": "path",
    "package:linux-source-*": "package",
    "linux.git": "git",
    "git+linux": "git",
    "git+/srv/linux.tar.xz": "git",
    "https://github.com/raspberrypi/linux": "git",
    "https://github.com/raspberrypi/linux.git": "git",
    "git@github.com:raspberrypi/linux.git": "git",
    "git@github.com:raspberrypi/linux": "git",
    "ssh://git@host:2222/linux": "git",
    "file:///srv/linux.git": "git",
}


@pytest.mark.parametrize(("spec", "kind"), KINDS.items(), ids=KINDS)
def test_what_is_written_tells_its_kind(spec: str, kind: str) -> None:
    assert address.parse(spec).kind == kind


@pytest.mark.parametrize("suffix", address.TARBALLS)
def test_an_url_that_ends_like_a_tarball_is_one(suffix: str) -> None:
    found = address.parse(f"https://cdn.kernel.org/linux-6.12{suffix}?mirror=1", sha256=SUM)
    assert (found.kind, found.sha256) == ("download", SUM)


def test_a_checksum_may_stand_behind_the_tarball() -> None:
    found = address.parse(f"https://example.org/linux.tar.xz#sha256={SUM}")
    assert (found.where, found.sha256) == ("https://example.org/linux.tar.xz", SUM)


def test_a_tarball_from_the_web_without_a_checksum_is_refused_with_the_way_out() -> None:
    with pytest.raises(UsageError, match="needs its SHA-256") as caught:
        address.parse("https://example.org/linux.tar.xz")
    assert "sha256" in caught.value.hint


@pytest.mark.parametrize("sha256", ["", "abc", SUM.upper(), f"{SUM}0"])
def test_a_checksum_that_is_none_is_refused(sha256: str) -> None:
    with pytest.raises(UsageError, match="is not 64 digits"):
        address.parse("https://example.org/linux.tar.xz", sha256=sha256)


def test_a_checksum_of_a_repository_is_refused() -> None:
    with pytest.raises(UsageError, match="for tarballs"):
        address.parse("git+linux", sha256=SUM)


@pytest.mark.parametrize(
    "spec",
    [
        "ext::sh -c evil", "git+ext::sh -c evil", "fd::17", "git+transport::address", "git+ftp://host/linux",
        "evil://host/linux", "ssh://-oProxyCommand=evil/linux", "ssh://me@-evil/linux", "git+--upload-pack=evil",
    ],
)  # fmt: skip
def test_what_would_have_git_run_a_program_is_refused(spec: str) -> None:
    with pytest.raises(UsageError):
        address.parse(spec)


@pytest.mark.parametrize("ref", ["HEAD~1", "a..b", "a:b", "a b", "^a", "a@{1}", "refs/*", "a.lock", "/a", "@"])
def test_what_git_allows_in_no_name_is_no_ref(ref: str) -> None:
    with pytest.raises(UsageError, match="no name that git allows"):
        address.parse("git+linux", ref=ref)


@pytest.mark.parametrize("ref", ["rpi-6.12.y", "v6.12.1", "feature/x+y", "refs/heads/main", "HEAD", "1234567"])
def test_ordinary_names_are_refs(ref: str) -> None:
    assert address.parse("git+linux", ref=ref).kind == "git"


@pytest.mark.parametrize("spec", ["https://me:hunter2@example.org/linux.tar.xz", "evil://me:hunter2@example.org/x"])
def test_a_password_is_not_in_the_message(spec: str) -> None:
    with pytest.raises(UsageError) as caught:
        address.parse(spec, sha256=SUM if "tar" in spec else None)
    assert not re.search("hunter2", str(caught.value))
