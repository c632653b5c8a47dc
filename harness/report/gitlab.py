"""A run as a GitLab code quality report: findings with fingerprints, by which a merge request tells new from known.

Source: https://docs.gitlab.com/ci/testing/code_quality/ (tests go to GitLab as JUnit XML: ``junit.xml`` of the run).
"""

import hashlib
import json
from typing import Any

from harness.model import Finding
from harness.report.overview import findings
from harness.report.record import RunRecord
from harness.report.redact import printable

SEVERITIES = {"info": "info", "warning": "minor", "error": "critical", "fatal": "blocker"}


def code_quality(record: RunRecord, *, path: str) -> str:
    """Return the JSON of all findings of *record*; *path* is console.log as the repository or the job sees it."""
    issues = [_issue(record, found, path) for _, found in findings(record)]
    unique = {issue["fingerprint"]: issue for issue in reversed(issues)}  # the first of those that are alike
    return json.dumps(list(reversed(unique.values())), indent=1) + "\n"


def _issue(record: RunRecord, found: Finding, path: str) -> dict[str, Any]:
    return {
        "description": printable(f"{record.target}: {found.message}"),
        "check_name": printable(found.kind),
        "fingerprint": hashlib.sha256(f"{record.target}\n{found.signature}".encode(errors="replace")).hexdigest(),
        "severity": SEVERITIES.get(found.severity, "major"),
        "location": {"path": printable(path), "lines": {"begin": max(found.first_line, 1)}},
    }
