"""A random life that ends at a random instant, in the middle of whatever was going on, on a network that loses what
ends it most.
"""

from __future__ import annotations

from functools import partial
from math import inf

from asyncsctp.config import Config
from asyncsctp.errors import AsconfError
from asyncsctp.handlers.state import CLOSED
from asyncsctp.testing import LinkSettings
from asyncsctp.testing.network import Datagram
from asyncsctp.wire import tlv
from asyncsctp.wire.constants import (
    ASCONF,
    ASCONF_ACK,
    COMMON_HEADER_SIZE,
    FORWARD_TSN,
    I_FORWARD_TSN,
    SHUTDOWN,
    SHUTDOWN_ACK,
    SHUTDOWN_COMPLETE,
)
from asyncsctp.wire.packet import checksum_ok

from .mix import MixedLife
from .roaming import give, take
from .scenario import LIMIT

__all__ = ["BOUND", "EndingLife"]

#: Seconds in which whatever was begun is over once readers read again: `max_retrans` times the longest RTO are 62.
BOUND = 250.0
_LAST_WORDS = frozenset({SHUTDOWN, SHUTDOWN_ACK, SHUTDOWN_COMPLETE, FORWARD_TSN, I_FORWARD_TSN, ASCONF, ASCONF_ACK})
_TSN_RESET = 4  # of `MixedLife._reset`; `test_resets` has these


class EndingLife(MixedLife):
    """Both sides go on until one of them, or both, shut down; neither goes away, and the network works after a fashion.

    So there is no reason but a user's abort for anything but a graceful end of both. `verify` adds to what `MixedLife`
    says: that they come to it within `BOUND`, and leave nothing behind.
    """

    more: tuple[tuple[str, ...], tuple[str, ...]] = (("10.2.0.1",), ("10.2.0.2",))

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        random = self.random
        #: How often a packet with one of the `_LAST_WORDS` is lost, beside what the link does.
        self.lost = random.choice((0.0, 0.0, 0.2, 0.4))
        #: Which ones, where a life is about one of them: the first so many of them.
        self.first = random.choice((0, 0, 1, 2))
        self.aim = random.choice(sorted(_LAST_WORDS))
        self.is_aborted = False
        self.resumed = 0.0
        self.pair.network.on_datagram = self._meddle_with

    def describe(self) -> str:
        return f"{super().describe()}\nlast words: {self.lost} lost, and the first {self.first} of type {self.aim}"

    def run(self) -> None:
        pair, random = self.pair, self.random
        pair.connect(random.choice((1, len(pair.addresses[1]))))
        pair.run_until(pair.is_up, LIMIT)
        span = random.choice((0.0, 0.01, 0.3, 2.0))
        self._plan_messages()
        self._plan_readers()
        self._plan_addresses(span)
        for side in random.choice(((0,), (1,), (0, 1))):
            self._later(span * (0.5 + random.random()), partial(self._shutdown, side))
        pair.run_for(max(2 * span, self.resumed) + 0.001)
        pair.run_until(pair.is_over, BOUND)
        self.verify()

    def verify(self) -> None:
        super().verify()
        pair = self.pair
        errors = [user.error for user in pair.users]
        is_broken = any("can't be ended" in str(error) for error in errors)  # without partial reliability
        assert self.is_aborted or is_broken or errors == [None, None], f"the ends were {errors}, and nobody aborted"
        sent = [pair.association(side).statistics.packets_sent for side in (0, 1)]
        pair.run_for(1000.0)
        assert sent == [pair.association(side).statistics.packets_sent for side in (0, 1)], "something left later"
        for endpoint in pair.endpoints:
            assert endpoint.next_expiry == inf, "a timer runs after the end"
            assert not endpoint.associations

    # What is drawn.

    def _addresses(self) -> int:
        return self.random.choice((1, 2))

    def _link(self) -> LinkSettings:
        random = self.random
        return LinkSettings(
            delay=random.choice((0.0001, 0.01, 0.05)),
            jitter=random.choice((0.0, 0.001, 0.05)),
            loss=random.choice((0.0, 0.0, 0.02, 0.1, 0.25)),
            reorder=random.choice((0.0, 0.0, 0.1, 0.3)),
            reorder_delay=random.choice((0.001, 0.03, 0.5)),
            duplicate=random.choice((0.0, 0.0, 0.1)),
        )

    def _config(self) -> Config:
        random = self.random
        return super()._config().replace(
            rto_initial=random.choice((0.2, 1.0)),
            rto_min=random.choice((0.1, 0.5)),
            rto_max=2.0,
            max_retrans=30,
            path_max_retrans=random.choice((1, 5, 30)),
            heartbeat_interval=random.choice((None, 0.1, 0.6, 5.0)),
            dynamic_addresses=random.random() < 0.5,
            shutdown_guard=1000.0,
        )

    def _plan_addresses(self, span: float) -> None:
        random = self.random
        for side in (0, 1):
            for _ in range(random.choice((0, 1, 1, 4))):
                what = random.choice(("add", "remove", "primary"))
                self._later(2 * span * random.random(), partial(self._ask, side, what))

    def _plan_readers(self) -> None:
        random = self.random
        for side in (0, 1):
            kind = random.choice(("eager", "eager", "slow", "stopped"))
            if kind == "stopped":
                self.resumed = random.choice((0.5, 3.0, 20.0))
                self.pair.stop_reading(side)
                self._later(self.resumed, partial(self.pair.resume_reading, side))
            elif kind == "slow":
                self.pair.stop_reading(side)
                self._read_slowly(side, random.choice((0.02, 0.2, 1.0)))

    # What happens.

    def _meddle_with(self, datagram: Datagram) -> bool:
        data = datagram.data
        if not checksum_ok(data):
            return True
        kinds = {first16 >> 8 for first16, *_ in tlv.walk(data, COMMON_HEADER_SIZE, len(data))}
        if self.first and self.aim in kinds:
            self.first -= 1
            return False
        return not kinds & _LAST_WORDS or self.random.random() >= self.lost

    def _ask(self, side: int, what: str) -> None:
        """For an address to be added, or taken away, or preferred (RFC 5061)."""
        pair, random = self.pair, self.random
        association = pair.association(side)
        if association.state is CLOSED:
            return
        new = random.choice((*pair.addresses[side], *self.more[side]))
        old = random.choice(association.path_manager.local.sources or (new,))
        if what == "add" and new not in association.path_manager.local:
            give(pair, side, new)
        try:
            asconf = association.asconf
            if what == "add":
                asconf.add_local(new)
            elif what == "remove":
                ticket = asconf.remove_local(old)
                ticket.on_done = lambda: take(pair, side, old) if ticket.is_ok else None
            else:
                asconf.request_primary(old)
        except (ValueError, AsconfError):
            return
        pair.endpoints[side].touch(association)

    def _reset(self, side: int, number: int) -> None:
        if number % 6 != _TSN_RESET:
            super()._reset(side, number)

    def _crash(self) -> None:
        """Neither goes away here."""

    def _abort(self, side: int) -> None:
        self.is_aborted |= self.pair.association(side).state is not CLOSED
        super()._abort(side)


