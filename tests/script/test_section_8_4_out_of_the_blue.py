"""RFC 9260 section 8.4: packets of no association, rule by rule, and what strangers can make us send."""

from __future__ import annotations

from typing import Any

import pytest
from support.endpoints import HERE, PEER_TSN, THERE, Sim, Solo, chunks, data, kinds, offer, tag_of

from asyncsctp.config import Config
from asyncsctp.handlers.state import CLOSED
from asyncsctp.paths.route import Route
from asyncsctp.wire import causes, control, sack, tlv
from asyncsctp.wire.constants import ABORT, CAUSE_OUT_OF_RESOURCE, COOKIE_ACK, I_DATA, INIT_ACK, SHUTDOWN_COMPLETE
from asyncsctp.wire.init import pack_init

TAG = 0x12345678

ABORTED = (ABORT, 1)
COMPLETED = (SHUTDOWN_COMPLETE, 1)

DATA_CHUNK = data(PEER_TSN)
SACK_CHUNK = sack.pack_sack(1, 2, [], [])
HEARTBEAT_CHUNK = control.pack_heartbeat(b"x")
ERROR_CHUNK = control.pack_error(causes.pack_cause(CAUSE_OUT_OF_RESOURCE))
STALE = control.pack_error(causes.pack_stale_cookie(5))
UNKNOWN = tlv.pack(0xC1 << 8, b"unknown")


def solo_with_stranger(*items: bytes, tag: int = TAG, **options: object) -> list[tuple[Route, bytes]]:
    solo = Solo(**options)  # type: ignore[arg-type]
    return solo.receive(solo.packet(*items, tag=tag))


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        # Rule 2: an ABORT anywhere is the end of it.
        ((control.pack_abort(),), None),
        ((DATA_CHUNK, control.pack_abort()), None),
        ((control.pack_shutdown_ack(), control.pack_abort()), None),
        ((control.pack_cookie_echo(b"x"), control.pack_abort()), None),
        ((control.pack_abort(reflected=True),), None),
        # Rule 4: a COOKIE ECHO that is first is none of an association if it is not good; one that is not first is rule
        # 8.
        ((control.pack_cookie_echo(b"x" * 100),), None),
        ((control.pack_cookie_echo(b"x" * 100), DATA_CHUNK), None),
        ((DATA_CHUNK, control.pack_cookie_echo(b"x" * 100)), ABORTED),
        # Rule 5.
        ((control.pack_shutdown_ack(),), COMPLETED),
        ((SACK_CHUNK, control.pack_shutdown_ack()), COMPLETED),
        ((control.pack_shutdown_ack(), control.pack_shutdown_complete()), COMPLETED),
        # Rule 6.
        ((control.pack_shutdown_complete(),), None),
        ((control.pack_shutdown_complete(reflected=True),), None),
        # Rule 7.
        ((STALE,), None),
        ((control.pack_error(causes.pack_cause(CAUSE_OUT_OF_RESOURCE) + causes.pack_stale_cookie(5)),), None),
        ((control.pack_cookie_ack(),), None),
        ((control.pack_cookie_ack(), DATA_CHUNK), None),
        # Rule 8.
        ((DATA_CHUNK,), ABORTED),
        ((SACK_CHUNK,), ABORTED),
        ((HEARTBEAT_CHUNK,), ABORTED),
        ((control.pack_heartbeat_ack(b"x"),), ABORTED),
        ((ERROR_CHUNK,), ABORTED),
        ((control.pack_shutdown(5),), ABORTED),
        ((pack_init(offer(cookie=b"x"), ack=True),), ABORTED),
        ((control.pack_ecne(5),), ABORTED),
        ((control.pack_cwr(5),), ABORTED),
        ((UNKNOWN,), ABORTED),
        # However many chunks of data there are; others need not be many.
        ((DATA_CHUNK,) * 60, ABORTED),
        ((SACK_CHUNK, *[tlv.pack(I_DATA << 8, bytes(20))] * 60), ABORTED),
        ((control.pack_shutdown_complete(), *[DATA_CHUNK] * 60), None),
        ((ERROR_CHUNK,) * 60, None),
    ],
)
@pytest.mark.parametrize("listening", [True, False])
def test_rules(items: tuple[bytes, ...], expected: tuple[int, int] | None, listening: bool) -> None:
    answers = solo_with_stranger(*items, listening=listening)
    if expected is None:
        assert answers == []
        return
    ((route, answer),) = answers
    (chunk,) = chunks(answer)
    assert (chunk[0], chunk[1]) == expected
    assert len(chunk) == 4
    assert tag_of(answer) == TAG
    assert route.address == THERE


@pytest.mark.parametrize(
    ("source", "local"),
    [
        ("224.0.0.1", HERE),
        ("255.255.255.255", HERE),
        ("0.0.0.0", HERE),
        ("ff02::1", "2001:db8::1"),
        ("::", "2001:db8::1"),
    ],
)
def test_rule_1_no_answer_to_what_is_not_unicast(source: str, local: str) -> None:
    solo = Solo(addresses=(HERE, "2001:db8::1"))
    assert solo.receive(solo.packet(DATA_CHUNK, tag=TAG), source, local=local) == []
    assert solo.receive(solo.packet(pack_init(offer(), ack=False), tag=0), source, local=local) == []


def test_rule_3_an_abort_of_an_init_is_not_reflected() -> None:
    solo = Solo(listening=False)
    ((_, answer),) = solo.init(initiate_tag=77)
    assert (tag_of(answer), chunks(answer)[0][:2]) == (77, bytes((ABORT, 0)))


def test_a_wrong_checksum_is_not_even_out_of_the_blue() -> None:
    solo = Solo()
    good = solo.packet(DATA_CHUNK, tag=TAG)
    for at in range(8, len(good)):
        broken = good[:at] + bytes((good[at] ^ 0x10,)) + good[at + 1 :]
        assert solo.receive(broken) == []


@pytest.mark.parametrize("size", range(16))
def test_what_is_too_short_is_not_answered(size: int) -> None:
    solo = Solo()
    assert solo.receive(solo.packet(DATA_CHUNK, tag=TAG)[:size]) == []


def test_another_port_is_nobodys() -> None:
    solo = Solo()
    ((_, answer),) = solo.receive(solo.packet(pack_init(offer(), ack=False), tag=0, port=5001))
    assert (kinds(answer), answer[:2]) == ([ABORT], (5001).to_bytes(2))
    assert solo.receive(solo.packet(pack_init(offer(), ack=False), tag=0, peer_port=0)) == []


def test_strangers_do_not_decide_how_much_we_send() -> None:
    solo = Solo()
    packets = [solo.packet(DATA_CHUNK, tag=number + 1) for number in range(5000)]
    answered = sum(len(solo.receive(packet, f"198.51.100.{number % 250 + 1}")) for number, packet in enumerate(packets))
    assert 100 <= answered <= 1000
    solo.wait(10.0)
    assert solo.receive(packets[0])
    assert solo.endpoint.statistics.answers_suppressed == 5000 - answered


@pytest.mark.parametrize("flood", ["refused", "restart", "port"])
def test_forged_inits_do_not_decide_how_many_aborts_we_send(flood: str) -> None:
    solo = Solo(listening=flood != "refused")
    if flood != "refused":
        solo.accept()
    changes: dict[str, Any] = {"addresses": ("203.0.113.1",)} if flood == "restart" else {}
    udp_port = 7777 if flood == "port" else 9899
    answers = [solo.init(udp_port=udp_port, initiate_tag=number + 1, **changes) for number in range(3000)]
    assert 100 <= sum(map(len, answers)) <= 1000


def test_answers_are_never_larger_than_what_they_answer() -> None:
    """But for INIT ACK: RFC 5062 section 5 and 6 on amplification."""
    solo = Solo()
    for items in ((DATA_CHUNK,), (control.pack_shutdown_ack(),), (UNKNOWN,), (b"\x40\0\0\x04",)):
        packet = solo.packet(*items, tag=TAG)
        assert sum(len(answer) for _, answer in solo.receive(packet)) <= len(packet)


def test_two_endpoints_never_answer_each_other_without_end() -> None:
    """Whatever is forged between two endpoints that know nothing of each other: it dies out."""
    sim = Sim()
    a = sim.node("a", "10.0.0.1", listening=True)
    z = sim.node("z", "10.0.0.2", listening=True)
    for items in (
        (DATA_CHUNK,),
        (control.pack_shutdown_ack(),),
        (control.pack_abort(),),
        (ERROR_CHUNK,),
        (pack_init(offer(cookie=b"x"), ack=True),),
        (UNKNOWN,),
        (control.pack_heartbeat(b"x"),),
    ):
        solo = Solo()
        sim.attack("10.0.0.1", z, solo.packet(*items, tag=TAG, peer_port=5000))
        sim.attack("10.0.0.2", a, solo.packet(*items, tag=TAG, peer_port=5000))
        sim.attack("10.0.0.1", a, solo.packet(*items, tag=TAG, peer_port=5000))  # from itself, as it seems
    sim.run(100.0)
    assert len(sim.log) <= 21 * 3
    assert a.endpoint.associations == z.endpoint.associations == []


def test_an_init_ack_for_nobody_ends_the_handshake_of_its_sender() -> None:
    """Whom a forged INIT made us answer says ABORT, which is for us out of the blue in its turn."""
    solo = Solo()
    ((_, answer),) = solo.init(initiate_tag=TAG)
    assert kinds(answer) == [INIT_ACK]
    assert solo.say(control.pack_abort(reflected=True), tag=TAG) == []


def test_a_peer_that_is_gone_is_told_so() -> None:
    """A crashed and came back without its associations; what Z sends is out of the blue, and Z learns of it."""
    sim = Sim()
    a = sim.node("a", "10.0.0.1")
    z = sim.node("z", "10.0.0.2", listening=True)
    a.connect(z)
    sim.until(lambda: a.is_up() and z.is_up())
    sim.crash(a)
    sim.node("a'", "10.0.0.1")
    z.send(b"data")
    sim.until(lambda: z.user.is_closed, 1.0)
    assert "abort" in str(z.user.error)


def test_a_lost_shutdown_complete_is_made_good_by_rule_5() -> None:
    sim = Sim()
    a = sim.node("a", "10.0.0.1", config=Config())
    z = sim.node("z", "10.0.0.2", listening=True)
    a.connect(z)
    sim.until(lambda: a.is_up() and z.is_up())
    lost: list[object] = []

    def lose(datagram: object) -> bool | None:
        if SHUTDOWN_COMPLETE in kinds(datagram.data) and not lost:  # type: ignore[attr-defined]
            lost.append(datagram)
            return False
        return None

    sim.verdict = lose
    a.shutdown()
    sim.until(lambda: a.user.is_closed)
    sim.until(lambda: z.user.is_closed, 5.0)
    assert lost
    assert z.user.error is None


def test_a_lost_shutdown_complete_is_made_good_only_so_often() -> None:
    """The peer knows the tag, and may ask in the name of anybody: what it makes us say to others is limited."""
    solo = Solo()
    association = solo.accept()
    tag = association.context.local_tag
    association.shutdown(solo.now)
    solo.touch()
    solo.say(control.pack_shutdown_ack())
    assert association.state is CLOSED
    again = solo.packet(control.pack_shutdown_ack(), tag=tag)
    for source in (THERE, "203.0.113.7"):
        for _ in range(5):
            ((_, answer),) = solo.receive(again, source)
            assert kinds(answer) == [SHUTDOWN_COMPLETE]
    answers = [solo.receive(again, f"203.0.113.{number % 250 + 1}") for number in range(3000)]
    assert sum(map(len, answers)) <= 1000
    solo.wait(10.0)
    assert len(solo.receive(again)) == 1


def test_an_init_behind_another_chunk_is_malformed() -> None:
    """Section 8.5.1 A: it bears tag 0, and is alone in its packet."""
    solo = Solo()
    assert solo.receive(solo.packet(DATA_CHUNK, pack_init(offer(), ack=False), tag=TAG)) == []
    assert solo.endpoint.statistics.malformed_packets == 1


@pytest.mark.parametrize(
    "items",
    [(pack_init(offer(), ack=False), DATA_CHUNK), (DATA_CHUNK,), (DATA_CHUNK, pack_init(offer(), ack=False))],
    ids=["an INIT with company", "none", "one that is not the first"],
)
def test_at_a_port_that_nobody_has_only_a_lone_init_is_answered_under_tag_0(items: tuple[bytes, ...]) -> None:
    solo = Solo()
    assert solo.receive(solo.packet(*items, tag=0, port=4711)) == []
    [(_, answer)] = solo.receive(solo.packet(pack_init(offer(), ack=False), tag=0, port=4711))
    assert (kinds(answer), tag_of(answer)) == ([ABORT], offer().initiate_tag)


def test_rule_2_an_abort_behind_a_good_cookie_makes_no_association() -> None:
    solo = Solo()
    ack, _ = solo.cookie()
    echo = control.pack_cookie_echo(ack.cookie or b"")
    assert solo.say(echo, control.pack_abort(), tag=ack.initiate_tag) == []
    assert solo.users == []
    assert COOKIE_ACK in kinds(solo.say(echo, tag=ack.initiate_tag)[0][1])
