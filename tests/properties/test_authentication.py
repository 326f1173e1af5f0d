"""Random lives of associations that authenticate (RFC 4895): nothing is lost, all is authenticated that must be, and
each has its key. ASYNCSCTP_SEED=1000-9999 tries others.
"""

from __future__ import annotations

from random import Random

import pytest
from support.random_runs.base import RandomRun
from support.seeds import seeds

from asyncsctp.config import Config
from asyncsctp.handlers.state import ESTABLISHED
from asyncsctp.wire.constants import ABORT, AUTH, ERROR, INIT, INIT_ACK, SHUTDOWN_COMPLETE

KEYS = {1: b"one", 2: b"two", 3: b"three"}
TYPES = sorted(frozenset(range(256)) - {INIT, INIT_ACK, SHUTDOWN_COMPLETE, AUTH})


class Authentic(RandomRun):
    """Both sides authenticate, as each demands; keys change, and messages have keys of their own."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(f"{seed} keys")
        self.names = self.chance.random() < 0.5
        super().__init__(seed)

    def _config(self) -> Config:
        chance = self.chance
        common = chance.sample((0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 0x82, 0xC0), chance.randint(0, 5))
        demanded = chance.choice((common, common, [0], [], TYPES))
        return (
            super()
            ._config()
            .replace(
                auth=True,
                auth_chunks=frozenset(demanded),
                auth_keys=KEYS,
                auth_active_key=chance.randint(1, 3),
                auth_hmacs=chance.choice(((3, 1), (1, 3), (1,))),
                interleaving=chance.random() < 0.3,
            )
        )

    def _send(self, side: int, sid: int, data: bytes, ppid: int, unordered: bool, path: int | None) -> None:
        association = self.pair.association(side)
        if association.state is not ESTABLISHED:
            return
        if self.chance.random() < 0.1:
            association.authentication.activate(self.chance.randint(1, 3))
        paths = association.path_manager.paths
        self.pair.send(
            side,
            sid,
            data,
            ppid=ppid,
            unordered=unordered,
            path=None if path is None else paths[path % len(paths)].route.address,
            auth_key=self.chance.choice((None, 1, 2, 3)) if self.names else None,
        )

    def verify(self) -> None:
        super().verify()
        for user in self.pair.users:
            if user.association is None:
                continue
            statistics = user.association.statistics
            assert statistics.auth_failures == 0
            # Who has no association has no keys: what it answers is of no account where that must be authenticated.
            demanded = user.association.context.config.auth_chunks
            assert statistics.unauthenticated_chunks == 0 or demanded & {ABORT, ERROR}
            shared = user.association.context.shared_keys
            assert shared is None or not any(shared.is_used(key_id) for key_id in KEYS)


@pytest.mark.parametrize("seed", seeds(300))
def test_nothing_is_lost_in_silence(seed: int) -> None:
    scenario = Authentic(seed)
    try:
        scenario.run()
    except BaseException as error:
        error.add_note(scenario.describe())
        raise
