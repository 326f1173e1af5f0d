"""One port with several endpoints: their tags, and where packets go that came to the wrong one."""

from __future__ import annotations

from collections import Counter

import pytest

from asyncsctp.association.association import Association
from asyncsctp.association.outbox import Outbox
from asyncsctp.association.user import AssociationUser
from asyncsctp.config import Config
from asyncsctp.endpoint.endpoint import Endpoint
from asyncsctp.endpoint.port_sharing import MemberTags, Sharing
from asyncsctp.handlers.setup.cookie import CookieJar
from asyncsctp.handlers.setup.negotiation import Setup
from asyncsctp.paths.route import Route
from asyncsctp.testing import SeededRandom
from asyncsctp.wire import control
from asyncsctp.wire.constants import ABORT, COOKIE_ACK, INIT_ACK, SHUTDOWN_COMPLETE
from asyncsctp.wire.packet import Seal

HERE, THERE = "192.0.2.1", "192.0.2.2"
PORT, PEER_PORT = 5001, 6000
IN = Route(HERE, THERE, 9899)
SECRET = bytes(range(32))


class Few:
    """Chance that says what it is told to."""

    def __init__(self, *numbers: int) -> None:
        self._numbers = list(numbers)

    def bits(self, count: int) -> int:
        return self._numbers.pop(0)

    def token(self, size: int) -> bytes:
        return bytes(size)


@pytest.mark.parametrize("members", [1, 2, 3, 4, 7, 64])
def test_tags_tell_the_member(members: int) -> None:
    chance = SeededRandom(1)
    for member in range(members):
        tags = MemberTags(chance, member, members)
        assert {tags.bits(32) % members for _ in range(100)} == {member}


def test_every_tag_of_a_member_is_equally_likely() -> None:
    """All 16 numbers of 4 bits are drawn once: each of the members' five numbers comes from three of them."""
    counts = Counter(MemberTags(Few(number, 0), 1, 3).bits(4) for number in range(16))
    counts[1] -= 1  # 15 is of no complete run: the second number, 0, stands in for it
    assert counts == {1: 3, 4: 3, 7: 3, 10: 3, 13: 3}


def test_a_member_is_one_of_the_members() -> None:
    with pytest.raises(ValueError, match=r"member must be in range\(4\), not 4"):
        Sharing(4, 4, Desk(Post(), 4))


class Post:
    """Carries packets between members that are here, when told to."""

    def __init__(self) -> None:
        self.members: list[Member] = []
        self.handed: list[tuple[int, bytes]] = []

    def deliver(self, member: int, datagram: bytes, route: Route, congestion_experienced: bool) -> None:
        self.handed.append((member, datagram))
        target = self.members[member]
        target.sharing.is_receiving = True
        target.endpoint.receive(datagram, route, 0.0, congestion_experienced)
        target.sharing.is_receiving = False
        target.endpoint.flush(0.0)


class Desk:
    """Where one member hands in what others are to get."""

    def __init__(self, post: Post, member: int) -> None:
        self._post = post
        self._member = member

    def hand_over(self, member: int, datagram: bytes, route: Route, congestion_experienced: bool) -> None:
        self._post.deliver(member, datagram, route, congestion_experienced)

    def hand_round(self, datagram: bytes, route: Route, congestion_experienced: bool) -> None:
        for member in range(len(self._post.members)):
            if member != self._member:
                self._post.deliver(member, datagram, route, congestion_experienced)


class Member:
    def __init__(self, post: Post, index: int, count: int) -> None:
        self.outbox = Outbox()
        self.associations: list[Association] = []
        self.sharing = Sharing(index, count, Desk(post, index), SECRET)
        self.endpoint = Endpoint(
            Config(),
            port=PORT,
            local_addresses=[HERE],
            random=SeededRandom(index),
            outbox=self.outbox,
            listening=True,
            accept=self._accept,
            sharing=self.sharing,
        )
        post.members.append(self)

    def _accept(self, association: Association) -> AssociationUser:
        self.associations.append(association)
        return AssociationUser()

    def receive(self, datagram: bytes, route: Route = IN) -> list[bytes]:
        self.endpoint.receive(datagram, route, 0.0)
        self.endpoint.flush(0.0)
        return self.take()

    def take(self) -> list[bytes]:
        packets = [packet for _, packet in self.outbox]
        self.outbox.clear()
        return packets


class Peer:
    """A client, at whose side the test stands."""

    def __init__(self, port: int = PEER_PORT) -> None:
        self.outbox = Outbox()
        self.endpoint = Endpoint(
            Config(), port=port, local_addresses=[THERE], random=SeededRandom("peer"), outbox=self.outbox
        )
        self.association = self.endpoint.connect([HERE], PORT, 0.0, AssociationUser())

    def take(self) -> bytes:
        self.endpoint.flush(0.0)
        packet = next(iter(self.outbox))[1]
        self.outbox.clear()
        return packet

    def receive(self, packets: list[bytes]) -> None:
        for packet in packets:
            self.endpoint.receive(packet, Route(THERE, HERE, 9899), 0.0)


@pytest.fixture
def post() -> Post:
    return Post()


@pytest.fixture
def members(post: Post) -> list[Member]:
    return [Member(post, index, 4) for index in range(4)]


def establish(members: list[Member], at: int = 2, port: int = PEER_PORT) -> Peer:
    peer = Peer(port)
    acks = members[at].receive(peer.take())
    assert [ack[12] for ack in acks] == [INIT_ACK]
    peer.receive(acks)
    answers = members[at].receive(peer.take())
    assert [answer[12] for answer in answers] == [COOKIE_ACK]
    peer.receive(answers)
    return peer


def test_a_member_gives_out_tags_of_its_class(members: list[Member]) -> None:
    for index, member in enumerate(members):
        establish(members, index, 7000 + index)
        assert [association.context.local_tag % 4 for association in member.associations] == [index]


def test_the_maker_gets_a_cookie_back_whoever_it_comes_to(members: list[Member], post: Post) -> None:
    peer = Peer()
    peer.receive(members[1].receive(peer.take()))
    assert members[3].receive(peer.take()) == []
    assert [member for member, _ in post.handed] == [1]
    assert [packet[12] for packet in members[1].take()] == [COOKIE_ACK]
    assert [len(member.associations) for member in members] == [0, 1, 0, 0]


def test_a_packet_that_came_to_the_wrong_member_is_handed_over_and_not_answered(members: list[Member]) -> None:
    peer = establish(members)
    peer.association.send(0, b"hello")
    peer.endpoint.touch(peer.association)
    assert members[0].receive(peer.take()) == []
    assert members[2].associations[0].statistics.data_chunks_received == 1
    assert (members[0].endpoint.statistics.handed_over, members[0].endpoint.statistics.out_of_the_blue) == (1, 0)


def test_a_tag_that_nobody_has_is_answered_once_by_the_member_of_its_class(members: list[Member], post: Post) -> None:
    stray = Seal(PEER_PORT, PORT, 4 * 1000 + 3).pack(control.pack_shutdown_ack())
    assert members[1].receive(stray) == []
    assert post.handed == [(3, stray)]
    assert [(packet[12], packet[13]) for packet in members[3].take()] == [(SHUTDOWN_COMPLETE, 1)]


def test_a_reflected_tag_finds_the_member_that_sends_with_it(members: list[Member], post: Post) -> None:
    """Section 8.5.1 B: the ABORT of a peer that lost its memory bears the peer's tag."""
    peer = establish(members, 2)
    abort = Seal(PEER_PORT, PORT, peer.association.context.local_tag).pack(control.pack_abort(reflected=True))
    assert members[0].receive(abort) == []
    assert sorted(member for member, _ in post.handed) == [1, 2, 3]
    assert [member.endpoint.associations for member in members] == [[], [], [], []]


def test_a_reflected_tag_that_is_ours_goes_no_further(members: list[Member], post: Post) -> None:
    peer = establish(members, 2)
    abort = Seal(PEER_PORT, PORT, peer.association.context.local_tag).pack(control.pack_abort(reflected=True))
    members[2].receive(abort)
    assert post.handed == []
    assert members[2].endpoint.associations == []


def test_forged_reflected_tags_are_not_passed_on_without_end(members: list[Member], post: Post) -> None:
    for tag in range(1, 5000):
        members[0].receive(Seal(PEER_PORT, PORT, tag).pack(control.pack_abort(reflected=True)))
    assert len(post.handed) <= 3 * 2000
    bad = bytearray(Seal(PEER_PORT, PORT, 1).pack(control.pack_abort(reflected=True)))
    bad[8] ^= 1  # the checksum
    post.handed.clear()
    members[1].receive(bytes(bad))
    assert post.handed == []


def test_too_short_a_packet_is_malformed(members: list[Member], post: Post) -> None:
    for size in range(12):
        members[0].receive(bytes(size))
    assert members[0].endpoint.statistics.malformed_packets == 12
    assert post.handed == []


def test_who_is_about_to_leave_leaves_new_associations_to_the_next(members: list[Member], post: Post) -> None:
    known = establish(members, 3)
    members[3].endpoint.listening = False
    peer = Peer(PEER_PORT + 1)
    assert members[3].receive(peer.take()) == []
    acks = members[0].take()
    peer.receive(acks)
    assert [ack[12] for ack in acks] == [INIT_ACK]
    assert [packet[12] for packet in members[0].receive(peer.take())] == [COOKIE_ACK]

    # Section 5.2.2: one that it has, and whose peer restarts, stays with it.
    again = Peer(known.endpoint.port)
    post.handed.clear()
    assert [packet[12] for packet in members[3].receive(again.take())] == [INIT_ACK]
    assert post.handed == []


def test_when_all_are_about_to_leave_new_associations_are_refused(members: list[Member]) -> None:
    for member in members:
        member.endpoint.listening = False
    assert members[1].receive(Peer().take()) == []
    assert [packet[12] for packet in members[2].take()] == [ABORT]


def test_a_successor_opens_the_cookies_of_the_one_before(members: list[Member]) -> None:
    """A member dies between INIT ACK and COOKIE ECHO, and another begins in its place."""
    peer = Peer()
    peer.receive(members[1].receive(peer.take()))
    successor = Member(Post(), 1, 4)
    assert [packet[12] for packet in successor.receive(peer.take())] == [COOKIE_ACK]


def test_jars_that_share_a_secret_open_each_others_cookies() -> None:
    setup = Setup(
        local_tag=1,
        peer_tag=2,
        local_initial_tsn=3,
        peer_initial_tsn=4,
        peer_rwnd=5,
        outgoing_streams=6,
        incoming_streams=7,
        local_port=PORT,
        peer_port=PEER_PORT,
        addresses=(THERE,),
        udp_port=9899,
    )
    now = 3599.0
    bound = (PORT, PEER_PORT, 1)
    one = CookieJar(SeededRandom(1), 60.0, SECRET)
    one.seal(setup, 0.0)
    cookie = one.seal(setup, now)
    other = CookieJar(SeededRandom(2), 60.0, SECRET)  # knows nothing of the hour in which the cookie was made
    assert other.open(cookie, 3601.0, bound) == one.open(cookie, 3601.0, bound) is not None
    assert other.open(cookie, 7201.0, bound) is None
    assert CookieJar(SeededRandom(1), 60.0, SECRET[::-1]).open(cookie, now, bound) is None
    assert CookieJar(SeededRandom(1), 60.0).open(cookie, now, bound) is None
    assert SECRET not in cookie


def test_kinds_of_chunks_with_the_t_bit() -> None:
    """ABORT without it bears our tag, as everything else does; the bit of other chunks means other things."""
    members = [Member(post := Post(), 0, 2), Member(post, 1, 2)]
    members[0].receive(Seal(PEER_PORT, PORT, 2).pack(control.pack_abort()))
    assert post.handed == []
    members[0].receive(Seal(PEER_PORT, PORT, 3).pack(control.pack_abort()))
    assert [member for member, _ in post.handed] == [1]
    assert control.pack_abort(reflected=True)[0] == ABORT
