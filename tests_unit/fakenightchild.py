"""What the fake `pytest` and `pi64 build` of `fakenight` do, each in a process of its own."""

import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from harness.lab import child, folder
from harness.model import BootRecord, Verdict, VerdictName
from harness.report.record import CaseRecord, RunRecord, to_json


def behaviour(kind: str, words: Sequence[str]) -> dict[str, Any]:
    """Return how this child goes: what stands under `*`, and all whose key stands in its command line."""
    said = " ".join([kind, *words])
    known = json.loads(Path("behaviour.json").read_text())
    return {name: value for key, how in known.items() if key == "*" or key in said for name, value in how.items()}


def value(words: Sequence[str], option: str) -> str:
    """Return the value of *option*; empty if it was not given."""
    for number, word in enumerate(words):
        if word == option:
            return words[number + 1]
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return ""


def note(line: str) -> None:
    """Write down that a child was there; one write, for several may do so at once."""
    handle = os.open("calls.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(handle, f"{line}\n".encode())
    os.close(handle)


def kernel(words: Sequence[str]) -> str:
    """Return what was asked for, for people."""
    parts = [value(words, option) for option in ("--source", "--ref", "--config", "--fragment")]
    return " ".join(filter(None, parts))


def say(told: dict[str, Any]) -> None:
    """Say it as `--json` does."""
    sys.stdout.write(json.dumps(told))


def build(words: Sequence[str]) -> None:
    """Be `pi64 build`."""
    how = behaviour("build", words)
    note(f"build {kernel(words)}")
    time.sleep(how.get("build_s", 0.0))
    if verdict := how.get("build"):
        say({"verdict": verdict, "message": "fork.c:1: error", "hint": "", "evidence": []})
        sys.exit(1 if verdict == "BUILD" else 2)
    key = hashlib.sha256(kernel(words).encode()).hexdigest()[:32]
    say({"key": key, "release": "6.12.1", "seconds": how.get("build_s", 0.0), "cached": False})


def bisect(words: Sequence[str]) -> None:
    """Be `pi64 bisect`."""
    from harness.nightly.bisection import state as states
    from harness.nightly.bisection.state import Question, State

    note(f"bisect {' '.join(words)}")
    place = folder.make(Path(value(words, "--runs"), "bisect"), "")
    question = Question(value(words, "--board"), (value(words, "--good"),), value(words, "--bad"))
    (place / "bisect.json").write_text(states.to_json(State(place.name, "", question)))


def test(words: Sequence[str]) -> None:
    """Be pytest."""
    how = behaviour("run", words)
    board = value(words, "--board")
    note(f"run {kernel(words)} on {board}")
    if how.get("refuse"):
        sys.exit("no such test")
    there = folder.make(Path(value(words, "--runs")), board)
    record = _record(there.name, board, words, how)
    (there / "run.json").write_text(to_json(record))
    child.note(there)
    interrupted = False
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        time.sleep(how.get("run_s", 0.0))
    except KeyboardInterrupt:
        interrupted = True
        time.sleep(how.get("off_s", 0.0))
    if how.get("vanish"):
        os._exit(9)
    name = VerdictName(how.get("verdict", "INCONCLUSIVE" if interrupted else "PASS"))
    ended = {
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "verdict": Verdict(name, "as the test says", ("no answer from the switch",)),
        "interrupted": interrupted,
    }
    (there / "run.json").write_text(to_json(attrs.evolve(record, **ended)))
    note(f"end {kernel(words)} on {board} {name}")
    sys.exit(0 if name is VerdictName.PASS else 1)


def _record(name: str, board: str, words: Sequence[str], how: dict[str, Any]) -> RunRecord:
    verdict = how.get("verdict", "PASS")
    outcome, blame = ("passed", "") if verdict == "PASS" else ("failed", verdict)
    control = BootRecord(board, {}, False, "silent", (), Path("console.log"), 1, control=True, release="6.1-good")
    return RunRecord(
        name,
        board,
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        board="rpi-3-b",
        host="bench",
        asked={"kernel": {"config": value(words, "--config") or None, "fragments": [value(words, "--fragment")]}},
        tree=value(words, "--source"),
        branch=value(words, "--branch"),
        commit=value(words, "--ref"),
        boots=(control,) if how.get("control") == "fails" else (),
        tests=(CaseRecord("test_boots", outcome, 0.1, "it did not hold" if blame else "", blame=blame),),
    )


commands = {"build": build, "bisect": bisect}
