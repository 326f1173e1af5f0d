from __future__ import annotations

from asyncsctp.association.outbox import Outbox
from asyncsctp.paths.route import Route

HERE, THERE = Route("10.0.0.1", "10.0.0.2", 9899), Route("10.0.0.1", "10.0.0.3", 9899)


def test_packets_along_one_route_are_one_run_and_keep_their_order() -> None:
    outbox = Outbox()
    assert not outbox
    outbox.add(HERE, [b"1"])
    outbox.add(HERE, [b"2", b"3"])
    outbox.add(THERE, [b"4"])
    outbox.add(HERE, [b"5"])
    assert len(outbox) == 5
    assert list(outbox) == [(HERE, b"1"), (HERE, b"2"), (HERE, b"3"), (THERE, b"4"), (HERE, b"5")]
    assert outbox.take() == [(HERE, [b"1", b"2", b"3"]), (THERE, [b"4"]), (HERE, [b"5"])]
    assert not outbox


def test_a_marked_route_is_another_one() -> None:
    outbox = Outbox()
    outbox.add(HERE, [b"1"])
    outbox.add(HERE._replace(ecn_capable=True), [b"2"])
    assert len(outbox.take()) == 2


def test_what_is_thrown_away_does_not_leave() -> None:
    outbox = Outbox()
    outbox.add(HERE, [b"1"])
    outbox.clear()
    assert outbox.take() == []
