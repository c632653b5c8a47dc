"""A mail is never lost: against a real SMTP server that is down, busy, choosy, or cut off amid a mail."""

import email
import email.policy
from pathlib import Path

import attrs
import mailserver
import pytest
from mailserver import PASSWORD, Postman, serving
from morninglab import HOSTILE

from harness.errors import ConfigError
from harness.lab.mail import MailOptions
from harness.lab.plan import parse
from harness.lab.yaml_reader import Reader
from harness.nightly.compare import Kind
from harness.nightly.morning import outbox
from harness.nightly.morning.letter import letter
from harness.nightly.morning.values import Cell, Health, Line, Morning, News

TO = ("ada@example.org", "grace@example.org")
LINE = Line(f"rpi-6.12.y {HOSTILE}", "")
MORNING = Morning(
    "2026-03-04T01-00-00",
    "2026-03-04T01:00:00Z",
    cells=(Cell(LINE, "desk", "KERNEL", "run-1", published=True, change="worse"),),
    news=(News(Kind.NEW_FAILURE, LINE, ("desk",), (f"test_check[{HOSTILE}]",), "it\r\nBcc: eve@example.org", "run-1"),),
    boards=(Health("rpi3", out=f"not one line {HOSTILE}"),),
)


def options(port: int, **more) -> MailOptions:
    known = {"to": TO, "from_": "lab@example.org", "server": "127.0.0.1", "port": float(port), "security": "none"}
    return MailOptions(**{**known, **more})


def put(box, chosen: MailOptions):
    return outbox.put(box, letter(MORNING, chosen), MORNING.name)


def flush(box, chosen: MailOptions, waits=()):
    return outbox.flush(box, chosen, waits_s=waits, sleep=lambda _: None)


def waiting(box) -> list[tuple[str, list[str]]]:
    return [(path.name, outbox._read(path)[0]) for path in sorted(box.rglob("*.eml"))]


def test_a_mail_arrives_as_text_and_as_html_and_leaves_the_box(tmp_path) -> None:
    with serving(postman := Postman()) as port:
        put(tmp_path, options(port))
        sent = flush(tmp_path, options(port))
    assert (sent.taken, sent.waiting, sent.problems) == (1, (), ())
    ((to, content),) = postman.taken
    assert to == TO
    mail = email.message_from_bytes(content, policy=email.policy.SMTP)
    assert mail["Subject"] == "pi64 2026-03-04T01-00-00: 1 regression, 0 of 1 PASS, 1 board out"
    assert (mail["From"], mail["Bcc"], outbox.PENDING.split(b":")[0].decode() in mail) == (
        "lab@example.org",
        None,
        False,
    )
    text, page = (mail.get_body((kind,)).get_content() for kind in ("plain", "html"))
    assert "new failure: rpi-6.12.y" in text
    assert "\x1b" not in text + page
    assert "\u202e" not in text + page
    assert "<script" not in page


def test_what_a_server_that_is_down_did_not_get_it_gets_the_next_time(tmp_path) -> None:
    port = mailserver.free_port()
    put(tmp_path, options(port))
    sent = flush(tmp_path, options(port), waits=(1.0,))
    assert sent.taken == 0
    assert "Connection refused" in sent.problems[0]
    assert waiting(tmp_path) == [("2026-03-04T01-00-00.eml", list(TO))]
    put(tmp_path, options(port))
    with serving(postman := Postman(), port=port):
        assert flush(tmp_path, options(port)).taken == 2
    assert len(postman.taken) == 2
    assert waiting(tmp_path) == []


def test_not_now_for_one_is_tried_again_for_that_one_alone(tmp_path) -> None:
    postman = Postman()
    postman.answers = {TO[1]: ["451 greylisted, come back"]}
    with serving(postman) as port:
        put(tmp_path, options(port))
        first = flush(tmp_path, options(port))
        assert (first.taken, waiting(tmp_path)) == (0, [("2026-03-04T01-00-00.eml", [TO[1]])])
        assert "not now for grace@example.org: 451 greylisted" in first.problems[0]
        assert flush(tmp_path, options(port)).taken == 1
    assert [to for to, _ in postman.taken] == [(TO[0],), (TO[1],)]
    assert len({email.message_from_bytes(content)["Message-ID"] for _, content in postman.taken}) == 1


def test_a_recipient_that_is_refused_keeps_nobody_else_from_the_mail_and_it_is_not_lost(tmp_path) -> None:
    postman = Postman()
    postman.answers = {TO[0]: ["550 no such user"] * 9}
    with serving(postman) as port:
        put(tmp_path, options(port))
        sent = flush(tmp_path, options(port), waits=(1.0,))
    assert sent.problems == ("mail 2026-03-04T01-00-00.eml: ada@example.org is refused: 550 no such user",)
    assert [to for to, _ in postman.taken] == [(TO[1],)]
    assert waiting(tmp_path) == [("2026-03-04T01-00-00.eml", [TO[0]])]
    assert (tmp_path / "refused" / "2026-03-04T01-00-00.eml").exists()


@pytest.mark.parametrize("fault", ["cut", "452 the disk is full"])
def test_a_mail_that_was_not_taken_stays_and_comes_at_the_next_try(tmp_path, fault: str) -> None:
    postman = Postman()
    postman.data = [fault, fault]
    with serving(postman) as port:
        put(tmp_path, options(port))
        sent = flush(tmp_path, options(port))
        assert (sent.taken, len(sent.problems), waiting(tmp_path)) == (0, 1, [("2026-03-04T01-00-00.eml", list(TO))])
        assert flush(tmp_path, options(port), waits=(1.0,)).taken == 1
    assert len(postman.taken) == 1


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_password_goes_over_a_line_that_nobody_else_reads(tmp_path, monkeypatch, security: str) -> None:
    ca, context = mailserver.certificate(tmp_path)
    monkeypatch.setenv("LAB_MAIL", PASSWORD)
    with serving(postman := Postman(), context=context, tls=security == "tls") as port:
        chosen = options(port, security=security, user="lab", password_env="LAB_MAIL", ca=str(ca))
        put(tmp_path / "box", chosen)
        assert flush(tmp_path / "box", chosen).problems == ()
        untrusted = flush_one(tmp_path / "box", attrs.evolve(chosen, ca=None))
        monkeypatch.setenv("LAB_MAIL", "another-secret-word")
        refused = flush(tmp_path / "box", chosen)
    assert (postman.tls, postman.logins[0]) == ([True], b"lab")
    assert "self-signed certificate" in untrusted.problems[0]
    assert "535" in refused.problems[0]
    assert "another-secret-word" not in "".join(refused.problems)


def flush_one(box, chosen: MailOptions):
    put(box, chosen)
    return flush(box, chosen)


def test_a_file_that_is_no_mail_stops_no_other(tmp_path) -> None:
    (tmp_path / "a.eml").write_bytes(b"\xff")
    with serving(Postman()) as port:
        put(tmp_path, options(port))
        sent = flush(tmp_path, options(port))
    assert (sent.taken, sent.waiting) == (1, ("a.eml",))


def test_two_nights_do_not_send_the_same_mail(tmp_path) -> None:
    with serving(postman := Postman()) as port:
        put(tmp_path, options(port))
        with outbox._alone(tmp_path):
            assert "in use by another run" in flush(tmp_path, options(port)).problems[0]
    assert (len(postman.taken), len(waiting(tmp_path))) == (0, 1)


@pytest.mark.parametrize("detail", ["é✓", "é✓\n.\n" + "ü" * 3000])
def test_a_mail_is_seven_bit_in_short_lines_whatever_is_in_it(tmp_path, detail: str) -> None:
    line = Line("main", "")
    news = tuple(News(Kind.NEW_FAILURE, line, ("desk",), ("test_x",), said, "run-1") for said in (detail, "."))
    with serving(postman := Postman()) as port:
        outbox.put(tmp_path, letter(Morning("n", MORNING.started, news=news), options(port)), "n")
        assert flush(tmp_path, options(port)).taken == 1
    content = postman.taken[0][1]
    assert content.isascii()
    assert max(map(len, content.splitlines())) <= 998
    page = email.message_from_bytes(content, policy=email.policy.SMTP).get_body(("html",)).get_content()
    assert detail in page.replace("\r\n", "\n")


def test_a_server_whose_name_is_none_is_told_and_the_mail_waits(tmp_path) -> None:
    chosen = options(25, server="mail..example")
    put(tmp_path, chosen)
    (problem,) = flush(tmp_path, chosen).problems
    assert "mail..example:25" in problem
    assert waiting(tmp_path) == [("2026-03-04T01-00-00.eml", list(TO))]


def test_one_try_takes_so_long_however_many_mails_wait(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(outbox, "WHOLE_S", 0.0)
    chosen = options(mailserver.free_port())
    put(tmp_path, chosen)
    put(tmp_path, chosen)
    sent = flush(tmp_path, chosen)
    assert len(sent.waiting) == 2
    assert "the mails before it took" in sent.problems[0]


def test_a_password_that_smtp_cannot_say_is_told_without_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PI64_MAIL", "geheim-ü")
    chosen = options(25, server="127.0.0.1", user="lab", password_env="PI64_MAIL")
    put(tmp_path, chosen)
    (problem,) = flush(tmp_path, chosen).problems
    assert "beyond ASCII" in problem
    assert "geheim" not in problem


# --- lab.yaml --------------------------------------------------------------------------------------------------------
def plan(mail: str):
    reader = Reader(Path("lab.yaml"), {})
    text = "{branches: {a: {source: 'package:linux-source-*'}}, boards: [desk], mail: " + mail + "}"
    return parse(reader, reader.root(text), {"desk": None}).mail


def test_lab_yaml_says_who_is_told() -> None:
    found = plan("{to: [ada@example.org], from: lab@example.org, server: mail.example.org, when: changes}")
    assert (found.to, found.from_, found.number, found.when) == (
        ("ada@example.org",),
        "lab@example.org",
        587,
        "changes",
    )


@pytest.mark.parametrize(
    ("mail", "fault"),
    [
        ("{from: lab@example.org}", "needs `to:` and `from:`"),
        ("{to: ['Ada <ada@example.org>'], from: lab@example.org}", "is no mail address"),
        ("{to: ['a@b', 'c@d\\n'], from: lab@example.org}", "is no mail address"),
        ("{to: ['jürgen@example.org'], from: lab@example.org}", "is no mail address"),
        ("{to: [a@b.], from: c@d}", "is no mail address"),
        ("{to: [a@b@c], from: c@d}", "is no mail address"),
        ("{to: [a@b], from: c@d, server: bücher.example}", "xn--"),
        ("{to: [a@b], from: c@d, port: 70000}", "is no port"),
        ("{to: [a@b], from: c@d, user: lab}", "needs `password_env:`"),
        ("{to: [a@b], from: c@d, user: lab, password_env: X, security: none, server: far}", "over the network to far"),
        ("{to: [a@b], from: c@d, password: secret}", "unknown key `password`"),
    ],
)
def test_a_mistake_in_it_is_told(mail: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=r"lab\.yaml:1: ") as raised:
        plan(mail)
    assert fault in raised.value.message
    assert "secret" not in str(raised.value)
