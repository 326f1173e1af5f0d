"""Probing the peer's addresses: HEARTBEAT and its answer, and the proof that an address is the peer's.

RFC 9260 sections 5.4 (path verification) and 8.3 (path heartbeat), RFC 7829 section 3.2 rules 5 to 7. One timer for
each path, with two meanings: while a HEARTBEAT is unanswered it ends the wait of one RTO; otherwise it says when the
next one is due. What errors and answers lead to is in `reachability`.
"""

from __future__ import annotations

from hmac import compare_digest
from struct import Struct
from typing import Any, Final, final

from ...config import Config
from ...path_state import POTENTIALLY_FAILED, UNCONFIRMED
from ...paths.path import Path
from ...paths.potentially_failed import is_probed_at_once
from ...paths.route import Route
from ...timers import HEARTBEAT_TIMER, NEVER, timer_key
from ...wire import control, tlv
from ...wire.constants import HEARTBEAT_ACK
from ..context import Context
from ..notices import HeartbeatAnswer
from ..state import COOKIE_ECHOED, ESTABLISHED, SHUTDOWN_ACK_SENT, SHUTDOWN_PENDING, SHUTDOWN_RECEIVED, SHUTDOWN_SENT
from .reachability import OF_HEARTBEATS, is_counted, judge, on_answered, on_heartbeat_timeout

_INFO: Final = Struct("!I16s")  # path and nonce; when it was sent is kept here, where nobody can change it
_NONCE_SIZE: Final = 16

_DEFAULT_INTERVAL: Final = 30.0  # HB.interval, section 16
_HB_MAX_BURST: Final = 1  # section 16

#: Section 8.3: from ESTABLISHED on, until a SHUTDOWN or SHUTDOWN ACK was sent.
HEARTBEATS_IN: Final = frozenset({ESTABLISHED, SHUTDOWN_PENDING, SHUTDOWN_RECEIVED})
_ANSWERS: Final = HEARTBEATS_IN | {COOKIE_ECHOED}
#: Where an address that the peer may have moved to is still to be verified (RFC 5061 section 5.3 F14), no shutdown
#: could end without.
_AT_NEED: Final = HEARTBEATS_IN | {SHUTDOWN_SENT, SHUTDOWN_ACK_SENT}


def heartbeat_delay(path: Path, random_fraction: float) -> float:
    """Return the seconds from one HEARTBEAT to the next, `NEVER` if they are switched off; `random_fraction` < 1.

    Section 8.3: RTO with its back-off and +/- 50 %, plus HB.interval. Section 5.4: an UNCONFIRMED address is
    probed in each RTO, until that has failed too often; switched off or not. RFC 7829: see `is_probed_at_once`.
    """
    rto = path.rto.rto
    interval = path.settings.heartbeat_interval
    if path.state is UNCONFIRMED:
        if path.error_count <= path.settings.max_retrans:
            return rto
        if interval is None:
            interval = _DEFAULT_INTERVAL
    elif interval is None:
        return NEVER
    elif is_probed_at_once(path):
        return 0.0
    return interval + rto * (0.5 + random_fraction)


@final
class Heartbeat:
    """The heartbeats of one association."""

    __slots__ = ("_context", "_late", "_requested", "_turns")

    def __init__(self, context: Context) -> None:
        self._context = context
        #: The paths that were verified last, when each was probed, and when the next one may be.
        self._turns: tuple[tuple[Path, float, float], ...] = ()
        self._requested: tuple[int, ...] = ()  # paths whose next answer the user waits for
        self._late: tuple[tuple[int, bytes], ...] = ()  # paths and answers that can't leave for them yet, one each

    def start(self) -> None:
        """Verify what is unconfirmed, and watch the rest: the association is up."""
        for path in self._context.paths.paths:
            self.watch(path, self._context.now)

    def watch(self, path: Path, since: float) -> None:
        """Probe a path: in its turn where it needs verification (section 5.4), else one period after `since` (8.3)."""
        if not path.route.local:  # no turn is taken; `insist` follows
            return
        if path.state is UNCONFIRMED and path is self._context.paths.data_path():
            self._schedule(path, 0.0)  # nothing goes on without, and its errors count for the association
        elif path.state is UNCONFIRMED and path.error_count <= path.settings.max_retrans:
            self._schedule(path, self.take_turn(path))
        elif path.state is UNCONFIRMED or path.settings.heartbeat_interval is not None:
            self._schedule(path, max(since + self._delay(path) - self._context.now, 0.0))

    def take_turn(self, path: Path) -> float:
        """Return the seconds until an UNCONFIRMED path may be probed: HB.Max.Burst of them in each RTO (section 5.4).

        Turns are given in the order in which they are asked for, so that no path waits for ever; what was removed
        before its turn had come had none. The RTO is that of the path probed, which is less once it has answered.
        """
        begin = now = self._context.now
        turns: list[tuple[Path, float, float]] = []
        for other, turn, following in self._turns:
            if turn <= now:
                following = min(following, turn + other.rto.rto / _HB_MAX_BURST)
                if following <= now:
                    continue
            elif other is path or self._context.paths.find(other.route.address) is not other:
                continue
            turns.append((other, turn, following))
            begin = max(begin, following)
        turns.append((path, begin, begin + path.rto.rto / _HB_MAX_BURST))
        self._turns = tuple(turns)
        return begin - now

    def configure(self, config: Config) -> None:
        """Take other settings for all paths, but for what was set for one of them. `ValueError` if these don't fit."""
        context = self._context
        intervals = [path.settings.heartbeat_interval for path in context.paths.paths]
        context.paths.configure(config)
        context.config = config
        for path, interval in zip(context.paths.paths, intervals, strict=True):
            self._follow(path, interval)

    def configure_path(self, path: Path, changes: dict[str, Any]) -> None:
        """Take other settings for one path. `ValueError` or `TypeError` for what can't be."""
        interval = path.settings.heartbeat_interval
        self._context.paths.configure_path(path, changes)
        self._follow(path, interval)

    def _follow(self, path: Path, interval: float | None) -> None:
        """Let another HB.interval begin now (section 8.3 A to C), and other thresholds decide on the path's state."""
        judge(self._context, path)
        is_waiting = path.state is UNCONFIRMED or path.heartbeat_nonce
        if path.settings.heartbeat_interval != interval and self._context.state in HEARTBEATS_IN and not is_waiting:
            self._context.timers.stop(_key(path))
            self.watch(path, self._context.now)

    def probe_again(self, path: Path) -> bytes:
        """Return the HEARTBEAT under way, or a fresh one, to prove an address beside a COOKIE ACK (section 5.4)."""
        if not path.heartbeat_nonce:
            return self._make(path)
        return control.pack_heartbeat(_INFO.pack(path.path_id, path.heartbeat_nonce))

    def request(self, path: Path) -> None:
        """Send a HEARTBEAT now (section 8.3 D); the user is told its round trip, or that there was none."""
        if path.path_id not in self._requested:
            self._requested += (path.path_id,)
        if path.route.local:
            self._probe(path)
        else:
            self._tell(path, None)

    def stop(self) -> None:
        """Probe nothing and await nothing any more: the association is shutting down or gone."""
        for path in self._context.paths.paths:
            self.forget_path(path, path)

    def insist(self, path: Path) -> None:
        """Probe a path that could not be probed, and answer the peer there; at once if all waits for its answer."""
        context = self._context
        if path.route.local:
            for answer in self._take_late(path):
                context.queue(answer, path.path_id)
        is_awaited = path.state is UNCONFIRMED and path is context.paths.data_path()
        if not context.timers.runs(_key(path)) or (is_awaited and not path.heartbeat_nonce):
            self.watch(path, context.now)

    def on_refused(self, path: Path) -> None:
        """Send a HEARTBEAT at once, whose answer tells if what ICMP says is true: nobody is at the peer's UDP port."""
        if self._context.state not in HEARTBEATS_IN or path.state is UNCONFIRMED:
            return
        if path.heartbeat_nonce:
            path.is_refused = True
        elif path.route.local:
            self._probe_soon(path)

    def forget_path(self, path: Path, successor: Path) -> None:
        """Probe a path that is no more no longer; whoever waits for an answer from there hears that there is none."""
        self._context.timers.stop(_key(path))
        path.heartbeat_nonce = b""
        if self._late:
            self._take_late(path)
        if self._requested:
            self._tell(path, None)

    def on_heartbeat(self, value: bytes, path: Path, source: Route) -> None:
        """Answer a HEARTBEAT: its value goes back unchanged, with whatever else was in it, to the address that it came
        from, and from the one that it came to: the peer may have none other of ours. For a `source` that is only heard,
        `path` is that of another address.
        """
        setup = self._context.setup
        state = self._context.state
        may_move = setup is not None and (setup.dynamic_addresses or setup.disable_restart)
        if state in _ANSWERS or (state is SHUTDOWN_SENT and may_move):
            answer = tlv.pack(HEARTBEAT_ACK << 8, value)
            if not path.route.local and self._context.paths.local.may_reach(path.route.address):
                self._take_late(path)  # RFC 5061 section 5.3 F1: it waits until the peer has agreed to one of ours
                self._late += ((path.path_id, answer),)
            elif source.address != path.route.address:
                self._reply(path, answer, source)
            elif path.reply_route is path.route:
                self._context.answer(answer, path.path_id)
            else:
                self._reply(path, answer, path.reply_route)

    def on_heartbeat_ack(self, value: bytes) -> None:
        """Take a HEARTBEAT ACK: with the right nonce it proves the address, clears its errors and measures its RTT."""
        context = self._context
        path = self._answered(control.read_heartbeat(value, 0, len(value)))
        if path is None:
            context.statistics.unexpected_chunks += 1
            return
        path.heartbeat_nonce = b""
        round_trip = context.now - path.heartbeat_at
        context.statistics.heartbeat_acks_received += 1
        on_answered(context, path, OF_HEARTBEATS, is_confirmed=context.paths.confirm(path))
        # Section 6.3.3: it "might" collapse the RTO. Where it leaves time-outs of other kinds counted, the next ones
        # would count within a few RTOs what the peer is given all of the back-off for.
        path.on_rtt(round_trip, context.now, keep=context.paths.error_count > 0)
        self._tell(path, round_trip)
        self.watch(path, path.heartbeat_at)

    def expire(self, path_id: int) -> None:
        """Count an answer that is overdue, or send the HEARTBEAT that is due."""
        context = self._context
        path = context.paths.by_id[path_id]
        if context.state not in (_AT_NEED if self._is_needed(path) else HEARTBEATS_IN):
            return
        if path.heartbeat_nonce:
            path.heartbeat_nonce = b""
            self._tell(path, None)
            # RFC 7829 section 3.2 rule 6: it MAY be ignored while data is outstanding there.
            ignored = path.state is POTENTIALLY_FAILED and is_counted(context, path)
            if (path.is_refused or not ignored) and not on_heartbeat_timeout(context, path):
                return
            if path.is_refused:
                self._probe_soon(path)
            else:
                self.watch(path, path.heartbeat_at)
        elif path.state is not UNCONFIRMED and (idle_at := path.last_sent + self._delay(path)) > context.now:
            # Section 8.3: not idle; data has measured this path within the period.
            if idle_at != NEVER:
                context.timers.start(_key(path), idle_at)
        elif path.route.local:
            self._probe(path)

    def _is_needed(self, path: Path) -> bool:
        """Return True if nothing goes on without this address, or the peer may have moved there since the handshake."""
        context = self._context
        setup = context.setup
        is_new = setup is not None and path.route.address not in setup.addresses
        return context.paths.is_held or (is_new and path.state is UNCONFIRMED)

    def _reply(self, path: Path, answer: bytes, back: Route) -> None:
        """Send an answer along a route, with those that are to leave along the same one if they fit a packet."""
        context = self._context
        if context.packets:
            route, tag, body = context.packets[-1]
            is_alike = route == back and tag == context.peer_tag and body[0] == HEARTBEAT_ACK
            if is_alike and len(body) + len(answer) <= context.space(path, HEARTBEAT_ACK):
                context.packets.pop()
                answer = body + answer
        context.transmit_along(answer, back, context.peer_tag)

    def _probe(self, path: Path) -> None:
        """Send a HEARTBEAT with a fresh nonce to this path."""
        self._context.queue(self._make(path), path.path_id)

    def _probe_soon(self, path: Path) -> None:
        """Probe a path without back-off: it seems to be known why nothing is answered."""
        self._probe(path)
        self._schedule(path, path.rto.base)

    def _make(self, path: Path) -> bytes:
        """Return a HEARTBEAT with a fresh nonce, whose answer is awaited for one RTO."""
        context = self._context
        path.heartbeat_nonce = context.random.token(_NONCE_SIZE)
        path.heartbeat_at = context.now
        path.is_refused = False
        context.statistics.heartbeats_sent += 1
        self._schedule(path, path.rto.rto)
        return control.pack_heartbeat(_INFO.pack(path.path_id, path.heartbeat_nonce))

    def _answered(self, info: bytes) -> Path | None:
        """Return the path whose HEARTBEAT this answers: by the nonce that was sent to that address (section 5.4)."""
        if len(info) != _INFO.size:
            return None
        path_id, nonce = _INFO.unpack(info)
        if path_id >= len(self._context.paths.by_id):
            return None
        path = self._context.paths.by_id[path_id]
        return path if path.heartbeat_nonce and compare_digest(path.heartbeat_nonce, nonce) else None

    def _delay(self, path: Path) -> float:
        return heartbeat_delay(path, self._context.random.bits(16) / 0x10000)

    def _take_late(self, path: Path) -> list[bytes]:
        taken = [answer for path_id, answer in self._late if path_id == path.path_id]
        if taken:
            self._late = tuple(entry for entry in self._late if entry[0] != path.path_id)
        return taken

    def _schedule(self, path: Path, delay: float) -> None:
        if delay != NEVER and path.route.local:  # else there is nowhere to send one from
            self._context.timers.start(_key(path), self._context.now + delay)

    def _tell(self, path: Path, round_trip: float | None) -> None:
        if path.path_id in self._requested:
            self._requested = tuple(path_id for path_id in self._requested if path_id != path.path_id)
            self._context.notices.append(HeartbeatAnswer(path.route.address, round_trip))


def _key(path: Path) -> int:
    return timer_key(HEARTBEAT_TIMER, path.path_id)
