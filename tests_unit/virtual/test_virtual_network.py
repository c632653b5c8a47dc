"""A virtual board's USB network adapter: there only when asked for, with an address and a port of its own."""

import contextlib
import re
import socket
from pathlib import Path

import pytest
import tinycard
from labgrid import Target
from processes import qemus

from harness.card.slot import CardImage
from harness.errors import LabError
from harness.virtual.board import VirtualPiDriver


@contextlib.contextmanager
def running(folder, name: str = "tiny", **driver: object):
    """Yield QEMU's command line of a board that is on."""
    target = Target(name)
    CardImage(target, name=None, file=str(folder / f"{name}.img"))
    tinycard.make(folder / f"{name}.img", tinycard.healthy())
    board = VirtualPiDriver(target, name=None, model="rpi-3-b", **driver)
    target.activate(board)
    try:
        board.on()
        pid = qemus(str(board._folder))[0]
        yield Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    finally:
        target.deactivate(board)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def mac(command: str) -> str:
    found = re.search(r"usb-net,netdev=net,mac=(\S+)", command)
    assert found
    return found[1]


def test_no_adapter_is_plugged_in_unless_asked_for(tmp_path) -> None:
    """It costs boot time: the kernel waits for the bus, udev for the device."""
    with running(tmp_path) as command:
        assert "usb-net" not in command


def test_a_port_of_the_lab_host_leads_to_the_boards_sshd(tmp_path) -> None:
    port = free_port()
    with running(tmp_path, network={"ssh": port}) as command:
        assert f"hostfwd=tcp:127.0.0.1:{port}-:22" in command
        socket.create_connection(("127.0.0.1", port), timeout=10).close()


def test_an_adapter_alone_opens_no_port(tmp_path) -> None:
    for network in ({}, {"ssh": 0}):
        with running(tmp_path, f"board-{len(network)}", network=network) as command:
            assert "usb-net" in command
            assert "hostfwd" not in command


def test_each_target_has_an_address_of_its_own_and_keeps_it(tmp_path) -> None:
    found = []
    for name in ("one", "two"):
        with running(tmp_path, name, network={}) as command:
            found.append(mac(command))
    assert found[0] != found[1]
    assert all(address.startswith("52:54:00:") for address in found)


def test_a_port_that_is_taken_is_told_with_qemus_own_words(tmp_path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LabError, match="QEMU did not start") as caught, running(tmp_path, network={"ssh": port}):
            pass
    assert str(port) in "\n".join(caught.value.evidence)


@pytest.mark.parametrize("network", [{"shh": 1}, {"ssh": "22"}, {"ssh": 70000}, {"ssh": True}, [], "ssh"])
def test_what_is_no_network_is_refused(network) -> None:
    with pytest.raises(ValueError, match=r"`network` must be \{\} or \{ssh: PORT\}"):
        VirtualPiDriver(Target("tiny"), name=None, model="rpi-3-b", network=network)
