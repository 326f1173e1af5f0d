"""`python -m tests.campaign`."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = str(Path(__file__).resolve().parent.parent)
if TESTS not in sys.path:
    sys.path.insert(0, TESTS)

from campaign.command import main  # noqa: E402 - it is found by the path that was just given

if __name__ == "__main__":
    sys.exit(main())
