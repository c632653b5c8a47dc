"""Find the commit that broke it: build, boot and halve, on a board, as `git bisect` does.

Only the kernel votes: what does not build is skipped, what the bench did is repeated. It goes on from where it was when
it is asked again. What follows `--` is for pytest: tests (tests_hw), then options. Status 0 for an answer, 1 when only
skipped commits are left between, 2 when nothing can be said or the board is out.
"""

import argparse
from pathlib import Path

from harness.cli._terminal import Progress
from harness.errors import UsageError
from harness.nightly.bisection import campaign
from harness.nightly.bisection.campaign import TESTS, Outcome, Wanted
from harness.nightly.bisection.places import LATEST, Bench
from harness.nightly.bisection.plan import Done
from harness.nightly.bisection.votes import Symptom
from harness.report.redact import printable

LAB = Path("lab.yaml")
BY_SIGNAL = 128


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--board", metavar="NAME", help="target of lab.yaml")
    parser.add_argument("--good", metavar="REF", action="append", help="branch, tag or commit; may be repeated")
    parser.add_argument("--bad", metavar="REF", help="branch, tag or commit")
    symptom = parser.add_mutually_exclusive_group()
    symptom.add_argument("--check", metavar="NAME", help="a commit is bad when this test or check fails")
    symptom.add_argument("--signature", metavar="TEXT", help="a commit is bad when a finding's signature holds TEXT")
    parser.add_argument(
        "--boots", "--times", metavar="N", type=int, default=1, help="runs a good commit passes (default: %(default)s)"
    )
    parser.add_argument(
        "--kernel-source", "--source", metavar="GIT", dest="source", help="a git repository other than the target's"
    )
    parser.add_argument("--runs", metavar="DIR", type=Path, default=Path("runs"), help="records (default: %(default)s)")
    parser.add_argument("--lg-env", metavar="FILE", type=Path, default=LAB, help="another lab.yaml")
    parser.add_argument(
        "--resume", metavar="ID", nargs="?", const=LATEST, help="go on with this one, or with the newest"
    )
    parser.add_argument("arguments", nargs="*", metavar="PYTEST", help="behind `--`: what pytest is given")


def run(args: argparse.Namespace) -> int:
    """Bisect and tell the answer."""
    bench = Bench(Path.cwd(), args.lg_env.absolute(), args.runs.absolute())
    progress = Progress()

    def say(line: str) -> None:
        progress.clear()
        print(printable(line), flush=True)

    try:
        if args.resume:
            done = campaign.resume(args.resume, bench, source=args.source, say=say, progress=progress)
        else:
            done = campaign.start(_wanted(args), bench, say=say, progress=progress)
    finally:
        progress.clear()
    for line in done.lines:
        say(line)
    return _status(done)


def _wanted(args: argparse.Namespace) -> Wanted:
    missing = [f"--{name}" for name in ("board", "good", "bad") if not getattr(args, name)]
    if missing:
        raise UsageError(
            f"pi64 bisect needs {', '.join(missing)}", hint="or --resume, to go on with one that was begun"
        )
    if args.boots < 1:
        raise UsageError(f"--boots {args.boots}: a commit is run at least once")
    if any(word is not None and not word.strip() for word in (args.check, args.signature)):
        raise UsageError("--check and --signature need a word: an empty one fits everything")
    rest = list(args.arguments)
    if {"--board", "--ref", "--source", "--kernel"}.intersection(word.partition("=")[0] for word in rest):
        raise UsageError("--board and the source stand before `--`, and the commits are chosen here")
    tests = rest if rest and not rest[0].startswith("-") else [*TESTS, *rest]
    symptom = Symptom("check", args.check) if args.check else Symptom()
    symptom = Symptom("signature", args.signature) if args.signature else symptom
    return Wanted(args.board, tuple(args.good), args.bad, symptom, args.boots, args.source, tuple(tests))


def _status(done: Outcome) -> int:
    if done.signal:
        return BY_SIGNAL + done.signal
    if not isinstance(done.end, Done):
        return 2
    return 1 if len(done.state.first_bad) > 1 else 0
