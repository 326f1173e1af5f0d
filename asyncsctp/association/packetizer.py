"""What leaves, and in which packet: one flush sends what is due and what windows allow (RFC 9260 sections 6.1, 6.10).

The order of a flush, and why:

1. Packets of their own, with a tag of their own or not to be bundled: INIT, COOKIE ECHO, answers in odd states.
2. Control chunks, which stand first in a packet (section 6.10). Those for the path that data takes are kept as the
   opening of its next packet. Where some chunks must be authenticated and others need not be (RFC 4895 section 6.2),
   those leave last, behind AUTH.
3. SACKs, along the way that the data came (section 6.4); the last one joins the opening, so that data can go with it.
4. What was lost, before anything new (section 6.1 C).
5. New data, in runs of packets to one path, which the socket can take in one call.
6. The opening, if no data went with it.

While no address is usable only HEARTBEATs leave, and all else waits. What is to be sent, and what windows allow, is
decided by the handlers (`handlers.data.sender`, `handlers.data.receiver`); no packet is read here.
"""

from __future__ import annotations

from typing import Final, final

from ..handlers.context import Context
from ..handlers.data.sender import Sender
from ..handlers.keyring import ACTIVE, Keyring
from ..handlers.state import COOKIE_ECHOED, SENDS_DATA, SHUTDOWN_PENDING
from ..outbound.message import ANY_KEY, ANY_PATH, LOST, SentPacket
from ..paths.path import Path
from ..paths.route import Route
from ..timers import T3_RTX, timer_key
from ..wire import control
from ..wire.constants import COOKIE_ACK, FLAG_IMMEDIATE, HEARTBEAT, HEARTBEAT_ACK
from ..wire.octets import Writer, take_all
from ..wire.packet import Seal
from .outbox import Outbox
from .parts import EstablishedData

_UNLIMITED: Final = 1 << 30
#: RFC 4820 section 3: PAD fills a packet up. A tenth of a packet at most, where that makes it equal to those before it,
#: so that they leave by one system call, and the peer says that it takes PAD: others drop what they don't know.
_MOST_PADDING: Final = 10
#: Control chunks that wait while nothing but HEARTBEATs may leave.
_MOST_HELD: Final = 32


@final
class Packetizer:
    """Makes the packets of one association."""

    __slots__ = ("_context", "_opening", "_outbox", "_seal", "_tag")

    def __init__(self, context: Context, outbox: Outbox) -> None:
        self._context = context
        self._outbox = outbox
        self._opening: list[bytes] = []  # chunks that open the next packet to the data path; none between flushes
        self._tag = context.peer_tag  # the one that `_seal` has
        self._seal = Seal(context.local_port, context.peer_port, context.peer_tag)

    def flush(self, data: EstablishedData | None) -> None:
        """Send what is due, and of user data what windows allow; `data` is None while there can be none."""
        context = self._context
        if self._tag != context.peer_tag:  # it has told us its tag, or another one
            self._tag = context.peer_tag
            self._seal = Seal(context.local_port, context.peer_port, self._tag)
        is_held = context.paths.is_held
        if context.is_waiting:
            if context.packets:
                self._send_alone()
            if is_held:
                self._probe()
                context.open_answers()
            else:
                if context.control:
                    self._send_control(data is not None)
                context.answers_at = context.packets_before = 0
                context.answered_apart = context.is_waiting = False
        if is_held or data is None:
            return
        acknowledger = data.receiver.acknowledger
        sender = data.sender
        sends = sender.buffered > 0 and context.state in SENDS_DATA
        is_due = acknowledger.is_due
        if not sends and not is_due and not self._opening:
            return
        path = context.paths.data_path()
        if sends or is_due:
            self._acknowledge(data, path, sends and acknowledger.is_delaying and self._has_data_for(path, sender))
        if sends:
            sender.queue.urgent_flags = FLAG_IMMEDIATE if context.state is SHUTDOWN_PENDING else 0
            if sender.outstanding.user_bytes:
                self._send_lost(sender, path)
            if sender.queue.buffered:
                self._send_new(data, path)
            sender.end_flush()
        self._send_opening(path)

    # Packets without user data.

    def _send_alone(self) -> None:
        """Send packets that bear a tag of their own, or that nothing may be bundled with."""
        context = self._context
        packets = context.packets
        context.packets = []
        for route, tag, body in packets:
            if not route.local:
                continue
            ours = tag == context.peer_tag
            seal = self._seal if ours else Seal(context.local_port, context.peer_port, tag)
            path = context.paths.find(route.address)
            space = context.paths.data_path().payload if path is None else path.payload
            keyring = context.keyring if ours and tag else None
            if keyring is not None and not keyring.must_cover(body):
                keyring = None
            if keyring is not None and not keyring.covers_all:
                space -= keyring.size
            if len(body) > space:
                body = control.fit(body, space)
            if not body:
                continue
            if keyring is not None:
                body = keyring.cover(body)
            self._outbox.add(route, [seal.pack(body)], dscp=-1 if path is None else path.settings.dscp)
            context.statistics.packets_sent += 1

    def _probe(self) -> None:
        """Send HEARTBEATs alone, to where they can leave for (section 5.4, RFC 5061 section 5.3 F1); all else waits."""
        context = self._context
        waiting = context.control
        context.control = []
        for chunk, path_id, answers in waiting:
            path = context.paths.by_id[path_id] if path_id >= 0 else None
            if path is not None and path.route.local and chunk[0] in (HEARTBEAT, HEARTBEAT_ACK):
                chunk = control.fit(chunk, path.payload)
                if chunk:
                    self._emit(path, chunk)
            elif len(context.control) < _MOST_HELD and chunk[0] != HEARTBEAT:
                context.control.append((chunk, path_id, answers))

    def _send_control(self, is_established: bool) -> None:
        """Send control chunks in the order in which they were queued, but those that must be authenticated last, where
        others need not be: a COOKIE ACK may be among these.
        """
        context = self._context
        keyring = context.keyring
        waiting = context.control
        context.control = []
        if keyring is None or keyring.covers_all:
            self._bundle(waiting, None, is_established)
            return
        authenticated = [entry for entry in waiting if keyring.must_cover(entry[0])]
        if len(authenticated) < len(waiting):
            self._bundle([entry for entry in waiting if not keyring.must_cover(entry[0])], None, is_established)
        if authenticated:
            self._send_opening(context.paths.data_path())
            self._bundle(authenticated, keyring, is_established)

    def _bundle(self, waiting: list[tuple[bytes, int, bool]], keyring: Keyring | None, is_established: bool) -> None:
        """Put control chunks into packets, one behind the other for each path; COOKIE ACK is the first in its packet
        (section 5.1 D). With a keyring these are authenticated.
        """
        context = self._context
        data_path = context.paths.data_path()
        by_path: dict[int, list[bytes]] = {}
        for chunk, path_id, _ in waiting:
            by_path.setdefault(data_path.path_id if path_id < 0 else path_id, []).append(chunk)
        for path_id, chunks in by_path.items():
            path = context.paths.by_id[path_id]
            opens = path is data_path and keyring is None
            parts = self._opening if opens else []
            space = path.payload if keyring is None else path.payload - keyring.size
            for chunk in chunks:
                if len(chunk) > space:
                    chunk = control.fit(chunk, space)
                if not chunk:
                    continue
                if parts and (chunk[0] == COOKIE_ACK or _size(parts) + len(chunk) > space):
                    self._emit(path, b"".join(parts), ACTIVE, keyring is not None)
                    parts.clear()
                parts.append(chunk)
            if parts and (not opens or context.state is COOKIE_ECHOED or not is_established):
                self._emit(path, b"".join(parts), ACTIVE, keyring is not None)
                parts.clear()

    def _acknowledge(self, data: EstablishedData, data_path: Path, data_travels: bool) -> None:
        """Send SACKs back the way the data came (section 6.4); the last one waits for data that takes the same."""
        context = self._context
        acknowledger = data.receiver.acknowledger
        path = context.paths.reply_path(context.paths.by_id[acknowledger.path_id])
        same = path is data_path and path.reply_route is path.route
        echo = data.ecn.echo() if data.ecn is not None else b""
        sacks = acknowledger.take_sacks(path.payload - len(echo), data_travels and same)
        if not sacks:
            return
        if echo:
            sacks[-1] = echo + sacks[-1]
        last = sacks.pop() if same else b""
        keyring = context.keyring
        for sack in sacks:
            if keyring is not None and keyring.covers_all:
                sack = keyring.cover(sack)
            self._emit_along(path, path.reply_route, sack)
        if last:
            if self._opening and _size(self._opening) + len(last) > path.payload:
                self._send_opening(path)
            self._opening.append(last)

    # User data.

    def _has_data_for(self, path: Path, sender: Sender) -> bool:
        """Return whether data is about to leave for this path, so that a SACK that could wait goes with it (section
        6.1).
        """
        if path.space(sender.outstanding.in_flight[path.path_id], self._context.now) <= 0:
            return False
        queue = sender.queue
        record = sender.outstanding.earliest_lost()
        if record is not None:
            return self._context.paths.retransmit_path(record.path_id, record.state == LOST) is path
        size = queue.next_size(path.payload)
        gathers = not self._context.config.nodelay and sender.waits_for_more(path.payload, False)
        return 0 < size <= sender.window.peer_rwnd() and not gathers

    def _send_lost(self, sender: Sender, data_path: Path) -> None:
        """Send again what is marked for retransmission, as far as cwnd allows (section 6.1 C)."""
        context = self._context
        window = sender.window
        while (record := sender.outstanding.earliest_lost()) is not None:
            path = context.paths.retransmit_path(record.path_id, record.state == LOST)
            space = path.space(sender.outstanding.in_flight[path.path_id], context.now)
            if space <= 0 and not window.fast_retransmit_due:  # section 7.2.4: the first packet ignores cwnd
                return
            parts: list[bytes] = []
            if path is data_path and self._opening:
                parts, self._opening = self._opening, parts
            last_path_id = record.path_id
            key_id = record.key_id
            filled, earliest = window.fill(parts, path.payload - _size(parts), path.path_id, context.now, not parts)
            if filled:
                if not sender.outstanding.has_outstanding(last_path_id):  # section 6.3.2 R2
                    context.timers.stop(timer_key(T3_RTX, last_path_id))
                path.on_sent(context.now, again=True)
                self._start_t3(path, earliest)
                context.statistics.packets_retransmitted += 1
            self._emit(path, b"".join(parts), key_id)

    def _send_new(self, data: EstablishedData, data_path: Path) -> None:
        """Send new data, in runs of packets to one path; the user may have named one for a message (section 6.4)."""
        context = self._context
        sender = data.sender
        queue = sender.queue
        if sender.suspended or sender.outstanding.earliest_lost() is not None:
            return  # section 6.1 C
        path = data_path
        # Section 6.1 D: each SACK is an opportunity to send, although those of a batch are taken together.
        burst = (context.config.max_burst or _UNLIMITED) * max(sender.sacks, 1)
        while queue.buffered and burst:
            message = queue.next_message() if queue.directed else None
            wanted = ANY_PATH if message is None else message.path_id
            key_id = ANY_KEY if message is None else message.key_id
            path = data_path if wanted < 0 else context.paths.data_path(context.paths.by_id[wanted])
            sent = self._send_run(data, path, wanted, key_id, burst, self._opening if path is data_path else [])
            if not sent:
                break
            burst -= sent
        # A message that is written in parts may hold up the others: then it is not the window that is closed.
        if queue and not sender.outstanding and queue.next_size(path.payload):
            sender.await_window(path)

    def _send_run(
        self, data: EstablishedData, path: Path, wanted: int, key_id: int, burst: int, opening: list[bytes]
    ) -> int:
        """Send packets of new data to one path, as many as the peer's window, cwnd and the burst allow (section 6.1 A,
        B and E); return how many.

        `opening` stands first in the first of them, or leaves on its own if no chunk fits behind it.
        """
        context = self._context
        sender = data.sender
        outstanding = sender.outstanding
        queue = sender.queue
        path_id = path.path_id
        seal = self._seal
        packets: list[bytes] = []
        records: list[SentPacket] = []
        writer = Writer()
        keyring = context.keyring
        if keyring is not None and not keyring.covers_all and key_id < 0:
            keyring = None
        nagle = not context.config.nodelay
        now = context.now
        cwnd_space = path.space(outstanding.in_flight[path_id], now)
        peer_rwnd = sender.window.peer_rwnd()
        tsn = first_tsn = outstanding.next_tsn
        user_bytes = 0
        total = 0
        pads = data.pads and self._outbox.merges_equal
        equal_size = 0  # of the packets that go with one system call, before a shorter one
        sent = 0
        last_tsn = sender.window.last_new_tsn()
        while cwnd_space > 0 and queue.buffered and sent < burst and tsn <= last_tsn:
            space = path.payload - _size(opening) if opening else path.payload
            if nagle and sender.waits_for_more(space, sent > 0):
                break
            count, taken = queue.fill(writer, space, tsn, peer_rwnd, wanted, key_id)
            if not count:
                if opening and not queue.next_size(space):
                    self._send_opening(path)
                    continue
                if sent or not queue.next_size(space) or not sender.take_probe():
                    break
                count, taken = queue.fill(writer, space, tsn, queue.next_size(space), wanted, key_id)
                if not count:  # a scheduler that changes its mind, or the next message wants another path
                    break
            body = take_all(writer)
            size = len(body)
            record = SentPacket(tsn, tsn + count - 1, body, taken, path_id, now)
            if not queue.tracked:
                records.append(record)
            else:
                records += record.assign(queue.tracked)
                queue.tracked.clear()
            if opening:
                body = b"".join(opening) + body
                opening.clear()
            if len(body) != equal_size:
                gap = equal_size - len(body)
                if pads and 0 < gap * _MOST_PADDING <= equal_size and queue.buffered:
                    body += control.pack_pad(gap)
                else:
                    equal_size = len(body)
            if keyring is not None:
                body = keyring.cover(body, key_id)
            packets.append(seal.pack(body))
            tsn += count
            user_bytes += taken
            total += size
            peer_rwnd -= taken
            cwnd_space = 0 if path.one_packet else cwnd_space - size
            sent += 1
        if sent:
            outstanding.add_run(records, total, user_bytes)
            # RFC 3168 section 6.1.5: new data alone is ECN-capable.
            self._outbox.add(path.route, packets, data.ecn is not None, path.settings.dscp)
            path.on_sent(now)
            self._start_t3(path, False)
            statistics = context.statistics
            statistics.packets_sent += sent
            statistics.data_chunks_sent += tsn - first_tsn
            statistics.bytes_sent += user_bytes
        return sent

    def _start_t3(self, path: Path, restart: bool) -> None:
        """Start T3-rtx, as data has left for this path (section 6.3.2 R1); anew if `restart` (section 6.1)."""
        context = self._context
        key = timer_key(T3_RTX, path.path_id)
        if restart or not context.timers.runs(key):
            context.timers.start(key, context.now + path.rto.rto)

    # Into the outbox.

    def _send_opening(self, path: Path) -> None:
        """Send the chunks that would have opened a packet to the data path without data behind them."""
        if self._opening:
            self._emit(path, b"".join(self._opening))
            self._opening.clear()

    def _emit(self, path: Path, body: bytes, key_id: int = ACTIVE, authenticated: bool = False) -> None:
        """Send a packet along the route of a path; behind AUTH if it must be, or the key says so (RFC 4895)."""
        keyring = self._context.keyring
        if keyring is not None and (authenticated or keyring.covers_all or key_id >= 0):
            body = keyring.cover(body, key_id)
        self._emit_along(path, path.route, body)

    def _emit_along(self, path: Path, route: Route, body: bytes) -> None:
        if not route.local:
            return  # there is nowhere that it could leave from
        self._outbox.add(route, [self._seal.pack(body)], dscp=path.settings.dscp)
        self._context.statistics.packets_sent += 1


def _size(parts: list[bytes]) -> int:
    size = 0
    for part in parts:
        size += len(part)
    return size
