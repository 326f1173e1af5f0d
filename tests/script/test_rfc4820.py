"""RFC 4820: PAD makes packets of one train equal, where that makes them cheaper and the peer says that it takes PAD."""

from __future__ import annotations

import pytest
from support.script import Script

from asyncsctp.config import Config
from asyncsctp.wire.constants import DATA, FORWARD_TSN, INIT, PAD, RE_CONFIG

NOT_EQUAL = (1170, 1140, 1110, 1080)  # each fills a packet of its own


def script(extensions: frozenset[int], trains: bool = True) -> Script:
    made = Script(Config(heartbeat_interval=None, mtu=1280), extensions=extensions)
    made.outbox.takes_trains = trains
    return made


def test_a_train_of_packets_is_made_equal_for_a_peer_that_lists_pad() -> None:
    peer = script(frozenset({FORWARD_TSN, PAD}))
    peer.write(*map(bytes, NOT_EQUAL[:3]))
    first, second, third = peer.take()
    assert first.kinds == [DATA]
    assert second.kinds == [DATA, PAD]
    assert third.kinds == [DATA]  # nothing comes behind it
    assert first.size == second.size > third.size


@pytest.mark.parametrize("extensions", [frozenset(), frozenset({FORWARD_TSN, RE_CONFIG})], ids=["none", "others"])
def test_a_peer_that_does_not_list_pad_gets_none(extensions: frozenset[int]) -> None:
    """RFC 9260 section 3.2 has the unknown chunk skipped; there are stacks that drop its packet, and one that dies."""
    peer = script(extensions)
    peer.write(*map(bytes, NOT_EQUAL * 4))
    packets = peer.take()
    assert len(packets) == 4  # of the first window
    assert {kind for packet in packets for kind in packet.kinds} == {DATA}


def test_packets_that_leave_one_by_one_are_not_made_larger() -> None:
    peer = script(frozenset({FORWARD_TSN, PAD}), trains=False)
    peer.write(*map(bytes, NOT_EQUAL))
    assert [packet.kinds for packet in peer.take()] == [[DATA]] * len(NOT_EQUAL)


def test_pad_is_listed_with_the_extensions_and_a_bare_init_stays_bare() -> None:
    assert PAD in Script(up=False).expect_raw(INIT).extensions
    plain = Config(partial_reliability=False, stream_reconfig=False)
    assert not Script(plain, up=False).expect_raw(INIT).extensions


def test_a_peer_that_restarts_as_another_gets_no_pad() -> None:
    """What the peer lists is said anew with each INIT (RFC 9260 section 5.2.4 A)."""
    peer = script(frozenset({FORWARD_TSN, PAD}))
    setup = peer.association.context.setup
    assert setup is not None
    peer.association.context.owner.restart(setup._replace(extensions=frozenset({FORWARD_TSN})))
    peer.flush()
    peer.take()
    peer.write(*map(bytes, NOT_EQUAL))
    assert {kind for packet in peer.take() for kind in packet.kinds} == {DATA}
