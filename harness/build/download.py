"""Files from the network: fetched once, gone on with after a break, and believed only by their SHA-256."""

import http.client
import re
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from harness import host
from harness.build.process import clock
from harness.errors import LabError, UsageError

TIMEOUT_S = 60.0
"""How long a server may say nothing."""
BREAKS = 5
"""How often a connection may break without a byte having come before it is given up."""
CHUNK = 2**18
SHA256 = re.compile(r"[0-9a-f]{64}")
SCHEMES = ("http", "https")


def fetch(url: str, sha256: str, target: Path, progress: host.Progress = host.silent) -> Path:
    """Return *target* with the content of *url*, fetched unless it lies there already.

    What came before a break lies beside it as ``.part`` and is gone on with, by this call or by a later one. UsageError
    for a checksum or URL that is none; LabError when the server cannot be reached, says no, or sends something else.
    """
    if not SHA256.fullmatch(sha256):
        raise UsageError(f"{url}: `{sha256}` is no SHA-256", hint="64 hexadecimal digits, as sha256sum prints them")
    if urlsplit(url).scheme not in SCHEMES or not urlsplit(url).hostname:
        raise UsageError(f"{url!r}: not an http or https URL")
    with host.locked(target.with_name(f"{target.name}.lock")):
        if not target.is_file():
            part = target.with_name(f"{target.name}.part")
            resumed = part.is_file()
            _complete(url, part, progress)
            if resumed and host.sha256(part) != sha256:  # the server may have another file by now
                part.unlink()
                _complete(url, part, progress)
            _verify(url, part, sha256)
            part.replace(target)
    return target


def _complete(url: str, part: Path, progress: host.Progress) -> None:
    """Fetch until the server says that *part* is all."""
    breaks = 0
    while True:
        before = part.stat().st_size if part.is_file() else 0
        try:
            _append(url, part, before, progress)
        except urllib.error.HTTPError as error:
            raise LabError(f"{url}: the server says {error.code} {error.reason}", hint="is the URL right?") from error
        except (OSError, http.client.HTTPException) as error:
            came = (part.stat().st_size if part.is_file() else 0) - before
            breaks = 0 if came else breaks + 1
            if breaks == BREAKS or isinstance(error, urllib.error.URLError):
                reason = getattr(error, "reason", error)
                hint = f"check the network, and run it again: {part} is gone on with"
                raise LabError(f"{url}: cannot be fetched: {reason}", hint=hint) from error
        else:
            return


def _append(url: str, part: Path, have: int, progress: host.Progress) -> None:
    """Fetch from byte *have* on; from the start where the server cannot do otherwise."""
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310 - checked
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT_S)  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            return  # all of it is here, or the checksum will tell
        raise
    with answer:
        goes_on = answer.status == http.HTTPStatus.PARTIAL_CONTENT
        have = have if goes_on else 0
        expected = have + int(answer.headers.get("Content-Length") or 0)
        if expected > have:
            host.need_space(part.parent, expected - have, url)
        with part.open("ab" if goes_on else "wb") as file:
            started, began_at = time.monotonic(), have
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                have += len(chunk)
                progress(_state(url, have, expected, have - began_at, time.monotonic() - started))
        if have < expected:
            raise http.client.IncompleteRead(b"", expected - have)


def _state(url: str, have: int, expected: int, came: int, elapsed_s: float) -> str:
    """Return e.g. ``download: gcc-14.2.0.tar.xz: 12 of 88 MiB, ~0:41 left``."""
    name = urlsplit(url).path.rpartition("/")[2]
    if expected <= have:
        return f"download: {name}: {have / 2**20:.0f} MiB"
    left_s = elapsed_s * (expected - have) / came
    return f"download: {name}: {have / 2**20:.0f} of {expected / 2**20:.0f} MiB, ~{clock(left_s)} left"


def _verify(url: str, part: Path, sha256: str) -> None:
    found = host.sha256(part)
    if found != sha256:
        size = part.stat().st_size
        part.unlink()
        raise LabError(
            f"{url}: not the file that was asked for",
            hint="a proxy in between, a moved file, or a wrong checksum in the table",
            evidence=[f"wanted SHA-256 {sha256}", f"got    SHA-256 {found} ({size} bytes)"],
        )
