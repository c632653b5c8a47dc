"""A served bench with a real ser2net between it and labgrid: somebody else's RFC 2217 at both of our ends."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import pytest
import tinycard
from processes import until
from servedbench import EVERY, Served, bench

from harness import host

TYPED = EVERY + b"\xff\xff\r\n\r\0"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ours", "accepter", "connector", "protocol"),
    [
        ("rfc2217", "telnet(rfc2217,mode=server),tcp", "telnet(rfc2217),tcp", "rfc2217"),
        ("rfc2217", "tcp", "telnet(rfc2217),tcp", "raw"),
        ("raw", "tcp", "tcp", "raw"),
    ],
)
def test_a_boot_and_every_byte_come_through(
    tmp_path, monkeypatch, ours: str, accepter: str, connector: str, protocol: str
) -> None:
    monkeypatch.setenv("PI64_CACHE", str(tmp_path / "cache"))
    card = tinycard.make(tmp_path / "card.img", tinycard.healthy())
    with bench("one", card=card) as served:
        [address] = served.addresses
        with (
            _ser2net(accepter, f"{connector},127.0.0.1,{getattr(address, ours)}") as port,
            Served(attrs.evolve(address, **{protocol: port}), tmp_path, protocol=protocol) as board,
        ):
            board.boot()
            assert board.recorder.log.read_bytes().startswith(b"MESS:00:")
            assert board.echo(TYPED) == TYPED


@contextmanager
def _ser2net(accepter: str, connector: str) -> Iterator[int]:
    """Run ser2net as labgrid's exporter does, but for the connector; yield its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    lines = [
        f"connection: &con01#  accepter: {accepter},127.0.0.1,{port}",
        f"  connector: {connector}",
        "  options:",
        "    max-connections: 10",
    ]
    argv = [host.find("ser2net"), "-d", "-n", *(word for line in lines for word in ("-Y", line))]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: process.poll() is not None or _answers(port))
            assert process.poll() is None, f"ser2net ended with status {process.returncode}"
            yield port
        finally:
            process.terminate()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True
