"""Which chunk goes to which handler, and which timer: the table of contents of the protocol (RFC 9260 section 3.2).

What was not negotiated is not in the table of an association, and is unknown to it. Which chunks mean something in
which state is in `handlers.state`; what is done about them, in `handlers`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from ..handlers.auth import is_genuine, lacks_auth
from ..handlers.state import CLOSED, COOKIE_ECHOED, ESTABLISHED, FORMING, MEANINGFUL
from ..paths.path import Path
from ..paths.route import Route
from ..timers import (
    AUTOCLOSE,
    DELAYED_ACK,
    FORWARD_TSN_RTX,
    HEARTBEAT_TIMER,
    LIFETIME,
    RECONFIG,
    T1_COOKIE,
    T1_INIT,
    T2_SHUTDOWN,
    T3_RTX,
    T4_RTO,
    T5_GUARD,
    WINDOW_PROBE,
    timer_kind,
    timer_path,
)
from ..wire import causes, control, tlv
from ..wire.constants import (
    ABORT,
    ASCONF,
    ASCONF_ACK,
    AUTH,
    CAUSE_STALE_COOKIE,
    COMMON_HEADER_SIZE,
    COOKIE_ACK,
    COOKIE_ECHO,
    CWR,
    DATA,
    ECNE,
    ERROR,
    FLAG_MIDDLEBOX,
    FLAG_TAG_REFLECTED,
    FORWARD_TSN,
    HEARTBEAT,
    HEARTBEAT_ACK,
    I_DATA,
    I_FORWARD_TSN,
    INIT,
    INIT_ACK,
    PAD,
    RE_CONFIG,
    SACK,
    SHUTDOWN,
    SHUTDOWN_ACK,
    SHUTDOWN_COMPLETE,
)
from ..wire.init import read_init
from ..wire.octets import read_item
from ..wire.packet import MOST_CONTROL
from ..wire.sack import SACK_HEADER_SIZE
from ..wire.tlv import HEADER_SIZE, Malformed
from .established import HAS_ASCONF, HAS_ECN, HAS_INTERLEAVING, HAS_PARTIAL_RELIABILITY, HAS_RECONFIG
from .parts import Parts


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
        keyring = context.keyring
        if keyring is not None and not packet.authenticated and kind in keyring.demands:  # RFC 4895 section 6.3
            context.statistics.unauthenticated_chunks += 1
            others += 1
            if kind in (ASCONF, ASCONF_ACK) or others > MOST_CONTROL:
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
        handler = (_BASE if parts.data is None else _table(parts.data.features)).get(kind)
        if handler is None:
            if kind == AUTH:
                if not _authenticate(parts, packet):
                    return
            elif not parts.violations.on_unknown_chunk(data[at : packet.end], packet.path.path_id, unknown):
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


def on_reflected(parts: Parts, kind: int, flags: int, value: bytes, route: Route) -> None:
    """Carry out a chunk with the T bit under the peer's own tag (section 8.5.1 B and C), or of a NAT (natsupp section
    6).
    """
    context = parts.context
    if context.keyring is not None:
        context.keyring.is_proven = False
    if lacks_auth(context, kind, False):
        return
    if kind == ABORT and context.paths.local.is_being_deleted(route.local):
        context.statistics.unexpected_chunks += 1  # RFC 5061 section 5.3.1
    elif kind == ABORT:
        _abort(parts, flags, value)
    elif kind == ERROR:
        if parts.nat is not None:
            parts.nat.on_error(causes.read_causes(value, 0, len(value)), route)
    elif parts.data is not None:
        parts.data.shutdown.on_shutdown_complete()


def _authenticate(parts: Parts, packet: Packet) -> bool:
    """Judge an AUTH chunk; return whether what stands behind it is to be processed."""
    if packet.authenticated:
        raise Discard("a second AUTH chunk (RFC 4895 section 5.1)")
    context = parts.context
    keyring = context.keyring
    data, at, end = packet.data, packet.at, packet.end
    following = end + 3 & -4
    if context.state in FORMING and following < len(data) and data[following] == COOKIE_ECHO:
        # RFC 4895 section 6.3: what will be the association is in the cookie.
        cookie = data[following + HEADER_SIZE : tlv.item(data, following, len(data))[1]]
        keyring = parts.collision.keys_in(cookie, packet.route)
    if keyring is None:
        return parts.violations.on_unknown_chunk(data[at:end], packet.path.path_id, 0)
    packet.authenticated = is_genuine(context, keyring, parts.violations, data, at, end, packet.path.path_id)
    return packet.authenticated


# Setting up (sections 5.1 and 5.2).


def _on_init(parts: Parts, packet: Packet) -> None:
    raise Discard("an INIT in a packet with a verification tag (section 8.5.1 A)")


def _on_init_ack(parts: Parts, packet: Packet) -> None:
    if packet.at != COMMON_HEADER_SIZE or len(packet.data) - packet.end >= HEADER_SIZE:
        raise Discard("an INIT ACK that is not alone in its packet (section 5.1)")
    if parts.handshake is not None:
        parts.handshake.on_init_ack(read_init(packet.data, packet.at + HEADER_SIZE, packet.end), packet.route)


def _on_cookie_echo(parts: Parts, packet: Packet) -> None:
    if packet.at == COMMON_HEADER_SIZE and COOKIE_ECHO in parts.context.config.demanded_chunks:
        parts.context.statistics.unauthenticated_chunks += 1  # in COOKIE-WAIT: there are no keys yet
        return
    # Section 3.2.2: in a packet with a COOKIE ECHO it MUST be the first chunk.
    if not _is_first(packet) or not parts.collision.on_cookie_echo(packet.value, packet.route):
        raise Discard("the cookie is not to be accepted, nor what follows it")


def _is_first(packet: Packet) -> bool:
    """Return whether the chunk is the first of its packet but for AUTH."""
    data, at = packet.data, packet.at
    if at == COMMON_HEADER_SIZE or data[COMMON_HEADER_SIZE] != AUTH:
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
    was_data = packet.data[packet.at] == DATA
    parts.violations.protocol_violation(
        "a DATA chunk, although I-DATA was negotiated" if was_data else "an I-DATA chunk, which was not negotiated"
    )
    packet.end = len(packet.data)


def _on_sack(parts: Parts, packet: Packet) -> None:
    parts.established.sender.on_sack(packet.data, packet.at, packet.end - packet.at)


def _on_forward_tsn(parts: Parts, packet: Packet) -> None:
    parts.established.receiver.on_forward_tsn(packet.data, packet.at, packet.end)


def _on_other_forward_tsn(parts: Parts, packet: Packet) -> None:
    """Abort: each kind of user data has a FORWARD TSN of its own (RFC 8260 section 2.3.1)."""
    name = "a FORWARD TSN" if packet.data[packet.at] == FORWARD_TSN else "an I-FORWARD-TSN"
    parts.violations.protocol_violation(f"{name} chunk, which was not negotiated")


def _on_ecne(parts: Parts, packet: Packet) -> None:
    if (ecn := parts.established.ecn) is not None:
        ecn.on_ecne(control.read_ecne(packet.data, packet.at + HEADER_SIZE, packet.end)[0])


def _on_cwr(parts: Parts, packet: Packet) -> None:
    if (ecn := parts.established.ecn) is not None:
        ecn.on_cwr(control.read_tsn(packet.data, packet.at + HEADER_SIZE, packet.end))


# Paths, addresses, streams.


def _on_heartbeat(parts: Parts, packet: Packet) -> None:
    parts.heartbeat.on_heartbeat(packet.value, packet.path, packet.route)


def _on_heartbeat_ack(parts: Parts, packet: Packet) -> None:
    parts.heartbeat.on_heartbeat_ack(packet.value)


def _on_asconf(parts: Parts, packet: Packet) -> None:
    start, end = packet.at + HEADER_SIZE, packet.end
    parts.need_asconf().responder.on_asconf(packet.data, start, end, packet.path, packet.route)


def _on_asconf_ack(parts: Parts, packet: Packet) -> None:
    parts.need_asconf().requester.on_ack(packet.data, packet.at + HEADER_SIZE, packet.end)


def _on_reconfig(parts: Parts, packet: Packet) -> None:
    parts.need_reconfig().on_reconfig(packet.data, packet.at + HEADER_SIZE, packet.end, packet.path)


# Errors, and the end.


def _on_abort(parts: Parts, packet: Packet) -> None:
    flags = packet.data[packet.at + 1]
    if flags & FLAG_TAG_REFLECTED:
        raise BadTag("an ABORT with the T bit (section 8.5.1 B)")
    if parts.context.paths.local.is_being_deleted(packet.route.local):
        raise Discard("an ABORT to an address that is being deleted (RFC 5061 section 5.3 F4)")
    _abort(parts, flags, packet.value)


def _abort(parts: Parts, flags: int, value: bytes) -> None:
    """Carry out an ABORT whose tag was right. Section 3.3.7: one whose format is wrong is discarded."""
    found = causes.read_causes(value, 0, len(value))
    if flags & FLAG_MIDDLEBOX and parts.nat is not None:
        # Draft natsupp section 6.2.2: but in COOKIE-WAIT it MUST NOT be responded to.
        if parts.handshake is not None:
            parts.handshake.on_collision(found)
    elif parts.handshake is not None:
        parts.handshake.on_abort(found)
    else:
        parts.violations.on_abort(found)


def _on_error(parts: Parts, packet: Packet) -> None:
    found = causes.read_causes(packet.data, packet.at + HEADER_SIZE, packet.end)
    if parts.handshake is None:
        if parts.data is not None and parts.data.asconf is not None:
            parts.data.asconf.on_error(found)
        parts.violations.on_error(found)
    elif parts.context.state is COOKIE_ECHOED:
        for cause in found:
            if cause.code == CAUSE_STALE_COOKIE:
                parts.handshake.on_stale_cookie(cause)
                return


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
    if packet.data[packet.at + 1] & FLAG_TAG_REFLECTED:
        raise BadTag("a SHUTDOWN COMPLETE with the T bit (section 8.5.1 C)")
    parts.established.shutdown.on_shutdown_complete()


def _skip(parts: Parts, packet: Packet) -> None:
    """Do nothing: so is PAD to be treated (RFC 4820 section 3), and ECN where one side does without."""


_USER_DATA: Final = frozenset({DATA, I_DATA})
_Handler = Callable[[Parts, Packet], None]

#: What each chunk type leads to before the association is established: to no extension.
_BASE: Final[dict[int, _Handler]] = {
    DATA: _on_data,
    INIT: _on_init,
    INIT_ACK: _on_init_ack,
    SACK: _on_sack,
    HEARTBEAT: _on_heartbeat,
    HEARTBEAT_ACK: _on_heartbeat_ack,
    ABORT: _on_abort,
    SHUTDOWN: _on_shutdown,
    SHUTDOWN_ACK: _on_shutdown_ack,
    ERROR: _on_error,
    COOKIE_ECHO: _on_cookie_echo,
    COOKIE_ACK: _on_cookie_ack,
    ECNE: _skip,
    CWR: _skip,
    SHUTDOWN_COMPLETE: _on_shutdown_complete,
    PAD: _skip,
    I_DATA: _on_other_data,
    I_FORWARD_TSN: _on_other_forward_tsn,
}
#: The same for associations that are established, by what they have negotiated: made once, and shared by all alike.
_TABLES: Final[dict[int, dict[int, _Handler]]] = {}


def _table(features: int) -> dict[int, _Handler]:
    """Return what each chunk type leads to where these extensions were negotiated."""
    table = _TABLES.get(features)
    if table is None:
        table = _TABLES[features] = dict(_BASE)
        if features & HAS_INTERLEAVING:
            table[DATA] = _on_other_data
            table[I_DATA] = _on_data
        if features & HAS_PARTIAL_RELIABILITY:
            interleaves = features & HAS_INTERLEAVING != 0
            table[FORWARD_TSN] = _on_other_forward_tsn if interleaves else _on_forward_tsn
            table[I_FORWARD_TSN] = _on_forward_tsn if interleaves else _on_other_forward_tsn
        if features & HAS_ECN:
            table[ECNE] = _on_ecne
            table[CWR] = _on_cwr
        if features & HAS_RECONFIG:
            table[RE_CONFIG] = _on_reconfig
        if features & HAS_ASCONF:
            table[ASCONF] = _on_asconf
            table[ASCONF_ACK] = _on_asconf_ack
    return table


def expire(parts: Parts, key: int) -> None:
    """Carry out what follows from a timer having run out."""
    _EXPIRE[timer_kind(key)](parts, timer_path(key))
    at, silent = parts.context.silence
    if parts.nat is not None and silent and at == parts.context.now:
        parts.nat.on_silence(silent[-1])


def _expire_t1_init(parts: Parts, path_id: int) -> None:
    if parts.handshake is not None:
        parts.handshake.expire_t1_init()


def _expire_t1_cookie(parts: Parts, path_id: int) -> None:
    if parts.handshake is not None:
        parts.handshake.expire_t1_cookie()


def _expire_t2(parts: Parts, path_id: int) -> None:
    shutdown = parts.established.shutdown
    shutdown.expire_t2()
    if parts.nat is not None:
        parts.nat.on_unanswered(shutdown.retransmissions)


def _expire_t3(parts: Parts, path_id: int) -> None:
    data = parts.established
    data.sender.expire_t3(path_id)
    if data.reconfig is not None:
        data.reconfig.responder.on_t3()


_EXPIRE: Final[dict[int, Callable[[Parts, int], None]]] = {
    T1_INIT: _expire_t1_init,
    T1_COOKIE: _expire_t1_cookie,
    T2_SHUTDOWN: _expire_t2,
    T3_RTX: _expire_t3,
    T4_RTO: lambda parts, _: parts.need_asconf().requester.expire(),
    T5_GUARD: lambda parts, _: parts.established.shutdown.expire_t5(),
    AUTOCLOSE: lambda parts, _: parts.established.shutdown.expire_autoclose(),
    HEARTBEAT_TIMER: lambda parts, path_id: parts.heartbeat.expire(path_id),
    DELAYED_ACK: lambda parts, _: parts.established.receiver.acknowledger.expire_delayed_ack(),
    LIFETIME: lambda parts, _: parts.established.sender.expire_lifetimes(),
    FORWARD_TSN_RTX: lambda parts, _: parts.established.sender.expire_forward_tsn(),
    WINDOW_PROBE: lambda parts, _: parts.established.sender.expire_window_probe(),
    RECONFIG: lambda parts, _: parts.need_reconfig().requester.expire(),
}
