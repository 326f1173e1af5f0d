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
    assert [(run.route, run.packets) for run in outbox.take()] == [
        (HERE, [b"1", b"2", b"3"]),
        (THERE, [b"4"]),
        (HERE, [b"5"]),
    ]
    assert not outbox


def test_packets_with_other_marks_are_another_run() -> None:
    outbox = Outbox()
    outbox.add(HERE, [b"1"])
    outbox.add(HERE, [b"2"], ecn_capable=True)
    outbox.add(HERE, [b"3"], ecn_capable=True)
    outbox.add(HERE, [b"4"], ecn_capable=True, dscp=46)
    runs = outbox.take()
    assert [(run.packets, run.ecn_capable, run.dscp) for run in runs] == [
        ([b"1"], False, -1),
        ([b"2", b"3"], True, -1),
        ([b"4"], True, 46),
    ]


def test_what_is_thrown_away_does_not_leave() -> None:
    outbox = Outbox()
    outbox.add(HERE, [b"1"])
    outbox.clear()
    assert outbox.take() == []
