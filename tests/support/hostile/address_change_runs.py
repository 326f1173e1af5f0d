"""Recorded runs, to be corrupted, in which addresses change and packets are authenticated (RFC 4895, RFC 5061)."""

from __future__ import annotations

from asyncsctp.wire.constants import AUTH, INIT, INIT_ACK, SHUTDOWN_COMPLETE

from .replay import Life, Talk

__all__ = ["NATTED", "ROAMING", "WARY"]

#: All that can be.
DEMANDED = frozenset(range(256)) - {INIT, INIT_ACK, SHUTDOWN_COMPLETE, AUTH}
KEYS = {7: b"a key that both have"}


class AddressChangeTalk(Talk):
    """A pair whose hosts get addresses, move to them, and leave others."""

    def go_on(self) -> None:
        self.send(0, 0, b"before that" * 100)
        for side, new in ((0, "10.2.0.1"), (1, "10.2.0.2")):
            self._give(side, new)
            self.association(side).asconf.add_local(new)
            self.endpoints[side].touch(self.association(side))
        self.run_for(1.5)
        self.association(1).asconf.request_primary("10.2.0.2")
        self.association(0).asconf.remove_local(self.addresses[0][0])
        for side in (0, 1):
            self.endpoints[side].touch(self.association(side))
        self.send(1, 0, b"meanwhile" * 100)
        self.run_for(1.5)
        self._give(1, "10.3.0.2")
        self.association(1).asconf.change_local("10.3.0.2", "10.2.0.2")
        self.endpoints[1].touch(self.association(1))
        self.send(0, 1, b"after all that" * 60)
        self.run_for(1.0)

    def _give(self, side: int, address: str) -> None:
        """A host gets an address, and its endpoint listens there."""
        host = self.network.host_of(self.addresses[side][0])
        assert host is not None
        self.network.add_address(host, address)
        self.simulation.bind(self.taps[side], address)


def _roam(life: Life) -> Talk:
    return AddressChangeTalk(life.seed, paths=life.paths, losses=life.losses, more={"dynamic_addresses": True})


def _be_wary(life: Life) -> Talk:
    more = {"dynamic_addresses": True, "auth_chunks": DEMANDED, "auth_keys": KEYS, "auth_active_key": 7}
    return AddressChangeTalk(life.seed, paths=life.paths, losses=life.losses, more=more)


def _have_nats(life: Life) -> Talk:
    more = {"dynamic_addresses": True, "nat_support": True, "pf_threshold": 0}
    return AddressChangeTalk(life.seed, paths=life.paths, losses=life.losses, more=more)


#: Only what RFC 5061 demands is authenticated; or all that can be, with a key; or NATs may be on the way.
ROAMING = Life(5, paths=2, closer=0, losses=(9, 21, 28), maker=_roam)
WARY = Life(6, paths=1, closer=1, losses=(10, 20, 33), maker=_be_wary)
NATTED = Life(7, paths=1, closer=0, losses=(12, 27), maker=_have_nats)
