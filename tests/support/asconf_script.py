"""An association whose addresses may change, and a scripted peer that sends and answers ASCONF (RFC 5061)."""

from __future__ import annotations

from collections.abc import Sequence

from asyncsctp.config import Config
from asyncsctp.events import PeerAddressChanged
from asyncsctp.paths.route import Route
from asyncsctp.wire.asconf import (
    AsconfChunk,
    Response,
    pack_asconf,
    pack_asconf_ack,
    pack_request,
    read_asconf,
    read_asconf_ack,
)
from asyncsctp.wire.constants import (
    ASCONF,
    ASCONF_ACK,
    AUTH,
    HEARTBEAT,
    HEARTBEAT_ACK,
    PARAM_ADD_ADDRESS,
    PARAM_DELETE_ADDRESS,
    PARAM_SET_PRIMARY,
)
from asyncsctp.wire.tlv import pack

from .script import LOCAL, PEER, PEER_TSN, UDP_PORT, Packet, Script

CHUNKS = frozenset({ASCONF, ASCONF_ACK})
NEW = "10.2.0.2"  # an address that the peer may get
OURS = "10.2.0.1"  # one that we may get


def add(address: str, correlation: int = 1) -> bytes:
    return pack_request(PARAM_ADD_ADDRESS, correlation, address)


def delete(address: str, correlation: int = 2) -> bytes:
    return pack_request(PARAM_DELETE_ADDRESS, correlation, address)


def prefer(address: str, correlation: int = 3) -> bytes:
    return pack_request(PARAM_SET_PRIMARY, correlation, address)


class Mobile(Script):
    """`Script`, where both sides have RFC 4895 and RFC 5061."""

    def __init__(
        self,
        config: Config | None = None,
        *,
        paths: int = 1,
        extensions: frozenset[int] = CHUNKS,
        primary: str = "",
        auth: frozenset[int] = CHUNKS,
        ecn: bool = False,
    ) -> None:
        config = config or Config(heartbeat_interval=None, dynamic_addresses=True)
        self.number = PEER_TSN  # of the peer's next ASCONF
        super().__init__(config, paths=paths, extensions=extensions | {AUTH}, auth=auth, primary=primary, ecn=ecn)

    # What the peer asks.

    def asconf(self, *parameters: bytes, number: int | None = None, lookup: str = PEER[0]) -> bytes:
        """The peer's next ASCONF, or one with this number."""
        if number is None:
            number = self.number
            self.number = self.number + 1 & 0xFFFFFFFF
        return pack_asconf(number, lookup, parameters)

    def say(self, *chunks: bytes, source: str = PEER[0], local: str = LOCAL[0], genuine: bool = True) -> None:
        """A packet comes from some address to one of ours, authenticated if it is `genuine`."""
        datagram = self.packet(self.authenticated(*chunks) if genuine else b"".join(chunks))
        self.endpoint.receive(datagram, Route(local, source, UDP_PORT), self.now)
        self.flush()

    def ask(self, *parameters: bytes, source: str = PEER[0], lookup: str = PEER[0], local: str = LOCAL[0]) -> None:
        """The peer sends its next ASCONF."""
        self.say(self.asconf(*parameters, lookup=lookup), source=source, local=local)

    def answer(self, to: str = PEER[0]) -> tuple[int, list[Response]]:
        """The one packet that left is an ASCONF-ACK, and goes there; what it says, its number from 0 on."""
        [packet] = [packet for packet in self.take() if packet.all(ASCONF_ACK)]
        assert packet.to == to
        assert packet.kinds == [AUTH, ASCONF_ACK]
        value = packet.one(ASCONF_ACK).value
        number, responses = read_asconf_ack(value, 0, len(value))
        return number - PEER_TSN & 0xFFFFFFFF, responses

    def codes(self, to: str = PEER[0]) -> list[int]:
        """The first cause in each response of the answer, 0 for success."""
        return [response.causes[0].code if response.causes else 0 for response in self.answer(to)[1]]

    def verify(self, address: str, local: str = LOCAL[0]) -> None:
        """The peer answers the HEARTBEAT that goes to this address."""
        packets = self.take() or self.wait(5.0)
        [probe] = [packet for packet in packets if packet.to == address and packet.all(HEARTBEAT)]
        self.say(pack(HEARTBEAT_ACK << 8, probe.one(HEARTBEAT).value), source=address, local=local, genuine=False)

    # What we ask.

    def asked(self) -> tuple[Packet, AsconfChunk]:
        """The one packet that left with an ASCONF."""
        [packet] = [packet for packet in self.take() if packet.all(ASCONF)]
        assert packet.kinds == [AUTH, ASCONF]
        value = packet.one(ASCONF).value
        asconf = read_asconf(value, 0, len(value))
        return packet, asconf._replace(number=asconf.number - self._local_tsn & 0xFFFFFFFF)

    def acknowledge(
        self, number: int, responses: Sequence[bytes] = (), source: str = PEER[0], local: str = LOCAL[0]
    ) -> None:
        """The peer's ASCONF-ACK to the one with this number, from 0 on."""
        self.say(pack_asconf_ack(self.ours(number), responses), source=source, local=local)

    # What the user sees.

    @property
    def addresses(self) -> list[str]:
        return [path.route.address for path in self.association.path_manager.paths]

    @property
    def changes(self) -> list[tuple[str, str]]:
        return [(event.address, event.state) for event in self.user.events if isinstance(event, PeerAddressChanged)]
