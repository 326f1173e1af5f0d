"""Which chunk goes to which handler, and which timer: the table of contents of the protocol (RFC 9260 section 3.2).

What was not negotiated is not in the table of an association, and is unknown to it. Which chunks mean something in
which state is in `handlers.state`; what is done about them, in `handlers`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from .. import timers
from ..errors import AssociationAborted
from ..events import PeerError
from ..handlers.auth import is_genuine, is_unauthenticated
from ..handlers.context import Context
from ..handlers.state import CLOSED, ESTABLISHED, FORMING, MEANINGFUL
from ..paths.path import Path
from ..paths.route import Route
from ..wire import causes, constants, control, tlv
from ..wire.constants import CAUSE_UNRECOGNIZED_CHUNK, COMMON_HEADER_SIZE, SACK
from ..wire.init import read_init
from ..wire.octets import read_item
from ..wire.packet import MOST_CONTROL
from ..wire.sack import SACK_HEADER_SIZE
from ..wire.tlv import HEADER_SIZE, Malformed
from .parts import HAS_ASCONF, HAS_ECN, HAS_INTERLEAVING, HAS_PARTIAL_RELIABILITY, HAS_RECONFIG, Parts

_REPORTS_A_PACKET: Final = 8  # unknown chunks of one packet that are reported; a packet can hold hundreds


class Discard(Exception):
    """A chunk at which a rule ends the processing of a well-formed packet."""


class BadTag(Discard):
    """A chunk with the T bit in a packet with our tag: the bit goes with the peer's (section 8.5.1 B and C)."""


@final
class Packet:
    """A packet that is walked through, and the chunk of it that is being processed."""

    __slots__ = ("at", "authenticated", "data", "end", "marked", "path", "route")

    def __init__(self, data: bytes, at: int, path: Path, route: Route, marked: bool, authenticated: bool) -> None:
        self.data: Final = data
        self.path: Final = path  # the one that it came over, as far as that can be believed
        self.route: Final = route  # the addresses and ports that it came from and to
        self.marked = marked  # it bore the congestion-experienced mark, and nobody has been told of it yet
        self.authenticated = authenticated  # an AUTH chunk that is right stands before `at` (RFC 4895)
        self.at = at  # where the chunk starts
        self.end = at  # where its value ends

    @property
    def value(self) -> bytes:
        """What the chunk has behind its header."""
        return self.data[self.at + HEADER_SIZE : self.end]


def process(
    parts: Parts, data: bytes, at: int, path: Path, route: Route, marked: bool, authenticated: bool = False
) -> None:
    """Carry out what a packet brings about, chunk by chunk from `at` on, and as a whole; then tell the user.

    `marked`: it bore the congestion-experienced mark. `authenticated`: AUTH came before `at`, and was right.
    """
    context = parts.context
    was_at_work = context.is_at_work  # a packet may come in a callback
    context.is_at_work = True
    try:
        established = parts.data
        end = len(data)
        try:
            # Most packets are user data, or a SACK, and nothing else. The walk is for all others, and for their rest.
            if (
                established is not None
                and at < end
                and not marked
                and context.state is ESTABLISHED
                and context.keyring is None
            ):
                kind = data[at]
                if kind == established.user_data:
                    at = established.receiver.on_data(data, at, end, path)
                elif kind == SACK:
                    if end - at == SACK_HEADER_SIZE and data[at + 3] == SACK_HEADER_SIZE and not data[at + 2]:
                        established.sender.on_sack(data, at, SACK_HEADER_SIZE)
                        at = end
            if at < end:
                _walk(parts, Packet(data, at, path, route, marked, authenticated))
        except Malformed:
            context.statistics.malformed_packets += 1
        except BadTag:
            context.statistics.bad_tags += 1
        except Discard:
            context.statistics.discarded_packets += 1
        established = parts.data  # a COOKIE ACK or a restart may have brought another
        if established is not None:
            carried = established.receiver.on_packet_end(path)
            shutdown = established.shutdown
            if carried:
                shutdown.last_message = context.now
            if context.state is not ESTABLISHED:
                if carried:
                    shutdown.on_data()
                shutdown.advance()
    finally:
        context.is_at_work = was_at_work
    if context.is_waiting:
        context.close_answers()
    if context.notices:
        context.owner.tell()


def _walk(parts: Parts, packet: Packet) -> None:
    """Take a packet's chunks to their handlers, from `packet.at` on.

    `Malformed` ends that at a chunk whose lengths can't be, `Discard` where a rule does; what stood before it has been
    dealt with.
    """
    context = parts.context
    data = packet.data
    at = packet.at
    end = len(data)
    unknown = 0
    others = 0  # besides user data that is taken
    if context.keyring is not None:
        context.keyring.is_proven = packet.authenticated
    while end - at >= HEADER_SIZE:
        first16, length = read_item(data, at)
        kind = first16 >> 8
        if context.keyring is not None and is_unauthenticated(context, kind, packet.authenticated):
            others += 1
            if kind in _ADDRESSES or others > MOST_CONTROL:
                return  # RFC 5061 section 5.2 D5
            at = tlv.item(data, at, end)[1] + 3 & -4
            continue
        is_meaningful = kind in MEANINGFUL[context.state]
        if not is_meaningful or kind not in _USER_DATA:
            if others >= MOST_CONTROL:
                raise Discard(f"more than {MOST_CONTROL} control chunks in a packet")
            others += 1
        if length < HEADER_SIZE or length > end - at:
            tlv.item(data, at, end)  # which says what is wrong
        packet.at = at
        packet.end = at + length
        features = 0 if parts.data is None else parts.data.features
        handler = (_TABLES.get(features) or _table(features)).get(kind)
        if handler is None:
            if kind == constants.AUTH:
                if not _authenticate(parts, packet):
                    return
            elif not _on_unknown(context, data[at : packet.end], packet.path, unknown):
                return
            else:
                unknown += 1
        elif is_meaningful:
            handler(parts, packet)
        elif context.state is CLOSED:
            return
        else:
            context.statistics.unexpected_chunks += 1
        at = packet.end + 3 & -4


def _on_unknown(context: Context, chunk: bytes, path: Path, reported: int) -> bool:
    """Treat a chunk of an unknown type as the two high bits of that ask (section 3.2): report it or not, and return
    whether the packet goes on. `reported` is how many of this packet have come before it.
    """
    context.statistics.unknown_chunks += 1
    # Section 5.1 C: before the COOKIE ACK nothing is sent but the COOKIE ECHO.
    if context.setup is not None and tlv.reports_chunk(chunk[0]) and reported < _REPORTS_A_PACKET:
        context.report(causes.pack_cause(CAUSE_UNRECOGNIZED_CHUNK, chunk), path.path_id)
    return tlv.skips_chunk(chunk[0])


def _authenticate(parts: Parts, packet: Packet) -> bool:
    """Judge an AUTH chunk; return whether what stands behind it is to be processed."""
    if packet.authenticated:
        raise Discard("a second AUTH chunk (RFC 4895 section 5.1)")
    context = parts.context
    keyring = context.keyring
    data, at, end = packet.data, packet.at, packet.end
    following = end + 3 & -4
    if context.state in FORMING and following < len(data) and data[following] == constants.COOKIE_ECHO:
        # RFC 4895 section 6.3: what will be the association is in the cookie.
        cookie = data[following + HEADER_SIZE : tlv.item(data, following, len(data))[1]]
        keyring = parts.collision.keys_in(cookie, packet.route)
    if keyring is None:
        return _on_unknown(context, data[at:end], packet.path, 0)
    packet.authenticated = is_genuine(context, keyring, data, at, end, packet.path.path_id)
    return packet.authenticated


# The T bit (section 8.5.1 B and C).


def _refuse_t_bit(packet: Packet) -> None:
    """Raise `BadTag` for an ABORT or SHUTDOWN COMPLETE with the T bit in a packet with our tag: the bit goes with the
    peer's own, see `on_reflected` (section 8.5.1 B and C).
    """
    if packet.data[packet.at + 1] & constants.FLAG_TAG_REFLECTED:
        raise BadTag("the T bit in a packet with our tag")


def on_reflected(parts: Parts, kind: int, flags: int, value: bytes, route: Route) -> None:
    """Carry out an ABORT or SHUTDOWN COMPLETE with the T bit under the peer's own tag (section 8.5.1 B and C), or what
    a NAT says so (natsupp section 6).
    """
    context = parts.context
    if context.keyring is not None:
        context.keyring.is_proven = False
    if is_unauthenticated(context, kind, False):
        return
    if kind == constants.ABORT and context.paths.local.is_being_deleted(route.local):
        context.statistics.unexpected_chunks += 1  # RFC 5061 section 5.3.1
    elif kind == constants.ABORT:
        _abort(parts, flags, value)
    elif kind == constants.ERROR:
        if parts.nat is not None:
            parts.nat.on_error(causes.read_causes(value, 0, len(value)), route)
    elif parts.data is not None:
        parts.data.shutdown.on_shutdown_complete()


# Setting up (sections 5.1 and 5.2).


def _on_init_ack(parts: Parts, packet: Packet) -> None:
    if packet.at != COMMON_HEADER_SIZE or len(packet.data) - packet.end >= HEADER_SIZE:
        raise Discard("an INIT ACK that is not alone in its packet (section 5.1)")
    if parts.handshake is not None:
        parts.handshake.on_init_ack(read_init(packet.data, packet.at + HEADER_SIZE, packet.end), packet.route)


def _on_cookie_echo(parts: Parts, packet: Packet) -> None:
    if packet.at == COMMON_HEADER_SIZE and constants.COOKIE_ECHO in parts.context.config.demanded_chunks:
        parts.context.statistics.unauthenticated_chunks += 1  # in COOKIE-WAIT: there are no keys yet
        return
    # Section 3.2.2: in a packet with a COOKIE ECHO it MUST be the first chunk.
    if not _is_first(packet) or not parts.collision.on_cookie_echo(packet.value, packet.route):
        raise Discard("the cookie is not to be accepted, nor what follows it")


def _is_first(packet: Packet) -> bool:
    """Return whether the chunk is the first of its packet but for AUTH."""
    data, at = packet.data, packet.at
    if at == COMMON_HEADER_SIZE or data[COMMON_HEADER_SIZE] != constants.AUTH:
        return at == COMMON_HEADER_SIZE
    return tlv.item(data, COMMON_HEADER_SIZE, len(data))[1] + 3 & -4 == at


def _on_cookie_ack(parts: Parts, packet: Packet) -> None:
    if parts.handshake is not None:
        parts.handshake.on_cookie_ack()


# User data, and what is said of it.


def _on_data(parts: Parts, packet: Packet) -> None:
    """Take in user data as far as chunks of its kind follow one another."""
    established = parts.established
    receiver = established.receiver
    data, at, end = packet.data, packet.at, len(packet.data)
    if packet.marked and established.ecn is not None:
        established.ecn.on_marked(receiver.lowest_tsn(data, at, end))
        packet.marked = False
    packet.end = receiver.on_data(data, at, end, packet.path)
    if packet.end == at:
        raise Malformed("user data without space for its header")


def _on_other_data(parts: Parts, packet: Packet) -> None:
    """Abort: all user data comes in chunks of the type that was negotiated (RFC 8260 section 2.2.3)."""
    was_data = packet.data[packet.at] == constants.DATA
    parts.context.protocol_violation(
        "a DATA chunk, although I-DATA was negotiated" if was_data else "an I-DATA chunk, which was not negotiated"
    )
    packet.end = len(packet.data)


def _on_forward_tsn(parts: Parts, packet: Packet) -> None:
    parts.established.receiver.on_forward_tsn(packet.data, packet.at, packet.end)


def _on_other_forward_tsn(parts: Parts, packet: Packet) -> None:
    """Abort: each kind of user data has a FORWARD TSN of its own (RFC 8260 section 2.3.1)."""
    name = "a FORWARD TSN" if packet.data[packet.at] == constants.FORWARD_TSN else "an I-FORWARD-TSN"
    parts.context.protocol_violation(f"{name} chunk, which was not negotiated")


def _on_ecne(parts: Parts, packet: Packet) -> None:
    if (ecn := parts.established.ecn) is not None:
        ecn.on_ecne(control.read_ecne(packet.data, packet.at + HEADER_SIZE, packet.end)[0])


def _on_cwr(parts: Parts, packet: Packet) -> None:
    if (ecn := parts.established.ecn) is not None:
        ecn.on_cwr(control.read_tsn(packet.data, packet.at + HEADER_SIZE, packet.end))


# Errors, and the end.


def _on_abort(parts: Parts, packet: Packet) -> None:
    _refuse_t_bit(packet)
    if parts.context.paths.local.is_being_deleted(packet.route.local):
        raise Discard("an ABORT to an address that is being deleted (RFC 5061 section 5.3 F4)")
    _abort(parts, packet.data[packet.at + 1], packet.value)


def _abort(parts: Parts, flags: int, value: bytes) -> None:
    """Carry out an ABORT whose tag was right. Section 3.3.7: one whose format is wrong is discarded."""
    found = causes.read_causes(value, 0, len(value))
    if flags & constants.FLAG_MIDDLEBOX and parts.nat is not None:
        # Draft natsupp section 6.2.2: but in COOKIE-WAIT it MUST NOT be responded to.
        if parts.handshake is not None:
            parts.handshake.on_collision(found)
    elif parts.handshake is not None:
        parts.handshake.on_abort(found)
    else:
        reason = "; ".join(map(str, found))
        text = "the peer aborted the association" + (f": {reason}" if reason else "")
        parts.context.owner.end(AssociationAborted(text, found, by_peer=True))


def _on_error(parts: Parts, packet: Packet) -> None:
    """Tell the user of an ERROR, which is not fatal by itself (section 3.3.10), but for what handlers ask the peer."""
    found = causes.read_causes(packet.data, packet.at + HEADER_SIZE, packet.end)
    if parts.handshake is not None:
        parts.handshake.on_error(found)
        return
    if parts.data is not None and parts.data.asconf is not None:
        parts.data.asconf.requester.on_error(found)
    if found:
        parts.context.emit(PeerError(found))


def _on_shutdown(parts: Parts, packet: Packet) -> None:
    established = parts.established
    established.sender.on_cumulative_tsn(control.read_tsn(packet.data, packet.at + HEADER_SIZE, packet.end))
    established.shutdown.on_shutdown(packet.path)


def _on_shutdown_ack(parts: Parts, packet: Packet) -> None:
    if parts.data is not None:
        parts.data.shutdown.on_shutdown_ack(packet.path, packet.route)
    else:
        # Section 8.5.1 E: during the handshake it is out of the blue, and answered as such (section 8.4).
        context = parts.context
        path_id = context.paths.reply_path(packet.path).path_id
        context.transmit(control.pack_shutdown_complete(True), path_id, context.local_tag)


def _on_shutdown_complete(parts: Parts, packet: Packet) -> None:
    _refuse_t_bit(packet)
    parts.established.shutdown.on_shutdown_complete()


def _skip(parts: Parts, packet: Packet) -> None:
    """Do nothing: so is PAD to be treated (RFC 4820 section 3), and ECN where one side does without. INIT never gets
    here (section 8.5.1 A), but is a type that is known.
    """


_ADDRESSES: Final = frozenset({constants.ASCONF, constants.ASCONF_ACK})
_USER_DATA: Final = frozenset({constants.DATA, constants.I_DATA})
_Handler = Callable[[Parts, Packet], None]

#: What each chunk type leads to before the association is established: to no extension.
_BASE: Final[dict[int, _Handler]] = {
    constants.DATA: _on_data,
    constants.INIT: _skip,
    constants.INIT_ACK: _on_init_ack,
    SACK: lambda parts, packet: parts.established.sender.on_sack(packet.data, packet.at, packet.end - packet.at),
    constants.HEARTBEAT: lambda parts, packet: parts.heartbeat.on_heartbeat(packet.value, packet.path, packet.route),
    constants.HEARTBEAT_ACK: lambda parts, packet: parts.heartbeat.on_heartbeat_ack(packet.value),
    constants.ABORT: _on_abort,
    constants.SHUTDOWN: _on_shutdown,
    constants.SHUTDOWN_ACK: _on_shutdown_ack,
    constants.ERROR: _on_error,
    constants.COOKIE_ECHO: _on_cookie_echo,
    constants.COOKIE_ACK: _on_cookie_ack,
    constants.ECNE: _skip,
    constants.CWR: _skip,
    constants.SHUTDOWN_COMPLETE: _on_shutdown_complete,
    constants.PAD: _skip,
    constants.I_DATA: _on_other_data,
    constants.I_FORWARD_TSN: _on_other_forward_tsn,
}
#: The same for associations that are established, by what they have negotiated: made once, and shared by all alike.
_TABLES: Final[dict[int, dict[int, _Handler]]] = {0: _BASE}


def _table(features: int) -> dict[int, _Handler]:
    """Make the table of the associations with these features."""
    table = _TABLES[features] = dict(_BASE)
    if features & HAS_INTERLEAVING:
        table[constants.DATA] = _on_other_data
        table[constants.I_DATA] = _on_data
    if features & HAS_PARTIAL_RELIABILITY:
        interleaves = features & HAS_INTERLEAVING != 0
        table[constants.FORWARD_TSN] = _on_other_forward_tsn if interleaves else _on_forward_tsn
        table[constants.I_FORWARD_TSN] = _on_forward_tsn if interleaves else _on_other_forward_tsn
    if features & HAS_ECN:
        table[constants.ECNE] = _on_ecne
        table[constants.CWR] = _on_cwr
    if features & HAS_RECONFIG:
        table[constants.RE_CONFIG] = lambda parts, packet: parts.need_reconfig().on_reconfig(
            packet.data, packet.at + HEADER_SIZE, packet.end, packet.path
        )
    if features & HAS_ASCONF:
        table[constants.ASCONF] = lambda parts, packet: parts.need_asconf().on_asconf(
            packet.data, packet.at + HEADER_SIZE, packet.end, packet.path, packet.route
        )
        table[constants.ASCONF_ACK] = lambda parts, packet: parts.need_asconf().requester.on_ack(
            packet.data, packet.at + HEADER_SIZE, packet.end
        )
    return table


def expire(parts: Parts, key: int) -> None:
    """Carry out what follows from a timer having run out."""
    _EXPIRE[timers.timer_kind(key)](parts, timers.timer_path(key))
    at, silent = parts.context.silence
    if parts.nat is not None and silent and at == parts.context.now:
        parts.nat.on_silence(silent[-1])


def _expire_t1(parts: Parts, path_id: int) -> None:
    if parts.handshake is not None:
        parts.handshake.expire_t1()


def _expire_t2(parts: Parts, path_id: int) -> None:
    shutdown = parts.established.shutdown
    shutdown.expire_t2()
    if parts.nat is not None:
        parts.nat.on_unanswered(shutdown.retransmissions)


def _expire_t3(parts: Parts, path_id: int) -> None:
    data = parts.established
    data.sender.expire_t3(path_id)
    if data.reconfig is not None:
        data.reconfig.on_t3()


_EXPIRE: Final[dict[int, Callable[[Parts, int], None]]] = {
    timers.T1_INIT: _expire_t1,
    timers.T1_COOKIE: _expire_t1,
    timers.T2_SHUTDOWN: _expire_t2,
    timers.T3_RTX: _expire_t3,
    timers.T4_RTO: lambda parts, _: parts.need_asconf().requester.expire(),
    timers.T5_GUARD: lambda parts, _: parts.established.shutdown.expire_t5(),
    timers.AUTOCLOSE: lambda parts, _: parts.established.shutdown.expire_autoclose(),
    timers.HEARTBEAT_TIMER: lambda parts, path_id: parts.heartbeat.expire(path_id),
    timers.DELAYED_ACK: lambda parts, _: parts.established.receiver.acknowledger.force(),
    timers.LIFETIME: lambda parts, _: parts.established.sender.expire_lifetimes(),
    timers.FORWARD_TSN_RTX: lambda parts, _: parts.established.sender.expire_forward_tsn(),
    timers.WINDOW_PROBE: lambda parts, _: parts.established.sender.expire_window_probe(),
    timers.RECONFIG: lambda parts, _: parts.need_reconfig().requester.expire(),
}
