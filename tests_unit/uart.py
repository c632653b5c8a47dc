"""A UART that listens at another rate than the sender's: the true garbage of a wrong baud setting or a moved clock."""


def missampled(data: bytes, ratio: float, *, drops_errors: bool = False, waits_for_idle: bool = False) -> bytes:
    """Return what a receiver makes of *data*, sent 8N1 without pauses, when it runs at *ratio* of the sender's rate.

    Adapters differ in what they do with a missing stop bit: most hand the byte on, some drop it; some take the low
    line for the next start bit at once, some wait until it was high.
    """
    bits = b"".join(bytes((0, *(byte >> bit & 1 for bit in range(8)), 1)) for byte in data) + b"\1" * 400
    received = bytearray()
    length, time = 1 / ratio, 0.0  # of one of the receiver's bits; now; in bits of the sender

    def level(after: float) -> int:
        at = int(time + after * length)
        return bits[at] if at < len(bits) else 1

    while (edge := _next_low(bits, int(time))) >= 0:
        time = max(time, edge)
        if level(0.5):  # a start bit that was none
            time += 0.5 * length
            continue
        byte = sum(level(1.5 + bit) << bit for bit in range(8))
        whole = level(9.5)
        if whole or not drops_errors:
            received.append(byte)
        time += 9.5 * length
        if not whole and waits_for_idle:
            time = max(time, bits.find(1, int(time)))
    return bytes(received)


def _next_low(bits: bytes, start: int) -> int:
    return bits.find(0, start)
