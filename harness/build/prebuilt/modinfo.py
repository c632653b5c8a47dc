"""What a kernel module says about itself: bytes of a ``.ko`` in, names, aliases and needs out, no I/O.

Source: the ``.modinfo`` section, ``key=value`` strings with a zero behind each (kernel: scripts/mod/modpost.c), and
``man 5 elf``. Aliases of a device tree are ``of:N<name>T<type>C<compatible>``, the last part once more with ``C*``
(kernel: scripts/mod/file2alias.c).
"""

import struct

import attrs

SECTION = b".modinfo\0"
AARCH64 = 183


@attrs.frozen
class ModInfo:
    """One module."""

    name: str
    """As ``modprobe`` takes it, with ``_``."""
    vermagic: str
    """The release first: ``6.1.0-53-arm64 SMP mod_unload modversions aarch64``."""
    depends: tuple[str, ...]
    """Names of the modules whose symbols it uses."""
    before: tuple[str, ...]
    """Names or aliases of modules that it wants loaded first (``softdep: pre:``)."""
    aliases: tuple[str, ...]

    @property
    def compatibles(self) -> frozenset[str]:
        """The device tree nodes it drives, by their ``compatible``."""
        found = (alias.partition("C")[2] for alias in self.aliases if alias.startswith("of:"))
        return frozenset(one.removesuffix("C*") for one in found)


def parse(module: bytes, name: str) -> ModInfo:
    """Return what *module*, a file called *name*, says; ValueError if it is no module for aarch64."""
    pairs = [entry.decode(errors="replace").partition("=") for entry in _section(module).split(b"\0") if entry]
    values: dict[str, list[str]] = {}
    for key, _, value in pairs:
        values.setdefault(key, []).append(value)
    depends = [one for value in values.get("depends", []) for one in value.split(",") if one]
    return ModInfo(
        name=canonical(name),
        vermagic=" ".join(values.get("vermagic", [])),
        depends=tuple(map(canonical, depends)),
        before=tuple(one for value in values.get("softdep", []) for one in _before(value)),
        aliases=tuple(values.get("alias", [])),
    )


def canonical(file: str) -> str:
    """Return the name of a module from its file's: ``sdhci-iproc.ko.xz`` -> ``sdhci_iproc``."""
    return file.partition(".ko")[0].replace("-", "_")


def _before(softdep: str) -> list[str]:
    """``pre: a b post: c`` -> a, b."""
    found, part = [], ""
    for word in softdep.split():
        if word in {"pre:", "post:"}:
            part = word
        elif part == "pre:":
            found.append(word)
    return found


def _section(module: bytes) -> bytes:
    if module[:6] != b"\x7fELF\x02\x01":
        raise ValueError("not a 64-bit little-endian ELF file")
    try:
        (machine,) = struct.unpack_from("<H", module, 18)
        if machine != AARCH64:
            raise ValueError(f"for another processor (ELF machine {machine})")
        (table,) = struct.unpack_from("<Q", module, 40)  # e_shoff
        size, count, names = struct.unpack_from("<HHH", module, 58)  # e_shentsize, e_shnum, e_shstrndx
        # of each: offset of its name, offset and size of its content
        sections = [struct.unpack_from("<I20xQQ", module, table + size * number) for number in range(count)]
        strings = sections[names][1]
        for name, offset, length in sections:
            if module.startswith(SECTION, strings + name):
                return module[offset : offset + length]
    except (struct.error, IndexError) as error:
        raise ValueError("ELF file ends within its section headers") from error
    raise ValueError("no .modinfo section")
