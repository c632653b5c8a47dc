"""Where the summary of a night is mailed to, and through which server: ``mail:`` below ``nightly:`` in lab.yaml."""

import os
import re
from pathlib import Path
from typing import Literal

import attrs

from harness.errors import UsageError

PORTS = {"starttls": 587, "tls": 465, "none": 25}
LOCAL = ("localhost", "127.0.0.1", "::1")
_WORD = r"[!#$%&'*+/=?^`{|}~\w-]+(?:\.[!#$%&'*+/=?^`{|}~\w-]+)*"
_ADDRESS = re.compile(f"{_WORD}@{_WORD}", re.ASCII)
"""RFC 5322's dot-atom on both sides; a domain in other letters is written as it is in the DNS: ``xn--...``."""


@attrs.frozen
class MailOptions:
    """Who gets a mail, and the server that takes it."""

    to: tuple[str, ...] = ()
    """Addresses, nothing around them."""
    from_: str = ""
    """Who it comes from, the same."""
    server: str = "localhost"
    port: float | None = None
    """By default what is usual for *security*."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    ca: str | None = None
    """File with the certificate of whoever signed the server's; None: those of this host."""
    user: str | None = None
    password_env: str | None = None
    """Name of the environment variable that holds the password."""
    password_file: str | None = None
    """A file whose first line is the password."""
    when: Literal["always", "changes"] = "always"
    """``changes``: only when something broke or is mended, a board is out, or the night was stopped."""
    url: str | None = None
    """Where the folder of runs is served, for links."""

    @property
    def number(self) -> int:
        """The port."""
        return int(self.port) if self.port is not None else PORTS[self.security]

    def fault(self) -> str:
        """Return what is wrong with it; empty when nothing is."""
        addresses = [*self.to, self.from_]
        if not self.to or not self.from_:
            return "`mail` needs `to:` and `from:`"
        if wrong := next((word for word in addresses if not _ADDRESS.fullmatch(word)), None):
            return f"{wrong!r} is no mail address"
        if self.port is not None and not (self.port.is_integer() and 0 < self.port < 65536):
            return f"{self.port:g} is no port"
        return self._login_fault()

    def _login_fault(self) -> str:
        if not self.server or not (self.server + (self.user or "")).isascii():
            return "`server` and `user` are words of ASCII; a name in other letters is written as in the DNS, `xn--...`"
        if self.user and not (self.password_env or self.password_file):
            return "`user` needs `password_env:` or `password_file:`"
        if self.user and self.security == "none" and self.server not in LOCAL:
            return f"`security: none` would send the password over the network to {self.server} as it is"
        return ""

    def password(self) -> str:
        """Return the password, empty when there is no user; UsageError when it cannot be had, without its content."""
        found = self._password()
        if not found.isascii():
            raise UsageError("mail: the password has letters beyond ASCII, which SMTP's old ways to log in cannot say")
        return found

    def _password(self) -> str:
        if not self.user:
            return ""
        if self.password_env:
            found = os.environ.get(self.password_env, "")
            if not found:
                raise UsageError(f"mail: the environment variable {self.password_env} is not set")
            return found
        path = Path(self.password_file or "").expanduser()
        try:
            found = path.read_text().partition("\n")[0].rstrip("\r")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise UsageError(f"mail: the password file {path} cannot be read: {why}") from None
        if not found:
            raise UsageError(f"mail: the first line of the password file {path} is empty")
        return found
