"""RFC 3758: a message of which its sender has left off in the middle, and whose FORWARD TSN is lost or late.

Linux gives no TSNs to the rest of a message that it abandons: B fragment n, FORWARD TSN n, B fragment n + 1. Once TSN n
is acknowledged nothing makes the peer say FORWARD TSN n again. What begins behind tells as much.
"""

from __future__ import annotations

import random
from itertools import permutations

import pytest
from support.pair import Recorder
from support.script import B, E, Script, U
from support.seeds import seeds

from asyncsctp.config import Config
from asyncsctp.handlers.state import CLOSED, ESTABLISHED
from asyncsctp.wire.constants import FORWARD_TSN, I_DATA, I_DATA_HEADER_SIZE, I_FORWARD_TSN, SACK
from asyncsctp.wire.forward_tsn import pack_forward_tsn, pack_i_forward_tsn
from asyncsctp.wire.octets import Writer, write_i_data
from asyncsctp.wire.tlv import PADDING

BOTH = pytest.mark.parametrize("interleaving", [False, True], ids=["DATA", "I-DATA"])


class Peer(Script):
    """It numbers its messages as RFC 9260 or RFC 8260 has it, and may leave off at any time."""

    def __init__(self, interleaving: bool, *, abandons: bool = True, in_parts: bool = False) -> None:
        self.interleaving = interleaving
        extensions = {FORWARD_TSN} if abandons else set()
        if interleaving:
            extensions |= {I_DATA, I_FORWARD_TSN} if abandons else {I_DATA}
        user = Recorder("the user")
        config = Config(heartbeat_interval=None, interleaving=interleaving, partial_delivery_point=1)
        super().__init__(config, extensions=frozenset(extensions), user=user)
        if in_parts:
            user.in_parts = {0}
            self.association.deliver_parts(0, True)

    def fragment(self, tsn: int, data: bytes, flags: int, number: int, fsn: int = 0, sid: int = 0) -> bytes:
        if not self.interleaving:
            return self.data(tsn, data, flags=flags, sid=sid, ssn=number)
        writer = Writer()
        length = I_DATA_HEADER_SIZE + len(data)
        write_i_data(writer, I_DATA << 8 | flags, length, self.theirs(tsn), sid, number, 0 if flags & B else fsn)
        return writer.getvalue() + data + PADDING[len(data) & 3]

    def forward(self, tsn: int, number: int, unordered: bool = False, sid: int = 0) -> bytes:
        if self.interleaving:
            return pack_i_forward_tsn(self.theirs(tsn), [(sid, unordered, number)])
        return pack_forward_tsn(self.theirs(tsn), [] if unordered else [(sid, number)])

    @property
    def heard(self) -> list[bytes]:
        return [data for _, _, _, data in self.user.messages]

    def holds_nothing(self) -> bool:
        self.advance(1)
        return self.endpoint.budget.taken == 0


@BOTH
@pytest.mark.parametrize("unordered", [0, U])
@pytest.mark.parametrize("when", ["never", "in time", "late"])
def test_the_next_message_is_heard_whenever_the_forward_tsn_comes(
    interleaving: bool, unordered: int, when: str
) -> None:
    peer = Peer(interleaving)
    peer.send(peer.fragment(0, b"half", B | unordered, 0))
    if when == "in time":
        peer.send(peer.forward(0, 0, bool(unordered)))
    peer.send(peer.fragment(1, b"one ", B | unordered, 1))
    peer.send(peer.fragment(2, b"two", E | unordered, 1, 1))
    if when == "late":
        peer.send(peer.forward(0, 0, bool(unordered)))
    assert peer.state is ESTABLISHED
    peer.send(peer.fragment(3, b"three", B | E | unordered, 2))
    assert peer.heard == [b"one two", b"three"]
    assert peer.holds_nothing()


@BOTH
@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_in_whatever_order_they_come(interleaving: bool, order: tuple[int, ...]) -> None:
    """Two fragments of a message that was left off, one of another, and one that is whole."""
    peer = Peer(interleaving)
    chunks = [
        peer.fragment(0, b"a", B, 0),
        peer.fragment(1, b"b", 0, 0, 1),
        peer.fragment(2, b"c", B, 1),
        peer.fragment(3, b"whole", B | E, 2),
    ]
    for number in order:
        peer.send(chunks[number])
        assert peer.state is ESTABLISHED
    assert peer.heard == [b"whole"]
    peer.advance(1)
    assert peer.take()[-1].all(SACK)[-1].tsn == 3
    assert peer.holds_nothing()


@BOTH
def test_an_earlier_message_that_is_missing_is_waited_for(interleaving: bool) -> None:
    peer = Peer(interleaving)
    peer.send(peer.fragment(1, b"half", B, 1))
    peer.send(peer.fragment(2, b"two", B | E, 2))
    assert peer.heard == []
    peer.send(peer.fragment(0, b"zero", B | E, 0))
    assert peer.heard == [b"zero", b"two"]
    assert peer.holds_nothing()


@BOTH
@pytest.mark.parametrize("reordered", [False, True])
def test_a_message_given_in_part_is_broken_off(interleaving: bool, reordered: bool) -> None:
    peer = Peer(interleaving, in_parts=True)
    peer.send(peer.fragment(0, b"half", B, 0))
    chunks = [peer.fragment(1, b"more", 0, 0, 1), peer.fragment(2, b"whole", B | E, 1)]
    for chunk in reversed(chunks) if reordered else chunks:
        peer.send(chunk)
    assert peer.state is ESTABLISHED
    assert peer.heard == [b"whole"]
    assert not peer.user.parts
    assert peer.holds_nothing()


def test_where_it_was_not_negotiated_it_is_a_violation() -> None:
    """RFC 9260 section 3.3.1: the TSNs of a message are strictly sequential."""
    peer = Peer(False, abandons=False)
    peer.send(peer.fragment(0, b"half", B, 0), peer.fragment(1, b"one", B | E, 1))
    assert peer.state is CLOSED


def test_with_i_data_it_is_waited_for_where_it_was_not_negotiated() -> None:
    peer = Peer(True, abandons=False)
    peer.send(peer.fragment(0, b"half", B, 0), peer.fragment(1, b"one", B | E, 1))
    assert peer.state is ESTABLISHED and peer.heard == []
    peer.send(peer.fragment(2, b"!", E, 0, 1))
    assert peer.heard == [b"half!", b"one"]


def test_what_continues_no_message_stays_a_violation() -> None:
    for flags in (0, E):
        peer = Peer(False)
        peer.send(peer.fragment(1, b"x", flags, 1), peer.fragment(0, b"whole", B | E, 0))
        assert peer.state is CLOSED


@BOTH
def test_one_left_off_in_each_of_many_streams(interleaving: bool) -> None:
    peer = Peer(interleaving)
    for sid in range(16):
        peer.arrive(peer.fragment(2 * sid, b"half", B, 0, sid=sid), peer.fragment(2 * sid + 1, b"?", B, 1, sid=sid))
    for sid in range(16):
        peer.arrive(peer.fragment(32 + sid, b"whole", B | E, 2, sid=sid))
    assert peer.heard == [b"whole"] * 16
    assert peer.holds_nothing()


@BOTH
@pytest.mark.parametrize("seed", seeds(40))
def test_any_traffic_of_a_peer_that_leaves_off(interleaving: bool, seed: int) -> None:
    """Messages in three streams, some left off, all reordered and repeated, FORWARD TSNs lost or late: each whole one
    is heard, in the order of its stream, and in the end nothing is held.
    """
    chance = random.Random(seed)
    peer = Peer(interleaving, in_parts=bool(seed & 1))
    tsn = 0
    chunks: list[bytes] = []
    forwards: dict[int, bytes] = {}  # by how many chunks are before it
    whole: dict[tuple[int, int], list[bytes]] = {}
    numbers: dict[tuple[int, int], int] = {}
    for message in range(40):
        sid, unordered = chance.randrange(3), chance.choice([0, 0, U])
        key = (sid, unordered)
        number = numbers.get(key, 0)
        numbers[key] = number + 1
        pieces = chance.randrange(1, 5)
        last = pieces if chance.random() < 0.7 or message > 36 else chance.randrange(0, pieces)
        if not last:
            numbers[key] = number  # nothing of it has left: it has no number
            continue
        data = []
        for piece in range(last):
            data.append(b"%d.%d." % (message, piece))
            flags = unordered | (B if piece == 0 else 0) | (E if piece == pieces - 1 else 0)
            chunks.append(peer.fragment(tsn, data[-1], flags, number, piece, sid))
            tsn += 1
        if last == pieces:
            whole.setdefault(key, []).append(b"".join(data))
        elif chance.random() < 0.5:
            forwards[len(chunks)] = peer.forward(tsn - 1, number, bool(unordered), sid)
    for sid in range(3):  # the last of each stream is complete
        for unordered in (0, U):
            number = numbers.get((sid, unordered), 0)
            chunks.append(peer.fragment(tsn, b"end", B | E | unordered, number, 0, sid))
            whole.setdefault((sid, unordered), []).append(b"end")
            tsn += 1
    late = chance.choice([1, 3, 8, 40])
    order = sorted(range(len(chunks)), key=lambda number: number + chance.random() * late)
    missing = set(order)
    for number in order:
        peer.send(chunks[number])
        missing.discard(number)
        for before in [before for before in forwards if before <= min(missing, default=len(chunks))]:
            if chance.random() < 0.5:  # it is sent once all before it has been acknowledged
                peer.send(forwards.pop(before))
        if chance.random() < 0.2:
            peer.send(chunks[number])
        assert peer.state is ESTABLISHED, peer.user.error
    heard: dict[tuple[int, int], list[bytes]] = {}
    for sid, _, is_unordered, message_data in peer.user.messages:
        heard.setdefault((sid, U if is_unordered else 0), []).append(message_data)
    for key, written in whole.items():
        found = heard.get(key, [])
        assert sorted(found) == sorted(written) if key[1] else found == written
    assert peer.holds_nothing()
