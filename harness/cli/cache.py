"""List what lies in the cache and when it was used, or prune it."""

import argparse
import json
import time
from typing import Any

from harness.build import cache
from harness.build.cache import Entry
from harness.report.redact import printable


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("action", nargs="?", choices=("list", "prune"), default="list", help="default: %(default)s")
    parser.add_argument("--size", metavar="SIZE", help=f"prune down to this, e.g. 10G (default: ${cache.LIMIT} or 20G)")
    parser.add_argument("--older", metavar="SPAN", help="prune what was not used for so long as well, e.g. 30d")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """Return 0."""
    limit = cache.parse_size(args.size) if args.size else cache.limit()
    if args.action == "prune":
        older_s = cache.parse_span(args.older) if args.older else None
        gone = cache.prune(limit_bytes=limit, older_s=older_s)
        print(json.dumps({"removed": _told(gone)}, indent=1) if args.json else printable(_removed(gone)))
        return 0
    there, kept = cache.entries(), cache.kept()
    if args.json:
        print(json.dumps({"limit_bytes": limit, "entries": _told(there), "kept": kept}, indent=1))
    else:
        print(printable(_listing(there, kept, limit)))
    return 0


def _told(entries: list[Entry]) -> list[dict[str, Any]]:
    return [
        {
            "kind": entry.kind, "key": entry.key, "release": entry.release, "path": str(entry.path),
            "size_bytes": entry.size_bytes, "used": round(entry.used),
        }
        for entry in entries
    ]  # fmt: skip


def _listing(entries: list[Entry], kept: dict[str, int], limit: int) -> str:
    lines = [f"{'kind':<8} {'key':<34} {'release':<34} {'size':>8}  used"]
    lines += [_line(entry) for entry in reversed(entries)]
    total = sum(entry.size_bytes for entry in entries)
    lines.append(f"{_size(total)} of {_size(limit)}; the one used longest ago goes first, `pi64 cache prune` now")
    lines.append("never pruned: " + (", ".join(f"{name} {_size(size)}" for name, size in kept.items()) or "nothing"))
    return "\n".join(lines)


def _line(entry: Entry) -> str:
    ago = _ago(time.time() - entry.used)
    return f"{entry.kind:<8} {entry.key:<34} {entry.release:<34} {_size(entry.size_bytes):>8}  {ago}"


def _removed(entries: list[Entry]) -> str:
    lines = [f"removed {_line(entry)}" for entry in entries]
    return "\n".join([*lines, f"{_size(sum(entry.size_bytes for entry in entries))} freed"])


def _size(size_bytes: float) -> str:
    return f"{size_bytes / 2**30:.1f} GiB" if size_bytes >= 2**30 else f"{size_bytes / 2**20:.0f} MiB"


def _ago(seconds: float) -> str:
    for name, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {name} ago"
    return "just now"
