"""Probing the peer's addresses: HEARTBEAT and its answer, and the proof that an address is the peer's.

RFC 9260 sections 5.4 (path verification) and 8.3 (path heartbeat). One timer for each path, with two meanings: while a
HEARTBEAT is unanswered it ends the wait of one RTO; otherwise it says when the next one is due.
"""

from __future__ import annotations

from hmac import compare_digest
from struct import Struct
from typing import Final, final

from ..events import PathState
from ..paths.path import Path
from ..timers import HEARTBEAT_TIMER, NEVER, timer_key
from ..wire import control
from .context import Context
from .state import (
    COOKIE_ECHOED,
    ESTABLISHED,
    SHUTDOWN_PENDING,
    SHUTDOWN_RECEIVED,
)

_INFO: Final = Struct("!Id16s")  # path, time of sending, nonce
_NONCE_SIZE: Final = 16

#: Section 8.3: from ESTABLISHED on, until a SHUTDOWN or SHUTDOWN ACK was sent.
_PROBES: Final = frozenset({ESTABLISHED, SHUTDOWN_PENDING, SHUTDOWN_RECEIVED})
_ANSWERS: Final = _PROBES | {COOKIE_ECHOED}


@final
class Heartbeat:
    """The heartbeats of one association."""

    __slots__ = ("_awaited", "_context", "_wanted")

    def __init__(self, context: Context) -> None:
        self._context = context
        #: path -> (nonce, asked for by the user) of the HEARTBEAT that is unanswered
        self._awaited: dict[int, bytes] = {}
        self._wanted: set[int] = set()

    def start(self) -> None:
        """The association is up: probe at once what is unconfirmed, and the rest in due time."""
        for path in self._context.paths:
            if path.state is PathState.UNCONFIRMED:
                self.probe(path)
            else:
                self._schedule(path)

    def request(self, path: Path) -> None:
        """The user wants a HEARTBEAT now (section 8.3 D); the answer is told as a round trip or as missing."""
        self._wanted.add(path.path_id)
        self.probe(path)

    def probe(self, path: Path) -> None:
        """Send a HEARTBEAT with a fresh nonce to this path, and wait one RTO for the answer."""
        context = self._context
        nonce = context.random.token(_NONCE_SIZE)
        self._awaited[path.path_id] = nonce
        context.queue(control.pack_heartbeat(_INFO.pack(path.path_id, context.now, nonce)), path.path_id)
        context.statistics.heartbeats_sent += 1
        context.timers.start(timer_key(HEARTBEAT_TIMER, path.path_id), context.now + path.rto.rto)

    def on_heartbeat(self, value: bytes, path_id: int) -> None:
        """HEARTBEAT: its whole value goes back unchanged, to the address that it came from."""
        if self._context.state in _ANSWERS:
            self._context.queue(control.pack_heartbeat_ack(value), path_id)

    def on_heartbeat_ack(self, value: bytes) -> None:
        """HEARTBEAT ACK: with the right nonce it proves the address, clears its errors and measures its round trip."""
        context = self._context
        info = control.read_heartbeat_info(value)
        if len(info) != _INFO.size:
            return
        path_id, sent_at, nonce = _INFO.unpack(info)
        awaited = self._awaited.get(path_id)
        # Section 5.4: only the nonce that was sent to this very address counts; anything else is discarded.
        if awaited is None or not compare_digest(awaited, nonce):
            context.statistics.unexpected_chunks += 1
            return
        del self._awaited[path_id]
        path = context.paths.by_id(path_id)
        round_trip = context.now - sent_at
        context.statistics.heartbeat_acks_received += 1
        path.rto.observe(round_trip)
        context.paths.confirm(path)
        context.paths.on_acknowledged(path)
        self._tell(path, round_trip)
        self._schedule(path)

    def expire(self, path_id: int) -> None:
        """The heartbeat timer of a path: an answer is overdue, or a probe is due."""
        context = self._context
        path = context.paths.by_id(path_id)
        if context.state not in _PROBES:
            return
        if self._awaited.pop(path_id, None) is not None:
            path.rto.back_off()
            context.paths.on_timeout(path)
            if context.paths.association_failed:
                context.owner.fail_unreachable()
                return
            context.paths.rotate_local(path)
            self._tell(path, None)
            if path.state is PathState.UNCONFIRMED and path.error_count <= context.config.path_max_retrans:
                self.probe(path)  # section 5.4: verification goes on at one probe per RTO
                return
            self._schedule(path)
            return
        due = path.last_sent + self._interval(path)
        if due > context.now:  # not idle: data has measured this path in the meantime
            context.timers.start(timer_key(HEARTBEAT_TIMER, path_id), due)
        else:
            self.probe(path)

    def stop(self) -> None:
        """The association is shutting down or gone: nothing is awaited any more."""
        for path in self._context.paths:
            self._context.timers.stop(timer_key(HEARTBEAT_TIMER, path.path_id))
            self._tell(path, None)
        self._awaited.clear()

    def _schedule(self, path: Path) -> None:
        interval = self._interval(path)
        if interval != NEVER:
            self._context.timers.start(timer_key(HEARTBEAT_TIMER, path.path_id), self._context.now + interval)

    def _interval(self, path: Path) -> float:
        if self._context.config.heartbeat_interval is None and path.state is not PathState.UNCONFIRMED:
            return NEVER
        fraction = self._context.random.bits(16) / 65535
        return path.heartbeat_delay(self._context.config.heartbeat_interval or 0.0, fraction)

    def _tell(self, path: Path, round_trip: float | None) -> None:
        if path.path_id in self._wanted:
            self._wanted.discard(path.path_id)
            self._context.owner.heartbeat_answered(path, round_trip)
