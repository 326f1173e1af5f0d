"""RFC 9260 section 8.3, with 5.4: heartbeats, and the verification of addresses."""

from __future__ import annotations

import pytest
from support.script import LOCAL, PEER, UDP_PORT, Script

from asyncsctp.config import Config
from asyncsctp.events import PathChanged, PeerAddressChanged
from asyncsctp.handlers.state import ESTABLISHED
from asyncsctp.path_state import PathState
from asyncsctp.paths.route import Route
from asyncsctp.wire import control
from asyncsctp.wire.constants import DATA, HEARTBEAT, HEARTBEAT_ACK, PARAM_HEARTBEAT_INFO, SHUTDOWN
from asyncsctp.wire.control import pack_heartbeat, pack_heartbeat_ack, read_heartbeat


def info_of(script: Script) -> bytes:
    """The information in the HEARTBEAT that was just sent."""
    value = script.expect(HEARTBEAT).one(HEARTBEAT).value
    return read_heartbeat(value, 0, len(value))


def periods(script: Script, count: int, *, answered: bool = True) -> list[float]:
    """The times between HEARTBEATs on an idle association."""
    sent = [script.now]
    for _ in range(count):
        [packet] = script.wait()
        sent.append(script.now)
        chunk = packet.one(HEARTBEAT)
        if answered:
            script.send(pack_heartbeat_ack(read_heartbeat(chunk.value, 0, len(chunk.value))))
    return [later - earlier for earlier, later in zip(sent, sent[1:], strict=False)]


def test_an_idle_address_is_probed_once_per_rto_and_interval() -> None:
    """RECOMMENDED: once per RTO of that address plus HB.interval (30 s)."""
    assert periods(Script(Config()), 5) == pytest.approx([31.0] * 5)
    assert periods(Script(Config(heartbeat_interval=5.0)), 5) == pytest.approx([6.0] * 5)


@pytest.mark.parametrize(("jitter", "deviation"), [(0, -0.5), (0xFFFF, 0.5)])
def test_the_period_has_a_jitter_of_half_an_rto(jitter: int, deviation: float) -> None:
    """With jittering of +/- 50 % of the RTO."""
    script = Script(Config())
    script.chance.jitter = jitter
    periods(script, 1)
    assert periods(script, 3) == pytest.approx([31.0 + deviation] * 3, abs=0.001)


def test_unanswered_heartbeats_back_off() -> None:
    """With exponential backoff of the RTO if the previous HEARTBEAT is unanswered."""
    script = Script(Config(pf_threshold=None))
    assert periods(script, 4, answered=False)[1:] == pytest.approx([32.0, 34.0, 38.0])


def test_an_address_that_data_uses_is_not_probed() -> None:
    """Idle is an address to which no chunk that can measure the round trip was sent in the current period."""
    script = Script(Config(pf_threshold=None))
    tsn = 0
    for _ in range(100):
        script.write(b"data")
        assert all(packet.kinds == [DATA] for packet in script.take())
        script.send(script.sack(tsn))
        tsn += 1
        script.advance(10.0)
    script.expect_nothing()
    script.advance(22.0)
    script.expect(HEARTBEAT)


def test_retransmissions_do_not_make_an_address_busy() -> None:
    """Idle: "usually including first transmission DATA"; what is sent again measures nothing (section 6.3.1 C5)."""
    script = Script(Config(heartbeat_interval=5.0, path_max_retrans=100, pf_threshold=None), paths=2)
    probed = set()
    for tsn in range(30):
        script.write(b"lost at first")
        while not any(packet.kinds == [DATA] and packet.to == PEER[1] for packet in script.packets):
            script.advance(0.1)
        probed |= {packet.to for packet in script.take() if HEARTBEAT in packet.kinds}
        script.send(script.sack(tsn))
        script.path().rto.rto = 1.0
    assert probed == {PEER[1]}


def test_heartbeats_can_be_switched_off() -> None:
    """A: disable heartbeat."""
    script = Script(Config(heartbeat_interval=None))
    script.advance(10_000.0)
    script.expect_nothing()


def test_the_interval_can_be_changed() -> None:
    """B and C: change HB.interval, re-enable."""
    script = Script(Config())
    script.association.configure(Config(heartbeat_interval=2.0))
    assert periods(script, 3)[1:] == pytest.approx([3.0] * 2)


def test_a_heartbeat_on_demand() -> None:
    """D: request an on-demand HEARTBEAT on a specific address."""
    script = Script(paths=2)
    script.association.heartbeat(PEER[1], script.now)
    script.flush()
    assert script.packets[0].to == PEER[1]
    info = info_of(script)
    script.advance(0.25)
    script.send(pack_heartbeat_ack(info))
    assert script.user.heartbeats == [(PEER[1], 0.25)]
    assert script.path(1).rto.srtt == pytest.approx(0.25)
    script.association.heartbeat(PEER[1], script.now)
    script.advance(10.0)
    assert script.user.heartbeats[1] == (PEER[1], None)


def test_an_answer_holds_all_that_was_received_unchanged() -> None:
    """The Heartbeat Information TLV, with any other TLVs, copied unchanged; at once."""
    script = Script()
    value = b"\0\1\0\x09hello\0\0\0" + b"\x80\x77\0\x08more"
    script.send(b"\x04\0" + (4 + len(value)).to_bytes(2) + value)
    assert script.expect(HEARTBEAT_ACK).one(HEARTBEAT_ACK).value == value


@pytest.mark.parametrize("size", [0, 1, 3, 1000])
def test_an_answer_has_the_length_of_the_question(size: int) -> None:
    script = Script()
    question = pack_heartbeat(bytes(size))
    script.send(question)
    assert script.expect(HEARTBEAT_ACK).one(HEARTBEAT_ACK).value == question[4 : int.from_bytes(question[2:4])]


def test_only_the_nonce_that_was_sent_counts() -> None:
    """Section 5.4: verified is that the nonce is the one sent to the address indicated; 64 bits or more."""
    script = Script(paths=2)
    script.association.heartbeat(PEER[0], script.now)
    script.flush()
    info = info_of(script)
    assert len(info) >= 8
    for wrong in (b"", info[:-1], info + b"x", bytes(len(info)), info[:-1] + bytes([info[-1] ^ 1])):
        script.send(pack_heartbeat_ack(wrong))
        assert not script.user.heartbeats
    script.send(pack_heartbeat_ack(info))
    script.send(pack_heartbeat_ack(info))
    assert len(script.user.heartbeats) == 1


def test_a_heartbeat_ack_without_information_is_discarded() -> None:
    script = Script()
    script.send(b"\x05\0\0\4")
    script.send(b"\x05\0\0\x08" + b"\x00\x02\0\4")
    script.expect_nothing()
    assert script.state is ESTABLISHED


def test_heartbeats_are_answered_until_shutdown_was_sent_and_no_longer_sent_then() -> None:
    """Up until reaching the SHUTDOWN-SENT state; and sending is discontinued after a SHUTDOWN."""
    script = Script(Config(shutdown_guard=1e4, max_retrans=1000))
    script.write(b"outstanding")
    script.shutdown()
    script.take()
    script.send(pack_heartbeat(b"x"))
    script.expect(HEARTBEAT_ACK)
    script.send(script.sack(0))
    script.expect(SHUTDOWN)
    script.send(pack_heartbeat(b"x"))
    assert HEARTBEAT_ACK not in [kind for packet in script.take() for kind in packet.kinds]
    script.advance(200.0)
    assert HEARTBEAT not in [kind for packet in script.take() for kind in packet.kinds]


def test_an_inactive_address_is_probed_on_and_its_counter_stands_still() -> None:
    """SHOULD continue sending HEARTBEATs, but SHOULD stop increasing the counter."""
    script = Script(Config(path_max_retrans=1, max_retrans=1000, pf_threshold=None))
    assert len(periods(script, 10, answered=False)) == 10
    assert script.path().state is PathState.INACTIVE
    assert script.path().error_count == 2


# Section 5.4.


def test_5_4_an_address_is_confirmed_by_the_answer() -> None:
    script = Script(Config(), paths=2, listed=True)
    script.advance(0.0)
    [packet] = [packet for packet in script.take() if HEARTBEAT in packet.kinds]
    assert packet.to == PEER[1]
    value = packet.one(HEARTBEAT).value
    assert int.from_bytes(value[:2]) == PARAM_HEARTBEAT_INFO
    script.send(pack_heartbeat_ack(read_heartbeat(value, 0, len(value))), source=1)
    assert PeerAddressChanged(PEER[1], "confirmed") in script.user.events
    assert PathChanged(PEER[1], PathState.ACTIVE) in script.user.events
    assert script.path(1).state is PathState.ACTIVE


def test_5_4_an_unconfirmed_address_is_probed_in_each_rto_and_then_at_the_normal_rate() -> None:
    """In each RTO a probe MAY be sent; once the address counts as failed, at the normal rate. The association does not
    count these errors."""
    script = Script(Config(path_max_retrans=2, max_retrans=1), paths=2, listed=True)
    sent: list[float] = []
    while len(sent) < 6:
        for packet in script.wait(200.0):
            for chunk in packet.all(HEARTBEAT):
                if packet.to == PEER[1]:
                    sent.append(script.now)
                else:
                    script.send(pack_heartbeat_ack(read_heartbeat(chunk.value, 0, len(chunk.value))))
    gaps = [later - earlier for earlier, later in zip(sent, sent[1:], strict=False)]
    assert gaps[:2] == pytest.approx([1.0, 2.0])
    assert all(gap > 30.0 for gap in gaps[2:])
    assert script.state is ESTABLISHED


def test_5_4_confirmed_addresses_are_not_probed_at_once() -> None:
    """Rule 1: addresses that the upper layer gave are CONFIRMED."""
    script = Script(Config(), paths=2)
    script.advance(20.0)
    script.expect_nothing()


@pytest.mark.parametrize("local", LOCAL)
def test_many_heartbeats_in_a_packet_are_answered_by_one(local: str) -> None:
    """From whatever address of ours that leaves: the one that they came to. Nobody has so many to send; what one packet
    may cost is bounded, and one answers it (section 12.4).
    """
    script = Script(paths=2)
    script.path().on_rtt(0.1, script.now)  # it stays where it is
    questions = script.packet(*[pack_heartbeat(bytes(8))] * 90)
    script.endpoint.receive(questions, Route(local, PEER[0], UDP_PORT), script.now)
    script.flush()
    answers = script.take()
    assert {packet.route.local for packet in answers} == {local}
    assert [kind for packet in answers for kind in packet.kinds] == [HEARTBEAT_ACK] * 32
    assert sum(packet.size for packet in answers) < len(questions)
    assert len(answers) == 1
    assert all(packet.size <= script.payload for packet in answers)


def test_ten_idle_minutes_cost_next_to_nothing() -> None:
    script = Script(Config(), paths=2)
    seen = 0
    while script.now < 700.0:
        for packet in script.wait(600.0):
            seen += 1
            chunk = packet.one(HEARTBEAT)
            script.send(pack_heartbeat_ack(read_heartbeat(chunk.value, 0, len(chunk.value))))
    assert 30 <= seen <= 44


def test_a_heartbeat_without_information_is_discarded() -> None:
    """The parameter is mandatory; whoever lacks it gets its value back unchanged, or nothing."""
    script = Script()
    script.send(b"\x04\0\0\4")
    assert all(packet.kinds == [HEARTBEAT_ACK] for packet in script.take())
    assert script.state is ESTABLISHED
    script.send(control.pack_heartbeat(b"x"))
    script.expect(HEARTBEAT_ACK)
