"""Endpoints for tests by clause: one against packets made by hand, or several on a simulated network.

`Solo` is an endpoint whose peer is the test itself. `Sim` has real endpoints on all sides; whatever they send is
watched: nothing but what section 5.4 allows may ever leave for an UNCONFIRMED address.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from typing import Any

from asyncsctp.association.association import Association
from asyncsctp.association.invariants import check as check_association
from asyncsctp.association.outbox import Outbox
from asyncsctp.config import Config
from asyncsctp.endpoint.endpoint import Endpoint
from asyncsctp.handlers.state import (
    COOKIE_ECHOED,
    COOKIE_WAIT,
    ESTABLISHED,
    SHUTDOWN_ACK_SENT,
    SHUTDOWN_PENDING,
    SHUTDOWN_RECEIVED,
    SHUTDOWN_SENT,
    State,
)
from asyncsctp.path_state import PathState
from asyncsctp.paths.route import Route
from asyncsctp.testing import LinkSettings, Network
from asyncsctp.testing.host import Datagram
from asyncsctp.testing.pair import Simulation
from asyncsctp.wire import control, tlv
from asyncsctp.wire.constants import COOKIE_ACK, COOKIE_ECHO, FLAG_BEGIN, FLAG_END, HEARTBEAT, HEARTBEAT_ACK, INIT_ACK
from asyncsctp.wire.init import Init, pack_init, read_init
from asyncsctp.wire.packet import Seal, checksum_ok, read_header

from .chunks import pack_data
from .pair import Chance, Recorder

UDP = 9899
HERE, THERE = "192.0.2.1", "192.0.2.2"
OTHER = "198.51.100.9"
VICTIM = "203.0.113.66"
PORT, PEER_PORT = 5000, 6000
PEER_TAG = 0x0A0B0C0D
PEER_TSN = 1000

Packet = tuple[Route, bytes]

TO_UNCONFIRMED = ({HEARTBEAT}, {HEARTBEAT_ACK}, {HEARTBEAT, HEARTBEAT_ACK}, {COOKIE_ACK, HEARTBEAT})


def chunks(packet: bytes) -> list[bytes]:
    """The chunks of a packet, each with its header."""
    assert checksum_ok(packet)
    return [packet[at:end] for _, at, _, end in tlv.walk(packet, 12, len(packet))]


def kinds(packet: bytes) -> list[int]:
    return [chunk[0] for chunk in chunks(packet)]


def victims(count: int) -> list[str]:
    """The addresses of so many third parties."""
    return [f"203.0.{number >> 8}.{number & 0xFF}" for number in range(1, count + 1)]


def kinds_to(packets: list[Packet], address: str) -> list[list[int]]:
    """What is in the packets that went there."""
    return [kinds(packet) for route, packet in packets if route.address == address]


def heartbeat_ack(packets: list[Packet]) -> bytes:
    """What answers the one HEARTBEAT among these packets."""
    [probe] = [chunk for _, packet in packets for chunk in chunks(packet) if chunk[0] == HEARTBEAT]
    return tlv.pack(HEARTBEAT_ACK << 8, probe[4:])


def tag_of(packet: bytes) -> int:
    return read_header(packet)[2]


def cause_of(chunk: bytes) -> int:
    """The code of the first cause of an ABORT or ERROR; 0 if there is none."""
    return int.from_bytes(chunk[4:6])


def init_of(packet: bytes) -> Init:
    """What an INIT or INIT ACK says that is alone in its packet."""
    ((_, _, start, end),) = tlv.walk(packet, 12, len(packet))
    return read_init(packet, start, end)


def data(tsn: int, payload: bytes = b"data", sid: int = 0, ssn: int = 0) -> bytes:
    """A DATA chunk with a whole message."""
    return pack_data(FLAG_BEGIN | FLAG_END, tsn & 0xFFFFFFFF, sid, ssn, 0, payload)


def check(endpoint: object) -> None:
    """The invariants of all associations of an endpoint."""
    assert isinstance(endpoint, Endpoint)
    for association in endpoint.associations:
        check_association(association)


def offer(**changes: Any) -> Init:
    """What the test's INIT or INIT ACK says."""
    init = Init(PEER_TAG, 100_000, 10, 10, PEER_TSN)
    return init._replace(**changes)


class Solo:
    """An endpoint at `HERE`, and a peer at `THERE` whose packets are made by hand."""

    def __init__(
        self,
        *,
        listening: bool = True,
        config: Config | None = None,
        addresses: Sequence[str] = (HERE,),
        limit: int | None = None,
        seed: int | str = 0,
    ) -> None:
        self.now = 100.0
        self.users: list[Recorder] = []
        self.outbox = Outbox()
        self.addresses = tuple(addresses)
        self.endpoint = Endpoint(
            config or Config(),
            port=PORT,
            local_addresses=addresses,
            random=Chance(seed),
            outbox=self.outbox,
            listening=listening,
            accept=self._accept,
            limit=limit,
        )

    def _accept(self, association: Association) -> Recorder:
        user = Recorder(f"user {len(self.users)}")
        user.association = association
        self.users.append(user)
        return user

    @property
    def user(self) -> Recorder:
        return self.users[-1]

    @property
    def association(self) -> Association:
        association = self.user.association
        assert association is not None
        return association

    def take(self) -> list[Packet]:
        """What left since the last look."""
        self.endpoint.flush(self.now)
        packets = list(self.outbox)
        self.outbox.clear()
        check(self.endpoint)
        return packets

    def receive(
        self, packet: bytes, source: str = THERE, udp_port: int = UDP, local: str | None = None
    ) -> list[Packet]:
        """One datagram arrives; the answers."""
        self.endpoint.receive(packet, Route(local or self.addresses[0], source, udp_port), self.now)
        return self.take()

    def say(self, *items: bytes, tag: int | None = None, source: str = THERE, udp_port: int = UDP) -> list[Packet]:
        """The peer sends these chunks, under our tag unless another is given."""
        return self.receive(self.packet(*items, tag=tag), source, udp_port)

    def packet(self, *items: bytes, tag: int | None = None, peer_port: int = PEER_PORT, port: int = PORT) -> bytes:
        if tag is None:
            tag = self.association.context.local_tag
        return Seal(peer_port, port, tag).pack(b"".join(items))

    def wait(self, seconds: float) -> list[Packet]:
        """Time passes; what left meanwhile."""
        until = self.now + seconds
        packets = self.take()
        while self.endpoint.next_expiry <= until:
            self.now = max(self.now, self.endpoint.next_expiry)
            self.endpoint.expire(self.now)
            packets += self.take()
        self.now = until
        return packets

    # The handshake.

    def init(self, source: str = THERE, udp_port: int = UDP, **changes: Any) -> list[Packet]:
        return self.receive(self.packet(pack_init(offer(**changes), ack=False), tag=0), source, udp_port)

    def cookie(self, source: str = THERE, udp_port: int = UDP, **changes: Any) -> tuple[Init, bytes]:
        """Sends an INIT; the INIT ACK, and the packet with the COOKIE ECHO that answers it."""
        ((_, answer),) = self.init(source, udp_port, **changes)
        assert kinds(answer) == [INIT_ACK]
        ack = init_of(answer)
        return ack, self.packet(control.pack_cookie_echo(ack.cookie or b""), tag=ack.initiate_tag)

    def accept(self, source: str = THERE, udp_port: int = UDP, **changes: Any) -> Association:
        """The peer sets an association up."""
        _, echo = self.cookie(source, udp_port, **changes)
        answers = self.receive(echo, source, udp_port)
        assert COOKIE_ACK in kinds(answers[0][1])
        assert self.association.state is ESTABLISHED
        return self.association

    def connect(self, addresses: Sequence[str] = (THERE,), config: Config | None = None) -> Init:
        """We begin; what our INIT says."""
        user = Recorder(f"user {len(self.users)}")
        self.users.append(user)
        user.association = self.endpoint.connect(addresses, PEER_PORT, self.now, user, config)
        return init_of(self.take()[0][1])

    def answer(self, source: str = THERE, udp_port: int = UDP, **changes: Any) -> list[Packet]:
        """The peer's INIT ACK comes."""
        init = offer(**{"cookie": b"cookie", **changes})
        return self.say(pack_init(init, ack=True), source=source, udp_port=udp_port)

    def establish(self, named: Sequence[str] = (THERE,), **changes: Any) -> Association:
        """We set an association up."""
        self.connect(named)
        ((_, echo),) = self.answer(**changes)
        assert kinds(echo) == [COOKIE_ECHO]
        self.say(control.pack_cookie_ack())
        assert self.association.state is ESTABLISHED
        return self.association

    def touch(self, association: Association | None = None) -> None:
        self.endpoint.touch(association or self.association)


def into(solo: Solo, state: State, **changes: Any) -> Association:
    """An association in this state, with a peer that is the test."""
    if state in (COOKIE_WAIT, COOKIE_ECHOED):
        solo.connect((THERE, OTHER))
        if state is COOKIE_ECHOED:
            solo.answer(addresses=(OTHER,))
        return solo.association
    association = solo.accept(**changes)
    if state in (SHUTDOWN_PENDING, SHUTDOWN_RECEIVED):
        association.send(0, b"unacknowledged")
        solo.touch()
        solo.take()
    if state is SHUTDOWN_RECEIVED or state is SHUTDOWN_ACK_SENT:
        solo.say(control.pack_shutdown(association.context.setup.local_initial_tsn - 1 & 0xFFFFFFFF))  # type: ignore[union-attr]
    elif state in (SHUTDOWN_PENDING, SHUTDOWN_SENT):
        association.shutdown(solo.now)
        solo.touch()
        solo.take()
    assert association.state is state
    return association


def addresses(association: Association) -> list[str]:
    """Where the peer is."""
    return [path.route.address for path in association.path_manager.paths]


def image(association: Association) -> tuple[object, ...]:
    """What an INIT must not change."""
    context = association.context
    return (
        context.state,
        context.local_tag,
        context.peer_tag,
        context.setup,
        tuple((path.route, path.state, path.error_count) for path in context.paths.paths),
        context.timers.next_expiry,
    )


UP_STATES = (ESTABLISHED, SHUTDOWN_PENDING, SHUTDOWN_SENT, SHUTDOWN_RECEIVED)
ALL_STATES = (COOKIE_WAIT, COOKIE_ECHOED, *UP_STATES, SHUTDOWN_ACK_SENT)


class Node:
    """One endpoint of a `Sim` and its users."""

    def __init__(
        self,
        sim: Sim,
        name: str,
        addresses: Sequence[str],
        port: int,
        listening: bool,
        config: Config,
        udp_port: int,
        limit: int | None,
    ) -> None:
        self.sim = sim
        self.name = name
        self.addresses = tuple(addresses)
        self.port = port
        self.udp_port = udp_port
        self.users: list[Recorder] = []
        self.endpoint = Endpoint(
            config,
            port=port,
            local_addresses=addresses,
            random=Chance(f"{sim.seed} {name}"),
            outbox=Outbox(),
            listening=listening,
            accept=self._accept,
            limit=limit,
        )

    def _accept(self, association: Association) -> Recorder:
        user = Recorder(f"{self.name} {len(self.users)}")
        user.association = association
        self.users.append(user)
        return user

    @property
    def user(self) -> Recorder:
        return self.users[-1]

    @property
    def association(self) -> Association:
        association = self.user.association
        assert association is not None
        return association

    def connect(
        self, peer: Node, addresses: Sequence[str] = (), config: Config | None = None, udp_port: int | None = None
    ) -> Association:
        user = Recorder(f"{self.name} {len(self.users)}")
        user.association = self.endpoint.connect(
            addresses or peer.addresses, peer.port, self.sim.now, user, config, udp_port or peer.udp_port
        )
        self.users.append(user)
        return user.association

    def send(self, payload: bytes, sid: int = 0) -> None:
        self.association.send(sid, payload)
        self.endpoint.touch(self.association)

    def shutdown(self) -> None:
        self.association.shutdown(self.sim.now)
        self.endpoint.touch(self.association)

    def is_up(self) -> bool:
        return bool(self.users) and self.association.state is ESTABLISHED

    @property
    def received(self) -> list[bytes]:
        return [message for _, _, _, message in self.user.messages]


class Sim:
    """Real endpoints on a simulated network."""

    def __init__(self, seed: int = 0, link: LinkSettings | None = None, icmp: bool = False) -> None:
        self.seed = seed
        self.network = Network(seed=seed, link=link, icmp=icmp)
        self.simulation = Simulation(self.network, check=check)
        self.network.on_datagram = self._watch
        self.nodes: list[Node] = []
        #: What becomes of a datagram, as `Network.on_datagram` says it.
        self.verdict: Callable[[Datagram], bytes | float | bool | None] | None = None
        self.log: list[Datagram] = []

    @property
    def now(self) -> float:
        return self.network.now

    def node(
        self,
        name: str,
        *addresses: str,
        port: int = PORT,
        listening: bool = False,
        config: Config | None = None,
        udp_port: int = UDP,
        limit: int | None = None,
    ) -> Node:
        node = Node(self, name, addresses, port, listening, config or Config(), udp_port, limit)
        self.simulation.add(
            node.endpoint,
            addresses,
            udp_port=udp_port,
            on_error=lambda route, error: self._on_error(node, route, error),
        )
        self.nodes.append(node)
        return node

    def crash(self, node: Node) -> None:
        """Its host loses all it knew."""
        self.simulation.remove(node.endpoint)
        self.nodes.remove(node)

    def until(self, predicate: Callable[[], object], limit: float = 60.0) -> None:
        self.simulation.run_until(predicate, limit)

    def run(self, seconds: float) -> None:
        self.simulation.run_for(seconds)

    def attack(self, source: str, target: Node, packet: bytes, udp_port: int = UDP) -> None:
        """A datagram as if it came from there."""
        self.network.send((source, udp_port), (target.addresses[0], target.udp_port), packet)

    @staticmethod
    def _on_error(node: Node, route: Route, error: OSError) -> None:
        if error.errno != errno.ECONNREFUSED:
            return
        quoted: bytes = getattr(error, "quoted", b"")
        for association in node.endpoint.associations:
            association.on_unreachable(route, quoted, node.sim.now)
            node.endpoint.touch(association)

    def _watch(self, datagram: Datagram) -> bytes | float | bool | None:
        self.log.append(datagram)
        address, udp_port = datagram.source
        for node in self.nodes:
            if address in node.addresses and udp_port == node.udp_port:
                self._check_unconfirmed(node, datagram)
        return self.verdict(datagram) if self.verdict is not None else None

    @staticmethod
    def _check_unconfirmed(node: Node, datagram: Datagram) -> None:
        """Section 5.4: what may be sent to an address that nobody has shown to be the peer's."""
        _, port, tag = read_header(datagram.data)
        for association in node.endpoint.associations:
            if tag != association.context.peer_tag or port != association.context.peer_port:
                continue
            path = association.path_manager.find(datagram.destination[0])
            if path is not None and path.state is PathState.UNCONFIRMED:
                assert set(kinds(datagram.data)) in TO_UNCONFIRMED, f"{kinds(datagram.data)} to {path.route.address}"
