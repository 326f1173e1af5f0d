"""Endpoints against each other and against strangers; packets go by hand, time as the test says."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from support.narrowing import so_far

from asyncsctp.association.association import Association
from asyncsctp.association.outbox import Outbox
from asyncsctp.association.user import AssociationUser
from asyncsctp.config import Config
from asyncsctp.endpoint.endpoint import Endpoint
from asyncsctp.errors import AssociationAborted, AssociationRefused, AssociationTimeout, SCTPError
from asyncsctp.events import AssociationRestarted, Event
from asyncsctp.handlers.setup import negotiation
from asyncsctp.handlers.state import CLOSED, COOKIE_WAIT, ESTABLISHED
from asyncsctp.paths.route import Route
from asyncsctp.wire import causes, control, tlv
from asyncsctp.wire.constants import (
    ABORT,
    CAUSE_INVALID_PARAMETER,
    CAUSE_NEW_ENCAPSULATION_PORT,
    CAUSE_OUT_OF_RESOURCE,
    CAUSE_RESTART_NEW_ADDRESSES,
    CAUSE_STALE_COOKIE,
    CAUSE_UNRESOLVABLE_ADDRESS,
    COOKIE_ACK,
    COOKIE_ECHO,
    ERROR,
    INIT,
    INIT_ACK,
    SACK,
    SHUTDOWN_COMPLETE,
)
from asyncsctp.wire.init import Init, pack_init, read_init
from asyncsctp.wire.packet import Seal, checksum_ok, read_header

A, B, C = "192.0.2.1", "192.0.2.2", "192.0.2.3"
A_PORT, B_PORT = 5000, 6000
UDP = 9899


class Seeded:
    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def bits(self, count: int) -> int:
        return self._random.getrandbits(count)

    def token(self, size: int) -> bytes:
        return self._random.randbytes(size)


class User(AssociationUser):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.events: list[Event] = []
        self.closed: list[SCTPError | None] = []

    def on_message(self, sid: int, ssn: int, ppid: int, unordered: bool, tsn: int, data: bytes) -> None:
        self.messages.append(data)

    def on_event(self, event: Event) -> None:
        self.events.append(event)

    def on_closed(self, error: SCTPError | None) -> None:
        self.closed.append(error)


class Host:
    """An endpoint, and who uses its associations."""

    def __init__(
        self,
        address: str,
        port: int,
        seed: int,
        listening: bool = False,
        config: Config | None = None,
        limit: int | None = None,
        udp_port: int = UDP,
    ) -> None:
        self.address = address
        self.udp_port = udp_port
        self.users: list[User] = []
        self.sent = Outbox()
        self.endpoint = Endpoint(
            config or Config(),
            port=port,
            local_addresses=[address],
            random=Seeded(seed),
            outbox=self.sent,
            listening=listening,
            accept=self._accept,
            limit=limit,
        )

    def _accept(self, association: Association) -> User:
        self.users.append(User())
        return self.users[-1]

    def take(self) -> list[tuple[Route, bytes]]:
        """The packets since the last look."""
        packets = list(self.sent)
        self.sent.clear()
        return packets

    def receive(self, datagram: bytes, source: str, now: float = 0.0, udp_port: int = UDP) -> list[bytes]:
        """One packet; the answers."""
        self.endpoint.receive(datagram, Route(self.address, source, udp_port), now)
        self.endpoint.flush(now)
        return [packet for _, packet in self.take()]


def carry(a: Host, b: Host, now: float = 0.0, drop: Callable[[bytes], bool] = lambda packet: False) -> list[list[int]]:
    """Packets to and fro until there are no more; the chunk types of each."""
    seen = []
    a.endpoint.flush(now)
    b.endpoint.flush(now)
    while a.sent or b.sent:
        for here, there in ((a, b), (b, a)):
            for route, packet in here.take():
                seen.append(kinds(packet))
                if route.address == there.address and not drop(packet):
                    there.endpoint.receive(packet, Route(there.address, here.address, here.udp_port), now)
            there.endpoint.flush(now)
    return seen


def kinds(packet: bytes) -> list[int]:
    return [first16 >> 8 for first16, *_ in tlv.walk(packet, 12, len(packet))]


def cause_of(packet: bytes) -> int:
    return int.from_bytes(packet[16:18])


def packet(tag: int, *chunks: bytes, source: int = A_PORT, destination: int = B_PORT) -> bytes:
    return Seal(source, destination, tag).pack(b"".join(chunks))


def init_packet(tag: int = 0x4444, addresses: tuple[str, ...] = (), **changes: int) -> bytes:
    fields = {"a_rwnd": 9999, "outgoing_streams": 5, "incoming_streams": 5, "initial_tsn": 7} | changes
    return packet(0, pack_init(Init(tag, addresses=addresses, **fields), ack=False))  # type: ignore[arg-type]


def init_ack_of(answer: bytes) -> Init:
    [(first16, _, start, end)] = tlv.walk(answer, 12, len(answer))
    assert first16 >> 8 == INIT_ACK
    return read_init(answer, start, end)


def cookie_echo(answer: bytes, *more: bytes, tag: int | None = None) -> bytes:
    """The packet that follows an INIT ACK."""
    init_ack = init_ack_of(answer)
    assert init_ack.cookie is not None
    return packet(init_ack.initiate_tag if tag is None else tag, control.pack_cookie_echo(init_ack.cookie), *more)


@pytest.fixture
def client() -> Host:
    return Host(A, A_PORT, seed=1)


@pytest.fixture
def server() -> Host:
    return Host(B, B_PORT, seed=2, listening=True)


def establish(client: Host, server: Host, now: float = 0.0) -> tuple[Association, User, Association]:
    user = User()
    association = client.endpoint.connect([server.address], server.endpoint.port, now, user)
    carry(client, server, now)
    assert association.state is ESTABLISHED
    return association, user, server.endpoint.associations[-1]


# The way it should be.


def test_four_packets_make_an_association(client: Host, server: Host) -> None:
    client.endpoint.connect([B], B_PORT, 0.0, User())
    first_four = carry(client, server)[:4]
    assert [packet[0] for packet in first_four] == [INIT, INIT_ACK, COOKIE_ECHO, COOKIE_ACK]
    [ours], [theirs] = client.endpoint.associations, server.endpoint.associations
    assert ours.state is theirs.state is ESTABLISHED
    assert ours.context.setup is not None
    assert theirs.context.setup is not None
    assert ours.context.setup.local_tag == theirs.context.setup.peer_tag
    assert ours.context.setup.peer_initial_tsn == theirs.context.setup.local_initial_tsn
    assert theirs.path_manager.primary.route == Route(B, A, UDP)
    statistics = server.endpoint.statistics
    assert (statistics.inits_received, statistics.cookies_accepted, statistics.cookies_rejected) == (1, 1, 0)
    assert server.endpoint.find(A, A_PORT) is theirs


def test_messages_go_through(client: Host, server: Host) -> None:
    association, _, _ = establish(client, server)
    association.send(0, b"hello")
    client.endpoint.touch(association)
    carry(client, server)
    assert server.users[0].messages == [b"hello"]


def test_any_packet_of_the_handshake_may_be_lost(client: Host, server: Host) -> None:
    for kind in (INIT, INIT_ACK, COOKIE_ECHO, COOKIE_ACK):
        here, there = Host(A, A_PORT, seed=kind), Host(B, B_PORT, seed=kind + 50, listening=True)
        association = here.endpoint.connect([B], B_PORT, 0.0, User())
        lost: list[bytes] = []

        def drop_first(data: bytes, kind: int = kind, lost: list[bytes] = lost) -> bool:
            if not lost and kinds(data)[0] == kind:
                lost.append(data)
                return True
            return False

        carry(here, there, 0.0, drop_first)
        assert so_far(association.state) is not ESTABLISHED
        assert here.endpoint.next_expiry == 1.0
        here.endpoint.expire(1.0)
        carry(here, there, 1.0)
        assert association.state is ESTABLISHED
        assert len(there.endpoint.associations) == 1


def test_a_listener_keeps_nothing_of_an_init(server: Host) -> None:
    for number in range(300):
        [answer] = server.receive(init_packet(tag=number + 1), f"198.51.100.{number % 200 + 1}")
        assert read_header(answer) == (B_PORT, A_PORT, number + 1)
        assert checksum_ok(answer)
    assert server.endpoint.associations == []
    assert server.endpoint.next_expiry == float("inf")


def test_an_init_ack_reports_what_was_not_known(server: Host) -> None:
    unknown = tlv.pack(0xC123, b"new thing")
    fixed = pack_init(Init(0x4444, 9999, 5, 5, 7), ack=False)[4:]
    [answer] = server.receive(packet(0, tlv.pack(INIT << 8, fixed + unknown)), A)
    assert init_ack_of(answer).reported == (unknown[:13],)  # without its padding


def test_data_behind_the_cookie_is_taken(server: Host) -> None:
    [answer] = server.receive(init_packet(), A)
    data = tlv.pack(3, (7).to_bytes(4) + bytes(8) + b"early")
    packets = server.receive(cookie_echo(answer, data), A)
    assert server.users[0].messages == [b"early"]
    assert kinds(packets[0])[0] == COOKIE_ACK


def test_simultaneous_connects_become_one_association() -> None:
    a, b = Host(A, A_PORT, seed=1), Host(B, B_PORT, seed=2)
    ours = a.endpoint.connect([B], B_PORT, 0.0, User())
    theirs = b.endpoint.connect([A], A_PORT, 0.0, User())
    carry(a, b)
    assert ours.state is theirs.state is ESTABLISHED
    assert (ours.context.local_tag, ours.context.peer_tag) == (theirs.context.peer_tag, theirs.context.local_tag)
    ours.send(0, b"one")
    a.endpoint.touch(ours)
    carry(a, b)
    assert theirs.statistics.messages_received == 1


# Refusals.


def test_nobody_listens(client: Host) -> None:
    deaf = Host(B, B_PORT, seed=2)
    user = User()
    client.endpoint.connect([B], B_PORT, 0.0, user)
    carry(client, deaf)
    assert isinstance(user.closed[0], AssociationRefused)
    assert deaf.endpoint.statistics.associations_refused == 1
    assert client.endpoint.associations == []


def test_the_limit_is_kept_at_init_and_at_cookie_echo(client: Host) -> None:
    server = Host(B, B_PORT, seed=2, listening=True, limit=1)
    [early] = server.receive(init_packet(), C)
    establish(client, server)
    [refusal] = server.receive(cookie_echo(early), C)
    assert (kinds(refusal), cause_of(refusal), refusal[13]) == ([ABORT], CAUSE_OUT_OF_RESOURCE, 0)
    assert read_header(refusal)[2] == 0x4444
    user = User()
    other = Host(C, A_PORT, seed=3)
    other.endpoint.connect([B], B_PORT, 0.0, user)
    carry(other, server)
    assert isinstance(user.closed[0], AssociationRefused)
    assert [cause.code for cause in user.closed[0].causes] == [CAUSE_OUT_OF_RESOURCE]
    assert len(server.endpoint.associations) == 1


def test_nobody_answers(client: Host) -> None:
    user = User()
    client.endpoint.connect([B], B_PORT, 0.0, user)
    while client.endpoint.associations:
        client.endpoint.expire(client.endpoint.next_expiry)
    assert isinstance(user.closed[0], AssociationTimeout)
    assert client.endpoint.next_expiry == float("inf")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"outgoing_streams": 0}, CAUSE_INVALID_PARAMETER),
        ({"incoming_streams": 0}, CAUSE_INVALID_PARAMETER),
        ({"a_rwnd": 1499}, CAUSE_INVALID_PARAMETER),
    ],
)
def test_flawed_inits_are_answered_under_their_own_tag(server: Host, changes: dict[str, Any], code: int) -> None:
    [answer] = server.receive(init_packet(**changes), A)
    assert (kinds(answer), cause_of(answer)) == ([ABORT], code)
    assert read_header(answer) == (B_PORT, A_PORT, 0x4444)
    assert answer[13] == 0


def test_flawed_inits_do_not_touch_an_association(client: Host, server: Host) -> None:
    _, _, theirs = establish(client, server)
    [answer] = server.receive(init_packet(outgoing_streams=0), A)
    assert kinds(answer) == [ABORT]
    assert theirs.state is ESTABLISHED


def test_host_names_are_refused(server: Host) -> None:
    fixed = pack_init(Init(0x4444, 9999, 5, 5, 7), ack=False)[4:]
    [answer] = server.receive(packet(0, tlv.pack(INIT << 8, fixed + tlv.pack(11, b"host\0"))), A)
    assert cause_of(answer) == CAUSE_UNRESOLVABLE_ADDRESS


def test_an_init_must_come_alone_with_tag_0(server: Host) -> None:
    """Sections 5.1 and 8.5.1 A; CVE-2021-3772: for a known peer too."""
    init = pack_init(Init(0x4444, 9999, 5, 5, 7), ack=False)
    for wrong in (
        packet(1, init),
        packet(0, init, control.pack_heartbeat(b"")),
        packet(0, control.pack_heartbeat(b""), init),
        packet(0, init, init),
        packet(0, control.pack_abort()),
        packet(0, control.pack_shutdown_ack()),
        packet(0),
        init_packet(tag=0),
    ):
        assert server.receive(wrong, A) == []
    assert server.endpoint.statistics.malformed_packets == 8


def test_packets_that_are_none(server: Host) -> None:
    broken = bytearray(init_packet())
    broken[-1] ^= 1
    assert server.receive(bytes(broken), A) == []
    assert server.receive(init_packet()[:8] + bytes(4) + init_packet()[12:], A) == []  # a checksum of 0 is none
    assert server.endpoint.statistics.checksum_errors == 2
    for size in range(12):
        assert server.receive(bytes(size), A) == []
    assert server.endpoint.statistics.malformed_packets == 12
    assert server.receive(packet(0, b"\1\0\0\4"), A) == []  # an INIT without its fixed part
    assert server.receive(Seal(A_PORT, B_PORT + 1, 5).pack(b""), A) == []
    assert server.receive(init_packet(), "224.0.0.1") == []


# Cookies.


def test_a_stale_cookie_is_reported_and_the_client_asks_for_a_longer_life(server: Host) -> None:
    server = Host(B, B_PORT, seed=2, listening=True, config=Config(cookie_lifetime=1.0))
    client = Host(A, A_PORT, seed=1)
    association = client.endpoint.connect([B], B_PORT, 0.0, User())
    client.endpoint.flush(0.0)
    [answer] = server.receive(client.take()[0][1], A, 0.0)
    [echo] = client.receive(answer, B, 1.25)
    [error] = server.receive(echo, A, 1.25)
    assert (kinds(error), cause_of(error)) == ([ERROR], CAUSE_STALE_COOKIE)
    assert int.from_bytes(error[20:24]) == 250_000
    assert read_header(error)[2] == association.context.local_tag
    [init] = client.receive(error, B, 1.5)
    assert read_init(init, 16, len(init)).preservative_ms == 500  # 0.25 s of round trip, 0.25 s of staleness
    [answer] = server.receive(init, A, 1.5)
    [echo] = client.receive(answer, B, 2.9)
    server.receive(echo, A, 2.9)
    assert len(server.endpoint.associations) == 1
    assert server.endpoint.statistics.stale_cookies == 1


def test_a_cookie_is_good_once(server: Host) -> None:
    """A replay must not bring an ended association back to life."""
    [answer] = server.receive(init_packet(), A)
    echo = cookie_echo(answer)
    server.receive(echo, A)
    [association] = server.endpoint.associations
    association.abort(1.0, b"")
    server.endpoint.touch(association)
    server.endpoint.flush(1.0)
    server.take()
    [refusal] = server.receive(echo, A, 2.0)
    assert kinds(refusal) == [ABORT]
    assert read_header(refusal)[2] == 0x4444
    assert server.endpoint.associations == []


def test_a_cookie_echo_again_gets_its_cookie_ack_again(server: Host) -> None:
    [answer] = server.receive(init_packet(), A)
    echo = cookie_echo(answer)
    server.receive(echo, A)
    packets = server.receive(echo, A, 500.0)  # case E: even when it is stale
    assert [kinds(packet)[0] for packet in packets] == [COOKIE_ACK]
    assert len(server.endpoint.associations) == 1


def test_a_cookie_counts_only_as_it_was_sent(server: Host) -> None:
    """Section 5.1.5 step 3 and RFC 5062 section 7: same ports, same tag, from one of its addresses."""
    [answer] = server.receive(init_packet(), A)
    init_ack = init_ack_of(answer)
    assert init_ack.cookie is not None
    chunk = control.pack_cookie_echo(init_ack.cookie)
    tag = init_ack.initiate_tag
    assert server.receive(packet(tag, chunk, source=A_PORT + 1), A) == []
    assert server.receive(packet(tag ^ 1, chunk), A) == []
    assert server.receive(packet(tag, chunk), C) == []
    assert server.receive(packet(tag, control.pack_cookie_echo(init_ack.cookie[:-1])), A) == []
    assert server.receive(packet(tag, control.pack_cookie_echo(b"")), A) == []
    assert server.endpoint.statistics.cookies_rejected == 5
    assert server.endpoint.associations == []
    server.receive(packet(tag, chunk), A)
    assert len(server.endpoint.associations) == 1


def test_the_udp_port_is_that_of_the_cookie_echo(server: Host) -> None:
    [answer] = server.receive(init_packet(), A, udp_port=1111)
    server.receive(cookie_echo(answer), A, udp_port=2222)
    assert server.endpoint.associations[0].path_manager.primary.route.udp_port == 2222


def test_a_cookie_after_the_listener_closed(server: Host) -> None:
    [answer] = server.receive(init_packet(), A)
    server.endpoint.close(0.0)
    [refusal] = server.receive(cookie_echo(answer), A)
    assert kinds(refusal) == [ABORT]


# Restarts.


def test_a_peer_that_lost_its_state_comes_back(client: Host, server: Host) -> None:
    _, _, theirs = establish(client, server)
    old_tag = theirs.context.local_tag
    reborn = Host(A, A_PORT, seed=77)
    association, _, _ = establish(reborn, server, 5.0)
    assert server.endpoint.associations == [theirs]
    assert len(server.users) == 1
    assert sum(isinstance(event, AssociationRestarted) for event in server.users[0].events) == 1
    assert theirs.context.local_tag != old_tag
    association.send(0, b"again")
    reborn.endpoint.touch(association)
    carry(reborn, server, 5.0)
    assert server.users[0].messages == [b"again"]
    # What the old one sends is nothing any more.
    assert server.receive(packet(old_tag, control.pack_abort()), A) == []
    assert theirs.state is ESTABLISHED


def test_a_restart_that_brings_addresses_is_refused(client: Host, server: Host) -> None:
    _, _, theirs = establish(client, server)
    [answer] = server.receive(init_packet(addresses=(A, C)), A)
    assert (kinds(answer), cause_of(answer)) == ([ABORT], CAUSE_RESTART_NEW_ADDRESSES)
    assert read_header(answer)[2] == 0x4444
    # Section 5.1.2 D: by a listed address it is about the same association.
    [answer] = server.receive(init_packet(addresses=(A,)), C)
    assert cause_of(answer) == CAUSE_RESTART_NEW_ADDRESSES
    assert theirs.state is ESTABLISHED


def test_an_init_of_a_known_peer_from_another_udp_port_is_refused_there(client: Host, server: Host) -> None:
    """Draft udp-encaps-cons section 4, rule 7."""
    establish(client, server)
    server.endpoint.receive(init_packet(), Route(B, A, 40000), 0.0)
    server.endpoint.flush(0.0)
    [(route, answer)] = server.take()
    assert route.udp_port == 40000
    assert (kinds(answer), cause_of(answer)) == ([ABORT], CAUSE_NEW_ENCAPSULATION_PORT)


def test_the_same_address_with_another_sctp_port_is_another_peer(client: Host, server: Host) -> None:
    establish(client, server)
    other = Host(A, A_PORT + 1, seed=9)
    establish(other, server)
    assert len(server.endpoint.associations) == 2


# Tags.


def test_a_known_peer_with_a_wrong_tag_is_not_answered(client: Host, server: Host) -> None:
    """Section 8.5: silence."""
    _, _, theirs = establish(client, server)
    for chunk in (
        control.pack_abort(),
        control.pack_abort(reflected=True),
        control.pack_shutdown_ack(),
        control.pack_shutdown_complete(reflected=True),
        control.pack_heartbeat(b"x"),
        control.pack_cookie_ack(),
    ):
        assert server.receive(packet(0x9999, chunk), A) == []
    assert theirs.statistics.bad_tags == 6
    assert theirs.state is ESTABLISHED


def test_an_abort_with_our_tag_reflected_ends_it(client: Host, server: Host) -> None:
    """Section 8.5.1 B: the peer has no such association any more."""
    _, _, theirs = establish(client, server)
    assert server.receive(packet(theirs.context.peer_tag, control.pack_abort()), A) == []
    assert so_far(theirs.state) is ESTABLISHED
    server.receive(packet(theirs.context.peer_tag, control.pack_abort(reflected=True)), A)
    assert theirs.state is CLOSED
    assert isinstance(server.users[0].closed[0], AssociationAborted)
    assert server.endpoint.associations == []


def test_a_tag_of_0_reflects_nothing(client: Host) -> None:
    """In COOKIE-WAIT the peer's tag is not known; 0 must not pass for it."""
    association = client.endpoint.connect([B], B_PORT, 0.0, User())
    client.endpoint.flush(0.0)
    client.take()
    forged = packet(0, control.pack_abort(reflected=True), source=B_PORT, destination=A_PORT)
    assert client.receive(forged, B) == []
    assert association.state is COOKIE_WAIT


def test_a_peer_that_still_shuts_down_gets_its_shutdown_complete(client: Host) -> None:
    """Section 8.5.1 E: and our INIT goes on."""
    association = client.endpoint.connect([B], B_PORT, 0.0, User())
    client.endpoint.flush(0.0)
    client.take()
    old = packet(0x9999, control.pack_shutdown_ack(), source=B_PORT, destination=A_PORT)
    [answer] = client.receive(old, B)
    assert kinds(answer) == [SHUTDOWN_COMPLETE]
    assert answer[13] == 1
    assert read_header(answer) == (A_PORT, B_PORT, 0x9999)
    assert association.state is COOKIE_WAIT


def test_a_tag_is_never_given_twice_within_its_rest() -> None:
    class Monotonous(Seeded):
        """Draws each number three times."""

        def __init__(self) -> None:
            super().__init__(1)
            self._left: list[int] = []

        def bits(self, count: int) -> int:
            if count != 32:
                return super().bits(count)
            if not self._left:
                self._left = [super().bits(count)] * 3
            return self._left.pop()

    endpoint = Endpoint(Config(), port=1, local_addresses=[A], random=Monotonous(), outbox=Outbox())
    tags = []
    for number in range(20):
        association = endpoint.connect([f"198.51.100.{number + 1}"], 9, 0.0, User())
        tags.append(association.context.local_tag)
        if number % 2:
            association.abort(0.0, b"")
    assert len(set(tags)) == 20


# Out of the blue.


def test_strangers_are_answered_where_they_came_from(server: Host) -> None:
    server.endpoint.receive(packet(0x9999, control.pack_heartbeat(b"hello")), Route(B, C, 40000), 0.0)
    server.endpoint.flush(0.0)
    [(route, answer)] = server.take()
    assert route == Route(B, C, 40000)
    assert read_header(answer) == (B_PORT, A_PORT, 0x9999)
    assert answer[12:] == control.pack_abort(reflected=True)
    assert checksum_ok(answer)
    assert server.endpoint.statistics.out_of_the_blue == 1


def test_an_association_with_another_port_is_refused(server: Host) -> None:
    """Section 8.4 rule 3: nobody listens there. The ABORT comes from that port, with the tag of the INIT."""
    init = pack_init(Init(0x4444, a_rwnd=9999, outgoing_streams=5, incoming_streams=5, initial_tsn=7), ack=False)
    [answer] = server.receive(packet(0, init, destination=B_PORT + 1), A)
    assert read_header(answer) == (B_PORT + 1, A_PORT, 0x4444)
    assert answer[12:] == control.pack_abort()
    assert checksum_ok(answer)
    [answer] = server.receive(packet(0x9999, control.pack_heartbeat(b"hello"), destination=B_PORT + 1), A)
    assert read_header(answer) == (B_PORT + 1, A_PORT, 0x9999)
    assert answer[12:] == control.pack_abort(reflected=True)
    assert server.receive(packet(0x9999, control.pack_abort(), destination=B_PORT + 1), A) == []
    assert server.endpoint.statistics.out_of_the_blue == 3


def test_strangers_are_not_answered_without_end(server: Host) -> None:
    stranger = packet(0x9999, control.pack_shutdown_ack())
    answers = sum(len(server.receive(stranger, C)) for _ in range(1000))
    statistics = server.endpoint.statistics
    assert answers == 400
    assert statistics.answers_suppressed == 600
    assert statistics.out_of_the_blue == 1000
    # It does not keep anyone from setting up an association.
    [answer] = server.receive(init_packet(), A)
    assert kinds(answer) == [INIT_ACK]
    assert len(server.receive(stranger, C, 1.0)) == 1


def test_causes_of_strangers_with_impossible_lengths(server: Host) -> None:
    assert server.receive(packet(1, tlv.pack(ERROR << 8, b"\0\3\0\2")), C) == []
    assert server.receive(packet(1, tlv.pack(ERROR << 8, causes.pack_stale_cookie(1)[:6])), C) == []
    assert server.endpoint.statistics.malformed_packets == 2


# The user.


def test_connect_says_what_is_wrong(client: Host, server: Host) -> None:
    with pytest.raises(ValueError, match="needs an address"):
        client.endpoint.connect([], B_PORT, 0.0, User())
    with pytest.raises(ValueError, match="between 1 and 65535, not 0"):
        client.endpoint.connect([B], 0, 0.0, User())
    with pytest.raises(ValueError, match="family"):
        client.endpoint.connect(["2001:db8::1"], B_PORT, 0.0, User())
    client.endpoint.connect([B], B_PORT, 0.0, User())
    with pytest.raises(ValueError, match=f"association with {B} port {B_PORT} already"):
        client.endpoint.connect([B], B_PORT, 0.0, User())
    assert len(client.endpoint.associations) == 1
    with pytest.raises(ValueError, match="listens"):
        Endpoint(Config(), port=1, local_addresses=[A], random=Seeded(1), outbox=Outbox(), listening=True)


def test_closing_aborts_everyone_and_tells_them(client: Host, server: Host) -> None:
    _, user, _ = establish(client, server)
    server.endpoint.close(1.0, b"good night")
    carry(client, server, 1.0)
    assert server.endpoint.associations == client.endpoint.associations == []
    [error] = user.closed
    assert isinstance(error, AssociationAborted)
    assert "good night" in str(error)
    [answer] = server.receive(init_packet(), A, 1.0)
    assert kinds(answer) == [ABORT]


def test_after_the_end_the_same_peers_can_meet_again(client: Host, server: Host) -> None:
    association, _, _ = establish(client, server)
    association.shutdown(1.0)
    client.endpoint.touch(association)
    carry(client, server, 1.0)
    assert client.endpoint.associations == server.endpoint.associations == []
    establish(client, server, 1.1)
    assert len(server.endpoint.associations) == 1


def test_refused_inits_leave_nothing_behind(client: Host) -> None:
    """CVE-2026-72413 and its kin: whatever was made for an INIT that failed has to go."""
    deaf = Host(B, B_PORT, seed=2)
    for _ in range(50):
        client.endpoint.connect([B], B_PORT, 0.0, User())
        carry(client, deaf)
    assert client.endpoint.associations == []
    assert client.endpoint.find(B, B_PORT) is None
    assert client.endpoint.next_expiry == float("inf")


def test_deadlines_that_move_do_not_pile_up() -> None:
    """The heap of deadlines is bounded by the number of associations, however often their timers are restarted."""
    client = Host(A, A_PORT, seed=1)
    server = Host(B, B_PORT, seed=2, listening=True)
    association, _, theirs = establish(client, server)
    now = 0.0
    for _ in range(500):
        now += 0.01
        association.send(0, b"x")
        client.endpoint.touch(association)
        carry(client, server, now)
        theirs.consumed(64)
        for host in (client, server):
            if host.endpoint.next_expiry <= now:
                host.endpoint.expire(now)
    assert len(client.endpoint._deadlines._heap) < 100
    assert len(server.endpoint._deadlines._heap) < 100
    assert server.users[0].messages == [b"x"] * 500


# Floods (section 12.2.4.1).


def stranger(number: int) -> Route:
    return Route(B, f"198.51.{number >> 8 & 0xFF}.{number & 0xFF}", 1024 + number)


def test_associations_are_served_before_strangers(client: Host, server: Host) -> None:
    """Whatever came first in this turn of the loop."""
    establish(client, server)
    client.endpoint.associations[0].send(0, b"hello")
    client.endpoint.touch(client.endpoint.associations[0])
    client.endpoint.flush(0.0)
    data = [each for _, each in client.take()]
    for number in range(20):
        server.endpoint.receive(init_packet(number + 1), stranger(number), 0.0)
    server.endpoint.receive_batch(data, Route(B, A, UDP), 0.0)
    server.endpoint.flush(0.0)
    answered = [kinds(answer) for _, answer in server.take()]
    assert answered == [[SACK], *[[INIT_ACK]] * 20]
    assert server.users[0].messages == [b"hello"]


def test_more_than_a_turn_brings_does_not_wait(server: Host) -> None:
    """The sockets are full, and nothing is taken from the core: what comes meanwhile is not kept without end."""
    for number in range(5000):
        server.endpoint.receive(init_packet(number + 1), stranger(number), 0.0)
    server.endpoint.flush(0.0)
    assert len(server.take()) == 256
    assert server.endpoint.statistics.answers_suppressed == 5000 - 256


def test_inits_that_nothing_comes_of_are_answered_at_a_rate(server: Host) -> None:
    """5,000 a second, of which 1,000 are answered once the first 2,000 have been."""
    answered = []
    for second in range(4):
        count = 0
        for number in range(5000):
            now = second + number / 5000
            count += len(server.receive(init_packet(number + 1), f"198.51.{number >> 8}.{number & 0xFF}", now))
        answered.append(count)
    assert 2900 < answered[0] < 3100
    assert answered[1:] == pytest.approx([1000] * 3, abs=2)


def test_clients_are_not_taken_for_a_flood(server: Host) -> None:
    """Who returns the cookie makes room for the next, however many there are at once."""
    for number in range(3000):
        source = f"198.51.{number >> 8}.{number & 0xFF}"
        [answer] = server.receive(init_packet(number + 1), source)
        ack = init_ack_of(answer)
        echo = packet(ack.initiate_tag, control.pack_cookie_echo(ack.cookie or b""))
        assert kinds(server.receive(echo, source)[0])[0] == COOKIE_ACK
    assert len(server.endpoint.associations) == 3000


def test_several_hundred_clients_at_once_need_not_ask_twice(server: Host) -> None:
    """All INITs come before the first COOKIE ECHO, in turns of as many packets as the socket gives."""
    acks: list[tuple[Route, Init]] = []
    for first in range(0, 1200, 128):
        for number in range(first, min(first + 128, 1200)):
            server.endpoint.receive(init_packet(number + 1), stranger(number), 0.0)
        server.endpoint.flush(0.0)
        acks += [(route, init_ack_of(answer)) for route, answer in server.take()]
    assert len(acks) == 1200
    for route, ack in acks:
        echo = packet(ack.initiate_tag, control.pack_cookie_echo(ack.cookie or b""))
        server.endpoint.receive(echo, route, 0.0)
        server.endpoint.flush(0.0)
        assert [kinds(answer)[0] for _, answer in server.take()] == [COOKIE_ACK]
    assert len(server.endpoint.associations) == 1200
    assert server.endpoint.statistics.answers_suppressed == 0


@pytest.mark.parametrize(
    "config",
    [
        Config(ecn=False, partial_reliability=False, stream_reconfig=False),
        Config(),
        Config(interleaving=True, nat_support=True),
    ],
    ids=["plain", "default", "more"],
)
@pytest.mark.parametrize("known", [False, True])
def test_an_init_is_answered_by_no_more_than_twice_its_bytes(config: Config, known: bool) -> None:
    """Its source may be forged. Counted with the headers of IPv4 and UDP; parameters that nobody knows included.

    Where there is an association, the tie-tags of section 5.2.2 come on top.
    """
    server = Host(B, B_PORT, 2, listening=True, config=config)
    if known:
        client = Host(A, A_PORT, 1, config=config)
        client.endpoint.connect([B], B_PORT, 0.0, User())
        carry(client, server)
    ours = negotiation.offer(config, Seeded(3), 7, [A], B)
    for init in (Init(7, 9999, 5, 5, 8), ours):
        for unknown in (b"", tlv.pack(0xFFFF) * 3, tlv.pack(0xFFFF) * 100, tlv.pack(0xC123, bytes(100)) * 8):
            body = pack_init(init, ack=False)
            body += bytes(-len(body) & 3) + unknown
            body = body[:2] + len(body).to_bytes(2) + body[4:]
            question = packet(0, body)
            [answer] = server.receive(question, A)
            assert kinds(answer) == [INIT_ACK]
            assert len(answer) + 28 <= 2 * (len(question) + 28) + (8 if known else 0)
