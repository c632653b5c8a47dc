"""The coordinator of a remote lab answers."""

from collections.abc import Iterator

from harness.errors import LabError
from harness.lab.doctor import wire
from harness.lab.doctor.answer import Answer, absent, fault, ok
from harness.lab.doctor.bench import Bench

ORDER = 60
PORT = 20408  # labgrid's own


def look(bench: Bench) -> Iterator[Answer]:
    """Connect to it, before labgrid does, which waits longer; only where the target is a place of one."""
    if not bench.board:
        return
    if "RemotePlace" not in bench.asked("resources"):
        yield absent("coordinator", "the target is no place of one")
        return
    host, port = address(bench.coordinator)
    try:
        wire.connect(host, port).close()
    except LabError as error:
        bench.no_target = "the coordinator does not answer"
        remedy = (
            "start `labgrid-coordinator`, or name the right one: LG_COORDINATOR, or `coordinator_address` in lab.yaml"
        )
        yield fault("coordinator", error.message, remedy)
    else:
        yield ok("coordinator", f"{host}:{port} accepts connections")


def address(words: str) -> tuple[str, int]:
    """Return host and port of ``HOST[:PORT]``, as labgrid reads it; IPv6 stands in brackets."""
    host, _, port = words.rpartition(":") if words.rpartition(":")[2].isdigit() else (words, "", "")
    return (host or words).strip("[]"), int(port) if port else PORT
