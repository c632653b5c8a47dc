"""Downloads against a server on the loopback that breaks off, forgets how to resume, or sends something else."""

import hashlib
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from harness.build import download
from harness.errors import LabError, UsageError

CONTENT = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@attrs.define
class Server:
    """What the server does, and what it was asked."""

    url: str = ""
    content: bytes = CONTENT
    resumes: bool = True
    breaks_after: list[int] = attrs.field(factory=list)
    """For one answer each: how many bytes come before the line breaks."""
    asked: list[str | None] = attrs.field(factory=list)
    """The Range of each request."""


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers["Range"]
            state.asked.append(asked)
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and state.resumes else 0
            if self.path != "/x.tar" or start >= len(state.content):
                self.send_error(404 if self.path != "/x.tar" else 416)
                return
            body = state.content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: state.breaks_after.pop(0)] if state.breaks_after else body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        state.url = f"http://127.0.0.1:{httpd.server_address[1]}/x.tar"
        yield state
        httpd.shutdown()
        thread.join()


@pytest.fixture
def fetch(server: Server, tmp_path: Path) -> Callable[[], bytes]:
    return lambda: download.fetch(server.url, SHA256, tmp_path / "x.tar").read_bytes()


def test_a_file_is_fetched_once(server: Server, fetch: Callable[[], bytes]) -> None:
    assert fetch() == fetch() == CONTENT
    assert server.asked == [None]


def test_a_broken_line_is_gone_on_with(server: Server, fetch: Callable[[], bytes]) -> None:
    server.breaks_after = [300_000, 200_000]
    assert fetch() == CONTENT
    assert server.asked == [None, "bytes=300000-", "bytes=500000-"]


def test_a_later_call_goes_on_where_an_earlier_one_stopped(
    server: Server, fetch: Callable[[], bytes], tmp_path: Path
) -> None:
    (tmp_path / "x.tar.part").write_bytes(CONTENT[:1000])
    assert fetch() == CONTENT
    assert server.asked == ["bytes=1000-"]


def test_a_server_that_cannot_resume_sends_all_of_it(
    server: Server, fetch: Callable[[], bytes], tmp_path: Path
) -> None:
    (tmp_path / "x.tar.part").write_bytes(b"something else, from another day")
    server.resumes = False
    assert fetch() == CONTENT


def test_a_part_of_another_file_is_thrown_away(server: Server, fetch: Callable[[], bytes], tmp_path: Path) -> None:
    (tmp_path / "x.tar.part").write_bytes(b"of the file that lay there yesterday")
    assert fetch() == CONTENT
    assert server.asked[-1] is None


def test_a_part_that_is_whole_is_taken(server: Server, fetch: Callable[[], bytes], tmp_path: Path) -> None:
    (tmp_path / "x.tar.part").write_bytes(CONTENT)
    assert fetch() == CONTENT


def test_a_line_that_brings_nothing_is_given_up(server: Server, fetch: Callable[[], bytes], tmp_path: Path) -> None:
    server.breaks_after = [1000, *[0] * download.BREAKS]
    with pytest.raises(LabError, match="cannot be fetched") as caught:
        fetch()
    assert "x.tar.part is gone on with" in caught.value.hint
    assert (tmp_path / "x.tar.part").stat().st_size == 1000


def test_another_content_is_never_taken(server: Server, fetch: Callable[[], bytes], tmp_path: Path) -> None:
    server.content = b"<html>log in to this network</html>"
    with pytest.raises(LabError, match="not the file that was asked for") as caught:
        fetch()
    assert f"wanted SHA-256 {SHA256}" in caught.value.evidence
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".lock"]


def test_what_the_server_says_no_to_is_told(server: Server, tmp_path: Path) -> None:
    with pytest.raises(LabError, match="the server says 404"):
        download.fetch(f"{server.url}.gone", SHA256, tmp_path / "x.tar")


def test_a_host_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="cannot be fetched") as caught:
        download.fetch("http://127.0.0.1:1/x.tar", SHA256, tmp_path / "x.tar")
    assert "check the network" in caught.value.hint


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.org/x", "x.tar", "https://", "-x"])
def test_only_web_addresses_are_fetched(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not an http or https URL"):
        download.fetch(url, SHA256, tmp_path / "x.tar")


def test_a_checksum_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no SHA-256"):
        download.fetch("https://example.org/x.tar", "d41d8cd98f00b204e9800998ecf8427e", tmp_path / "x.tar")


def test_progress_tells_size_and_what_is_left(server: Server, tmp_path: Path) -> None:
    told: list[str] = []
    download.fetch(server.url, SHA256, tmp_path / "x.tar", told.append)
    assert told[-1] == "download: x.tar: 1 MiB"
    assert told[0].startswith("download: x.tar: 0 of 1 MiB, ~0:0")
