"""A lab whose builds and runs take no time: `pi64 nightly` is real, what it starts is not.

`pytest` and `pi64` are found in the folder where the night is started. They do as ``behaviour.json`` says, write down
that they were there, and a run leaves a record as a real one does.
"""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from harness import cli
from harness.nightly.night import state
from harness.nightly.night.state import Night

TARGET = """\
  {name}:
    options: {{model: {model}, kernel: {{toolchain: built}}{more}}}
    drivers: {{VirtualPiDriver: {{}}, CardImageDriver: {{}}, RaspberryPiStrategy: {{}}}}
    resources: {{CardImage: {{}}}}
"""
PYTEST = """
import sys
sys.path.pop(0)  # the real harness, not the one beside us
import fakenightchild
fakenightchild.test(sys.argv[1:])
"""
PI64 = PYTEST.replace("test(sys.argv[1:])", "commands[sys.argv[1]](sys.argv[2:])")
HERE = Path(__file__).parent
COMMAND = (sys.executable, "-P", "-m", "harness.cli", "nightly")
"""-P: not the harness that lies in the folder."""


class FakeNight:
    """A folder with a lab.yaml and the two programs."""

    def __init__(self, folder: Path, plan: str, *, boards: Sequence[str] = ("desk3", "desk4"), more: str = "") -> None:
        self.folder, self._plan, self._boards, self._more = folder, plan, boards, more
        (folder / "pytest.py").write_text(PYTEST)
        (folder / "harness" / "cli").mkdir(parents=True)
        (folder / "harness" / "__init__.py").touch()
        (folder / "harness" / "cli" / "__init__.py").touch()
        (folder / "harness" / "cli" / "__main__.py").write_text(PI64)
        (folder / "tests_hw").mkdir()
        (folder / "linux.tar").write_bytes(b"a kernel tree")
        self.lab(plan)
        self.behave({})

    def lab(self, plan: str) -> None:
        """Write a lab.yaml with *plan*, the lines of its `nightly` section."""
        models = {board: "rpi-4-b" if "4" in board else "rpi-3-b" for board in self._boards}
        targets = "".join(TARGET.format(name=name, model=model, more=self._more) for name, model in models.items())
        text = f"imports: [harness.lab.drivers]\nnightly:\n{plan}\ntargets:\n{targets}"
        (self.folder / "lab.yaml").write_text(text)

    def behave(self, how: Mapping[str, Any]) -> None:
        """Say how builds and runs go; see ``fakenightchild.behaviour``."""
        (self.folder / "behaviour.json").write_text(json.dumps(how))

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """Start `pi64 nightly` and do not wait for it."""
        return subprocess.Popen(
            [*COMMAND, *words],
            cwd=self.folder,
            env={**os.environ, **self._environment},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, *words: str) -> tuple[int, str]:
        """Run `pi64 nightly` in this process; return status and what it said."""
        said = io.StringIO()
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.chdir(self.folder))
            stack.enter_context(mock.patch.dict(os.environ, self._environment))
            stack.enter_context(contextlib.redirect_stdout(said))
            stack.enter_context(contextlib.redirect_stderr(said))
            status = cli.main(["nightly", *words])
        return status, said.getvalue()

    @property
    def _environment(self) -> dict[str, str]:
        path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
        return {"PI64_CACHE": str(self.folder / "cache"), "PYTHONPATH": path}

    def kill(self, process: "subprocess.Popen[str]", number: int = signal.SIGKILL) -> str:
        """End it by a signal; return what it said."""
        process.send_signal(number)
        said, _ = process.communicate(timeout=60)
        return said

    @property
    def night(self) -> Night:
        """The newest night, as it is on the disk."""
        return state.from_json((self.folder / "runs/nightly/latest/night.json").read_text())

    @property
    def states(self) -> dict[str, str]:
        """Label -> state of each of its jobs."""
        return {job.label: job.state for job in self.night.jobs}

    @property
    def calls(self) -> list[str]:
        """What was started, in this order, e.g. ``build main/default``, ``run main/default on desk3``."""
        path = self.folder / "calls.log"
        return path.read_text().splitlines() if path.exists() else []

    def forget(self) -> None:
        """Forget the calls so far."""
        (self.folder / "calls.log").unlink(missing_ok=True)
