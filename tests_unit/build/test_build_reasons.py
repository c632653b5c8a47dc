from collections.abc import Mapping

import pytest

from harness.build import symbols
from harness.build.kconfig import Difference, Setting
from harness.build.reasons import Configuration, explain

KCONFIG = """
config MODULES
	bool "Modules"
config EXPERT
	bool "Expert"
config NET
	bool "Net"
config NETDEVICES
	bool "Devices"
	depends on NET
config USB
	tristate "USB"
config USBNET
	tristate "Adapters"
	depends on NETDEVICES && USB
	select MII
	select PHYLIB if NET
config MII
	tristate
config PHYLIB
	tristate "PHY"
config TIME32
	bool "32-bit time" if EXPERT
	default y
config CMDLINE
	string "Command line"
config NR
	int "Number"
	range 2 8
config HELD
	bool
	default y if NET
choice
	prompt "Preemption"
config NONE
	bool "None"
config FULL
	bool "Full"
endchoice
config EITHER
	bool "Either"
	depends on GONE || USB=y
"""


def why(symbol: str, wanted: str, values: Mapping[str, str], **asked: str) -> list[str]:
    """Return the reasons; *asked* is symbol -> place where it was asked to be what *values* says."""
    settings = {name: Setting(name, values.get(name, "n"), where) for name, where in asked.items()}
    settings.setdefault(symbol, Setting(symbol, wanted, "a.config:1"))
    config = Configuration(symbols.declared(lambda _: KCONFIG, {}), values, settings)
    return explain(Difference(symbol, wanted, values.get(symbol, "n")), config)


@pytest.mark.parametrize(
    ("symbol", "wanted", "values", "first"),
    [
        ("USBNET", "m", {"MODULES": "y", "USB": "y"}, "USBNET depends on NETDEVICES: NETDEVICES=n   [Kconfig:13]"),
        ("USBNET", "y", {"NETDEVICES": "y", "USB": "m", "USBNET": "m"}, "USBNET depends on USB: USB=m   [Kconfig:13]"),
        ("EITHER", "y", {"USB": "m"}, "EITHER depends on GONE || USB = y: GONE=n, USB=m   [Kconfig:40]"),
        ("NET", "m", {"NET": "n"}, "NET is a bool: it cannot be a module, only y or n"),
        ("USB", "m", {"USB": "y"}, "there are no modules: MODULES=n"),
        ("USB", "yes", {}, "USB is a tristate: y, m or n"),
        ("MII", "n", {"USBNET": "m", "MII": "m"}, "selected by USBNET=m   [Kconfig:16]"),
        ("PHYLIB", "m", {"MODULES": "y", "USBNET": "y", "NET": "y", "PHYLIB": "y"},
         "selected by USBNET=y if NET   [Kconfig:17]"),
        ("MII", "y", {}, "MII cannot be asked for; only others select it: USBNET"),
        ("HELD", "n", {"NET": "y", "HELD": "y"},
         "HELD cannot be asked for; its default is y if NET   [Kconfig:30]"),
        ("TIME32", "n", {"TIME32": "y"},
         "TIME32 is offered only if EXPERT; its default is y   [Kconfig:22]"),
        ("NONE", "y", {"FULL": "y"}, "NONE is one answer of the choice at Kconfig:33; taken is FULL=y"),
        ("FULL", "n", {"FULL": "y"}, "the answer taken of the choice at Kconfig:33; ask for another one with y"),
        ("CMDLINE", "quiet", {}, 'CMDLINE is a string: write it in quotes, CONFIG_CMDLINE="quiet"'),
        ("NR", '"4"', {"NR": "2"}, "NR is a whole number, without quotes"),
        ("NR", "9", {"NR": "8"}, "NR is limited: range 2 8   [Kconfig:27]"),
    ],
)  # fmt: skip
def test_the_reason(symbol: str, wanted: str, values: dict[str, str], first: str) -> None:
    assert why(symbol, wanted, values)[0] == first


def test_a_chain_of_dependencies_is_followed_to_what_can_be_asked_for() -> None:
    assert why("USBNET", "y", {"USB": "y"})[1:] == [
        "NETDEVICES depends on NET: NET=n   [Kconfig:8]",
        "NET can be asked for: CONFIG_NET=y",
    ]


def test_the_fragment_that_switched_a_dependency_off_is_named() -> None:
    assert "NET=n (asked for: b.config:7)" in why("NETDEVICES", "y", {}, NET="b.config:7")[0]


def test_the_fragment_that_chose_otherwise_is_named() -> None:
    assert "taken is FULL=y (asked for: b.config:7)" in why("NONE", "y", {"FULL": "y"}, FULL="b.config:7")[0]


def test_no_reason_is_said_to_be_none() -> None:
    assert why("NET", "y", {}) == [
        "no reason found in the Kconfig files; `make menuconfig`, `/` and the name may show one"
    ]
