"""Senseless ASCONF, ASCONF-ACK and AUTH chunks from everywhere: nothing breaks or grows, and all of it comes to an end.

ASYNCSCTP_SEED=0-9999 tries more of them.
"""

from __future__ import annotations

import pytest
from support.hostile.address_peer import RandomAddressChunks
from support.seeds import is_full_run, seeds

from asyncsctp.errors import SCTPError


@pytest.mark.parametrize("seed", seeds(150 if not is_full_run() else 20_000))
def test_senseless_changes_of_addresses(seed: int) -> None:
    chunks = RandomAddressChunks(seed)
    random = chunks.random
    for _ in range(random.choice((20, 100, 300))):
        chunks.say()
        if chunks.is_over:
            break
        if random.random() < 0.3:
            chunks.interfere()
        if random.random() < 0.2:
            chunks.script.advance(random.choice((0.01, 0.3, 3.0)))
            chunks.look()
    script = chunks.script
    if not chunks.is_over:
        script.shutdown()
        script.advance(3000.0)
    assert chunks.is_over
    assert script.user.error is None or isinstance(script.user.error, SCTPError)
