"""lab.yaml is good, and labgrid makes the target of what it says."""

from collections.abc import Iterator

from harness.errors import Pi64Error
from harness.lab.doctor.answer import Answer, fault, ok
from harness.lab.doctor.bench import Bench

ORDER = 50


def look(bench: Bench) -> Iterator[Answer]:
    """Read the file; the target is made later, by the part `target`, when its coordinator has been asked."""
    if bench.running:
        return
    try:
        lab = bench.lab
    except Pi64Error as error:
        place, _, what = error.message.partition(": ")  # file and line
        yield fault(place, "; ".join([what, *error.evidence]), error.hint)
        return
    names = ", ".join(f"{name} ({options.model})" for name, options in lab.targets.items())
    yield ok(str(bench.lab_file), f"targets: {names}")
