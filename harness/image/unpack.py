"""Unpack a downloaded card image: .xz, .gz or .zip, with holes where it has zeros."""

import gzip
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from harness import host
from harness.errors import LabError, UsageError
from harness.host import Progress

SUFFIXES = (".xz", ".gz", ".zip")
CHUNK = 1 << 20
ZEROS = bytes(CHUNK)
GROWTH = 12
"""A Raspberry Pi OS image is five to ten times as large as its .xz; half of it is holes."""


def is_packed(path: Path) -> bool:
    """Tell by the suffix."""
    return path.suffix.lower() in SUFFIXES


def unpack(path: Path, target: Path, progress: Progress) -> None:
    """Write what *path* contains into *target*; UsageError when it is damaged, cut off, or holds no single image."""
    host.need_space(target.parent, path.stat().st_size * GROWTH // 2, f"unpacking {path.name}")
    done = 0
    try:
        with _opened(path) as source, target.open("wb") as file:
            while chunk := source.read(CHUNK):
                if chunk == ZEROS[: len(chunk)]:
                    file.seek(len(chunk), 1)
                else:
                    file.write(chunk)
                done += len(chunk)
                if done % (64 * CHUNK) == 0:
                    progress(f"unpacking {path.name}: {done >> 20} MiB")
            file.truncate(done)
    except (lzma.LZMAError, EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
        raise UsageError(
            f"{path}: damaged or cut off: {error or type(error).__name__} after {done} bytes of the image",
            hint="download it again, and compare its SHA-256",
        ) from error
    except OSError as error:
        raise LabError(f"{path}: cannot be unpacked into {target.parent}: {error.strerror}") from error


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as archive, archive.open(_only_image(path, archive)) as member:
            yield member
    elif path.suffix.lower() == ".gz":
        with gzip.open(path) as plain:
            yield plain  # type: ignore[misc]  # a GzipFile reads bytes, typeshed gives it a class of its own
    else:
        with lzma.open(path) as plain:
            yield plain


def _only_image(path: Path, archive: zipfile.ZipFile) -> str:
    images = [name for name in archive.namelist() if name.lower().endswith(".img")]
    if len(images) != 1:
        raise UsageError(f"{path}: {len(images)} .img files in it, one is needed", evidence=archive.namelist()[:8])
    return images[0]
