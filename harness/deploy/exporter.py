"""The far end of a card on a remote exporter: our own code, sent there over labgrid's ssh connection each time.

Nothing of it stays there. What the other computer answers is text from elsewhere: it is checked, and shown as evidence.
"""

import contextlib
import io
import json
import subprocess
import tempfile
import threading
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Self

import attr
import attrs

import harness
from harness import errors
from harness.errors import LabError, Pi64Error
from harness.host import Progress

Content = bytes | Path
KINDS = ("UsageError", "ConfigError", "LabError", "DeployError")
START = """\
import sys, tempfile
if sys.version_info < (3, 11):
    sys.exit("Python %d.%d is too old: 3.11 is needed" % sys.version_info[:2])
given = sys.stdin.buffer
code = tempfile.NamedTemporaryFile(prefix="pi64-", suffix=".zip")
code.write(given.read(int(given.readline())))
code.flush()
sys.path.insert(0, code.name)
from harness.deploy.agent import main
sys.exit(main(given, sys.stdout.buffer))
"""
"""What Python there is told on its command line: read our code from standard input, and run it."""
ROOMS = ("__init__.py", "bootfs", "card", "deploy", "errors.py", "host.py", "model.py")
"""What of our own package is needed there."""
LINE_LIMIT = 64 << 20  # of an answer: a listing of some thousand modules has 1 MB


class Far:
    """``with`` starts our code on *host*; *command* runs Python there, with ``START``."""

    def __init__(self, host: str, command: Sequence[str]) -> None:
        self.host = host
        self._command = command
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._said = self._stack.enter_context(tempfile.TemporaryFile())
        self._process = self._stack.enter_context(
            subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said)
        )
        self._pending = [b"%d\n" % len(code()), code()]
        return self

    def __exit__(self, *failure: object) -> None:
        """Let it end, or end it: nobody waits for work that nobody wants any more."""
        if any(failure):
            self._process.kill()
        with contextlib.suppress(OSError):  # it ended before
            self._to.close()
        self._stack.close()

    def call(self, do: str, *, progress: Progress, payload: Iterable[bytes] = (), **asked: Any) -> Any:
        """Have it *do* something, *payload* being the bytes that follow, and return its result.

        What fails there is raised here as what it is; LabError when the connection breaks, or the answer is none.
        """
        request = json.dumps({"do": do, **asked}).encode() + b"\n"
        sender = threading.Thread(target=self._send, args=([*self._pending, request], payload), daemon=True)
        self._pending = []
        sender.start()  # who only wrote would never hear that there is no room left
        answer = self._answer(progress)
        if "result" in answer:
            sender.join()
            return answer["result"]
        self._process.kill()  # the rest of the payload goes nowhere
        sender.join()
        raise self._raised(answer["error"]) if "error" in answer else self._no_answer()

    def _send(self, head: Iterable[bytes], payload: Iterable[bytes]) -> None:
        try:
            for pieces in (head, payload):
                for piece in pieces:
                    self._to.write(piece)
            self._to.flush()
        except OSError:  # it has ended; its answer, or its last words, say why
            return

    @property
    def _to(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    def _answer(self, progress: Progress) -> dict[str, Any]:
        """Return the line that answers, and tell the progress on the way; empty when there is none."""
        assert self._process.stdout is not None
        while line := self._process.stdout.readline(LINE_LIMIT):
            try:
                told = json.loads(line)
            except ValueError:
                continue  # a login script that greets
            if not isinstance(told, dict):
                continue
            if "progress" not in told:
                return told
            progress(str(told["progress"])[:200])
        return {}

    def _no_answer(self) -> LabError:
        status = self._process.wait()
        self._said.seek(0)
        words = self._said.read(4096).decode(errors="replace").splitlines()
        return LabError(
            f"{self.host}: no answer about the card: ssh, or Python there, ended with status {status}",
            evidence=words[-8:],
            hint=f"`ssh {self.host} python3 --version` must work without a password; see docs/deploy-sdmux.md",
        )

    def _raised(self, told: Any) -> Pi64Error:
        """Return the error that was told."""
        if not isinstance(told, dict):
            return LabError(f"{self.host}: an error without words")
        kind, evidence = told.get("kind"), told.get("evidence")
        cls: type[Pi64Error] = getattr(errors, kind) if kind in KINDS else LabError
        return cls(
            f"{self.host}: {told.get('message')}",
            hint=str(told.get("hint") or ""),
            evidence=[str(line) for line in evidence][:12] if isinstance(evidence, list) else [],
        )


def entries(contents: Mapping[str, Content]) -> list[tuple[str, int | str]]:
    """Return what the far end must know of *contents* before their bytes come: sizes, and where links point."""
    return [(name, _extent(content)) for name, content in contents.items()]


def stream(contents: Mapping[str, Content]) -> Iterator[bytes]:
    """Yield the bytes of *contents* in their order; of a link there are none."""
    for content in contents.values():
        if isinstance(content, bytes):
            yield content
        elif not content.is_symlink():
            yield content.read_bytes()


def value(given: Any) -> Any:
    """Return an attrs value as JSON can have it."""
    return attrs.asdict(given, value_serializer=lambda _, __, part: str(part) if isinstance(part, Path) else part)


@lru_cache(maxsize=1)
def code() -> bytes:
    """Return what is needed of our own package, and attrs, as a zip that Python imports from."""
    house = Path(harness.__file__).parent
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for top in (*(house / room for room in ROOMS), Path(attrs.__file__).parent, Path(attr.__file__).parent):
            above = house.parent if house in top.parents else top.parent
            for path in [top] if top.is_file() else sorted(top.rglob("*.py")):
                archive.write(path, path.relative_to(above))
    return file.getvalue()


def _extent(content: Content) -> int | str:
    if isinstance(content, bytes):
        return len(content)
    return str(content.readlink()) if content.is_symlink() else content.stat().st_size
