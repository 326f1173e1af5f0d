"""An association as a program sees it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, final

from ..config import Config
from ..errors import EndOfStream, SCTPError
from ..events import Event
from ..handlers.state import State
from ..outbound.message import LIMITED, PRIORITY, RELIABLE, TIMED
from ..statistics import Statistics
from . import reconfiguration
from .addresses.addresses import DynamicAddresses
from .authentication import Authenticated
from .driver import Driver, check_stream
from .path_settings import PathControl
from .receipts import Receipt
from .streams import Message, StreamReader, StreamWriter

if TYPE_CHECKING:
    from ..association.association import Association as Core
    from ..handlers.setup.agreement import Setup
    from ..udp.datagram import Address

_POLICIES: Final = {RELIABLE: "withdrawn", TIMED: "timed", LIMITED: "limited", PRIORITY: "priority"}

_LONGEST_REASON: Final = 512


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


def _negotiated(setup: Setup | None) -> Negotiated:
    if setup is None:
        return Negotiated()
    return Negotiated(
        partial_reliability=setup.partial_reliability,
        interleaving=setup.interleaving,
        stream_reconfig=setup.stream_reconfig,
        ecn=setup.ecn,
        auth=setup.auth is not None,
        dynamic_addresses=setup.dynamic_addresses,
        nat_support=setup.disable_restart,
    )


@final
class Association(Authenticated, DynamicAddresses, PathControl, asyncio.DatagramProtocol):
    """An SCTP association: messages on streams, to a peer that may have several addresses (RFC 9260 section 1.3).

    Made by `connect`, by an `Endpoint`, or for the handler of `serve`. As a context manager it shuts down gracefully
    when left, or aborts when an exception leaves it. Not for use by several threads.
    """

    __slots__ = ("__weakref__",)

    def __init__(self, driver: Driver) -> None:
        """Not for users."""
        self._driver = driver

    # Streams.

    def open_stream(self, sid: int | None = None) -> tuple[StreamReader, StreamWriter]:
        """Claim a stream: its messages go to the reader alone, those too that nobody has read yet.

        Without `sid` it is the lowest that neither side has used, or that both have reset. `ValueError` for one that is
        claimed already, or was and is not yet reset in both directions, or out of the range of streams in both
        directions; `SCTPError` if none is unused; `AssociationClosed` after the end.
        """
        driver = self._driver
        if sid is None:
            driver.check_alive()
            sid = driver.lowest_unused(min(self.outgoing_streams, self.incoming_streams))
            if sid < 0:
                raise SCTPError("every stream has been used")
        else:
            most = max(self.outgoing_streams, self.incoming_streams)
            if not 0 <= check_stream(sid) < most:
                driver.check_alive()
                raise ValueError(f"sid must be between 0 and {most - 1}, not {sid}")
        return driver.claim(sid), StreamWriter(driver, sid)

    async def accept_stream(self) -> tuple[StreamReader, StreamWriter]:
        """Wait for a message on a stream that nobody has claimed, and claim that stream; the reader has the message.

        Raises what `recv` does, and `RuntimeError` if another coroutine is waiting here.
        """
        reader = await self._driver.accept()
        return reader, StreamWriter(self._driver, reader.stream)

    # Messages.

    def write(
        self,
        data: bytes | bytearray | memoryview,
        *,
        stream: int = 0,
        ppid: int = 0,
        unordered: bool = False,
        lifetime: float | asyncio.Timeout | None = None,
        max_retransmits: int | None = None,
        priority: int | None = None,
        sack_immediately: bool = False,
        context: object = None,
        path: str | None = None,
        auth_key: int | None = None,
    ) -> Receipt:
        """`StreamWriter.write` for a stream that need not be claimed; `stream` is 0 to `outgoing_streams` - 1."""
        if type(stream) is not int:
            check_stream(stream)
        receipt = self._driver.write(
            stream,
            data,
            ppid,
            unordered,
            sack_immediately,
            lifetime,
            max_retransmits,
            priority,
            context,
            path,
            auth_key,
        )
        self._driver.use_outgoing(stream)
        return receipt

    async def send(
        self,
        data: bytes | bytearray | memoryview,
        *,
        stream: int = 0,
        ppid: int = 0,
        unordered: bool = False,
        lifetime: float | asyncio.Timeout | None = None,
        max_retransmits: int | None = None,
        priority: int | None = None,
        sack_immediately: bool = False,
        context: object = None,
        path: str | None = None,
        auth_key: int | None = None,
    ) -> Receipt:
        """`write`, then wait while the send buffer is too full, as `StreamWriter.drain` does."""
        driver = self._driver
        if type(stream) is not int:
            check_stream(stream)
        receipt = driver.write(
            stream,
            data,
            ppid,
            unordered,
            sack_immediately,
            lifetime,
            max_retransmits,
            priority,
            context,
            path,
            auth_key,
        )
        driver.use_outgoing(stream)
        if driver.sending.credit < 0:
            await driver.drain(stream)
        return receipt

    def write_many(
        self,
        messages: Iterable[bytes | bytearray | memoryview],
        *,
        stream: int = 0,
        ppid: int = 0,
        unordered: bool = False,
        sack_immediately: bool = False,
    ) -> None:
        """`StreamWriter.write_many` for a stream that need not be claimed."""
        self._driver.write_many(check_stream(stream), messages, ppid, unordered, sack_immediately)
        self._driver.use_outgoing(stream)

    async def drain(self, stream: int = 0) -> None:
        """`StreamWriter.drain` for a stream that need not be claimed."""
        await self._driver.drain(check_stream(stream))

    async def recv(self) -> Message:
        """The next message of any stream that is not claimed, in order of arrival. Waits and raises as
        `StreamReader.read`.
        """
        return await self._driver.receive()

    async def recv_many(self, limit: int | None = None) -> list[Message]:
        """The messages of streams that are not claimed, as `StreamReader.read_many`."""
        return await self._driver.receive_many(limit)

    def __aiter__(self) -> Association:
        return self

    async def __anext__(self) -> Message:
        try:
            return await self._driver.receive()
        except EndOfStream:
            raise StopAsyncIteration from None

    async def flush(self) -> None:
        """Wait until all that was written has been acknowledged. Raises the association's error if it failed before."""
        await self._driver.flush_written()

    # Stream reconfiguration (RFC 6525).

    async def reset_streams(self, outgoing: Iterable[int] | None = None, incoming: Iterable[int] | None = None) -> None:
        """Let the sequence numbers of these streams begin anew, and wait for the peer's answer.

        An empty list means all streams of that direction, None none. Ours are reset after what was written to them
        before; what is written meanwhile leaves after the reset. The readers of streams that were reset come to their
        end. Requests are sent one at a time, in order; cancelling the wait does not withdraw one.

        `ReconfigError`, with the peer's result code, if it did not agree, or if RFC 6525 was not negotiated;
        `ValueError` for ids out of range.
        """
        await reconfiguration.reset_streams(self._driver, outgoing, incoming)

    async def reset_tsns(self) -> None:
        """Let TSNs and all sequence numbers of both sides begin anew, once all that was written has been acknowledged.

        What is written meanwhile leaves after it. Readers go on. Raises as `reset_streams` does.
        """
        await reconfiguration.reset_tsns(self._driver)

    async def add_streams(self, outgoing: int = 0, incoming: int = 0) -> None:
        """Add so many streams, and wait for the peer's answer.

        `ValueError` if there were more than 65535 of either direction then; else raises as `reset_streams` does.
        """
        await reconfiguration.add_streams(self._driver, outgoing, incoming)

    def set_stream_priority(self, sid: int, value: int) -> None:
        """Tell the scheduler what it needs to know of a stream (RFC 8260 section 3): with `Priority` the smaller value
        goes first, with `WeightedFairQueueing` it is the weight. The others don't look at it.

        `ValueError` for a stream or a value out of range, `AssociationClosed` after the end. A scheduler that is put in
        later by `configure` is told the values too, as far as it takes them.
        """
        self._driver.set_priority(check_stream(sid), value)

    def abandoned(self, stream: int | None = None) -> dict[str, Abandoned]:
        """How many messages were given up, of one stream or of all, by policy: `"timed"`, `"limited"`, `"priority"`,
        and `"withdrawn"` (RFC 7496 sections 4.3 and 4.4).
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
        await self._driver.close()

    def abort(self, reason: bytes = b"") -> None:
        """End at once, and tell the peer (RFC 9260 section 9.1); what was not delivered is lost. Nothing after the end.

        `reason` (at most 512 bytes) travels in a User-Initiated Abort cause.
        """
        if not isinstance(reason, bytes):
            raise TypeError(f"reason must be bytes, not {reason!r}")
        if len(reason) > _LONGEST_REASON:
            raise ValueError(f"reason must have at most {_LONGEST_REASON} bytes, not {len(reason)}")
        self._driver.abort(reason)

    async def wait_closed(self) -> None:
        """Wait for the end; raises the association's error if it did not end gracefully.

        It begins nothing: without `close`, on either side, it waits for ever. Where only the peer's SHUTDOWN COMPLETE
        is missing, it waits `Config.close_timeout` seconds for that, and then the association ends gracefully.

        One that `connect` made has a UDP port of its own, which the next endpoint can bind then; if the system has
        chosen it, others only after some moments, in which a lost SHUTDOWN COMPLETE is sent again (section 8.4).
        """
        await self._driver.wait_closed()
        if self._driver.error is not None:
            raise self._driver.closed_error()

    def is_closing(self) -> bool:
        """Whether the association takes no more messages: it is shutting down, or has ended."""
        return not self._driver.takes_messages

    async def __aenter__(self) -> Association:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc_type is not None:
            self.abort()
        await self.close()

    # Notifications.

    def events(self) -> AsyncIterator[Event]:
        """What happens from now on beside messages (`asyncsctp.events`); ends with the association.

        Costs nothing while nobody listens. It keeps 1,024 events at most; then the oldest are dropped.
        """
        return self._driver.listen()

    # Snapshots.

    @property
    def core(self) -> Core:
        """The state machine behind it. Not for users."""
        return self._driver.core

    _core = core

    @property
    def state(self) -> State:
        """The state of RFC 9260 section 4."""
        return self._core.state

    @property
    def stats(self) -> Statistics:
        """A copy of the counters."""
        return dataclasses.replace(self._core.statistics)

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
        return _negotiated(self._core.context.setup)

    @property
    def config(self) -> Config:
        """The settings in force; `recv_buffer` is what the socket's buffer allows."""
        return self._core.context.config

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Of asyncio's names `"peername"` and `"sockname"` (primary address and SCTP port) and `"socket"` (UDP), and
        beside these `"udp_port"`, `"peer_udp_port"`, and `"adaptation_indication"`, which the peer gave in the
        handshake (RFC 5061 section 4.2.6), before anybody could listen to events.
        """
        return self._driver.get_extra_info(name, default)

    def __repr__(self) -> str:
        try:
            peer = f"{self.peer} port {self.peer_port}"
        except AttributeError:
            peer = "nobody yet"
        return f"<Association with {peer}: {self.state.value}>"

    # asyncio.DatagramProtocol: what its endpoint calls.

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """A UDP datagram that came to the local address of the primary path."""
        self._driver.engine.sockets.inject(self._core.path_manager.primary.route.local, data, addr)

    def connection_lost(self, exc: Exception | None) -> None:
        """The UDP socket has failed."""
        if not self._driver.ended:
            self.abort()
