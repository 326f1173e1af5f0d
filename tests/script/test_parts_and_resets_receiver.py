"""Messages that flow in parts (RFC 6458 sections 6.1.7 and 8.1.21), and what a reset does to them (RFC 6525)."""

from __future__ import annotations

import pytest
from support.pair import Recorder
from support.script import B, E, Script, U

from asyncsctp.config import Config
from asyncsctp.handlers.data.receiver import DataReceiver
from asyncsctp.inbound.reassembly import SMALLEST_CHARGE
from asyncsctp.wire.constants import FORWARD_TSN, I_DATA, I_DATA_HEADER_SIZE, I_FORWARD_TSN, SACK
from asyncsctp.wire.forward_tsn import pack_forward_tsn, pack_i_forward_tsn
from asyncsctp.wire.octets import Writer, write_i_data
from asyncsctp.wire.tlv import PADDING

BOTH = pytest.mark.parametrize("interleaving", [False, True])


class Reader(Recorder):
    """A user that takes parts, and counts them."""

    def __init__(self) -> None:
        super().__init__("the user")
        self.size = 0
        self.begun: list[bytes] = []
        self.ended = 0
        self.aborted: list[int] = []
        self.keeps = False

    def on_part(self, sid: int, number: int, ppid: int, unordered: bool, tsn: int, data: bytes, last: bool) -> None:
        assert self.association is not None
        self.size += len(data)
        self.ended += last
        self.begun.append(data[:16])
        if not self.keeps:
            self.association.consumed(max(len(data), SMALLEST_CHARGE))

    def on_parts_aborted(self, sid: int) -> None:
        self.aborted.append(sid)


class Stage(Script):
    def __init__(self, interleaving: bool, **settings: int) -> None:
        self.reader = Reader()
        self.interleaving = interleaving
        config = Config(heartbeat_interval=None, interleaving=interleaving, **settings)  # type: ignore[arg-type]
        super().__init__(config, extensions=frozenset({I_DATA, I_FORWARD_TSN, FORWARD_TSN}), user=self.reader)

    @property
    def reception(self) -> DataReceiver:
        reception = self.association._parts.established.receiver
        return reception

    def chunk(self, tsn: int, data: bytes, flags: int = B | E, sid: int = 0, number: int = 0, fsn: int = 0) -> bytes:
        if not self.interleaving:
            return self.data(tsn, data, flags=flags, sid=sid, ssn=number)
        writer = Writer()
        write_i_data(writer, I_DATA << 8 | flags, I_DATA_HEADER_SIZE + len(data), self.theirs(tsn), sid, number, fsn)
        return writer.getvalue() + data + PADDING[len(data) & 3]

    def skip(self, tsn: int, sid: int, number: int) -> bytes:
        if self.interleaving:
            return pack_i_forward_tsn(self.theirs(tsn), [(sid, False, number)])
        return pack_forward_tsn(self.theirs(tsn), [(sid, number)])


@BOTH
@pytest.mark.parametrize("unordered", [0, U])
def test_a_message_larger_than_everything_flows_through(interleaving: bool, unordered: int) -> None:
    stage = Stage(interleaving, recv_buffer=1 << 17, max_message_size=1 << 18)
    stage.reception.deliver_parts(0, True)
    count = 5_000
    largest = 0
    for n in range(count):
        flags = unordered | (B if n == 0 else 0) | (E if n == count - 1 else 0)
        stage.arrive(stage.chunk(n, bytes(1000), flags, fsn=n))
        largest = max(largest, stage.reception._queue.held)
        if n % 100 == 0:
            stage.flush()
            assert stage.take()[-1].all(SACK)[-1].a_rwnd > 1 << 15
    stage.flush()
    assert (stage.reader.size, stage.reader.ended) == (count * 1000, 1)
    assert largest < 1 << 16  # until the first part
    assert stage.association.statistics.messages_received == 1


@BOTH
def test_who_does_not_read_closes_the_window(interleaving: bool) -> None:
    stage = Stage(interleaving, recv_buffer=1 << 17, max_message_size=1 << 18)
    stage.reader.keeps = True
    stage.reception.deliver_parts(0, True)
    for n in range(1000):
        stage.arrive(stage.chunk(n, bytes(1000), 0 if n else B, fsn=n))
        if n % 10 == 0:
            stage.flush()
    stage.flush()
    assert stage.take()[-1].all(SACK)[-1].a_rwnd < 1000  # the next chunk does not fit
    assert stage.reader.size + stage.reception._queue.held < (1 << 17) + (1 << 15)


@BOTH
def test_an_abandoned_message_ends_with_a_notice(interleaving: bool) -> None:
    stage = Stage(interleaving, partial_delivery_point=4)
    stage.reception.deliver_parts(2, True)
    stage.send(stage.chunk(0, b"begin", B, 2))
    stage.send(stage.chunk(2, b"third", 0, 2, fsn=2))
    stage.send(stage.skip(5, 2, 0), stage.skip(5, 2, 0))
    stage.send(stage.chunk(6, b"next", sid=2, number=1))
    assert stage.reader.aborted == [2]
    assert stage.reader.begun == [b"begin", b"next"]
    assert stage.reception._queue.held == 0


@BOTH
def test_a_reset_stream_begins_with_number_0(interleaving: bool) -> None:
    stage = Stage(interleaving)
    stage.send(stage.chunk(0, b"a", number=0), stage.chunk(1, b"b", sid=1, number=0))
    stage.send(stage.chunk(2, b"d", number=3), stage.chunk(3, b"c", number=2))
    stage.reception.reset_streams([0])
    stage.send(stage.chunk(4, b"e", number=0), stage.chunk(5, b"f", sid=1, number=1))
    assert [data for *_, data in stage.reader.messages] == [b"a", b"b", b"c", b"d", b"e", b"f"]
    assert stage.association.statistics.messages_received == 6


@BOTH
def test_new_tsns_lose_nothing_that_came_whole(interleaving: bool) -> None:
    """RFC 6525 section 5.2.4: as if a FORWARD TSN had come for all streams, and then a reset."""
    stage = Stage(interleaving)
    stage.send(stage.chunk(0, b"a", number=0), stage.chunk(3, b"c", number=2), stage.chunk(5, b"half", B, 1))
    stage.take()
    stage.reception.restart_tsns(stage.theirs(0x80000000))
    assert stage.reception.tracker.cumulative_tsn & 0xFFFFFFFF == stage.theirs(0x7FFFFFFF)
    assert stage.reception.tracker.gaps is None
    stage.send(stage.chunk(0x80000000, b"new", number=0), stage.chunk(0x80000001, b"rest", E, 1, fsn=1))
    assert [data for *_, data in stage.reader.messages] == [b"a", b"c", b"new"]
    assert stage.expect(SACK).one(SACK).gaps == ()


@BOTH
def test_streams_can_be_added(interleaving: bool) -> None:
    stage = Stage(interleaving)
    assert stage.reception.incoming_streams == 16
    stage.reception.incoming_streams = 20
    stage.send(stage.chunk(0, b"x", sid=19))
    assert [data for *_, data in stage.reader.messages] == [b"x"]
