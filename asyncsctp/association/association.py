"""One association: what the network, the clock and its user say to it, and what it tells of itself.

No rule of the protocol is here: `dispatch` takes chunks and timers to their handlers, `lifecycle` establishes, restarts
and ends, `packetizer` sends. The contract: `receive` what came, `expire` when `next_expiry` has passed, call the
verbs as the user wishes, and after each batch of these `flush`, which puts packets into the outbox. `now` is a
monotonic clock in seconds and never goes back. The user is called back from within these, and may call verbs from
there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, final

from ..checks import check_bool
from ..config import Config
from ..errors import AssociationAborted, AssociationClosed
from ..events import PeerAddressChanged
from ..handlers.addresses.asconf_requester import AsconfRequester
from ..handlers.auth import Authentication, proves_source
from ..handlers.context import Context
from ..handlers.data.submission import Submission
from ..handlers.keyring import Keyring
from ..handlers.notices import WRITABLE
from ..handlers.paths import icmp
from ..handlers.setup.cookie import OpenedCookie
from ..handlers.setup.handshake import Handshake
from ..handlers.setup.negotiation import Setup
from ..handlers.state import CLOSED, COOKIE_WAIT, ESTABLISHED, FORMING, State
from ..handlers.streams.reconfig_requester import ReconfigRequester
from ..outbound.message import PARTS_OPTIONS, SEND_OPTIONS, WHOLE, OutboundMessage, Terms, message_flags
from ..paths.local_addresses import set_out_from
from ..paths.path import Path
from ..paths.path_manager import PathManager
from ..paths.route import Route
from ..statistics import Statistics
from ..timers import NEVER
from ..wire import causes
from ..wire.constants import CAUSE_USER_ABORT, COMMON_HEADER_SIZE, FLAG_IMMEDIATE
from ..wire.init import Init
from ..wire.tlv import Malformed
from .dispatch import expire, on_reflected, process
from .lifecycle import Lifecycle, Shared
from .packetizer import Packetizer
from .parts import EstablishedData, Parts
from .user import AssociationUser


@final
class Association:
    """One association, without I/O and without a clock."""

    __slots__ = ("_authentication", "_lifecycle", "_packetizer", "_parts", "_path", "_route", "context", "due", "user")

    def __init__(
        self,
        shared: Shared,
        config: Config,
        make_user: MakeUser,
        peer_port: int,
        tags: tuple[int, int],
        addresses: tuple[Sequence[str], Sequence[str]],
        held_back: Sequence[str],
        udp_port: int,
        now: float,
    ) -> None:
        """`tags` and `addresses` are ours and the peer's; `held_back` are those of ours that it is told of later."""
        #: The path of the last packet that is to be believed where it came from, and the route that it took.
        self._path: Path | None = None
        self._route: Route | None = None
        self.due = NEVER  # when it is to be woken, as the endpoint noted it; see `Deadlines`
        self.user = user = make_user(self)  # before anything happens
        self._lifecycle = Lifecycle(self, user, shared, config, peer_port, tags, addresses, held_back, udp_port, now)
        self.context: Context = self._lifecycle.context
        self._parts: Parts = self._lifecycle.parts
        self._packetizer: Packetizer = Packetizer(self.context, shared.outbox)
        self._authentication: Authentication | None = None  # made when the user first wants something of it
        self.context.path_users.append(self)

    @classmethod
    def connect(
        cls,
        shared: Shared,
        config: Config,
        user: AssociationUser | MakeUser,
        local_addresses: Sequence[str],
        addresses: Sequence[str],
        port: int,
        udp_port: int,
        now: float,
    ) -> Association:
        """Associate with the peer that has these addresses (RFC 9260 section 5.1 A)."""
        local, held_back = set_out_from(local_addresses, addresses[0], config.nat_support)
        tag = shared.registry.new_tag()
        make_user = (lambda _: user) if isinstance(user, AssociationUser) else user
        association = cls(shared, config, make_user, port, (tag, 0), (local, addresses), held_back, udp_port, now)
        shared.registry.bind(association)
        handshake = association._parts.handshake = Handshake(association.context, local_addresses, tag)
        handshake.associate()
        return association

    @classmethod
    def accept(
        cls,
        shared: Shared,
        config: Config,
        make_user: MakeUser,
        local_addresses: Sequence[str],
        setup: Setup,
        route: Route,
        now: float,
    ) -> Association:
        """Become what a cookie says that came along `route` (section 5.1 D). The peer knows these addresses of ours."""
        tags = setup.local_tag, setup.peer_tag
        # Section 5.4 rule 2: CONFIRMED is where the INIT ACK was sent to, wherever the cookie comes from.
        both = local_addresses, setup.addresses[:1]
        association = cls(shared, config, make_user, setup.peer_port, tags, both, (), setup.udp_port, now)
        for address in setup.addresses[1:]:
            association.context.paths.add(address)
        association._path_from(route, True)
        association._lifecycle.establish(setup)
        association._parts.collision.confirm(route)
        return association

    # What is known of it.

    @property
    def prefix(self) -> bytes:
        """The first 8 bytes of the peer's packets: ports and our tag."""
        return self._lifecycle.seal.prefix

    @property
    def state(self) -> State:
        """The state of RFC 9260 section 4."""
        return self.context.state

    @property
    def statistics(self) -> Statistics:
        """The counters, live."""
        return self.context.statistics

    @property
    def config(self) -> Config:
        """The settings in force."""
        return self.context.config

    @property
    def path_manager(self) -> PathManager:
        """The peer's addresses, and the paths to them."""
        return self.context.paths

    @property
    def keyring(self) -> Keyring | None:
        """What the peer's chunks are authenticated with, once that has been agreed on."""
        return None if self.context.state in FORMING else self.context.keyring

    @property
    def next_expiry(self) -> float:
        """When to call `expire`; infinity if there is nothing to wait for."""
        return self.context.timers.next_expiry

    @property
    def outgoing_streams(self) -> int:
        """How many streams we may send on; 0 before the association is established."""
        return self.context.setup.outgoing_streams if self.context.setup is not None else 0

    @property
    def incoming_streams(self) -> int:
        """How many streams the peer may send on; 0 before the association is established."""
        return self.context.setup.incoming_streams if self.context.setup is not None else 0

    @property
    def buffered(self) -> int:
        """User bytes that were written and are not acknowledged."""
        return 0 if self._parts.data is None else self._parts.data.sender.buffered

    @property
    def movable(self) -> int:
        """Of these, the bytes that go without a message that is being written in parts being ended first."""
        return 0 if self._parts.data is None else self._parts.data.sender.movable

    def path_to(self, address: str) -> Path:
        """Return the path to an address of the peer. `ValueError` for another one."""
        path = self.context.paths.find(address)
        if path is None:
            raise ValueError(f"{address} is not an address of the peer")
        return path

    def pressing(self, sids: Collection[int]) -> list[int]:
        """Return those of these streams whose message in parts has begun to leave, and holds up others until it is
        ended.
        """
        return [] if self._parts.data is None else self._parts.data.sender.queue.pressing(sids)

    def buffered_of(self, sid: int) -> int:
        """Return the user bytes of one stream that were written and have not left."""
        return 0 if self._parts.data is None else self._parts.data.sender.queue.buffered_of(sid)

    def abandoned(self) -> dict[tuple[int, int], tuple[int, int]]:
        """Return by stream and policy how many messages were given up before and after they had begun to leave."""
        data = self._parts.data
        if data is None or data.sender.abandonment is None:
            return {}
        return data.sender.abandonment.partial.abandoned

    def in_flight(self, path_id: int) -> int:
        """Return the bytes in flight on a path, as its congestion window counts them."""
        return 0 if self._parts.data is None else self._parts.data.sender.outstanding.in_flight[path_id]

    # What it has for more than sending and receiving.

    @property
    def reconfig(self) -> ReconfigRequester:
        """Stream reconfiguration (RFC 6525). `ReconfigError` if it was not negotiated, or the association is not up."""
        return self._parts.need_reconfig().requester

    @property
    def asconf(self) -> AsconfRequester:
        """Changing our addresses (RFC 5061). `AsconfError` if it was not negotiated, or the association is not up."""
        return self._parts.need_asconf().requester

    @property
    def authentication(self) -> Authentication:
        """The shared keys (RFC 4895); its verbs raise `ValueError` if authentication was not negotiated."""
        if self._authentication is None:
            self._authentication = Authentication(self.context)
        return self._authentication

    def deliver_parts(self, sid: int, wanted: bool) -> None:
        """Hand over messages of this stream in parts, if `wanted`, or whole (RFC 6458 section 6.1.7)."""
        if self._parts.data is not None:
            self._parts.data.receiver.deliver_parts(sid, wanted)

    # What the peer says.

    def receive(self, datagram: bytes, route: Route, now: float, congestion_experienced: bool = False) -> None:
        """Take in a packet that starts with `prefix`. Whatever it holds, this does not raise."""
        context = self.context
        context.now = now
        if context.is_waiting:
            context.open_answers()
        if not self._lifecycle.seal.opens(datagram):
            context.statistics.checksum_errors += 1
            return
        path = self._path
        if path is None or route is not self._route:
            path = self._path_from(route, proves_source(context, datagram))
            if path is None:
                self._receive_newcomer(datagram, route, congestion_experienced)
                return
        context.statistics.packets_received += 1
        process(self._parts, datagram, COMMON_HEADER_SIZE, path, route, congestion_experienced)

    def _receive_newcomer(self, datagram: bytes, route: Route, marked: bool) -> None:
        """Take in a packet with our tag from an address that we don't send to, and that may become one of those (RFC
        5061 section 5.2).
        """
        context, parts = self.context, self._parts
        asconf, nat = parts.open_asconf(), parts.nat
        path = None
        if asconf is not None:
            path = asconf.admit(datagram, route)
        elif nat is not None and proves_source(context, datagram):
            path = nat.admit(route)
        if path is None and not parts.hears(route.address) and (nat is None or not nat.is_last_word(datagram)):
            parts.collision.on_unknown_source(datagram, route)
            return
        context.statistics.packets_received += 1
        process(parts, datagram, COMMON_HEADER_SIZE, path or context.paths.data_path(), route, marked)
        if path is not None and parts.data is not None and parts.data.asconf is not None:
            parts.data.asconf.peers.discard(path)  # unless the packet has made its address the peer's

    def receive_reflected(self, kind: int, flags: int, value: bytes, route: Route, now: float) -> None:
        """Take in an ABORT or SHUTDOWN COMPLETE with the T bit, in a packet that bore the peer's own tag (section 8.5.1
        B and C); or what a NAT answers so.
        """
        self.context.now = now
        try:
            on_reflected(self._parts, kind, flags, value, route)
        except Malformed:
            self.context.statistics.malformed_packets += 1
        self._lifecycle.tell()

    def on_init(self, init: Init, route: Route, tag: int, now: float) -> tuple[Route, bytes] | None:
        """Return the route and the body of the answer to an INIT from one of the peer's addresses, if there is one; it
        leaves everything as it was (section 5.2).
        """
        self.context.now = now
        offer = self._parts.handshake.offer if self._parts.handshake is not None else None
        return self._parts.collision.on_init(init, route, tag, offer)

    def on_opened_cookie(self, opened: OpenedCookie, route: Route, now: float) -> bool:
        """Take in a COOKIE ECHO for another tag than ours (section 5.2.4); return whether the rest of the packet
        belongs to this association.
        """
        self.context.now = now
        self.context.open_answers()
        self._path = None  # a peer that has restarted may have fewer addresses
        was_at_work = self.context.is_at_work
        self.context.is_at_work = True  # messages that are cut off are told of in the middle of this step
        try:
            goes_on = self._parts.collision.on_opened_cookie(opened, route)
        finally:
            self.context.is_at_work = was_at_work
        self._lifecycle.tell()
        return goes_on

    def receive_rest(self, datagram: bytes, at: int, route: Route, now: float, authenticated: bool) -> None:
        """Take in what stands behind the COOKIE ECHO that made or restarted this association."""
        path = self._path_from(route, True)  # the cookie was right
        if path is None and self._parts.hears(route.address):
            path = self.context.paths.data_path()
        if path is not None:
            self.context.now = now
            process(self._parts, datagram, at, path, route, False, authenticated)

    def on_unreachable(self, route: Route, quoted: bytes, now: float) -> None:
        """Hear from ICMP that a packet to the peer's address found nobody; `quoted` is the start of that packet."""
        self.context.now = now
        icmp.on_port_unreachable(self.context, self._parts.heartbeat, quoted, route)
        self._lifecycle.tell()

    def on_message_size(self, route: Route, mtu: int, now: float) -> None:
        """Hear from the network that IP packets above `mtu` don't get to the peer's address."""
        self.context.now = now
        path = self.context.paths.find(route.address)
        if path is not None and self.context.paths.on_message_size(path, mtu) and self._parts.data is not None:
            self._parts.data.sender.measure()

    # What time says.

    def expire(self, now: float) -> None:
        """Let the timers run out that are due."""
        context = self.context
        context.now = now
        if self._parts.data is not None:
            self._parts.data.sender.apply_sacks()  # what has been answered does not run out
        for key in context.timers.expired(now):
            if context.state is CLOSED:
                break
            expire(self._parts, key)
        self._lifecycle.tell()

    def flush(self, now: float) -> None:
        """Put into the outbox what is due and what windows allow."""
        context = self.context
        context.now = now
        parts = self._parts
        data = parts.data
        if data is None:
            self._packetizer.flush(None)
        else:
            data.sender.begin_flush()
            if context.state is not ESTABLISHED:
                data.shutdown.advance()  # what was given up is in the way no more
            if parts.nat is not None:
                parts.nat.flush()
            if data.asconf is not None and parts.data is data:
                data.asconf.flush()
            self._packetizer.flush(parts.data)
            if data.reconfig is not None and parts.data is data:
                self._flush_reconfig(data)
                if data.reconfig.awaits_user:
                    self._lifecycle.tell()
                    self._packetizer.flush(self._parts.data)  # the user may have ended it
            if data.sender.released:
                data.sender.released = False
                context.notices.append(WRITABLE)
        if self._authentication is not None:
            self._authentication.advance()
        if context.notices:
            self._lifecycle.tell()

    # What the user says.

    def send(
        self, sid: int, data: bytes, ppid: int = 0, unordered: bool = False, options: Mapping[str, Any] | None = None
    ) -> OutboundMessage:
        """Queue a message with these of the `SEND_OPTIONS`; it leaves with the next flush that finds space for it.

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
            self.authentication.assign(terms, options["auth_key"])
            # From the first on, all packets leave space for AUTH.
            keyring, data = self.context.keyring, self._parts.data
            if keyring is not None and data is not None and self.context.paths.reserve(keyring.size):
                data.sender.measure()
        return terms

    def send_many(self, sid: int, messages: list[bytes], ppid: int, unordered: bool, immediate: bool) -> None:
        """Queue messages, as `send` does each of them: all, or none if one of them is wrong."""
        self.sender().send_many(sid, messages, ppid, message_flags(unordered, immediate))

    @property
    def submission(self) -> Submission | None:
        """The way in for messages, whether they are taken or not; None before the association is established."""
        return None if self._parts.data is None else self._parts.data.submission

    def sender(self) -> Submission:
        """Return the way in for messages, while they are taken; else `AssociationClosed`."""
        data = self._parts.data
        if self.context.state is not ESTABLISHED or data is None:
            raise AssociationClosed(f"the association takes no messages in state {self.context.state.value}")
        return data.submission

    def consumed(self, charge: int) -> bool:
        """Open the window, as messages have been read; return whether a flush should tell the peer, which none does
        after the end. `charge`: see the receiver's `consumed`.
        """
        parts = self._parts
        if parts.data is not None:
            return parts.data.receiver.consumed(charge)
        if parts.remains is not None:
            parts.remains.read(charge)
        return False

    def shutdown(self, now: float) -> None:
        """End gracefully (section 9.2): what was written is delivered first."""
        self.context.now = now
        if self._parts.data is not None:
            self._parts.data.shutdown.shutdown()
        elif self.context.state is not CLOSED:
            self.abort(now, b"")
        self._lifecycle.tell()

    def leave(self, now: float) -> bool:
        """End gracefully at once if only SHUTDOWN COMPLETE is missing (section 9.2); return whether that is so."""
        self.context.now = now
        has_left = self._parts.data is not None and self._parts.data.shutdown.leave()
        self._lifecycle.tell()
        return has_left

    def abort(self, now: float, reason: bytes) -> None:
        """End at once (section 9.1); `reason` travels in a User-Initiated Abort cause."""
        context = self.context
        context.now = now
        if context.state is CLOSED:
            return
        error = AssociationAborted("the association was aborted by this side")
        if context.peer_tag:
            context.abort(causes.pack_cause(CAUSE_USER_ABORT, reason), error)
        else:
            self._lifecycle.end(error)  # the peer knows nothing of it yet
        self._lifecycle.tell()

    def heartbeat(self, address: str | None, now: float) -> None:
        """Send a HEARTBEAT (section 8.3 D); the answer comes by `on_heartbeat`. `ValueError` for a foreign address."""
        self.context.now = now
        if self.context.state is not ESTABLISHED:
            raise AssociationClosed(f"no HEARTBEAT can be sent in state {self.context.state.value}")
        self._parts.heartbeat.request(self.context.paths.primary if address is None else self.path_to(address))

    def set_primary(self, address: str) -> None:
        """Choose the path that data takes while it works (section 6.4). `ValueError` for a foreign address."""
        if self.context.paths.set_primary(address):
            self.context.emit(PeerAddressChanged(self.context.paths.primary.route.address, "primary"))
            self._lifecycle.tell()

    def configure(self, config: Config, now: float | None = None) -> None:
        """Other settings from now on, as far as a live association can change them. `ValueError` if they don't go with
        what was set for a path. Without `now` it is the time of the last call that had it.
        """
        context = self.context
        if now is not None:
            context.now = now
        parts = self._parts
        other_scheduler = config.scheduler is not context.config.scheduler
        parts.heartbeat.configure(config)
        if parts.data is not None:
            parts.data.receiver.configure()
            parts.data.submission.max_message_size = config.max_message_size
            if other_scheduler:
                parts.data.sender.change_scheduler()
            parts.data.shutdown.start_autoclose()
        self._lifecycle.tell()

    def configure_path(self, address: str, changes: dict[str, Any], now: float) -> None:
        """Other settings for one path (`config.PATH_FIELDS`), which `configure` leaves alone from now on."""
        self.context.now = now
        parts = self._parts
        parts.heartbeat.configure_path(self.path_to(address), changes)
        if parts.data is not None:
            parts.data.sender.measure()
        self._lifecycle.tell()

    def _path_from(self, route: Route, is_proven: bool) -> Path | None:
        """Return the path that a packet with the right tag came over; remember it for those that follow along the
        route, if the packet is to be believed where it came from.
        """
        paths = self.context.paths
        path = paths.find(route.address)
        if path is None:
            return paths.primary if self.context.state is COOKIE_WAIT else None
        if not is_proven:
            return path
        paths.learn(path, route)
        is_usual = path.route == route or not path.route.local or route.local in paths.local.barred
        path.reply_route = path.route if is_usual else route
        self._route = route
        self._path = path
        return path

    def forget_path(self, path: Path, successor: Path) -> None:
        """Look up anew which path the next packet came over, as paths have changed."""
        self._path = None

    def _flush_reconfig(self, data: EstablishedData) -> None:
        """Carry out what waited for data to come or go, which may deliver messages in the middle of this step; send
        what has become due by that, and go on with a shutdown that waited for the same.
        """
        context, parts = self.context, self._parts
        was_at_work = context.is_at_work
        context.is_at_work = True
        try:
            while data is parts.data and data.reconfig is not None and data.reconfig.advance():
                if context.state is not ESTABLISHED:
                    data.shutdown.advance()
                self._packetizer.flush(self._parts.data)
        finally:
            context.is_at_work = was_at_work


def _check_names(options: Mapping[str, Any], known: frozenset[str]) -> None:
    unknown = options.keys() - known
    if unknown:
        raise TypeError(f"{', '.join(sorted(unknown))}: no such option; a message has {', '.join(sorted(known))}")


#: Makes the user of an association, before anything happens to that.
MakeUser = Callable[[Association], AssociationUser]
