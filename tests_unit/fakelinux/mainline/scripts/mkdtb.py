"""A device tree compiler for the simplest of sources, a node or property a line: mkdtb.py SOURCE_TREE/ OUTPUT...

Properties are `name;`, `name = "a", "b";` or `name = <1 0x2>;`; the format is version 17 of the specification's.
"""

import re
import struct
import sys
from pathlib import Path

BEGIN_NODE, END_NODE, PROP, END = 1, 2, 3, 9


def name_at(strings: bytearray, name: str) -> int:
    raw = name.encode() + b"\0"
    at = (b"\0" + strings).find(b"\0" + raw)
    if at < 0:
        at = len(strings)
        strings.extend(raw)
    return at


def value_of(text: str) -> bytes:
    if text.startswith("<"):
        return b"".join(struct.pack(">I", int(cell, 0)) for cell in text.strip("<>").split())
    return b"".join(part.encode() + b"\0" for part in re.findall(r'"([^"]*)"', text))


def padded(raw: bytes) -> bytes:
    return raw + b"\0" * (-len(raw) % 4)


def compile_tree(source: str) -> bytes:
    strings, blocks = bytearray(), bytearray()
    for number, line in enumerate(map(str.strip, Path(source).read_text().splitlines()), start=1):
        if node := re.fullmatch(r"(?:\w+: )?([\w,.@/-]+) \{", line):
            blocks += struct.pack(">I", BEGIN_NODE) + padded(node[1].strip("/").encode() + b"\0")
        elif line == "};":
            blocks += struct.pack(">I", END_NODE)
        elif prop := re.fullmatch(r"([\w,.#-]+)(?: = (.+))?;", line):
            value = value_of(prop[2] or "")
            blocks += struct.pack(">III", PROP, len(value), name_at(strings, prop[1])) + padded(value)
        elif line and not line.startswith(("/dts-v1/", "/plugin/", "//")):
            sys.exit(f"Error: {source}:{number}.1-{len(line)} syntax error\nFATAL ERROR: Unable to parse input tree")
    blocks += struct.pack(">I", END)
    strings_at = 56 + len(blocks)
    sizes = struct.pack(">2I", len(strings), len(blocks))
    header = struct.pack(">8I", 0xD00DFEED, strings_at + len(strings), 56, strings_at, 40, 17, 16, 0) + sizes
    return header + bytes(16) + bytes(blocks + strings)


tree, *outputs = sys.argv[1:]
for output in outputs:
    sys.stdout.write(f"  {'DTCO' if output.endswith('.dtbo') else 'DTC '}    {output}\n")
    sys.stdout.flush()
    source = tree + output.replace(".dtbo", "-overlay.dts").replace(".dtb", ".dts")
    Path(output).write_bytes(compile_tree(source))
