"""A UDP transport that moves many datagrams per system call and per wake-up of the event loop.

Knows the socket, UDP GSO and GRO, the error queue and back-pressure. What is in a datagram, and when one is sent, is
known to `aio.engine`.

Except by the stock loop, the socket is watched through an epoll of its own: libuv ends the watch of a socket that has
an error pending, and one ICMP message would make us deaf there. Whether another read is worth while is asked by poll: a
`recvmsg` that finds nothing costs four times as much.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import socket
import sys
import warnings
from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any, Final, final

from . import options as udp_options
from .datagram import Address, DatagramError, PacketProtocol, PacketTransport, address_of, sockaddr_of
from .forking import keep_to_this_process
from .options import MSG_ERRQUEUE, SOL_UDP, UDP_GRO, UDP_SEGMENT

MAX_SEGMENTS: Final = 64  # UDP_MAX_SEGMENTS of older kernels; newer ones take 128
MAX_MERGED: Final = 65507  # what one IPv4 datagram holds: the limit of packets that go as one
MAX_DATAGRAM: Final = 65536
ANCILLARY_SPACE: Final = 128
ERROR_SPACE: Final = 512
QUOTED: Final = 256
PREFIX: Final = 8  # of a refused packet, to report: ports and tag, which name an association

READ_BUDGET: Final = 128  # datagrams per wake-up, then other tasks get their turn
BLIND_READS: Final = 8  # after so many there will be more: no more asking, until a read finds nothing
ERROR_BUDGET: Final = 64  # error messages per look into the queue
ATTEMPTS: Final = 4  # how often errors that belong to others may spoil one send
PENDING_REPORTS: Final = 256
NO_BUFFERS_DELAY: Final = 0.001  # the interface's queue is full, which no poll announces the end of
HIGH_WATER: Final = 256 * 1024
LINGER: Final = 1.0  # how long a closed transport goes on trying to send what waits

READABLE: Final = 1  # POLLIN, which is EPOLLIN, and so on
WRITABLE: Final = 4

MARK_AT: Final = 0 if sys.byteorder == "little" else -1  # the byte that counts, of an int or of a lone byte
SEGMENT_SIZE: Final = Struct("=H")
NO_SEGMENTATION: Final = frozenset({errno.EIO, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOPROTOOPT})

Ancillary = tuple[int, int, bytes]
Waiting = tuple[Sequence[bytes], Address, bool, bool, str, int]  # packets, address and marks: what `send_batch` takes


@final
class _Watch:
    """Calls back while a socket has errors or is ready in a wanted way, and tells which of these holds now."""

    __slots__ = ("_callback", "_loop", "_poller", "_sock", "_wanted", "_watched", "_watches_poller")

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._sock = sock
        self._callback = callback
        self._wanted = READABLE
        self._watches_poller = sys.platform == "linux" and not isinstance(loop, asyncio.SelectorEventLoop)
        # A select.epoll or select.poll: neither type exists everywhere.
        poller: Any = select.epoll() if self._watches_poller else select.poll()
        self._watched: int = poller.fileno() if self._watches_poller else sock.fileno()
        poller.register(sock.fileno(), READABLE)
        self._poller = poller
        try:
            loop.add_reader(self._watched, callback)
        except BaseException:
            if self._watches_poller:
                poller.close()
            raise
        keep_to_this_process(sock, loop, self._watched, poller.close if self._watches_poller else None)

    def ready(self) -> int:
        found: list[tuple[int, int]] = self._poller.poll(0)
        return found[0][1] if found else 0

    def want(self, events: int) -> None:
        if events == self._wanted:
            return
        changed = events ^ self._wanted
        self._wanted = events
        fd = self._sock.fileno()
        self._poller.modify(fd, events)
        if self._watches_poller:
            return  # the poller itself stays readable or not
        if changed & events & READABLE:
            self._loop.add_reader(fd, self._callback)
        elif changed & READABLE:
            self._loop.remove_reader(fd)
        if changed & events & WRITABLE:
            self._loop.add_writer(fd, self._callback)
        elif changed & WRITABLE:
            self._loop.remove_writer(fd)

    def close(self) -> None:
        self._loop.remove_reader(self._watched)
        if self._watches_poller:
            self._poller.close()
        else:
            self._loop.remove_writer(self._watched)


@final
class _Errors:
    """Errors of the error queue and of failed sends, told to the protocol in a turn of the loop of its own."""

    __slots__ = ("_closed", "_loop", "_reports", "_sock", "protocol")

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, protocol: PacketProtocol) -> None:
        self._loop = loop
        self._sock = sock
        self.protocol = protocol
        self._reports: dict[tuple[object, ...], DatagramError] = {}
        self._closed = False

    def collect(self) -> tuple[bool, int | None]:
        """Empty the error queue; return whether there was ICMP, which is reported, and the MTU that the system named
        for the last send.
        """
        icmp = False
        mtu = None
        for _ in range(ERROR_BUDGET):
            try:
                quoted, ancillary, _, destination = self._sock.recvmsg(QUOTED, ERROR_SPACE, MSG_ERRQUEUE)
            except OSError:
                break
            error = udp_options.read_error(quoted, ancillary, destination)
            if error is None:
                continue
            if error.icmp is None:
                mtu = error.mtu  # about the send in hand, which knows the address
                continue
            icmp = True
            self.protocol.send_failed(error.errno or 0)
            if len(self._reports) < PENDING_REPORTS:
                self.report(error)
        return icmp, mtu

    def report(self, error: DatagramError) -> None:
        if self._closed:
            return
        if not self._reports:
            self._loop.call_soon(self._deliver)
        key = (error.address, error.errno, error.mtu, error.icmp, error.quoted)
        reported = self._reports.setdefault(key, error)
        if reported is not error:
            reported.count += error.count

    def refused(self, code: int, packet: bytes, addr: Address, mtu: int | None = None) -> None:
        """Report that the system will not send a packet to this address."""
        self.protocol.send_failed(code)
        self.report(DatagramError(code, os.strerror(code), addr, mtu=mtu, quoted=packet[:PREFIX]))

    def _deliver(self) -> None:
        reports = self._reports
        self._reports = {}
        for error in reports.values():
            if self._closed:
                return
            self.protocol.error_received(error)

    def close(self) -> None:
        self._closed = True


@final
class _Sender:
    """Gets packets into the socket with few system calls; what does not fit into it stays with the caller."""

    __slots__ = (
        "_dscp",
        "_ecn",
        "_errors",
        "_marked",
        "_marked_dscp",
        "_segment_ancillary",
        "_segment_size",
        "_sock",
        "no_buffers",
        "segmenting",
    )

    def __init__(self, sock: socket.socket, errors: _Errors, dscp: int, ecn: bool, segments: bool) -> None:
        self._sock = sock
        self._errors = errors
        self._dscp = self._marked_dscp = dscp
        self._ecn = ecn
        self._marked = False
        self._segment_size = 0
        self._segment_ancillary: list[Ancillary] = []
        self.segmenting = segments
        self.no_buffers = False  # the last send stopped because the queue of the interface was full, not the socket's
        udp_options.mark(sock, dscp, False)
        udp_options.forbid_fragments(sock)

    def send(
        self, packets: Sequence[bytes], addr: Address, ecn_capable: bool, fragment: bool, local: str, dscp: int
    ) -> int:
        """Send until the socket is full; return how many are done with. What failed for another reason was reported."""
        self.no_buffers = False
        marked = ecn_capable and self._ecn
        dscp = self._dscp if dscp < 0 else dscp
        if marked != self._marked or dscp != self._marked_dscp:
            udp_options.mark(self._sock, dscp, marked)
            self._marked = marked
            self._marked_dscp = dscp
        try:
            target: Any = sockaddr_of(addr) if "%" in addr[0] else addr
            source = udp_options.leave_from(local) if local else None
        except OSError as exc:
            for packet in packets:
                self._errors.refused(exc.errno or 0, packet, addr)
            return len(packets)
        if not fragment:
            return self._send_runs(packets, target, addr, source)
        udp_options.allow_fragments(self._sock)
        try:
            return self._send_runs(packets, target, addr, source, singly=len(packets))
        finally:
            udp_options.forbid_fragments(self._sock)

    def _send_runs(
        self, packets: Sequence[bytes], target: Any, addr: Address, source: Ancillary | None, singly: int = 0
    ) -> int:
        """Send until the socket is full; return how many are done with. Before `singly` each packet goes by itself."""
        at = 0
        count = len(packets)
        attempt = 0
        refusal = 0  # why packets did not go as one
        while at < count:
            end = at + 1
            if end < count and at >= singly and self.segmenting:
                end = self._end_of_run(packets, at, count)
            try:
                if source is not None:
                    ancillary = [source] if end - at == 1 else [*self._segment_ancillary, source]
                    self._sock.sendmsg((b"".join(packets[at:end]),), ancillary, 0, target)
                elif end - at == 1:
                    self._sock.sendto(packets[at], target)
                else:
                    self._sock.sendmsg((b"".join(packets[at:end]),), self._segment_ancillary, 0, target)
            except (BlockingIOError, InterruptedError):
                self._errors.protocol.send_failed(errno.EAGAIN)
                return at
            except OSError as exc:
                code = exc.errno or 0
                if code == errno.ENOBUFS:
                    self._errors.protocol.send_failed(code)
                    self.no_buffers = True
                    return at
                # An ICMP message for an earlier packet spoils a later send, which then has not happened: try again.
                icmp, mtu = self._errors.collect()
                attempt += 1
                if source is not None:
                    udp_options.leave_from.cache_clear()  # the interface of a link-local address may be another now
                if icmp and attempt >= ATTEMPTS:
                    return at
                if icmp or (attempt == 1 and mtu is None):
                    continue
                if end - at > 1:
                    singly = end
                    refusal = code
                    if refusal in NO_SEGMENTATION:
                        self._segment(False)
                    attempt = 0
                    continue
                if refusal and code in (refusal, errno.EMSGSIZE):
                    # A lone packet fails too, so it was not for being merged; for its size older kernels say EINVAL.
                    self._segment(True)
                self._errors.refused(code, packets[at], addr, mtu)
            at = end
            attempt = 0
        return count

    def _segment(self, works: bool) -> None:
        if works is not self.segmenting:
            self.segmenting = works
            self._errors.protocol.segmentation_changed(works)

    def _end_of_run(self, packets: Sequence[bytes], at: int, count: int) -> int:
        """Return the index after the packets that can go as one: as long as the first, but the last may be shorter."""
        size = len(packets[at])
        end = at + 1
        if size == 0:
            return end
        limit = min(count, at + MAX_SEGMENTS, at + MAX_MERGED // size)
        while end < limit:
            length = len(packets[end])
            if length != size:
                if 0 < length < size:
                    end += 1
                break
            end += 1
        if end - at > 1 and size != self._segment_size:
            self._segment_size = size
            self._segment_ancillary = [(SOL_UDP, UDP_SEGMENT, SEGMENT_SIZE.pack(size))]
        return end


@final
class BatchTransport(PacketTransport):
    """A `DatagramTransport` over a bound, non-blocking UDP socket, which it owns from now on.

    Made inside the running loop; `protocol.connection_made` has been called when the constructor returns. Raises
    NotImplementedError if the loop can't watch sockets. `segments=False` does without GSO and GRO.

    A full socket makes packets wait, in order, and `pause_writing` is called; they are never dropped for that.
    Packets too large and errors of the network are reported by `error_received` with a `DatagramError`.

    Bound to a wildcard address, it tells where each datagram came to, and `send_batch` takes where packets leave from.
    """

    __slots__ = (
        "_answer_due",
        "_buffered",
        "_closing",
        "_errors",
        "_has_gro",
        "_limits",
        "_local_kind",
        "_loop",
        "_lost",
        "_mark_kind",
        "_paused",
        "_protocol",
        "_queue",
        "_retry",
        "_sender",
        "_sock",
        "_watch",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        protocol: PacketProtocol,
        *,
        dscp: int = 0,
        ecn: bool = True,
        segments: bool = True,
    ) -> None:
        super().__init__()
        self._closing = True  # until it is made
        self._watch = _Watch(loop, sock, self._on_ready)
        self._loop = loop
        self._sock = sock
        self._protocol = protocol
        self._mark_kind = udp_options.report_traffic_class(sock) if ecn else -1
        ecn = self._mark_kind >= 0
        self._local_kind = udp_options.report_local_address(sock)
        self._has_gro = segments and udp_options.accept_segments(sock)
        udp_options.report_errors(sock)
        self._errors = _Errors(loop, sock, protocol)
        self._sender = _Sender(sock, self._errors, dscp, ecn, segments and udp_options.sends_segments(sock))
        self._queue: list[Waiting] = []
        self._buffered = 0
        self._limits = (HIGH_WATER // 4, HIGH_WATER)
        self._paused = False
        self._retry: asyncio.TimerHandle | None = None
        self._answer_due = False
        self._lost = False
        self._closing = False
        protocol.connection_made(self)

    # What a program asks.

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`socket`, `sockname`; `rcvbuf`, `sndbuf` as granted, with kernel overhead; `ecn`, `gso`, `gro`: in use?"""
        if name == "socket":
            return self._sock
        if name == "sockname":
            return address_of(self._sock.getsockname())
        if name in udp_options.BUFFERS:
            return self._sock.getsockopt(socket.SOL_SOCKET, udp_options.BUFFERS[name])
        if name == "gso":
            return self._sender.segmenting
        if name == "ecn":
            return self._mark_kind >= 0
        if name == "gro":
            return self._has_gro
        return default

    def is_closing(self) -> bool:
        return self._closing

    def get_protocol(self) -> PacketProtocol:
        return self._protocol

    def get_write_buffer_size(self) -> int:
        return self._buffered

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._limits

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if high is None:
            high = HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        if not 0 <= low <= high:
            raise ValueError(f"need 0 <= low <= high, not low={low}, high={high}")
        self._limits = (low, high)

    # Arrivals.

    def _on_ready(self) -> None:
        budget = READ_BUDGET
        reads = 0
        events = self._watch.ready() if self._queue else READABLE
        try:
            while events:
                if events & ~(READABLE | WRITABLE):
                    self._errors.collect()
                if events & WRITABLE:
                    self._send_waiting()
                if self._closing or not events & READABLE:
                    break
                received = self._receive()
                budget -= received or 1
                if self._closing or budget <= 0:
                    break
                reads += 1
                events = READABLE if received and reads > BLIND_READS else self._watch.ready()
        finally:
            if self._answer_due:
                self._answer_due = False
                if not self._closing:
                    self._protocol.batch_done()

    def _receive(self) -> int:
        """Take one datagram, or several that the kernel has merged; return how many."""
        try:
            data, ancillary, _, sender = self._sock.recvmsg(MAX_DATAGRAM, ANCILLARY_SPACE)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as exc:  # most often somebody's ICMP message: what it said is on the error queue
            self._errors.collect()
            if exc.errno in (errno.EBADF, errno.ENOTSOCK):
                self._end(exc)
            return 0
        size = len(data)
        segment = size
        congestion_experienced = False
        where = b""
        for level, kind, value in ancillary:
            if level == SOL_UDP:
                if kind == UDP_GRO:
                    segment = int.from_bytes(value[:4], sys.byteorder)
            elif kind == self._mark_kind:
                congestion_experienced = value[MARK_AT] & 3 == 3
            elif kind == self._local_kind:
                where = value
        datagrams = [data]
        if 0 < segment < size:
            datagrams = [data[at : at + segment] for at in range(0, size, segment)]
        self._answer_due = True
        addr = sender if len(sender) == 2 else address_of(sender)
        if not where:
            self._protocol.datagrams_received(datagrams, addr, congestion_experienced)
        elif local := udp_options.read_local_address(where):  # RFC 9260 section 8.4 rule 1: else it is dropped
            self._protocol.datagrams_received_at(datagrams, addr, congestion_experienced, local)
        return len(datagrams)

    # Departures.

    def send_batch(
        self,
        packets: Sequence[bytes],
        addr: Address,
        ecn_capable: bool = False,
        *,
        fragment: bool = False,
        local: str = "",
        dscp: int = -1,
    ) -> None:
        if self._closing:
            return
        sent = 0 if self._queue else self._sender.send(packets, addr, ecn_capable, fragment, local, dscp)
        if sent < len(packets):
            self._wait((packets[sent:], addr, ecn_capable, fragment, local, dscp))

    def _wait(self, waiting: Waiting) -> None:
        if not self._queue:
            self._await_space()
        self._queue.append(waiting)
        self._buffered += sum(map(len, waiting[0]))
        if self._buffered > self._limits[1] and not self._paused:
            self._paused = True
            self._tell(self._protocol.pause_writing)

    def _await_space(self) -> None:
        reading = 0 if self._closing else READABLE
        if self._sender.no_buffers:  # the socket itself is writable all the time
            self._watch.want(reading)
            self._retry = self._loop.call_later(NO_BUFFERS_DELAY, self._expire_retry)
        else:
            self._watch.want(reading | WRITABLE)

    def _expire_retry(self) -> None:
        self._retry = None
        self._send_waiting()

    def _send_waiting(self) -> None:
        while self._queue:
            packets, addr, ecn_capable, fragment, local, dscp = self._queue[0]
            sent = self._sender.send(packets, addr, ecn_capable, fragment, local, dscp)
            self._buffered -= sum(map(len, packets[:sent]))
            if sent < len(packets):
                self._queue[0] = (packets[sent:], addr, ecn_capable, fragment, local, dscp)
                break
            del self._queue[0]
        if self._queue:
            self._await_space()
        elif self._closing:
            self._end(None)
            return
        else:
            self._watch.want(READABLE)
        if self._paused and self._buffered <= self._limits[0]:
            self._paused = False
            self._tell(self._protocol.resume_writing)

    def _tell(self, flow: Callable[[], None]) -> None:
        try:
            flow()
        except Exception as exc:
            self._loop.call_exception_handler(
                {"message": "flow control failed", "exception": exc, "transport": self, "protocol": self._protocol}
            )

    # The end.

    def close(self) -> None:
        """Read no more, send what waits, then end; what still waits after a second is dropped."""
        if self._closing:
            return
        self._closing = True
        self._errors.close()
        if not self._queue:
            self._end(None)
        else:
            self._watch.want(0 if self._retry is not None else WRITABLE)
            self._loop.call_later(LINGER, self.abort)

    def abort(self) -> None:
        """End at once; what waits is dropped."""
        self._end(None)

    def _end(self, exc: Exception | None) -> None:
        self._closing = True
        if self._lost:
            return
        self._lost = True
        self._errors.close()
        self._queue.clear()
        self._buffered = 0
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self._watch.close()
        self._loop.call_soon(self._connection_lost, exc)

    def _connection_lost(self, exc: Exception | None) -> None:
        try:
            self._protocol.connection_lost(exc)
        finally:
            self._sock.close()

    def __del__(self) -> None:
        if not self._closing:
            if not self._protocol.is_expendable():
                warnings.warn(f"unclosed transport {self!r}", ResourceWarning, stacklevel=2, source=self)
            self._sock.close()
