"""What a user may do when a restart of the peer cuts off a message that it reads in parts (RFC 9260 5.2.4 A)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.chunks import pack_data
from support.endpoints import PEER_TSN, Solo, chunks, tag_of
from support.pair import Recorder

from asyncsctp.association.association import Association
from asyncsctp.config import Config
from asyncsctp.errors import SCTPError
from asyncsctp.events import Event
from asyncsctp.handlers.state import CLOSED, ESTABLISHED, SHUTDOWN_SENT
from asyncsctp.wire.constants import (
    ABORT,
    COOKIE_ACK,
    DATA,
    FLAG_BEGIN,
    FLAG_END,
    FORWARD_TSN,
    I_DATA,
    I_DATA_HEADER_SIZE,
    I_FORWARD_TSN,
    MASK_32,
    RE_CONFIG,
    SACK,
    SHUTDOWN,
)
from asyncsctp.wire.control import pack_cookie_echo
from asyncsctp.wire.octets import Writer, read_data, write_i_data
from asyncsctp.wire.reconfig import read_reconfig

#: The peer's tag and first TSN after the restart.
TAG, TSN = 0x77777777, 5_000_000
EXTENSIONS = frozenset({RE_CONFIG, FORWARD_TSN})

BOTH = pytest.mark.parametrize("interleaving", [False, True])


class Reader(Recorder):
    """Wants streams 1 and 2 in parts; `do` is what it does when a message is cut off of which it has a part."""

    def __init__(self) -> None:
        super().__init__("the reader")
        self.in_parts = {1, 2}
        self.calls: list[str] = []
        self.do: Callable[[], object] = int

    def on_parts_aborted(self, sid: int) -> None:
        super().on_parts_aborted(sid)
        self.calls.append(f"cut off {sid}")
        self.do()
        self.calls.append("done")

    def on_part(self, sid: int, number: int, ppid: int, unordered: bool, tsn: int, data: bytes, last: bool) -> None:
        super().on_part(sid, number, ppid, unordered, tsn, data, last)
        self.calls.append(f"part {sid}")

    def on_event(self, event: Event) -> None:
        super().on_event(event)
        self.calls.append(type(event).__name__)

    def on_closed(self, error: SCTPError | None) -> None:
        super().on_closed(error)
        self.calls.append("closed")


class Stage(Solo):
    """The peer has begun messages on streams 1 and 2."""

    def __init__(self, interleaving: bool) -> None:
        self.interleaving = interleaving
        super().__init__(config=Config(partial_delivery_point=1, interleaving=interleaving, nodelay=True))
        self.extensions = EXTENSIONS | {I_DATA, I_FORWARD_TSN} if interleaving else EXTENSIONS
        self.reader = Reader()
        association = self.accept(extensions=self.extensions)
        for sid in (1, 2):
            association.deliver_parts(sid, True)
        # The DATA chunks of a message follow one another (RFC 9260 section 6.9).
        self.begun = (1, 2) if interleaving else (1,)
        self.say(*[self.chunk(PEER_TSN + sid - 1, sid, b"half", FLAG_BEGIN) for sid in self.begun])
        assert self.reader.calls[-len(self.begun) :] == [f"part {sid}" for sid in self.begun]
        self.reader.calls.clear()

    def _accept(self, association: Association) -> Recorder:
        self.reader.association = association
        self.users.append(self.reader)
        return self.reader

    def restart(self, do: Callable[[Association], object], *behind: bytes) -> list[bytes]:
        """The chunks that the peer gets, which does not remember anything; `behind` stands behind its COOKIE ECHO."""
        ack, _ = self.cookie(initiate_tag=TAG, initial_tsn=TSN, extensions=self.extensions)
        echo = self.packet(pack_cookie_echo(ack.cookie or b""), *behind, tag=ack.initiate_tag)
        association = self.association

        def act() -> None:
            do(association)
            self.touch(association)

        self.reader.do = act
        packets = [packet for _, packet in self.receive(echo)]
        assert {tag_of(packet) for packet in packets} == {TAG}
        return [chunk for packet in packets for chunk in chunks(packet)]

    def chunk(self, tsn: int, sid: int, payload: bytes, flags: int = FLAG_BEGIN | FLAG_END) -> bytes:
        """The first message of a stream, or the first part of it."""
        if not self.interleaving:
            return pack_data(flags, tsn, sid, 0, 0, payload)
        writer = Writer()
        write_i_data(writer, I_DATA << 8 | flags, I_DATA_HEADER_SIZE + len(payload), tsn, sid, 0, 0)
        return writer.getvalue() + payload + bytes(-len(payload) & 3)


def first_tsn(stage: Stage) -> int:
    """The first TSN of ours that the peer knows of."""
    setup = stage.association.context.setup
    assert setup is not None
    return setup.local_initial_tsn


@BOTH
def test_what_is_sent_then_goes_to_the_peer_that_is_there_now(interleaving: bool) -> None:
    stage = Stage(interleaving)
    said = stage.restart(lambda association: association.send(3, b"anew"))
    assert said[0][0] == COOKIE_ACK
    sent = [chunk for chunk in said if chunk[0] in (DATA, I_DATA)]
    assert sent[0][-4:] == b"anew"
    assert read_data(sent[0], 0)[2] == first_tsn(stage)
    assert not stage.reader.failed


@BOTH
def test_a_stream_that_is_reset_then_names_tsns_that_the_peer_knows(interleaving: bool) -> None:
    """RFC 6525 section 4.1: the last TSN of the association that there is."""
    stage = Stage(interleaving)
    said = stage.restart(lambda association: association.reconfig.reset_streams([3], None))
    [chunk] = [chunk for chunk in said if chunk[0] == RE_CONFIG][:1]
    [request], _ = read_reconfig(chunk, 4, len(chunk))
    assert (request.number, request.last_tsn) == (first_tsn(stage), first_tsn(stage) - 1 & MASK_32)


@BOTH
def test_who_aborts_then_ends_the_new_association(interleaving: bool) -> None:
    """The ABORT is the last word to the peer, and nothing is delivered any more, nor told but the end."""
    stage = Stage(interleaving)
    behind = stage.chunk(TSN, 0, b"behind")
    said = stage.restart(lambda association: association.abort(stage.now, b""), behind)
    assert [chunk[0] for chunk in said] == [ABORT]
    assert stage.reader.calls[:2] == ["cut off 1", "done"]
    assert stage.reader.calls[-2:] == ["AssociationDown", "closed"]
    assert "cut off 2" not in stage.reader.calls
    assert not stage.reader.messages
    assert stage.association.state is CLOSED
    assert not list(stage.endpoint.associations)
    assert stage.wait(100.0) == []


@BOTH
def test_who_shuts_down_then_shuts_the_new_association_down(interleaving: bool) -> None:
    stage = Stage(interleaving)
    said = stage.restart(lambda association: association.shutdown(stage.now))
    assert [chunk[0] for chunk in said if chunk[0] in (COOKIE_ACK, SHUTDOWN)][:2] == [COOKIE_ACK, SHUTDOWN]
    assert stage.association.state is SHUTDOWN_SENT


@BOTH
def test_nothing_else_is_told_from_within(interleaving: bool) -> None:
    """What a verb brings about is told after the step, behind what the restart has to tell."""
    stage = Stage(interleaving)
    old = stage.association.send(0, b"lost")
    stage.touch()
    stage.take()

    def do(association: Association) -> None:
        assert not association.sender().withdraw(old)
        association.heartbeat(None, stage.now)
        association.abort(stage.now, b"")

    stage.restart(do)
    told = ["SendFailed", "AssociationRestarted", "AssociationDown", "closed"]
    assert stage.reader.calls == ["cut off 1", "done", *told]


@BOTH
def test_each_is_cut_off_before_anything_comes_of_the_new_association(interleaving: bool) -> None:
    stage = Stage(interleaving)
    said = stage.restart(lambda _: None, stage.chunk(TSN, 1, b"anew"))
    assert SACK in [chunk[0] for chunk in said]
    calls = [call for call in stage.reader.calls if call.startswith(("cut", "part"))]
    assert calls == [*[f"cut off {sid}" for sid in stage.begun], "part 1"]
    assert stage.reader.messages == [(1, 0, False, b"anew")]
    assert stage.association.state is ESTABLISHED
