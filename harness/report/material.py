"""What a run left in its folder, as a report needs it: the record, the console, what was deployed."""

import json
from collections.abc import Mapping
from typing import Any

import attrs

from harness.report.record import RunRecord


@attrs.frozen(eq=False)
class Material:
    """All of it is optional but the record: a run may have ended before there was more."""

    record: RunRecord
    console: bytes = b""
    """Of console.log."""
    stamped: bytes = b""
    """Of console.jsonl: the same with its times."""
    manifest: Mapping[str, Any] = attrs.field(factory=dict)
    """Of deploy.json."""
    omitted: int = 0
    """Bytes of a very long log that are left out in its middle; their line ends are there, so that numbers agree."""

    def digests(self, part: str) -> dict[str, str]:
        """Return path and SHA-256 of what was deployed: *part* is ``boot`` or ``modules``."""
        files = self.manifest.get(part)
        return {str(path): str(digest) for path, digest in files.items()} if isinstance(files, Mapping) else {}


def mapping(text: bytes) -> Mapping[str, Any]:
    """Return the JSON object in *text*; an empty one when it is none, for a report does without."""
    try:
        data = json.loads(text)
    except ValueError:  # no JSON, no UTF-8
        return {}
    return data if isinstance(data, dict) else {}
