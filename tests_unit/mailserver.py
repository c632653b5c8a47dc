"""A real SMTP server on loopback, that takes mails, or does to them what servers do."""

import asyncio
import contextlib
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

PASSWORD = "hunter2-of-the-lab"


class Postman:
    """Keeps what it takes; *answers* are given first: recipient -> what RCPT is answered, one after the other."""

    def __init__(self) -> None:
        self.taken: list[tuple[tuple[str, ...], bytes]] = []
        self.answers: dict[str, list[str]] = {}
        self.data: list[str] = []
        """What DATA is answered; ``cut``: the connection goes away when the mail has come, without an answer."""
        self.logins: list[bytes] = []
        self.tls: list[bool] = []

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        del server, session
        if waiting := self.answers.get(address):
            return waiting.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        answer = self.data.pop(0) if self.data else "250 taken"
        if answer == "cut":
            server.transport.close()
            await asyncio.sleep(0.05)
        if answer.startswith("250"):
            self.taken.append((tuple(envelope.rcpt_tos), bytes(envelope.content or b"")))
            self.tls.append(server.transport.get_extra_info("ssl_object") is not None)
        return answer

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data) -> AuthResult:
        del server, session, envelope, mechanism
        self.logins.append(data.login)
        if data.password == PASSWORD.encode():
            return AuthResult(success=True)
        return AuthResult(success=False, handled=False, message=f"535 {data.password.decode()} is wrong")


@contextlib.contextmanager
def serving(
    postman: Postman, *, context: ssl.SSLContext | None = None, tls: bool = False, port: int = 0
) -> Iterator[int]:
    """Serve *postman*; yield the port. *tls*: from the first byte, else STARTTLS where there is a *context*."""
    options = {"auth_require_tls": context is not None and not tls, "authenticator": postman.authenticate}
    if context and not tls:
        options |= {"tls_context": context, "require_starttls": True}
    controller = Controller(
        postman, hostname="127.0.0.1", port=port or free_port(), ssl_context=context if tls else None, **options
    )
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """Make a certificate for ``localhost`` and 127.0.0.1; return its file, and the context of a server that has it."""
    key, file = folder / "key.pem", folder / "certificate.pem"
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", "/CN=localhost", "-addext", names, "-keyout", key, "-out", file,
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, key)
    return file, context
