"""The kernel that answers is, bit for bit, the one that was built."""

import re
import struct

from harness.model import BoardProfile, Finding, KernelBuild
from harness.verdict.findings import finding

ORDER = 40
COMMAND = "od -An -v -tx1 /sys/kernel/notes 2>&1 || true"
NT_GNU_BUILD_ID = 3


def judge(output: str, build: KernelBuild, board: BoardProfile) -> list[Finding]:
    """Object to another build id; a build without one has nothing to compare."""
    if not build.build_id:
        return []
    running = build_id(output)
    if running == build.build_id:
        return []
    message = (
        f"{board.name} runs build id {running or 'unknown'}, built was {build.build_id}: another kernel was started"
    )
    return [finding("wrong-kernel", message, fault="DEPLOY", text=output.splitlines()[:8])]


def build_id(dump: str) -> str:
    """Return the GNU build id in a hex dump of ELF notes, or nothing.

    A note is: size of name, size of content, type (32 bits each, little-endian), name, content, both padded to four
    bytes (elf(5)).
    """
    if not re.fullmatch(r"[0-9a-fA-F\s]*", dump):
        return ""
    digits = "".join(dump.split())
    data = bytes.fromhex(digits[: len(digits) // 2 * 2])
    at = 0
    while at + 12 <= len(data):
        name_size, size, kind = struct.unpack_from("<III", data, at)
        start = at + 12 + (name_size + 3) // 4 * 4
        if kind == NT_GNU_BUILD_ID and data[at + 12 : at + 12 + name_size] == b"GNU\0":
            return data[start : start + size].hex()
        at = start + (size + 3) // 4 * 4
    return ""
