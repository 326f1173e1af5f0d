"""What is asked of the peer when streams are reconfigured, and what that takes of our own (RFC 6525 section 3.1).

Knows how a request becomes parameters. When it leaves, and what an answer means, is the business of others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, final

from ...wire.constants import MASK_32
from ...wire.reconfig import (
    DENIED,
    NOTHING_TO_DO,
    PERFORMED,
    pack_add_streams,
    pack_incoming_reset,
    pack_outgoing_reset,
    pack_tsn_reset,
)
from ..context import Context

RESET: Final = 0
TSNS: Final = 1
ADDITION: Final = 2

#: A result that is none of the peer's.
FAILED: Final = -1


class OutgoingStreams(Protocol):
    """What we send, as far as reconfiguration is concerned. `streams`: ids; all, if it is empty."""

    @property
    def count(self) -> int:
        """How many outgoing streams there are."""

    @property
    def next_tsn(self) -> int:
        """The TSN that is assigned next."""

    @property
    def is_acknowledged(self) -> bool:
        """Whether the peer has everything that has left."""

    def acknowledges(self, tsn: int) -> bool:
        """Whether the peer has acknowledged this TSN, or a later one."""

    def hold(self, streams: tuple[int, ...]) -> None:
        """Messages that are written from now on wait for `release`."""

    def is_clear(self, streams: tuple[int, ...]) -> bool:
        """Whether what was written before `hold` has left completely."""

    def stop(self) -> bool:
        """No message of any stream begins to leave until `go_on`; whether none is in the middle."""

    def go_on(self, reset: bool) -> None:
        """The end of `stop`; with `reset` the sequence numbers of all streams begin with 0. What is held still is."""

    def release(self, streams: tuple[int, ...], reset: bool) -> None:
        """Messages may leave again; with `reset` their sequence numbers begin with 0."""

    def restart(self, wire_tsn: int) -> None:
        """All that has left is acknowledged, and this TSN is assigned next."""

    def expect_restart(self, is_expected: bool) -> None:
        """Whether the peer may acknowledge by another count of TSNs than ours."""

    def add(self, count: int) -> None:
        """So many more streams may be used."""

    def is_unused(self, sid: int) -> bool:
        """Whether nothing was written to this stream since its numbers began with 0."""


class IncomingStreams(Protocol):
    """What the peer sends, as far as reconfiguration is concerned. `streams`: ids; all, if it is empty."""

    @property
    def count(self) -> int:
        """How many incoming streams there are."""

    @property
    def cumulative_tsn(self) -> int:
        """Up to here everything has arrived or been abandoned."""

    def reset(self, streams: tuple[int, ...]) -> None:
        """The peer's sequence numbers begin with 0."""

    def defer(self, last_tsn: int, streams: tuple[int, ...]) -> bool:
        """What comes with a TSN above this one waits until `release`, which is to follow if this is true."""

    def release(self) -> None:
        """The end of `defer`: the reset has been carried out, and the user has heard of it."""

    def expect_restart(self, is_expected: bool) -> None:
        """Whether the peer may let its TSNs begin anew at any time."""

    def restart(self, wire_tsn: int) -> None:
        """The peer's TSNs go on from this one, and all sequence numbers begin with 0."""

    def add(self, count: int) -> None:
        """The peer may use so many more streams."""

    def acknowledge_now(self) -> None:
        """A SACK that is owed leaves with the next flush."""


@final
class Ticket:
    """What became of a request. It is done when all of the requests that it took have been answered, or are given up.

    `result` is the peer's result code, of several the first that is no success; -1 without an answer, for the reason in
    `reason`.
    """

    __slots__ = ("is_done", "left", "on_done", "reason", "result")

    def __init__(self) -> None:
        self.left = 0
        self.is_done = False
        #: Called when it is done.
        self.on_done: Callable[[], None] | None = None
        self.result = PERFORMED
        self.reason = ""

    @property
    def is_ok(self) -> bool:
        """Whether all was done as asked."""
        return self.is_done and is_success(self.result)

    def note(self, result: int, reason: str) -> None:
        """Part of it has this result."""
        if is_success(self.result) and not is_success(result):
            self.result = result
            self.reason = reason

    def drop_part(self, context: Context) -> None:
        """One of its requests is done."""
        self.left -= 1
        self.is_done = self.left <= 0
        if self.is_done:
            context.tell_done(self.on_done)


@final
class Job:
    """What one RE-CONFIG chunk asks for: one request, or two that may stand together (section 3.1)."""

    __slots__ = (
        "add_incoming",
        "add_outgoing",
        "answers",
        "closes",
        "in_number",
        "in_result",
        "incoming",
        "is_postponed",
        "kind",
        "not_before",
        "out_number",
        "out_result",
        "outgoing",
        "ticket",
        "tries",
        "tsns",
    )

    def __init__(self, kind: int, ticket: Ticket | None, answers: int = -1) -> None:
        self.kind = kind
        self.ticket = ticket
        #: The number of the peer's request that this one answers; -1: none.
        self.answers = answers
        self.outgoing: tuple[int, ...] | None = None
        self.incoming: tuple[int, ...] | None = None
        self.add_outgoing = 0
        self.add_incoming = 0
        self.closes = False  # the writers of these streams were closed: others may join
        self.tries = 0
        self.not_before = 0.0
        #: Numbers under which the two parts are under way; -1: answered, or there is none.
        self.out_number = -1
        self.in_number = -1
        self.out_result = PERFORMED
        self.in_result = PERFORMED
        self.is_postponed = False  # the peer has said "In progress" since the chunk was sent last
        self.tsns: tuple[int, int] = (-1, -1)
        if ticket is not None:
            ticket.left += 1

    def covers(self, streams: tuple[int, ...], count: int) -> bool:
        """Whether its outgoing reset, not yet answered, includes these of `count` streams."""
        mine = self.outgoing
        if self.kind != RESET or mine is None or self.out_number < 0:
            return False
        if not mine:
            return True
        return len(mine) == count if not streams else set(streams) <= set(mine)

    def pack(self, number: int, peer_number: int, last_tsn: int) -> list[bytes]:
        """Its parameters, the first under this number: one or two, as section 3.1 lets them stand together.

        `peer_number` is the peer's last one, and `last_tsn` the last that was assigned.
        """
        parameters: list[bytes] = []
        if self.kind == TSNS or self.outgoing is not None or self.add_outgoing:
            self.out_number = number
            number = number + 1 & MASK_32
        if self.incoming is not None or self.add_incoming:
            self.in_number = number
        if self.kind == TSNS:
            parameters.append(pack_tsn_reset(self.out_number))
        if self.outgoing is not None:
            answers = self.answers if self.answers >= 0 else peer_number
            parameters.append(pack_outgoing_reset(self.out_number, answers, last_tsn, self.outgoing))
        if self.incoming is not None:
            parameters.append(pack_incoming_reset(self.in_number, self.incoming))
        if self.add_outgoing:
            parameters.append(pack_add_streams(self.out_number, self.add_outgoing, True))
        if self.add_incoming:
            parameters.append(pack_add_streams(self.in_number, self.add_incoming, False))
        return parameters


def reset_job(
    ticket: Ticket | None, outgoing: tuple[int, ...] | None, incoming: tuple[int, ...] | None, answers: int = -1
) -> Job:
    """The reset of streams; `answers` is the number of the peer's request that it answers, -1: none."""
    job = Job(RESET, ticket, answers)
    job.outgoing = outgoing
    job.incoming = incoming
    return job


def addition_job(ticket: Ticket | None, outgoing: int, incoming: int, answers: int = -1) -> Job:
    """So many more streams."""
    job = Job(ADDITION, ticket, answers)
    job.add_outgoing = outgoing
    job.add_incoming = incoming
    return job


def is_success(result: int) -> bool:
    """Section 4.4: the results that say that all is as was asked for."""
    return result in (PERFORMED, NOTHING_TO_DO)


def result_name(result: int) -> str:
    """A result as events have it."""
    if is_success(result):
        return "ok"
    return "denied" if result == DENIED else "failed"
