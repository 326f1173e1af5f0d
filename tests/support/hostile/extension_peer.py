"""A peer that knows every extension and breaks its rules, and the limits of what an association may hold for it."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from struct import pack

from asyncsctp.config import Config
from asyncsctp.handlers.data.receiver import DataReceiver
from asyncsctp.handlers.state import CLOSED, ESTABLISHED
from asyncsctp.inbound.data_streams import DataStreams
from asyncsctp.inbound.idata_streams import IDataStreams, IncomingMessage
from asyncsctp.inbound.reassembly import OVERHEAD, SMALLEST_CHARGE
from asyncsctp.wire import control
from asyncsctp.wire.constants import FORWARD_TSN, I_DATA, I_FORWARD_TSN, RE_CONFIG
from asyncsctp.wire.forward_tsn import pack_forward_tsn, pack_i_forward_tsn
from asyncsctp.wire.reconfig import (
    DENIED,
    pack_add_streams,
    pack_incoming_reset,
    pack_outgoing_reset,
    pack_reconfig,
    pack_response,
    pack_tsn_reset,
    pack_tsn_response,
)

from ..chunks import pack_i_data
from ..pair import Recorder
from ..script import B, E, Script, U

__all__ = ["LIMITS", "STATES", "CountingRecorder", "ExtensionPeer"]

BUFFER = 64 * 1024
LIMITS = Config(heartbeat_interval=None, recv_buffer=BUFFER, max_message_size=BUFFER, mtu=1500)
#: The states in which user data and its extensions mean something.
STATES = ("established", "shutdown-pending", "shutdown-sent", "shutdown-received", "shutdown-ack-sent")
#: What a packet and the end of a message may hold beyond the receive buffer.
SLACK = 70_000
EVERYTHING = frozenset({I_DATA, I_FORWARD_TSN, FORWARD_TSN, RE_CONFIG})


class CountingRecorder(Recorder):
    """A user that counts what it is told, and keeps nothing. Unless it `reads`, all stays unread."""

    def __init__(self) -> None:
        super().__init__("the user")
        self.reads = True
        self.charge = 0
        self.count = 0
        self.aborted = 0
        self.told = 0

    def take(self, size: int) -> None:
        self.count += 1
        self.charge += max(size, SMALLEST_CHARGE)
        if self.reads:
            self.catch_up()

    def catch_up(self) -> None:
        assert self.association is not None
        charge, self.charge = self.charge, 0
        self.association.consumed(charge)

    def on_message(self, sid: int, ssn: int, ppid: int, unordered: bool, tsn: int, data: bytes) -> None:
        assert not self.is_closed
        self.take(len(data))
        self.last = data

    def on_part(self, sid: int, number: int, ppid: int, unordered: bool, tsn: int, data: bytes, last: bool) -> None:
        assert not self.is_closed
        assert sid in self.in_parts
        self.take(len(data))

    def on_parts_aborted(self, sid: int) -> None:
        self.aborted += 1

    def on_event(self, event: object) -> None:
        self.told += 1


class ExtensionPeer(Script):
    """An association with small buffers and all extensions, in one of `STATES`, and its peer."""

    def __init__(
        self,
        interleaving: bool,
        state: str = "established",
        *,
        config: Config = LIMITS,
        streams: int = 16,
        extensions: frozenset[int] = EVERYTHING,
    ) -> None:
        self.reader = CountingRecorder()
        self.interleaving = interleaving
        super().__init__(
            config.replace(interleaving=interleaving), extensions=extensions, user=self.reader, streams=streams
        )
        if state != "established":
            self._go(state)
        assert self.state.value == state
        self.take()

    def _go(self, state: str) -> None:
        if state in ("shutdown-pending", "shutdown-received"):
            self.write(b"not acknowledged")
        if state in ("shutdown-pending", "shutdown-sent"):
            self.shutdown()
        else:
            self.send(control.pack_shutdown(self.ours(-1)))

    @property
    def reception(self) -> DataReceiver:
        reception = self.association._parts.established.receiver
        return reception

    @property
    def is_up(self) -> bool:
        return self.state is ESTABLISHED

    @property
    def expected(self) -> int:
        """The peer's next TSN, counted from 0."""
        return self._number(self.reception.tracker.expected, self.theirs(0))

    # Chunks.

    def chunk(
        self, tsn: int, data: bytes = b"data", flags: int = B | E, sid: int = 0, number: int = 0, fsn: int = 0
    ) -> bytes:
        """User data; `number` is its SSN or MID, `fsn` of I-DATA the FSN, or the PPID."""
        if not self.interleaving:
            return self.data(tsn, data, flags=flags, sid=sid, ssn=number & 0xFFFF)
        return self.i_data(tsn, data, flags, sid, number, fsn)

    def i_data(
        self, tsn: int, data: bytes = b"data", flags: int = B | E, sid: int = 0, mid: int = 0, fsn: int = 0
    ) -> bytes:
        return pack_i_data(flags, self.theirs(tsn), sid, mid & 0xFFFFFFFF, fsn & 0xFFFFFFFF, data)

    def skip(self, tsn: int, *entries: tuple[int, int], unordered: bool = False) -> bytes:
        """FORWARD TSN, or I-FORWARD-TSN."""
        if self.interleaving:
            return pack_i_forward_tsn(self.theirs(tsn), [(sid, unordered, mid) for sid, mid in entries])
        return pack_forward_tsn(self.theirs(tsn), [(sid, ssn & 0xFFFF) for sid, ssn in entries])

    def out_request(self, number: int, streams: Iterable[int] = (), last_tsn: int = -1, answers: int = -1) -> bytes:
        return pack_outgoing_reset(self.theirs(number), self.ours(answers), self.theirs(last_tsn), tuple(streams))

    # What must be true.

    def bounded(self) -> None:
        """What is held is within the receive buffer and what does not count in it; nothing else grows."""
        if self.state is CLOSED:
            return
        queue = self.reception._queue
        config = self.association.context.config
        assert queue.held == queue.recount()
        assert queue.held + queue.unread <= config.recv_buffer + 2 * config.max_message_size + SLACK
        most = queue.held // OVERHEAD
        streams = self.reception.incoming_streams
        assert len(queue._chunks) <= most
        kept = () if queue._largest is None else queue._largest._heap or ()
        assert len(kept) <= 2 * (config.recv_buffer + 2 * config.max_message_size + SLACK) // OVERHEAD
        assert len(queue._given) <= len(self.reader.in_parts)
        if isinstance(queue, DataStreams):
            self._bounded_data(queue, most, streams)
        else:
            assert isinstance(queue, IDataStreams)
            self._bounded_messages(queue, most, streams)
        tracker = self.reception.tracker
        assert len(tracker.gap_ranges()) <= 4096
        assert len(tracker.duplicates) <= 64
        assert not self.reception.acknowledger.is_due  # SACKs have left, with what they take
        data = self.association._parts.data
        reconfig = data.reconfig if data is not None else None
        if reconfig is not None:
            assert len(reconfig._answers) <= 2
            assert reconfig.requester.answers_queued <= 2  # the others are the user's own
        assert self.reception.incoming_streams <= 65535
        transmission = self.association._parts.established.sender
        assert len(transmission.outstanding._gap_ranges) <= len(transmission.outstanding.records)
        assert len(transmission.queue._streams) <= 65535

    @staticmethod
    def _bounded_data(queue: DataStreams, most: int, streams: int) -> None:
        assert len(queue._next_ssn) <= streams
        assert len(queue._runs_filed) <= 2 * most
        assert sum(map(len, queue._waiting.values())) <= most
        assert all(queue._waiting.values())
        assert len(queue._giving) == len(queue._given)

    @staticmethod
    def _bounded_messages(queue: IDataStreams, most: int, streams: int) -> None:
        messages: list[IncomingMessage] = []
        order = 0
        for found in (queue._ordered, queue._unordered):
            assert len(found) <= streams
            for stream in found.values():
                messages += stream.messages.values()
                heap = stream.order._heap if stream.order is not None else None
                order += max(0, len(heap or ()) - 2 * len(stream.messages) - 65)
        assert not order
        assert len(messages) <= most + len(queue._given)
        loose = sum(len(message.later) for message in messages)
        assert loose <= most
        aside = 0 if queue._deferral is None else len(queue._deferral.chunks)
        assert len(queue._owners) == len(queue._places) == len(queue._chunks) - aside == loose

    def still_serves(self) -> None:
        """The peer becomes sane: it skips all that it has begun, and what it says then is heard."""
        self.reader.catch_up()
        self.reader.reads = True
        self.refuse_restart()
        if not self.is_up:
            return
        highest = self._number(self.reception.tracker.highest_tsn & 0xFFFFFFFF, self.theirs(0))
        last = max(highest, self.expected - 1)
        queue = self.reception._queue
        aside = queue._deferral is not None and bool(queue._deferral.chunks)
        self.send(self.skip(last))
        if aside and self.state is CLOSED:
            return  # what was put aside until a reset is judged after that, and contradicted what is beside it
        if isinstance(queue, IDataStreams):
            for unordered in (False, True) * 2:  # what was put aside until a reset is begun after the first time
                streams = queue._unordered if unordered else queue._ordered
                begun = [(sid, max(stream.messages)) for sid, stream in streams.items() if stream.messages]
                last += 1
                entries = [(sid, unordered, mid & 0xFFFFFFFF) for sid, mid in begun]
                self.send(pack_i_forward_tsn(self.theirs(last), entries))
        else:
            assert isinstance(queue, DataStreams)
            for _ in range(3):  # an entry reaches no further than half of all numbers
                last += 1
                self.send(self.skip(last, *((sid, self.waits_for(queue, sid)) for sid in list(queue._waiting))))
            # Middles whose beginning was none cannot be skipped: the peer has spoiled that much of its own window.
            cumulative_tsn = self.reception.tracker.cumulative_tsn
            assert not any(run.begun or run.last > cumulative_tsn for run in queue._runs_filed.values())
            if queue.held:
                return
        assert not queue.held
        before = self.reader.count
        self.send(self.chunk(last + 1, b"sane", flags=B | E | U, sid=3, number=self.fresh(3)))
        assert self.is_up, self.reader.error
        assert self.reader.count == before + 1
        assert self.reception.tracker.highest_tsn == self.reception.tracker.cumulative_tsn
        self.write(b"and what we say")

    def refuse_restart(self) -> None:
        """Answer the SSN/TSN reset on whose account chunks are put aside: the numbers go on as they were.

        What had a number that is over belies that, and may end the association (RFC 6525 section 5.2.4).
        """
        data = self.association._parts.data
        reconfig = data.reconfig if data is not None else None
        for _ in range(100):  # others may be under way before it
            deferral = self.reception._queue._deferral if self.is_up else None
            if reconfig is None or deferral is None or not deferral.is_guess:
                return
            current = reconfig.requester.current
            if current is None:
                self.wait()  # it was answered "In progress" too often, and is asked again
            else:
                self.send(pack_reconfig([pack_response(max(part.number for part in current.parts), DENIED)]))
        raise AssertionError("what was put aside waits for a request that is never sent")

    @staticmethod
    def waits_for(queue: DataStreams, sid: int) -> int:
        """The last SSN of a stream that waits for its turn, or as far ahead as an entry can be."""
        awaited = queue._next_ssn.get(sid, 0)
        return awaited + min(max((ssn - awaited) & 0xFFFF for ssn in queue._waiting[sid]), 0x7FFF)

    def fresh(self, sid: int) -> int:
        """A MID for an unordered message that none has had."""
        queue = self.reception._queue
        if not isinstance(queue, IDataStreams) or sid not in queue._unordered:
            return 0
        stream = queue._unordered[sid]
        return max([stream.next, *(mid + 1 for mid in stream.messages)]) & 0xFFFFFFFF


class RandomExtensionChunks:
    """Well-formed chunks of all extensions with random numbers, near what is expected unless `wild`."""

    def __init__(self, random: Random, script: ExtensionPeer, wild: float) -> None:
        self.random = random
        self.script = script
        self.wild = wild
        self.sids = random.choice(((0,), (0, 1), (0, 1, 2, 15), (0, 15, 16, 65535)))
        self.spread = random.choice((1, 3, 20, 2000))
        self.plan: list[bytes] | None = None if random.random() < 0.4 else []
        self.planned = 0
        self.mids: dict[tuple[int, bool], int] = {}
        self.kinds = random.choices(
            (self.user_data, self.forward, self.reconfig, self.other_data),
            [random.choice(weights) for weights in ((1, 5, 20), (0, 1, 3), (0, 1, 3), (0, 0, 0, 0.1))],
            k=60,
        )

    def chunk(self) -> bytes:
        return self.random.choice(self.kinds)()

    def number(self, spread: int) -> int:
        random = self.random
        if random.random() < self.wild:
            return random.choice((0xFFFFFFFF, 0x80000000, 0x7FFFFFFF, 0x8000, 0xFFFF, random.getrandbits(32)))
        return random.randrange(spread)

    def tsn(self) -> int:
        return self.script.expected + self.number(self.spread) - self.random.choice((0, 0, 0, 2))

    def user_data(self) -> bytes:
        """Of a plan, in which no two chunks contradict each other, mostly out of order; or anything."""
        if self.plan is None:
            return self.contradiction()
        random = self.random
        if self.planned < self.script.expected:
            self.plan.clear()
        if len(self.plan) < 50:
            self.plan += self.messages()
        at = min(int(random.expovariate(1 / self.spread)), len(self.plan) - 1)
        chunk = self.plan[at]
        if random.random() < 0.8:
            del self.plan[at]
        return chunk

    def messages(self) -> list[bytes]:
        """Three messages; with I-DATA their fragments take turns."""
        random = self.random
        script = self.script
        fragments: list[list[tuple[bytes, int, int, int, int]]] = []
        for _ in range(3):
            sid, unordered = random.choice(self.sids), random.random() < 0.3
            mid = self.mids.get((sid, unordered), 0)
            if script.interleaving or not unordered:
                self.mids[sid, unordered] = mid + 1
            count = random.choice((1, 1, 1, 2, 5, 30))
            size = random.choice((1, 50, 1200))
            flags = U if unordered else 0
            fragments.append(
                [
                    (bytes(size), flags | (B if at == 0 else 0) | (E if at == count - 1 else 0), sid, mid, at)
                    for at in range(count)
                ]
            )
        chunks: list[bytes] = []
        self.planned = max(self.planned, script.expected)
        while fragments:
            row = random.choice(fragments) if script.interleaving else fragments[0]
            data, flags, sid, mid, at = row.pop(0)
            if not row:
                fragments.remove(row)
            chunks.append(script.chunk(self.planned, data, flags, sid, mid, at))
            self.planned += 1
        return chunks

    def contradiction(self) -> bytes:
        random = self.random
        size = random.choice((1, 1, 10, 100, 500, 1400))
        flags = random.choice((B | E, B | E, B | E | U, B, 0, 0, 0, E, B | U, U, E | U))
        return self.script.chunk(
            self.tsn(),
            bytes(size),
            flags,
            random.choice(self.sids),
            self.number(4),
            0 if flags & B else self.number(random.choice((3, 10, 500))),
        )

    def other_data(self) -> bytes:
        """Of the kind that was not negotiated: that ends it."""
        script = self.script
        return script.data(self.tsn()) if script.interleaving else script.i_data(self.tsn())

    def forward(self) -> bytes:
        random = self.random
        count = random.choice((0, 1, 1, 3, 30))
        entries = [(random.choice(self.sids), self.number(random.choice((4, 4, 70000)))) for _ in range(count)]
        return self.script.skip(self.tsn(), *entries, unordered=random.random() < 0.3)

    def reconfig(self) -> bytes:
        random = self.random
        count = random.choice((1, 1, 1, 2, 2, 3))
        return pack_reconfig([self.parameter() for _ in range(count)])

    def request_number(self) -> int:
        """The one that is expected, mostly."""
        data = self.script.association._parts.data
        reconfig = data.reconfig if data is not None else None
        expected = reconfig._expected if reconfig is not None else self.script.theirs(0)
        away = self.random.choice((0, 0, 0, 1, -1, -2, -3, self.number(5)))
        return expected + away & 0xFFFFFFFF

    def parameter(self) -> bytes:
        random = self.random
        script = self.script
        number = self.request_number()
        data = script.association._parts.data
        reconfig = data.reconfig if data is not None else None
        current = reconfig.requester.current if reconfig is not None else None
        ours = script.ours(self.number(5) - 2)
        if current is not None and random.random() < 0.7:
            ours = max(part.number for part in current.parts) & 0xFFFFFFFF
        sids = [random.choice((*self.sids, 3, 15)) for _ in range(random.choice((0, 1, 1, 4, 300)))]
        last_tsn = script.theirs(self.tsn() + random.choice((-1, -1, 3)))
        result = random.choice((0, 1, 1, 1, 2, 3, 4, 5, 6, 6, 7, 0xFFFFFFFF))
        match random.randrange(8):
            case 0 | 1:
                return pack_outgoing_reset(number, ours, last_tsn, sids)
            case 2:
                return pack_incoming_reset(number, sids)
            case 3:
                return pack_tsn_reset(number)
            case 4:
                return pack_add_streams(number, random.choice((0, 1, 5, 65535)), random.random() < 0.5)
            case 5:
                return pack_tsn_response(ours, result, script.theirs(self.tsn()), script.ours(self.number(5)))
            case 6:
                return pack("!HHI", random.choice((0x0013, 0x4013, 0x8013, 0xC013)), 8, number)
        return pack_response(ours, result)
