"""One run: its folder, its record, and the verdict at its end."""

import datetime
import json
import os
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import attrs

from harness import host
from harness.errors import CheckFailed, Pi64Error, UsageError
from harness.model import BootRecord, Finding, KernelBuild, KernelSource, Toolchain, Verdict, VerdictName
from harness.report import record as records
from harness.report.record import CaseRecord, RunRecord
from harness.report.redact import printable, redact, without_credentials
from harness.strategy import RaspberryPiStrategy
from harness.verdict.findings import scan
from harness.verdict.judge import judge

T = TypeVar("T")

MESSAGE_LIMIT = 4000  # characters of a test's message in the record; the log has the rest


class Run:
    """Collects what becomes known and keeps ``run.json`` up to date: written first, replaced atomically."""

    def __init__(self, folder: Path, record: RunRecord) -> None:
        self.folder, self.record = folder, record
        self._errors: list[tuple[str, str]] = []
        self._secrets: list[str] = []
        self._strategy: RaspberryPiStrategy | None = None
        self.save()

    @classmethod
    def begin(cls, parent: Path, *, target: str, model: str, argv: Sequence[Any]) -> "Run":
        """Make the folder of a new run below *parent*; ``latest`` there points to it."""
        stamp = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H-%M-%S")
        try:
            folder = _new_folder(parent, f"{stamp}-{target}")
            _point(parent / "latest", folder)
        except OSError as error:
            raise UsageError(f"{parent}: no folder for the record of this run: {error}", hint="--runs DIR") from error
        record = RunRecord(
            run_id=folder.name,
            target=target,
            started=_now(),
            board=model,
            host=platform.node(),
            argv=tuple(without_credentials(str(arg)) for arg in argv),
            console_log="console.log",
        )
        return cls(folder, record)

    @property
    def target(self) -> str:
        """Name of the target."""
        return self.record.target

    @property
    def console(self) -> Path:
        """The full console log."""
        return self.folder / "console.log"

    def note(self, **things: T) -> T:
        """Take one thing that became known, under its name; write it down, return it."""
        ((name, thing),) = things.items()
        self._write(f"{name}.json", attrs.asdict(thing))  # type: ignore[arg-type]  # all of them are attrs values
        match thing:
            case KernelSource():
                self._know(source=without_credentials(thing.origin), commit=thing.commit or "", dirty=thing.dirty)
            case Toolchain():
                self._know(toolchain=thing.version)
            case KernelBuild():
                shutil.copyfile(thing.config, self.folder / "config")
                self._know(release=thing.release, build_id=thing.build_id, build_key=thing.key)
        return thing

    def note_features(self, features: frozenset[str]) -> frozenset[str]:
        """Take what the board can do; return it."""
        self._know(features=tuple(sorted(features)))
        return features

    def watch(self, strategy: RaspberryPiStrategy) -> None:
        """Take the boots from *strategy*."""
        self._strategy = strategy

    def keep_secret(self, secret: str) -> None:
        """Hide *secret* in everything that is written down from now on."""
        self._secrets.append(secret)

    def clean(self, text: str) -> str:
        """Return *text* fit for a terminal and a record: no secrets, and nothing that a terminal would obey."""
        return printable(redact(without_credentials(text), self._secrets))

    def case(self, report: Any, error: BaseException | None) -> None:
        """Take the outcome of one test."""
        fault = error.verdict if isinstance(error, Pi64Error) else ""
        message = self.clean(str(report.longrepr)[:MESSAGE_LIMIT]) if report.failed else ""
        outcome = "error" if report.failed and report.when != "call" else report.outcome
        if isinstance(error, CheckFailed):
            self._know(findings=(*self.record.findings, *error.findings))
        elif report.failed:
            asserted = isinstance(error, AssertionError) and report.when == "call"
            self._errors.append((fault or ("KERNEL" if asserted else "INCONCLUSIVE"), message))
        self._know(tests=(*self.record.tests, CaseRecord(report.nodeid, outcome, report.duration, message, fault)))

    def told(self, boot: BootRecord) -> bool:
        """Return whether a failed test has shown already why *boot* failed."""
        return any(boot.reason in case.message for case in self.record.tests if case.fault)

    def position(self) -> int:
        """Return how much of the console has been recorded."""
        recorder = self._strategy.recorder if self._strategy else None
        return recorder.position if recorder else 0

    def complaints(self, *, since: int) -> list[Finding]:
        """Return what the kernel complained about on the console after position *since*, outside of a boot's record."""
        recorder = self._strategy.recorder if self._strategy else None
        if recorder is None or recorder.position == since:
            return []
        text = recorder.read(since, timeout=0, limit=recorder.position - since).decode(errors="replace")
        first = recorder.line_number(since)
        judged = {found.first_line for boot in self._boots for found in boot.findings}
        found = scan(text.splitlines(), first_line=first)
        return [one for one in found if one.severity != "info" and one.first_line not in judged]

    def take(self, findings: Sequence[Finding]) -> None:
        """Take findings that came with a test that failed for another reason."""
        self._know(findings=(*self.record.findings, *findings))

    def finish(self, *, interrupted: bool) -> RunRecord:
        """Judge the run and write the last of its record."""
        verdict = judge(self._boots, self.record.findings, self._errors)
        if interrupted and verdict.name is VerdictName.PASS:
            verdict = Verdict(VerdictName.INCONCLUSIVE, "the run was interrupted before its end")
        self._know(verdict=verdict, finished=_now())
        return self.record

    def save(self) -> None:
        """Replace ``run.json``."""
        self.record = attrs.evolve(self.record, boots=tuple(self._boots))
        host.write_atomic(self.folder / "run.json", records.to_json(self.record).encode())

    @property
    def _boots(self) -> Sequence[BootRecord]:
        return self._strategy.boots if self._strategy else ()

    def _know(self, **facts: Any) -> None:
        self.record = attrs.evolve(self.record, **facts)
        self.save()

    def _write(self, name: str, value: Any) -> None:
        text = without_credentials(json.dumps(value, indent=1, default=str))
        host.write_atomic(self.folder / name, f"{text}\n".encode())


def _new_folder(parent: Path, name: str) -> Path:
    """Make and return a folder that no other process has made: two runs may start within one second."""
    number = 1
    while True:
        folder = parent / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1


def _point(link: Path, folder: Path) -> None:
    beside = link.with_name(f".{link.name}.{os.getpid()}")
    beside.symlink_to(folder.name)
    beside.replace(link)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
