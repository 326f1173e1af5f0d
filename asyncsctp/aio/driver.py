"""Stands between the core of one association and its user: hands calls down with the time, and wakes those who wait.

Knows who waits for what. Does not know sockets and timers, which belong to the endpoint, nor the rules of SCTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from math import inf
from typing import TYPE_CHECKING, Any, Final, final

from ..association.association import Association as Core
from ..checks import check_bool, check_int, check_number
from ..config import Config
from ..errors import AssociationClosed, MessageAbandoned, SCTPError
from ..events import CongestionControllerFailed, Event, PartialDeliveryAborted, SchedulerFailed
from ..handlers.state import CLOSED, ESTABLISHED, State
from ..outbound.message import ANY_PATH, WHOLE, Terms, message_flags
from ..wire.constants import MASK_32
from .flow_control import SendBuffer, WaitList
from .inbox import Inbox
from .listeners import EventStream, Listeners
from .receipts import Delivery, Receipt, Watch

if TYPE_CHECKING:
    from .association import Association
    from .engine import Engine

_SETTING_UP: Final = frozenset({State.COOKIE_WAIT, State.COOKIE_ECHOED})


def frozen(data: object) -> bytes:
    """The bytes of a bytes-like object, copied only if they could change. `TypeError` for other objects."""
    if isinstance(data, bytes):
        return bytes(data)  # of a subclass
    if isinstance(data, memoryview) and type(data.obj) is bytes and data.nbytes == len(data.obj) and data.contiguous:
        return data.obj
    try:
        return bytes(memoryview(data))  # type: ignore[arg-type]  # whether it is one is asked here
    except TypeError:
        raise TypeError(f"data must be a bytes-like object, not {type(data).__name__}") from None


def check_options(ppid: object, unordered: object, sack_immediately: object) -> None:
    """A message had an unusual option: raise if it is a wrong one."""
    check_int("ppid", ppid)
    check_bool("unordered", unordered)
    check_bool("sack_immediately", sack_immediately)


def check_stream(sid: object) -> int:
    """`sid` if it can be a stream's id."""
    return check_int("stream", sid)


def _seconds(lifetime: Any) -> float:
    """From now on; an `asyncio.Timeout` says when it ends."""
    if isinstance(lifetime, asyncio.Timeout):
        when = lifetime.when()
        return inf if when is None else max(when - asyncio.get_running_loop().time(), 0.0)
    return float(check_number("lifetime", lifetime, 0, wanted="a number of seconds or an asyncio.Timeout"))


@final
class Driver(Inbox):
    """One association as its endpoint, its readers and its writers see it. The core calls its `on_*`."""

    __slots__ = (
        "_heartbeats",
        "_listeners",
        "_on_ended",
        "_priorities",
        "association",
        "changes",
        "core",
        "engine",
        "sending",
    )

    def __init__(self, engine: Engine, on_ended: Callable[[Association], None]) -> None:
        super().__init__()
        self.engine = engine
        self._on_ended = on_ended
        self.core: Core
        self.association: Association
        self.sending: SendBuffer
        self.changes = WaitList()
        self._listeners: Listeners | None = None
        self._priorities: dict[int, int] | None = None
        self._heartbeats: dict[str, list[asyncio.Future[float]]] | None = None

    def attach(self, core: Core, association: Association, send_buffer: int) -> None:
        """The two between which it stands."""
        self.core = core
        self.association = association
        self.sending = SendBuffer(core, send_buffer)

    # The core calls.

    def on_event(self, event: Event) -> None:
        """Something happened."""
        self.note(event)
        if self.changes:
            self.changes.wake()
        if self._listeners is not None:
            self._listeners.tell(event)
        if isinstance(event, (SchedulerFailed, CongestionControllerFailed)):
            self.engine.loop.call_exception_handler({"message": str(event.error), "exception": event.error})

    def on_complete(self) -> None:
        """Nothing is missing any more but the peer's SHUTDOWN COMPLETE."""
        super().on_complete()
        self.changes.wake()

    def on_writable(self) -> None:
        """There is more room in the send buffer."""
        self.sending.check()

    def on_settled(self, watcher: object, reason: str, address: str, transmissions: int) -> None:
        """A message that someone awaits was acknowledged, or given up."""
        if isinstance(watcher, Watch):
            if reason:
                watcher.settle(MessageAbandoned(reason))
            else:
                watcher.settle(Delivery(self.engine.loop.time(), address, transmissions))

    def on_heartbeat(self, address: str, round_trip: float | None) -> None:
        """A HEARTBEAT that the user asked for was answered; or it was not (None)."""
        if round_trip is None and not self.ended and self.core.state is CLOSED:
            return  # it is no longer awaited; `on_closed` tells why
        waiting = self._heartbeats.pop(address, ()) if self._heartbeats is not None else ()
        for future in waiting:
            if future.done():
                continue
            if self.ended:
                future.set_exception(self.closed_error())
            elif round_trip is None:
                future.set_exception(TimeoutError(f"{address} did not answer a HEARTBEAT"))
            else:
                future.set_result(round_trip)

    def on_closed(self, error: SCTPError | None) -> None:
        """The association has ended."""
        if self.ended:
            return
        self.ended = True
        self.error = error
        self.wake_readers()
        self.sending.release()
        self.changes.wake()
        for address in list(self._heartbeats or ()):
            self.on_heartbeat(address, None)
        if self._listeners is not None:
            self._listeners.tell(None)
        self._on_ended(self.association)

    # The user calls, through `Association`, `StreamReader` and `StreamWriter`.

    @property
    def takes_messages(self) -> bool:
        """Whether messages can be written."""
        return not self.ended and self.core.state is ESTABLISHED

    def write(
        self,
        sid: int,
        data: Any,
        ppid: Any,
        unordered: Any,
        sack_immediately: Any,
        lifetime: Any,
        max_retransmits: Any,
        priority: Any,
        context: object,
        path: Any,
        auth_key: Any,
    ) -> Receipt:
        """See `StreamWriter.write`. What the caller gave is looked at here, so that errors name it."""
        kept: bytes = data if type(data) is bytes else frozen(data)
        size = len(kept)
        if not size:
            raise ValueError("data must hold at least 1 byte")  # RFC 9260 section 3.3.1
        if type(ppid) is not int or unordered is not False or sack_immediately is not False:
            check_options(ppid, unordered, sack_immediately)
        flags = WHOLE if not unordered and not sack_immediately else message_flags(unordered, sack_immediately)
        if self.ended:
            raise self.closed_error()
        receipt = Receipt(self, sid, kept, ppid, flags, None, ANY_PATH)
        options = {
            "lifetime": None if lifetime is None else _seconds(lifetime),
            "max_retransmits": max_retransmits,
            "priority": priority,
            "context": context,
            "path": None if path is None else self.peer_address("path", path),
            "auth_key": auth_key,
        }
        if any(value is not None for value in options.values()):
            self.core.prepare(receipt, options, self.engine.now())
        self.core.sender().send(receipt)
        self.sending.credit -= size
        self.engine.flush_soon(self.core, size)
        return receipt

    def terms(self, lifetime: Any, max_retransmits: Any, context: object, auth_key: Any) -> Terms:
        """Return what is asked for a message that is written in parts (RFC 3758, RFC 7496)."""
        if auth_key is not None:
            self.check_alive()
        options = {
            "lifetime": None if lifetime is None else _seconds(lifetime),
            "max_retransmits": max_retransmits,
            "context": context,
            "auth_key": auth_key,
        }
        return self.core.terms(options, self.engine.now())

    def write_piece(self, sid: int, data: bytes, ppid: int, flags: int, terms: Terms, last: bool) -> None:
        """A piece of a message that is written in parts; see `StreamWriter.send_parts`."""
        if self.ended:
            raise self.closed_error()
        self.core.sender().send_piece(sid, data, ppid, flags, terms, last)
        self.sending.credit -= len(data)
        self.engine.flush_soon(self.core, len(data))

    @staticmethod
    def check_options(ppid: object, unordered: object) -> None:
        """Raise if one is wrong."""
        check_options(ppid, unordered, False)

    @staticmethod
    def keep(data: Any) -> bytes:
        """The bytes of what the caller gave."""
        return data if type(data) is bytes else frozen(data)

    def withdraw(self, receipt: Receipt) -> bool:
        """See `Receipt.withdraw`."""
        submission = self.core.submission
        if self.ended or submission is None or not submission.withdraw(receipt):
            return False
        self.engine.flush_soon(self.core)
        return True

    def set_priority(self, sid: int, value: Any) -> None:
        """See `Association.set_stream_priority`."""
        self.check_alive()
        self.core.sender().set_priority(sid, check_int("value", value, 0, MASK_32))
        if self._priorities is None:
            self._priorities = {}
        self._priorities[sid] = value

    def priority_of(self, sid: int) -> int | None:
        """What was last set."""
        return None if self._priorities is None else self._priorities.get(sid)

    def deliver_parts(self, sid: int, wanted: bool) -> None:
        """A reader wants its messages in parts, or no more."""
        if not self.ended:
            self.core.deliver_parts(sid, wanted)

    def on_parts_aborted(self, sid: int) -> None:
        """A message that was being delivered in parts will not be completed."""
        self.abort_parts(sid)
        if self._listeners is not None:
            self._listeners.tell(PartialDeliveryAborted(sid))

    async def drain(self, sid: int) -> None:
        """See `StreamWriter.drain`."""
        self.check_alive()
        await self.sending.wait_for_room(sid)
        self.check_alive()

    async def drain_part(self, sid: int) -> None:
        """Wait until a coroutine that writes a message in parts may write the next part."""
        self.check_alive()
        await self.sending.wait_for_part(sid)
        self.check_alive()

    async def flush_written(self) -> None:
        """See `Association.flush`."""
        if not self.ended:
            await self.sending.wait_until_dry()
        if self.error is not None:
            raise self.closed_error()

    def write_many(self, sid: int, messages: Iterable[Any], ppid: Any, unordered: Any, sack_immediately: Any) -> None:
        """See `StreamWriter.write_many`."""
        kept = [data if type(data) is bytes else frozen(data) for data in messages]
        if not all(kept):
            raise ValueError("data must hold at least 1 byte")  # RFC 9260 section 3.3.1
        check_options(ppid, unordered, sack_immediately)
        if self.ended:
            raise self.closed_error()
        self.core.send_many(sid, kept, ppid, unordered, sack_immediately)
        size = sum(map(len, kept))
        self.sending.credit -= size
        self.engine.flush_soon(self.core, size)

    def consumed(self, charge: int) -> None:
        """The application has read messages: the window may be worth an update (RFC 9260 section 6.2)."""
        if self.core.consumed(charge) and not self.ended:
            self.engine.flush_soon(self.core)

    def check_alive(self) -> None:
        """Raise what ended the association, or `AssociationClosed`, if it has ended."""
        if self.ended:
            raise self.closed_error()

    def closed_error(self) -> SCTPError:
        """What to raise at one who writes after the end."""
        return AssociationClosed("the association has ended") if self.error is None else self.error.with_traceback(None)

    async def established(self) -> None:
        """Wait for the handshake; raises what it failed for."""
        while not self.ended and self.core.state in _SETTING_UP:
            await self.changes.wait()
        self.check_alive()

    async def wait_ended(self) -> None:
        """Wait for the end, whichever it is, and for that of the sockets if they end with it."""
        while not self.ended:
            await self.changes.wait()
        await self.engine.wait_ended()

    async def wait_closed(self) -> None:
        """Wait for the end. Where nothing but the peer's SHUTDOWN COMPLETE is missing, end gracefully after
        `Config.close_timeout`, as `close` does: the peer may be gone, and T2-shutdown takes minutes to say so.
        """
        while not self.ended and not self.is_complete:
            await self.changes.wait()
        await self._wait_ended_or(self._conclude)

    def shutdown(self) -> None:
        """Begin the graceful end (RFC 9260 section 9.2)."""
        if self.core.state in _SETTING_UP:
            self.abort(b"")
        elif not self.ended:
            self.core.shutdown(self.engine.now())
            self.engine.flush(self.core)

    async def close(self) -> None:
        """The graceful end, or the other after `Config.close_timeout`."""
        self.shutdown()
        await self._wait_ended_or(self._leave)

    async def _wait_ended_or(self, give_up: Callable[[], None]) -> None:
        """Wait for the end; call `give_up` if it has not come after `Config.close_timeout` seconds."""
        if not self.ended:
            limit = self.engine.loop.call_later(self.core.context.config.close_timeout, give_up)
            try:
                await self.wait_ended()
            finally:
                limit.cancel()
        await self.wait_ended()

    def _leave(self) -> None:
        """It takes too long: end gracefully, if all has been delivered, else abort."""
        self._conclude()
        self.abort(b"")

    def _conclude(self) -> None:
        """End gracefully, if nothing is missing but the peer's last word."""
        if not self.ended and self.core.leave(self.engine.now()):
            self.engine.flush(self.core)

    def abort(self, reason: bytes) -> None:
        """End at once (RFC 9260 section 9.1)."""
        if not self.ended:
            self.core.abort(self.engine.now(), reason)
            self.engine.flush(self.core)

    def configure(self, config: Config) -> None:
        """See `Association.configure`."""
        config = config.replace(recv_buffer=self.engine.sockets.window(config.recv_buffer))
        self.core.configure(config, self.engine.now())
        self.sending.size = config.send_buffer
        self.sending.credit = 0
        self.sending.check()
        self.engine.flush(self.core)

    def listen(self) -> EventStream:
        """A listener for events."""
        if self._listeners is None:
            self._listeners = Listeners()
        stream = EventStream(self)
        self._listeners.add(stream)
        return stream

    def peer_address(self, name: str, address: Any) -> str:
        """One of the peer's addresses in its one spelling; `ValueError` names the argument that is none."""
        if not isinstance(address, str):
            raise TypeError(f"{name} must be an address of the peer, not {address!r}")
        try:
            path = self.core.path_manager.find(address)
        except ValueError:
            path = None
        if path is None:
            known = ", ".join(path.route.address for path in self.core.path_manager.paths)
            raise ValueError(f"{name} must be one of the peer's addresses ({known}), not {address!r}")
        return path.route.address

    async def heartbeat(self, address: str) -> float:
        """See `Association.heartbeat`; the address is normalized."""
        self.check_alive()
        future: asyncio.Future[float] = self.engine.loop.create_future()
        if self._heartbeats is None:
            self._heartbeats = {}
        waiting = self._heartbeats.setdefault(address, [])
        waiting.append(future)
        try:
            if len(waiting) == 1:
                self.core.heartbeat(address, self.engine.now())
                self.engine.flush(self.core)
            return await future
        finally:
            if future in waiting:
                waiting.remove(future)

    def is_idle(self, sid: int) -> bool:
        """Whether nothing was written to this stream while it was reset."""
        return self.core.context.state is State.CLOSED or self.core.reconfig.is_unused(sid)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See `Association.get_extra_info`."""
        core = self.core
        route = core.path_manager.primary.route
        match name:
            case "peername":
                return route.address, core.context.peer_port
            case "sockname":
                return route.local, core.context.local_port
            case "send_failures":
                return dict(self.engine.sockets.failures)
            case "adaptation_indication":
                setup = core.context.setup
                return default if setup is None or setup.adaptation is None else setup.adaptation
            case "peer_udp_port":
                return route.udp_port
            case "udp_port":
                return self.engine.sockets.info(route.local, "sockname", (route.local, default))[1]
            case _:
                return self.engine.sockets.info(route.local, name, default)
