"""Which system lies under the kernel: the one pi64 makes itself, or a file of the user's."""

from pathlib import Path

from harness import host
from harness.card.prepare import account
from harness.host import Progress
from harness.image.base import base_image
from harness.image.prepare import prepared
from harness.image.user import user_image
from harness.model import BaseImage


def choose(
    file: str | None,
    *,
    sha256: str | None,
    suite: str,
    username: str,
    password: str,
    prepare: bool = True,
    progress: Progress = host.silent,
) -> BaseImage:
    """Return the base image: *file*, checked against *sha256*, or without a file our own armhf Debian *suite*.

    Of a file that would ask somebody at its first boot it is a copy that does not, unless *prepare* says otherwise.
    """
    if file:
        image = user_image(Path(file), sha256=sha256, progress=progress)
        if not prepare:
            return image
        return prepared(image, account(username, password, salt=image.digest), progress=progress)
    return base_image(username=username, password=password, suite=suite, progress=progress)
