from __future__ import annotations

import pytest

from asyncsctp.config import Config
from asyncsctp.paths.path import Path
from asyncsctp.paths.path_manager import PathManager

V4 = "192.0.2.1"
V6 = "2001:db8::1"


def path(address: str = V4, config: Config | None = None) -> Path:
    return PathManager(config or Config(), ["192.0.2.100", "2001:db8::100"], [address], 9899, print).primary


def test_the_first_window_is_that_of_the_family() -> None:
    assert path(V4).space(0, 0.0) == 4404
    assert path(V6).space(0, 0.0) == 4344


def test_room_is_what_the_window_leaves() -> None:
    made = path()
    assert made.space(1000, 0.0) == made.congestion.cwnd - 1000
    assert made.space(5000, 0.0) < 0


def test_after_a_timeout_one_packet_until_an_acknowledgement() -> None:
    made = path()
    made.expire_t3(1.0)
    assert made.space(0, 1.0) == made.payload
    assert made.space(16, 1.0) == 0
    made.on_ack(16, 16, True, False, 2.0)
    assert made.space(16, 2.0) == made.payload - 16


def test_one_packet_may_always_leave_however_small_a_controller_makes_the_window() -> None:
    made = path()
    made.congestion.cwnd = 0
    assert made.space(0, 0.0) == made.payload
    assert made.space(1, 0.0) <= 0


def test_an_idle_window_decays_once_for_each_rto() -> None:
    made = path(config=Config(max_burst=1000))
    made.congestion.cwnd = 100_000
    made.space(0, 50.0)  # nothing was sent yet: slow start is all there is
    assert made.congestion.cwnd == 100_000
    made.on_sent(100.0)
    assert made.space(0, 100.9) == 100_000
    assert made.space(0, 101.1) == 50_000
    assert made.space(0, 101.9) == 50_000
    assert made.space(0, 103.0) == 12_500
    made.on_sent(103.0)
    assert made.space(0, 103.9) == 12_500
    assert made.last_sent == 103.0


def test_waiting_for_an_acknowledgement_is_not_idleness() -> None:
    made = path(config=Config(max_burst=1000))
    made.congestion.cwnd = 100_000
    made.on_sent(1.0)
    assert made.space(10, 30.0) == 99_990


def test_packets_are_1280_bytes_at_first() -> None:
    assert path(V4).payload == 1240
    assert path(V6).payload == 1220


def test_a_smaller_packet_size_is_believed_down_to_what_every_path_carries() -> None:
    made = path(V4)
    assert made.on_message_size(1000)
    assert (made.mtu, made.payload, made.congestion.pmdcs) == (1000, 960, 960)
    assert not made.on_message_size(1000)
    assert not made.on_message_size(1500)
    assert made.on_message_size(0)
    assert (made.mtu, made.payload) == (576, 536)
    assert not path(V6).on_message_size(100)
    wide = path(V6, Config(mtu=9000))
    assert wide.on_message_size(100)
    assert wide.mtu == 1280


def test_a_round_trip_sets_the_time_out() -> None:
    made = path(config=Config(rto_min=0.01))
    made.on_rtt(0.1, 1.0)
    assert made.rto.rto == pytest.approx(0.3)
