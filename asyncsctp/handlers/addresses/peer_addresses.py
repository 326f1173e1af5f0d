"""The peer's addresses come and go while the association lives (RFC 5061 section 5.3).

Knows what it takes to use an address, and to use it no more: all that refers to a path lets go of it before its number
becomes another's. Whether the peer may ask for that is known by `asconf_responder`; `nat_support` has reasons too.
"""

from __future__ import annotations

from typing import final

from ...events import PeerAddressChanged
from ...paths.path import Path
from ...paths.route import Route
from ..context import Context
from ..paths.heartbeat import Heartbeat
from ..state import CLOSED


@final
class PeerAddresses:
    """The addresses of one association's peer."""

    __slots__ = ("_context", "_heartbeat")

    def __init__(self, context: Context, heartbeat: Heartbeat) -> None:
        self._context = context
        self._heartbeat = heartbeat

    def prepare(self, address: str) -> Path:
        """Return a path to what may become an address of the peer; `adopt` or `discard` it later."""
        path = self._context.paths.prepare(address)
        self._context.owner.add_path(path)
        return path

    def admit(self, route: Route) -> Path:
        """Return a path for a packet that may make its source an address of the peer; the same follows."""
        path = self.prepare(route.address)
        self._context.paths.learn(path, route)
        path.reply_route = path.route
        return path

    def adopt(self, path: Path) -> None:
        """Use a path, once it is verified (F14): that has to wait where we have no address of its family."""
        context = self._context
        context.paths.attach(path)
        context.paths.await_another()
        context.owner.add_path(path)
        context.owner.rebind()
        context.emit(PeerAddressChanged(path.route.address, "added"))
        self._heartbeat.watch(path, context.now)

    def discard(self, path: Path) -> None:
        """Forget the path that `admit` has given for a packet, unless it was adopted."""
        paths = self._context.paths
        if path not in paths.paths:
            self._context.forget_path(path, paths.data_path())
            paths.release(path)

    def remove(self, path: Path, successor: Path) -> None:
        """Use an address no more (F13). If no other one is verified, await that of the successor."""
        context = self._context
        paths = context.paths
        primary = paths.primary
        if not paths.remove(path.route.address, successor):
            return
        context.forget_path(path, paths.data_path())
        paths.release(path)
        context.owner.rebind()
        if paths.is_held:
            self._heartbeat.insist(paths.data_path())
        context.emit(PeerAddressChanged(path.route.address, "removed"))
        if paths.primary is not primary:
            context.emit(PeerAddressChanged(paths.primary.route.address, "primary"))  # F12

    def hear_no_more(self, address: str = "") -> None:
        """Take no packets from an address of the peer that is only heard; without one, from none of these."""
        context = self._context
        setup = context.setup
        if setup is not None and (setup.further or setup.lists_more):
            rest = tuple(other for other in setup.further if address and other != address)
            context.setup = setup._replace(further=rest, lists_more=setup.lists_more and address != "")
            context.owner.rebind()

    def prefer(self, path: Path) -> None:
        """Make a path the primary one (section 5.4)."""
        if self._context.paths.set_primary(path.route.address):
            self._context.emit(PeerAddressChanged(path.route.address, "primary"))

    def resume(self) -> None:
        """Verify what could not be before our own addresses changed; the last first: who moves as well is there."""
        if self._context.state is not CLOSED:
            for path in reversed(self._context.paths.paths):
                self._heartbeat.insist(path)
