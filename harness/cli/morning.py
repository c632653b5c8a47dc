"""Tell what a night came to: its page, a summary for the terminal, a mail; without a night, of the last day's runs.

NIGHT is a night's name or `latest`. Where there has been no night, as in labs that run pytest from cron, the history
alone is asked.
"""

import argparse
import sys
from pathlib import Path

from harness import host
from harness.cli._terminal import Progress
from harness.errors import LabError, UsageError
from harness.lab import config
from harness.lab.mail import MailOptions
from harness.nightly import db, watching
from harness.nightly.morning import gather, outbox, page, publish, summary
from harness.nightly.morning.letter import letter
from harness.nightly.morning.links import Links
from harness.nightly.morning.values import Morning
from harness.nightly.night.state import FILE, FOLDER, Night
from harness.report.redact import printable

MOST_DAYS = 36_500
NOBODY = MailOptions(to=("nobody@localhost",), from_="pi64@localhost")
"""Who a mail is from and to that goes to a file, where lab.yaml does not say."""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("night", metavar="NIGHT", nargs="?", default="latest", help="default: %(default)s")
    parser.add_argument("--history-only", action="store_true", help="the last day of the history, whatever nights say")
    parser.add_argument("--text", action="store_true", help="print the summary; write no page")
    parser.add_argument("--eml", metavar="FILE", type=Path, help="write the mail to a file; write no page")
    parser.add_argument("--send", action="store_true", help="mail it as lab.yaml says (nightly: mail:), and what waits")
    parser.add_argument(
        "-o", "--output", metavar="FILE", type=Path, help="write the page here; its links stay as they are"
    )
    parser.add_argument("--days", metavar="N", type=int, default=gather.DAYS, help="of trends (default: %(default)s)")
    parser.add_argument("--lg-env", metavar="FILE", type=Path, default=Path("lab.yaml"), help="another lab.yaml")
    parser.add_argument("--runs", metavar="DIR", type=Path, default=Path("runs"), help="records (default: %(default)s)")
    parser.add_argument("--history", metavar="FILE", type=Path, help=f"history (default: {db.NAME} in --runs)")


def run(args: argparse.Namespace) -> int:
    """Return 0 when nothing broke, 1 when something did, 2 when a mail is still waiting to be sent."""
    if not 1 <= args.days <= MOST_DAYS:
        raise UsageError(f"--days {args.days}: from 1 to {MOST_DAYS}")
    mail = _mail(args)
    night = None if args.history_only else publish.read(args.runs, args.night)
    running = night is not None and _running(args.runs, night)
    progress = Progress()
    try:
        made = publish.morning(
            args.runs, night, history=args.history, days=args.days, running=running, progress=progress
        )
    finally:
        progress.clear()
    try:
        _tell(args, made, night, mail)
        sent = publish.mailed(args.runs, made, mail) if args.send and mail else outbox.Sent()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise LabError(f"{error.filename or args.runs}: cannot be written: {error.strerror or error}") from error
    for problem in sent.problems:
        print(f"pi64: {printable(problem)}", file=sys.stderr)
    return 2 if sent.problems else int(bool(made.regressions))


def _tell(args: argparse.Namespace, made: Morning, night: Night | None, mail: MailOptions | None) -> None:
    if args.eml:
        host.write_atomic(args.eml, letter(made, mail or NOBODY).as_bytes())
        print(args.eml)
    if args.text:
        print("\n".join(summary.lines(made)))
    if args.eml or args.text:
        return
    now = watching.Watch(args.runs, history=args.history).look() if made.running else None
    if args.output:
        links = Links("../../" if night else "../")
        host.write_atomic(args.output, page.render(made, now, links=links).encode())
        print(args.output)
    else:
        print(publish.write(args.runs, made, night=night, now=now))


def _mail(args: argparse.Namespace) -> MailOptions | None:
    """Return what lab.yaml says of mails; UsageError when one is to be sent and it says nothing."""
    if not args.send and not args.eml:
        return None
    if not args.lg_env.exists() and not args.send:
        return None
    plan = config.load(args.lg_env, bench=False).nightly
    mail = plan.mail if plan else None
    if args.send and mail is None:
        hint = "`mail: {to: [...], from: ..., server: ...}` below `nightly:`; docs/nightly-page.md"
        raise UsageError(f"{args.lg_env}: it does not say who is to be mailed", hint=hint)
    return mail


def _running(runs: Path, night: Night) -> bool:
    written = (runs / FOLDER / night.name / FILE).stat().st_mtime
    return not night.finished and watching.alive(night.host, night.pid, written) is not False
