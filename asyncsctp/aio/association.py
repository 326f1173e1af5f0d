"""An association as a program sees it.

What it does is in the parts that it holds: `inbox`, `outlet` and `driver`, and in the core behind `session`.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Unpack, final

from ..checks import check_int
from ..config import LIVE_FIELDS, PATH_FIELDS, Config, LiveChanges, PathChanges
from ..errors import EndOfStream, SCTPError
from ..events import Event
from ..handlers.state import State
from ..outbound.message import LIMITED, PRIORITY, RELIABLE, TIMED
from ..path_state import PathState
from ..statistics import Statistics
from .addresses.address_book import AddressBook
from .addresses.dynamic_addresses import DynamicAddresses
from .driver import Driver
from .outlet import SendOptions
from .reader import Message, StreamReader
from .receipts import Receipt
from .writer import Data, StreamWriter

if TYPE_CHECKING:
    from ..association.association import Association as Core
    from ..udp.datagram import Address

    Protocol = object  # users never call its methods, so that editors don't list them
else:
    Protocol = asyncio.DatagramProtocol


@dataclasses.dataclass(frozen=True, slots=True)
class Path:
    """One of the peer's addresses, as it was when it was asked for (RFC 9260 sections 6.3, 7.2 and 8.2).

    Times are seconds: `srtt` and `rttvar` are None before the first measurement. `cwnd`, `ssthresh` and `flight` are
    bytes; `mtu` is the largest IP packet. `local` is our address that packets leave from, `udp_port` the peer's UDP
    port. `error_count` are the time-outs since the last answer: above `max_retrans` the path is INACTIVE, and above
    `pf_threshold`, where that is not None, POTENTIALLY_FAILED (RFC 7829). `heartbeat_interval` and `dscp` are as in
    `Config`; `Association.configure_path` changes the last four, and `mtu`.
    """

    address: str
    state: PathState
    primary: bool
    srtt: float | None
    rttvar: float | None
    rto: float
    cwnd: int
    ssthresh: int
    flight: int
    mtu: int
    error_count: int
    local: str
    udp_port: int
    heartbeat_interval: float | None
    max_retrans: int
    pf_threshold: int | None
    dscp: int


@dataclasses.dataclass(frozen=True, slots=True)
class Negotiated:
    """The extensions in force: those that both sides offered. Named as in `Config`; `"ecn" in negotiated` asks the
    same.
    """

    partial_reliability: bool = False
    interleaving: bool = False
    stream_reconfig: bool = False
    ecn: bool = False
    auth: bool = False
    dynamic_addresses: bool = False
    nat_support: bool = False

    def __contains__(self, name: object) -> bool:
        return name in tuple(self)

    def __iter__(self) -> Iterator[str]:
        return (field.name for field in dataclasses.fields(self) if getattr(self, field.name))


class Abandoned(NamedTuple):
    """Messages that were given up: before anything of them had left, and after (RFC 7496 section 4.3)."""

    unsent: int
    sent: int


_POLICIES: Final = {RELIABLE: "withdrawn", TIMED: "timed", LIMITED: "limited", PRIORITY: "priority"}
_LONGEST_REASON: Final = 512


class _Quiet(type):
    """The type of a class that does not list what makes it an asyncio protocol, in `dir` and so in `help`."""

    def __dir__(cls) -> list[str]:
        return [name for name in super().__dir__() if not hasattr(asyncio.DatagramProtocol, name) or name[0] == "_"]


@final
class Association(Protocol, metaclass=_Quiet):
    """An SCTP association: messages on streams, to a peer that may have several addresses (RFC 9260 section 1.3).

    Made by `connect`, by an `Endpoint`, or for the handler of `serve`. As a context manager it shuts down gracefully
    when left, or aborts when an exception leaves it. Not for use by several threads.

    It is an `asyncio.DatagramProtocol`: its endpoint tells it by `connection_lost` that a UDP socket has failed, and
    `datagram_received` takes a datagram as if it had come to the local address of the primary path.
    """

    __slots__ = ("__weakref__", "_book", "_driver", "_dynamic_addresses", "_session")

    def __init__(self, driver: Driver, book: AddressBook) -> None:
        """Not for users."""
        self._driver = driver
        self._session = driver.session
        self._book = book
        self._dynamic_addresses: DynamicAddresses | None = None

    @property
    def _addresses(self) -> DynamicAddresses:
        """Our addresses, and changing them; made when they are first asked for."""
        if self._dynamic_addresses is None:
            self._dynamic_addresses = DynamicAddresses(self._session, self._book)
        return self._dynamic_addresses

    def __dir__(self) -> list[str]:
        return dir(type(self))

    # Streams.

    def open_stream(self, sid: int | None = None) -> tuple[StreamReader, StreamWriter]:
        """Claim a stream: its messages go to the reader alone, those too that nobody has read yet.

        Without `sid` it is the lowest that neither side has used, or that both have reset. `ValueError` for one that is
        claimed already, or was and is not yet reset in both directions, or out of the range of streams in both
        directions; `SCTPError` if none is unused; `AssociationClosed` after the end.
        """
        inbox = self._driver.inbox
        if sid is None:
            self._session.check_alive()
            sid = inbox.lowest_unused(min(self.outgoing_streams, self.incoming_streams))
            if sid < 0:
                raise SCTPError("every stream has been used")
        else:
            most = max(self.outgoing_streams, self.incoming_streams)
            if not 0 <= check_int("sid", sid) < most:
                self._session.check_alive()
                raise ValueError(f"sid must be between 0 and {most - 1}, not {sid}")
        return inbox.claim(sid), self._writer(sid)

    async def accept_stream(self) -> tuple[StreamReader, StreamWriter]:
        """Wait for a message on a stream that nobody has claimed, and claim that stream; the reader has the message.

        Raises what `recv` does, and `RuntimeError` if another coroutine is waiting here.
        """
        reader = await self._driver.inbox.accept()
        return reader, self._writer(reader.stream)

    def _writer(self, sid: int) -> StreamWriter:
        return StreamWriter(self._session, self._driver.outlet, self._driver.inbox, sid)

    # Messages.

    def write(
        self, data: Data, *, stream: int = 0, ppid: int = 0, unordered: bool = False, **options: Unpack[SendOptions]
    ) -> Receipt:
        """Queue one message, as `StreamWriter.write`, on a stream that need not be claimed.

        `stream` is 0 to `outgoing_streams` - 1.
        """
        if type(stream) is not int:
            check_int("stream", stream)
        receipt = self._driver.outlet.write(stream, data, ppid, unordered, options)
        self._driver.inbox.use_outgoing(stream)
        return receipt

    async def send(
        self, data: Data, *, stream: int = 0, ppid: int = 0, unordered: bool = False, **options: Unpack[SendOptions]
    ) -> Receipt:
        """Write one message, then wait while the send buffer is too full, as `StreamWriter.drain` does."""
        if type(stream) is not int:
            check_int("stream", stream)
        outlet = self._driver.outlet
        receipt = outlet.write(stream, data, ppid, unordered, options)
        self._driver.inbox.use_outgoing(stream)
        if outlet.buffer.credit < 0:
            await outlet.drain(stream)
        return receipt

    def write_many(
        self,
        messages: Iterable[Data],
        *,
        stream: int = 0,
        ppid: int = 0,
        unordered: bool = False,
        sack_immediately: bool = False,
    ) -> None:
        """Write several messages, as `StreamWriter.write_many`, to a stream that need not be claimed."""
        check_int("stream", stream)
        self._driver.outlet.write_many(stream, messages, ppid, unordered, sack_immediately)
        self._driver.inbox.use_outgoing(stream)

    async def drain(self, stream: int = 0) -> None:
        """Wait as `StreamWriter.drain`, for a stream that need not be claimed."""
        await self._driver.outlet.drain(check_int("stream", stream))

    async def recv(self) -> Message:
        """Return the next message of the streams that are not claimed, in order of arrival.

        Waits and raises as `StreamReader.read`.
        """
        return await self._driver.inbox.unclaimed.read()

    async def recv_many(self, limit: int | None = None) -> list[Message]:
        """Return the messages of streams that are not claimed, as `StreamReader.read_many`."""
        return await self._driver.inbox.unclaimed.read_many(limit)

    def __aiter__(self) -> Association:
        return self

    async def __anext__(self) -> Message:
        try:
            return await self._driver.inbox.unclaimed.read()
        except EndOfStream:
            raise StopAsyncIteration from None

    async def flush(self) -> None:
        """Wait until all that was written has been acknowledged. Raises the association's error if it failed before."""
        await self._driver.outlet.flush()

    # Stream reconfiguration (RFC 6525).

    async def reset_streams(self, outgoing: Iterable[int] | None = None, incoming: Iterable[int] | None = None) -> None:
        """Let the sequence numbers of these streams begin anew, and wait for the peer's answer.

        An empty list means all streams of that direction, None none. Ours are reset after what was written to them
        before; what is written meanwhile leaves after the reset. The readers of streams that were reset come to their
        end. Requests are sent one at a time, in order; cancelling the wait does not withdraw one.

        `ReconfigError`, with the peer's result code, if it did not agree, or if RFC 6525 was not negotiated;
        `ValueError` for ids out of range.
        """
        ours = None if outgoing is None else [check_int("a stream in outgoing", sid) for sid in outgoing]
        theirs = None if incoming is None else [check_int("a stream in incoming", sid) for sid in incoming]
        await self._session.carry_out(self._session.check_alive().reconfig.reset_streams(ours, theirs))

    async def reset_tsns(self) -> None:
        """Let TSNs and all sequence numbers of both sides begin anew, once all that was written has been acknowledged.

        What is written meanwhile leaves after it. Readers go on. Raises as `reset_streams` does.
        """
        await self._session.carry_out(self._session.check_alive().reconfig.reset_tsns())

    async def add_streams(self, outgoing: int = 0, incoming: int = 0) -> None:
        """Add so many streams, and wait for the peer's answer.

        `ValueError` if there were more than 65535 of either direction then; else raises as `reset_streams` does.
        """
        ours, theirs = check_int("outgoing", outgoing), check_int("incoming", incoming)
        await self._session.carry_out(self._session.check_alive().reconfig.add_streams(ours, theirs))

    def set_stream_priority(self, sid: int, value: int) -> None:
        """Tell the scheduler what it needs to know of a stream (RFC 8260 section 3): with `Priority` the smaller value
        goes first, with `WeightedFairQueueing` it is the weight. The others don't look at it.

        `ValueError` for a stream or a value out of range, `AssociationClosed` after the end. A scheduler that is put in
        later by `configure` is told the values too, as far as it takes them.
        """
        self._driver.outlet.set_priority(check_int("sid", sid), value)

    def abandoned(self, stream: int | None = None) -> dict[str, Abandoned]:
        """Return how many messages were given up, of one stream or of all (RFC 7496 sections 4.3 and 4.4).

        They are counted by policy: `"timed"`, `"limited"`, `"priority"`, and `"withdrawn"`.
        """
        counts = {name: [0, 0] for name in _POLICIES.values()}
        for (sid, policy), (unsent, sent) in self._core.abandoned().items():
            if stream is None or sid == stream:
                counts[_POLICIES[policy]][0] += unsent
                counts[_POLICIES[policy]][1] += sent
        return {name: Abandoned(unsent, sent) for name, (unsent, sent) in counts.items()}

    # The end.

    async def close(self) -> None:
        """Deliver what was written, then shut down (RFC 9260 section 9.2), and wait for the end. Idempotent.

        After `Config.close_timeout` seconds the association is aborted; if only the peer's SHUTDOWN COMPLETE is missing
        then, it ends gracefully. No error is raised, whichever the end: ask `wait_closed`.
        """
        if not self._session.ended:
            self._core.shutdown(self._session.engine.now())
            self._session.flush()
        await self._wait_ended(abort=True)

    def abort(self, reason: bytes = b"") -> None:
        """End at once, and tell the peer (RFC 9260 section 9.1); what was not delivered is lost. Nothing after the end.

        `reason` (at most 512 bytes) travels in a User-Initiated Abort cause.
        """
        if not isinstance(reason, bytes):
            raise TypeError(f"reason must be bytes, not {reason!r}")
        if len(reason) > _LONGEST_REASON:
            raise ValueError(f"reason must have at most {_LONGEST_REASON} bytes, not {len(reason)}")
        self._session.abort(reason)

    async def wait_closed(self) -> None:
        """Wait for the end; raises the association's error if it did not end gracefully.

        It begins nothing: without `close`, on either side, it waits for ever. Where only the peer's SHUTDOWN COMPLETE
        is missing, it waits `Config.close_timeout` seconds for that, and then the association ends gracefully.

        One that `connect` made has a UDP port of its own, which the next endpoint can bind then; if the system has
        chosen it, others only after some moments, in which a lost SHUTDOWN COMPLETE is sent again (section 8.4).
        """
        session = self._session
        while not session.ended and not session.is_complete:
            await session.changes.wait()
        # The peer may be gone, and T2-shutdown takes minutes to say so.
        await self._wait_ended(abort=False)
        if session.error is not None:
            raise session.closed_error()

    async def _wait_ended(self, *, abort: bool) -> None:
        """Wait for the end. After `Config.close_timeout` seconds end gracefully if nothing is missing but the peer's
        last word; if more is, `abort`, or wait on.
        """
        session = self._session

        def give_up() -> None:
            if not session.ended and session.core.leave(session.engine.now()):
                session.flush()
            if abort:
                session.abort(b"")

        if not session.ended:
            limit = session.engine.loop.call_later(self.config.close_timeout, give_up)
            try:
                await session.wait_ended()
            finally:
                limit.cancel()
        await session.wait_ended()

    def is_closing(self) -> bool:
        """Return whether the association takes no more messages: it is shutting down, or has ended."""
        return not self._session.takes_messages

    async def __aenter__(self) -> Association:
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        if exc_type is not None:
            self.abort()
        await self.close()

    # Notifications.

    def events(self) -> AsyncIterator[Event]:
        """Return what happens from now on beside messages (`asyncsctp.events`); ends with the association.

        Costs nothing while nobody listens. It keeps 1,024 events at most; then the oldest are dropped.
        """
        return self._driver.listen()

    # Our own addresses (RFC 5061).

    @property
    def local_addrs(self) -> tuple[str, ...]:
        """Our addresses that this association uses."""
        return self._core.path_manager.local.sources

    async def add_local_address(self, addr: str) -> None:
        """Use one more address of this machine, and wait until the peer has agreed (RFC 5061 section 4.2.1).

        Cancelling the wait does not withdraw the request. `AsconfError`, with the peer's error causes, if it did not
        agree, or if it can't be asked: RFC 5061 was not negotiated, the association is shutting down, the peer has
        restarted it meanwhile; then the address is not used. `OSError` if it is not the machine's, `ValueError` if it
        is in use already or still being removed, or is no unicast address; `AssociationClosed`, or the association's
        error, if that has ended. An address that means nothing where the peer is, as a private one behind a NAT, is
        told as the one that the request comes from (section 5.3, 0.0.0.0 or ::).
        """
        await self._addresses.add_local_address(addr)

    async def remove_local_address(self, addr: str) -> None:
        """Use an address no more, and wait until the peer has agreed (section 4.2.2). Raises as `add_local_address`.

        `ValueError` if it is not in use, or is the last one from which the peer can be reached.
        """
        await self._addresses.remove_local_address(addr)

    async def request_peer_primary(self, addr: str) -> None:
        """Ask the peer to send to this address of ours (section 4.2.4), and wait until it has agreed.

        Raises as `add_local_address`; `ValueError` if the address is not in use.
        """
        await self._addresses.request_peer_primary(addr)

    # Paths and settings. What changes something raises `AssociationClosed`, or the association's error, after the end.

    @property
    def peer(self) -> str:
        """The peer's primary address."""
        return self._core.path_manager.primary.route.address

    @property
    def paths(self) -> list[Path]:
        """The peer's addresses and what is known of the way to each."""
        session, core = self._session, self._core
        manager = core.path_manager
        return [
            Path(
                address=path.route.address,
                state=path.state,
                primary=path is manager.primary,
                srtt=path.rto.srtt if path.rto.measured else None,
                rttvar=path.rto.rttvar if path.rto.measured else None,
                rto=path.rto.rto,
                cwnd=path.congestion.cwnd,
                ssthresh=path.congestion.ssthresh,
                flight=core.in_flight(path.path_id),
                mtu=path.mtu,
                error_count=path.error_count,
                local=path.route.local,
                udp_port=path.route.udp_port,
                heartbeat_interval=path.settings.heartbeat_interval,
                max_retrans=path.settings.max_retrans,
                pf_threshold=path.settings.pf_threshold,
                dscp=session.engine.core.config.dscp if path.settings.dscp < 0 else path.settings.dscp,
            )
            for path in manager.paths
        ]

    def set_primary_path(self, addr: str) -> None:
        """Send to this address of the peer while it works (RFC 9260 section 6.4).

        `ValueError` if it is not one of the peer's; `TypeError` for a wrong type.
        """
        self._session.check_alive().set_primary(self._session.peer_address("addr", addr))

    async def heartbeat(self, addr: str | None = None) -> float:
        """Send a HEARTBEAT now (RFC 9260 section 8.3), to the primary address by default; return the round trip in
        seconds.

        `TimeoutError` without an answer within the path's RTO, and at once if nothing can be sent there, or the address
        is removed meanwhile; `ValueError` for an address that is not the peer's; `AssociationClosed` if the association
        is shutting down, that or its error if it has ended.
        """
        return await self._driver.heartbeat(self.peer if addr is None else self._session.peer_address("addr", addr))

    def configure(self, **changes: Unpack[LiveChanges]) -> None:
        """Change settings of this association alone: timers, thresholds, delays, buffers, scheduler, congestion
        controller. What `configure_path` has set stays.

        `ValueError` for fields that a live association can't change, and for values out of range; `TypeError` for a
        wrong type.
        """
        for field in changes:
            if field not in LIVE_FIELDS:
                if field in PATH_FIELDS:
                    raise ValueError(f"{field} can be changed for each path: configure_path")
                allowed = ", ".join(sorted(LIVE_FIELDS))
                raise ValueError(f"{field} can't be changed in a live association; these can: {allowed}")
        session = self._session
        config = self.config.replace(**changes)
        session.check_alive()
        config = config.replace(recv_buffer=session.engine.sockets.window(config.recv_buffer))
        session.core.configure(config, session.engine.now())
        self._driver.outlet.buffer.resize(config.send_buffer)
        session.flush()

    def configure_path(self, addr: str, **changes: Unpack[PathChanges]) -> None:
        """Change settings of the path to one of the peer's addresses; those that are not given stay as they are.

        They mean what the fields of `Config` mean, `max_retrans` what `path_max_retrans` does, and `configure` leaves
        them alone from now on. `mtu` None is the size that `Config.mtu` None begins with. `ValueError` for an address
        that is not the peer's, or a value out of range; `TypeError` for a wrong type.
        """
        for field in changes:
            if field not in PATH_FIELDS:
                raise TypeError(f"{field!r} is no setting of a path; these are: {', '.join(sorted(PATH_FIELDS))}")
        session = self._session
        core = session.check_alive()
        address = session.peer_address("addr", addr)
        path = core.path_to(address)
        before = path.mtu
        core.configure_path(address, dict(changes), session.engine.now())
        if path.mtu < before:
            session.engine.sockets.narrow(address, path.mtu)  # for what was cut for more, and is outstanding
        elif path.mtu > before:
            session.engine.sockets.widen(address)
        session.flush()

    # Shared keys (RFC 4895): those of `Config.auth_keys` at first; where there are none, key 0, the empty one, which
    # stays until it is deleted. `ValueError` where authentication was not negotiated, and for an id out of range or of
    # no key; `TypeError` for a wrong type; `AssociationClosed`, or the association's error, after the end.

    def set_auth_key(self, key_id: int, key: bytes) -> None:
        """Add a shared key, or replace the one with this id (0 to 65535).

        The peer has to have it before it can be activated here, or given as a message's `auth_key`.
        """
        self._session.check_alive().authentication.set_key(key_id, key)

    def activate_auth_key(self, key_id: int) -> None:
        """Authenticate with this key what leaves from now on, unless a message names another."""
        self._session.check_alive().authentication.activate(key_id)

    def deactivate_auth_key(self, key_id: int) -> None:
        """Write no more with this key, which must not be the active one (RFC 6458 section 8.3.4).

        What was written with it leaves with it; `AuthKeyChanged(key_id, "free")` tells when all of that has been
        acknowledged. What the peer authenticates with it is taken as before.
        """
        self._session.check_alive().authentication.deactivate(key_id)
        self._session.flush_soon()

    def delete_auth_key(self, key_id: int) -> None:
        """Forget a deactivated key: what the peer authenticates with it is discarded from now on (section 8.3.5).

        `ValueError` while it is active, not deactivated, or used by messages that are not acknowledged.
        """
        self._session.check_alive().authentication.delete(key_id)

    # Snapshots.

    @property
    def _core(self) -> Core:
        """The state machine behind it."""
        return self._session.core

    @property
    def state(self) -> State:
        """The state of RFC 9260 section 4."""
        return self._core.state

    @property
    def stats(self) -> Statistics:
        """A copy of the counters."""
        return self._core.statistics.copy()

    @property
    def local_port(self) -> int:
        """Our SCTP port."""
        return self._core.context.local_port

    @property
    def peer_port(self) -> int:
        """The peer's SCTP port."""
        return self._core.context.peer_port

    @property
    def outgoing_streams(self) -> int:
        """How many streams we can send on."""
        return self._core.outgoing_streams

    @property
    def incoming_streams(self) -> int:
        """How many streams the peer can send on."""
        return self._core.incoming_streams

    @property
    def negotiated(self) -> Negotiated:
        """The extensions in force."""
        setup = self._core.context.setup
        if setup is None:
            return Negotiated()
        return Negotiated(
            partial_reliability=setup.extensions.partial_reliability,
            interleaving=setup.extensions.interleaving,
            stream_reconfig=setup.extensions.stream_reconfig,
            ecn=setup.ecn,
            auth=setup.auth is not None,
            dynamic_addresses=setup.dynamic_addresses,
            nat_support=setup.disable_restart,
        )

    @property
    def config(self) -> Config:
        """The settings in force; `recv_buffer` is what the socket's buffer allows."""
        return self._core.context.config

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what a transport does by names of asyncio: `"peername"` and `"sockname"` (primary address and SCTP
        port), `"socket"` (UDP).

        And beside these `"udp_port"`, `"peer_udp_port"`, and `"adaptation_indication"`, which the peer gave in the
        handshake (RFC 5061 section 4.2.6), before anybody could listen to events.
        """
        return self._session.get_extra_info(name, default)

    def __repr__(self) -> str:
        return repr(self._session)

    # asyncio.DatagramProtocol: what its endpoint calls.

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """Take in a UDP datagram that came to the local address of the primary path."""
        self._session.engine.sockets.inject(self._core.path_manager.primary.route.local, data, addr)

    def connection_lost(self, exc: Exception | None) -> None:
        """Abort the association: the UDP socket has failed."""
        self.abort()
