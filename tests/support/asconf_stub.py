"""A stand-in for the core's part in changing addresses: requests wait until the test answers them."""

from __future__ import annotations

import pytest

from asyncsctp.association.association import Association
from asyncsctp.association.association import Association as Core
from asyncsctp.errors import AsconfError, Cause
from asyncsctp.handlers.request import Ticket

__all__ = ["Asconf", "Request", "play"]


class Request:
    """A request of the shell: `asked` is its verb and the addresses."""

    def __init__(self, core: Core, verb: str, new: str = "", old: str = "") -> None:
        self.asked = tuple(word for word in (verb, new, old) if word)
        self.ticket = Ticket()
        self._core = core
        self._new = new
        self._old = old
        local = core.path_manager.local
        if old:
            local.withdraw(old)
            core.path_manager.leave(old)
        if new and verb != "primary":
            local.announce(new)

    def agree(self) -> None:
        """The peer has agreed."""
        local = self._core.path_manager.local
        if self._old:
            local.drop(self._old)
        if self._new and self.asked[0] != "primary":
            local.admit(self._new)
            self._core.path_manager.arrive()
        if self._old:
            self._core.path_manager.leave(self._old)
        self._finish()

    def refuse(self, *causes: Cause, reason: str = "refused") -> None:
        """It has not."""
        local = self._core.path_manager.local
        if self._old:
            local.admit(self._old)
            self._core.path_manager.arrive()
        if self._new and self.asked[0] != "primary":
            local.drop(self._new)
        self.ticket.fail(AsconfError(", ".join(map(str, causes)) or reason, causes))
        self._finish()

    def _finish(self) -> None:
        self.ticket.is_done = True
        if self.ticket.on_done is not None:
            self.ticket.on_done()


class Asconf:
    """Of one association. With `agrees`, each request is agreed to at once."""

    def __init__(self, core: Core, requests: list[Request], agrees: bool) -> None:
        self._core = core
        self._requests = requests
        self._agrees = agrees

    def add_local(self, address: str, wildcard: bool = False) -> Ticket:
        return self._ask("add through a NAT" if wildcard else "add", address)

    def remove_local(self, address: str) -> Ticket:
        return self._ask("remove", "", address)

    def change_local(self, new: str, old: str, wildcard: bool = False) -> Ticket:
        return self._ask("change through a NAT" if wildcard else "change", new, old)

    def request_primary(self, address: str) -> Ticket:
        return self._ask("primary", address)

    def _ask(self, verb: str, new: str, old: str = "") -> Ticket:
        request = Request(self._core, verb, new, old)
        self._requests.append(request)
        if self._agrees:
            request.agree()
        return request.ticket


def play(monkeypatch: pytest.MonkeyPatch, *, agrees: bool = False) -> list[Request]:
    """All associations change addresses like this; the requests of all of them, in order."""
    requests: list[Request] = []

    def asconf(core: Core) -> Asconf:
        setup = core.context.setup
        if setup is None or not setup.dynamic_addresses:
            raise AsconfError("RFC 5061 was not negotiated with the peer")
        return Asconf(core, requests, agrees)

    monkeypatch.setattr(Association, "asconf", property(asconf), raising=False)
    return requests
