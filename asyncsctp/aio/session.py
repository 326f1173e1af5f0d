"""One association on its event loop: its core, the engine that sends for it, and whether it has ended.

Readers, writers and receipts hold it. Where messages arrive is in `inbox`, where they are written in `outlet`; `driver`
hears from the core, and says here that the association has ended.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mypy_extensions import mypyc_attr

from ..association.association import Association as Core
from ..errors import AssociationClosed, EndOfStream, SCTPError
from ..handlers.request import Ticket
from ..handlers.state import CLOSED, ESTABLISHED, FORMING
from .engine import Engine
from .flow_control import WaitList


@mypyc_attr(allow_interpreted_subclasses=True)
class Session:
    """What the parts of one association in this package share."""

    __slots__ = ("changes", "core", "ended", "engine", "error", "is_complete")

    def __init__(self, core: Core, engine: Engine) -> None:
        self.core = core
        self.engine = engine
        #: Woken by every event, and by the end.
        self.changes = WaitList()
        self.ended = False
        #: What ended it, if it was not the graceful end.
        self.error: SCTPError | None = None
        #: The peer has shut down, and each side has all that the other sent, although the end may still take time.
        self.is_complete = False

    def __repr__(self) -> str:
        core = self.core
        address = core.path_manager.primary.route.address
        return f"<Association with {address} port {core.context.peer_port}: {core.state.value}>"

    @property
    def takes_messages(self) -> bool:
        """Whether messages can be written."""
        return not self.ended and self.core.state is ESTABLISHED

    def check_alive(self) -> Core:
        """Return the core. Raises what ended the association, or `AssociationClosed`, if it has ended."""
        if self.ended:
            raise self.closed_error()
        return self.core

    def closed_error(self) -> SCTPError:
        """Return what to raise at one who writes after the end."""
        return AssociationClosed("the association has ended") if self.error is None else self.error.with_traceback(None)

    def end_of_stream(self) -> Exception:
        """Return what to raise at one who reads when no more messages come."""
        if self.error is not None:
            return self.error.with_traceback(None)
        return EndOfStream("the association has ended" if self.ended else "the peer has shut the association down")

    def flush(self) -> None:
        """Send at once what the core has to send."""
        self.engine.flush(self.core)

    def flush_soon(self, size: int = 0) -> None:
        """Send at the end of this turn of the loop, in which so many more bytes were written."""
        self.engine.flush_soon(self.core, size)

    def consumed(self, charge: int) -> None:
        """Open the receive window by what the application has read (RFC 9260 section 6.2)."""
        if self.core.consumed(charge) and not self.ended:
            self.engine.flush_soon(self.core)

    def deliver_parts(self, sid: int, wanted: bool) -> None:
        """Ask for the messages of a stream in parts, or whole again."""
        if not self.ended:
            self.core.deliver_parts(sid, wanted)

    def is_idle(self, sid: int) -> bool:
        """Return whether nothing was written to this stream while it was reset."""
        return self.core.state is CLOSED or self.core.reconfig.is_unused(sid)

    def peer_address(self, name: str, address: Any) -> str:
        """Return one of the peer's addresses in its one spelling.

        `TypeError` or `ValueError` names the argument that is none.
        """
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

    def abort(self, reason: bytes) -> None:
        """End the association at once (RFC 9260 section 9.1)."""
        if not self.ended:
            self.core.abort(self.engine.now(), reason)
            self.flush()

    async def established(self) -> None:
        """Wait for the handshake. Raises what it failed for."""
        while not self.ended and self.core.state in FORMING:
            await self.changes.wait()
        self.check_alive()

    # What the user asks the peer for: addresses (RFC 5061) and streams (RFC 6525).

    def ask(self, ticket: Ticket, then: Callable[[bool], object] | None = None) -> Ticket:
        """Let a request leave, and return its ticket; `then` is told whether all was done as asked, once it is done."""

        def done() -> None:
            if then is not None:
                then(ticket.is_ok)
            self.changes.wake()

        if ticket.is_done:
            done()
        else:
            ticket.on_done = done
        self.flush_soon()
        return ticket

    async def answered(self, ticket: Ticket) -> bool:
        """Wait until a request is done, or the association has ended; return whether all was done as asked.

        Cancelling the wait does not withdraw the request.
        """
        while not ticket.is_done and not self.ended:
            await self.changes.wait()
        return ticket.is_ok

    async def carry_out(self, ticket: Ticket) -> None:
        """Let a request leave, and wait until it is done. Raises why not all was done as asked."""
        if not await self.answered(self.ask(ticket)) and ticket.error is not None:
            raise ticket.error.with_traceback(None)

    # The end.

    async def wait_ended(self) -> None:
        """Wait for the end, whichever it is, and for that of the sockets if they end with it."""
        while not self.ended:
            await self.changes.wait()
        await self.engine.wait_ended()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what `Association.get_extra_info` does."""
        core = self.core
        sockets = self.engine.sockets
        route = core.path_manager.primary.route
        match name:
            case "peername":
                return route.address, core.context.peer_port
            case "sockname":
                return route.local, core.context.local_port
            case "send_failures":
                return dict(sockets.failures)
            case "adaptation_indication":
                setup = core.context.setup
                return default if setup is None or setup.adaptation is None else setup.adaptation
            case "peer_udp_port":
                return route.udp_port
            case "udp_port":
                return sockets.info(route.local, "sockname", (route.local, default))[1]
            case _:
                return sockets.info(route.local, name, default)
