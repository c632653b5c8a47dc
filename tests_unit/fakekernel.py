"""A kernel of a few hundred bytes: prints a text on the PL011, then obeys single keys, hangs, resets or powers off.

It has a real arm64 Image header, so firmware and QEMU take it for a kernel; it answers within 0.2 s of power-on.
Keys: ``r`` resets through the watchdog block, ``p`` powers off the way bcm2835_wdt does, ``~`` restarts as Linux does
after ``reboot '0 tryboot'``, any other is echoed.
"""

import struct
from pathlib import Path

UART = {"bcm2837": 0x3F201000, "bcm2711": 0xFE201000}
PM = {"bcm2837": 0x3F100000, "bcm2711": 0xFE100000}
PASSWORD, FULL_RESET, HALT = 0x5A000000, 0x20, 0x555
TRYBOOT = "\nreboot: Restarting system with command '0 tryboot'\n"
LOGIN = "VFS: Mounted root (ext4 filesystem).\nRun /sbin/init as init process\n\nraspberrypi login: "


def text(release: str, rest: str = LOGIN) -> str:
    """What a healthy kernel of that release says up to its login prompt."""
    return f"Booting Linux on physical CPU 0x0\nLinux version {release} (test@test) #1 SMP\n{rest}"


def image(message: str, *, soc: str = "bcm2837", then: str = "keys") -> bytes:
    """Return the Image; *then* is what follows the text: ``keys``, ``hang``, ``reset`` or ``poweroff``."""
    code = _Code()
    code.constant(1, UART[soc])
    code.constant(4, PM[soc])
    code.address(2, "text")
    code.label("print")
    code.word(0x38401440)  # ldrb w0, [x2], #1
    code.branch(0x34000000, then)  # cbz w0
    code.label("full")
    code.word(0xB9401823)  # ldr w3, [x1, #0x18]: flag register
    code.branch(0x37280003, "full", bits=14)  # tbnz w3, #5: transmit FIFO full
    code.word(0xB9000020)  # str w0, [x1]
    code.branch(0x14000000, "print")
    code.label("keys")
    code.word(0xB9401823)
    code.branch(0x37200003, "keys", bits=14)  # tbnz w3, #4: receive FIFO empty
    code.word(0x39400020)  # ldrb w0, [x1]
    for key, target in (("r", "reset"), ("p", "poweroff"), ("~", "tryboot")):
        code.word(0x7100001F | ord(key) << 10)  # cmp w0, #key
        code.branch(0x54000000, target)  # b.eq
    code.word(0xB9000020)
    code.branch(0x14000000, "keys")
    code.label("tryboot")
    code.address(2, "asked")
    code.label("tell")
    code.word(0x38401440)  # ldrb w0, [x2], #1
    code.branch(0x34000000, "reset")  # cbz w0
    code.label("filled")
    code.word(0xB9401823)
    code.branch(0x37280003, "filled", bits=14)  # tbnz w3, #5
    code.word(0xB9000020)
    code.branch(0x14000000, "tell")
    code.label("poweroff")
    code.constant(5, PASSWORD | HALT)
    code.word(0xB9002085)  # str w5, [x4, #0x20]: RSTS
    code.label("reset")
    code.constant(5, PASSWORD | 10)
    code.word(0xB9002485)  # str w5, [x4, #0x24]: WDOG
    code.constant(5, PASSWORD | FULL_RESET)
    code.word(0xB9001C85)  # str w5, [x4, #0x1c]: RSTC
    code.label("hang")
    code.word(0xD503205F)  # wfe
    code.branch(0x14000000, "hang")
    code.label("asked")
    code.data(TRYBOOT)
    code.label("text")
    body = code.assembled() + message.replace("\n", "\r\n").encode() + b"\0"
    header = struct.pack("<IIQQQQQQ4sI", 0x14000010, 0, 0x80000, 0x10000, 0xA, 0, 0, 0, b"ARM\x64", 0)
    return header + body


def write(path: Path, message: str, *, soc: str = "bcm2837", then: str = "keys") -> Path:
    path.write_bytes(image(message, soc=soc, then=then))
    return path


class _Code:
    """Just enough of an assembler: words, labels, and branches patched at the end."""

    def __init__(self) -> None:
        self._words: list[int] = []
        self._labels: dict[str, int] = {}
        self._open: list[tuple[int, str, int]] = []

    def word(self, value: int) -> None:
        self._words.append(value)

    def data(self, text: str) -> None:
        raw = text.replace("\n", "\r\n").encode() + b"\0"
        raw += bytes(-len(raw) % 4)
        self._words.extend(struct.unpack(f"<{len(raw) // 4}I", raw))

    def label(self, name: str) -> None:
        self._labels[name] = len(self._words)

    def constant(self, register: int, value: int) -> None:
        self.word(0xD2800000 | (value & 0xFFFF) << 5 | register)  # movz
        self.word(0xF2A00000 | (value >> 16 & 0xFFFF) << 5 | register)  # movk, lsl #16

    def address(self, register: int, name: str) -> None:
        self._open.append((len(self._words), name, 0))
        self.word(0x10000000 | register)  # adr

    def branch(self, opcode: int, name: str, *, bits: int = 19) -> None:
        bits = 26 if opcode == 0x14000000 else bits
        self._open.append((len(self._words), name, bits))
        self.word(opcode)

    def assembled(self) -> bytes:
        for place, name, bits in self._open:
            distance = self._labels[name] - place
            if bits == 0:
                self._words[place] |= distance << 5  # adr's low two bits stay 0: words are four bytes
            elif bits == 26:
                self._words[place] |= distance & 0x3FFFFFF
            else:
                self._words[place] |= (distance & (1 << bits) - 1) << 5
        return struct.pack(f"<{len(self._words)}I", *self._words)
