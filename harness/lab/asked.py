"""What was asked of a run, as its record tells it: by it, runs are found that differ in nothing but the kernel."""

import json
from typing import Any

import attrs

from harness.lab.options import TargetOptions
from harness.report.redact import without_credentials

UNTOLD = ("login", "deadlines")  # who logs in is a secret; how long one waits is no property of what is tested


def facts(options: TargetOptions) -> dict[str, Any]:
    """Return the fields of a run's record that are known as soon as *options* are."""
    kernel, plain = options.kernel, attrs.asdict(options)
    told = {name: value for name, value in plain.items() if name not in UNTOLD}
    tree = ", ".join(kernel.prebuilt) or kernel.source
    return {
        "asked": json.loads(without_credentials(json.dumps(told, default=str))),
        "tree": without_credentials(tree),
        "branch": "" if kernel.prebuilt else kernel.branch or kernel.ref or "",
    }
