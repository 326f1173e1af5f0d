"""Random runs that end at a random instant, on a network that loses the chunks of the ending most."""

from __future__ import annotations

from functools import partial
from math import inf
from random import Random

from asyncsctp.association.association import Association
from asyncsctp.config import Config
from asyncsctp.errors import AsconfError, AssociationTimeout
from asyncsctp.handlers.state import CLOSED, ESTABLISHED
from asyncsctp.testing import LinkSettings
from asyncsctp.testing.host import Datagram
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

from ..pair import A_PORT, UDP_PORT, Z_PORT, Pair, Recorder
from .address_changes import give, take
from .base import LIMIT
from .messages_and_resets import MessagesAndResetsRun

__all__ = ["BOUND", "EndingRun", "SurvivorRun"]

#: Seconds in which whatever was begun is over once readers read again: `max_retrans` times the longest RTO are 62.
BOUND = 250.0
#: The same where a packet in four is lost: of smallest packets little more than one leaves in each RTO.
BOUND_OF_BAD_LINES = 900.0
_LAST_WORDS = frozenset({SHUTDOWN, SHUTDOWN_ACK, SHUTDOWN_COMPLETE, FORWARD_TSN, I_FORWARD_TSN, ASCONF, ASCONF_ACK})


class EndingRun(MessagesAndResetsRun):
    """Both sides go on until one of them, or both, shut down; neither goes away, and the network works after a fashion.

    Only a user's abort is a reason for anything but a graceful end of both. `verify` checks, beside what
    `MessagesAndResetsRun` does, that they end within `BOUND`, and leave nothing behind.
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
        pair.run_until(pair.is_over, BOUND if self.link.loss < 0.2 else BOUND_OF_BAD_LINES)
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
        return (
            super()
            ._config()
            .replace(
                rto_initial=random.choice((0.2, 1.0)),
                rto_min=random.choice((0.1, 1.0)),
                rto_max=2.0,
                max_retrans=30,
                path_max_retrans=random.choice((1, 5, 30)),
                heartbeat_interval=random.choice((None, 0.05, 0.05, 5.0)),
                dynamic_addresses=random.random() < 0.5,
                shutdown_guard=1000.0,
            )
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

    def _crash(self) -> None:
        """Neither goes away here."""

    def _abort(self, side: int) -> None:
        self.is_aborted |= self.pair.association(side).state is not CLOSED
        super()._abort(side)


class _Survivors(Pair):
    """A pair of which either side may lose its memory; its successor has a user of its own."""

    def __init__(self, seed: int, link: LinkSettings, config: Config, paths: int) -> None:
        self.earlier: list[Recorder] = []
        super().__init__(seed, link=link, config=config, paths=paths)

    def accept(self, association: Association) -> Recorder:
        if self.users[1].association is not None:
            self.earlier.append(self.users[1])
            self.users = (self.users[0], Recorder("z, another time"))
            self._checked[1] = None
        return super().accept(association)

    def forget(self, side: int, returns: bool) -> None:
        """This side loses its state. A comes back and connects, if it `returns`; Z listens in any case."""
        association = self.association(side)
        endpoint = self._endpoint(
            association.context.config, (A_PORT, Z_PORT)[side], self.addresses[side], f"{self.now} again", side == 1
        )
        self.simulation.remove(self.endpoints[side])
        user = Recorder("az"[side] + " again")
        self.users = (user, self.users[1]) if side == 0 else (self.users[0], user)
        self.endpoints = (endpoint, self.endpoints[1]) if side == 0 else (self.endpoints[0], endpoint)
        self._checked[side] = None
        self.simulation.add(endpoint, self.addresses[side], udp_port=UDP_PORT)
        if side == 0 and returns:
            self.connect(len(self.addresses[1]))


class SurvivorRun:
    """One side loses its memory while the association is being shut down, and may set up another from the same port.

    The host goes on answering. So the other side comes to an end as well, by what it is told and not by time-outs.
    """

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        self.link = LinkSettings(
            delay=random.choice((0.001, 0.05)),
            loss=random.choice((0.0, 0.0, 0.1, 0.25)),
            reorder=random.choice((0.0, 0.2)),
            reorder_delay=random.choice((0.03, 0.5)),
            duplicate=random.choice((0.0, 0.1)),
        )
        config = Config(
            rto_initial=0.2,
            rto_min=0.1,
            rto_max=2.0,
            max_retrans=30,
            init_max_retrans=30,
            path_max_retrans=30,
            shutdown_guard=1000.0,
            heartbeat_interval=random.choice((None, 0.3)),
        )
        self.pair = _Survivors(seed, self.link, config, random.choice((1, 2)))
        self.written: set[bytes] = set()

    def run(self) -> None:
        pair, random = self.pair, self.random
        pair.connect()
        pair.run_until(pair.is_up, LIMIT)
        for side in (0, 1):
            self._write(side, random.choice((0, 1, 20)))
        pair.run_for(random.choice((0.0, 0.05, 1.0)))
        for side in random.choice(((0,), (1,), (0, 1))):
            pair.shutdown(side)
        pair.run_for(random.choice((0.0, 0.5, 1.5, 2.5, 3.5, 20.0)) * self.link.delay)
        forgetful, returns = random.randrange(2), random.random() < 0.7
        before = pair.users[1 - forgetful]
        pair.forget(forgetful, returns)
        if forgetful == 0 and returns:
            pair.run_until(self._is_settled, BOUND)
            self._write(0, 5)
            pair.shutdown(0)
        elif before.association is not None and before.association.state is ESTABLISHED:  # it has heard nothing yet
            pair.shutdown(1 - forgetful)
        pair.run_until(lambda: all(user.is_closed for user in self._users()) and before.is_closed, BOUND)
        for user in (*self._users(), before):
            assert not isinstance(user.error, AssociationTimeout), f"{user.name} was told nothing"
        pair.run_for(1000.0)
        assert all(endpoint.next_expiry == inf and not endpoint.associations for endpoint in pair.endpoints)
        for user in (*pair.users, before, *pair.earlier):
            came = [data for _, _, _, data in user.messages]
            assert len(came) == len(set(came)), f"a message came twice to {user.name}"
            assert self.written.issuperset(came)

    def _write(self, side: int, count: int) -> None:
        for number in range(count):
            if self.pair.association(side).state is ESTABLISHED:
                data = b"%d %d %f" % (side, number, self.pair.now)
                self.written.add(data)
                self.pair.send(side, number % 3, data)

    def _users(self) -> list[Recorder]:
        return [user for user in (*self.pair.users, *self.pair.earlier) if user.association is not None]

    def _is_settled(self) -> bool:
        """A's new association is up, or has failed."""
        user = self.pair.users[0]
        return user.is_closed or self.pair.association(0).state is ESTABLISHED
