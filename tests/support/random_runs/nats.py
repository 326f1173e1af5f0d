"""Random runs behind NATs that forget their mappings or move, while links are cut and addresses come and go."""

from __future__ import annotations

from functools import partial
from typing import Any

from asyncsctp.config import Config
from asyncsctp.handlers.setup.negotiation import MAX_PEER_ADDRESSES
from asyncsctp.testing.nat import Nat
from asyncsctp.wire.constants import DATA, SACK

from ..pair import A_ADDRESSES, Z_ADDRESSES
from .address_changes import AddressChangeRun

#: What a NAT may be known by, one after the other.
OUTSIDE = tuple(f"192.0.2.{number}" for number in range(1, 60))
#: Who is behind them.
INSIDE = (*A_ADDRESSES, "10.2.0.1")
#: A server that everybody reaches, or in a private network too.
SERVERS = (("203.0.113.1", "203.0.113.2"), Z_ADDRESSES)


class NatRun(AddressChangeRun):
    """What `AddressChangeRun` does with A behind UDP NATs.

    `kind`: `plain` has RFC 9260 alone and one address, so that only ports may change; `authentic` has RFC 4895 besides;
    `followed` has draft natsupp alone, so that its packets show where it is; `mobile` has RFC 5061 too, and says so.
    """

    #: A may get one behind a NAT and one in the open.
    more = (("10.2.0.1", "198.51.100.1"), ("203.0.113.3", "203.0.113.4"))
    most_paths = MAX_PEER_ADDRESSES

    def _addresses(self) -> int:
        self.kind = self.random.choice(("plain", "authentic", "followed", "mobile", "mobile"))
        self.places = (A_ADDRESSES, self.random.choice(SERVERS))
        return self.random.choice((1, 1, 2)) if self.kind == "mobile" else 1

    def _config(self) -> Config:
        random = self.random
        pf_threshold = random.choice((None, 0, 1))
        changes: dict[str, Any] = {
            "rto_initial": random.choice((1.0, 3.0)),  # else too much is sent again for those who move all the time
            # Who is behind a NAT has to say something from time to time (draft udp-encaps-cons section 5).
            "heartbeat_interval": random.choice((1.0, 5.0)),
            "pf_threshold": pf_threshold,
            "primary_switchover": None if pf_threshold is None else random.choice((None, pf_threshold, 5)),
            "dynamic_addresses": self.kind == "mobile",
            "nat_support": self.kind in ("followed", "mobile"),
        }
        if not self.is_rough:
            changes["max_retrans"] = 30  # each move costs some, until it is noticed
        if self.kind == "authentic":
            changes["auth"] = True
            changes["auth_chunks"] = frozenset({DATA, SACK})
            changes["auth_keys"] = {1: b"a key that both have"}
            changes["auth_active_key"] = 1
        return super()._config().replace(**changes)

    def run(self) -> None:
        names = iter(OUTSIDE)
        # To each address of Z a symmetric one shows another port, and Z keeps one for each address of A.
        symmetric = self.random.random() < 0.5 and self.kind != "mobile"
        settings = {"filtering": self.random.random() < 0.8, "symmetric": symmetric}
        self.nats = [
            self.pair.network.nat(next(names), address, idle_timeout=self.random.choice((None, 30.0)), **settings)
            for address in INSIDE
        ]
        for _ in range(self.random.choice((0, 1, 3, 8))):
            nat = self.random.choice(self.nats[: max(self.paths, 1)])
            moves = self.kind in ("followed", "mobile") and self.random.random() < 0.5
            when = self.random.random() * self.random.choice((0.5, 3.0, 30.0))
            self._later(when, partial(self._rebind, nat, next(names) if moves else None))
        super().run()

    def describe(self) -> str:
        return f"{self.kind}, {self.nats[0].filtering=} {self.nats[0].symmetric=}\n{super().describe()}"

    def _move(self, side: int, what: str) -> None:
        # Who is behind a NAT that filters hears of nothing but from where it sends to.
        if self.kind == "mobile" and (side == 0 or what in ("add", "primary") or not self.nats[0].filtering):
            super()._move(side, what)

    def _may_time_out(self) -> bool:
        # In SHUTDOWN-ACK-SENT nobody can be told any more that he has moved (RFC 5061 section 5.1.1 C4).
        return self.is_rough or self.pair.is_delivered()

    def _rebind(self, nat: Nat, outside: str | None) -> None:
        self.rebound += 1
        nat.rebind(outside)

    #: How many times a NAT has forgotten.
    rebound = 0
