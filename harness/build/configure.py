"""Write the ``.config`` of a build and hold it to its word: nothing compiles before all that was asked for is in it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from harness import host
from harness.build import kconfig, objects, reasons, requirements, symbols
from harness.build.kconfig import Difference, Setting
from harness.build.make import Make
from harness.build.recipe import GENERATED, Recipe
from harness.build.requirements import Missing, Purpose
from harness.errors import BuildError, Pi64Error, UsageError
from harness.model import BoardProfile

SHOWN = 12  # differences explained in one error, and reasons for each
FILES = ("SYSTEM_TRUSTED_KEYS", "SYSTEM_REVOCATION_KEYS", "INITRAMFS_SOURCE", "EXTRA_FIRMWARE")
"""Symbols that name files which the build reads; a distribution's configuration names some of its own."""


def configure(make: Make, purpose: Purpose, board: BoardProfile) -> None:
    """Write ``.config`` to the object tree of *make*.

    UsageError for a symbol that the tree does not have, BuildError naming symbol, wanted, got and the reason for one
    that came out otherwise, and for what *purpose* needs and nobody asked for.
    """
    recipe, dot_config = make.recipe, make.objects / ".config"
    _note_overrides(recipe, make.log)
    if not objects.is_configured(recipe, make.objects):
        _write(make, dot_config)
    text = dot_config.read_text()
    values = kconfig.parse(text)
    _note_losses(recipe, values, make.log)
    missed = kconfig.differences(recipe.wanted, values)
    unheard = [symbol for symbol in recipe.wanted if symbol not in values]  # off, or not known at all: a typo
    if missed or unheard:
        _judge(recipe, missed, unheard, values, make.log)
    _refuse_foreign_files(recipe, values)
    demand(text, purpose, board, recipe)


def demand(config_text: str, purpose: Purpose, board: BoardProfile, recipe: Recipe) -> None:
    """Raise BuildError if *config_text* lacks what *purpose* needs on *board*.

    What a fragment asks for by name may be wrong on purpose: to see it fail. That is let through.
    """
    lacking = [
        each
        for each in requirements.missing(
            config_text, purpose.sets, board, virtual=purpose.virtual, initramfs=purpose.initramfs
        )
        if not any(symbol in recipe.request.asked for symbol in each.symbols)
    ]
    if lacking:
        raise _lacking(lacking, board, recipe, kconfig.parse(config_text))


# --- make ------------------------------------------------------------------------------------------------------------
def _write(make: Make, dot_config: Path) -> None:
    recipe = make.recipe
    wanted = kconfig.render(recipe.wanted)
    if recipe.base_config in GENERATED:
        request = make.objects / "pi64.config"
        host.write_atomic(request, wanted.encode())
        make.run(f"KCONFIG_ALLCONFIG={request}", recipe.base_config)
        return
    if recipe.base_text:
        host.write_atomic(dot_config, recipe.base_text.encode())
    else:
        make.run(recipe.base_config)
    if wanted or recipe.base_text:
        host.write_atomic(dot_config, f"{dot_config.read_text()}\n{wanted}".encode())
        make.run("olddefconfig")


def _note_overrides(recipe: Recipe, log: Path) -> None:
    """Leave in the log which setting of one fragment stands over another's."""
    with log.open("a") as file:
        for before, after in recipe.request.overridden:
            file.write(f"# {after} stands over {before}\n")


def _note_losses(recipe: Recipe, values: Mapping[str, str], log: Path) -> None:
    """Leave in the log what of a base configuration came out otherwise: it was made for another tree, most likely."""
    base = {symbol: value for symbol, value in kconfig.parse(recipe.base_text).items() if symbol not in recipe.wanted}
    lost = kconfig.differences(base, values)
    with log.open("a") as file:
        file.writelines(f"# base {recipe.base_config}: {each}\n" for each in lost)


# --- errors ----------------------------------------------------------------------------------------------------------
def _judge(
    recipe: Recipe,
    missed: Sequence[Difference],
    unheard: Sequence[str],
    values: Mapping[str, str],
    log: Path,
) -> None:
    """Raise for *missed* and for those of *unheard* that the tree does not know."""
    config = _configuration(recipe, values)
    what = f"{recipe.source.path}: {recipe.base_config} with {', '.join(recipe.fragments)}"
    suspects = dict.fromkeys([*unheard, *(each.symbol for each in missed)])
    unknown = [recipe.request.asked[symbol] for symbol in suspects if symbol not in config.symbols.entries]
    if unknown:
        raise _unknown(recipe, unknown, set(config.symbols.entries), what)
    if missed:
        evidence = list(dict.fromkeys(line for each in missed[:SHOWN] for line in _told(each, config)))
        evidence += [f"and {len(missed) - SHOWN} more"] if len(missed) > SHOWN else []
        hint = f"ask for what they depend on as well, or drop them; log: {log}"
        raise BuildError(f"{what}: {len(missed)} not as asked for", hint=hint, evidence=evidence)


def _configuration(recipe: Recipe, values: Mapping[str, str]) -> reasons.Configuration:
    """Read the tree's Kconfig files, 1600 of them: done only when something is to be explained."""
    root = recipe.source.path
    variables = {"SRCARCH": "arm64", "ARCH": "arm64", "srctree": "."}
    known = symbols.declared(lambda path: (root / path).read_text(errors="replace"), variables)
    return reasons.Configuration(known, values, recipe.request.asked)


def _told(difference: Difference, config: reasons.Configuration) -> Iterator[str]:
    yield f"{difference} ({config.asked[difference.symbol].where})"
    yield from (f"  {line}" for line in reasons.explain(difference, config)[:SHOWN])


def _unknown(recipe: Recipe, unknown: Sequence[Setting], known: set[str], what: str) -> Pi64Error:
    elsewhere = _elsewhere(recipe.source.path, {setting.symbol for setting in unknown})
    evidence = [f"{setting}: {_meant(setting.symbol, known, elsewhere)}" for setting in unknown]
    hint = "correct the fragment, or drop the symbol for this kernel version"
    return UsageError(f"{what}: this tree has no symbol {unknown[0].symbol}", hint=hint, evidence=evidence)


def _meant(symbol: str, known: set[str], elsewhere: Mapping[str, str]) -> str:
    if symbol in elsewhere:
        return f"not for arm64, only in {elsewhere[symbol]}"
    near = kconfig.nearest(symbol, known)
    return f"did you mean {' or '.join(f'CONFIG_{each}' for each in near)}?" if near else "no Kconfig file declares it"


def _elsewhere(root: Path, wanted: set[str]) -> dict[str, str]:
    """Return symbol -> Kconfig file of another architecture that declares it."""
    found: dict[str, str] = {}
    for file in root.rglob("Kconfig*"):
        if file.is_file():
            found.update(
                dict.fromkeys(wanted & kconfig.declared(file.read_text(errors="replace")), f"{file.relative_to(root)}")
            )
    return found


def _refuse_foreign_files(recipe: Recipe, values: Mapping[str, str]) -> None:
    """Raise UsageError for files that are not of the tree: they are missing here, or change behind the cache's back."""
    root = recipe.source.path.resolve()
    for symbol in FILES:
        for name in values.get(symbol, "").strip('"').split():
            path = (root / name).resolve()
            if name != "n" and not (path.is_relative_to(root) and path.exists()):
                raise UsageError(
                    f"{recipe.base_config}: CONFIG_{symbol} names {name}, which is not in the tree {root}",
                    hint=f"leave it out with --fragment CONFIG_{symbol}=",
                )


def _lacking(lacking: Sequence[Missing], board: BoardProfile, recipe: Recipe, values: Mapping[str, str]) -> BuildError:
    config = _configuration(recipe, values)
    evidence = list(dict.fromkeys(line for each in lacking[:SHOWN] for line in _lack_told(each, config)))
    evidence += [f"and {len(lacking) - SHOWN} more"] if len(lacking) > SHOWN else []
    names = ", ".join(each.symbols[0] for each in lacking[:SHOWN])
    return BuildError(
        f"{recipe.source.path}: {recipe.base_config} lacks what a kernel for {board.title} needs here: {names}",
        hint="ask for it (`--fragment CONFIG_NAME=y`), or for fewer sets (`requires:`)",
        evidence=evidence,
    )


def _lack_told(lack: Missing, config: reasons.Configuration) -> Iterator[str]:
    yield str(lack)
    for symbol in lack.symbols:
        if symbol in config.symbols.entries:  # of the alternatives, those that this tree has
            difference = Difference(symbol, lack.wanted[0], config.value(symbol))
            yield from (f"  {line}" for line in reasons.explain(difference, config)[:SHOWN])
