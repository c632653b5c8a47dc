"""Cross compilers: which one, how it is called, and what tells it from any other.

=====================  ====================================================================================
``system``             the distribution's ``aarch64-linux-gnu-gcc``
``llvm``               clang and lld: ``make LLVM=1``; ``llvm-15`` is ``LLVM=-15``, ``llvm:FOLDER`` names the
                       folder of the programs (both as Linux 5.18 and newer understand it)
``built``              binutils and GCC built from source here, once; ``built:NAME`` is another pair of the table
a folder, or a prefix  a compiler that is there: ``~/gcc-13``, ``/opt/x/bin/aarch64-none-elf-``
=====================  ====================================================================================
"""

import hashlib
import re
from pathlib import Path

import attrs

from harness import host
from harness.build import built_toolchain
from harness.errors import LabError, UsageError
from harness.model import Toolchain

SYSTEM_PREFIX = "aarch64-linux-gnu-"
LLVM_TARGET = "aarch64-linux-gnu"
LLVM = re.compile(r"llvm(?P<suffix>-\d+)?(?::(?P<folder>.+))?")
LLVM_TOOLS = {"clang": "clang", "ld.lld": "lld", "llvm-ar": "llvm", "llvm-nm": "llvm", "llvm-objcopy": "llvm"}
"""Program -> Debian package; what ``LLVM=1`` calls, and a few more of the same package."""


def choose(
    spec: str = "system",
    *,
    table: Path | None = None,
    jobs: int | None = None,
    progress: host.Progress = host.silent,
) -> Toolchain:
    """Return the toolchain *spec*, built now if need be; *table* holds the user's own entries for ``built:NAME``.

    UsageError for what there is not, or what compiles for another machine; LabError naming the package of what this
    host lacks.
    """
    if spec == "system":
        return system()
    if named := LLVM.fullmatch(spec):
        return _llvm(spec, named["suffix"] or "", named["folder"])
    if spec == "built" or spec.startswith("built:"):
        made = built_toolchain.build(spec.partition(":")[2], table=table, jobs=jobs, progress=progress)
        return _from_prefix(spec, _prefix_in(made))
    folder = Path(spec).expanduser()
    if folder.is_dir():
        return _from_prefix(spec, _prefix_in(folder))
    return _from_prefix(spec, str(folder.absolute()) if "/" in spec else spec)


def system() -> Toolchain:
    """Return the distribution's cross compiler; LabError naming its package when it is missing."""
    return _from_prefix("system", SYSTEM_PREFIX)


def _llvm(spec: str, suffix: str, folder: str | None) -> Toolchain:
    """Return clang with its tools, all of them there; *suffix* is what Debian adds to the names, e.g. ``-15``."""
    where = f"{Path(folder).expanduser().absolute()}/" if folder else ""
    _plain(where)
    found = {tool: _program(f"{where}{tool}{suffix}", package=f"{LLVM_TOOLS[tool]}{suffix}") for tool in LLVM_TOOLS}
    clang = f"{where}clang{suffix}"
    machine = host.run([found["clang"], f"--target={LLVM_TARGET}", "-dumpmachine"]).decode().strip()
    return _identified(
        Toolchain(
            name=spec, cross_prefix=SYSTEM_PREFIX, version="", digest="", target=machine,
            make=(f"LLVM={where or suffix or 1}",), compiler=clang, host_compiler=clang,
        ),
        found["clang"], found["ld.lld"],
    )  # fmt: skip


def _prefix_in(folder: Path) -> str:
    drivers = sorted([*folder.glob("aarch64-*-gcc"), *folder.glob("bin/aarch64-*-gcc")])
    if not drivers:
        raise UsageError(f"{folder}: holds no aarch64-*-gcc, nor does its bin/", hint="name the compiler's own folder")
    return str(drivers[0].absolute()).removesuffix("gcc")


def _from_prefix(name: str, prefix: str) -> Toolchain:
    _plain(prefix)
    driver = _program(f"{prefix}gcc")
    linker = _program(f"{prefix}ld")
    machine = host.run([driver, "-dumpmachine"]).decode().strip()
    if not machine.startswith("aarch64"):
        raise UsageError(f"{driver} compiles for {machine}, not for aarch64", hint=f"try {SYSTEM_PREFIX}")
    return _identified(Toolchain(name, prefix, version="", digest="", target=machine), driver, linker)


def _identified(toolchain: Toolchain, driver: str, linker: str) -> Toolchain:
    """Return *toolchain* with version and digest: what *driver* and *linker* say, and the driver's bytes."""
    version, of_linker = (host.run([program, "--version"]).decode().splitlines()[0] for program in (driver, linker))
    sha256 = host.sha256(Path(driver))
    said = f"{version}\n{toolchain.target}\n{of_linker}\n{sha256}"
    return attrs.evolve(
        toolchain, version=version, digest=hashlib.sha256(said.encode()).hexdigest(), driver_sha256=sha256
    )


def _program(name: str, *, package: str = "") -> str:
    try:
        return host.find(name)
    except LabError as error:
        if package:
            hint = f"apt-get install {package}, or name another toolchain"
            raise LabError(f"program `{name}` is not on this host", hint=hint) from error
        if name.startswith(SYSTEM_PREFIX):
            raise
        raise UsageError(
            f"there is no `{name}`", hint="a cross prefix ends in `-` and names a gcc and an ld"
        ) from error


def _plain(prefix: str) -> None:
    """Raise UsageError for a *prefix* that make would take apart."""
    if re.search(r"[\s$#:]", prefix):
        raise UsageError(f"toolchain {prefix!r}: make cannot take white space, $, # or : in it", hint="use a link")
