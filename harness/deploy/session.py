"""A program at the far end of an SSH connection that answers one request after the other.

A program of its own for each request would cost a virtual Pi seconds: sshd's session, a shell, sudo.
"""

import contextlib
import os
import re
import select
import subprocess
import tempfile
import time
from collections.abc import Sequence

from harness.deploy.openssh import CLOSE_S, LOST, Ssh
from harness.errors import LabError


class Session:
    """One such program, *command*; it ends with the connection."""

    def __init__(self, ssh: Ssh, command: Sequence[str]) -> None:
        self._ssh = ssh
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the session
        self._process = ssh.start(command, stdout=subprocess.PIPE, stderr=self._errors)
        self._number = 0

    def ask(self, function: str, *arguments: str, timeout_s: float) -> tuple[int, bytes, list[str]]:
        """Return status, output and last errors of *function*; LabError when no answer comes within *timeout_s*."""
        self._number += 1
        token = f"{os.getpid()}.{self._number}.{time.monotonic_ns()}"
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(" ".join([token, function, *arguments]).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise self._gone() from None
        end = re.compile(rb"\n@%s (\d+)\n\Z" % re.escape(token.encode()))
        answer = self._until(end, function, timeout_s)
        found = end.search(answer)
        assert found is not None
        output, _, errors = answer[: found.start()].rpartition(b"\n@%s errors\n" % token.encode())
        return int(found[1]), output, errors.decode(errors="replace").splitlines()

    def close(self) -> None:
        """Let the program end."""
        for end in (self._process.stdin, self._process.stdout):
            if end:
                with contextlib.suppress(OSError):
                    end.close()
        self._process.kill()
        self._process.wait()
        self._errors.close()

    def _until(self, end: re.Pattern[bytes], function: str, timeout_s: float) -> bytes:
        assert self._process.stdout is not None
        deadline, heard = time.monotonic() + timeout_s, bytearray()
        while not end.search(heard, max(len(heard) - 200, 0)):
            ready, _, _ = select.select([self._process.stdout], [], [], max(deadline - time.monotonic(), 0))
            if not ready:
                raise LabError(
                    f"{self._ssh.target}: no answer over SSH to `{function}` within {timeout_s:g} s",
                    hint="does the board still run? the console's log may tell",
                )
            data = os.read(self._process.stdout.fileno(), 65536)
            if not data:
                raise self._gone()
            heard += data
        return bytes(heard)

    def _gone(self) -> LabError:
        """Return why the far end answers no more: its own last words, or the connection's."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(CLOSE_S)
        self._errors.seek(0)
        words = self._errors.read().decode(errors="replace").splitlines()[-4:]
        if self._process.returncode in {None, LOST}:
            return self._ssh.lost(words)
        return LabError(
            f"{self._ssh.target}: {self._ssh.address}: no command can be run as root"
            f" (status {self._process.returncode})",
            evidence=words,
            hint="the user needs `sudo` without a password, as on Raspberry Pi OS, or log in as root",
        )
