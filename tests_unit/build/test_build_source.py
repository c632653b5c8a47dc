import hashlib
import http.server
import os
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from harness.build import mirror as mirrors
from harness.build import source
from harness.errors import LabError, UsageError
from harness.model import KernelSource
from tests_unit import fakelinux

GIT_ENV = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
IDENTITY = ["-c", "user.name=A", "-c", "user.email=a@example.org"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PI64_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(mirrors, "MIRROR_BYTES", 0)
    for name, value in GIT_ENV.items():
        monkeypatch.setenv(name, value)
    return tmp_path / "cache"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return fakelinux.write(tmp_path / "linux")


def git(folder: Path, *command: str) -> str:
    done = subprocess.run(["git", "-C", folder, *IDENTITY, *command], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(folder: Path, message: str = "a change") -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tree: Path) -> Path:
    git(tree, "init", "--quiet", "--initial-branch=rpi-6.12.y")
    commit(tree, "first")
    return tree


def pack(tree: Path, tarball: Path) -> Path:
    with tarfile.open(tarball, "w:xz", preset=0) as archive:
        archive.add(tree, arcname="linux-6.12.1")
    return tarball


# --- trees -----------------------------------------------------------------------------------------------------------
def test_a_tree_tells_its_version_and_flavour(tree: Path) -> None:
    found = source.open_tree(str(tree))
    assert (found.path, found.version, found.flavour, found.commit) == (tree, "6.12.1", "mainline", None)


def test_a_tree_with_bcm2711_defconfig_is_raspberry_pis(tmp_path: Path) -> None:
    assert source.open_tree(str(fakelinux.write(tmp_path / "rpi", "raspberrypi"))).flavour == "raspberrypi"


def test_an_unchanged_tree_keeps_its_digest(tree: Path) -> None:
    assert source.open_tree(str(tree)) == source.open_tree(str(tree))


def test_an_edit_changes_the_digest_of_a_tree(tree: Path) -> None:
    before = source.open_tree(str(tree))
    os.utime(tree / "kernel/fork.c", ns=(1, 1))
    assert source.open_tree(str(tree)).digest != before.digest
    assert not source.unchanged(before)


def test_a_folder_that_is_no_kernel_tree_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a kernel tree"):
        source.open_tree(str(tmp_path))


def test_the_folder_above_a_kernel_tree_is_refused_with_a_hint(tree: Path) -> None:
    with pytest.raises(UsageError) as caught:
        source.open_tree(str(tree.parent))
    assert caught.value.hint == f"did you mean {tree}?"


@pytest.mark.parametrize("spec", ["-x", "a\nb", "", "\x1b[2J"])
def test_odd_specs_are_refused_before_any_program_sees_them(spec: str) -> None:
    with pytest.raises(UsageError, match="control characters"):
        source.open_tree(spec)


def test_what_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder or file"):
        source.open_tree(str(tmp_path / "nowhere"))


# --- tarballs --------------------------------------------------------------------------------------------------------
def test_a_tarball_is_unpacked_once(tree: Path, tmp_path: Path) -> None:
    tarball = pack(tree, tmp_path / "linux.tar.xz")
    said: list[str] = []
    first = source.open_tree(str(tarball), progress=said.append)
    assert (first.path / "kernel/fork.c").read_bytes() == (tree / "kernel/fork.c").read_bytes()
    assert source.open_tree(str(tarball), progress=said.append) == first
    assert len(said) == 1


def test_equal_tarballs_are_one_source_wherever_they_lie(tree: Path, tmp_path: Path) -> None:
    tarball = pack(tree, tmp_path / "linux.tar.xz")
    first = source.open_tree(str(tarball))
    second = source.open_tree(str(tarball.rename(tmp_path / "moved.tar.xz")))
    assert (first.path, first.digest) == (second.path, second.digest)


def test_a_truncated_tarball_is_refused_and_leaves_nothing(tree: Path, tmp_path: Path, cache: Path) -> None:
    tarball = pack(tree, tmp_path / "linux.tar.xz")
    tarball.write_bytes(tarball.read_bytes()[:-200])
    with pytest.raises(UsageError, match="cannot be unpacked") as caught:
        source.open_tree(str(tarball))
    assert "checksum" in caught.value.hint
    assert not [path for path in (cache / "sources").iterdir() if path.is_dir() and path.name != "digests"]


def test_a_tarball_without_a_kernel_is_refused(tmp_path: Path) -> None:
    (tmp_path / "hello").mkdir()
    with pytest.raises(UsageError, match="not a kernel tree"):
        source.open_tree(str(pack(tmp_path / "hello", tmp_path / "hello.tar.xz")))


def test_a_link_that_leads_out_of_a_tarball_is_refused(tree: Path, tmp_path: Path) -> None:
    (tree / "escape").symlink_to("../../../../etc")
    with pytest.raises(UsageError, match=r"link linux-6.12.1/escape -> \.\./"):
        source.open_tree(str(pack(tree, tmp_path / "linux.tar.xz")))


def test_a_full_disk_is_told_before_unpacking(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise LabError("0 MiB free")

    tarball = pack(tree, tmp_path / "linux.tar.xz")
    monkeypatch.setattr("harness.host.need_space", full)
    with pytest.raises(LabError, match="0 MiB free"):
        source.open_tree(str(tarball))


def test_a_tarball_is_believed_only_with_its_checksum(tree: Path, tmp_path: Path) -> None:
    tarball = pack(tree, tmp_path / "linux.tar.xz")
    right = hashlib.sha256(tarball.read_bytes()).hexdigest()
    assert source.open_tree(str(tarball), sha256=right).digest == right
    with pytest.raises(UsageError, match="not the file that was asked for") as caught:
        source.open_tree(str(tarball), sha256=right[::-1])
    assert caught.value.evidence == (f"wanted SHA-256 {right[::-1]}", f"found  SHA-256 {right}")


def test_a_tarball_with_an_option_for_a_name_is_a_tarball(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(tree, tmp_path / "-x.tar.xz")
    monkeypatch.chdir(tmp_path)
    assert source.open_tree("./-x.tar.xz").version == "6.12.1"


def test_a_folder_has_no_checksum(tree: Path) -> None:
    with pytest.raises(UsageError, match="for tarballs"):
        source.open_tree(str(tree), sha256="0" * 64)


# --- tarballs from the web -------------------------------------------------------------------------------------------
class Web(http.server.ThreadingHTTPServer):
    """Serves one file in ranges, and drops the connection in the middle as often as it is told to."""

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), WebSession)
        self.content, self.breaks = content, 0
        self.ranges: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/linux-6.12.1.tar.xz"


class WebSession(http.server.BaseHTTPRequestHandler):
    server: Web

    def do_GET(self) -> None:
        asked = self.headers["Range"]
        self.server.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        body = self.server.content[start:]
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.breaks:
            self.server.breaks -= 1
            body = body[: len(body) // 2]
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web(tree: Path, tmp_path: Path) -> Iterator[Web]:
    with Web(pack(tree, tmp_path / "served.tar.xz").read_bytes()) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def test_a_tarball_from_the_web_is_fetched_once(web: Web) -> None:
    right = hashlib.sha256(web.content).hexdigest()
    first = source.open_tree(web.url, sha256=right)
    assert source.open_tree(f"{web.url}#sha256={right}") == first
    assert (first.digest, first.origin, len(web.ranges)) == (right, f"tarball {web.url}", 1)


def test_a_download_that_breaks_off_goes_on_where_it_was(web: Web) -> None:
    web.breaks = 1
    source.open_tree(web.url, sha256=hashlib.sha256(web.content).hexdigest())
    assert web.ranges == [None, f"bytes={len(web.content) // 2}-"]


def test_a_download_with_another_checksum_is_refused_and_names_both(web: Web) -> None:
    with pytest.raises(LabError) as caught:
        source.open_tree(web.url, sha256="0" * 64)
    assert hashlib.sha256(web.content).hexdigest() in str(caught.value)
    assert "0" * 64 in str(caught.value)


def test_a_download_that_was_damaged_since_is_fetched_again(web: Web, cache: Path) -> None:
    right = hashlib.sha256(web.content).hexdigest()
    source.open_tree(web.url, sha256=right)
    (kept,) = (cache / "downloads").glob("*.tar.xz")
    kept.write_bytes(web.content[::-1])
    source.open_tree(web.url, sha256=right)
    assert kept.read_bytes() == web.content


# --- packages --------------------------------------------------------------------------------------------------------
def test_of_the_installed_packages_the_newest_is_taken(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """6.9 is older than 6.12, though its name sorts behind."""
    for version in ("6.9", "6.12"):
        pack(tree, tmp_path / f"linux-source-{version}.tar.xz")
    monkeypatch.setattr(source, "PACKAGES", tmp_path)
    assert source.open_tree("package:linux-source-*").origin.startswith("package linux-source-6.12")


def test_a_missing_package_is_the_benchs_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "PACKAGES", tmp_path)
    with pytest.raises(LabError) as caught:
        source.open_tree("package:linux-source-*")
    assert "apt-get install linux-source" in caught.value.hint


# --- git -------------------------------------------------------------------------------------------------------------
def test_a_clean_work_tree_is_its_commit(repository: Path) -> None:
    found = source.open_tree(str(repository))
    assert (found.commit, found.dirty) == (git(repository, "rev-parse", "HEAD"), False)
    assert found.epoch == int(git(repository, "log", "-1", "--format=%ct"))


@pytest.mark.parametrize("file", ["kernel/fork.c", "kernel/new.c"])
def test_a_change_makes_a_work_tree_dirty_and_another_change_another_digest(repository: Path, file: str) -> None:
    digests = [source.open_tree(str(repository)).digest]
    for text in ("int a;", "int b;"):
        (repository / file).write_text(text)
        found = source.open_tree(str(repository))
        assert found.dirty
        digests.append(found.digest)
    assert len(set(digests)) == 3


def change_mode(tree: Path) -> None:
    (tree / "kernel/fork.c").chmod(0o755)


def remove(tree: Path) -> None:
    (tree / "kernel/fork.c").unlink()


def link_instead(tree: Path) -> None:
    remove(tree)
    (tree / "kernel/fork.c").symlink_to("../Makefile")


def rename(tree: Path) -> None:
    git(tree, "mv", "kernel/fork.c", "kernel/a name\nof two lines.c")


def new_folder(tree: Path) -> None:
    (tree / "drivers/mine").mkdir(parents=True)
    (tree / "drivers/mine/a.c").write_text("int a;")


@pytest.mark.parametrize("change", [change_mode, remove, link_instead, rename, new_folder])
def test_any_change_makes_a_work_tree_dirty_until_it_is_undone(
    repository: Path, change: Callable[[Path], None]
) -> None:
    clean = source.open_tree(str(repository))
    change(repository)
    dirty = source.open_tree(str(repository))
    assert (dirty.dirty, dirty.commit) == (True, clean.commit)
    assert dirty.digest != clean.digest
    assert source.open_tree(str(repository)) == dirty
    git(repository, "reset", "--quiet", "--hard")
    git(repository, "clean", "-fdq")
    assert source.open_tree(str(repository)) == clean


def test_what_git_ignores_does_not_count(repository: Path) -> None:
    (repository / ".gitignore").write_text("*.o\n")
    commit(repository)
    clean = source.open_tree(str(repository))
    (repository / "kernel/fork.o").write_bytes(b"object")
    assert source.open_tree(str(repository)) == clean


def test_staging_a_change_does_not_change_what_it_is(repository: Path) -> None:
    (repository / "kernel/fork.c").write_text("int a;\n")
    before = source.open_tree(str(repository))
    git(repository, "add", "--all")
    assert source.open_tree(str(repository)).digest == before.digest


def test_a_folder_inside_somebody_elses_work_tree_is_a_plain_tree(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    tree = fakelinux.write(tmp_path / "linux")
    commit(tmp_path)
    assert source.open_tree(str(tree)).commit is None


def test_touching_a_file_does_not_change_a_work_tree(repository: Path) -> None:
    before = source.open_tree(str(repository))
    os.utime(repository / "kernel/fork.c")
    assert source.open_tree(str(repository)).digest == before.digest


def opened(repository: Path, ref: str | None) -> KernelSource:
    return source.open_tree(f"git+{repository}", ref=ref)


def test_a_branch_a_tag_and_a_commit_can_be_asked_for(repository: Path) -> None:
    first = git(repository, "rev-parse", "HEAD")
    git(repository, "tag", "v6.12.1")
    (repository / "kernel/fork.c").write_text("int fork;\n")
    second = commit(repository)
    refs = {"rpi-6.12.y": second, "v6.12.1": first, first: first, None: second}
    assert {ref: opened(repository, ref).commit for ref in refs} == refs


def test_commits_made_since_are_fetched(repository: Path) -> None:
    opened(repository, "rpi-6.12.y")
    (repository / "kernel/fork.c").write_text("int fork;\n")
    new = commit(repository)
    found = opened(repository, "rpi-6.12.y")
    assert found.commit == new
    assert (found.path / "kernel/fork.c").read_text() == "int fork;\n"


def test_a_commit_that_was_fetched_needs_no_repository_any_more(repository: Path) -> None:
    first = opened(repository, "rpi-6.12.y")
    (repository / ".git").rename(repository / "gone")
    assert opened(repository, first.commit) == attrs_with_origin(first, str(first.commit), repository)


def attrs_with_origin(found: KernelSource, ref: str, repository: Path) -> KernelSource:
    return attrs.evolve(found, origin=f"git {repository} {ref} ({ref[:12]})")


def test_a_checkout_that_was_broken_off_is_made_again(repository: Path) -> None:
    first = opened(repository, None)
    first.path.with_name("0.json").unlink()
    (first.path / "Makefile").unlink()
    second = opened(repository, None)
    assert (second.digest, second.dirty) == (first.digest, False)
    assert (second.path / "Makefile").is_file()


def test_a_branch_that_does_not_exist_is_refused_with_the_nearest(repository: Path) -> None:
    with pytest.raises(UsageError, match=r"no branch, tag or commit rpi-6\.21\.y") as caught:
        opened(repository, "rpi-6.21.y")
    assert caught.value.hint == "did you mean rpi-6.12.y?"


@pytest.mark.parametrize("ref", ["--upload-pack=evil", "a\0b", "a\nb", ""])
def test_odd_refs_are_refused_before_git_sees_them(repository: Path, ref: str) -> None:
    with pytest.raises(UsageError, match="control characters"):
        opened(repository, ref)


def test_an_url_that_is_an_option_is_refused_behind_its_prefix() -> None:
    with pytest.raises(UsageError, match="control characters"):
        source.open_tree("git+--upload-pack=evil")


def test_a_repository_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such git repository"):
        source.open_tree(f"git+file://{tmp_path}/nowhere.git")


def test_a_repository_that_cannot_be_reached_is_the_benchs_fault() -> None:
    with pytest.raises(LabError, match="git cannot fetch"):
        source.open_tree("git://127.0.0.1:1/linux.git")


def test_a_fetch_that_breaks_off_leaves_the_mirror_usable(repository: Path) -> None:
    first = opened(repository, None)
    head = repository / ".git/HEAD"
    head.rename(head.with_name("HEAD.away"))
    with pytest.raises((LabError, UsageError)):
        opened(repository, None)
    head.with_name("HEAD.away").rename(head)
    assert opened(repository, None) == first


def test_a_ref_of_something_that_is_no_repository_is_refused(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no ref main"):
        source.open_tree(str(pack(tree, tmp_path / "linux.tar.xz")), ref="main")
