"""What an association may hold of its peer's data, and an endpoint: RFC 9260 sections 6.2 and 6.9, RFC 8260.

At most `recv_buffer`, bookkeeping counted. What has come in order of messages that are not complete does not count, for
only more data can complete them: with DATA that is one message, with I-DATA it is up to twice `max_message_size`. All
associations of an endpoint share `memory_limit`. Unread messages close the window; what can't be read and has no room
to be completed ends the association with a reason. Nothing waits for ever.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator

import pytest
from support.hostile.extension_peer import LIMITS, ExtensionPeer
from support.pair import Recorder
from support.script import B, E, Script, U

from asyncsctp.association.association import Association
from asyncsctp.association.invariants import check
from asyncsctp.association.outbox import Outbox
from asyncsctp.association.user import AssociationUser
from asyncsctp.config import Config
from asyncsctp.endpoint.endpoint import Endpoint
from asyncsctp.handlers.state import CLOSED, ESTABLISHED
from asyncsctp.inbound.receive_window import FLOOR
from asyncsctp.paths.route import Route
from asyncsctp.testing import SeededRandom
from asyncsctp.wire.constants import (
    ABORT,
    CAUSE_OUT_OF_RESOURCE,
    FORWARD_TSN,
    I_DATA,
    I_DATA_HEADER_SIZE,
    I_FORWARD_TSN,
    SACK,
)
from asyncsctp.wire.forward_tsn import pack_i_forward_tsn
from asyncsctp.wire.octets import Writer, write_i_data
from asyncsctp.wire.tlv import PADDING

CONFIG = Config(heartbeat_interval=None, interleaving=True)
DATA_ONLY = Config(heartbeat_interval=None)
ALL = frozenset({I_DATA, I_FORWARD_TSN, FORWARD_TSN})
REMEDIES = ("recv_buffer", "max_message_size", "memory_limit", "in parts")


class Interleaver:
    """A peer that interleaves: it has a message for each of some streams, and heeds the window as section 6.1 A has it.

    `turn` is how many chunks of a message leave before it is another's turn: 1 for usrsctp, which goes round chunk by
    chunk; dcSCTP fills a packet. Both number the fragments of a message 0 (with the B bit), 1, 2, ...
    """

    def __init__(self, script: Script, sizes: list[int], chunk: int = 1200, turn: int = 1) -> None:
        self.script = script
        self.a_rwnd = script.config.recv_buffer
        self.tsn = self.acked = 0
        self.in_flight = 0
        self.chunks = list(self._chunks(sizes, chunk, turn))
        self.probes = 0

    def _chunks(self, sizes: list[int], chunk: int, turn: int) -> Iterator[tuple[int, int, int, int]]:
        """Stream, FSN, flags and size of each."""
        left = dict(enumerate(sizes))
        sent = dict.fromkeys(left, 0)
        while left:
            for sid in list(left):
                for _ in range(turn):
                    size = min(left[sid], chunk)
                    left[sid] -= size
                    flags = (0 if sent[sid] else B) | (0 if left[sid] else E)
                    yield sid, sent[sid], flags, size
                    sent[sid] += 1
                    if not left[sid]:
                        del left[sid]
                        break

    def run(self, most_probes: int = 3) -> None:
        """Send all, in packets of one chunk; with a closed window one is sent as a probe, over and over."""
        script = self.script
        for sid, number, flags, size in self.chunks[self.tsn :]:
            chunk = self.chunk(sid, number, flags, size)
            while script.state is ESTABLISHED:
                self.look()
                if self.a_rwnd - self.in_flight >= size:
                    break
                script.flush()
                self.look()
                if self.a_rwnd - self.in_flight >= size:
                    break
                if self.acked < self.tsn:
                    script.advance(0.2)  # its acknowledgement is delayed
                    continue
                self.probes += 1
                if self.probes > most_probes:
                    return
                script.send(chunk)
                self.look()
                if self.acked > self.tsn:
                    break  # it was taken
            if script.state is not ESTABLISHED:
                return
            if self.acked > self.tsn:
                self.tsn += 1
                continue
            script.arrive(chunk)
            self.tsn += 1
            self.in_flight += size
            if self.tsn % 16 == 0:
                script.flush()
        script.flush()

    def chunk(self, sid: int, number: int, flags: int, size: int) -> bytes:
        writer = Writer()
        length = I_DATA_HEADER_SIZE + size
        write_i_data(writer, I_DATA << 8 | flags, length, self.script.theirs(self.tsn), sid, 0, number)
        return writer.getvalue() + bytes([sid & 0xFF]) * size + PADDING[length & 3]

    def look(self) -> None:
        for packet in self.script.take():
            for sack in packet.all(SACK):
                self.a_rwnd, self.acked = sack.a_rwnd, sack.tsn + 1
                self.in_flight = 0


def taken(script: Script) -> int:
    """What the endpoint counts, once all has been told."""
    script.flush()
    return script.endpoint.budget.taken


def test_what_can_never_be_completed_ends_the_association() -> None:
    script = Script(CONFIG.replace(recv_buffer=20_000, max_message_size=50_000), extensions=ALL)
    Interleaver(script, [40_000] * 3).run()
    assert script.user.messages == []
    assert script.state is CLOSED
    assert all(remedy in str(script.user.error) for remedy in REMEDIES), script.user.error
    assert script.endpoint.budget.taken == 0


def last_abort(script: Script) -> list[int]:
    [abort] = [chunk for packet in script.take() for chunk in packet.all(ABORT)]
    return [code for code, _ in abort.causes]


def test_the_peer_is_told_why() -> None:
    script = Script(CONFIG.replace(recv_buffer=4096, max_message_size=2000), extensions=ALL)
    for number in range(3):
        script.send(Interleaver.chunk(at(script, 3 * number), 0, number, 0 if number else B, 600))
        script.send(Interleaver.chunk(at(script, 3 * number + 1), 1, number, 0 if number else B, 600))
        script.send(Interleaver.chunk(at(script, 3 * number + 2), 2, number, 0 if number else B, 600))
    tsn = 9
    while script.state is ESTABLISHED:
        script.take()
        script.send(Interleaver.chunk(at(script, tsn), 3 + tsn, 0, B, 1000))
        tsn += 1
        assert tsn < 20
    assert last_abort(script) == [CAUSE_OUT_OF_RESOURCE]


def at(script: Script, tsn: int) -> Interleaver:
    peer = Interleaver(script, [])
    peer.tsn = tsn
    return peer


@pytest.mark.parametrize(("chunk", "turn"), [(1200, 1), (540, 2), (1172, 4)], ids=["usrsctp", "dcsctp", "coarse"])
def test_twenty_interleaved_messages_of_a_megabyte_arrive_with_default_settings(chunk: int, turn: int) -> None:
    script = Script(CONFIG, extensions=ALL, streams=20)
    peer = Interleaver(script, [1_000_000] * 20, chunk, turn)
    peer.run()
    assert sorted((sid, len(data)) for sid, _, _, data in script.user.messages) == [(n, 1_000_000) for n in range(20)]
    assert peer.probes == 0
    assert taken(script) == 0


def test_three_that_fit_twice_the_longest_message_arrive_through_a_small_window() -> None:
    script = Script(CONFIG.replace(recv_buffer=20_000, max_message_size=60_000), extensions=ALL)
    Interleaver(script, [40_000] * 3).run()
    assert [len(data) for *_, data in script.user.messages] == [40_000] * 3


def test_messages_of_any_length_interleave_for_a_reader_of_parts() -> None:
    user = Recorder("the user")
    user.in_parts = set(range(20))
    script = Script(CONFIG.replace(recv_buffer=65_536, max_message_size=10_000), extensions=ALL, user=user, streams=20)
    for sid in range(20):
        script.association.deliver_parts(sid, True)
    Interleaver(script, [200_000] * 20).run()
    assert [len(data) for *_, data in script.user.messages] == [200_000] * 20
    assert taken(script) == 0


@pytest.mark.parametrize("streams", [7, 8, 20])
def test_messages_that_are_read_in_parts_take_nothing_of_the_window_beside_their_bytes(streams: int) -> None:
    """They go on for as long as they like, in as many streams; where each stands counts in `memory_limit`."""
    user = Recorder("the user")
    user.in_parts = set(range(streams))
    script = Script(CONFIG.replace(recv_buffer=4096, max_message_size=10_000), extensions=ALL, user=user, streams=20)
    for sid in range(streams):
        script.association.deliver_parts(sid, True)
    Interleaver(script, [20_000] * streams, chunk=500).run()
    assert [len(data) for *_, data in script.user.messages] == [20_000] * streams, script.user.error
    assert taken(script) == 0


def test_a_slow_reader_closes_the_window_and_opens_it() -> None:
    """What waits to be read ends nothing, however long it waits."""
    user = Recorder("the user")
    user.reading = False
    script = Script(CONFIG.replace(recv_buffer=20_000, max_message_size=50_000), extensions=ALL, user=user)
    peer = Interleaver(script, [1000 * n for n in range(1, 13)])
    for _ in range(40):
        peer.run(most_probes=2)
        assert script.state is ESTABLISHED, user.error
        user.read(1)
        peer.probes = 0
        script.flush()
    assert sorted(len(data) for *_, data in user.messages) == [1000 * n for n in range(1, 13)]
    assert taken(script) == 0


def test_a_window_of_4096_holds_what_it_should() -> None:
    """However it is filled: what is traced is what the peer is allowed, not a multiple of what it sent."""
    for kind in ("begun", "beyond a hole", "in order", "not in turn"):
        script = Script(CONFIG.replace(recv_buffer=4096), extensions=ALL)
        tracemalloc.start()
        try:
            sent = 0
            for first in range(0, 20_000, 40):
                chunks = []
                for n in range(first, first + 40):
                    sid, mid, flags, number = {
                        "begun": (n % 16, n // 16, B | U, 46),
                        "beyond a hole": (0, 0, 0, 2 * n + 2),
                        "in order": (0, 0, 0 if n else B, n),
                        "not in turn": (0, n + 1, B | E, 46),
                    }[kind]
                    writer = Writer()
                    length = I_DATA_HEADER_SIZE + 4
                    write_i_data(writer, I_DATA << 8 | flags, length, script.theirs(n), sid, mid, number)
                    chunks.append(writer.getvalue() + b"%4d" % (n % 10_000))
                script.arrive(*chunks)
                if script.state is CLOSED:
                    break
                sent += 160
                script.endpoint.touch(script.association)
                script.endpoint.flush(script.now)
                script.outbox.clear()
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert held < 2 * (4096 + sent * (kind == "in order")) + 20_000, kind


# Where each stream stands.


class Strewer:
    """A peer that uses a stream once and then the next, and reads the window it is told."""

    def __init__(self, kind: str, memory_limit: int) -> None:
        interleaves = kind != "data"
        config = CONFIG.replace(interleaving=interleaves, memory_limit=memory_limit)
        self.script = Script(config, extensions=ALL if interleaves else frozenset({FORWARD_TSN}), streams=65535)
        self.kind = kind
        self.a_rwnd = 0

    def use(self, streams: range) -> None:
        """Messages of a byte, or messages given up before anything of them has left."""
        script = self.script
        for first in range(streams.start, streams.stop, 50):
            sids = range(first, min(first + 50, streams.stop))
            if self.kind == "data":
                script.arrive(*[script.data(sid, b"x", sid=sid) for sid in sids])
            elif self.kind == "i-data":
                script.arrive(*[Interleaver.chunk(at(script, sid), sid, 0, B | E, 1) for sid in sids])
            else:
                entries = [(sid, unordered, 7) for sid in sids for unordered in (False, True)]
                script.arrive(pack_i_forward_tsn(script.theirs(sids[-1]), entries))
            script.flush()
            script.advance(0.2)  # a SACK may be delayed
            script.user.messages.clear()
            if script.state is CLOSED:
                return
            self.a_rwnd = [sack.a_rwnd for packet in script.take() for sack in packet.all(SACK)][-1]


KINDS = {"data": 160, "i-data": 256, "i-forward-tsn": 512}  # and what a stream takes


@pytest.mark.parametrize("kind", KINDS)
def test_a_peer_that_uses_more_streams_than_there_is_room_for_ends_with_a_reason(kind: str) -> None:
    peer = Strewer(kind, 1 << 20)
    script = peer.script
    tracemalloc.start()
    try:
        peer.use(range(64_000))
        traced, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert script.state is CLOSED
    for remedy in ("max_incoming_streams", "reset", "memory_limit"):
        assert remedy in str(script.user.error)
    assert last_abort(script) == [CAUSE_OUT_OF_RESOURCE]
    assert traced < (1 << 19) + 100_000
    assert script.endpoint.budget.taken == 0


@pytest.mark.parametrize("kind", KINDS)
def test_streams_count_in_the_limit_and_not_in_the_window(kind: str) -> None:
    peer = Strewer(kind, 1 << 20)
    peer.use(range(800))
    assert peer.script.state is ESTABLISHED
    kept = 800 * KINDS[kind] - 8192
    assert kept - 1024 <= peer.script.endpoint.budget.taken <= kept
    assert peer.a_rwnd >= (1 << 19) - kept
    peer.script.association._parts.established.receiver.reset_streams(None)
    assert peer.script.endpoint.budget.taken == 0
    in_plenty = Strewer(kind, 1 << 26)
    in_plenty.use(range(800))
    assert in_plenty.a_rwnd == CONFIG.recv_buffer


def test_an_association_that_uses_no_new_streams_lives_on_however_much_others_hold() -> None:
    """Its streams stay, and it may hold a little beside them: it goes on slowly."""
    peer = Strewer("i-data", 1 << 20)
    peer.use(range(1000))
    budget = peer.script.endpoint.budget
    budget.taken += 1 << 20
    for tsn in range(1000, 3000):
        peer.script.send(Interleaver.chunk(at(peer.script, tsn), 0, 0, B | E | U, 1000))
        peer.script.flush()
    assert len(peer.script.user.messages) == 2000
    assert peer.script.state is ESTABLISHED


# The endpoint's budget.

A, Z = "10.0.0.1", "10.0.0.2"


class Crowd:
    """One endpoint, and many peers of ours that associate with it and write."""

    def __init__(self, config: Config, count: int) -> None:
        self.now = 1.0
        self.users: list[Recorder] = []
        self.z = Endpoint(
            config,
            port=5001,
            local_addresses=[Z],
            random=SeededRandom(1),
            outbox=Outbox(),
            listening=True,
            accept=self.accept,
        )
        quiet = Config(heartbeat_interval=None, interleaving=config.interleaving)
        self.peers = [
            Endpoint(quiet, port=10_000 + n, local_addresses=[A], random=SeededRandom(n), outbox=Outbox())
            for n in range(count)
        ]
        self.senders: list[Association] = []
        for peer in self.peers:
            self.senders.append(peer.connect([Z], 5001, self.now, AssociationUser(), udp_port=9899))
            if len(self.senders) % 50 == 0:
                self.exchange(2)
        while any(sender.state is not ESTABLISHED for sender in self.senders):
            self.exchange(4)

    def accept(self, association: Association) -> Recorder:
        user = Recorder("z")
        user.association = association
        user.reading = False
        self.users.append(user)
        return user

    def exchange(self, rounds: int) -> None:
        """Hand over what both sides have to send, in turn, and let 50 ms pass each time."""
        for _ in range(rounds):
            self.now += 0.05
            for peer in self.peers[: len(self.senders)]:
                peer.expire(self.now)
                packets = [packet for _, packet in peer.outbox]
                peer.outbox.clear()
                if packets:
                    self.z.receive_batch(packets, Route(Z, A, 9899), self.now)
            self.z.expire(self.now)
            for _, packet in self.z.outbox:
                peer = self.peers[int.from_bytes(packet[2:4]) - 10_000]
                peer.receive(packet, Route(A, Z, 9899), self.now)
            self.z.outbox.clear()

    def write(self, size: int, count: int = 1) -> None:
        for peer, sender in zip(self.peers, self.senders, strict=True):
            for _ in range(count):
                sender.send(0, bytes(size))
            peer.touch(sender)

    def held(self) -> int:
        """What the endpoint's associations really hold, as they are charged."""
        held = 0
        for association in self.z.associations:
            check(association)
            reception = association._parts.established.receiver
            held += reception._queue.unread + reception._queue.held
        return held

    def read(self) -> None:
        for user in self.users:
            if user.read() and user.association is not None:
                self.z.touch(user.association)


@pytest.mark.parametrize("count", [10, 1000])
def test_peers_whose_readers_do_not_read_share_the_limit(count: int) -> None:
    """Each gets as much as it leaves to the others, nobody starves, and all arrives as it is read."""
    limit = 1 << 20
    crowd = Crowd(Config(heartbeat_interval=None, recv_buffer=1 << 18, memory_limit=limit), count)
    messages = 200 if count == 10 else 8
    crowd.write(1000, messages)
    crowd.exchange(30)
    packet = 1280
    # Beside what each may hold in any case, and a packet or two, there is what they have not yet told of.
    assert crowd.held() <= limit + (limit >> 4) + count * (2 * packet + FLOOR)
    assert crowd.z.budget.taken <= crowd.held()
    if count == 10:
        assert min(len(user.messages) for user in crowd.users) > 50
    assert min(len(user.messages) for user in crowd.users) >= 3
    for _ in range(400):
        if all(len(user.messages) == messages for user in crowd.users):
            break
        crowd.read()
        crowd.exchange(5)
    assert [len(user.messages) for user in crowd.users] == [messages] * count
    crowd.read()
    crowd.exchange(10)
    assert crowd.z.budget.taken == crowd.held() == 0


def test_one_peer_gets_half_and_leaves_the_rest_to_who_comes_later() -> None:
    crowd = Crowd(Config(heartbeat_interval=None, recv_buffer=1 << 20, memory_limit=1 << 20), 2)
    first, second = crowd.senders
    for _ in range(1000):
        first.send(0, bytes(1000))
    crowd.peers[0].touch(first)
    crowd.exchange(60)
    assert 0.4 * (1 << 20) < crowd.held() <= (1 << 19) + 2 * FLOOR
    for _ in range(200):
        second.send(0, bytes(1000))
    crowd.peers[1].touch(second)
    crowd.exchange(20)
    assert len(crowd.users[1].messages) == 200


def test_a_message_that_the_limit_has_no_room_for_ends_its_association_alone() -> None:
    """RFC 9260 section 3.3.10.4; the others go on, and what it held is free again."""
    crowd = Crowd(Config(heartbeat_interval=None, recv_buffer=1 << 16, memory_limit=1 << 20), 2)
    first, second = crowd.senders
    first.send(0, bytes(800_000))
    crowd.peers[0].touch(first)
    crowd.exchange(60)
    assert [user.is_closed for user in crowd.users] == [True, False]
    assert all(remedy in str(crowd.users[0].error) for remedy in REMEDIES)
    assert crowd.z.budget.taken == 0
    second.send(0, bytes(400_000))
    crowd.peers[1].touch(second)
    crowd.exchange(60)
    assert [len(data) for *_, data in crowd.users[1].messages] == [400_000]


def test_what_an_association_holds_for_itself_is_given_back_at_its_end() -> None:
    crowd = Crowd(Config(heartbeat_interval=None, memory_limit=1 << 16, recv_buffer=1 << 15), 3)
    crowd.write(15_000)  # which takes more than the windows let through, for none is read
    crowd.exchange(2)
    assert not any(user.messages for user in crowd.users)
    assert crowd.z.budget.taken > 0
    crowd.z.close(crowd.now)
    assert (crowd.z.budget.taken, crowd.z.budget.members) == (0, 0)


def test_what_it_left_unread_counts_until_it_is_read_or_nobody_can_read_it() -> None:
    """All of it: what each may hold in any case is for those that live."""
    crowd = Crowd(Config(heartbeat_interval=None, memory_limit=1 << 16), 3)
    crowd.write(500, 16)
    crowd.exchange(10)
    budget = crowd.z.budget
    assert 3 * 3000 < budget.taken <= 3 * 4000
    crowd.senders[0].abort(crowd.now, b"")
    crowd.peers[0].touch(crowd.senders[0])
    crowd.exchange(2)
    assert 2 * 3000 < budget.taken - 8000 <= 2 * 4000
    crowd.z.close(crowd.now)
    assert (budget.taken, budget.members) == (3 * 8000, 0)
    for left in (10, 0):
        for user in crowd.users[:2]:
            user.read(16 - left)
        assert budget.taken == 2 * left * 500 + 8000
        for user in crowd.users[:2]:
            user.unread = [500] * left
    ended = crowd.users[0].association
    assert ended is not None
    assert not ended.consumed(500), "there is nothing left"
    assert budget.taken == 8000
    del ended
    crowd.users.clear()
    gc.collect()
    assert budget.taken == 0


def test_a_peer_that_fills_its_window_ends_and_comes_again_gets_no_more_than_the_limit() -> None:
    limit = 1 << 20
    crowd = Crowd(Config(heartbeat_interval=None, recv_buffer=1 << 18, memory_limit=limit), 30)
    for peer, sender in zip(crowd.peers, crowd.senders, strict=True):
        for _ in range(400):
            sender.send(0, bytes(1000))
        peer.touch(sender)
        crowd.exchange(30)
        sender.abort(crowd.now, b"")
        peer.touch(sender)
        crowd.exchange(1)
    held = [sum(user.unread) for user in crowd.users]
    packet = 1280
    assert held[0] > 200_000
    assert min(held) > 0, "each may hold a little in any case"
    assert sum(held) <= limit + (limit >> 4) + len(held) * (2 * packet + FLOOR)


def test_what_comes_after_an_abort_in_the_middle_of_a_packet_is_on_nobodys_account() -> None:
    """Only the message that its user heard of before that is still to be read."""

    class Aborting(Recorder):
        def on_message(self, sid: int, ssn: int, ppid: int, unordered: bool, tsn: int, data: bytes) -> None:
            assert self.association is not None
            self.association.abort(100.0, b"")

    script = Script(CONFIG.replace(interleaving=False, recv_buffer=8192), user=Aborting("the user"))
    script.arrive(*[script.data(tsn, bytes(400)) for tsn in range(60)])
    budget = script.endpoint.budget
    assert script.state is CLOSED
    assert (budget.taken, budget.members) == (400, 0)
    script.association.consumed(400)
    assert budget.taken == 0


def test_small_messages_behind_a_missing_one_give_way_to_it() -> None:
    """They are above the cumulative TSN, so they may be dropped (section 6.2): nothing ends for one lost packet."""
    peer = ExtensionPeer(True, config=LIMITS.replace(recv_buffer=4096, max_message_size=2000))
    count = 40
    chunks = [peer.chunk(tsn, b"%d" % tsn, number=tsn) for tsn in range(count)]
    peer.send(chunks[-1])  # the others fill holes
    for chunk in chunks[1:-1]:
        peer.send(chunk)
        peer.bounded()
    for chunk in chunks:
        peer.send(chunk)
    assert peer.is_up
    assert peer.expected == count
    assert peer.reader.count == count
