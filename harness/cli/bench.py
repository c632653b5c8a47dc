"""Serve virtual boards over the protocols of a real lab, and print the lab.yaml for them.

Power is a relay over HTTP, the serial line RFC 2217 and raw TCP, the card an image behind a mux; all on 127.0.0.1.
"""

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from harness import boards, host
from harness.errors import UsageError
from harness.model import BoardProfile
from harness.report.redact import printable
from harness.virtual.bench import Address, Bench

MARK = "# Made by `pi64 bench`"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PL011 = {"bcm2837": "0x3f201000", "bcm2711": "0xfe201000"}
TARGET = """\
  {name}:
    features: [virtual]
    options:
      model: {model}
      kernel:
        source: package:linux-source-*
        config: allnoconfig
        fragments: [smoke]
      login: {{user: pi, password: raspberry}}
      config_txt: [dtoverlay=disable-bt]
      cmdline: ["earlycon=pl011,mmio32,{uart}"]
    resources:
      NetworkPowerPort: {{model: rest, host: "http://127.0.0.1:{relay}/relay/{{index}}/value", index: {number}}}
      NetworkSerialPort: {{host: 127.0.0.1, port: {rfc2217}, protocol: rfc2217}}  # or: port: {raw}, protocol: raw
      NetworkCardMux: {{host: "http://127.0.0.1:{relay}/card/{{index}}/mode", index: {number}}}
      CardImage: {{file: {card}}}
    drivers:
      NetworkPowerDriver: {{}}
      SerialDriver: {{}}
      NetworkCardMuxDriver: {{}}
      MuxedCardImageDriver: {{}}
      RaspberryPiStrategy: {{}}
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--model", default="rpi-3-b", help="board model: rpi-3-b or rpi-4-b (%(default)s)")
    parser.add_argument("--count", type=int, default=1, metavar="N", help="how many boards (%(default)s)")
    parser.add_argument("--name", help="name of the target; of more than one: NAME-1, NAME-2 ... (served-MODEL)")
    parser.add_argument("--port", type=int, default=0, help="TCP port of the switches; the boards get the next ones"
                        ", two each (0: any free ports)")  # fmt: skip
    parser.add_argument("--card", type=Path, metavar="IMAGE", help="put a copy of this image into each board's slot")
    parser.add_argument("--lab", type=Path, metavar="FILE", help="write lab.yaml there, for as long as the bench runs")


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C, SIGTERM or SIGHUP; return 0."""
    board = boards.load(args.model)
    names = _names(args.name or f"served-{board.name}", args.count)
    if not 0 <= args.port < 65536 - 2 * args.count:
        raise UsageError(f"--port {args.port}: no such port, or not enough above it")
    if args.lab:
        _demand_free(args.lab)
    end = threading.Event()
    for number in SIGNALS:  # a second one changes nothing: what there is to put away takes seconds at most
        signal.signal(number, lambda *_: end.set())
    with Bench(names, board, port=args.port, card=args.card, tell=_tell) as bench:
        with _published(lab_yaml(bench.addresses, board), args.lab):
            _tell(f"{len(names)} board{'s' * (len(names) > 1)} served; Ctrl-C ends it")
            end.wait()
        _tell("putting the bench away")
    return 0


def lab_yaml(addresses: list[Address], board: BoardProfile) -> str:
    """Return the lab.yaml of a bench that serves *addresses*."""
    targets = [
        TARGET.format(
            name=each.name, model=board.name, uart=PL011[board.soc], relay=each.relay, number=each.number,
            rfc2217=each.rfc2217, raw=each.raw, card=json.dumps(str(each.card)),
        )
        for each in addresses
    ]  # fmt: skip
    head = (
        f"{MARK}, process {os.getpid()}; good for as long as that runs.\nimports: [harness.lab.drivers]\n\ntargets:\n"
    )
    return head + "\n".join(targets)


@contextlib.contextmanager
def _published(text: str, file: Path | None) -> Iterator[None]:
    """Print *text*; or keep it in *file*, which tells by being there that the bench is."""
    if file is None:
        print(text, flush=True)
        yield
        return
    host.write_atomic(file, text.encode())
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if file.read_text() == text:  # not what somebody has made of it meanwhile
                file.unlink()


def _demand_free(file: Path) -> None:
    """Raise UsageError when something else than a bench has made *file*: a lab.yaml that somebody wrote, say."""
    try:
        if not file.read_text(errors="replace").startswith(MARK):
            raise UsageError(f"{file} is there, and no bench has made it", hint="choose another file for --lab")
    except FileNotFoundError:
        pass
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}", hint="choose another file for --lab") from error


def _names(name: str, count: int) -> list[str]:
    if not 1 <= count <= 64:
        raise UsageError(f"--count {count}: from 1 to 64 boards can be served")
    return [name] if count == 1 else [f"{name}-{number}" for number in range(1, count + 1)]


def _tell(text: str) -> None:
    print(printable(f"pi64 bench: {text}"), file=sys.stderr, flush=True)
