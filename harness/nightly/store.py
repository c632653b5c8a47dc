"""Write one run's record into the history: in one transaction, in place of what was known of the run before."""

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs

from harness.model import STAGES
from harness.nightly import facts, schema
from harness.report.record import RunRecord

NEW, RENEWED, KNOWN = "new", "renewed", "known"


@attrs.frozen
class Paper:
    """A record as it lies on the disk."""

    record: RunRecord
    digest: bytes
    """Of the file's bytes."""
    folder: str
    modules: Callable[[], Sequence[str]] = tuple
    """Those that were built with the kernel; empty if nobody told. Asked once a kernel: they may be thousands."""


class Store:
    """Writes into an open history; remembers the numbers of what many runs share."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._numbers: dict[tuple[Any, ...], int] = {}

    def forget(self) -> None:
        """Forget those numbers: the transaction in which they were given has been rolled back."""
        self._numbers.clear()

    def take(self, paper: Paper) -> str:
        """Write *paper*'s run; return whether it is new, was renewed, or was known as it is."""
        record = paper.record
        host = self._word(record.host)
        known = self._db.execute(
            "SELECT id, digest FROM run WHERE name = ? AND host_id = ?", (record.run_id, host)
        ).fetchone()
        if known and known[1] == paper.digest:
            self._db.execute("UPDATE run SET folder = ? WHERE id = ?", (paper.folder, known[0]))
            return KNOWN
        if known:
            self._remove(known[0])
        self._write(paper, host, known[0] if known else None)
        return RENEWED if known else NEW

    def _remove(self, run: int) -> None:
        for table in schema.OF_A_RUN:
            self._db.execute(f"DELETE FROM {table} WHERE run_id = ?", (run,))  # noqa: S608 - our own names
        self._db.execute("DELETE FROM run WHERE id = ?", (run,))

    def _write(self, paper: Paper, host: int, number: int | None) -> None:
        record = paper.record
        outcomes, began, series = facts.outcomes(record), facts.started(record), self._series(record)
        target = self._target(record)
        row = {
            "id": number, "name": record.run_id, "host_id": host, "series_id": series, "target_id": target,
            "kernel_id": self._kernel(paper), "started": began, "finished": facts.finished(record),
            "verdict": str(record.verdict.name) if record.verdict else None,
            "rule_id": self._word(record.verdict.rule) if record.verdict else None,
            "source_id": self._word(record.source), "git_commit": record.commit, "dirty": record.dirty,
            "toolchain_id": self._word(record.toolchain),
            "image_id": self._word(facts.image(record)),
            "setup_id": self._word(json.dumps(facts.setup(record))),
            "control_failed": facts.control_failed(record),
            "good": sum(one.good is True for one in outcomes), "bad": sum(one.good is False for one in outcomes),
            "build_seconds": record.build_seconds, "warnings": record.warnings,
            "new_warnings": "\n".join(record.new_warnings) or None, "folder": paper.folder, "digest": paper.digest,
        }  # fmt: skip
        names = ", ".join(row)
        slots = ", ".join(f":{name}" for name in row)
        run = self._db.execute(f"INSERT INTO run ({names}) VALUES ({slots})", row).lastrowid  # noqa: S608 - ours
        assert run is not None
        self._forget_told(series, began)
        self._write_outcomes(run, outcomes)
        self._write_attempts(run, record)
        self._write_boots(run, record)
        self._write_sightings(run, series, began, record)
        self._write_measurements(run, record)
        for kind, there in record.inventory.items():
            self._insert("inventory", [(run, kind, self._names(there))])

    def _forget_told(self, series: int, began: int) -> None:
        """Drop what was said to be new in later runs of *series*: it was said without the one that comes now."""
        later = "SELECT id FROM run WHERE series_id = ? AND started >= ?"
        self._db.execute(f"DELETE FROM told WHERE run_id IN ({later})", (series, began))  # noqa: S608 - our own words

    # --- what belongs to the run -------------------------------------------------------------------------------------
    def _write_outcomes(self, run: int, outcomes: Iterable[facts.Outcome]) -> None:
        rows = [
            (run, self._test(one.test), one.attempt, facts.LETTERS.get(one.outcome, one.outcome), one.good,
             one.blame or None, round(1000 * one.seconds), one.headline or None)
            for one in outcomes
        ]  # fmt: skip
        self._insert("outcome", rows)

    def _write_attempts(self, run: int, record: RunRecord) -> None:
        rows = [
            (run, self._test(one.test), one.number, str(one.verdict), self._word(one.rule), one.set_aside,
             one.first_boot, one.last_boot)
            for one in record.attempts
        ]  # fmt: skip
        self._insert("attempt", rows)

    def _write_boots(self, run: int, record: RunRecord) -> None:
        rows = [
            (run, boot.number, boot.record.control, boot.set_aside, boot.record.reached, boot.record.reason or None,
             *(_ms(boot.record.stages.get(stage)) for stage in STAGES))
            for boot in facts.boots(record)
        ]  # fmt: skip
        self._insert("boot", rows)

    def _write_sightings(self, run: int, series: int, began: int, record: RunRecord) -> None:
        rows = [(self._signature(seen), series, began, run, seen.times) for seen in facts.sightings(record)]
        self._insert("sighting", rows)

    def _write_measurements(self, run: int, record: RunRecord) -> None:
        rows = [
            (run, self._word(one.name), number, one.value, one.unit, one.limit,
             self._test(one.test) if one.test else None)
            for number, one in enumerate(record.measurements, start=1)
        ]  # fmt: skip
        self._insert("measurement", rows)

    def _insert(self, table: str, rows: list[tuple[Any, ...]]) -> None:
        if rows:
            slots = ", ".join("?" * len(rows[0]))
            self._db.executemany(f"INSERT INTO {table} VALUES ({slots})", rows)  # noqa: S608 - our own names

    # --- what runs share ---------------------------------------------------------------------------------------------
    def _number(self, table: str, **unique: Any) -> int:
        """Return the number of the row that *unique* tells from all others; it is made if it is not there."""
        key = (table, *unique.values())
        if key not in self._numbers:
            where = " AND ".join(f"{name} = :{name}" for name in unique)
            found = self._db.execute(f"SELECT id FROM {table} WHERE {where}", unique).fetchone()  # noqa: S608 - ours
            self._numbers[key] = found[0] if found else self._make(table, unique)
        return self._numbers[key]

    def _make(self, table: str, row: dict[str, Any]) -> int:
        names, slots = ", ".join(row), ", ".join(f":{name}" for name in row)
        number = self._db.execute(f"INSERT INTO {table} ({names}) VALUES ({slots})", row).lastrowid  # noqa: S608 - ours
        assert number is not None
        return number

    def _find(self, table: str, name: str, value: Any, **rest: Any) -> int:
        """Return the number of the row whose *name* is *value*; made with *rest* if it is not there."""
        key = (table, value)
        if key not in self._numbers:
            select = f"SELECT id FROM {table} WHERE {name} = ?"  # noqa: S608 - our own names
            found = self._db.execute(select, (value,)).fetchone()
            self._numbers[key] = found[0] if found else self._make(table, {name: value, **rest})
        return self._numbers[key]

    def _word(self, text: str) -> int:
        return self._number("word", text=text)

    def _test(self, name: str) -> int:
        return self._number("test", name=name)

    def _names(self, names: Iterable[str]) -> int:
        text = facts.joined(names)
        digest = hashlib.sha256(text.encode(errors="surrogatepass")).digest()[:16]
        return self._find("names", "digest", digest, list=text)

    def _target(self, record: RunRecord) -> int:
        number = self._find("target", "name", record.target, model=record.board)
        if record.board and self._numbers.get(("model", number, record.board)) is None:
            self._db.execute("UPDATE target SET model = ? WHERE id = ?", (record.board, number))
            self._numbers["model", number, record.board] = number
        return number

    def _series(self, record: RunRecord) -> int:
        config, fragments = facts.configuration(record)
        return self._number(
            "series",
            target_id=self._target(record),
            branch_id=self._number("branch", tree=record.tree or record.source, name=record.branch),
            config=config,
            fragments=" ".join(fragments),
        )

    def _kernel(self, paper: Paper) -> int | None:
        record = paper.record
        if not record.release:
            return None
        key = record.build_key or f"{record.release} {record.build_id}"
        number = self._find(
            "kernel", "key", key, version=record.release, build_id=record.build_id, base_config=record.base_config
        )
        if ("modules", number) not in self._numbers:
            self._numbers["modules", number] = number
            self._tell_modules(number, paper)
        return number

    def _tell_modules(self, kernel: int, paper: Paper) -> None:
        """Note which modules *kernel* has, unless that is known."""
        if self._db.execute("SELECT modules_id FROM kernel WHERE id = ?", (kernel,)).fetchone()[0] is None:
            modules = paper.modules()
            number = self._names(modules) if modules else None
            self._db.execute("UPDATE kernel SET modules_id = ? WHERE id = ?", (number, kernel))

    def _signature(self, seen: facts.Sighting) -> int:
        found = seen.finding
        return self._find(
            "signature",
            "text",
            found.signature,
            kind=found.kind,
            severity=found.severity,
            fault=found.fault,
            example=found.message[:500],
        )


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(1000 * seconds)
