import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.build.expression import Expression, both, parse

VALUES = {"NET": "y", "USB": "m", "VERSION": "120200", "ARCH": '"arm64"', "CMDLINE": '""'}
LEAVES = st.sampled_from(["NET", "USB", "GONE", "y", "n"]).map(lambda name: Expression("", text=name))


def combined(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    pairs = st.tuples(st.sampled_from(["&&", "||"]), st.lists(inner, min_size=2, max_size=3))
    return st.one_of(
        pairs.map(lambda pair: Expression(pair[0], tuple(pair[1]))), inner.map(lambda one: Expression("!", (one,)))
    )


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("NET", 2),
        ("USB", 1),
        ("GONE", 0),
        ("NET && USB", 1),
        ("GONE || USB", 1),
        ("!USB", 1),
        ("!GONE && NET", 2),
        ("GONE && NET || NET", 2),
        ("GONE && (NET || NET)", 0),
        ("USB = m", 2),
        ("USB!=n", 2),
        ("VERSION >= 110000", 2),
        ("VERSION < 110000", 0),
        ('ARCH = "arm64"', 2),
        ('CMDLINE != ""', 0),
        ("$(cc-option,-mabi=(x)) && NET", 2),
    ],
)
def test_n_m_and_y_combine_as_in_kconfig(text: str, level: int) -> None:
    assert parse(text).level(VALUES) == level


def test_only_the_part_that_fails_is_named() -> None:
    found = parse("NET && (GONE || LOST) && USB").failing(VALUES, 2)
    assert [str(each) for each in found] == ["GONE || LOST", "USB"]


def test_a_conjunction_of_nothing_holds() -> None:
    assert both(()).level({}) == 2


@pytest.mark.parametrize("text", ["", "NET &&", "(NET", "NET USB", "A = ", "$(cc-option"])
def test_what_kconfig_would_refuse_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)


@given(st.recursive(LEAVES, combined, max_leaves=8))
def test_what_is_shown_means_the_same(expression: Expression) -> None:
    assert parse(str(expression)).level(VALUES) == expression.level(VALUES)
