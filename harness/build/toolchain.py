"""Cross compilers: which one, how it is called, and what tells it from any other."""

import hashlib
from pathlib import Path

from harness import host
from harness.errors import LabError, UsageError
from harness.model import Toolchain

SYSTEM_PREFIX = "aarch64-linux-gnu-"


def system() -> Toolchain:
    """Return the distribution's cross compiler; LabError naming its package when it is missing."""
    return _from_prefix("system", SYSTEM_PREFIX)


def choose(spec: str = "system") -> Toolchain:
    """Return the toolchain *spec*: ``system``, a cross prefix, or a folder with ``bin/aarch64-*-gcc``."""
    if spec == "system":
        return system()
    folder = Path(spec).expanduser()
    if folder.is_dir():
        return _from_prefix(spec, _prefix_in(folder))
    return _from_prefix(spec, str(folder) if "/" in spec else spec)


def _prefix_in(folder: Path) -> str:
    drivers = sorted([*folder.glob("aarch64-*-gcc"), *folder.glob("bin/aarch64-*-gcc")])
    if not drivers:
        raise UsageError(f"{folder}: holds no aarch64-*-gcc, nor does its bin/", hint="name the compiler's own folder")
    return str(drivers[0].absolute()).removesuffix("gcc")


def _from_prefix(name: str, prefix: str) -> Toolchain:
    driver = _program(f"{prefix}gcc")
    linker = _program(f"{prefix}ld")
    version = host.run([driver, "--version"]).decode().splitlines()[0]
    machine = host.run([driver, "-dumpmachine"]).decode().strip()
    if not machine.startswith("aarch64"):
        raise UsageError(f"{driver} compiles for {machine}, not for aarch64", hint=f"try {SYSTEM_PREFIX}")
    said = "\n".join([version, machine, host.run([linker, "--version"]).decode().splitlines()[0]])
    digest = hashlib.sha256(f"{said}\n{host.sha256(Path(driver))}".encode()).hexdigest()
    return Toolchain(name=name, cross_prefix=prefix, version=version, digest=digest)


def _program(name: str) -> str:
    try:
        return host.find(name)
    except LabError as error:
        if name.startswith(SYSTEM_PREFIX):
            raise
        raise UsageError(
            f"there is no `{name}`", hint="a cross prefix ends in `-` and names a gcc and an ld"
        ) from error
