"""The switch answers, off cuts the power, and on makes the board speak.

In the order in which it proves something: off, and nothing must come; on, and a system must start; off in the middle of
its boot, and it must fall silent. A switch that answers and does not switch shows in the first or the last of these.
"""

import shlex
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness import host
from harness.console.recorder import Recorder
from harness.deadline import within, words
from harness.errors import LabError
from harness.lab.doctor import speech
from harness.lab.doctor.answer import Answer, absent, fault, ok
from harness.lab.doctor.bench import Bench, class_names
from harness.model import BootRecord
from harness.power.coldstart import proof_of_power
from harness.verdict.stages import StageTracker

ORDER = 120
ASK_S = 3.0
SETTLE_S = 1.0  # what comes so soon after the switch was under way: an adapter, and a network, hold bytes back
QUIET_S = 2.0  # a board that boots says something every few tenths of a second
MORE_S = 1.5  # to tell text from garbage, and a start from a prompt
ENOUGH = 600  # bytes for that
RELAY = "is it plugged in, and is its address in lab.yaml right? `curl -v` shows what it answers"


def look(bench: Bench) -> Iterator[Answer]:
    """Ask the switch for its state."""
    power = bench.strategy.power
    if bench.virtual:
        if not bench.running:
            yield absent("switch", "a virtual board has none")
    elif "ManualPowerDriver" in class_names(power):
        yield absent("switch", "somebody switches by hand")
    elif "ExternalPowerDriver" in class_names(power):
        yield from _programs(power)
    elif hasattr(power, "get"):
        yield _state(bench, power)
    else:
        yield absent("switch", f"a {type(power).__name__} does not tell its state")


def prove(bench: Bench) -> Iterator[Answer]:
    """Switch the board off, on and off, and listen."""
    power = bench.strategy.power
    if why := _unfit(bench, power):
        yield absent("off and on", *why)
        return
    with tempfile.TemporaryDirectory(prefix="pi64-doctor-") as folder:
        recorder = Recorder(bench.strategy.console, Path(folder))
        with recorder:
            try:
                yield from _off_and_on(bench, power, recorder)
            except LabError as error:
                yield fault("switch", "; ".join([error.message, *error.evidence]), error.hint or RELAY)


# --- the steps --------------------------------------------------------------------------------------------------------
def _off_and_on(bench: Bench, power: Any, recorder: Recorder) -> Iterator[Answer]:
    bench.progress("power: off, and listening")
    bench.supply.cut()
    if state := _disobeyed(bench, power, on=False):
        yield state
    answer = speech.judge_off(_heard_off(bench, recorder), seconds=QUIET_S)
    yield answer
    if answer.state == "fault":
        return
    bench.progress("power: on, and listening")
    position, started = recorder.position, recorder.now
    bench.supply.give()
    recorder.revive()
    if state := _disobeyed(bench, power, on=True):
        yield state
    # The firmware speaks within 2 s; where it is mute, the kernel within 15.
    data, seconds = _first_words(recorder, position, started, within_s=bench.options.deadlines.firmware)
    boot = _record(data, recorder)
    found = proof_of_power(boot, recorder, position=position, started=started, write=_typing(bench))
    if found:
        yield fault("on", f"{found.message}: `{found.text[0]}`", speech.PORTS)
        return
    answer = speech.judge_on(data, seconds=seconds, speed=_speed(bench))
    yield answer
    bench.progress("power: off again, and listening")
    bench.supply.cut()
    if answer.state == "ok":
        yield _cut(_heard_off(bench, recorder))


def _cut(data: bytes) -> Answer:
    """Judge the silence after the power was cut in the middle of a boot."""
    answer = speech.judge_off(data, seconds=QUIET_S, when="off again")
    return answer if answer.state == "fault" else ok("off again", "silent after it had spoken: the power is cut")


def _heard_off(bench: Bench, recorder: Recorder) -> bytes:
    """Return what comes in QUIET_S, when SETTLE_S after off Enter was pressed: an idle system answers that.

    LabError when the line dies.
    """
    try:
        _listen(recorder, recorder.position, until=recorder.now + SETTLE_S, enough=None)
        _typing(bench)(b"\r")
        return _listen(recorder, recorder.position, until=recorder.now + QUIET_S, enough=ENOUGH)
    except LabError:
        if bench.virtual:  # of a board that outlives its driver the line ends with the power
            return b""
        raise


def _first_words(recorder: Recorder, position: int, started: float, *, within_s: float) -> tuple[bytes, float]:
    """Return what came since *position*, and how long after *started* its first byte did, or that none did."""
    if not _listen(recorder, position, until=started + within_s, enough=1):
        return b"", recorder.now - started
    first = recorder.time_at(position) - started
    data = _listen(recorder, position, until=recorder.now + MORE_S, enough=ENOUGH)
    if speech.kind(data) == "strays":  # the plug's own noise: go on waiting for words
        data = _listen(recorder, position, until=started + within_s, enough=ENOUGH)
        first = recorder.now - started if speech.kind(data) == "strays" else first
    return data, max(first, 0.0)


def _typing(bench: Bench) -> Callable[[bytes], object]:
    """Return what types on the console.

    Not the driver's public write(): labgrid's logger of serial lines stumbles over one on which nothing was heard yet.
    """
    write: Callable[[bytes], object] = bench.strategy.console._write  # noqa: SLF001
    return write


def _listen(recorder: Recorder, position: int, *, until: float, enough: int | None) -> bytes:
    """Return what came since *position* when *enough* bytes did, or at the time *until* on the recorder's clock."""
    data = b""
    while (left := until - recorder.now) > 0 and (enough is None or len(data) < enough):
        data += recorder.read(position + len(data), timeout=left)
    return data


def _record(data: bytes, recorder: Recorder) -> BootRecord:
    """Make of what came what `proof_of_power` asks about a boot."""
    tracker, text = StageTracker(), data.decode(errors="replace").splitlines()
    for line in text:
        tracker.feed(0.0, line)
    return BootRecord(recorder.name, tracker.stages, False, "", (), recorder.log, 1, tuple(text))


# --- the switch -------------------------------------------------------------------------------------------------------
def _unfit(bench: Bench, power: Any) -> tuple[str, str] | None:
    """Return why the board is not switched, and the remedy; None when it may be."""
    if bench.used_by:
        return f"not tried: {bench.used_by} has the board", "wait for it to end, and ask again"
    if bench.no_card:
        return bench.no_card, bench.deploy_remedy
    if bench.resources("RpibootPort"):
        return "what it boots is sent to it by a run alone", bench.deploy_remedy
    if not bench.console_open:
        return "not tried: nobody would hear the board", "see the part `serial`"
    if "ManualPowerDriver" in class_names(power):
        return "somebody switches by hand", "`pytest tests_hw` asks for it"
    return None


def _state(bench: Bench, power: Any) -> Answer:
    bench.activate(power)
    name = _address(power)
    try:
        on = within(ASK_S, power.get, name)
    except NotImplementedError:
        return absent(name, "does not tell its state")
    except LabError as error:
        return fault(name, "; ".join([error.message.removeprefix(f"{name}: "), *error.evidence]), error.hint or RELAY)
    except Exception as error:  # noqa: BLE001 - whatever a driver's library raises
        return fault(name, words(error), RELAY)
    return ok(name, f"answers, and says {'on' if on else 'off'}")


def _disobeyed(bench: Bench, power: Any, *, on: bool) -> Answer | None:
    """Return the fault of a switch that says itself that it has not switched; None when it says nothing like that."""
    if bench.virtual or not hasattr(power, "get"):
        return None
    try:
        says = within(ASK_S, power.get, _address(power))
    except Exception:  # noqa: BLE001 - what it says of its state is told by `look`
        return None
    if bool(says) is on:
        return None
    wanted, stays = ("on", "off") if on else ("off", "on")
    return fault(_address(power), f"answers, and stays {stays} when told {wanted}", speech.PORTS)


def _programs(power: Any) -> Iterator[Answer]:
    """Judge the commands of an ExternalPowerDriver by whether they are there."""
    for key in ("cmd_on", "cmd_off"):
        command = shlex.split(getattr(power, key))
        try:
            yield ok(key, f"`{host.find(command[0]) if command else ''}` is there; it does not tell the state")
        except LabError as error:
            yield fault(key, error.message, f"correct `{key}` of the ExternalPowerDriver in lab.yaml")


def _address(power: Any) -> str:
    """Return what tells the switch from others, for people."""
    words = {key: getattr(getattr(power, "port", None), key, None) for key in ("model", "host", "hub", "index", "port")}
    said = [str(word).replace("{index}", str(words["index"])) for word in words.values() if word is not None]
    return " ".join([type(power).__name__, *said])


def _speed(bench: Bench) -> int | None:
    speed = getattr(getattr(bench.strategy.console, "port", None), "speed", None)
    return speed if isinstance(speed, int) and not bench.virtual else None
