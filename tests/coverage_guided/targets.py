"""What is done with the bytes, and what must be true of it: nothing raises, memory is bounded, answers are few, and
what was not is_proven for changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from support.asconf_script import Mobile
from support.endpoints import Solo
from support.hostile.extension_peer import LIMITS, STATES, ExtensionPeer
from support.random_runs.plan import Action, Plan, draw
from support.random_runs.planned_cores import PlannedCores
from support.script import LOCAL, UDP_PORT

from asyncsctp.config import Config
from asyncsctp.errors import SCTPError
from asyncsctp.handlers.setup.negotiation import MAX_PEER_ADDRESSES
from asyncsctp.handlers.state import CLOSED
from asyncsctp.outbound.message import LIMITED, PRIORITY, RELIABLE, TIMED
from asyncsctp.paths.route import Route
from asyncsctp.wire import control, tlv
from asyncsctp.wire.constants import COOKIE_ECHO, INIT, INIT_ACK, RE_CONFIG

__all__ = ["TARGETS"]

_MOST_ANSWERED: Final = 20_000
_PACKET: Final = 1280


def packets(data: bytes) -> None:
    """Chunks for an association in some state: the first byte says which, the second cuts the rest into packets."""
    if len(data) < 2:
        return
    script = _peer(data[0])
    size = 1 + data[1] * 8
    for at in range(2, len(data), size):
        _say(script, data[at : at + size])
    _end(script)


def reconfig(data: bytes) -> None:
    """Parameters of RE-CONFIG chunks, which the first byte cuts them into."""
    if len(data) < 2:
        return
    script = _peer(data[0] & 0x2F)
    size = 4 * (1 + (data[0] >> 2 & 15))
    for at in range(1, len(data), size):
        _say(script, tlv.pack(RE_CONFIG << 8, data[at : at + size]))
    _end(script)


def inits(data: bytes) -> None:
    """The value of an INIT for who listens, or of an INIT ACK for who has asked."""
    if not data:
        return
    config = Config(auth=bool(data[0] & 2), dynamic_addresses=bool(data[0] & 4), nat_support=bool(data[0] & 8))
    solo = Solo(config=config)
    value = data[1:]
    if data[0] & 1:
        solo.connect()
        answers = solo.say(tlv.pack(INIT_ACK << 8, value))
        assert len(answers) <= 3
        solo.wait(600.0)
        return
    answers = solo.receive(solo.packet(tlv.pack(INIT << 8, value), tag=0))
    assert len(answers) <= 1, "an INIT has more than one answer"
    assert not solo.endpoint.associations, "an INIT has made an association"
    for _, answer in answers:
        assert len(answer) <= _PACKET, f"an INIT was answered with {len(answer)} bytes"


def cookies(data: bytes) -> None:
    """A State Cookie: bytes that are laid over the genuine one from a place on; what is not genuine does nothing."""
    if len(data) < 2:
        return
    solo = Solo()
    ack, _ = solo.cookie()
    genuine = ack.cookie or b""
    at = int.from_bytes(data[:2]) % (len(genuine) + 1)
    spoiled = genuine[:at] + bytes(a ^ b for a, b in zip(genuine[at:], data[2:], strict=False))
    spoiled += genuine[len(spoiled) :] if len(data) % 2 else data[2 + len(genuine) - at :]
    answers = solo.receive(solo.packet(tlv.pack(COOKIE_ECHO << 8, spoiled), tag=ack.initiate_tag))
    assert len(answers) <= 1
    up = bool(solo.endpoint.associations)
    assert up == (spoiled == genuine), "a cookie that is not genuine has made an association"
    solo.receive(solo.packet(control.pack_cookie_echo(genuine), tag=ack.initiate_tag))
    assert len(solo.endpoint.associations) == 1, "the genuine cookie is not taken any more"


def asconf(data: bytes) -> None:
    """Chunks that are authenticated, of a peer whose addresses change: the first byte cuts them into packets."""
    if len(data) < 2:
        return
    config = Config(dynamic_addresses=True, rto_min=0.2, rto_initial=0.5, max_retrans=20, mtu=1500)
    script = Mobile(config.replace(nat_support=bool(data[0] & 1)), paths=1 if data[0] & 1 else 2)
    size = 8 * (1 + (data[0] >> 1))
    for number, at in enumerate(range(1, len(data), size)):
        packet = script.packet(script.authenticated(data[at : at + size]))
        source = ("10.0.0.2", "10.1.0.2", "10.2.0.2", "198.51.100.7")[number % 4]
        script.endpoint.receive(packet, Route(LOCAL[0], source, UDP_PORT), script.now)
        script.flush()
        assert sum(each.size for each in script.take()) < _MOST_ANSWERED
        if script.state is CLOSED:
            return
        paths = script.association.path_manager
        assert 1 <= len(paths.paths) <= MAX_PEER_ADDRESSES
        assert len(paths.by_id) <= MAX_PEER_ADDRESSES + 1
    script.shutdown()
    script.advance(3000.0)
    assert script.state is CLOSED
    assert script.user.error is None or isinstance(script.user.error, SCTPError)


def commands(data: bytes) -> None:
    """What two programs do: two bytes choose settings and line, then four each say when, who, what, and of what."""
    if len(data) >= 6:
        plan = plan_of(data)
        try:
            PlannedCores(plan).run()
        except BaseException as error:
            error.add_note(str(plan))
            raise


def plan_of(data: bytes) -> Plan:
    """The plan that these bytes stand for."""
    plan = draw(int.from_bytes(data[:2]))
    at = 0.0
    actions: list[Action] = []
    begun: list[tuple[int, int]] = []
    for number, place in enumerate(range(2, min(len(data) - 3, 200), 4)):
        pause, verb, first, second = data[place : place + 4]
        at = round(at + (pause / 400) ** 3, 6)
        side = verb & 1
        what, arguments = _action(verb >> 1, number, first, second, begun, side)
        actions.append(Action(at, 0 if what == "restart" else side, what, arguments))
    return replace(plan, actions=tuple(actions), calm=at + 0.001)


def _action(
    verb: int, number: int, first: int, second: int, begun: list[tuple[int, int]], side: int
) -> tuple[str, tuple[Any, ...]]:
    """One thing that is done, and how."""
    sid, size = first & 7, 1 + second * (1 << (first >> 4))
    policy = (RELIABLE, RELIABLE, TIMED, LIMITED, PRIORITY)[second % 5]
    bound = {TIMED: second / 100, LIMITED: second & 3}.get(policy, 1)
    choices: list[tuple[str, tuple[Any, ...]]] = [
        ("send", (number, sid, size, bool(first & 8), policy, bound, None, None, bool(second & 1), bool(second & 2))),
        ("send", (number, sid, size, False, RELIABLE, 0, None, None, True, False)),
        ("send", (number, sid, min(size, 500), False, RELIABLE, 0, second & 1, None, False, False)),
        ("withdraw", (first,)),
        ("stop_reading", ()),
        ("go_on_reading", ()),
        ("read", (1 + second % 4,)),
        ("reset_streams", ((sid,), None)),
        ("reset_streams", ((), None)),
        ("reset_streams", (None, (sid,))),
        ("reset_tsns", ()),
        ("add_streams", (1, second & 1)),
        ("configure", ({"recv_buffer": 4096 + 256 * second},)),
        ("configure", ({"send_buffer": 1 + 100 * second},)),
        ("set_primary", (second,)),
        ("heartbeat", (second,)),
        ("learn_mtu", (576 + 4 * second,)),
        ("prioritize", (sid, 1 + second)),
        ("shutdown", ()),
        ("abort", ()),
        ("restart", ()),
    ]
    if verb >= 100:
        if verb < 112 or not begun:
            begun.append((1000 + number, side))
            piece = min(size, 5000), bool(second & 4) and bool(second & 8)
            return "begin_parts", (1000 + number, sid, bool(first & 8), policy, bound, bool(second & 2), *piece)
        message, _ = begun[first % len(begun)]
        return "part", (message, min(size, 5000), bool(second & 1))
    return choices[verb % len(choices)]


def _peer(first: int) -> ExtensionPeer:
    config = LIMITS.replace(recv_buffer=(4096, 64 * 1024)[first >> 6 & 1], partial_delivery_point=1000)
    script = ExtensionPeer(bool(first & 1), STATES[(first >> 1 & 7) % len(STATES)], config=config)
    script.reader.reads = not first & 16
    if first & 32:
        for sid in (0, 1):
            script.association.deliver_parts(sid, True)
            script.reader.in_parts.add(sid)
    return script


def _say(script: ExtensionPeer, body: bytes) -> None:
    """One packet, and what must be true afterwards."""
    if script.state is CLOSED:
        return
    script.arrive_raw(script.packet(body))
    script.flush()
    assert sum(packet.size for packet in script.take()) <= 4 * len(body) + _MOST_ANSWERED
    script.bounded()


def _end(script: ExtensionPeer) -> None:
    if script.state is CLOSED:
        assert script.user.error is not None or script.user.is_closed
        return
    script.still_serves()
    script.shutdown()
    script.advance(3000.0)
    assert script.state.value == "closed"


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "packets": packets,
    "inits": inits,
    "cookies": cookies,
    "asconf": asconf,
    "reconfig": reconfig,
    "commands": commands,
}
