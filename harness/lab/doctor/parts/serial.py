"""The serial line is there, free, and opens."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.errors import LabError
from harness.lab.doctor import holders, speech, wire
from harness.lab.doctor.answer import Answer, absent, fault, ok
from harness.lab.doctor.bench import Bench
from harness.lab.doctor.holders import Holders

ORDER = 90
ANSWER_S = {"rfc2217": 2.0, "raw": 0.3}
"""How long a server of serial lines may take; a raw one says nothing, unless that somebody else is connected."""
USUAL_BAUD = 115_200


def look(bench: Bench) -> Iterator[Answer]:
    """Look at the port without opening it: two who read one line get half of the bytes each."""
    port = port_of(bench)
    if port is None:
        yield absent("console", f"{type(bench.strategy.console).__name__} has no serial port")
    elif hasattr(port, "protocol"):
        yield _network(bench, port)
    elif not port.port:
        yield absent("port", "its adapter is not there: see the part `usb`")
    else:
        yield from _local(bench, bench.node(str(port.port)), port.speed)


def prove(bench: Bench) -> Iterator[Answer]:
    """Open it as a run would."""
    if bench.used_by:
        yield absent("console", f"not opened: {bench.used_by} has it")
        return
    console = bench.strategy.console
    bench.activate(console)
    bench.console_open = True
    yield ok("console", f"{type(console).__name__} opens it")


def port_of(bench: Bench) -> Any:
    """Return the labgrid resource of the console's port; None for a console that has none, as a virtual board's."""
    return getattr(bench.strategy.console, "port", None) if not bench.virtual else None


def judge_node(node: Path, *, exists: bool, mine: bool, group: str, speed: int) -> Answer:
    """Judge the device file of a local port: *mine* is whether this user may read and write it."""
    if not exists:
        return fault(
            str(node), "there is no such port", "plug the adapter in; `pi64 doctor --scan` shows what there is"
        )
    if not mine:
        rule = "give it the group dialout by a udev rule" if group == "root" else f"`sudo usermod -aG {group} $USER`"
        return fault(str(node), "this user may not open it", f"{rule}, then log in anew")
    odd = "" if speed == USUAL_BAUD else f" (a Pi's console has {USUAL_BAUD} unless somebody changed it)"
    return ok(str(node), f"is there, {speed} baud{odd}")


def judge_holders(node: Path, known: Holders) -> Iterator[Answer]:
    """Judge who else has the port."""
    for holder in known.found:
        how = "locked" if holder.locked else "held"
        yield fault(str(node), f"{how} by {holder}", holder.remedy.replace("NAME", node.name))
    if not known.found:
        unseen = f"; {known.hidden} processes could not be looked into, as root may" if known.hidden else ""
        stale = f"; a stale lock lies in {', '.join(known.stale)}" if known.stale else ""
        yield ok(str(node), f"nobody else has it open{unseen}{stale}")


def _local(bench: Bench, node: Path, speed: int) -> Iterator[Answer]:
    there = node.exists()
    answer = judge_node(node, exists=there, mine=bench.may_use(node), group=_group(node), speed=speed)
    yield answer
    if there:
        own = frozenset({os.getpid()})
        known = holders.of(node, proc=bench.roots.proc, run=bench.roots.run, besides=own)
        bench.used_by = bench.used_by or ", ".join(map(str, known.found))
        yield from judge_holders(node, known)


def _network(bench: Bench, port: Any) -> Answer:
    host, number = port.host, port.port
    subject = f"{host}:{number}"
    if number is None:
        return fault(subject, "the exporter has no port for it", "is its adapter plugged in there?")
    try:
        if bench.running:  # the line is ours, and a server may take one client only
            wire.connect(host, number).close()
            return ok(subject, "somebody accepts connections")
        say = wire.OFFER_RFC2217 if port.protocol == "rfc2217" else b""
        until = b"\xff" if say else b""
        reply = wire.first_words(host, number, say=say, seconds=ANSWER_S.get(port.protocol, 1.0), until=until)
    except LabError as error:
        return fault(subject, error.message.removeprefix(f"{subject}: "), "does ser2net, or the exporter, run there?")
    if speech.is_taken(reply.data):
        bench.used_by = bench.used_by or "another client of its serial port"
    return speech.judge_network(subject, port.protocol, data=reply.data, closed=reply.closed)


def _group(node: Path) -> str:
    """Return the group that may use *node*; on Debian it is dialout."""
    try:
        return node.group()
    except (OSError, KeyError):
        return "dialout"
