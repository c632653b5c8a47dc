"""The configuration step: real make over the stub tree, and the real Kconfig where a kernel tree is installed."""

import gzip
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
import pytest

from harness.build import kconfig, objects, recipe, source
from harness.build.configure import configure, demand
from harness.build.make import Make, Meter
from harness.build.requirements import Purpose
from harness.errors import BuildError, ConfigError, Pi64Error, UsageError
from harness.model import KernelSource
from tests_unit import fakelinux
from tests_unit.build.test_build_kernel import BOARD, SMALL, TOOLCHAIN, builder

Configure = Callable[..., str]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return fakelinux.write(tmp_path / "linux")


@pytest.fixture
def configured(tree: Path, tmp_path: Path) -> Configure:
    return configurer(source.open_tree(str(tree)), tmp_path)


def configurer(opened: KernelSource, folder: Path) -> Configure:
    """Return a function that configures and returns the text of the ``.config``."""

    def run(*fragments: str | Path, config: str | None = None, sets: Sequence[str] = ()) -> str:
        wanted = recipe.compose(opened, TOOLCHAIN, BOARD, config=config, fragments=fragments, localversion=None)
        built = folder / "objects"
        built.mkdir(exist_ok=True)
        log = folder / "build.log"
        log.touch()
        make = Make(wanted, built, 1, log, Meter(expected=None, progress=lambda _: None))
        configure(make, Purpose(tuple(sets), virtual=True), BOARD)
        return (built / ".config").read_text()

    return run


def refused(kind: type[Pi64Error], configured: Configure, *fragments: str | Path, **options: object) -> Pi64Error:
    with pytest.raises(kind) as caught:
        configured(*fragments, **options)
    return caught.value


# --- fragments -------------------------------------------------------------------------------------------------------
def test_a_symbol_can_be_given_in_so_many_words(configured: Configure) -> None:
    text = configured("CONFIG_DUMMY=y", "BLK_DEV_LOOP=n", "LOCALVERSION=-mine")
    assert kconfig.parse(text).items() >= {"DUMMY": "y", "BLK_DEV_LOOP": "n", "LOCALVERSION": '"-mine"'}.items()


def test_an_unmet_dependency_is_named_with_the_place_that_switched_it_off(
    configured: Configure, tmp_path: Path
) -> None:
    (tmp_path / "no-net.config").write_text("# small\n# CONFIG_NETDEVICES is not set\n")
    error = refused(BuildError, configured, tmp_path / "no-net.config", "DUMMY=y")
    assert error.evidence == (
        "CONFIG_DUMMY: wanted y, got n (--fragment DUMMY=y)",
        f"  DUMMY depends on NETDEVICES: NETDEVICES=n (asked for: {tmp_path}/no-net.config:2)   [Kconfig:11]",
    )


def test_a_dependency_that_nobody_asked_for_is_offered(configured: Configure) -> None:
    error = refused(BuildError, configured, "DUMMY=y", config="allnoconfig")
    assert error.evidence[-1] == "  NETDEVICES can be asked for: CONFIG_NETDEVICES=y"


def test_a_symbol_that_another_one_selects_cannot_be_switched_off(configured: Configure) -> None:
    error = refused(BuildError, configured, "USB_USBNET=m", "MII=n")
    assert "  selected by USB_USBNET=m (asked for: --fragment USB_USBNET=m)   [Kconfig:25]" in error.evidence


def test_a_misspelt_symbol_is_the_users_mistake_and_the_nearest_are_named(configured: Configure) -> None:
    error = refused(UsageError, configured, "USB_USBNIT=m")
    assert error.evidence == ("CONFIG_USB_USBNIT=m (--fragment USB_USBNIT=m): did you mean CONFIG_USB_USBNET?",)


def test_a_misspelt_symbol_is_found_even_where_it_is_to_be_off(configured: Configure) -> None:
    """Off it is, whatever it is called; but the one that was meant stays on."""
    assert "CONFIG_DUMMY" in refused(UsageError, configured, "DUMY=n").evidence[0]


def test_a_symbol_of_another_architecture_is_said_to_be_one(configured: Configure, tree: Path) -> None:
    (tree / "arch/x86").mkdir()
    (tree / "arch/x86/Kconfig").write_text('config KVM_INTEL\n\ttristate "KVM"\n')
    assert "not for arm64, only in arch/x86/Kconfig" in refused(UsageError, configured, "KVM_INTEL=m").evidence[0]


def test_an_override_is_noted_in_the_log(configured: Configure, tmp_path: Path) -> None:
    (tmp_path / "a.config").write_text("CONFIG_DUMMY=m\n")
    configured(tmp_path / "a.config", "DUMMY=y")
    assert f"CONFIG_DUMMY=m ({tmp_path}/a.config:1)" in (tmp_path / "build.log").read_text()


# --- the base --------------------------------------------------------------------------------------------------------
def test_a_file_can_be_the_base(configured: Configure, tmp_path: Path) -> None:
    (tmp_path / "mine.config").write_text("CONFIG_BLK_DEV_LOOP=y\nCONFIG_GONE_SINCE=y\n")
    values = kconfig.parse(configured("DUMMY=y", config=str(tmp_path / "mine.config")))
    assert (values["BLK_DEV_LOOP"], values["DUMMY"]) == ("y", "y")


def test_a_name_in_the_tree_is_not_a_file_that_happens_to_lie_here(
    configured: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "defconfig").write_text("CONFIG_BLK_DEV_LOOP=y\n")
    monkeypatch.chdir(tmp_path)
    assert "CONFIG_BLK_DEV_LOOP=m" in configured(config="defconfig")
    assert "CONFIG_BLK_DEV_LOOP=y" in configured(config="./defconfig")


def test_what_a_base_file_loses_in_this_tree_is_noted_in_the_log(configured: Configure, tmp_path: Path) -> None:
    (tmp_path / "mine.config").write_text("CONFIG_DUMMY=y\nCONFIG_GONE_SINCE=y\n")
    configured(config=str(tmp_path / "mine.config"))
    assert "# base mine.config: CONFIG_GONE_SINCE: wanted y, got n" in (tmp_path / "build.log").read_text()


def test_what_the_running_board_says_can_be_the_base(configured: Configure, tmp_path: Path) -> None:
    (tmp_path / "config.gz").write_bytes(gzip.compress(b"CONFIG_BLK_DEV_LOOP=y\n"))
    assert "CONFIG_BLK_DEV_LOOP=y" in configured(config=str(tmp_path / "config.gz"))


def test_a_base_that_is_no_configuration_is_refused(configured: Configure, tmp_path: Path) -> None:
    (tmp_path / "mine.config").write_bytes(b"\x7fELF\0")
    assert (
        "holds no kernel configuration"
        in refused(ConfigError, configured, config=str(tmp_path / "mine.config")).message
    )


def test_the_content_of_a_base_file_counts(tree: Path, tmp_path: Path) -> None:
    def key(text: str) -> str:
        (tmp_path / "mine.config").write_text(text)
        opened = source.open_tree(str(tree))
        base = str(tmp_path / "mine.config")
        return recipe.compose(opened, TOOLCHAIN, BOARD, config=base, fragments=(), localversion=None).key

    assert key("CONFIG_DUMMY=y\n") != key("CONFIG_DUMMY=m\n")


@pytest.mark.parametrize("name", ["debian/certs/uefi.pem", "/etc/initramfs.cpio", "../outside"])
def test_a_configuration_that_reads_files_from_outside_is_refused(
    configured: Configure, tree: Path, tmp_path: Path, name: str
) -> None:
    """A distribution's configuration names its own certificates; the cache does not know what is in such files."""
    with (tree / "Kconfig").open("a") as file:
        file.write('config SYSTEM_TRUSTED_KEYS\n\tstring "Certificates"\n')
    (tmp_path / "debian.config").write_text(f'CONFIG_SYSTEM_TRUSTED_KEYS="{name}"\n')
    error = refused(UsageError, configured, config=str(tmp_path / "debian.config"))
    assert "--fragment CONFIG_SYSTEM_TRUSTED_KEYS=" in error.hint
    configured("CONFIG_SYSTEM_TRUSTED_KEYS=", config=str(tmp_path / "debian.config"))


# --- what it is for --------------------------------------------------------------------------------------------------
def test_what_the_purpose_needs_is_checked_before_anything_compiles(configured: Configure, tree: Path) -> None:
    with (tree / "Kconfig").open("a") as file:
        file.write('config MODULE_UNLOAD\n\tbool "Module unloading"\n\tdepends on MODULES\n')
    error = refused(BuildError, configured, sets=["modules"])
    assert "modules: CONFIG_MODULE_UNLOAD: wanted y, got n: `modprobe -r` fails" in error.evidence[0]
    assert error.evidence[1] == "  MODULE_UNLOAD can be asked for: CONFIG_MODULE_UNLOAD=y"
    configured("MODULE_UNLOAD=y", sets=["modules"])


def test_what_is_asked_for_by_name_may_be_wrong_on_purpose(configured: Configure, tree: Path) -> None:
    """A kernel that cannot do something is a test, too."""
    with (tree / "Kconfig").open("a") as file:
        file.write('config MODULE_UNLOAD\n\tbool "Module unloading"\n')
    configured("MODULE_UNLOAD=n", sets=["modules"])


def test_the_same_is_asked_of_a_kernel_that_is_there_already(tree: Path) -> None:
    opened = source.open_tree(str(tree))
    wanted = recipe.compose(opened, TOOLCHAIN, BOARD, config=None, fragments=(), localversion=None)
    with pytest.raises(BuildError, match="MODULE_UNLOAD"):
        demand("CONFIG_MODULES=y\n", Purpose(("modules",)), BOARD, wanted)


def test_a_stored_kernel_is_asked_again_when_the_purpose_is_another(tree: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PI64_CACHE", str(tmp_path / "cache"))
        patch.setattr(objects, "TYPICAL_FULL", SMALL)
        build = builder(tmp_path / "build.log")
        build(tree)
        with pytest.raises(BuildError, match="MODULE_UNLOAD"):
            build(tree, purpose=Purpose(("modules",)))


# --- the kernel's own Kconfig ----------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Configure:
    """An installed kernel source package, unpacked far enough for `make allnoconfig`."""
    packages = sorted(Path("/usr/src").glob("linux-source-6.*.tar.xz"))
    if not packages or not shutil.which("aarch64-linux-gnu-gcc"):
        pytest.skip("no kernel source package, or no compiler, on this host")
    folder = tmp_path_factory.mktemp("real")
    return configurer(attrs.evolve(source.open_tree(f"package:{packages[-1].name[: -len('.tar.xz')]}")), folder)


@pytest.mark.slow
def test_a_real_tree_takes_the_smoke_fragment(real: Configure) -> None:
    real("smoke", config="allnoconfig", sets=["userland32", "serial-console", "reboot", "root-on-sd", "modules"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fragments", "reason"),
    [
        (["SERIAL_8250_BCM2835AUX=y"], "SERIAL_8250_EXTENDED can be asked for: CONFIG_SERIAL_8250_EXTENDED=y"),
        (["PHYLIB=n"], "selected by USB_NET_SMSC95XX=m (asked for: fragment smoke:"),
        (
            ["ARM64_64K_PAGES=y"],
            "ARM64_4K_PAGES=n (chosen: ARM64_64K_PAGES=y (asked for: --fragment ARM64_64K_PAGES=y))",
        ),
        (["NR_CPUS=9999"], "NR_CPUS is limited: range 2 4096"),
        (["PM=m"], "PM is a bool: it cannot be a module"),
        (["MODULES=n"], "there are no modules: MODULES=n (asked for: --fragment MODULES=n)"),
        (["PREEMPT_NONE=y", "PREEMPT=y"], "is one answer of the choice at kernel/Kconfig.preempt:"),
    ],
)
def test_a_real_tree_says_why(real: Configure, fragments: list[str], reason: str) -> None:
    error = refused(BuildError, real, "smoke", *fragments, config="allnoconfig")
    assert reason in "\n".join(error.evidence)
