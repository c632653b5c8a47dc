"""What a user may write for a kernel source, taken apart and checked before any program sees it."""

import re
from typing import Literal

import attrs

from harness.errors import UsageError
from harness.report.redact import printable, without_credentials

Kind = Literal["package", "git", "download", "path"]

TARBALLS = (".tar.xz", ".tar.zst", ".tar.bz2", ".tar.gz", ".tgz", ".tar")
TRANSPORTS = ("https", "http", "ssh", "git", "file")
"""What git may speak; its remote helpers (``ext::``, ``fd::``) run any program that the URL names."""
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
CHECKSUM = re.compile(r"[0-9a-f]{64}")
_URL = re.compile(r"([A-Za-z][\w+.-]*)://([^/?#]*)(.*)", re.ASCII)
_SCP = re.compile(r"(?:[\w.-]+@)?[\w.-]+:(?!:)(?!//)", re.ASCII)  # host:path, as ssh and git read it
_HELPER = re.compile(r"[A-Za-z0-9]+::")
_NO_REF = re.compile(r"[\s~^:?*\[\\]|\.\.|@\{|//|/\.|^[./]|[./]$|\.lock(/|$)")
"""What git allows in no branch or tag name: so no revision syntax, and no refspec, comes through."""


@attrs.frozen
class Address:
    """Where a kernel source is."""

    kind: Kind
    where: str
    """URL, path or package pattern."""
    sha256: str | None = None
    """Of the tarball."""

    @property
    def shown(self) -> str:
        """*where* as it may be shown: without passwords."""
        return without_credentials(self.where)


def parse(spec: str, *, ref: str | None = None, sha256: str | None = None) -> Address:
    """Return what *spec* names; UsageError for what git or tar could misread, and for what does not fit together.

    ``package:PATTERN``; ``git+URL-or-path``; a URL: of a tarball by its ending, else of a git repository; a path, which
    is a git repository if it ends in ``.git``. ``#sha256=HEX`` behind a tarball does what *sha256* does.
    """
    refuse_odd(spec, "source")
    if ref is not None:
        refuse_ref(ref)
    where, mark, fragment = spec.partition("#sha256=")
    address = Address(_kind(where), where.removeprefix("git+").removeprefix("package:"), fragment if mark else sha256)
    refuse_odd(address.where, "source")
    _refuse_transport(address)
    if address.sha256 is not None:
        _check_checksum(address)
    if address.kind == "download" and address.shown != address.where:
        raise UsageError(f"{address.shown}: a password in the URL of a tarball", hint="fetch it, and name the file")
    if address.kind == "download" and address.sha256 is None:
        hint = (
            "add `sha256: ...`, or #sha256=... to the URL; kernel.org lists them in sha256sums.asc beside the tarball"
        )
        raise UsageError(f"{address.shown}: a tarball from the web needs its SHA-256", hint=hint)
    if ref is not None and address.kind in ("package", "download"):
        hint = "leave the ref out, or name a git repository (git+URL)"
        raise UsageError(f"{address.shown}: not a git repository, so it has no ref {ref}", hint=hint)
    return address


def refuse_odd(text: str, what: str) -> None:
    """Raise UsageError for a *text* that a program could take for an option, or that hides part of itself."""
    if not text or text.startswith("-") or CONTROL.search(text) or printable(text) != text:
        shown = without_credentials(repr(text))
        raise UsageError(f"kernel {what} {shown}: empty, starts with `-`, or holds control characters")


def refuse_ref(ref: str) -> None:
    """Raise UsageError for what cannot be the name of a branch or tag, nor a commit."""
    refuse_odd(ref, "ref")
    if _NO_REF.search(ref) or ref == "@":
        hint = "a branch, a tag, or a commit's full SHA; no HEAD~1, no a..b"
        raise UsageError(f"kernel ref {ref!r}: no name that git allows", hint=hint)


def _kind(where: str) -> Kind:
    if where.startswith("package:"):
        return "package"
    url = _URL.match(where)
    if url and url[1] in ("http", "https") and re.split(r"[?#]", where)[0].endswith(TARBALLS):
        return "download"
    if where.startswith("git+") or url or _HELPER.match(where) or where.rstrip("/").endswith(".git"):
        return "git"
    return "git" if _SCP.match(where) and "@" in where.partition(":")[0] else "path"


def _refuse_transport(address: Address) -> None:
    if address.kind != "git":
        return
    hint = f"it may be a path, host:path, or begin with {', '.join(f'{name}://' for name in TRANSPORTS)}"
    if _HELPER.match(address.where):
        raise UsageError(f"{address.shown}: git's remote helpers are not used here", hint=hint)
    url = _URL.match(address.where)
    if url and url[1] not in TRANSPORTS:
        raise UsageError(f"{address.shown}: git does not speak {url[1]}:// here", hint=hint)
    if url and url[2].rpartition("@")[2].startswith("-"):
        raise UsageError(f"{address.shown}: the host begins with `-`", hint=hint)


def _check_checksum(address: Address) -> None:
    if address.kind in ("package", "git"):
        hint = "name a commit by its SHA instead" if address.kind == "git" else "leave it out"
        raise UsageError(f"{address.shown}: a SHA-256 is for tarballs", hint=hint)
    if not CHECKSUM.fullmatch(str(address.sha256)):
        raise UsageError(f"{address.shown}: sha256 {address.sha256!r} is not 64 digits of 0-9a-f")
