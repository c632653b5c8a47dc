"""``python -m harness.cli``: the ``pi64`` command where it is not installed."""

import sys

from harness.cli import main

if __name__ == "__main__":
    sys.exit(main())
