"""Nothing that is kept in a cheap form for a while can be seen in that form: the same questions have the same answers.

`DataStreams` keeps the message in the making as a list, its front, and finds it by TSN only when it is asked to; what
`IDataStreams` may give up depends on the cumulative TSN, which comes with the chunk.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from asyncsctp.inbound.data_streams import RUN, DataStreams
from asyncsctp.inbound.data_tracker import DataTracker
from asyncsctp.inbound.idata_streams import MESSAGE, IDataStreams
from asyncsctp.inbound.reassembly import LOOSE, Recipient

E, B, U = 1, 2, 4


class Begun(Recipient):
    """A queue with the first two fragments of a message, TSNs 2 and 3, behind a TSN that is missing."""

    def __init__(self, filed: bool) -> None:
        self.heard: list[object] = []
        self.tracker = DataTracker(1, 1 << 20)
        self.queue = DataStreams(self, 1 << 20)
        self.queue.abandons = True
        for wire_tsn, flags in ((2, B), (3, 0)):
            assert self.add(self.tracker.accept(wire_tsn), flags) is None
        assert self.queue._front is not None
        if filed:
            self.queue._runs()

    def add(self, tsn: int, flags: int, ssn: int = 0) -> str | None:
        return self.queue.add(tsn, flags, 5, ssn, 7, b"%d" % tsn)

    @property
    def held(self) -> int:
        """What is held, as if all of it were found by its TSN."""
        assert self.queue.recount() == self.queue.held
        return self.queue.held + (RUN if self.queue._front is not None else 0)

    def on_message(self, sid: int, ssn: int, ppid: int, unordered: bool, tsn: int, data: bytes) -> None:
        self.heard.append((sid, ssn, tsn, data))

    def on_part(self, sid: int, number: int, ppid: int, unordered: bool, tsn: int, data: bytes, last: bool) -> None:
        self.heard.append((sid, number, tsn, data, last))

    def on_parts_aborted(self, sid: int) -> None:
        self.heard.append(sid)


CALLS: dict[str, Callable[[Begun], object]] = {
    "acknowledge": lambda b: b.queue.acknowledge(3),
    "add another": lambda b: b.add(6, B | E, 1),
    "add what contradicts it": lambda b: b.add(1, B),
    "add what belongs to another": lambda b: b.queue.add(4, 0, 6, 0, 7, b"x"),
    "add what is before it": lambda b: b.add(1, B | E, 1),
    "defer": lambda b: b.queue.defer(3, [5]),
    "defer all": lambda b: b.queue.defer(1, None),
    "defer and release": lambda b: (b.queue.defer(3, None), b.add(4, E), b.queue.release()),
    "deliver parts": lambda b: b.queue.deliver_parts(5, True, 1),
    "in progress": lambda b: (b.queue.in_progress(3), b.queue.in_progress(2), b.queue.still_in_progress(3)),
    "judge": lambda b: b.queue.judge(3),
    "judge later": lambda b: b.queue.judge(4),
    "limit": lambda b: b.queue.limit_messages(1000),
    "make space": lambda b: b.queue.make_space(b.tracker, 1, 1),
    "make much space": lambda b: b.queue.make_space(b.tracker, 1, 1 << 20),
    "relieve": lambda b: b.queue.relieve(),
    "reset": lambda b: b.queue.reset(),
    "reset streams": lambda b: b.queue.reset_streams([5]),
    "reset other streams": lambda b: b.queue.reset_streams([6]),
    "restart": lambda b: b.queue.restart(2),
    "restart later": lambda b: b.queue.restart(4),
    "skip": lambda b: b.queue.skip(0, 1, [(5, False, 0)]),
    "skip some of it": lambda b: b.queue.skip(1, 3, [(5, False, 0)]),
    "skip, out of date": lambda b: b.queue.skip(3, 3, []),
    "stream state": lambda b: b.queue.stream_state(),
    "succeed": lambda b: DataStreams(b, 1 << 20).succeed(b.queue),
    "watch": lambda b: b.queue.watch(True),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_it_makes_no_difference_whether_the_front_was_filed_before(call: Callable[[Begun], object]) -> None:
    fast, filed = Begun(False), Begun(True)
    assert call(fast) == call(filed)
    for tsn, flags in ((4, 0), (5, E)):
        assert (fast.held, fast.heard) == (filed.held, filed.heard)
        assert fast.add(tsn, flags) == filed.add(tsn, flags)
    assert (fast.queue.release(), fast.queue.relieve()) == (filed.queue.release(), filed.queue.relieve())
    assert (fast.held, fast.heard) == (filed.held, filed.heard)


def test_every_question_is_among_these() -> None:
    asked = " ".join(call.__code__.co_names.__repr__() for call in CALLS.values())
    public = [name for name in dir(DataStreams) if not name.startswith("_") and callable(getattr(DataStreams, name))]
    assert [name for name in public if f"'{name}'" not in asked and name not in ("add", "recount")] == []


def test_what_may_be_given_up_is_said_with_the_chunk() -> None:
    """RFC 9260 section 6.2: only what is above the cumulative TSN; there is no other call that could be forgotten."""
    queue = IDataStreams(Recipient(), 1 << 20)
    queue.add(1, B, 0, 0, 0, b"a", acknowledged=1)
    assert queue.held == MESSAGE + 1
    queue.add(3, 0, 0, 0, 1, b"b", acknowledged=1)
    assert queue.held == MESSAGE + 2 + LOOSE
    queue.add(2, B, 1, 0, 0, b"c", acknowledged=3)
    assert queue.held == 2 * MESSAGE + 3 + LOOSE
    assert queue.is_uncertain
    queue.judge(3)
    assert queue.held == queue.recount() == 2 * MESSAGE + 3
    assert not queue.is_uncertain
