from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import Any

import pytest

from asyncsctp.testing import Link, LinkSettings, PacketOutcome


def link(seed: int = 1, **settings: float | None) -> Link:
    return Link(LinkSettings(delay=0.01).replace(**settings), Random(seed))


def arrivals(a_link: Link, count: int, gap: float = 0.0, **options: bool) -> list[float]:
    crossings = [a_link.carry(b"x" * 100, at * gap, **options) for at in range(count)]
    return [arrival for crossing in crossings for arrival in crossing.arrivals]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("loss", 1.5),
        ("loss", -0.1),
        ("burst_start", 2),
        ("burst_end", "often"),
        ("burst_loss", None),
        ("delay", -1),
        ("jitter", float("nan")),
        ("reorder", 7),
        ("reorder_delay", float("inf")),
        ("duplicate", True),
        ("corrupt", 9),
        ("mark", -1),
        ("rate", 0),
        ("queue", 0),
        ("ecn_threshold", -1),
        ("mtu", 20),
    ],
)
def test_a_setting_out_of_range_is_named(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field):
        LinkSettings(**{field: value})


def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(ValueError, match="lost"):
        LinkSettings().replace(lost=0.1)


def test_delay() -> None:
    assert arrivals(link(delay=0.25), 1) == [0.25]


def test_jitter_spreads_and_keeps_the_order() -> None:
    times = arrivals(link(jitter=0.05), 200, gap=0.001)
    assert times == sorted(times)
    assert all(0.01 <= time - at * 0.001 < 0.0600001 for at, time in enumerate(times))
    assert len(set(times)) > 20


@pytest.mark.parametrize("loss", [0.0, 0.1, 0.5, 1.0])
def test_loss_has_its_rate(loss: float) -> None:
    assert len(arrivals(link(loss=loss), 5000)) == pytest.approx(5000 * (1 - loss), abs=150)


def test_burst_loss_comes_in_bursts() -> None:
    a_link = link(burst_start=0.01, burst_end=0.2)
    lost = [not a_link.carry(b"x", 0.0).arrivals for _ in range(50_000)]
    bursts = sum(1 for before, after in pairwise(lost) if after and not before)
    assert sum(lost) / len(lost) == pytest.approx(0.01 / 0.21, rel=0.15)
    assert sum(lost) / bursts == pytest.approx(1 / 0.2, rel=0.15)


def test_reordered_packets_are_overtaken() -> None:
    times = arrivals(link(reorder=0.1, reorder_delay=0.02), 1000, gap=0.001)
    held = [at for at, time in enumerate(times) if time > at * 0.001 + 0.0101]
    assert len(times) == 1000
    assert len(held) == pytest.approx(100, abs=40)
    assert times != sorted(times)


def test_duplicates_arrive_twice() -> None:
    assert len(arrivals(link(duplicate=1.0), 10)) == 20


def test_corruption_turns_one_bit() -> None:
    data = bytes(range(64))
    crossing = link(corrupt=1.0).carry(data, 0.0)
    turned = sum((a ^ b).bit_count() for a, b in zip(data, crossing.data, strict=True))
    assert (turned, crossing.outcome) == (1, PacketOutcome.CORRUPTED)


def test_rate_paces_and_the_queue_drops_its_tail() -> None:
    a_link = link(rate=8000, queue=300, delay=0.0)
    assert arrivals(a_link, 5) == pytest.approx([0.1, 0.2, 0.3])
    assert a_link.backlog(0.0) == pytest.approx(300)
    assert a_link.backlog(0.25) == pytest.approx(50)
    assert a_link.carry(b"x" * 400, 0.31).arrivals == pytest.approx((0.71,)), "an idle link takes any packet"


def test_headers_count_for_rate_and_mtu() -> None:
    assert link(rate=8000, delay=0.0).carry(b"x" * 72, 0.0, headers=28).arrivals == pytest.approx((0.1,))
    assert link(mtu=100).carry(b"x" * 73, 0.0, headers=28).outcome is PacketOutcome.TOO_BIG
    assert link(mtu=100).carry(b"x" * 72, 0.0, headers=28).outcome is PacketOutcome.DELIVERED


def test_a_changed_rate_keeps_the_backlog() -> None:
    a_link = link(rate=8000, delay=0.0)
    arrivals(a_link, 4)
    a_link.configure(a_link.settings.replace(rate=80_000), 0.2)
    assert a_link.backlog(0.2) == pytest.approx(200)
    assert a_link.carry(b"x" * 100, 0.2).arrivals >= (0.4,), "it does not overtake what waited before it"


def test_ecn_marks_the_capable_and_drops_the_others() -> None:
    a_link = link(rate=8000, ecn_threshold=150)
    outcomes = [a_link.carry(b"x" * 100, 0.0, ecn_capable=True).outcome for _ in range(3)]
    assert outcomes == [PacketOutcome.DELIVERED, PacketOutcome.DELIVERED, PacketOutcome.MARKED]
    assert a_link.carry(b"x" * 100, 0.0).outcome is PacketOutcome.OVERFLOW


def test_mark_only_touches_the_capable() -> None:
    a_link = link(mark=1.0)
    assert a_link.carry(b"x", 0.0, ecn_capable=True).congestion_experienced
    assert not a_link.carry(b"x", 0.0).congestion_experienced


def test_the_same_seed_gives_the_same_fortune() -> None:
    settings = {"loss": 0.2, "jitter": 0.01, "reorder": 0.1, "duplicate": 0.1, "burst_start": 0.05}
    assert arrivals(link(7, **settings), 500) == arrivals(link(7, **settings), 500)
    assert arrivals(link(7, **settings), 500) != arrivals(link(8, **settings), 500)
