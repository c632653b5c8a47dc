"""A bad serial line: what it does to the bytes that travel over it, reproducibly."""

import random
from collections.abc import Callable

NOISE = (
    b"[   12.345678] usb 1-1.3: new high-speed USB device number 5 using dwc_otg\r\n",
    b"[  112.000001][  T211] brcmfmac: brcmf_cfg80211_set_power_mgmt: power save enabled\r\n",
    b"<6>[   13.000000] random: crng init done\r\n",
    b"\r\n[   14.000000] IPv6: ADDRCONF(NETDEV_CHANGE): wlan0: link becomes ready\r\n",
    b"systemd[1]: Started Session 3 of User pi.\r\n",
    b"\x1b[32m[  OK  ]\x1b[0m Reached target \x1b[0;1;39mgraphical.target\x1b[0m.\r\n",
    b"$ ",
    b"\x1b[?2004h",
    "Grüße von der Konsole →\r\n".encode(),
    b"\x00\xff\xfe\x80",
)

Damage = Callable[[bytes, int], bytes]


def drop(data: bytes, at: int) -> bytes:
    return data[:at] + data[at + 1 :]


def double(data: bytes, at: int) -> bytes:
    return data[: at + 1] + data[at:]


def flip(bit: int) -> Damage:
    return lambda data, at: data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def put_in(noise: bytes) -> Damage:
    return lambda data, at: data[:at] + noise + data[at:]


LOSSES: tuple[Damage, ...] = (drop, double, *map(flip, range(8)))
INSERTS: tuple[Damage, ...] = tuple(map(put_in, NOISE))


class Once:
    """Damages the byte at *position* of what travels from now on, and is a good line again."""

    def __init__(self, damage: Damage, position: int) -> None:
        self._damage, self._left, self.done = damage, position, False

    def __call__(self, data: bytes) -> bytes:
        if self.done or self._left >= len(data):
            self._left -= len(data)
            return data
        self.done = True
        return self._damage(data, self._left)


class Bad:
    """Damages each byte with the probability *rate*, in one of *ways*."""

    def __init__(self, seed: int, rate: float, ways: tuple[Damage, ...]) -> None:
        self._random, self._rate, self._ways = random.Random(seed), rate, ways
        self.damaged = 0

    def __call__(self, data: bytes) -> bytes:
        for at in reversed(range(len(data))):
            if self._random.random() < self._rate:
                data = self._random.choice(self._ways)(data, at)
                self.damaged += 1
        return data
