"""A build in plain commands, as a kernel developer would type them; they give the same Image, bit for bit."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from harness.build import kconfig
from harness.build.make import variables
from harness.build.recipe import CONFIGS, GENERATED, Recipe

END = "END_OF_CONFIG"


def script(recipe: Recipe, *, config: str | None, jobs: int) -> str:
    """Return a shell script that builds *recipe* into a new folder; *config* is the base as the user named it."""
    return "\n".join([*_setting(recipe), "", *_configuring(recipe, config), "", *_making(recipe, jobs)])


def _setting(recipe: Recipe) -> Iterator[str]:
    yield f"# Linux {recipe.source.version}: {recipe.source.origin}"
    yield f"# {recipe.toolchain.version}"
    yield f"# kernel {recipe.key} of pi64's cache: the same Image"
    yield "set -e"
    yield f"O=${{O:-/tmp/linux{recipe.localversion}}}   # where the objects go; pi64 itself keeps them in its cache"
    yield 'mkdir -p "$O"'
    yield f"cd {shlex.quote(str(recipe.source.path))}"
    yield ""
    for variable in variables(recipe, "$O"):
        name, _, value = variable.partition("=")
        yield f"export {name}={_double_quoted(value) if '$O' in value else shlex.quote(value)}"


def _double_quoted(value: str) -> str:
    """Quote *value* so that ``$O`` in it counts, and nothing else."""
    for sign in '\\"`':
        value = value.replace(sign, f"\\{sign}")
    return '"' + value.replace("$", "\\$").replace("\\$O", "$O") + '"'


def _configuring(recipe: Recipe, config: str | None) -> Iterator[str]:
    wanted = kconfig.render(recipe.wanted)
    if recipe.base_config in GENERATED:
        yield from _here(wanted, '> "$O/pi64.config"')
        yield f'make O="$O" KCONFIG_ALLCONFIG="$O/pi64.config" {recipe.base_config}'
        return
    if recipe.base_text:
        yield _copied(str(config))
    else:
        yield f'make O="$O" {recipe.base_config}'
    if wanted:
        yield from _here(wanted, '>> "$O/.config"')
    if wanted or recipe.base_text:
        yield 'make O="$O" olddefconfig'


def _here(text: str, to: str) -> Iterator[str]:
    yield f"cat {to} <<'{END}'"
    yield from text.splitlines()
    yield END


def _copied(config: str) -> str:
    """Return what makes ``.config`` of the file *config*: text, gzipped text, or a kernel that carries its own."""
    name = shlex.quote(str(Path(config).expanduser().absolute()))
    if config.endswith(".gz"):
        return f'zcat {name} > "$O/.config"'
    if config.endswith("config") or "config-" in Path(config).name:
        return f'cat {name} > "$O/.config"'
    return f'scripts/extract-ikconfig {name} > "$O/.config"'


def _making(recipe: Recipe, jobs: int) -> Iterator[str]:
    modules = ["modules"] if _has_modules(recipe) else []
    yield f'make O="$O" -j{jobs} {" ".join(["Image", *modules, *recipe.dtb_targets])}'
    if modules:
        yield 'make O="$O" INSTALL_MOD_PATH="$O/modules" INSTALL_MOD_STRIP=1 modules_install'
    yield 'echo "$O/arch/arm64/boot/Image"'


def _has_modules(recipe: Recipe) -> bool:
    """Return whether there will be modules, as far as the request tells: nothing has been configured yet."""
    if recipe.base_config in ("allnoconfig", "alldefconfig"):
        return recipe.wanted.get("MODULES") == "y"
    base = recipe.source.path / CONFIGS / recipe.base_config
    text = recipe.base_text or (base.read_text() if base.is_file() else "")
    return (kconfig.parse(text) | dict(recipe.wanted)).get("MODULES") != "n"
