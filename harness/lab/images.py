"""From a target's options to the system that lies under the kernel."""

from harness import host
from harness.image.choose import choose
from harness.lab.options import TargetOptions
from harness.model import Account, BaseImage


def base_image(options: TargetOptions, account: Account, *, progress: host.Progress = host.silent) -> BaseImage:
    """Return the base image that *options* ask for, on which *account* can log in; as ``image.choose``."""
    wanted = options.image
    return choose(
        wanted.file,
        sha256=wanted.sha256,
        suite=wanted.suite,
        username=account.user,
        password=account.password,
        prepare=wanted.prepare != "never",
        progress=progress,
    )
