"""What a SACK, a DATA chunk and a message cost does not grow with what is in flight, with streams or with associations.

Counted in lines of Python executed, which are the same on every machine. Compiled code has none to count; it is made
from the same source, whose loops are the same.
"""

from __future__ import annotations

from functools import partial
from struct import unpack_from

import pytest
from support.asconf_script import Mobile, add, delete
from support.measure import lines
from support.on_terms import send_on_terms
from support.script import LOCAL, PEER, Script

from asyncsctp import compiled
from asyncsctp.association.association import Association
from asyncsctp.association.outbox import Outbox
from asyncsctp.association.user import AssociationUser
from asyncsctp.config import Config
from asyncsctp.congestion import CongestionController
from asyncsctp.endpoint.directory import Deadlines
from asyncsctp.endpoint.endpoint import Endpoint
from asyncsctp.inbound.data_streams import DataStreams
from asyncsctp.inbound.data_tracker import DataTracker
from asyncsctp.inbound.idata_streams import IDataStreams
from asyncsctp.inbound.reassembly import Recipient
from asyncsctp.outbound.data_queue import DataQueue
from asyncsctp.outbound.message import LIMITED, PRIORITY, TIMED, OutboundMessage, Terms
from asyncsctp.paths.route import Route
from asyncsctp.schedulers import FirstComeFirstServed
from asyncsctp.testing import SeededRandom
from asyncsctp.timers import AUTOCLOSE, NEVER, T3_RTX
from asyncsctp.wire import control, tlv
from asyncsctp.wire.constants import (
    ASCONF,
    ASCONF_ACK,
    AUTH,
    CAUSE_USER_ABORT,
    DATA,
    HEARTBEAT,
    HEARTBEAT_ACK,
    PARAM_IPV4_ADDRESS,
)
from asyncsctp.wire.init import Init, pack_init
from asyncsctp.wire.packet import Seal
from asyncsctp.wire.reconfig import (
    pack_add_streams,
    pack_incoming_reset,
    pack_outgoing_reset,
    pack_reconfig,
    pack_response,
)
from asyncsctp.wire.sack import pack_sack

pytestmark = pytest.mark.skipif(compiled, reason="compiled code has no lines to count; ASYNCSCTP_PURE=1 has")

A, Z = "10.0.0.1", "10.0.0.2"
TO_Z, TO_A = Route(Z, A, 9899), Route(A, Z, 9899)  # as the receiver sees them
SETTINGS = Config(recv_buffer=1 << 28, send_buffer=1 << 28, mtu=1500, heartbeat_interval=None)


class Unlimited(CongestionController):
    """A window that is never full."""

    def __init__(self, pmdcs: int, ipv4: bool) -> None:
        super().__init__(pmdcs, ipv4)
        self.cwnd = 1 << 30

    def on_ack(self, acked: int, in_flight_before: int, cum_advanced: bool, in_recovery: bool, now: float) -> None:
        pass

    def on_fast_retransmit(self, now: float) -> None:
        pass


class Two:
    """Two endpoints whose packets are handed over by hand, and `count` associations between them."""

    def __init__(self, count: int = 1, streams: int = 1024) -> None:
        config = SETTINGS.replace(congestion=Unlimited, outgoing_streams=streams)
        self.accepted: list[Association] = []
        self.z = Endpoint(
            config,
            port=5001,
            local_addresses=[Z],
            random=SeededRandom(2),
            outbox=Outbox(),
            listening=True,
            accept=self.accept,
        )
        self.ends = [
            Endpoint(config, port=10000 + number, local_addresses=[A], random=SeededRandom(number), outbox=Outbox())
            for number in range(count)
        ]
        self.associations = [end.connect([Z], 5001, 0.0, AssociationUser(), udp_port=9899) for end in self.ends]
        for end in self.ends:
            for _ in range(2):
                self.hand_over(end, self.z, TO_Z)
                self.hand_over(self.z, end, TO_A)
        assert len(self.accepted) == count

    def accept(self, association: Association) -> AssociationUser:
        self.accepted.append(association)
        return AssociationUser()

    def hand_over(self, source: Endpoint, destination: Endpoint, route: Route) -> None:
        source.flush(0.0)
        packets = [packet for _, packet in source.outbox]
        source.outbox.clear()
        for packet in packets:
            destination.receive(packet, route, 0.0)

    def send(self, count: int, streams: int = 1, size: int = 1400) -> list[bytes]:
        """The packets of so many messages of the first association."""
        association = self.associations[0]
        for number in range(count):
            association.send(number % streams, bytes(size))
        self.ends[0].touch(association)
        self.ends[0].flush(0.0)
        packets = [packet for _, packet in self.ends[0].outbox]
        self.ends[0].outbox.clear()
        return packets

    def answers(self, packets: list[bytes]) -> list[bytes]:
        """What the other side sends when it gets these together."""
        for packet in packets:
            self.z.receive(packet, TO_Z, 0.0)
        self.z.flush(0.0)
        sacks = [packet for _, packet in self.z.outbox]
        self.z.outbox.clear()
        return sacks

    def take(self, packet: bytes) -> None:
        self.ends[0].receive(packet, TO_A, 0.0)
        self.ends[0].flush(0.0)
        self.ends[0].outbox.clear()


def cost_of_a_sack(in_flight: int, lost: int) -> int:
    """The dearest of some SACKs, with so many packets in flight, of which the first `lost` have not arrived."""
    two = Two()
    packets = two.send(in_flight)
    costs = [
        lines(partial(two.take, sack)) for at in range(lost, lost + 40, 2) for sack in two.answers(packets[at : at + 2])
    ]
    return max(costs[-8:])  # once what was lost has been sent again


@pytest.mark.parametrize("lost", [0, 1, 5])
def test_a_sack_costs_the_same_whatever_is_in_flight(lost: int) -> None:
    few = cost_of_a_sack(100, lost)
    many = cost_of_a_sack(10_000, lost)
    assert many <= few * 1.1 + 20


def said(two: Two, cumulative: int, gaps: list[tuple[int, int]]) -> bytes:
    """A SACK that need not be true; offsets from before the first TSN."""
    association = two.associations[0]
    setup = association.context.setup
    assert setup is not None
    blocks = [(first - cumulative, last - cumulative) for first, last in gaps]
    chunk = pack_sack(setup.local_initial_tsn + cumulative - 1 & 0xFFFFFFFF, 1 << 28, blocks, [])
    return Seal(5001, association.context.local_port, association.context.local_tag).pack(chunk)


@pytest.mark.parametrize("story", ["all, none, ...", "all, none, none, ...", "odd, even, ...", "more and more"])
def test_a_peer_that_takes_back_what_it_has_acknowledged_costs_no_more_however_much_that_is(story: str) -> None:
    """RFC 9260 section 6.2.1 D iii, over and over: each SACK is small, and all that is outstanding changes."""

    def cost(in_flight: int) -> int:
        two = Two()
        two.send(in_flight)
        every = [(2, in_flight - 40)]
        low = [(tsn, tsn) for tsn in range(2, 60, 2)]
        stories = {
            "all, none, ...": [every, []] * 20,
            "all, none, none, ...": [every, [], [], [], [], []] * 6,
            "odd, even, ...": [low, [(first + 1, last + 1) for first, last in low]] * 20,
            "more and more": [blocks for more in range(38) for blocks in (every, [(in_flight - 39, in_flight - more)])],
        }
        costs = [lines(partial(two.take, said(two, 0, blocks))) for blocks in stories[story]]
        assert two.associations[0].statistics.packets_retransmitted < in_flight
        return max(costs[4:])  # each TSN is acknowledged once, and taken back once

    assert cost(1500) <= cost(100) * 1.1 + 50


def test_a_chunk_costs_the_same_whatever_is_held() -> None:
    def cost(held: int) -> int:
        two = Two()
        packets = two.send(held + 2)
        two.answers(packets[1:-1])  # the first is missing
        return lines(lambda: two.z.receive(packets[-1], TO_Z, 0.0))

    assert cost(5000) <= cost(50) * 1.1 + 20


def test_a_message_costs_the_same_whatever_is_queued_and_on_however_many_streams() -> None:
    def cost(streams: int) -> int:
        two = Two()
        association = two.associations[0]
        for number in range(4 * streams):
            association.send(number % streams, bytes(1400))
        writing = lines(lambda: association.send(0, bytes(1400)))
        two.ends[0].touch(association)
        return writing + lines(lambda: two.ends[0].flush(0.0)) // (4 * streams)

    assert cost(1000) <= cost(10) * 1.3 + 20  # a heap's depth


def test_whether_what_waits_fills_a_packet_is_soon_seen_with_however_many_streams() -> None:
    """Nagle's algorithm (section 6.1)."""

    def cost(count: int) -> int:
        queue = DataQueue(FirstComeFirstServed(), 1400)
        for sid in range(count):
            queue.push(OutboundMessage(sid, b"1"))
        return lines(lambda: queue.fills(1400))

    assert cost(1000) <= cost(150)


def test_a_packet_costs_the_same_with_however_many_associations() -> None:
    def cost(associations: int) -> int:
        two = Two(associations)
        packets = two.send(2)

        def exchange() -> None:
            for sack in two.answers(packets):
                two.take(sack)

        return lines(exchange)

    assert cost(300) <= cost(3) * 1.1 + 20


B, E, U = 2, 1, 4


class Nobody(Recipient):
    def on_message(self, sid: int, ssn: int, ppid: int, unordered: bool, tsn: int, data: bytes) -> None:
        pass


def held_i_data(streams: int, fragments: int) -> tuple[IDataStreams, int]:
    """A message under way in each stream, ordered and unordered, and one that waits; the next TSN."""
    queue = IDataStreams(Nobody(), 1 << 28)
    tsn = 1
    for position in range(fragments):
        for sid in range(streams):
            for flags in (0, U):
                queue.add(tsn, flags | (0 if position else B), sid, 0, position, b"x" * 100)
                tsn += 1
            queue.add(tsn, B | E, sid, position + 2, 0, b"x" * 100)
            tsn += 1
    return queue, tsn


@pytest.mark.parametrize("case", ["next", "beyond a hole", "begins", "whole", "waits", "ends", "no room"])
def test_an_i_data_chunk_costs_the_same_whatever_is_held(case: str) -> None:
    def cost(streams: int, fragments: int) -> int:
        queue, tsn = held_i_data(streams, fragments)
        if case == "no room":
            tracker = DataTracker(0, 1 << 28)
            for number in range(1, tsn):
                tracker.accept(number)
            queue.make_space(tracker, 0, 1)  # finds the chunks by their TSNs from now on
            return lines(lambda: queue.make_space(tracker, 0, 1))
        flags, sid, mid, number = {
            "next": (0, 0, 0, fragments),
            "beyond a hole": (0, 0, 0, fragments + 5),
            "begins": (B | U, 0, 1, 0),
            "whole": (B | E, streams, 0, 0),
            "waits": (B | E, 0, fragments + 10, 0),
            "ends": (E, 0, 0, fragments),
        }[case]
        return lines(lambda: queue.add(tsn, flags, sid, mid, number, b"x" * 100))

    assert cost(300, 20) <= cost(3, 20) * 1.1 + 20
    if case == "ends":
        return  # it delivers what it completes
    assert cost(3, 1500) <= cost(3, 15) * 1.1 + 20


def test_a_forward_tsn_costs_what_it_moves_and_delivers_and_not_what_is_held() -> None:
    def cost_of_data(held: int) -> int:
        queue = DataStreams(Nobody(), 1 << 28)
        for number in range(held):
            queue.add(100 + number, B | E, 1 + number % 50, 1 + number // 50, 0, b"x")
        return max(
            lines(partial(queue.skip, tsn, tsn + 1, [(0, False, tsn), (0, False, tsn), (60, False, 3)]))
            for tsn in range(10)
        )

    def cost_of_i_data(held: int) -> int:
        queue = IDataStreams(Nobody(), 1 << 28)
        for number in range(held):
            queue.add(100 + number, B | E, 1 + number % 50, 1 + number // 50 + 100, 0, b"x")
        queue.skip(0, 1, [(1, False, 1)])
        entries = [[(0, False, mid), (1, False, mid), (60, True, 3)] for mid in range(5, 9)]
        return max(lines(partial(queue.skip, 0, 1, each)) for each in entries)

    assert cost_of_data(5000) <= cost_of_data(50) * 1.1 + 20
    assert cost_of_i_data(5000) <= cost_of_i_data(50) * 1.1 + 20


# What is said about messages and streams.


def with_terms(two: Two, count: int, policy: int, streams: int = 1, bound: float = 100.0) -> list[OutboundMessage]:
    """So many messages of a policy are written, and nothing leaves yet."""
    association = two.associations[0]
    return [
        send_on_terms(association, number % streams, bytes(1400), Terms(None, policy, bound)) for number in range(count)
    ]


def withdraw(two: Two, message: OutboundMessage) -> None:
    submission = two.associations[0].submission
    assert submission is not None
    assert submission.withdraw(message)


@pytest.mark.parametrize("policy", [TIMED, LIMITED, PRIORITY])
@pytest.mark.parametrize("sent", [False, True])
@pytest.mark.parametrize("at", [0, 50, -1])
def test_giving_up_a_message_costs_the_same_however_many_there_are(policy: int, sent: bool, at: int) -> None:
    def cost(count: int) -> int:
        two = Two()
        messages = with_terms(two, count, policy)
        if sent:
            two.send(1)
        return lines(lambda: withdraw(two, messages[at]))

    assert cost(10_000) <= cost(100) * 1.1 + 20


@pytest.mark.parametrize("policy", [TIMED, PRIORITY])
def test_writing_a_message_with_a_policy_costs_the_same_however_many_there_are(policy: int) -> None:
    def cost(count: int) -> int:
        two = Two()
        with_terms(two, count, policy)
        return lines(lambda: with_terms(two, 20, policy)) // 20

    assert cost(10_000) <= cost(100) * 1.1 + 20


@pytest.mark.parametrize("policy", [TIMED, LIMITED, PRIORITY])
@pytest.mark.parametrize("lost", [0, 5])
def test_a_sack_costs_the_same_however_many_messages_with_terms_are_in_flight(policy: int, lost: int) -> None:
    def cost(count: int) -> int:
        two = Two()
        with_terms(two, count, policy)
        packets = two.send(1)
        costs = [
            lines(partial(two.take, sack))
            for at in range(lost, lost + 40, 2)
            for sack in two.answers(packets[at : at + 2])
        ]
        return max(costs[-8:])

    assert cost(5_000) <= cost(100) * 1.1 + 20


def test_giving_up_all_that_was_lost_costs_each_message_the_same_however_many_they_are() -> None:
    """A list is searched without executing a line: what it compares is counted."""
    compared = 0

    class Compared(Terms):  # type: ignore[misc]
        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return self is other

        __hash__ = object.__hash__

    def cost(count: int) -> int:
        nonlocal compared
        two = Two()
        association = two.associations[0]
        for _ in range(count):
            send_on_terms(association, 0, b"x", Compared(None, LIMITED, 0), unordered=True)
        two.send(1)
        compared = 0
        spent = lines(lambda: two.ends[0].expire(100.0))
        assert association.statistics.messages_abandoned == count
        return (spent + compared) // count

    assert cost(2000) <= cost(200) * 1.1 + 20


def test_a_forward_tsn_costs_the_sender_the_same_however_many_messages_wait() -> None:
    """The first of those in flight is given up, and the peer is told."""

    def cost(count: int) -> int:
        two = Two()
        messages = with_terms(two, count, LIMITED)
        two.send(1)

        def give_up() -> None:
            withdraw(two, messages[0])
            two.ends[0].touch(two.associations[0])
            two.ends[0].flush(0.0)

        return lines(give_up)

    assert cost(5_000) <= cost(100) * 1.1 + 20


def test_a_message_costs_the_same_however_many_streams_are_paused_or_used() -> None:
    def cost(streams: int) -> int:
        two = Two()
        association = two.associations[0]
        for packet in two.send(streams + 1, streams + 1, 10):
            two.z.receive(packet, TO_Z, 0.0)
        association.reconfig.reset_streams(range(1, streams), None)

        def exchange() -> None:
            for _ in range(10):
                association.send(0, bytes(100))
                association.send(streams, bytes(100))
                two.ends[0].touch(association)
                two.ends[0].flush(0.0)

        return lines(exchange)

    assert cost(1000) <= cost(10) * 1.3 + 20  # a heap's depth


@pytest.mark.parametrize("kind", ["wrong number", "one stream", "one of ours", "an answer", "streams are added"])
def test_a_reconfig_chunk_costs_the_same_however_many_streams_are_used(kind: str) -> None:
    def cost(streams: int) -> int:
        two = Two(streams=60_001)
        two.answers(two.send(streams, streams, 10))
        two.z.expire(1.0)  # an acknowledgement that waits, as it may after the last packet, is none of what is measured
        z = two.accepted[0]
        number = z.context.setup.peer_initial_tsn if z.context.setup is not None else 0
        last_tsn = number + streams - 1 & 0xFFFFFFFF
        parameter = {
            "wrong number": pack_outgoing_reset(number + 5 & 0xFFFFFFFF, 0, last_tsn, (0,)),
            "one stream": pack_outgoing_reset(number, 0, last_tsn, (1,)),
            "one of ours": pack_incoming_reset(number, (1,)),
            "an answer": pack_response(number, 1),
            "streams are added": pack_add_streams(number, 3, True),
        }[kind]
        packet = z.prefix + bytes(4) + pack_reconfig([parameter])
        packet = Seal(*unpack_from("!HHI", packet)).pack(packet[12:])

        def take() -> None:
            two.z.receive(packet, TO_Z, 1.0)
            two.z.flush(1.0)

        return lines(take)

    assert cost(60_000) <= cost(10) * 1.1 + 20


@pytest.mark.parametrize("by_peer", [False, True])
def test_what_waits_for_a_reset_of_tsns_costs_the_same_however_many_streams_are_used(by_peer: bool) -> None:
    """Each flush asks whether it can leave by now."""

    def cost(streams: int) -> int:
        two = Two(streams=60_001)
        two.send(streams, streams, 10)
        association = two.associations[0]
        if by_peer:
            two.accepted[0].reconfig.reset_tsns()
            two.z.touch(two.accepted[0])
            two.hand_over(two.z, two.ends[0], TO_A)
        else:
            association.reconfig.reset_tsns()
        two.ends[0].touch(association)
        two.ends[0].flush(0.0)

        def look() -> None:
            for _ in range(10):
                two.ends[0].touch(association)
                two.ends[0].flush(0.0)

        return lines(look)

    assert cost(10_000) <= cost(10) * 1.1 + 20


def test_resetting_listed_streams_costs_each_the_same() -> None:
    """They are asked for in several requests, one after the other."""

    def cost(streams: int) -> int:
        two = Two(streams=60_001)
        for sack in two.answers(two.send(streams, streams, 10)):
            two.take(sack)
        association = two.associations[0]

        def reset() -> None:
            ticket = association.reconfig.reset_streams(range(streams), None)
            while not ticket.is_done:
                two.ends[0].touch(association)
                two.hand_over(two.ends[0], two.z, TO_Z)
                two.hand_over(two.z, two.ends[0], TO_A)

        return lines(reset) // streams

    assert cost(8_000) <= cost(400) * 1.3 + 20


def test_a_deadline_costs_the_same_however_often_the_others_had_nearer_ones() -> None:
    """Each that was noted again stays where it was, beside its equals; what is in vain is to be found only once."""
    two = Two(200)
    deadlines = Deadlines()
    for association in two.associations:
        association.context.timers.stop_all()
        association.context.timers.start(AUTOCLOSE, 1e6)
        association.due = NEVER
        deadlines.note(association)
    now = 0.0

    def take_turns() -> None:
        nonlocal now
        for association in two.associations:
            now += 1.0
            association.context.timers.start(T3_RTX, now)
            deadlines.note(association)
            for due in deadlines.take_due(now):
                due.context.timers.expired(now)
                deadlines.note(due)

    costs = [lines(take_turns) for _ in range(8)]
    assert max(costs) <= 2 * costs[0]


# Hostile packets.

SMALL = [
    control.pack_error(b""),
    tlv.pack(HEARTBEAT << 8),
    tlv.pack(HEARTBEAT_ACK << 8, tlv.pack(1)),
    tlv.pack(0xFF << 8),
]
LISTS = [
    control.pack_error(tlv.pack(CAUSE_USER_ABORT) * 8000),
    tlv.pack(HEARTBEAT_ACK << 8, tlv.pack(9) * 8000),
    control.pack_abort(tlv.pack(CAUSE_USER_ABORT) * 8000),
]


def hostile(chunk: bytes, size: int, tag: int) -> bytes:
    """A packet that is full of such chunks, or of one that is cut to the size."""
    if len(chunk) > size:
        size &= ~3
        chunk = chunk[:2] + size.to_bytes(2) + chunk[4:size]
    return Seal(10000, 5001, tag).pack(chunk * (size // len(chunk)))


@pytest.mark.parametrize("chunk", [*SMALL, *LISTS], ids=lambda chunk: f"{chunk[0]} {len(chunk)}")
def test_a_packet_of_a_peer_costs_no_more_for_what_it_is_stuffed_with(chunk: bytes) -> None:
    def cost(size: int) -> int:
        two = Two()
        tag = two.accepted[0].context.local_tag
        packet = hostile(chunk, size, tag)

        def take() -> None:
            two.z.receive(packet, TO_Z, 0.0)
            two.z.flush(0.0)

        return lines(take)

    assert cost(60_000) <= cost(1400) * 1.1 + 20
    assert cost(60_000) < 4000


LOOKUP = tlv.pack(ASCONF << 8, bytes(4) + tlv.pack(PARAM_IPV4_ADDRESS, bytes([10, 3, 0, 1])))


@pytest.mark.parametrize(
    "source", [Route(LOCAL[0], PEER[0], 9898), Route(LOCAL[0], "10.9.9.9", 9899)], ids=["port", "address"]
)
@pytest.mark.parametrize("chunk", [control.pack_pad(4), tlv.pack(ASCONF_ACK << 8, bytes(4)), LOOKUP], ids=len)
def test_a_packet_from_elsewhere_costs_no_more_for_what_it_is_stuffed_with(chunk: bytes, source: Route) -> None:
    """Whether it vouches for where it comes from (RFC 6951 section 5.4, RFC 5061 section 5.2) is soon seen."""
    extensions = frozenset({ASCONF, ASCONF_ACK, AUTH})
    config = Config(dynamic_addresses=True, auth=True, auth_chunks=frozenset({DATA}), heartbeat_interval=None)
    script = Script(config, auth=frozenset({ASCONF, ASCONF_ACK}), extensions=extensions)

    def cost(size: int) -> int:
        packet = script.packet(chunk * (size // len(chunk)))
        return lines(lambda: script.endpoint.receive(packet, source, script.now))

    cost(100)
    assert cost(60_000) <= cost(1400) * 1.1 + 20


@pytest.mark.parametrize("chunk", SMALL, ids=lambda chunk: f"{chunk[0]} {len(chunk)}")
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("spent", [False, True])
def test_a_packet_of_a_stranger_costs_next_to_nothing(chunk: bytes, known: bool, spent: bool) -> None:
    """Where it may be answered a few chunks are looked at, else none: not even its checksum is reckoned."""
    two = Two()
    route = TO_Z if known else Route(Z, "10.9.9.9", 9899)

    def cost(size: int) -> int:
        packet = hostile(chunk, size, 0x12345)
        return lines(lambda: two.z.receive(packet, route, 0.0))

    cost(100)
    for _ in range(401 if spent else 0):
        two.z.receive(hostile(chunk, 4, 0x12345), Route(Z, "10.9.9.9", 9899), 0.0)
    assert cost(60_000) <= cost(1400)
    assert cost(1400) < (40 if spent and not known else 400)
    assert cost(60_000) <= cost(20 * len(chunk)) + 5


def test_an_init_of_a_stranger_costs_next_to_nothing_once_enough_were_answered() -> None:
    two = Two()
    init = pack_init(Init(7, 100_000, 10, 10, 1), ack=False) + tlv.pack(0xFFFF, b"1234") * 5000
    packet = Seal(4001, 5001, 0).pack(init[:2] + len(init).to_bytes(2) + init[4:])
    stranger = Route(Z, "10.9.9.9", 9899)
    small = Seal(4001, 5001, 0).pack(pack_init(Init(7, 100_000, 10, 10, 1), ack=False))
    for _ in range(2100):
        two.z.receive(small, stranger, 0.0)
    assert lines(lambda: two.z.receive(packet, stranger, 0.0)) < 60


@pytest.mark.parametrize("addresses", [(), tuple(f"192.0.2.{number}" for number in range(1, 17))], ids=["none", "16"])
def test_an_init_of_a_stranger_costs_little_where_it_is_answered(addresses: tuple[str, ...]) -> None:
    """What others have said before is not read again, and what we say to all is packed already."""
    two = Two()
    stranger = Route(Z, "10.9.9.9", 9899)

    def cost(tag: int) -> int:
        offer = Init(tag, 100_000, 10, 10, tag, addresses=addresses, ecn=True, extensions=frozenset({130, 132, 192}))
        question = Seal(4001, 5001, 0).pack(pack_init(offer, ack=False))

        def answer() -> None:
            two.z.receive(question, stranger, 0.0)
            two.z.flush(0.0)

        return lines(answer)

    cost(7)
    before = len(two.z.outbox)
    assert cost(8) < 300 + 60 * len(addresses)
    assert len(two.z.outbox) == before + 1


@pytest.mark.parametrize("story", ["come", "go", "come and go"])
def test_each_change_of_an_address_costs_as_little_however_many_are_asked_for_at_once(story: str) -> None:
    """ASCONF (RFC 5061 section 4.1): what a request of 16 bytes takes, with as many addresses as a peer can have."""
    requests = [(add(f"10.3.0.{number}", number), delete(f"10.3.0.{number}", number)) for number in range(1, 16)]
    coming = [arrival for arrival, _ in requests]
    going = [departure for _, departure in requests]
    asked = {"come": coming, "go": going, "come and go": [each for pair in requests for each in pair]}[story]

    def cost() -> int:
        peer = Mobile()
        for _ in range(2):
            if story == "go":
                peer.ask(*coming)
            packet = peer.packet(peer.authenticated(peer.asconf(*asked)))

            def take(packet: bytes = packet) -> None:
                peer.endpoint.receive(packet, Route(LOCAL[0], PEER[0], 9899), peer.now)
                peer.endpoint.touch(peer.association)
                peer.endpoint.flush(peer.now)

            spent = lines(take)
            assert len(peer.association.path_manager.paths) == (16 if story == "come" else 1)
            peer.ask(*going)
        return spent

    assert cost() <= 320 * len(asked)
