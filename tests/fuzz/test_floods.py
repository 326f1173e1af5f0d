"""Peers and strangers that send as much as they can: memory and answers stay within bounds, and friends are served."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from random import Random
from struct import pack, unpack_from

import pytest
from support.chunks import pack_data
from support.measure import size_of
from support.pair import A_PORT, UDP_PORT, Z_PORT, Pair, Recorder

from asyncsctp.association.association import Association
from asyncsctp.config import Config
from asyncsctp.endpoint.endpoint import Endpoint
from asyncsctp.handlers.state import CLOSED, ESTABLISHED
from asyncsctp.paths.route import Route
from asyncsctp.testing.host import Datagram
from asyncsctp.wire import control
from asyncsctp.wire.constants import COOKIE_ECHO, FLAG_TAG_REFLECTED, INIT, INIT_ACK
from asyncsctp.wire.init import Init, pack_init
from asyncsctp.wire.packet import Seal
from asyncsctp.wire.sack import pack_sack

FROM_A = Route("10.0.0.2", "10.0.0.1", UDP_PORT)
BUFFER = 64 * 1024


def stranger(number: int) -> Route:
    return Route("10.0.0.2", f"192.0.2.{number % 250 + 1}", 1024 + number % 60_000)


@pytest.fixture
def pair() -> Pair:
    """An association that is up, with a small receive buffer; Z's user does not read."""
    pair = Pair(config=Config(recv_buffer=BUFFER, max_message_size=BUFFER, rto_min=0.2))
    pair.establish()
    pair.run_for(5.0)
    pair.stop_reading(1)
    return pair


class Attacker:
    """Whoever knows A's tag and port, and speaks to Z in A's name."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.z = pair.endpoints[1]
        self.association = pair.association(1)
        self.seal = Seal(A_PORT, Z_PORT, unpack_from("!I", self.association.prefix, 4)[0])
        self.sent = self.answers = self.answered = 0

    def send(self, *chunks: bytes) -> None:
        packet = self.seal.pack(b"".join(chunks))
        self.sent += 1
        self.z.receive(packet, FROM_A, self.pair.now, False)
        self.z.flush(self.pair.now)
        self.answers += len(self.z.outbox)
        self.answered += sum(len(answer) for _, answer in self.z.outbox)
        self.z.outbox.clear()
        self.pair.check(self.z)

    @property
    def expected(self) -> int:
        reception = self.association._parts.established.receiver
        return reception.tracker.expected

    def is_up(self) -> bool:
        return self.association.state is ESTABLISHED


def data(tsn: int, payload: bytes, *, flags: int = 3, sid: int = 0, ssn: int = 0) -> bytes:
    return pack_data(flags, tsn & 0xFFFFFFFF, sid, ssn & 0xFFFF, 0, payload)


def growth(action: Callable[[], None]) -> int:
    """How much more memory is in use after this."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        action()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def test_what_is_held_is_measured(pair: Pair) -> None:
    """What an association has received and can't deliver, and what it has to send."""
    z = pair.endpoints[1]
    size = size_of(z)
    attacker = Attacker(pair)
    attacker.send(data(attacker.expected + 1, bytes(1000)))  # the one before it is missing
    assert size + 1000 < size_of(z) < size + 3000
    size = size_of(z)
    pair.association(1).send(0, bytes(20_000))
    assert size + 20_000 < size_of(z) < size + 22_000


# Strangers.


def init_packet(random: Random) -> bytes:
    init = Init(random.getrandbits(32) | 1, 100_000, 10, 10, random.getrandbits(32))
    return Seal(random.randrange(1, 65536), Z_PORT, 0).pack(pack_init(init, ack=False))


def answers(pair: Pair, endpoint: Endpoint) -> list[bytes]:
    endpoint.flush(pair.now)
    packets = [packet for _, packet in endpoint.outbox]
    endpoint.outbox.clear()
    return packets


def test_nothing_is_remembered_of_inits() -> None:
    pair, random = Pair(), Random(0)
    z = pair.endpoints[1]
    before = size_of(z)
    for number in range(1900):
        packet = init_packet(random)
        z.receive(packet, stranger(number), pair.now, False)
        (answer,) = answers(pair, z)
        assert answer[12] == INIT_ACK
        assert len(answer) < 8 * len(packet)
    assert size_of(z) < before + 1000
    assert not z.associations
    pair.establish()


def test_an_oversize_list_of_addresses_is_cut() -> None:
    pair = Pair()
    z = pair.endpoints[1]
    addresses = tuple(f"10.{number >> 8}.{number & 255}.77" for number in range(5000))
    chunk = pack_init(Init(7, 100_000, 10, 10, 1, addresses=addresses), ack=False)
    z.receive(Seal(4001, Z_PORT, 0).pack(chunk), stranger(1), pair.now, False)
    (answer,) = answers(pair, z)
    assert len(answer) < 600
    cookie = next(iter_parameters(answer, 7))
    tag = unpack_from("!I", answer, 16)[0]
    z.receive(Seal(4001, Z_PORT, tag).pack(control.pack_cookie_echo(cookie)), stranger(1), pair.now, False)
    answers(pair, z)
    (association,) = z.associations
    assert len(association.path_manager.paths) <= 16


def iter_parameters(packet: bytes, wanted: int) -> Iterator[bytes]:
    at = 12 + 20
    while at + 4 <= len(packet):
        kind, length = unpack_from("!HH", packet, at)
        if kind == wanted:
            yield packet[at + 4 : at + length]
        at += length + 3 & ~3


def test_a_cookie_is_good_for_one_association() -> None:
    pair = Pair()
    z = pair.endpoints[1]
    echoes: list[bytes] = []

    def watch(datagram: Datagram) -> None:
        if datagram.data[12] == COOKIE_ECHO:
            echoes.append(datagram.data)

    pair.network.on_datagram = watch
    pair.establish()
    pair.network.on_datagram = None
    (echo,) = echoes
    before = size_of(z)
    for _ in range(1000):
        z.receive(echo, FROM_A, pair.now, False)
        assert len(answers(pair, z)) <= 1
    assert pair.accepted == 1
    assert size_of(z) < before + 1000
    pair.abort(0)
    pair.run_until(pair.is_over)
    answered = 0
    for number in range(1000):
        z.receive(echo, FROM_A._replace(udp_port=number + 1), pair.now, False)
        answered += len(answers(pair, z))
    assert pair.accepted == 1
    assert answered <= 400
    assert not z.associations


def test_answers_to_strangers_are_limited() -> None:
    pair, random = Pair(), Random(0)
    z = pair.endpoints[1]
    before = size_of(z)
    answered = 0
    for number in range(5000):
        kind = random.choice((0, 3, 4, 5, 7, 8, 9, 13, 130, 255))
        body = pack("!BBH", kind, 0, 8) + random.randbytes(4)
        packet = Seal(random.randrange(1, 65536), Z_PORT, random.getrandbits(32)).pack(body)
        z.receive(packet, stranger(number), pair.now, False)
        found = answers(pair, z)
        answered += len(found)
        assert all(len(answer) <= len(packet) for answer in found)
    assert answered <= 400
    assert size_of(z) < before + 1000
    pair.establish()  # whoever wants an association is served nevertheless


def test_reflections_with_a_guessed_tag_end_nothing(pair: Pair) -> None:
    z = pair.endpoints[1]
    random = Random(0)
    for chunk in (control.pack_abort(reflected=True), control.pack_shutdown_complete(reflected=True)):
        for _ in range(500):
            z.receive(Seal(A_PORT, Z_PORT, random.getrandbits(32)).pack(chunk), FROM_A, pair.now, False)
    assert chunk[1] == FLAG_TAG_REFLECTED
    assert not answers(pair, z)
    assert pair.association(1).state is ESTABLISHED


# Peers.


def flood_of_every_other_tsn(attacker: Attacker) -> None:
    for number in range(1500):
        attacker.send(data(attacker.expected + 2 * number + 1, b"x", ssn=number + 1))


def flood_of_fragments(attacker: Attacker) -> None:
    """One message that never ends, in fragments of a byte."""
    expected = attacker.expected
    for number in range(0, 19_200, 24):
        attacker.send(*(data(expected + at, b"x", flags=2 if at == 0 else 0) for at in range(number, number + 24)))


def flood_of_loose_fragments(attacker: Attacker) -> None:
    """The middles of many messages."""
    expected = attacker.expected
    for number in range(1, 1500):
        attacker.send(data(expected + number * 2, b"x", flags=0, sid=number & 1023))


def flood_of_waiting_messages(attacker: Attacker) -> None:
    """All but the first of each stream."""
    expected = attacker.expected
    for number in range(0, 19_200, 24):
        tsns = range(number, number + 24)
        attacker.send(*(data(expected + at, b"x", sid=at & 1023, ssn=at // 1024 + 1) for at in tsns))


def flood_beyond_the_window(attacker: Attacker) -> None:
    """Whole messages in their turn, although nobody reads and the window is closed."""
    for number in range(3000):
        attacker.send(data(attacker.expected, bytes(1000), ssn=number))


def flood_from_the_end(attacker: Attacker) -> None:
    """Each TSN below the one before, so that it fills a hole."""
    expected = attacker.expected
    for number in range(4000, 0, -1):
        attacker.send(data(expected + number, bytes(100), ssn=number))


def flood_of_duplicates(attacker: Attacker) -> None:
    tsn = attacker.expected
    attacker.send(data(tsn, b"x"))
    for _ in range(2000):
        attacker.send(*(data(tsn, b"x") for _ in range(40)))


def flood_far_away(attacker: Attacker) -> None:
    random = Random(0)
    for _ in range(5000):
        attacker.send(data(random.getrandbits(32), b"x", flags=random.randrange(8), sid=random.randrange(1024)))
        if not attacker.is_up():  # a contradiction was among them
            break


def flood_of_invalid_streams(attacker: Attacker) -> None:
    for _ in range(3000):
        attacker.send(data(attacker.expected, b"x", sid=65535))


def flood_of_unknown_chunks(attacker: Attacker) -> None:
    for _ in range(500):
        attacker.send(*(pack("!BBH", 0xFE, 0, 4) for _ in range(300)))


def flood_of_heartbeats(attacker: Attacker) -> None:
    for number in range(3000):
        attacker.send(control.pack_heartbeat(pack("!I", number) * 100))


def flood_of_sacks(attacker: Attacker) -> None:
    """Of what was sent they acknowledge this and that, and of the rest nothing: that would abort (section 12.4)."""
    random = Random(0)
    transmission = attacker.association._parts.established.sender
    outstanding = transmission.outstanding
    for _ in range(300):
        beyond = outstanding.next_tsn - outstanding.cumulative_tsn
        blocks = [(random.randrange(65536), random.randrange(beyond)) for _ in range(200)]
        blocks += [(random.randrange(beyond), random.randrange(beyond)) for _ in range(100)]
        attacker.send(pack_sack(outstanding.cumulative_tsn & 0xFFFFFFFF, 100_000, blocks, range(50)))


@pytest.mark.parametrize(
    "flood",
    [
        flood_of_every_other_tsn,
        flood_of_fragments,
        flood_of_loose_fragments,
        flood_of_waiting_messages,
        flood_beyond_the_window,
        flood_from_the_end,
        flood_of_duplicates,
        flood_far_away,
        flood_of_invalid_streams,
        flood_of_unknown_chunks,
        flood_of_heartbeats,
        flood_of_sacks,
    ],
)
def test_a_peer_gets_no_more_memory_than_the_receive_buffer(pair: Pair, flood: Callable[[Attacker], None]) -> None:
    attacker = Attacker(pair)
    pair.send(1, 0, bytes(20_000))  # something is outstanding
    pair.endpoints[1].flush(pair.now)
    pair.endpoints[1].outbox.clear()
    pair.check = unchecked  # type: ignore[method-assign]
    grown = growth(lambda: flood(attacker))
    assert grown < 4 * BUFFER + 64 * 1024
    # Nor do its packets make us send more than came, and what is outstanding once or twice more.
    assert attacker.answers <= attacker.sent + 50
    assert attacker.answered <= 1300 * attacker.answers
    del pair.check
    if attacker.is_up():
        pair.check(pair.endpoints[1])


def unchecked(endpoint: object) -> None:
    """Too dear for each packet of a flood."""


def test_after_a_flood_the_association_goes_on(pair: Pair) -> None:
    """Of what changes nothing: the true A is served after it as before."""
    attacker = Attacker(pair)
    flood_of_unknown_chunks(attacker)
    flood_of_heartbeats(attacker)
    pair.send(1, 3, b"z" * 30_000)
    pair.simulation.flush()
    flood_of_sacks(attacker)
    pair.resume_reading(1)
    pair.send(0, 1, b"a" * 30_000)
    pair.run_until(pair.is_delivered, 600.0)
    pair.shutdown(0)
    pair.run_until(pair.is_over, 600.0)
    pair.verify()
    assert all(user.error is None for user in pair.users)


def test_a_reader_that_has_gone_away_does_not_end_the_association() -> None:
    """A closed window is probed for as long as the peer answers (section 6.1 A)."""
    pair = Pair(config=Config(recv_buffer=4096, rto_max=5.0))
    pair.establish()
    pair.stop_reading(1)
    for _ in range(20):
        pair.send(0, 0, bytes(1000))
    pair.run_for(3600.0)
    assert pair.association(0).state is ESTABLISHED
    pair.resume_reading(1)
    pair.run_until(pair.is_delivered)
    pair.verify()


def test_associations_come_and_go_without_a_trace() -> None:
    pair = Pair()
    a, z = pair.endpoints
    sizes = []
    for _ in range(60):
        users = [pair.users[0], pair.users[1]]
        for user in users:
            user.__init__(user.name)  # type: ignore[misc]
        pair.establish()
        pair.send(0, 0, bytes(5000))
        pair.run_until(lambda: bool(pair.users[1].messages))
        pair.shutdown(0)
        pair.run_until(pair.is_over)
        assert not a.associations
        assert not z.associations
        pair.sent[0].clear()
        pair.run_for(600.0)  # the tags have rested
        pair.users[0].association = pair.users[1].association = None
        pair.users[1].messages.clear()
        sizes.append((size_of(a), size_of(z.statistics, z._directory, z._deadlines, z._touched)))
    assert sizes[-1][0] < sizes[10][0] + 500
    assert sizes[-1][1] < sizes[10][1] + 500


def test_users_are_told_once() -> None:
    """Of the end, and of nothing after it."""
    pair = Pair()
    pair.establish()
    user: Recorder = pair.users[0]
    association: Association = pair.association(0)
    association.abort(pair.now, b"")
    association.abort(pair.now, b"")
    association.shutdown(pair.now)
    pair.endpoints[0].touch(association)
    pair.run_until(pair.is_over)
    assert user.is_closed
    assert association.state is CLOSED
    assert INIT == 1
