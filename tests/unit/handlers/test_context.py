"""What waits to be sent, and which of it is due to the packet that is being processed."""

from __future__ import annotations

from unit.handlers.conftest import LOCAL, PEER, UDP_PORT, Bench

from asyncsctp.handlers.state import ESTABLISHED
from asyncsctp.paths.route import Route
from asyncsctp.wire import control, tlv
from asyncsctp.wire.constants import RE_CONFIG

GONE = "192.0.2.77"


def answer(size: int, fill: bytes) -> bytes:
    return tlv.pack(RE_CONFIG << 8, fill * (size - 4))


def test_a_path_that_goes_takes_nothing_from_the_answers_to_the_packet_that_ends_it() -> None:
    """Section 12.4: all of them take one packet at the most, and are counted from where they begin."""
    context = Bench(addresses=(PEER, GONE)).context
    context.state = ESTABLISHED
    path, other = context.paths.paths[1], context.paths.primary
    context.queue(control.pack_heartbeat(bytes(20)), path.path_id)
    context.queue(control.pack_heartbeat_ack(bytes(20)), path.path_id)
    context.queue(b"\x0e\0\0\4", other.path_id)
    context.open_answers()
    size = other.payload & -4
    first, second = answer(size, b"1"), answer(size, b"2")
    context.answer(first, other.path_id)
    context.forget_path(path, other)
    context.answer_first(b"\x0b\0\0\4", other.path_id)
    assert [chunk[0] for chunk, _, _ in context.control] == [14, 11, RE_CONFIG]
    context.answer(second, other.path_id)
    context.close_answers()
    assert [chunk[0] for chunk, _, _ in context.control] == [14, 11]


def test_nor_from_those_that_are_packets_of_their_own() -> None:
    context = Bench(addresses=(PEER, GONE)).context
    context.state = ESTABLISHED
    path, other = context.paths.paths[1], context.paths.primary
    context.transmit_along(b"for nobody", Route(LOCAL, GONE, UDP_PORT), 1)
    context.open_answers()
    context.transmit_along(b"answer", other.route, 1)
    context.forget_path(path, other)
    context.transmit_along(b"one more", other.route, 1)
    context.close_answers()
    assert [body for _, _, body in context.packets] == [b"answer"]
