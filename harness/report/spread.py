"""How long the boots of a run took, stage by stage: what lies in the middle, at both ends, and how many there were.

The numbers stand in a run's record as measurements, ``boot.cold.login.median``; from there they are told again.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median, quantiles

from harness.model import STAGES, BootRecord, Measurement

FIGURES = ("median", "p10", "p90", "max")
_NAME = re.compile(r"boot\.(cold|warm)\.(\w+)\.(\w+)")


def measurements(boots: Mapping[str, Sequence[BootRecord]], test: str = "") -> list[Measurement]:
    """Return the spread of each stage's seconds, of *boots* by their kind, ``cold`` or ``warm``.

    A warm boot counts from its own first line. Only boots that reached their login are counted.
    """
    found = []
    for kind, records in boots.items():
        reached = [record for record in records if record.reached]
        found.append(Measurement(f"boot.{kind}.boots.reached", len(reached), f"of {len(records)}", test=test))
        for stage in STAGES:
            times = [record.stages[stage] for record in reached if stage in record.stages]
            for figure, seconds in zip(FIGURES, _figures(times), strict=False):
                found.append(Measurement(f"boot.{kind}.{stage}.{figure}", round(seconds, 3), "s", test=test))
    return found


def _figures(times: Sequence[float]) -> tuple[float, ...]:
    """Return median, 10th and 90th percentile (between the neighbours, where there is none) and the longest."""
    if not times:
        return ()
    tenths = quantiles(times, n=10, method="inclusive") if len(times) > 1 else [times[0]] * 9
    return median(times), tenths[0], tenths[-1], max(times)


def lines(measured: Iterable[Measurement]) -> Iterator[str]:
    """Yield a line for each kind of boot, and one for each of its stages."""
    table: dict[tuple[str, str], dict[str, Measurement]] = {}
    for each in measured:
        if match := _NAME.fullmatch(each.name):
            table.setdefault((match[1], match[2]), {})[match[3]] = each
    for (kind, stage), row in table.items():
        if "reached" in row:
            yield f"{kind} boots: {row['reached'].value:g} {row['reached'].unit} reached their login"
        else:
            told = ", ".join(f"{figure} {row[figure].value:.1f} s" for figure in FIGURES if figure in row)
            yield f"  {kind} {stage}: {told}"
