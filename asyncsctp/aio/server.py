"""A listener with a task for each association."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, final

from ..errors import AssociationClosed, EndOfStream, SCTPError
from .association import Association
from .endpoint import Endpoint
from .flow_control import WaitList

Handler = Callable[[Association], Coroutine[Any, Any, object]]

_logger = logging.getLogger("asyncsctp.server")


@final
class Handlers:
    """The tasks of a server: one for each association, from its beginning to its end."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.tasks: set[asyncio.Task[None]] = set()

    def serve(self, association: Association) -> None:
        """Call the handler in a task of its own."""
        self.start(self._see_through(association))

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine in a task; log what it fails of."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _logger.error("closing an association failed", exc_info=error)

    async def _see_through(self, association: Association) -> None:
        """Serve one association. Nothing is left of it then, even if telling what has failed fails too."""
        try:
            await self._handler(association)
        except Exception as exc:
            errors = _ungrouped(exc)
            if association.is_closing() and all(isinstance(each, (SCTPError, EndOfStream)) for each in errors):
                _logger.info("%r ended under its handler: %s", association, errors[0])
            else:
                _logger.exception("the handler of %r failed", association)
        else:
            await association.close()
        finally:
            association.abort()


@final
class Server:
    """What `serve` gives. As a context manager it closes when left, and aborts its associations when an exception
    leaves.
    """

    __slots__ = ("_changes", "_endpoint", "_forever", "_handlers", "_is_closing")

    def __init__(self, endpoint: Endpoint, handlers: Handlers) -> None:
        """Not for users."""
        self._endpoint = endpoint
        self._handlers = handlers
        self._changes = WaitList()
        self._is_closing = False
        self._forever = False

    @property
    def associations(self) -> list[Association]:
        """Those that have not ended, the oldest first."""
        return self._endpoint.associations

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint behind it, for associations that this side sets up from the same port."""
        return self._endpoint

    @property
    def sockets(self) -> tuple[Any, ...]:
        """Its UDP sockets, one for each local address."""
        return self._endpoint.sockets

    @property
    def port(self) -> int:
        """Its SCTP port."""
        return self._endpoint.port

    @property
    def udp_port(self) -> int:
        """The UDP port of its sockets."""
        return self._endpoint.udp_port

    async def add_local_address(self, addr: str) -> None:
        """Add an address, as `Endpoint.add_local_address` does."""
        await self._endpoint.add_local_address(addr)

    async def remove_local_address(self, addr: str) -> None:
        """Remove an address, as `Endpoint.remove_local_address` does."""
        await self._endpoint.remove_local_address(addr)

    def is_serving(self) -> bool:
        """Return whether it takes new associations."""
        return not self._is_closing

    async def start_serving(self) -> None:
        """Do nothing: it serves from the beginning. `AssociationClosed` if it has been closed."""
        if self._is_closing:
            raise AssociationClosed("the server has been closed")

    async def serve_forever(self) -> None:
        """Serve until cancelled or closed, and wait for the end. `RuntimeError` if another coroutine does already."""
        await self.start_serving()
        if self._forever:
            raise RuntimeError("serve_forever is already waiting")
        self._forever = True
        try:
            while not self._is_closing:
                await self._changes.wait()
            await self.wait_closed()
        finally:
            self._forever = False
            if not self._is_closing:
                self.close()
                await self.wait_closed()

    def close(self, *, close_associations: bool = True) -> None:
        """Take no more associations; those that there are are shut down, each as `Association.close` does. Idempotent.

        With `close_associations=False` they go on until their handlers return. `wait_closed` waits for the end.
        """
        self._endpoint.stop_listening()
        self._is_closing = True
        self._changes.wake()
        if close_associations:
            for association in self._endpoint.associations:
                self._handlers.start(association.close())
        self._endpoint.close_when_idle()

    async def wait_closed(self) -> None:
        """Wait until the server was closed, all associations have ended and all handlers have returned."""
        await self._endpoint.wait_closed()
        while self._handlers.tasks:
            await asyncio.wait(self._handlers.tasks)

    async def __aenter__(self) -> Server:
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        if exc_type is not None:
            self._endpoint.abort()
            for task in self._handlers.tasks:  # their handlers may wait for what the exception keeps from coming
                task.cancel()
        self.close()
        await self.wait_closed()

    def __repr__(self) -> str:
        return f"<Server at {self._endpoint!r}>"


def _ungrouped(exc: BaseException) -> list[BaseException]:
    """Return an error, or those of a group and of the groups in it."""
    if not isinstance(exc, BaseExceptionGroup):
        return [exc]
    return [error for each in exc.exceptions for error in _ungrouped(each)]
