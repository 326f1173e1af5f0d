from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from asyncsctp.config import LIVE_FIELDS, Config
from asyncsctp.congestion import RFC9260


def test_defaults_are_those_of_section_16() -> None:
    config = Config()
    assert (config.rto_initial, config.rto_min, config.rto_max) == (1.0, 1.0, 60.0)
    assert (config.max_retrans, config.path_max_retrans, config.init_max_retrans) == (10, 5, 8)
    assert (config.heartbeat_interval, config.sack_delay, config.cookie_lifetime) == (30.0, 0.2, 60.0)
    assert config.udp_port == 9899


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rto_initial", 0.0),
        ("rto_min", -1.0),
        ("rto_max", math.inf),
        ("rto_min", math.nan),
        ("max_retrans", -1),
        ("sack_delay", 0.501),
        ("sack_frequency", 0),
        ("outgoing_streams", 0),
        ("max_incoming_streams", 65536),
        ("mtu", 575),
        ("dscp", 64),
        ("udp_port", 0),
        ("recv_buffer", 0),
        ("heartbeat_interval", 0),
    ],
)
def test_a_value_out_of_range_is_named_with_what_is_allowed(field: str, value: float) -> None:
    kwargs: dict[str, Any] = {field: value}
    with pytest.raises(ValueError, match=rf"^{field} must be between .* and .*, not"):
        Config(**kwargs)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rto_initial", "1"),
        ("rto_initial", None),
        ("rto_initial", True),
        ("max_retrans", 1.0),
        ("max_retrans", None),
        ("mtu", 1400.0),
        ("nodelay", 1),
        ("ecn", None),
        ("scheduler", 1),
        ("congestion", "cubic"),
        ("reconfig_allowed", ["reset_streams"]),
        ("auth_chunks", [0]),
        ("auth_hmacs", [3, 1]),
        ("auth_keys", [(1, b"key")]),
    ],
)
def test_a_value_of_the_wrong_type_is_named(field: str, value: object) -> None:
    kwargs: dict[str, Any] = {field: value}
    with pytest.raises(TypeError, match=rf"^{field} must be "):
        Config(**kwargs)


def test_what_a_peer_may_reconfigure_is_one_of_a_few_things() -> None:
    with pytest.raises(ValueError, match="reconfig_allowed must be made of add_streams, reset_streams, reset_tsns"):
        Config(reconfig_allowed=frozenset({"reset_streams", "everything"}))


@pytest.mark.parametrize("field", ["heartbeat_interval", "shutdown_guard", "max_burst", "autoclose", "mtu"])
def test_what_can_be_left_open(field: str) -> None:
    assert getattr(Config().replace(**{field: None}), field) is None


def test_bounds_of_the_time_out_fit_together() -> None:
    assert Config(rto_min=0.01, rto_max=0.01).rto_max == 0.01
    with pytest.raises(ValueError, match="rto_min must be at most rto_max"):
        Config(rto_min=2.0, rto_max=1.0)


def test_whole_numbers_are_times_too() -> None:
    assert Config(rto_initial=3).rto_initial == 3


def test_replace_gives_a_checked_copy() -> None:
    config = Config()
    assert config.replace(dscp=46).dscp == 46
    assert config.dscp == 0
    with pytest.raises(ValueError, match="dscp"):
        config.replace(dscp=100)
    with pytest.raises(TypeError):
        config.replace(nonsense=1)


def test_it_does_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().dscp = 1  # type: ignore[misc]
    assert Config() == Config()


def test_plug_ins_are_classes_or_factories() -> None:
    assert Config(congestion=RFC9260).congestion is RFC9260
    assert Config(congestion=lambda pmdcs, ipv4: RFC9260(pmdcs, ipv4, 2)).congestion is not None


def test_live_fields_exist() -> None:
    assert {field.name for field in dataclasses.fields(Config)} >= LIVE_FIELDS


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"auth": True, "auth_keys": {7: b"k", 3: b"k"}}, r"must be an id in auth_keys \(3, 7\), not 0"),
        ({"auth": True, "auth_active_key": 3}, r"must be an id in auth_keys \(there are none\), not 3"),
        ({"auth_chunks": frozenset({0})}, "auth must be True for auth_chunks"),
        ({"auth_keys": {0: b"k"}}, "auth must be True for auth_chunks and auth_keys"),
        ({"auth": True, "auth_chunks": frozenset({1})}, "auth_chunks must hold chunk types"),
        ({"auth": True, "auth_hmacs": (3,)}, "auth_hmacs must be made of 3 and 1, and have 1"),
        ({"auto_asconf": True}, "dynamic_addresses must be True for auto_asconf"),
        (
            {"primary_switchover": 3, "pf_threshold": None},
            r"primary_switchover must be at least path_max_retrans \(5\), not 3",
        ),
        (
            {"primary_switchover": 1, "pf_threshold": 2},
            r"primary_switchover must be at least pf_threshold \(2\), not 1",
        ),
    ],
)
def test_what_does_not_fit_together_is_said(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Config(**settings)
