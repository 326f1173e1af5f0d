"""Paths that fail and come back at random instants, under random thresholds that change meanwhile (RFC 7829).

Each seed is a run of an association with two addresses on either side (`support.random_runs.base`). What is written
arrives once and in order, or its writer is told; states, error counters and the choice of paths agree after every
event. ASYNCSCTP_SEED as in `test_association`.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from support.random_runs.base import RandomRun
from support.seeds import seeds

from asyncsctp.config import Config
from asyncsctp.events import PathChanged
from asyncsctp.handlers.state import ESTABLISHED
from asyncsctp.path_state import PathState


class FailingPaths(RandomRun):
    """A life in which nothing is as sure as the paths are."""

    def _addresses(self) -> int:
        return 2

    def _config(self) -> Config:
        random = self.random
        config = super()._config().replace(heartbeat_interval=random.choice((None, 0.3, 1.0, 30.0)))
        pf_threshold = random.choice((None, 0, 0, 1, 3, 9))
        least = config.path_max_retrans if pf_threshold is None else pf_threshold
        return config.replace(
            pf_threshold=pf_threshold, primary_switchover=random.choice((None, None, least, least + 1, least + 4))
        )

    def _plan_cuts(self) -> None:
        random = self.random
        super()._plan_cuts()
        # Also whole addresses go, one after the other, and come back, or not.
        when = 0.0
        for _ in range(random.choice((1, 3, 8))):
            when += random.random() * random.choice((0.5, 3.0))
            number = random.randrange(2)
            for a in self.pair.addresses[0]:
                for z in self.pair.addresses[1]:
                    if (a, z)[random.randrange(2)].startswith(f"10.{number}"):
                        self._later(when, partial(self._cut, (a, z), False))
                        if random.random() < 0.9:
                            self._later(when + random.random() * random.choice((1.0, 8.0)), partial(self._heal, (a, z)))
        for _ in range(random.choice((0, 2, 6))):
            self._later(random.random() * 8, partial(self._change, random.randrange(2), random.randrange(2)))

    def _change(self, side: int, number: int) -> None:
        """The user changes his mind about a path."""
        association = self.pair.association(side) if self.pair.users[side].association is not None else None
        if association is None or association.state is not ESTABLISHED:
            return
        random = self.random
        wishes: dict[str, Any] = {
            "heartbeat_interval": random.choice((None, 0.2, 2.0)),
            "max_retrans": random.choice((0, 2, 7)),
            "pf_threshold": random.choice((None, 0, 2)),
            "mtu": random.choice((None, 600, 1400)),
            "dscp": random.choice((0, 46)),
        }
        changes = {name: wishes[name] for name in random.sample(sorted(wishes), random.randrange(1, 4))}
        paths = association.path_manager.paths
        address = paths[number % len(paths)].route.address
        with suppress(ValueError):  # thresholds above that of the switchover are refused
            association.configure_path(address, changes, self.pair.now)
        self.pair.endpoints[side].touch(association)

    def verify(self) -> None:
        super().verify()
        for user in self.pair.users:
            told: dict[str, PathState] = {}
            for event in user.events:
                if isinstance(event, PathChanged):
                    assert told.get(event.address) is not event.state, f"{event} was told twice"
                    told[event.address] = event.state


@pytest.mark.parametrize("seed", seeds(500))
def test_failing_paths_lose_nothing(seed: int) -> None:
    life = FailingPaths(seed)
    try:
        life.run()
    except BaseException as error:
        error.add_note(life.describe())
        raise
