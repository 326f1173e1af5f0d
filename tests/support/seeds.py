"""Choose the seeds that a random test takes. `tests/conftest.py` prints that of one that fails."""

from __future__ import annotations

import os

#: What a test draws by that has no seeds of its own: the first that ASYNCSCTP_SEED names.
SEED = int(os.environ.get("ASYNCSCTP_SEED", "0").partition("-")[0])


def seeds(count: int) -> range:
    """Return the first `count` seeds, or those that ASYNCSCTP_SEED names: one number, or two with a minus between."""
    wanted = os.environ.get("ASYNCSCTP_SEED", "")
    first, _, last = wanted.partition("-")
    return range(int(first), int(last or first) + 1) if wanted else range(count)


def is_full_run() -> bool:
    """Return True if ASYNCSCTP_FULL asks for everything that tests otherwise take samples of."""
    return bool(os.environ.get("ASYNCSCTP_FULL"))
