"""What the random lives and hostile packets once brought to light, each made to happen on purpose."""

from __future__ import annotations

from random import Random
from struct import unpack_from

import pytest
from support.pair import A_PORT, UDP_PORT, Z_PORT, Pair

from asyncsctp.config import Config
from asyncsctp.errors import SCTPError
from asyncsctp.paths.route import Route
from asyncsctp.testing.host import Datagram
from asyncsctp.timers import T3_RTX, timer_key
from asyncsctp.wire.constants import DATA
from asyncsctp.wire.packet import Seal
from asyncsctp.wire.sack import pack_sack


def test_a_gap_acknowledgement_is_no_delivery() -> None:
    """The second message has arrived and waits for the first for ever: its writer must hear that it failed, too."""
    pair = Pair(config=Config(max_retrans=2, rto_max=1.0))
    pair.establish()
    first = True

    def lose_the_first(datagram: Datagram) -> bool:
        nonlocal first
        keep = datagram.data[12] != DATA or not first
        first = first and keep
        return keep

    pair.network.on_datagram = lose_the_first
    pair.send(0, 0, b"first")
    pair.simulation.flush()
    pair.send(0, 0, b"second")
    pair.run_for(0.05)
    pair.network.cut(pair.addresses[0][0], pair.addresses[1][0])
    pair.run_until(lambda: pair.users[0].is_closed, 600.0)
    assert [event.data for event in pair.users[0].failed] == [b"first", b"second"]
    pair.verify()


def test_t3_does_not_run_for_a_path_that_data_has_left() -> None:
    """Section 6.3.2 R2: what timed out waited for cwnd, a SACK started T3-rtx again; it leaves over another path."""
    pair = Pair(paths=2, config=Config(heartbeat_interval=None))
    pair.establish()
    pair.run_for(2.0)
    association = pair.association(0)
    timers = association.context.timers
    pair.network.cut("10.0.0.1", "10.0.0.2")
    pair.send(0, 0, bytes(1000))
    pair.simulation.flush()
    transmission = association._parts.established.sender
    assert transmission.window.expire_t3(0) == 1
    assert timers.runs(timer_key(T3_RTX, 0))
    pair.endpoints[0].touch(association)
    pair.simulation.flush()
    assert association.in_flight(1)
    assert not timers.runs(timer_key(T3_RTX, 0))
    pair.run_until(pair.is_delivered)


def test_a_peer_that_answers_with_old_sacks_alone_is_not_probed_for_ever() -> None:
    """Section 6.1 A: probes aren't counted while the peer answers. A SACK below the cumulative TSN is no answer."""
    pair = Pair(config=Config(max_retrans=4, rto_max=2.0))
    pair.establish()
    pair.network.on_datagram = lambda datagram: datagram.source[0] != "10.0.0.1" or datagram.time > 0.5
    pair.send(0, 0, bytes(100))
    pair.send(0, 0, bytes(100_000))
    pair.run_for(0.1)
    transmission = pair.association(0)._parts.established.sender
    # It claims to have what was lost, and no window for more.
    tag = unpack_from("!I", pair.association(0).prefix, 4)[0]
    forged = pack_sack(transmission.outstanding.cumulative_tsn + 1 & 0xFFFFFFFF, 1)
    pair.endpoints[0].receive(
        Seal(Z_PORT, A_PORT, tag).pack(forged), Route("10.0.0.1", "10.0.0.2", UDP_PORT), pair.now, False
    )
    pair.run_until(lambda: pair.users[0].is_closed, 1000.0)
    assert isinstance(pair.users[0].error, SCTPError)


@pytest.mark.parametrize("seed", [0, 2, 5])
def test_a_lossy_line_to_a_peer_that_does_not_read_is_kept(seed: int) -> None:
    """Section 8.1: most HEARTBEATs are answered. Those that are not add up no more than they come in a row."""
    config = Config(heartbeat_interval=0.05, rto_min=0.1, rto_initial=0.2, path_max_retrans=10, recv_buffer=8000)
    pair = Pair(seed, config=config)
    pair.establish()
    pair.stop_reading(1)
    for _ in range(30):
        pair.send(0, 0, bytes(1000))
    pair.run_for(5.0)
    chance = Random(seed)
    pair.network.on_datagram = lambda datagram: chance.random() >= 0.2
    pair.run_for(300.0)
    assert not any(user.is_closed for user in pair.users)
    pair.network.on_datagram = None
    pair.resume_reading(1)
    pair.run_until(pair.is_delivered)
