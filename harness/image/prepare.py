"""The user's image with what it lacks to come to its login alone: a copy in the cache; the given one stays as it is."""

import hashlib

import attrs

from harness import host
from harness.card import prepare
from harness.card.copy import copy_sparse
from harness.card.firstboot import Account
from harness.host import Progress
from harness.model import BaseImage

RECIPE = 1
"""Raise when the same image must be prepared anew."""


def prepared(image: BaseImage, who: Account, *, progress: Progress = host.silent) -> BaseImage:
    """Return *image*, or a copy of it in the cache that comes to its login by itself."""
    found = prepare.needed(image.path, image.boot_offset, image.root_offset, who)
    if not found.why:
        return image
    key = hashlib.sha256(f"{RECIPE} {image.digest} {who.user} {who.password_hash}".encode()).hexdigest()
    path = host.cache_dir("images") / f"prepared-{key[:16]}.img"
    with host.locked(path.with_suffix(".lock")):
        if not path.exists():
            progress(f"preparing a copy of {image.origin}: {', '.join(found.why)}")
            host.need_space(path.parent, image.path.stat().st_blocks * 512, "a prepared copy of the image")
            with host.replacing(path) as beside:
                beside.unlink()
                copy_sparse(image.path, beside)
                prepare.apply(beside, image.boot_offset, image.root_offset, found)
    return attrs.evolve(image, path=path, digest=key, origin=f"{image.origin}, prepared")
