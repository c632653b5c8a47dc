"""What came over a serial line, told apart: nothing, a stray byte or two, what nobody can read, or text."""

import re
from typing import Literal

from harness.errors import LabError
from harness.lab.doctor.answer import Answer, fault, ok
from harness.power.coldstart import PROMPT
from harness.verdict import garbage
from harness.verdict.stages import StageTracker

Kind = Literal["nothing", "strays", "garbage", "text"]

_WORD = re.compile(rb"[ -~]{4,}")
WIRES = (
    "in this order: is the board's red LED lit; is ground on pin 6, the adapter's RX on pin 8 and its TX on pin 10;"
    " does the card boot at all (`pi64 bootfs`); has config.txt enable_uart=1, and cmdline.txt console=serial0,115200"
)
FEEDS = (
    "pull the adapter's wires one by one while it is off: if it falls silent without TX (pin 10), the adapter feeds it"
    " through that pin; if without the adapter's 5 V, leave that off; else look at HDMI and USB cables"
)
PORTS = (
    "switch by hand and see which board's LED goes out: another board's port in lab.yaml, a relay that sticks, or a"
    " second supply (USB, HDMI, the adapter's 5 V)"
)


def kind(data: bytes) -> Kind:
    """Tell what *data* is; a line that is switched makes a stray byte or two."""
    if not data:
        return "nothing"
    if garbage.finding_in(data):
        return "garbage"
    return "text" if _WORD.search(data) or PROMPT.search(data) else "strays"


def first_line(data: bytes) -> str:
    """Return the first line that a person could read, shortened."""
    lines = (line.strip() for line in data.decode(errors="replace").splitlines())
    return next((line[:80] for line in lines if line), "")


def starts(data: bytes) -> bool:
    """Tell whether a firmware or a kernel begins in *data*."""
    tracker = StageTracker()
    for line in data.decode(errors="replace").splitlines():
        tracker.feed(0.0, line)
    return not tracker.stages.keys().isdisjoint({"firmware", "kernel"})


def judge_off(data: bytes, *, seconds: float, when: str = "off") -> Answer:
    """Judge what came in *seconds* while the switch says off, what was under way before left out."""
    match kind(data):
        case "nothing" | "strays":
            return ok(when, f"silent for {seconds:.0f} s")
        case "garbage":
            fact = f"unreadable bytes come while it is off ({len(data)}): a board that starves, not one without power"
            return fault(when, fact, FEEDS)
        case _ if starts(data):
            fact = f"it starts again and again while it is off: `{first_line(data)}`: something else feeds it"
            return fault(when, fact, FEEDS)
        case _:
            return fault(when, f"it talks on while it is off: `{first_line(data)}`: the power is not cut", PORTS)


def judge_on(data: bytes, *, seconds: float, speed: int | None = None) -> Answer:
    """Judge what came within *seconds* of power-on; *speed* is the baud rate that lab.yaml says, None for no baud."""
    match kind(data):
        case "text":
            return ok("on", f"speaks {seconds:.1f} s after power-on: `{first_line(data)}`")
        case "garbage":
            found = garbage.finding_in(data)
            assert found
            rate = f" at {speed} baud" if speed else ""
            return fault("on", f"{found.message}{rate}: `{found.text[-1]}`", garbage.REMEDY)
        case "strays":
            fact = f"{len(data)} stray bytes ({data[:8].hex(' ')}) within {seconds:.0f} s of power-on, and no line"
            return fault("on", fact, f"the line feels the power, and nobody speaks on it; {WIRES}")
        case _:
            return fault("on", f"not one byte within {seconds:.0f} s of power-on", WIRES)


def is_taken(data: bytes) -> bool:
    """Tell whether a server of serial lines says that somebody else is connected: ser2net's `Port already in use`."""
    return b"in use" in data.lower()


def judge_network(address: str, protocol: str, *, data: bytes, closed: bool) -> Answer:
    """Judge what a server of serial lines said to the offer to speak RFC 2217, or unasked to a raw connection."""
    subject = f"{address}, {protocol}"
    text = first_line(bytes(byte for byte in data if byte < 0x80))
    if is_taken(data):
        return fault(
            subject, f"somebody else is connected: `{text}`", "end the other client, or let ser2net serve more"
        )
    if closed:
        said = f" with `{text}`" if text else ""
        return fault(
            subject, f"the server accepts, and hangs up at once{said}", "its log says why: is its adapter there?"
        )
    if protocol == "rfc2217" and b"\xff" not in data:
        remedy = "`protocol: raw` in lab.yaml, `telnet(rfc2217)` in ser2net.yaml; or the server hangs: restart it"
        return fault(subject, "the server accepts, and does not answer RFC 2217", remedy)
    if protocol == "raw" and _telnet(data):
        return fault(subject, "the server speaks telnet on it", "`protocol: rfc2217` in lab.yaml")
    return ok(subject, "answers" if protocol == "rfc2217" else "accepts")


def _telnet(data: bytes) -> bool:
    """Tell whether telnet's options are offered: IAC, WILL to DONT, an option."""
    return re.search(rb"\xff[\xfb-\xfe][\x00-\x31]", data) is not None


def unheard(error: LabError) -> Answer:
    """Make an answer of a line that died while it was listened to."""
    return fault("console", error.message, error.hint or "see the part `serial`")
