"""Where a page, or a mail, finds the pages of runs. Pure."""

from urllib.parse import quote

import attrs

from harness.lab.leavings import PAGE
from harness.nightly.bisection.state import FOLDER


@attrs.frozen
class Links:
    """The folder of runs as an address: relative for a page, absolute for a mail; None: there are no links."""

    base: str | None = "../../"

    def run(self, name: str) -> str | None:
        """Return the address of a run's page."""
        return self._page(name)

    def bisection(self, name: str) -> str | None:
        """Return the address of a bisection's page."""
        return self._page(FOLDER, name)

    def night(self, name: str) -> str | None:
        """Return the address of a night's page."""
        return None if self.base is None else f"{self.base}nightly/{quote(name, safe='')}/"

    def _page(self, *parts: str) -> str | None:
        if self.base is None:
            return None
        return self.base + "/".join(quote(part, safe="") for part in (*parts, PAGE))
