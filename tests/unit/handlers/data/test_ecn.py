"""ECNE and CWR (RFC 4960 appendix A, RFC 3168 section 6.1.2), on both sides."""

from __future__ import annotations

from support.script import PEER_TSN, Script

from asyncsctp.handlers.data.ecn import Ecn
from asyncsctp.wire import control
from asyncsctp.wire.constants import CWR


def conversation(script: Script) -> Ecn:
    ecn = script.association._parts.established.ecn
    assert ecn is not None
    return ecn


def test_a_mark_is_echoed_until_the_peer_says_that_it_has_reduced_its_window() -> None:
    ecn = conversation(Script(ecn=True))
    assert ecn.echo() == b""
    ecn.on_marked(PEER_TSN)
    ecn.on_marked(PEER_TSN + 3)
    assert ecn.echo() == control.pack_ecne(PEER_TSN)
    ecn.on_cwr(PEER_TSN - 1)  # for an earlier one
    assert ecn.echo() == control.pack_ecne(PEER_TSN)
    ecn.on_cwr(PEER_TSN)
    assert ecn.echo() == b""
    ecn.on_cwr(PEER_TSN)
    assert ecn.echo() == b""


def test_an_echo_reduces_the_window_once_for_what_was_in_flight_and_is_answered_always() -> None:
    script = Script(ecn=True)
    script.path().congestion.cwnd = 50_000
    script.write_packets(5)
    script.take()
    ecn = conversation(script)
    windows = []
    for tsn in (1, 2, 4):
        ecn.on_ecne(script.ours(tsn))
        windows.append(script.cwnd)
    assert windows == [25_000] * 3
    ecn.on_ecne(script.ours(99))  # which was never sent
    assert [chunk[0] for chunk, _, _ in script.association.context.control] == [CWR] * 3
    assert script.association.context.statistics.ecn_echoes_received == 4
