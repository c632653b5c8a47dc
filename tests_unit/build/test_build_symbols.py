from harness.build import symbols
from harness.build.symbols import Symbols

TREE = {
    "Kconfig": """
mainmenu "Linux/$(ARCH) Kernel Configuration"
source "arch/$(SRCARCH)/Kconfig"
source "net/Kconfig"
source "not/there/Kconfig"
""",
    "arch/arm64/Kconfig": """
config ARM64
\tdef_bool y
\tselect HAVE_X if NET && \\
\t\tUSB
choice
\tprompt "Page size"
\tdefault ARM64_4K_PAGES
\tdepends on MMU
config ARM64_4K_PAGES
\tbool "4KB"
config ARM64_64K_PAGES
\tbool "64KB"
endchoice
config HAVE_X
\tbool
""",
    "net/Kconfig": """
menuconfig NET
\tbool "Networking support"
\thelp
\t  Say Y.
\t    config FAKE
\t  It's prose: "quotes' and # signs.

\t  if NET

if NET # a comment
menu "Drivers"
\tdepends on PCI || COMPILE_TEST
comment "nothing here"
\tdepends on BROKEN
config DUMMY
\ttristate 'Dummy' if EXPERT
\tdepends on !UML
\tdefault m if USB
config NR
\tint "Number" # of "things"
\trange 2 4096
endmenu
endif
config DUMMY
\ttristate "Dummy again"
""",
}


def read() -> Symbols:
    def text(path: str) -> str:
        if path not in TREE:
            raise FileNotFoundError(path)
        return TREE[path]

    return symbols.declared(text, {"SRCARCH": "arm64", "ARCH": "arm64"})


def test_a_symbol_inherits_what_stands_around_it() -> None:
    entry = read().entries["DUMMY"][0]
    assert [str(each) for each in entry.depends] == ["NET", "PCI || COMPILE_TEST", "!UML"]
    assert (entry.where, str(entry.prompt), entry.defaults) == ("net/Kconfig:16", "EXPERT", ["m if USB"])


def test_what_stands_behind_the_last_end_is_free_again() -> None:
    assert read().entries["DUMMY"][1].depends == []


def test_help_is_prose() -> None:
    assert sorted(read().entries) == ["ARM64", "ARM64_4K_PAGES", "ARM64_64K_PAGES", "DUMMY", "HAVE_X", "NET", "NR"]


def test_a_comment_does_not_restrict_what_follows_it() -> None:
    assert "BROKEN" not in str(read().entries["NR"][0].depends)


def test_the_answers_of_a_choice_know_each_other_and_what_it_depends_on() -> None:
    found = read()
    entry = found.entries["ARM64_4K_PAGES"][0]
    assert list(found.answers(entry.choice)) == ["ARM64_4K_PAGES", "ARM64_64K_PAGES"]
    assert [str(each) for each in entry.depends] == ["MMU"]


def test_who_selects_whom_and_when() -> None:
    (select,) = read().selects["HAVE_X"]
    assert (select.by, str(select.condition), select.where) == ("ARM64", "NET && USB", "arch/arm64/Kconfig:4")


def test_a_symbol_without_a_prompt_is_never_offered() -> None:
    found = read()
    assert found.entries["HAVE_X"][0].prompt is None
    assert found.entries["ARM64"][0].prompt is None


def test_types_and_ranges_are_known() -> None:
    found = read()
    assert [found.type(name) for name in ("NET", "DUMMY", "NR", "ARM64", "GONE")] == [
        "bool", "tristate", "int", "bool", "",
    ]  # fmt: skip
    assert found.entries["NR"][0].ranges == ["2 4096"]
