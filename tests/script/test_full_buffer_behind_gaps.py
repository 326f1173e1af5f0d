"""A full buffer never keeps out what comes in order: RFC 9260 sections 6.2 and 6.6, RFC 8260, RFC 6525 section 5.2.2.

Whatever lies above the cumulative TSN can be given up, for the peer has it still and sends it again: so the chunk with
the next TSN always has room, by displacing what is behind a hole. What has come above a hole, and can't displace
anything, is dropped, and ends nothing: the peer sends what is missing first.
"""

from __future__ import annotations

import random

import pytest
from support.chunks import pack_i_data
from support.script import B, E, Script, U

from asyncsctp.association.invariants import check
from asyncsctp.config import Config
from asyncsctp.handlers.data.receiver import DataReceiver
from asyncsctp.handlers.state import ESTABLISHED
from asyncsctp.wire.constants import FORWARD_TSN, I_DATA, I_FORWARD_TSN, RE_CONFIG
from asyncsctp.wire.reconfig import pack_outgoing_reset, pack_reconfig

EXTENSIONS = frozenset({I_DATA, I_FORWARD_TSN, FORWARD_TSN, RE_CONFIG})
#: The smallest buffer.
TINY = Config(heartbeat_interval=None, recv_buffer=4096, max_message_size=1)


class Peer:
    """A peer that sends DATA or I-DATA, with all numbers given."""

    def __init__(self, config: Config, interleaves: bool) -> None:
        self.script = Script(config.replace(interleaving=interleaves), extensions=EXTENSIONS)
        self.interleaves = interleaves

    def chunk(
        self, tsn: int, data: bytes = b"x", *, flags: int = B | E, sid: int = 0, number: int = 0, fsn: int = 0
    ) -> bytes:
        """`number`: the SSN or MID."""
        if not self.interleaves:
            return self.script.data(tsn, data, flags=flags, sid=sid, ssn=number)
        return pack_i_data(flags, self.script.theirs(tsn), sid, number, fsn, data)

    def send(self, *chunks: bytes) -> None:
        """Each in a packet of its own."""
        for chunk in chunks:
            self.script.send(chunk)
            assert self.script.state is ESTABLISHED, self.script.user.error
            check(self.script.association)

    def reset_of(self, sid: int, last_tsn: int) -> bytes:
        script = self.script
        return pack_reconfig([pack_outgoing_reset(script.theirs(0), script.ours(-1), script.theirs(last_tsn), [sid])])

    @property
    def reception(self) -> DataReceiver:
        reception = self.script.association._parts.established.receiver
        return reception

    @property
    def acknowledged(self) -> int:
        """The cumulative TSN."""
        return self.reception.tracker.cumulative_tsn - self.script.theirs(0)

    @property
    def held(self) -> int:
        return self.reception._queue.held


@pytest.fixture(params=[False, True], ids=["data", "i-data"])
def peer(request: pytest.FixtureRequest) -> Peer:
    return Peer(TINY, request.param)


def test_what_comes_above_a_hole_and_finds_no_room_is_dropped(peer: Peer) -> None:
    """An unordered message has shown a TSN above all that is held, so that nothing can be displaced by what is
    between.
    """
    waiting = [peer.chunk(2 + n, sid=1, number=1 + n) for n in range(20)]
    peer.send(peer.chunk(40, flags=B | E | U, sid=2), *waiting)
    assert peer.held > 4096 - 512
    peer.send(peer.chunk(0), peer.chunk(1, sid=1), *waiting)
    assert peer.acknowledged == 21
    assert len(peer.script.user.messages) == 23
    assert peer.held == 0


def test_what_is_put_aside_for_a_reset_is_displaced_by_what_that_waits_for(peer: Peer) -> None:
    """RFC 6525 section 5.2.2 E2."""
    waiting = [peer.chunk(3 + n, sid=1, number=n) for n in range(20)]
    peer.send(peer.reset_of(1, 2), peer.chunk(40, flags=B | E | U, sid=2), *waiting)
    assert peer.held > 4096 - 512
    peer.send(*[peer.chunk(n, number=n) for n in range(3)], *waiting)
    assert peer.acknowledged == 22
    assert peer.held == 0


def test_what_was_put_aside_keeps_nothing_out_for_good_once_its_reset_is_due(peer: Peer) -> None:
    """E4 is carried out after the batch of packets; what comes in it behind the last missing TSN may be dropped."""
    waiting = [peer.chunk(1 + n, sid=1, number=n) for n in range(20)]
    peer.send(peer.reset_of(1, 0), *waiting)
    script = peer.script
    kept = peer.reception.tracker.highest_tsn - script.theirs(0)
    script.arrive(peer.chunk(0))
    script.arrive(waiting[kept])
    script.flush()
    assert script.state is ESTABLISHED, script.user.error
    peer.send(*waiting)
    assert peer.acknowledged == 20
    assert len(script.user.messages) == 21


def test_whole_messages_of_several_fragments_give_way_to_what_they_wait_for() -> None:
    peer = Peer(TINY.replace(max_message_size=800), True)
    halves = [
        peer.chunk(8 + 2 * n + last, bytes(300), flags=E if last else B, sid=0, number=1 + n, fsn=last)
        for n in range(6)
        for last in (0, 1)
    ]
    peer.send(*halves)
    first = [peer.chunk(sid, bytes(400), flags=B, sid=sid) for sid in range(4)]
    second = [peer.chunk(4 + sid, bytes(400), flags=E, sid=sid, fsn=1) for sid in range(4)]
    peer.send(*first, *second, *halves)
    assert peer.acknowledged == 19
    assert len(peer.script.user.messages) == 10
    assert peer.held == 0


def test_messages_begun_behind_a_hole_give_way_to_those_begun_in_it() -> None:
    peer = Peer(TINY.replace(max_message_size=2), True)
    later = [peer.chunk(5 + sid, flags=B, sid=sid) for sid in range(5, 10)]
    peer.send(*later)
    peer.send(*[peer.chunk(sid, flags=B, sid=sid) for sid in range(5)])
    peer.send(*[peer.chunk(5 + sid, flags=E, sid=sid, fsn=1) for sid in range(5)], *later)
    peer.send(*[peer.chunk(10 + sid, flags=E, sid=sid, fsn=1) for sid in range(5, 10)])
    assert peer.acknowledged == 19
    assert [sid for sid, *_ in peer.script.user.messages] == list(range(10))
    assert peer.held == 0


@pytest.mark.parametrize("seed", range(40))
def test_whatever_is_sent_again_from_the_first_that_is_missing_arrives(seed: int) -> None:
    """A peer with few messages under way at a time loses most of what it sends, and sends the first one missing as
    often as any other.
    """
    random_ = random.Random(seed)
    peer = Peer(TINY.replace(recv_buffer=random_.choice([4096, 6000, 10_000]), max_message_size=600), True)
    chunks: list[bytes] = []
    under_way: dict[int, tuple[int, int, int]] = {}  # by stream: the MID, the FSN, and how many fragments are left
    mids = [0] * 16
    while len(chunks) < 120 or under_way:
        sid = random_.randrange(16)
        if sid not in under_way:
            if len(under_way) == 4 or len(chunks) >= 120:
                continue
            under_way[sid] = (mids[sid], 0, random_.choice([1, 1, 2, 3, 6]))
            mids[sid] += 1
        mid, fsn, left = under_way[sid]
        flags = (0 if fsn else B) | (E if left == 1 else 0)
        data = bytes([sid]) * random_.choice([1, 1, 20, 100])
        chunks.append(peer.chunk(len(chunks), data, flags=flags, sid=sid, number=mid, fsn=fsn))
        under_way[sid] = (mid, fsn + 1, left - 1)
        if left == 1:
            del under_way[sid]
    while (following := peer.acknowledged + 1) < len(chunks):
        number = random_.choice([following, random_.randrange(following, min(following + 50, len(chunks)))])
        peer.send(chunks[number])
        assert number != following or peer.acknowledged >= following, "the next always has room"
        assert peer.held < 3 * peer.script.config.recv_buffer
    assert len(peer.script.user.messages) == sum(mids)
    assert peer.held == 0
