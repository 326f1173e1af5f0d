"""Random runs in which addresses come and go on both sides while data flows, and links are cut (RFC 5061)."""

from __future__ import annotations

from functools import partial

from asyncsctp.config import Config
from asyncsctp.errors import AsconfError, AssociationTimeout
from asyncsctp.handlers.request import Ticket
from asyncsctp.handlers.setup.negotiation import MAX_PEER_ADDRESSES
from asyncsctp.handlers.state import CLOSED

from ..pair import Pair
from .base import RandomRun


def give(pair: Pair, side: int, address: str) -> None:
    """A host gets an address, and its endpoint listens there."""
    network = pair.network
    if network.host_of(address) is None:
        host = network.host_of(pair.addresses[side][0])
        assert host is not None
        network.add_address(host, address)
    if address not in pair.simulation._find(pair.endpoints[side]).ports:
        pair.simulation.bind(pair.endpoints[side], address)


def take(pair: Pair, side: int, address: str) -> None:
    """An endpoint no longer listens at an address; whatever it sends from there is an error."""
    port = pair.simulation._find(pair.endpoints[side]).ports.pop(address, None)
    if port is not None:
        port.close()


class AddressChangeRun(RandomRun):
    """A `RandomRun` whose hosts move."""

    #: What each side may have, beside what it begins with.
    more: tuple[tuple[str, ...], tuple[str, ...]] = (("10.2.0.1", "10.3.0.1"), ("10.2.0.2", "10.3.0.2"))
    most_paths = 4

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.asked = 0
        self.granted = 0

    def _config(self) -> Config:
        interval = self.random.choice((None, 1.0, 5.0))
        return super()._config().replace(dynamic_addresses=True, heartbeat_interval=interval)

    def _plan_messages(self) -> None:
        super()._plan_messages()
        random = self.random
        for side in (0, 1):
            for _ in range(random.choice((0, 2, 10, 30))):
                what = random.choice(("add", "add", "remove", "remove", "change", "primary"))
                self._later(random.random() * random.choice((0.5, 3.0, 30.0)), partial(self._move, side, what))

    def _move(self, side: int, what: str) -> None:
        pair, random = self.pair, self.random
        association = pair.association(side)
        if association.state is CLOSED:
            return
        pool = [*pair.addresses[side], *self.more[side]]
        new, old = random.choice(pool), random.choice(pool)
        local = association.path_manager.local
        if what in ("add", "change") and new not in local:
            give(pair, side, new)
        try:
            asconf = association.asconf
            if what == "add":
                ticket = asconf.add_local(new)
            elif what == "remove":
                ticket = asconf.remove_local(old)
            elif what == "change":
                ticket = asconf.change_local(new, old)
            else:
                ticket = asconf.request_primary(old)
        except (ValueError, AsconfError):
            return
        self.asked += 1
        ticket.on_done = partial(self._settled, side, ticket, "" if what in ("add", "primary") else old)
        pair.endpoints[side].touch(association)

    def _settled(self, side: int, ticket: Ticket, gone: str) -> None:
        assert ticket.is_done
        assert ticket.is_ok == (ticket.error is None)
        if ticket.is_ok:
            self.granted += 1
            if gone and gone not in self.pair.association(side).path_manager.local:
                take(self.pair, side, gone)

    def _may_time_out(self) -> bool:
        return self.is_rough

    def verify(self) -> None:
        super().verify()
        if not self._may_time_out():
            assert not any(isinstance(user.error, AssociationTimeout) for user in self.pair.users)
        for side in (0, 1):
            if self.pair.users[side].association is not None:
                paths = self.pair.association(side).path_manager
                assert len(paths.by_id) <= MAX_PEER_ADDRESSES + 1
                assert len(paths.paths) <= self.most_paths
