"""Where a target's card lies when it is an image file; the labgrid resource that deploy and the virtual Pi share."""

from pathlib import Path

import attr
from labgrid.factory import target_factory
from labgrid.resource.common import Resource

from harness import host


@target_factory.reg_resource
@attr.s(eq=False)
class CardImage(Resource):
    """A card that is a raw image file.

    Args:
        file: path of the image; relative to lab.yaml; by default a file named after the target in the cache
    """

    file: str = attr.ib(default="", validator=attr.validators.instance_of(str))

    @property
    def path(self) -> Path:
        """The image file; made by the first deploy."""
        if not self.file:
            return host.cache_dir("cards") / f"{self.target.name}.img"
        return Path(self.target.env.config.resolve_path(self.file)) if self.target.env else Path(self.file)
