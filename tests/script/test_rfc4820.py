"""RFC 4820: PAD makes packets of one train equal, where that makes them cheaper and the peer says that it takes PAD."""

from __future__ import annotations

import pytest
from support.script import Script

from asyncsctp.config import Config
from asyncsctp.handlers.setup.negotiation import extensions_of
from asyncsctp.wire.constants import DATA, FORWARD_TSN, INIT, PAD, RE_CONFIG

LISTED = frozenset({FORWARD_TSN, PAD})
NOT_EQUAL = (1170, 1140, 1110, 1080)  # each fills a packet of its own


def script(extensions: frozenset[int], trains: bool = True) -> Script:
    made = Script(Config(heartbeat_interval=None, mtu=1280), extensions=extensions)
    made.outbox.merges_equal = trains
    return made


def sizes_of(peer: Script, *messages: int) -> list[int]:
    """The sizes of the packets that carry messages of these sizes, written together."""
    peer.write(*(bytes(size) for size in messages))
    packets = peer.take()
    carried = [chunk for packet in packets for chunk in packet.chunks if chunk.kind == DATA]
    assert [len(chunk.data) for chunk in carried] == list(messages)
    return [packet.size for packet in packets]


def test_small_differences_between_packets_are_evened_out() -> None:
    """RFC 4820 section 3: PAD fills up a packet, so that runs of packets are equal and leave together."""
    peer = script(LISTED)
    assert len(set(sizes_of(peer, 1000, 980, 910, 1000, 960)[:4])) == 1


def test_not_more_than_a_tenth_of_a_packet_is_padding_and_the_last_one_has_none() -> None:
    peer = script(LISTED)
    whole, less, last = sizes_of(peer, 1000, 880, 860)
    assert (whole - less, less - last) == (120, 20)


def test_what_is_sent_again_has_no_padding() -> None:
    peer = script(LISTED)
    sizes_of(peer, 1000, 980, 1000, 960)
    peer.send(peer.sack(0))
    peer.advance(1.0)
    again = peer.take()[0]
    assert [chunk.kind for chunk in again.chunks] == [DATA]
    assert again.size < 1000 + 28


@pytest.mark.parametrize("extensions", [frozenset(), frozenset({FORWARD_TSN, RE_CONFIG})], ids=["none", "others"])
def test_a_peer_that_does_not_list_pad_gets_none(extensions: frozenset[int]) -> None:
    """RFC 9260 section 3.2 has the unknown chunk skipped; there are stacks that drop its packet, and one that dies."""
    peer = script(extensions)
    peer.write(*map(bytes, NOT_EQUAL * 4))
    packets = peer.take()
    assert len(packets) == 4  # of the first window
    assert {kind for packet in packets for kind in packet.kinds} == {DATA}


def test_packets_that_leave_one_by_one_are_not_made_larger() -> None:
    peer = script(LISTED, trains=False)
    peer.write(*map(bytes, NOT_EQUAL))
    assert [packet.kinds for packet in peer.take()] == [[DATA]] * len(NOT_EQUAL)


def test_pad_is_listed_with_the_extensions_and_a_bare_init_stays_bare() -> None:
    assert PAD in Script(up=False).expect_raw(INIT).extensions
    plain = Config(partial_reliability=False, stream_reconfig=False)
    assert not Script(plain, up=False).expect_raw(INIT).extensions


def test_a_peer_that_restarts_as_another_gets_no_pad() -> None:
    """What the peer lists is said anew with each INIT (RFC 9260 section 5.2.4 A)."""
    peer = script(LISTED)
    setup = peer.association.context.setup
    assert setup is not None
    peer.association.context.owner.restart(setup._replace(extensions=extensions_of(frozenset({FORWARD_TSN}))))
    peer.flush()
    peer.take()
    peer.write(*map(bytes, NOT_EQUAL))
    assert {kind for packet in peer.take() for kind in packet.kinds} == {DATA}
