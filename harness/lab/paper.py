"""The record of one run on the disk: what becomes known is written at once, without secrets, and replaced whole."""

import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import attrs

from harness import host
from harness.lab import leavings
from harness.model import (
    BaseImage,
    BootFiles,
    BootRecord,
    KernelBuild,
    KernelSource,
    Measurement,
    Toolchain,
)
from harness.report import record as records
from harness.report.record import CaseRecord, RunRecord
from harness.report.redact import printable, redact, without_credentials
from harness.verdict.ktap import Result

T = TypeVar("T")


class Paper:
    """Keeps ``run.json`` and what lies beside it up to date; whoever runs something decides what a full disk means."""

    def __init__(self, path: Path, record: RunRecord) -> None:
        self.folder, self.record = path, record
        self.attempt = 1
        """Which attempt at a test goes on now."""
        self._secrets: list[str] = []
        self._doing: leavings.Doing | None = None

    @property
    def target(self) -> str:
        """Name of the target."""
        return self.record.target

    @property
    def console(self) -> Path:
        """The full console log."""
        return self.folder / "console.log"

    def keep_secret(self, secret: str) -> None:
        """Hide *secret* in everything that is written down from now on."""
        self._secrets.append(secret)

    def clean(self, text: str) -> str:
        """Return *text* fit for a terminal and a record: no secrets, and nothing that a terminal would obey."""
        return printable(redact(without_credentials(text), self._secrets))

    # --- what becomes known -------------------------------------------------------------------------------------------
    def note(self, **things: T) -> T:
        """Take one thing that became known, under its name; write it down, return it."""
        ((name, thing),) = things.items()
        self._write(f"{name}.json", attrs.asdict(thing))  # type: ignore[arg-type]  # all of them are attrs values
        match thing:
            case KernelSource():
                self._know(source=without_credentials(thing.origin), commit=thing.commit or "", dirty=thing.dirty)
                self._know(branch=self.record.branch or thing.branch)
            case Toolchain():
                self._know(toolchain=thing.version)
            case BaseImage():
                self._know(image=thing.origin, image_digest=thing.digest)
            case KernelBuild():
                with self._disk():
                    shutil.copyfile(thing.config, self.folder / "config")
                self._know(release=thing.release, build_id=thing.build_id, build_key=thing.key)
                self._know(base_config=thing.base_config, fragments=tuple(map(self.clean, thing.fragments)))
                rate = round(thing.ccache.rate, 3) if thing.ccache else None
                new = tuple(map(self.clean, thing.new_warnings))
                seconds, count = thing.seconds, thing.warnings
                self._know(build_seconds=seconds, ccache_rate=rate, warnings=count, new_warnings=new)
        return thing

    def remark(self, files: BootFiles) -> BootFiles:
        """Take what is to be told of how *files* were composed; return them."""
        self._know(remarks=tuple(map(self.clean, files.remarks)))
        return files

    def note_doing(self, text: str) -> None:
        """Leave a line that says what goes on, for `pi64 watch`; empty: tests. The part before the colon is the work.

        Once a second at most of the same work. Nobody's verdict hangs on it: it is not synced, and may fail.
        """
        work, now = text.partition(":")[0], time.time()
        same = self._doing is not None and self._doing.work == work
        if self._doing is not None and same and now - self._doing.at < 1:
            return
        since = self._doing.since if self._doing is not None and same else now
        self._doing = leavings.Doing(work, self.clean(text), since, now)
        with suppress(OSError):
            leavings.leave_doing(self.folder, self._doing)

    def note_features(self, features: frozenset[str]) -> frozenset[str]:
        """Take what the board can do; return it."""
        self._know(features=tuple(sorted(features)))
        return features

    def measure(self, measured: Measurement) -> Measurement:
        """Take a number that a test found out; return it."""
        self._know(measurements=(*self.record.measurements, measured))
        return measured

    def note_inventory(self, kind: str, names: Iterable[str]) -> tuple[str, ...]:
        """Take what there is of *kind* on the board (``modules``, ``devices``), sorted, each once; return it."""
        there = tuple(sorted(set(map(self.clean, names))))
        self._know(inventory={**self.record.inventory, kind: there})
        return there

    def note_comparison(self, kind: str, told: str) -> None:
        """Take with which good run the inventory of *kind* was compared, or why with none."""
        self._know(compared={**self.record.compared, kind: self.clean(told)})

    def note_results(self, test: str, results: Iterable[Result], *, said: str, seconds: float) -> None:
        """Take what came of program *test*: each test in it is one of its own in the record, and in the history.

        What it *said* comes to lie in a file of its own. *seconds* stand with the program itself, the last result.
        """
        cases = [
            CaseRecord(
                "::".join([test, *map(self.clean, result.path)]),
                result.outcome,
                0.0 if result.path else seconds,
                self.clean(result.said),
                attempt=self.attempt,
                blame="KERNEL" if result.outcome == "failed" else "",
            )
            for result in results
        ]
        self._know(tests=(*self.record.tests, *cases))
        path = self.folder / "programs" / f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', test.partition('::')[2])[-150:]}.log"
        with self._disk():
            path.parent.mkdir(exist_ok=True)
            host.write_atomic(path, "".join(f"{self.clean(line)}\n" for line in said.splitlines()).encode())

    # --- the files ----------------------------------------------------------------------------------------------------
    def save(self) -> None:
        """Replace ``run.json``."""
        self.record = attrs.evolve(self.record, boots=tuple(self._boots))
        with self._disk():
            host.write_atomic(self.folder / "run.json", records.to_json(self.record).encode())

    def publish(self) -> str:
        """Write ``report.html``; return a line that says where it is, or why not: no verdict hangs on that."""
        try:
            return f"report: {os.path.relpath(leavings.publish(self.folder, self.record, hide=self._secrets))}"
        except Exception as error:  # noqa: BLE001 - a full disk, or a mistake of ours in a page
            return self.clean(f"no report.html: {type(error).__name__}: {error}")

    def _know(self, **facts: Any) -> None:
        self.record = attrs.evolve(self.record, **facts)
        self.save()

    def _write(self, name: str, value: Any) -> None:
        text = without_credentials(json.dumps(value, indent=1, default=str))
        with self._disk():
            host.write_atomic(self.folder / name, f"{text}\n".encode())

    @contextmanager
    def _disk(self) -> Iterator[None]:
        """Go on when the disk is full: the board is to go off, and the verdict to be told all the same: LAB."""
        try:
            yield
        except OSError as error:
            self._note_full(error)

    @property
    def _boots(self) -> Sequence[BootRecord]:
        """The boots so far."""
        return self.record.boots

    def _note_full(self, error: OSError) -> None:
        """Take *error*, for which the record could not be written."""
        raise error
