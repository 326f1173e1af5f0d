"""Which chunk goes to which room, and which timer: the table of contents of the protocol (RFC 9260 section 3.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..handlers.auth import is_genuine
from ..handlers.context import Context
from ..handlers.state import CLOSED, COOKIE_ECHOED, ESTABLISHED, FORMING, MEANINGFUL, RECEIVES_DATA
from ..paths.path import Path
from ..paths.route import Route
from ..timers import (
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
from ..wire.packet import MOST_CONTROL
from ..wire.sack import SACK_HEADER_SIZE
from ..wire.tlv import Malformed
from .parts import Rooms


class Discard(Malformed):
    """A rule says that a packet is not to be processed from here on, although it is well formed."""


#: The chunk types that must be authenticated where nothing must.
_NONE: Final[frozenset[int]] = frozenset()


def process(
    rooms: Rooms, data: bytes, at: int, path: Path, route: Route, marked: bool, authenticated: bool = False
) -> None:
    """Carry out what a packet brings about, chunk by chunk from `at` on, and as a whole; then the user is told.

    `marked`: it bore the congestion-experienced mark. `authenticated`: AUTH came before `at`, and was right.
    """
    context = rooms.context
    was_at_work = context.is_at_work  # a packet may come in a callback
    context.is_at_work = True
    try:
        reception = rooms.reception
        end = len(data)
        try:
            # Most packets are DATA, or a SACK, and nothing else; the walk is for all others.
            if (
                reception is not None
                and at < end
                and data[at] == DATA
                and not marked
                and context.state is ESTABLISHED
                and context.keyring is None
            ):
                at = reception.take(data, at, end, path)
            elif (
                end - at == SACK_HEADER_SIZE
                and data[at] == SACK
                and data[at + 3] == SACK_HEADER_SIZE
                and not data[at + 2]
                and context.state is ESTABLISHED
                and context.keyring is None
                and rooms.transmission is not None
            ):
                rooms.transmission.on_sack(data, at, SACK_HEADER_SIZE)
                at = end
            if at < end:
                walk(rooms, data, at, path, route, marked, authenticated)
        except Malformed:
            context.statistics.malformed_packets += 1
        reception = rooms.reception  # a COOKIE ACK or a restart may have brought a new one
        if reception is not None:
            carried = reception.packet_done(path)
            if carried:
                context.last_message = context.now
            if context.state is not ESTABLISHED and rooms.shutdown is not None:
                if carried:
                    rooms.shutdown.on_data()
                rooms.shutdown.advance()
    finally:
        context.is_at_work = was_at_work
    if context.is_waiting:
        context.close_answers()
    if context.notices:
        context.owner.tell()


def walk(
    rooms: Rooms, data: bytes, at: int, path: Path, route: Route, marked: bool, authenticated: bool = False
) -> None:
    """Take a packet's chunks to their rooms, from `at` on.

    `Malformed` ends the walk at a chunk whose lengths can't be, or with which a rule ends it (`Discard`); what stood
    before it has been dealt with.
    """
    context = rooms.context
    end = len(data)
    unknown = 0
    others = 0
    guard = _NONE if context.keyring is None else _guard(context, authenticated)
    guarded = bool(guard)
    while end - at >= tlv.HEADER_SIZE:
        kind = data[at]
        if guarded and kind in guard:  # RFC 4895 section 6.3
            context.statistics.unauthenticated_chunks += 1
            others += 1
            if kind in (ASCONF, ASCONF_ACK) or others > MOST_CONTROL:
                return  # RFC 5061 section 5.2 D5
            at += tlv.item(data, at, end)[1] - at + 3 & -4
            continue
        if not kind & ~I_DATA and context.state in RECEIVES_DATA and rooms.reception is not None:  # that is 0 for DATA
            if marked and rooms.ecn is not None:
                rooms.ecn.on_marked(rooms.reception.lowest_tsn(data, at, end))
                marked = False
            if kind == DATA:
                following = rooms.reception.take(data, at, end, path)
            else:
                following = rooms.reception.take_i_data(data, at, end, path)
            if following > at:
                at = following
                continue
        others += 1
        if others > MOST_CONTROL:
            raise Discard(f"more than {MOST_CONTROL} control chunks in a packet")
        _, value_end = tlv.item(data, at, end)
        handler = _HANDLERS.get(kind)
        if handler is None and kind == AUTH:
            if authenticated:
                raise Discard("a second AUTH chunk (RFC 4895 section 5.1)")
            if not _authenticate(rooms, data, at, value_end, path, route):
                return
            authenticated = True
            guarded = False
        elif handler is None:
            if not rooms.violations.on_unknown_chunk(data[at:value_end], path.path_id, unknown):
                return
            unknown += 1
        elif kind in MEANINGFUL[context.state]:
            handler(rooms, data, at, value_end, path, route)
            if kind == COOKIE_ECHO and not authenticated:  # what follows is for the association that it made
                guard = _guard(context, False)
                guarded = bool(guard)
        elif context.state is CLOSED:
            return
        else:
            context.statistics.unexpected_chunks += 1
        at += value_end - at + 3 & -4


def on_reflected(rooms: Rooms, kind: int, flags: int, value: bytes, route: Route) -> None:
    """A chunk with the T bit under the peer's own tag (section 8.5.1 B and C), or of a NAT (natsupp section 6)."""
    context = rooms.context
    if kind in _guard(context, False):
        context.statistics.unauthenticated_chunks += 1  # RFC 4895 section 6.3
    elif kind == ABORT and context.paths.local.is_being_deleted(route.local):
        context.statistics.unexpected_chunks += 1  # RFC 5061 section 5.3.1
    elif kind == ABORT:
        _abort(rooms, flags, value)
    elif kind == ERROR:
        if rooms.nat is not None:
            rooms.nat.on_error(causes.read_causes(value, 0, len(value)), route)
    elif rooms.shutdown is not None:
        rooms.shutdown.on_shutdown_complete()


def _guard(context: Context, authenticated: bool) -> frozenset[int]:
    """The chunk types that are discarded where they stand, before AUTH or behind one."""
    keyring = context.keyring
    if keyring is None:
        return _NONE
    keyring.vouched = authenticated
    return _NONE if authenticated else keyring.demands


def _authenticate(rooms: Rooms, data: bytes, at: int, value_end: int, path: Path, route: Route) -> bool:
    """An AUTH chunk; whether what stands behind it is to be processed."""
    context = rooms.context
    keyring = context.keyring
    if context.state in FORMING and _is_cookie_echo(data, value_end):
        # RFC 4895 section 6.3: what will be the association is in the cookie.
        keyring = rooms.collision.keys_in(_cookie(data, value_end), route)
    if keyring is None:
        return rooms.violations.on_unknown_chunk(data[at:value_end], path.path_id, 0)
    return is_genuine(context, keyring, rooms.violations, data, at, value_end, path.path_id)


def _is_cookie_echo(data: bytes, value_end: int) -> bool:
    at = value_end + 3 & -4
    return at < len(data) and data[at] == COOKIE_ECHO


def _cookie(data: bytes, value_end: int) -> bytes:
    at = value_end + 3 & -4
    return data[at + tlv.HEADER_SIZE : tlv.item(data, at, len(data))[1]]


def _is_first(data: bytes, at: int) -> bool:
    """Whether a chunk is the first of its packet but for AUTH."""
    if at == COMMON_HEADER_SIZE or data[COMMON_HEADER_SIZE] != AUTH:
        return at == COMMON_HEADER_SIZE
    return tlv.item(data, COMMON_HEADER_SIZE, len(data))[1] + 3 & -4 == at


def _abort(rooms: Rooms, flags: int, value: bytes) -> None:
    """ABORT whose tag was right, with these causes. Section 3.3.7: one whose format is wrong is discarded."""
    found = causes.read_causes(value, 0, len(value))
    if flags & FLAG_MIDDLEBOX and rooms.nat is not None:
        # Draft natsupp section 6.2.2: but in COOKIE-WAIT it MUST NOT be responded to.
        if rooms.handshake is not None:
            rooms.handshake.on_collision(found)
    elif rooms.handshake is not None:
        rooms.handshake.on_abort(found)
    else:
        rooms.violations.on_abort(found)


def expire(rooms: Rooms, kind: int, path_id: int) -> None:
    """A timer has run out."""
    if kind == T3_RTX and rooms.transmission is not None:
        rooms.transmission.expire_t3(path_id)
        if rooms.reconfig is not None:
            rooms.reconfig.on_t3()
    elif kind == DELAYED_ACK and rooms.reception is not None:
        rooms.reception.expire_delayed_ack()
    elif kind == HEARTBEAT_TIMER:
        rooms.heartbeat.expire(path_id)
    elif kind == LIFETIME and rooms.transmission is not None:
        rooms.transmission.expire_lifetimes()
    elif kind == FORWARD_TSN_RTX and rooms.transmission is not None:
        rooms.transmission.expire_forward_tsn()
    elif kind == WINDOW_PROBE and rooms.transmission is not None:
        rooms.transmission.expire_window_probe()
    elif kind == T1_INIT and rooms.handshake is not None:
        rooms.handshake.expire_t1_init()
    elif kind == T1_COOKIE and rooms.handshake is not None:
        rooms.handshake.expire_t1_cookie()
    elif kind == T2_SHUTDOWN and rooms.shutdown is not None:
        shutdown = rooms.shutdown
        shutdown.expire_t2()
        if rooms.nat is not None:
            rooms.nat.on_unanswered(shutdown.retransmissions)
    elif kind == T5_GUARD and rooms.shutdown is not None:
        rooms.shutdown.expire_t5()
    elif kind == RECONFIG and rooms.reconfig is not None:
        rooms.reconfig.expire()
    elif kind == T4_RTO and rooms.asconf is not None:
        rooms.asconf.requester.expire()
    at, silent = rooms.context.silence
    if rooms.nat is not None and silent and at == rooms.context.now:
        rooms.nat.on_silence(silent[-1])


def _on_data(rooms: Rooms, data: bytes, at: int, end: int, path: Path, route: Route) -> None:
    raise Malformed("a DATA chunk without room for its header")  # the others are taken where the walk begins


def _on_i_data(rooms: Rooms, data: bytes, at: int, end: int, path: Path, route: Route) -> None:
    raise Malformed("an I-DATA chunk without room for its header")


def _on_forward_tsn(rooms: Rooms, data: bytes, at: int, end: int, path: Path, route: Route) -> None:
    """Each kind of user data has a FORWARD TSN of its own, and the other's aborts (RFC 8260 section 2.3.1)."""
    setup = rooms.context.setup
    if setup is None or rooms.reception is None:
        return
    kind = data[at]
    if setup.partial_reliability and setup.interleaving == (kind == I_FORWARD_TSN):
        rooms.reception.on_forward_tsn(data, at, end)
    elif kind == FORWARD_TSN and not setup.partial_reliability:
        # RFC 3758 section 3.3.2: it is unknown where it was not negotiated. What waits to be sent bounds the reports.
        rooms.violations.on_unknown_chunk(data[at:end], path.path_id, len(rooms.context.control))
    else:
        name = "a FORWARD TSN" if kind == FORWARD_TSN else "an I-FORWARD-TSN"
        rooms.violations.protocol_violation(f"{name} chunk, which was not negotiated")


def _on_init(rooms: Rooms, data: bytes, at: int, end: int, path: Path, route: Route) -> None:
    raise Discard("an INIT in a packet with a verification tag (section 8.5.1 A)")


def _on_init_ack(rooms: Rooms, data: bytes, at: int, end: int, path: Path, route: Route) -> None:
    if at != COMMON_HEADER_SIZE or len(data) - end >= tlv.HEADER_SIZE:
        raise Discard("an INIT ACK that is not alone in its packet (section 5.1)")
    if rooms.handshake is not None:
        rooms.handshake.on_init_ack(read_init(data, at + tlv.HEADER_SIZE, end), route)


def _on_cookie_echo(rooms: Rooms, data: bytes, at: int, end: int, path: Path, route: Route) -> None:
    if at == COMMON_HEADER_SIZE and COOKIE_ECHO in rooms.context.config.demanded_chunks:
        rooms.context.statistics.unauthenticated_chunks += 1  # in COOKIE-WAIT: there are no keys yet
        return
    # Section 3.2.2: in a packet with a COOKIE ECHO it MUST be the first chunk.
    if not _is_first(data, at) or not rooms.collision.on_cookie_echo(data[at + tlv.HEADER_SIZE : end], route):
        raise Discard("the cookie is not to be accepted, nor what follows it")


def _on_cookie_ack(rooms: Rooms, data: bytes, at: int, end: int, path: Path, route: Route) -> None:
    if rooms.handshake is not None:
        rooms.handshake.on_cookie_ack()


def _on_sack(rooms: Rooms, data: bytes, at: int, end: int, path: Path, route: Route) -> None:
    if rooms.transmission is not None:
        rooms.transmission.on_sack(data, at, end - at)


def _on_heartbeat(rooms: Rooms, data: bytes, at: int, end: int, path: Path, route: Route) -> None:
    rooms.heartbeat.on_heartbeat(data[at + tlv.HEADER_SIZE : end], path, route)


def _on_heartbeat_ack(rooms: Rooms, data: bytes, at: int, end: int, path: Path, route: Route) -> None:
    rooms.heartbeat.on_heartbeat_ack(data[at + tlv.HEADER_SIZE : end])


def _on_abort(rooms: Rooms, data: bytes, at: int, end: int, path: Path, route: Route) -> None:
    if data[at + 1] & FLAG_TAG_REFLECTED:
        rooms.context.statistics.bad_tags += 1
        raise Discard("an ABORT with the T bit, under our tag and not the peer's (section 8.5.1 B)")
    if rooms.context.paths.local.is_being_deleted(route.local):
        raise Discard("an ABORT to an address that is being deleted (RFC 5061 section 5.3 F4)")
    _abort(rooms, data[at + 1], data[at + tlv.HEADER_SIZE : end])


def _on_error(rooms: Rooms, data: bytes, at: int, end: int, path: Path, route: Route) -> None:
    found = causes.read_causes(data, at + tlv.HEADER_SIZE, end)
    if rooms.handshake is None:
        if rooms.asconf is not None:
            rooms.asconf.on_error(found)
        rooms.violations.on_error(found)
    elif rooms.context.state is COOKIE_ECHOED:
        for cause in found:
            if cause.code == CAUSE_STALE_COOKIE:
                rooms.handshake.on_stale_cookie(cause)
                return


def _on_shutdown(rooms: Rooms, data: bytes, at: int, end: int, path: Path, route: Route) -> None:
    wire_cumulative_tsn = control.read_shutdown(data, at + tlv.HEADER_SIZE, end)
    if rooms.transmission is not None and rooms.shutdown is not None:
        rooms.transmission.on_cumulative_tsn(wire_cumulative_tsn)
        rooms.shutdown.on_shutdown(path)


def _on_shutdown_ack(rooms: Rooms, data: bytes, at: int, end: int, path: Path, route: Route) -> None:
    if rooms.shutdown is not None:
        rooms.shutdown.on_shutdown_ack(path, route)
    else:
        # Section 8.5.1 E: during the handshake it is out of the blue, and answered as such (section 8.4).
        context = rooms.context
        path_id = context.paths.reply_path(path).path_id
        context.transmit(control.pack_shutdown_complete(True), path_id, context.local_tag)


def _on_shutdown_complete(rooms: Rooms, data: bytes, at: int, end: int, path: Path, route: Route) -> None:
    if data[at + 1] & FLAG_TAG_REFLECTED:
        rooms.context.statistics.bad_tags += 1
        raise Discard("a SHUTDOWN COMPLETE with the T bit, under our tag and not the peer's (section 8.5.1 C)")
    if rooms.shutdown is not None:
        rooms.shutdown.on_shutdown_complete()


def _on_ecne(rooms: Rooms, data: bytes, at: int, end: int, path: Path, route: Route) -> None:
    if rooms.ecn is not None:
        rooms.ecn.on_ecne(control.read_ecne(data, at + tlv.HEADER_SIZE, end)[0])


def _on_cwr(rooms: Rooms, data: bytes, at: int, end: int, path: Path, route: Route) -> None:
    if rooms.ecn is not None:
        rooms.ecn.on_cwr(control.read_cwr(data, at + tlv.HEADER_SIZE, end))


def _on_reconfig(rooms: Rooms, data: bytes, at: int, end: int, path: Path, route: Route) -> None:
    reconfig = rooms.open_reconfig()
    if reconfig is not None:
        reconfig.on_reconfig(data, at + tlv.HEADER_SIZE, end, path)
    else:
        rooms.violations.on_unknown_chunk(data[at:end], path.path_id, 0)  # its type asks to be skipped


def _on_asconf(rooms: Rooms, data: bytes, at: int, end: int, path: Path, route: Route) -> None:
    asconf = rooms.open_asconf()
    if asconf is not None:
        asconf.responder.on_asconf(data, at + tlv.HEADER_SIZE, end, path, route)
    else:  # its type asks to be reported (RFC 5061 section 4.1.1); what waits to be sent bounds the reports
        rooms.violations.on_unknown_chunk(data[at:end], path.path_id, len(rooms.context.control))


def _on_asconf_ack(rooms: Rooms, data: bytes, at: int, end: int, path: Path, route: Route) -> None:
    asconf = rooms.open_asconf()
    if asconf is not None:
        asconf.requester.on_ack(data, at + tlv.HEADER_SIZE, end)
    else:
        rooms.violations.on_unknown_chunk(data[at:end], path.path_id, 0)  # its type asks to be skipped


def _on_pad(rooms: Rooms, data: bytes, at: int, end: int, path: Path, route: Route) -> None:
    """PAD is there to be skipped (RFC 4820 section 3)."""


_Handler = Callable[[Rooms, bytes, int, int, Path, Route], None]

#: What to do with a chunk type: called with the packet, where the chunk starts and where its value ends, and where it
#: came from.
_HANDLERS: Final[dict[int, _Handler]] = {
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
    ECNE: _on_ecne,
    CWR: _on_cwr,
    SHUTDOWN_COMPLETE: _on_shutdown_complete,
    RE_CONFIG: _on_reconfig,
    ASCONF: _on_asconf,
    ASCONF_ACK: _on_asconf_ack,
    PAD: _on_pad,
    I_DATA: _on_i_data,
    FORWARD_TSN: _on_forward_tsn,
    I_FORWARD_TSN: _on_forward_tsn,
}
