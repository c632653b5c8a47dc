"""Network interfaces with hardware behind them, as the target tells them: one line each."""

import re

import attrs

WAIT_S = 20
"""What an interface may need after the login for its link and an address: a switch, a network's DHCP, are no kernel."""
_LIST = (
    "for d in /sys/class/net/*; do [ -e $d/device ] || continue; n=${d##*/}; k=wired;"
    " [ -e $d/phy80211 ] && k=wireless; c=$(cat $d/carrier 2>/dev/null || echo -);"
    ' a=$(ip -o addr show dev $n scope global | sed "s/.* inet6* \\([^ ]*\\) .*/\\1/" | tr "\\n" " ");'
    ' echo "$k $n $c $a"; done'
)
COMMAND = f"{_LIST}; sudo dmesg | grep -F 'firmware load for' | tail -n 3; true"
"""What a driver misses of its firmware, the image has not got; the kernel's log says so."""
_LINE = re.compile(r"(wired|wireless) (\S+) ([01-]) ?(.*)")
_FIRMWARE = re.compile(r".*firmware load for \S+ failed.*")


def waiting(kind: str) -> str:
    """Return the command that first waits until an interface of *kind*, ``wired`` or ``wireless``, could be used."""
    up = f"t | grep -q '^{kind} [^ ]* 1 [^ ]'"
    wait = f"t() {{ {_LIST}; }}; i=0; until {up} || [ $i -ge {WAIT_S} ]; do sleep 1; i=$((i+1)); done"
    return f"({wait}); {COMMAND}"


@attrs.frozen
class Interface:
    """One of them."""

    name: str
    wireless: bool
    link: bool
    """Whether there is somebody at the other end."""
    addresses: tuple[str, ...]

    @property
    def up(self) -> bool:
        """Whether it could be used."""
        return self.link and bool(self.addresses)


def interfaces(output: str) -> list[Interface]:
    """Return those that *output* tells of."""
    lines = (_LINE.fullmatch(line.strip()) for line in output.splitlines())
    return [Interface(line[2], line[1] == "wireless", line[3] == "1", tuple(line[4].split())) for line in lines if line]


def firmware_missing(output: str) -> list[str]:
    """Return the lines in which the kernel says that it found no firmware file."""
    return [line for line in output.splitlines() if _FIRMWARE.fullmatch(line)]
