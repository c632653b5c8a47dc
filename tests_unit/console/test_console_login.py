import logging
import re
import shutil
import sys
import time
from pathlib import Path

import pytest
from processes import until
from scriptedlogin import ScriptedLogin, bash, getty
from scriptedpi import serial_driver

from harness.console import prompts
from harness.console.expect import ConsoleExpect
from harness.console.login import login
from harness.console.recorder import Recorder
from harness.errors import LabError
from harness.model import Account

ACCOUNT = Account("pi", "raspberry")
KERNEL = b"[   12.345678] usb 1-1: new high-speed USB device number 2\r\n"
JOURNAL = b"sshd[345]: Server listening on 0.0.0.0 port 22.\r\n"
PROMPT = b"raspberrypi login: "

# What an earlier session leaves behind when its process is killed: agent.sh, as far as a login meets it.
LOOP = """
trap : INT
e=0
while [ $e -lt 9 ]; do
IFS= read -r line || { e=$((e+1)); continue; }
case $line in '') printf '$ ' ;; pi64-leave) break ;; *) echo "<pi64 ?>" ;; esac
done
"""


@pytest.fixture(autouse=True)
def impatience(monkeypatch):
    monkeypatch.setattr("harness.console.login.NUDGE_S", 0.2)
    monkeypatch.setattr("harness.console.login.SETTLE_S", 0.05)
    monkeypatch.setattr("harness.console.recorder.POLL_S", 0.01)  # how long it takes to stop it


@pytest.fixture
def patience(monkeypatch, impatience):
    """Whoever nudges now is late."""
    monkeypatch.setattr("harness.console.login.NUDGE_S", 5.0)


@pytest.fixture
def line(tmp_path):
    """Connect a far end: ``line(program)`` gives it and a console that starts now."""
    opened = []

    def connect(program, after=(), *, to_lab=bytes, until_seen=b"", typed=b""):
        far = ScriptedLogin(program, after)
        far.to_lab = to_lab
        driver = serial_driver(tmp_path, far)
        recorder = Recorder(driver, tmp_path / "run")
        opened.extend([far, recorder])
        recorder.start()
        far.start()
        if typed:
            far.type(typed)
        if until_seen:  # what came before the lab looked; the console starts behind it
            until(lambda: until_seen in recorder.log.read_bytes())
        console = ConsoleExpect(recorder, driver, position=None if until_seen else 0)
        return far, console

    yield connect
    for one in reversed(opened):
        one.close() if isinstance(one, ScriptedLogin) else one.stop()


def enter(console, account=ACCOUNT, *, timeout_s=10.0):
    login(console, account, target="rpi4", timeout_s=timeout_s)
    console.sendline(b"echo $((6*7))-here")
    console.expect(b"42-here", timeout=5)


def refused(console, account=ACCOUNT, *, timeout_s=10.0) -> str:
    with pytest.raises(LabError) as caught:
        login(console, account, target="rpi4", timeout_s=timeout_s)
    assert account.password not in str(caught.value) + repr(caught.value)
    return str(caught.value)


# --- the login prompt -------------------------------------------------------------------------------------------------
def test_a_healthy_prompt_is_answered_at_once(line, patience, monkeypatch) -> None:
    monkeypatch.setattr("harness.console.login.SETTLE_S", 30.0)
    far, console = line(getty())
    started = time.monotonic()
    enter(console)
    assert time.monotonic() - started < 3
    assert far.typed.startswith(b"pi\rraspberry\recho")


@pytest.mark.parametrize(
    ("noise", "where"),
    [
        (KERNEL, 0),
        (KERNEL, len(PROMPT)),
        (b"<6>" + KERNEL, len(b"raspberrypi lo")),
        (JOURNAL, len(b"raspberrypi ")),
        (JOURNAL * 2, len(PROMPT)),
        (b"[  OK  ] Started Session 1 of User pi.\r\n", len(PROMPT)),
    ],
)
def test_a_prompt_overlaid_by_lines_of_the_system_is_answered_without_a_nudge(line, patience, noise, where) -> None:
    far, console = line(getty(), to_lab=lambda data: data.replace(PROMPT, PROMPT[:where] + noise + PROMPT[where:]))
    enter(console)
    assert b"\x03" not in far.typed


@pytest.mark.parametrize("where", range(1, len(PROMPT)))
def test_a_kernel_line_may_stand_anywhere_in_the_prompt(where) -> None:
    shown = prompts.clean(b"\r\n" + PROMPT[:where] + KERNEL + PROMPT[where:] + KERNEL[:where])
    assert prompts.sight(shown).do is prompts.Do.USER


def test_a_prompt_cut_in_two_by_a_journal_line_is_asked_for_again(line) -> None:
    """`raspberrypi losshd[345]: ...` tells nobody where the name begins."""
    noise = [JOURNAL]
    far, console = line(
        getty(),
        to_lab=lambda data: (
            data.replace(b"login: ", b"lo" + noise.pop() + b"gin: ") if noise and b"login: " in data else data
        ),
    )
    enter(console)
    assert b"\x03\x15\r" in far.typed


def test_a_password_prompt_overlaid_by_a_kernel_line_is_answered(line, patience) -> None:
    far, console = line(getty(), to_lab=lambda data: data.replace(b"Password: ", b"Password: " + KERNEL))
    enter(console)
    assert b"\x03" not in far.typed


def test_a_prompt_overlaid_by_what_nobody_knows_is_asked_for_again(line) -> None:
    noise = [b"something strange\r\n"]
    _, console = line(getty(), to_lab=lambda data: data + noise.pop() if PROMPT in data and noise else data)
    enter(console)


def test_a_prompt_that_has_scrolled_away_is_asked_for_again(line) -> None:
    far, console = line(getty(), until_seen=PROMPT)
    enter(console)
    assert far.typed.startswith(b"\x03\x15\rpi\r")


def test_a_name_that_somebody_has_half_typed_is_dropped(line) -> None:
    far, console = line(getty(), typed=b"roo", until_seen=PROMPT + b"roo")
    enter(console)
    assert b"raspberry" in far.typed


def test_a_getty_that_was_given_a_wrong_name_is_brought_back(line) -> None:
    """Such as a ``q`` and Enter for a pager that was none; nobody's password is typed there."""
    far, console = line(getty(typed="q"), getty(), until_seen=b"Password: ")
    enter(console)
    assert far.typed.startswith(b"\x03\x15\r")
    assert far.typed.count(b"raspberry") == far.typed.count(b"pi\rraspberry\r") == 1


# --- a shell ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "ps1",
    [
        "pi@raspberrypi:~ $ ",
        "root@raspberrypi:/# ",
        "# ",
        "$ ",
        "/ # ",
        "~ $ ",
        "raspberrypi% ",
        r"\[\e[01;32m\]pi@raspberrypi\[\e[00m\]:\[\e[01;34m\]~ \$\[\e[00m\] ",
        r"\[\e]0;title\a\]pi@raspberrypi:~\$ ",
    ],
)
def test_a_shell_that_is_logged_in_is_taken(line, patience, ps1) -> None:
    far, console = line(bash(ps1=ps1))
    enter(console)
    assert b"raspberry" not in far.typed


def test_a_shell_whose_prompt_has_scrolled_away_is_taken(line) -> None:
    far, console = line(bash(), until_seen=b"~ $ ")
    enter(console)
    assert far.typed.startswith(b"\x03\x15\rpi64-leave\r")


def test_a_shell_beside_lines_that_nobody_knows_and_that_never_stop_is_taken(line) -> None:
    _, console = line(bash("(while echo tick; do sleep 0.02; done) &"), until_seen=b"tick\r\ntick")
    enter(console)


def test_a_getty_that_logs_in_by_itself_is_not_given_a_name(line, patience) -> None:
    banner = r"printf 'raspberrypi login: pi (automatic login)\n\nLinux raspberrypi 6.12.41\n'"
    far, console = line(bash(banner))
    enter(console)
    assert far.typed.startswith(b"pi64-leave\recho")


@pytest.mark.parametrize(
    ("there", "typed", "seen"),
    [
        ("", b"rm -rf $HOME/precious", b"precious"),
        ("", b"echo 'open", b"open"),
        ("", b"echo 'open\rmore\r", b"more"),
        ("", b"cat <<END\rmore\r", b"more"),
        ("echo go; cat", b"abc", b"abc"),
        ("echo go; sleep 1000", b"", b"go"),
        ("echo go; sh -c \"trap '' INT; sleep 1000; :\"", b"", b"go"),
        (f"{sys.executable} -ISq", b"", b">>> "),
        (f"{sys.executable} -ISq", b"if 1:\r", b"... "),
        ("echo go; " + LOOP, b"", b"go"),
        ("echo go; stty -echo; " + LOOP, b"half a line", b"go"),
    ],
)
def test_a_shell_that_is_busy_is_freed(line, tmp_path, there, typed, seen) -> None:
    precious = Path("/tmp/precious")
    _, console = line(bash(there), typed=typed, until_seen=seen)
    enter(console)
    assert not precious.exists()


@pytest.mark.parametrize(
    "program",
    [
        "less {}",
        "less -X {}",
        "TERM=dumb less {}",
        "more {}",
        "busybox less {}",
        "vi {}",
        "busybox vi {}",
        "nano {}",
        "top",
    ],
)
def test_a_program_that_fills_the_screen_is_left(line, tmp_path, program) -> None:
    if not all(map(shutil.which, [word for word in program.split() if word.isalpha()])):
        pytest.skip("this host does not have it")
    file = tmp_path / "file"
    file.write_text("".join(f"{number}\n" for number in range(100)))
    _, console = line(bash("echo go; " + program.format(file)), until_seen=b"go\r\n")
    enter(console)
    assert len(file.read_text().splitlines()) == 100


# --- refusals ---------------------------------------------------------------------------------------------------------
def test_a_wrong_password_is_told_at_the_second_refusal(line) -> None:
    far, console = line(getty())
    started = time.monotonic()
    said = refused(console, Account("pi", "hunter2"), timeout_s=60)
    assert time.monotonic() - started < 5
    assert said.startswith("rpi4: the login of user `pi` was refused\n  | ")
    assert "Login incorrect" in said
    assert "userconf.txt" in said
    assert far.typed.count(b"hunter2") == 2


def test_a_refusal_in_another_language_is_one(line) -> None:
    _, console = line(getty(refused="\r\nAnmeldung falsch\r\n"))
    assert "the login of user `pi` was refused" in refused(console, Account("pi", "hunter2"))


def test_a_login_that_comes_too_early_is_no_refusal(line) -> None:
    early = "\r\nSystem is booting up. Unprivileged users are not permitted to log in yet.\r\n"
    _, console = line(getty(password="another", refused=early), until_seen=PROMPT)
    assert "no shell prompt within 1.5 s" in refused(console, Account("pi", "hunter2"), timeout_s=1.5)


@pytest.mark.parametrize(
    ("how", "fact", "hint"),
    [
        (
            {"refused": "\r\nYour account has expired; please contact your system administrator.\r\n"},
            "the account of user `pi` has expired",
            "chage -E -1 pi",
        ),
        ({"refused": "\r\nUser account has expired\r\n"}, "has expired", "chage -E -1 pi"),
        (
            {"refused": "The account is locked due to 3 failed logins.\r\n(10 minutes left to unlock)\r\n"},
            "the account of user `pi` is locked",
            "faillock --user pi --reset",
        ),
        (
            {"refused": "\r\nLogin incorrect\r\n\r\nMaximum number of tries exceeded (5)\r\n"},
            "refused, as one too many",
            "lab.yaml",
        ),
        (
            {
                "password": "wrong",
                "accepted": "You are required to change your password immediately (administrator enforced).\r\n",
                "out": "change",
            },
            "the password of user `pi` must be changed",
            "log in by hand once",
        ),
        (
            {"password": "wrong", "accepted": "This account is currently not available.\r\n", "out": "nologin"},
            "user `pi` may not have a shell",
            "chsh",
        ),
    ],
)
def test_a_refusal_with_a_reason_is_told_at_once_with_its_remedy(line, patience, how, fact, hint) -> None:
    far, console = line(getty(**{"password": "another", **how}))
    said = refused(console, Account("pi", "wrong"))
    assert said.startswith("rpi4: ")
    assert fact in said.splitlines()[0]
    assert hint in said.splitlines()[-1]
    assert far.typed.count(b"wrong") == 1


def test_a_refusal_that_somebody_else_earned_is_not_ours(line) -> None:
    """``Maximum number of tries exceeded`` after the empty password that ends another's attempt."""
    banner = "\r\nLogin incorrect\r\n\r\nMaximum number of tries exceeded (5)\r\n"
    _, console = line(getty(typed="root"), getty(banner=banner), until_seen=b"Password: ")
    enter(console)


@pytest.mark.parametrize("heard", ["", "some strange words\n"])
def test_no_answer_is_told_with_the_time_and_what_to_check(line, heard) -> None:
    _, console = line(["sh", "-c", f"trap '' INT QUIT; stty -echo; printf '{heard}'; while :; do sleep 9; done"])
    said = refused(console, timeout_s=0.7)
    assert "within 0.7 s" in said
    assert re.search("Enter was pressed [1-3] times", said)
    assert (" | some strange words" in said) == bool(heard)
    for word in ("TX", "no other program", "getty", "console="):
        assert word in said


# --- the password -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("prompt", ["Password: ", "[sudo] password for pi: ", "Enter passphrase for /tmp/key: "])
def test_a_password_is_not_typed_where_somebody_else_is_asked_for_one(line, patience, prompt) -> None:
    far, console = line(bash(f"printf '{prompt}'; stty -echo; read x; stty echo"))
    enter(console)
    assert b"raspberry" not in far.typed


def test_the_password_stays_out_of_logs_records_errors_and_reprs(line, patience, tmp_path, caplog) -> None:
    caplog.set_level(0)
    logging.getLogger().setLevel(0)
    account = Account("pi", "correcthorse")
    _, console = line(getty(password="correcthorse"))
    enter(console, account)
    texts = [caplog.text, repr(account), str(console), repr(console), repr(vars(console))]
    texts += [path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    assert "b'pi\\r'" in caplog.text  # what is typed openly is logged
    assert len(texts) > 6
    assert not any("correcthorse" in text for text in texts)


def test_the_password_stays_out_of_the_error_of_a_line_that_breaks_under_it(line, monkeypatch) -> None:
    _, console = line(getty(password="another"))

    def breaks(data: bytes) -> None:
        raise OSError(f"cannot write {data!r}")

    monkeypatch.setattr(console, "send_secret", breaks)
    with pytest.raises(LabError, match="rpi4: the serial line is lost") as caught:
        login(console, Account("pi", "correcthorse"), target="rpi4", timeout_s=5)
    assert caught.value.__context__ is None
    ours = [entry.frame for entry in caught.traceback if "harness" in str(entry.path)]
    assert ours
    assert not any("correcthorse" in repr(frame.f_locals) for frame in ours)


# --- the first boot of Raspberry Pi OS -----------------------------------------------------------------------------
def box(text: str, *, cancel: bool = True) -> str:
    """Return a dialog as whiptail 0.52 draws it on a vt220, recorded there; without the lines that hold nothing."""
    edge = "\u2502\x1b[5;11H\u2502\x1b[58C\u2502\x1b[6;11H\u2502 " + "_" * 56
    buttons = "\x1b[20;11H\u2502\x1b[14C<Ok>\x1b[18C" + "<Cancel>" * cancel + "\x1b[14C\u2502"
    start = "\x1b[1;24r\x1b[4l\x1b)0\x1b[?25l\x1b[m\x1b(B\x1b[H\x1b[J"
    return f"{start}\x1b[4;11H\u2502 {text}\x1b[31C{edge}{buttons}\x1b[6;13H"


def dialog(user: str, password: str) -> list[str]:
    """Return a program with the questions of userconf-service, that ends when it has what it wants."""
    ask = r"""ask(){ printf '%s' "$1"; stty -echo; IFS= read -r answer; stty echo; }
        until [ "$user" = USER ]; do ask "$1"; user=$answer; [ "$user" = USER ] || ask "$5"; done
        ask "$2"; one=$answer; ask "$3"; [ "$one$answer" = "nobody knowsPASSWORD" ] || { ask "$4"; }
        ask "$2"; one=$answer; ask "$3"; [ "$one$answer" = PASSWORDPASSWORD ] || exec sleep 100"""
    texts = [
        box("Please enter new username:"),
        box(f"Please set a password for {user}:"),
        box("Please confirm the password:"),
        box("Passwords did not match", cancel=False),
        box("Entered username is invalid:", cancel=False),
    ]
    return ["sh", "-c", ask.replace("USER", user).replace("PASSWORD", password), "sh", *texts]


def test_the_first_boot_dialog_gets_the_account_of_lab_yaml(line, patience) -> None:
    far, console = line(dialog("pi", "raspberry"), getty(), until_seen=b"")
    enter(console)
    assert (
        far.typed
        == b"\x15pi\r" + b"raspberry\r" * 2 + b"\r" + b"raspberry\r" * 2 + b"pi\rraspberry\recho $((6*7))-here\r"
    )


def test_a_user_name_that_the_first_boot_dialog_refuses_is_told(line, patience) -> None:
    _, console = line(dialog("pi", "raspberry"))
    said = refused(console, Account("Pi_1", "hunter2"))
    assert "the first-boot dialog does not take `Pi_1`" in said


@pytest.mark.skipif(not shutil.which("whiptail"), reason="this host does not have whiptail")
@pytest.mark.parametrize("term", ["vt220", "linux"])
def test_whiptail_itself_gets_the_account_of_lab_yaml(line, patience, tmp_path, term) -> None:
    script = f"""export TERM={term}
        ask(){{ whiptail "--$1" "$2" 20 60 3>&1 1>&2 2>&3; }}
        user=$(ask inputbox 'Please enter new username:')
        one=$(ask passwordbox "Please set a password for $user:")
        two=$(ask passwordbox 'Please confirm the password:')
        echo "$user $one $two" >{tmp_path}/account"""
    _, console = line(["sh", "-c", script], getty())
    enter(console)
    assert (tmp_path / "account").read_text() == "pi raspberry raspberry\n"
