"""A simulated network: hosts, the links between their addresses, NATs, and what happens to each datagram.

It knows nothing of SCTP. Time is its `clock`, chance is seeded: the same seed and the same program give the same run,
bit for bit. Each direction of each pair of addresses has a link with chance of its own, so that more traffic on one
doesn't change the fortune of another. The event loop that `run` puts in it is in `virtual_time`.
"""

from __future__ import annotations

import asyncio
import errno
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial
from random import Random
from typing import Any, Final, NamedTuple, TypeVar, final

from ..udp.datagram import DatagramError
from .clock import Clock
from .host import Address, Datagram, Host, family, normal
from .link import Link, LinkSettings, PacketOutcome
from .nat import Nat, Realms, Translator
from .sctp_nat import SctpNat
from .virtual_time import DAY, VirtualLoop

T = TypeVar("T")

_NEARBY: Final = 0.001  # seconds from a NAT to the hosts behind it, for what it says itself
_HEADERS: Final = {4: 28, 6: 48}  # IP and UDP
_QUOTED: Final = {4: 520, 6: 1184}  # payload that an ICMP message of 576 (RFC 1812) or 1280 bytes (RFC 4443) quotes
#: What ICMP and ICMPv6 say, how the system calls it, and what stands in the error.
_ICMP: Final = {
    PacketOutcome.UNREACHABLE: ({4: (3, 1), 6: (1, 3)}, errno.EHOSTUNREACH, "there is no host {0}"),
    PacketOutcome.NO_PORT: ({4: (3, 3), 6: (1, 4)}, errno.ECONNREFUSED, "nobody listens at {0} port {1}"),
    PacketOutcome.TOO_BIG: ({4: (3, 4), 6: (2, 0)}, errno.EMSGSIZE, "a datagram to {0} was too long for a path of {2}"),
}


class PacketRecord(NamedTuple):
    """A line of the trace: a packet, at the moment when it was known what became of it."""

    time: float
    source: Address  #: as seen by the link: behind a NAT, the outside address
    destination: Address
    data: bytes
    outcome: PacketOutcome
    dscp: int = -1  #: as of `Datagram`


class PortUnreachableError(DatagramError, ConnectionRefusedError):
    """Nobody listens at the port that a datagram was sent to."""


@final
class Network:
    """A network of simulated hosts.

    * `seed`: any int; it decides all chance in the network.
    * `link`: the settings of every link that has none of its own (10 ms of delay and nothing else, by default).
    * `icmp`: whether senders hear of hosts and ports that don't exist (`error_received`). Reports of packets that are
      too big are a setting of each link.

    `clock` is the virtual time. `packets` is a list of `PacketRecord`; it is `None`, and nothing is recorded, until you
    set it to a list. `counts` counts the outcomes of packets, always. `on_datagram`, when set, is called for each
    datagram before it travels, and returns what becomes of it: `None` or `True`, it goes on; `False`, it is lost;
    bytes, they go on in its place; a number, it goes on after so many seconds.
    """

    __slots__ = (
        "_default",
        "_links",
        "_owners",
        "_realms",
        "clock",
        "counts",
        "hosts",
        "icmp",
        "names",
        "on_datagram",
        "packets",
        "seed",
    )

    def __init__(self, seed: int = 0, *, link: LinkSettings | None = None, icmp: bool = False) -> None:
        self.seed = seed
        self.clock = Clock()
        self.icmp = icmp
        self.packets: list[PacketRecord] | None = None
        self.counts: Counter[PacketOutcome] = Counter()
        self.on_datagram: Callable[[Datagram], bytes | float | bool | None] | None = None
        self.hosts: dict[str, Host] = {}
        self.names: dict[str, tuple[str, ...]] = {}
        self._default = link if link is not None else LinkSettings()
        self._owners: dict[str, Host] = {}
        self._links: dict[tuple[str, str], Link] = {}
        self._realms = Realms(self._owners)

    @property
    def now(self) -> float:
        """Virtual seconds since the network was made."""
        return self.clock.now

    # Building

    def host(self, name: str, *addresses: str) -> Host:
        """Add a host with these IP literals. `ValueError` for a name or an address in use."""
        if name in self.hosts:
            raise ValueError(f"there is a host {name} already")
        host = self.hosts[name] = Host(name, self.clock, self._transmit)
        for address in addresses:
            self.add_address(host, address)
        return host

    def add_address(self, host: Host, address: str) -> None:
        """Give a host one more address, which its programs can bind from now on."""
        address = normal(address)
        owner = self._owners.get(address)
        if owner is not None or self._realms.at(address) is not None:
            raise ValueError(f"{address} belongs to {owner.name if owner is not None else 'a NAT'} already")
        self._owners[address] = host
        host.change_addresses([*host.addresses, address])

    def remove_address(self, host: Host, address: str) -> None:
        """Take an address away: what is sent to it finds no host, whoever has bound it, and nothing leaves from it."""
        address = normal(address)
        kept = list(host.addresses)
        kept.remove(address)
        del self._owners[address]
        host.change_addresses(kept)

    def name(self, name: str, *addresses: str) -> None:
        """Set what `getaddrinfo` on the virtual loop answers for `name`, in this order."""
        self.names[name] = tuple(normal(address) for address in addresses)

    def nat(
        self,
        outside: str,
        *inside: str,
        idle_timeout: float | None = None,
        filtering: bool = True,
        symmetric: bool = False,
        hairpin: bool = True,
    ) -> Nat:
        """Put a NAT with the address `outside` in front of hosts that have the addresses `inside`.

        The links that count are those of the outside address; `link` and `cut` take an inside address to mean it.
        Between addresses behind the same NAT nothing is translated. An outside address of one NAT may be inside
        another. See `Nat` for the rest.
        """
        nat = Nat(normal(outside), frozenset(map(normal, inside)), idle_timeout=idle_timeout, hairpin=hairpin)
        nat.filtering, nat.symmetric = filtering, symmetric
        self._realms.add(nat)
        return nat

    def sctp_nat(self, outside: str, *inside: str, idle_timeout: float | None = None, hairpin: bool = True) -> SctpNat:
        """Put a NAT that knows SCTP (draft-ietf-tsvwg-natsupp), as `nat` does. See `SctpNat`.

        What it says itself reaches the inside without passing any link, nor `on_datagram`.
        """
        nat = SctpNat(normal(outside), frozenset(map(normal, inside)), idle_timeout=idle_timeout, hairpin=hairpin)
        self._realms.add(nat)
        return nat

    def host_of(self, address: str) -> Host | None:
        """Return the host that owns an address."""
        return self._owners.get(normal(address))

    # Changing, while it runs

    def link(
        self, a: str, b: str, settings: LinkSettings | None = None, *, one_way: bool = False, **changes: float | None
    ) -> None:
        """Change the link from `a` to `b`, and back unless `one_way`: to `settings`, or in the fields named.

        `network.link("10.0.0.1", "10.0.0.2", loss=0.1, rate=1e6)`. `ValueError` names a field out of range.
        """
        for link in self._between(a, b, one_way):
            link.configure((settings or link.settings).replace(**changes), self.now)

    def defaults(self, settings: LinkSettings | None = None, **changes: float | None) -> None:
        """Change the settings of all links, of those to come too."""
        self._default = (settings or self._default).replace(**changes)
        for link in self._links.values():
            link.configure((settings or link.settings).replace(**changes), self.now)

    def cut(self, a: str, b: str, *, one_way: bool = False) -> None:
        """Cut the path between two addresses: what is under way on it, and what is sent from now on, is lost."""
        for link in self._between(a, b, one_way):
            link.is_cut = True

    def heal(self, a: str, b: str, *, one_way: bool = False) -> None:
        """Mend a path that was cut."""
        for link in self._between(a, b, one_way):
            link.is_cut = False

    def at(self, when: float, action: Callable[[], object]) -> None:
        """Run `action` at the instant `when`, in virtual seconds: `network.at(5.0, partial(network.cut, a, b))`."""
        self.clock.at(when, action)

    def backlog(self, a: str, b: str) -> float:
        """Return the bytes that wait in the queue of the link from `a` to `b`."""
        return self._between(a, b, one_way=True)[0].backlog(self.now)

    # Running

    def run(self, main: Coroutine[Any, Any, T], *, limit: float | None = DAY, debug: bool | None = None) -> T:
        """Run a coroutine on virtual time, in this network, as `asyncio.run` does in real time; return its result.

        Tasks left over are cancelled at the end. Raises `DeadlockError` when nothing is ready and nothing is scheduled
        but `main` hasn't ended, and `TimeLimitError` when it runs for more than `limit` virtual seconds (`None`:
        without limit).
        """
        if limit is not None and not limit > 0:
            main.close()
            raise ValueError(f"limit must be above 0 seconds, or None, not {limit!r}")
        with asyncio.Runner(debug=debug, loop_factory=partial(VirtualLoop, self, limit=limit)) as runner:
            return runner.run(main)

    def send(self, source: Address, destination: Address, data: bytes, *, ecn_capable: bool = False) -> None:
        """Send a datagram as if `source` had, whether or not there is such a host: for attackers and accidents."""
        ends = (normal(source[0]), source[1]), (normal(destination[0]), destination[1])
        self._transmit(Datagram(self.now, *ends, data, ecn_capable))

    # The way of a datagram

    def _transmit(self, datagram: Datagram) -> None:
        verdict = self.on_datagram(datagram) if self.on_datagram is not None else None
        if verdict is False:
            self._note(datagram, PacketOutcome.DROPPED)
        elif isinstance(verdict, bytes):
            self._carry(datagram._replace(data=verdict))
        elif verdict is None or verdict is True:
            self._carry(datagram)
        else:
            self.clock.after(float(verdict), partial(self._carry, datagram))

    def _carry(self, datagram: Datagram) -> None:
        """Carry a datagram through the NATs on the sender's side, and onto the link."""
        origin, destination = datagram.source, datagram.destination
        nat = self._realms.behind(origin[0])
        while nat is not None and destination[0] not in nat.inside:
            source = nat.translate_out(datagram.source, destination, datagram.data, self.now)
            self._let_speak(nat)
            if source is None:
                return self._note(datagram, PacketOutcome.FILTERED)
            datagram = datagram._replace(source=source)
            nat = self._realms.behind(source[0])
        link = self._link(datagram.source[0], destination[0])
        headers = _HEADERS[family(destination[0])]
        crossing = link.carry(
            datagram.data, self.now, headers=headers, ecn_capable=datagram.ecn_capable, fragment=datagram.fragment
        )
        if not crossing.arrivals:
            self._note(datagram, crossing.outcome)
            mtu = link.settings.mtu
            if crossing.outcome is PacketOutcome.TOO_BIG and link.settings.report_too_big and mtu is not None:
                self._report(datagram, origin, PacketOutcome.TOO_BIG, mtu)
            return None
        datagram = datagram._replace(data=crossing.data)
        for arrival in crossing.arrivals:
            arrive = partial(self._arrive, datagram, origin, link, crossing.outcome, crossing.congestion_experienced)
            self.clock.at(arrival, arrive)
        return None

    def _arrive(self, datagram: Datagram, origin: Address, link: Link, outcome: PacketOutcome, marked: bool) -> None:
        """Take a datagram off the link, and to the receiver if it is to be found from where the sender is."""
        if link.is_cut:
            return self._note(datagram, PacketOutcome.CUT)
        nat = self._realms.behind(datagram.destination[0])
        if nat is not None and datagram.source[0] not in nat.inside:
            return self._refuse(datagram, origin, PacketOutcome.UNREACHABLE)
        return self._deliver(datagram, origin, outcome, marked)

    def _deliver(self, datagram: Datagram, origin: Address, outcome: PacketOutcome, marked: bool) -> None:
        """Carry a datagram through the NATs on the receiver's side, and to whoever has bound the port."""
        address, number = datagram.destination
        nat = self._realms.at(address)
        while nat is not None:
            inside = nat.translate_in(datagram.source, number, datagram.data, self.now)
            self._let_speak(nat)
            if inside is None:
                return self._note(datagram, PacketOutcome.FILTERED)
            address, number = inside
            nat = self._realms.at(address)
        host = self._owners.get(address)
        if host is None:
            return self._refuse(datagram, origin, PacketOutcome.UNREACHABLE)
        port = host.port_at(address, number)
        if port is None:
            return self._refuse(datagram, origin, PacketOutcome.NO_PORT)
        self._note(datagram, outcome)
        port.arrive(datagram.data, datagram.source, marked, address)
        return None

    def _let_speak(self, nat: Translator) -> None:
        """Deliver what a NAT has to say to the inside."""
        answers, nat.outbox = nat.outbox, []
        for source, destination, data in answers:
            datagram = Datagram(self.now, source, destination, data, ecn_capable=False)
            self.clock.after(_NEARBY, partial(self._deliver, datagram, source, PacketOutcome.DELIVERED, False))

    def _refuse(self, datagram: Datagram, origin: Address, outcome: PacketOutcome) -> None:
        self._note(datagram, outcome)
        if self.icmp:
            self._report(datagram, origin, outcome)

    def _report(self, datagram: Datagram, origin: Address, outcome: PacketOutcome, mtu: int | None = None) -> None:
        """Tell the sender by ICMP, after the delay of the way back."""
        destination = datagram.destination
        version = family(destination[0])
        icmp, code, text = _ICMP[outcome]
        kind = PortUnreachableError if outcome is PacketOutcome.NO_PORT else DatagramError
        quoted = datagram.data[: _QUOTED[version]]
        error = kind(code, text.format(*destination, mtu), destination, mtu=mtu, icmp=icmp[version], quoted=quoted)
        back = self._link(destination[0], datagram.source[0])
        if not back.is_cut:
            self.clock.after(back.settings.delay, partial(self._tell, origin, destination, error))

    def _tell(self, origin: Address, destination: Address, error: DatagramError) -> None:
        host = self._owners.get(origin[0])
        port = host.port_at(*origin) if host is not None else None
        if port is not None:
            port.receiver.error(destination, error)

    def _note(self, datagram: Datagram, outcome: PacketOutcome) -> None:
        self.counts[outcome] += 1
        if self.packets is not None:
            source, destination = datagram.source, datagram.destination
            self.packets.append(PacketRecord(self.now, source, destination, datagram.data, outcome, datagram.dscp))

    # Links

    def _link(self, source: str, destination: str) -> Link:
        link = self._links.get((source, destination))
        if link is None:
            chance = Random(f"{self.seed} {source} {destination}")
            link = self._links[source, destination] = Link(self._default, chance)
        return link

    def _between(self, a: str, b: str, one_way: bool) -> list[Link]:
        a, b = self._realms.meeting(normal(a), normal(b))
        there = self._link(a, b)
        return [there] if one_way or a == b else [there, self._link(b, a)]


def run(
    main: Coroutine[Any, Any, T],
    *,
    network: Network | None = None,
    limit: float | None = DAY,
    debug: bool | None = None,
) -> T:
    """Run a coroutine on virtual time, as `Network.run` does; `network` is a new empty one by default."""
    return (network or Network()).run(main, limit=limit, debug=debug)
