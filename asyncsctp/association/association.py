"""One association: its rooms, which chunk goes to which of them, and the verbs of its user.

No rule of the protocol is here. The contract: `receive` what came, `expire` when `next_expiry` has passed, call the
verbs as the user wishes, and after each batch of these `flush`, which puts packets into the outbox. `now` is a
monotonic clock in seconds and never goes back. The user is called back from within these, and may call verbs from
there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

from ..checks import check_bool
from ..config import Config
from ..errors import AssociationAborted, AssociationClosed
from ..events import PeerAddressChanged
from ..handlers.context import Context, Random
from ..handlers.data.submission import Submission
from ..handlers.notices import WRITABLE
from ..handlers.paths import icmp
from ..handlers.setup.agreement import Setup
from ..handlers.setup.cookie import CookieJar, OpenedCookie
from ..handlers.setup.handshake import Handshake
from ..handlers.state import CLOSED, COOKIE_WAIT, ESTABLISHED
from ..outbound.message import PARTS_OPTIONS, SEND_OPTIONS, WHOLE, OutboundMessage, Terms, message_flags
from ..paths.local_addresses import known_to_client, set_out_from
from ..paths.path import Path
from ..paths.path_manager import PathManager
from ..paths.route import Route
from ..timers import AUTOCLOSE, NEVER, timer_kind, timer_path
from ..wire import causes
from ..wire.constants import COMMON_HEADER_SIZE, FLAG_IMMEDIATE
from ..wire.init import Init
from ..wire.tlv import Malformed
from .dispatch import expire, on_reflected, process
from .lifecycle import AssociationUser, Lifecycle, Registry
from .outbox import Outbox
from .overview import Overview
from .parts import Rooms


@final
class Association(Overview):
    """One association, without I/O and without a clock."""

    __slots__ = (
        "_config",
        "_cookies",
        "_life",
        "_local_addresses",
        "_outbox",
        "_path",
        "_ports",
        "_random",
        "_registry",
        "_route",
        "due",
        "user",
    )

    _life: Lifecycle

    def __init__(
        self,
        config: Config,
        random: Random,
        local_port: int,
        peer_port: int,
        local_addresses: Sequence[str],
        user: AssociationUser,
        registry: Registry,
        cookies: CookieJar,
        outbox: Outbox,
    ) -> None:
        self.user = user
        self._config = config
        self._random = random
        self._ports = (local_port, peer_port)
        self._local_addresses = local_addresses
        self._registry = registry
        self._cookies = cookies
        self._outbox = outbox
        self._path: Path | None = None
        self._route: Route | None = None
        self.due = NEVER  # when it is to be woken, as the endpoint noted it; see `Deadlines`

    # How it begins.

    def connect(self, addresses: Sequence[str], udp_port: int, now: float) -> None:
        """Associate with the peer that has these addresses (RFC 9260 section 5.1 A)."""
        local, held_back = set_out_from(self._local_addresses, addresses[0], self._config.nat_support)
        self._furnish(local, addresses, udp_port, now)
        if self._rooms.nat is not None:
            self._rooms.nat.held_back = held_back
        self._rooms.handshake = Handshake(self.context, self._local_addresses, self._registry.new_tag())
        self._rooms.handshake.associate()

    def accept(self, setup: Setup, route: Route, now: float) -> None:
        """Become what a cookie says that came along `route` (section 5.1 D)."""
        # Section 5.4 rule 2: CONFIRMED is where the INIT ACK was sent to, wherever the cookie comes from.
        local = known_to_client(self._local_addresses, route.local, setup.disable_restart)
        self._furnish(local, setup.addresses[:1], setup.udp_port, now)
        context = self.context
        for address in setup.addresses:
            context.paths.add(address)
        self._path_from(route, True)
        context.local_tag = setup.local_tag
        context.peer_tag = setup.peer_tag
        self._life.retag()
        self._life.establish(setup)
        self._rooms.collision.confirm(route)

    def _furnish(self, local: Sequence[str], addresses: Sequence[str], udp_port: int, now: float) -> None:
        self._life = Lifecycle(self, self.user, self._registry)
        self.context = context = Context(self._config, self._random, self._life, *self._ports, self._registry.budget)
        context.paths = PathManager(self._config, local, addresses, udp_port, context.on_controller_failed)
        context.now = now
        self._rooms = Rooms(context, self._cookies, self._outbox)
        self._life.move_in(context, self._rooms)

    # What is known of it.

    @property
    def prefix(self) -> bytes:
        """The first 8 bytes of the peer's packets: ports and our tag."""
        return self._life.seal.prefix

    def deliver_parts(self, sid: int, wanted: bool) -> None:
        """Whether messages of this stream are handed over in parts (RFC 6458 section 6.1.7)."""
        if self._rooms.reception is not None:
            self._rooms.reception.deliver_parts(sid, wanted)

    # What the peer says.

    def receive(self, datagram: bytes, route: Route, now: float, congestion_experienced: bool = False) -> None:
        """Take in a packet that starts with `prefix`. Whatever it holds, this does not raise."""
        context = self.context
        context.now = now
        if context.is_waiting:
            context.open_answers()
        if not self._life.seal.opens(datagram):
            context.statistics.checksum_errors += 1
            return
        path = self._path
        if path is None or route is not self._route:
            path = self._path_from(route, self._rooms.vouches(datagram))
            if path is None:
                self._receive_newcomer(datagram, route, congestion_experienced)
                return
        context.statistics.packets_received += 1
        process(self._rooms, datagram, COMMON_HEADER_SIZE, path, route, congestion_experienced)

    def _receive_newcomer(self, datagram: bytes, route: Route, marked: bool) -> None:
        """A packet with our tag from an address that isn't one that we send to, and may become it (RFC 5061 section
        5.2).
        """
        rooms = self._rooms
        path = rooms.admit(datagram, route)
        if path is None and not rooms.hears(route.address) and not rooms.is_last_word(datagram):
            rooms.readmit(datagram, route)
            return
        self.context.statistics.packets_received += 1
        process(rooms, datagram, COMMON_HEADER_SIZE, path or self.context.paths.data_path(), route, marked)
        if path is not None:
            rooms.dismiss(path)

    def receive_reflected(self, kind: int, flags: int, value: bytes, route: Route, now: float) -> None:
        """An ABORT or SHUTDOWN COMPLETE with the T bit, in a packet that bore the peer's own tag (section 8.5.1 B and
        C); or what a NAT answers so.
        """
        self.context.now = now
        try:
            on_reflected(self._rooms, kind, flags, value, route)
        except Malformed:
            self.context.statistics.malformed_packets += 1
        self._life.tell()

    def on_init(self, init: Init, route: Route, tag: int, now: float) -> tuple[Route, bytes] | None:
        """An INIT from one of the peer's addresses (section 5.2); it leaves everything as it was."""
        self.context.now = now
        offer = self._rooms.handshake.offer if self._rooms.handshake is not None else None
        return self._rooms.collision.on_init(init, route, tag, offer)

    def on_opened_cookie(self, opened: OpenedCookie, route: Route, now: float) -> bool:
        """A COOKIE ECHO for another tag than ours (section 5.2.4); whether the rest of the packet belongs to this
        association.
        """
        self.context.now = now
        self.context.open_answers()
        self._path = None  # a peer that has restarted may have fewer addresses
        was_at_work = self.context.is_at_work
        self.context.is_at_work = True  # messages that are cut off are told of in the middle of this step
        try:
            goes_on = self._rooms.collision.on_opened_cookie(opened, route)
        finally:
            self.context.is_at_work = was_at_work
        self._life.tell()
        return goes_on

    def receive_rest(self, datagram: bytes, at: int, route: Route, now: float, authenticated: bool) -> None:
        """What stands behind the COOKIE ECHO that made or restarted this association."""
        path = self._path_from(route, True)  # the cookie was right
        if path is None and self._rooms.hears(route.address):
            path = self.context.paths.data_path()
        if path is not None:
            self.context.now = now
            process(self._rooms, datagram, at, path, route, False, authenticated)

    def on_unreachable(self, route: Route, quoted: bytes, now: float) -> None:
        """ICMP says that a packet to the peer's address found nobody; `quoted` is the start of that SCTP packet."""
        self.context.now = now
        icmp.on_port_unreachable(self.context, self._rooms.heartbeat, quoted, route)
        self._life.tell()

    def on_message_size(self, route: Route, mtu: int, now: float) -> None:
        """The network reported that IP packets above `mtu` don't get to the peer's address."""
        self.context.now = now
        path = self.context.paths.find(route.address)
        if path is not None and self.context.paths.on_message_size(path, mtu) and self._rooms.transmission is not None:
            self._rooms.transmission.measure()

    # What time says.

    def expire(self, now: float) -> None:
        """Let the timers run out that are due."""
        context = self.context
        context.now = now
        if self._rooms.transmission is not None:
            self._rooms.transmission.settle()
        for key in context.timers.expired(now):
            if context.state is CLOSED:
                break
            if timer_kind(key) == AUTOCLOSE:
                self._life.expire_autoclose()
            else:
                expire(self._rooms, timer_kind(key), timer_path(key))
        self._life.tell()

    def flush(self, now: float) -> None:
        """Put into the outbox what is due and what windows allow."""
        self.context.now = now
        transmission = self._rooms.transmission
        if transmission is not None:
            transmission.conclude()
            if self.context.state is not ESTABLISHED and self._rooms.shutdown is not None:
                self._rooms.shutdown.advance()  # what was given up is in the way no more
        rooms = self._rooms
        if rooms.nat is not None:
            rooms.nat.flush()
        if rooms.asconf is not None:
            rooms.asconf.flush()
        rooms.packetizer.flush()
        if rooms.reconfig is not None:
            self._flush_reconfig(rooms)
            if rooms.reconfig is not None and rooms.reconfig.is_settling:
                self._life.tell()
                rooms.packetizer.flush()
        if rooms.authentication is not None:
            rooms.authentication.advance()
        if transmission is not None and transmission.released:
            transmission.released = False
            self.context.notices.append(WRITABLE)
        if self.context.notices:
            self._life.tell()

    # What the user says.

    def send(self, sid: int, data: bytes, ppid: int = 0, unordered: bool = False, **options: Any) -> OutboundMessage:
        """Queue a message with these `SEND_OPTIONS`; it leaves with the next flush that finds space for it.

        `ValueError` or `TypeError` as of `prepare`, and for an empty message, a stream or PPID out of range;
        `MessageTooLarge`; `AssociationClosed` if the association is not established, or is shutting down.
        """
        message = OutboundMessage(sid, data, ppid, message_flags(unordered, False) if unordered else WHOLE)
        if options:
            self.prepare(message, options, self.context.now)
        self.sender().send(message)
        return message

    def prepare(self, message: OutboundMessage, options: Mapping[str, Any], now: float) -> None:
        """Give a message what these of the `SEND_OPTIONS` ask for, before it is sent; None stands for no option.

        * `lifetime`, `max_retransmits`, `priority`, `context`, `auth_key`: see `terms`.
        * `sack_immediately`, a bool: the peer is asked for a SACK without delay (RFC 7053).
        * `path`: the peer's address to send it to, while that works.

        `TypeError` or `ValueError` for wrong ones: a foreign address, an unknown key.
        """
        _check_names(options, SEND_OPTIONS)
        if check_bool("sack_immediately", options.get("sack_immediately", False)):
            message.flags |= FLAG_IMMEDIATE
        if options.get("path") is not None:
            message.path_id = self.path_to(options["path"]).path_id
        terms = self._terms(options, now)
        if not terms.is_plain:
            message.terms = terms

    def terms(self, options: Mapping[str, Any], now: float) -> Terms:
        """Return the terms of a message that is written in parts, with these of the `PARTS_OPTIONS`.

        They are those of `Terms.from_options`, and `auth_key`: the id of the shared key that is to authenticate it
        (RFC 4895). `TypeError` or `ValueError` for wrong ones.
        """
        _check_names(options, PARTS_OPTIONS)
        return self._terms(options, now)

    def _terms(self, options: Mapping[str, Any], now: float) -> Terms:
        terms = Terms.from_options(options, now)
        if options.get("auth_key") is not None:
            self._rooms.assign_key(terms, options["auth_key"])
        return terms

    def send_many(self, sid: int, messages: list[bytes], ppid: int, unordered: bool, immediate: bool) -> None:
        """Queue messages, as `send` does each of them: all, or none if one of them is wrong."""
        self.sender().send_many(sid, messages, ppid, message_flags(unordered, immediate))

    @property
    def submission(self) -> Submission | None:
        """The way in for messages, whether they are taken or not; None before the association is established."""
        return self._rooms.submission

    def sender(self) -> Submission:
        """The way in for messages, while they are taken; else `AssociationClosed`."""
        submission = self._rooms.submission
        if self.context.state is not ESTABLISHED or submission is None:
            raise AssociationClosed(f"the association takes no messages in state {self.context.state.value}")
        return submission

    def consumed(self, charge: int) -> bool:
        """Messages have been read: the window opens. Whether a flush should tell the peer; after the end there is none.

        `charge`: see `Reception.consumed`.
        """
        rooms = self._rooms
        if rooms.reception is not None:
            return rooms.reception.consumed(charge)
        if rooms.remains is not None:
            rooms.remains.read(charge)
        return False

    def shutdown(self, now: float) -> None:
        """End gracefully (section 9.2): what was written is delivered first."""
        self.context.now = now
        if self._rooms.shutdown is not None and self._rooms.transmission is not None:
            self._rooms.transmission.settle()
            self._rooms.shutdown.shutdown()
        elif self.context.state is not CLOSED:
            self.abort(now, b"")
        self._life.tell()

    def leave(self, now: float) -> bool:
        """End gracefully at once if nothing but SHUTDOWN COMPLETE is missing (section 9.2); whether that is so."""
        self.context.now = now
        has_left = self._rooms.shutdown is not None and self._rooms.shutdown.leave()
        self._life.tell()
        return has_left

    def abort(self, now: float, reason: bytes) -> None:
        """End at once (section 9.1); `reason` travels in a User-Initiated Abort cause."""
        context = self.context
        context.now = now
        if context.state is CLOSED:
            return
        error = AssociationAborted("the association was aborted by this side")
        if context.peer_tag:
            context.abort(causes.pack_user_abort(reason), error)
        else:
            self._life.end(error)  # the peer knows nothing of it yet
        self._life.tell()

    def heartbeat(self, address: str | None, now: float) -> None:
        """Send a HEARTBEAT (section 8.3 D); the answer comes by `on_heartbeat`. `ValueError` for a foreign address."""
        self.context.now = now
        if self.context.state is not ESTABLISHED:
            raise AssociationClosed(f"no HEARTBEAT can be sent in state {self.context.state.value}")
        self._rooms.heartbeat.request(self.context.paths.primary if address is None else self.path_to(address))

    def set_primary(self, address: str) -> None:
        """Choose the path that data takes while it works (section 6.4). `ValueError` for a foreign address."""
        if self.context.paths.set_primary(address):
            self.context.emit(PeerAddressChanged(self.context.paths.primary.route.address, "primary"))
            self._life.tell()

    def configure(self, config: Config, now: float | None = None) -> None:
        """Other settings from now on, as far as a live association can change them. `ValueError` if they don't go with
        what was set for a path. Without `now` it is the time of the last call that had it.
        """
        context = self.context
        if now is not None:
            context.now = now
        rooms = self._rooms
        other_scheduler = config.scheduler is not context.config.scheduler
        rooms.heartbeat.configure(config)
        self._config = config
        if rooms.reception is not None and rooms.transmission is not None and rooms.submission is not None:
            rooms.reception.configure()
            rooms.submission.max_message_size = config.max_message_size
            if other_scheduler:
                rooms.transmission.change_scheduler()
        self._life.start_autoclose()
        self._life.tell()

    def configure_path(self, address: str, changes: dict[str, Any], now: float) -> None:
        """Other settings for one path (`config.PATH_FIELDS`), which `configure` leaves alone from now on."""
        self.context.now = now
        rooms = self._rooms
        rooms.heartbeat.configure_path(self.path_to(address), changes)
        if rooms.transmission is not None:
            rooms.transmission.measure()
        self._life.tell()

    def _path_from(self, route: Route, vouched: bool) -> Path | None:
        """The path that a packet with the right tag came over; remembered for those that follow along the route, if it
        is to be believed where it came from.
        """
        paths = self.context.paths
        path = paths.find(route.address)
        if path is None:
            return paths.primary if self.context.state is COOKIE_WAIT else None
        if not vouched:
            return path
        paths.learn(path, route)
        is_usual = path.route == route or not path.route.local or route.local in paths.local.barred
        path.reply_route = path.route if is_usual else route
        self._route = route
        self._path = path
        return path

    def forget_route(self) -> None:
        """Paths have changed: the next packet's is looked up anew."""
        self._path = None

    def _flush_reconfig(self, rooms: Rooms) -> None:
        """What waited for data to come or go: by that, messages may be delivered in the middle of this step."""
        context = self.context
        was_at_work = context.is_at_work
        context.is_at_work = True
        try:
            rooms.flush_reconfig()
        finally:
            context.is_at_work = was_at_work


def _check_names(options: Mapping[str, Any], known: frozenset[str]) -> None:
    unknown = options.keys() - known
    if unknown:
        raise TypeError(f"{', '.join(sorted(unknown))}: no such option; a message has {', '.join(sorted(known))}")
