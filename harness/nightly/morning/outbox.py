"""Mails on their way: each a file until the server has taken it for all of its recipients. Never lost; at worst twice.

A file begins with a line of ours that names who still waits for it, then comes the mail as it is sent, so that any mail
program can open it. What the server will never take (5xx for a recipient, or for the mail) goes to
``refused/``; all else is tried again, now and at the next night. A server that took a mail and was cut off before it
could say so gets it again, with the same Message-ID.
"""

import base64
import email
import email.policy
import smtplib
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path

import attrs

from harness import deadline, host
from harness.errors import Pi64Error
from harness.lab.mail import MailOptions
from harness.report.redact import printable, redact

FOLDER, REFUSED = "outbox", "refused"
PENDING = b"X-Pi64-Pending: "
WAITS_S = (5.0, 30.0)
"""Before the second try, and the third."""
ANSWER_S = 30.0
"""How long the server may be silent."""
WHOLE_S = 180.0
"""How long one try may take, for all mails."""


@attrs.frozen
class Came:
    """What one try came to."""

    taken: tuple[str, ...] = ()
    """Recipients for whom the server has taken the mail."""
    refused: Mapping[str, str] = attrs.field(factory=dict)
    """Recipient -> why it will never be taken."""
    later: Mapping[str, str] = attrs.field(factory=dict)
    """Recipient -> why it was not taken this time."""


@attrs.frozen
class Sent:
    """What became of all mails of the box."""

    taken: int = 0
    """Mails that the server took for all recipients."""
    waiting: tuple[str, ...] = ()
    """Names of those that are still there."""
    problems: tuple[str, ...] = ()


def put(box: Path, message: EmailMessage, name: str) -> Path:
    """Write *message* into *box*; return its file. OSError when that cannot be."""
    to = [address.addr_spec for address in message["To"].addresses]
    path = _free(box, name)
    _write(path, to, message.as_bytes())
    return path


def flush(
    box: Path,
    options: MailOptions,
    *,
    waits_s: Sequence[float] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Sent:
    """Send what is in *box*, with another try after each of *waits_s* seconds; never raises for server or disk."""
    try:
        secrets = _secrets(options.password())
        with _alone(box):
            return _flush(box, options, secrets, WAITS_S if waits_s is None else waits_s, sleep)
    except (Pi64Error, OSError) as error:
        return Sent(0, tuple(path.name for path in _files(box)), (f"mail: {_words(error)}",))


def _flush(
    box: Path, options: MailOptions, secrets: Sequence[str], waits_s: Sequence[float], sleep: Callable[[float], None]
) -> Sent:
    taken, refused, problems = 0, list[str](), list[str]()
    for wait_s in (0.0, *waits_s):
        if not (waiting := _files(box)):
            break
        sleep(wait_s)
        problems = []
        for path, came in _try(options, waiting):
            if isinstance(came, Came):
                taken += _settle(path, came)
                never = [f"mail {path.name}: {who} is refused: {why}" for who, why in came.refused.items()]
                refused += never
                problems += [f"mail {path.name}: not now for {who}: {why}" for who, why in came.later.items()]
            else:
                problems.append(f"mail {path.name}: {came}")
    told = tuple(printable(redact(problem, secrets)) for problem in (*refused, *problems))
    return Sent(taken, tuple(path.name for path in _files(box)), told)


def _settle(path: Path, came: Came) -> int:
    """Take out of the file who has the mail, and who will never; return 1 when nobody else waits for it."""
    pending, content = _read(path)
    if came.refused:
        _write(_free(path.parent / REFUSED, path.stem), list(came.refused), content)
    left = [who for who in pending if who not in came.taken and who not in came.refused]
    if left:
        _write(path, left, content)
        return 0
    path.unlink()
    return int(not came.refused)


# --- the server ------------------------------------------------------------------------------------------------------
def _try(options: MailOptions, paths: Iterable[Path]) -> Iterator[tuple[Path, Came | str]]:
    """Yield what came of each mail, or why nothing did. Each has a connection of its own: one may kill it."""
    ends = time.monotonic() + WHOLE_S
    for path in paths:
        if (left_s := ends - time.monotonic()) <= 0:
            yield path, f"{options.server}:{options.number}: the mails before it took {WHOLE_S:.0f} s"
            continue
        try:
            pending, content = _read(path)
            sender = email.message_from_bytes(content, policy=email.policy.SMTP)["From"].addresses[0].addr_spec
        except (OSError, AttributeError, IndexError, ValueError) as error:
            yield path, f"no mail of ours: {error}"
            continue

        def ask(pending: Sequence[str] = pending, content: bytes = content, sender: str = sender) -> Came:
            return _send(options, sender, pending, content)

        try:
            yield path, deadline.within(left_s, ask, f"{options.server}:{options.number}")
        except (Pi64Error, OSError, ValueError, smtplib.SMTPException) as error:  # ValueError: no name of a host
            yield path, f"{options.server}:{options.number}: {_words(error)}"


def _send(options: MailOptions, sender: str, to: Sequence[str], content: bytes) -> Came:
    with _connected(options) as server:
        try:
            refused: Mapping[str, tuple[int, bytes | str]] = server.sendmail(sender, [*to], content)
        except smtplib.SMTPRecipientsRefused as error:
            refused = error.recipients
        except smtplib.SMTPDataError as error:
            if error.smtp_code < 500:
                raise
            refused = dict.fromkeys(to, (error.smtp_code, error.smtp_error))
    never = {who: _answer(*answer) for who, answer in refused.items() if answer[0] >= 500}
    later = {who: _answer(*answer) for who, answer in refused.items() if answer[0] < 500}
    return Came(tuple(who for who in to if who not in refused), never, later)


@contextmanager
def _connected(options: MailOptions) -> Iterator[smtplib.SMTP]:
    context = (
        ssl.create_default_context(cafile=options.ca and str(Path(options.ca).expanduser()))
        if options.security != "none"
        else None
    )
    if options.security == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(options.server, options.number, timeout=ANSWER_S, context=context)
    else:
        server = smtplib.SMTP(options.server, options.number, timeout=ANSWER_S)
    try:
        if options.security == "starttls":
            server.starttls(context=context)
        if options.user:
            server.login(options.user, options.password())
        yield server
    finally:
        server.close()  # QUIT could fail, and the mail has been taken


def _words(error: BaseException) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return _answer(error.smtp_code, error.smtp_error)
    return error.message if isinstance(error, Pi64Error) else deadline.words(error)


def _answer(code: int, said: bytes | str) -> str:
    return f"{code} {said.decode(errors='replace') if isinstance(said, bytes) else said}".replace("\n", " ")


def _secrets(password: str) -> list[str]:
    """Return *password*, and as it goes over the line; a server may repeat it in its complaint."""
    return [password, base64.b64encode(password.encode()).decode()] if password else []


# --- files -----------------------------------------------------------------------------------------------------------
@contextmanager
def _alone(box: Path) -> Iterator[None]:
    box.mkdir(parents=True, exist_ok=True)
    with (box / ".lock").open("a+") as lock:
        host.take(lock, str(box), hint="another night sends its mail")
        yield


def _files(box: Path) -> list[Path]:
    return sorted(box.glob("*.eml"))


def _free(box: Path, name: str) -> Path:
    number, path = 1, box / f"{name}.eml"
    while path.exists():
        number += 1
        path = box / f"{name}-{number}.eml"
    return path


def _read(path: Path) -> tuple[list[str], bytes]:
    head, _, content = path.read_bytes().partition(b"\r\n")
    if not head.startswith(PENDING):
        raise ValueError(f"{path}: does not begin with {PENDING.decode()}")
    return head.removeprefix(PENDING).decode().split(", "), content


def _write(path: Path, to: Sequence[str], content: bytes) -> None:
    host.write_atomic(path, PENDING + ", ".join(to).encode() + b"\r\n" + content)
