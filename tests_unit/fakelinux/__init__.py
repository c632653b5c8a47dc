"""A stub kernel tree with a real Makefile: answers `make` as Kbuild does, as far as the harness asks, within 0.3 s.

`mainline/` is the tree; `raspberrypi/` lies over it where that flavour is wanted. See the head of `mainline/Makefile`.
"""

import shutil
from pathlib import Path

HERE = Path(__file__).parent


def write(folder: Path, flavour: str = "mainline", *, blob: bytes | None = None) -> Path:
    """Copy the stub tree of *flavour* to *folder* and return it.

    Its ``Image`` will be *blob*, if given, with ``@RELEASE@`` replaced: a tiny kernel that runs can tell its release.
    """
    shutil.copytree(HERE / "mainline", folder)
    if flavour == "raspberrypi":
        shutil.copytree(HERE / "raspberrypi", folder, dirs_exist_ok=True)
    if blob is not None:
        (folder / "blob").write_bytes(blob)
    return folder


def break_with(tree: Path, trouble: str, *, file: str = "kernel/fork.c") -> None:
    """Make the compiler stumble over *file*: error, warning, no-space, killed, no-bison, no-openssl, hang."""
    with (tree / file).open("a") as source:
        source.write(f"#pragma fake {trouble}\n")
