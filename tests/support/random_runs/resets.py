"""Random runs whose streams and TSNs are reset again and again, on a network that loses and delays RE-CONFIG most."""

from __future__ import annotations

from functools import partial

from asyncsctp.config import Config
from asyncsctp.errors import AssociationClosed, ReconfigError
from asyncsctp.handlers.request import Ticket
from asyncsctp.handlers.state import ESTABLISHED
from asyncsctp.testing import LinkSettings
from asyncsctp.testing.host import Datagram
from asyncsctp.wire import tlv
from asyncsctp.wire.constants import COMMON_HEADER_SIZE, RE_CONFIG
from asyncsctp.wire.packet import checksum_ok

from .messages_and_resets import MessagesAndResetsRun

__all__ = ["ResetRun"]


class ResetRun(MessagesAndResetsRun):
    """Both sides reset at random instants, while they send, give up, and read slowly; neither ever goes away.

    The network is bad and works: whatever happens, the association has no reason to end but that its users shut it
    down.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.tickets: list[Ticket] = []
        self.is_aborted = False  # by a user
        #: How a packet with RE-CONFIG fares, beside what the link does: lost so often, late so often and so much.
        self.lost = self.random.choice((0.0, 0.0, 0.2, 0.3))
        self.late = self.random.choice((0.0, 0.3))
        self.delay = self.random.choice((0.02, 0.3, 1.0))
        self.pair.network.on_datagram = self._meddle_with

    def describe(self) -> str:
        return f"{super().describe()}\nRE-CONFIG: {self.lost} lost, {self.late} late by {self.delay}"

    def verify(self) -> None:
        super().verify()
        errors = [user.error for user in self.pair.users]
        # One that has ended gracefully has no word for what comes late but ABORT.
        assert self.is_aborted or None in errors, f"the association ended although the network works: {errors}"
        assert all(ticket.is_done for ticket in self.tickets), "who asked for a reset was never told of its end"

    # What is drawn.

    def _addresses(self) -> int:
        return self.random.choice((1, 1, 1, 2))

    def _link(self) -> LinkSettings:
        random = self.random
        return LinkSettings(
            delay=random.choice((0.0001, 0.01, 0.05)),
            jitter=random.choice((0.0, 0.001, 0.05)),
            loss=random.choice((0.0, 0.01, 0.05, 0.15)),
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
                rto_max=random.choice((1.0, 5.0)),
                max_retrans=30,
                path_max_retrans=5,
                shutdown_guard=2000.0,
                partial_reliability=random.random() < 0.9,
                interleaving=random.random() < 0.3,
                stream_reconfig=True,
                outgoing_streams=random.choice((1, 3, 10)),
                max_incoming_streams=65535,
            )
        )

    def _plan_messages(self) -> None:
        super()._plan_messages()
        random = self.random
        for side in (0, 1):
            for _ in range(random.choice((1, 4, 12))):
                self._later(random.random() * 3, partial(self._reset, side, random.randrange(1 << 16)))
            for _ in range(random.choice((0, 1, 3))):
                self._later(random.random() * 3, partial(self._reset, side, 4))
            for number in range(random.choice((0, 10, 40))):  # some of it between the resets
                size = random.choice((1, 100, 1000, 5000))
                ppid, sid = 2000 + number, random.randrange(3)
                data = ppid.to_bytes(2) * (size // 2) + b"!" * (size % 2)
                send = partial(self._send_if, side, sid, data, ppid, random.random() < 0.1)
                self._later(random.random() * 4, send)

    def _plan_readers(self) -> None:
        random, pair = self.random, self.pair
        for side in (0, 1):
            kind = random.choice(("eager", "slow", "stopped"))
            if kind == "stopped":
                self._later(random.random(), partial(pair.stop_reading, side))
                self._later(1 + random.choice((0.1, 3.0, 10.0)), partial(pair.resume_reading, side))
            elif kind == "slow":
                pair.stop_reading(side)
                self._read_slowly(side, random.choice((0.02, 0.2, 2.0)))

    def _plan_cuts(self) -> None:
        """The network works all the time."""

    # What happens.

    def _abort(self, side: int) -> None:
        super()._abort(side)
        self.is_aborted = True

    def _crash(self) -> None:
        """Nobody does."""

    def _send_if(self, side: int, sid: int, data: bytes, ppid: int, unordered: bool) -> None:
        association = self.pair.association(side)
        if association.state is ESTABLISHED and sid < association.outgoing_streams:
            self._send(side, sid, data, ppid, unordered, None)

    def _reset(self, side: int, number: int) -> None:
        association = self.pair.association(side)
        if association.state is not ESTABLISHED:
            return
        reconfig = association.reconfig
        ours = [number % association.outgoing_streams]
        theirs = [number % association.incoming_streams]
        try:
            match number % 7:
                case 0:
                    ticket = reconfig.reset_streams(ours, None)
                case 1:
                    ticket = reconfig.reset_streams([], None)
                case 2:
                    ticket = reconfig.reset_streams(None, theirs)
                case 3:
                    ticket = reconfig.reset_streams(ours, theirs)
                case 4 | 5:
                    ticket = reconfig.reset_tsns()
                case _:
                    ticket = reconfig.add_streams(number % 2, 1 - number % 2)
        except (ReconfigError, AssociationClosed):
            return
        self.tickets.append(ticket)
        self.pair.endpoints[side].touch(association)

    def _meddle_with(self, datagram: Datagram) -> float | bool | None:
        data = datagram.data
        if not (self.lost or self.late) or not checksum_ok(data):
            return None
        if not any(first16 >> 8 == RE_CONFIG for first16, *_ in tlv.walk(data, COMMON_HEADER_SIZE, len(data))):
            return None
        if self.random.random() < self.lost:
            return False
        return self.delay if self.random.random() < self.late else None
