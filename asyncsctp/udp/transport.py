"""UDP transports of the kind that fits: the batching one where the loop can watch sockets, the loop's own elsewhere.

The loop of a simulated network (`testing.virtual_time`) brings its own.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, Protocol, cast, final

from ..random_source import Random
from . import options as udp_options
from .batch import MAX_DATAGRAM, BatchTransport
from .datagram import Address, DatagramError, PacketProtocol, PacketTransport, address_of, sockaddr_of

Kind = Literal["auto", "batch", "single", "plain"]
DEFAULT_BUFFER: Final = 4 * 1024 * 1024  # the usual default of 208 KiB holds 92 full packets
KINDS: Final = ("auto", "batch", "single", "plain")


class SimulatedLoop(Protocol):
    """An event loop whose UDP goes through a simulated network, and whose runs can be repeated."""

    @property
    def protocol_random(self) -> Random:
        """The source of tags and nonces for endpoints on this loop."""

    def open_simulated_datagram(
        self, protocol_factory: Callable[[], PacketProtocol], local_addr: Address
    ) -> tuple[PacketTransport, PacketProtocol]: ...

    def watch_simulated_addresses(
        self, near: str, callback: Callable[[tuple[str, ...]], object]
    ) -> tuple[Callable[[], object], Callable[[str], str]]:
        """Tell the addresses of the host that has `near`, now and each time that they have changed.

        Return what ends that, and what says which address packets to a peer leave from.
        """


def simulated(loop: asyncio.AbstractEventLoop) -> SimulatedLoop | None:
    """Return the loop, if its network is simulated."""
    # What `isinstance` of a protocol costs is half of what opening a socket does.
    return cast("SimulatedLoop", loop) if hasattr(loop, "open_simulated_datagram") else None


async def open_datagram(
    protocol_factory: Callable[[], PacketProtocol],
    local_addr: Address,
    *,
    buffer: int = DEFAULT_BUFFER,
    dscp: int = 0,
    ecn: bool = True,
    kind: Kind = "auto",
    open_socket: Callable[[Address, int], socket.socket] = udp_options.open_socket,
) -> PacketTransport:
    """Open a transport bound to one local address (a literal; port 0 for any), its protocol's `connection_made` already
    called. `OSError` if that can't be; `ValueError` for a wrong argument.

    `buffer` is asked for in both directions; what was granted is in `get_extra_info("rcvbuf")` and `("sndbuf")`.
    `ecn` permits ECT(0) marks and asks for those that arrive; `get_extra_info("ecn")` tells whether it came to that.
    `kind`: "batch" with GSO and GRO where the kernel has them, "single" without, "plain" the loop's own transport,
    "auto" the best that works. `open_socket` gives the socket, bound to this address, with such buffers.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    if not 0 <= dscp <= 63:
        raise ValueError(f"dscp must be in 0..63, not {dscp}")
    loop = asyncio.get_running_loop()
    simulation = simulated(loop)
    if simulation is not None:
        return simulation.open_simulated_datagram(protocol_factory, local_addr)[0]
    sock = open_socket(local_addr, buffer)
    try:
        if kind == "plain" or not hasattr(sock, "recvmsg"):
            return await _open_plain(loop, protocol_factory(), sock, dscp)
        protocol = protocol_factory()
        try:
            return BatchTransport(loop, sock, protocol, dscp=dscp, ecn=ecn, segments=kind != "single")
        except NotImplementedError:  # a proactor loop
            if kind != "auto":
                raise
            return await _open_plain(loop, protocol, sock, dscp)
    except BaseException:
        sock.close()
        raise


async def _open_plain(
    loop: asyncio.AbstractEventLoop, protocol: PacketProtocol, sock: socket.socket, dscp: int
) -> PacketTransport:
    udp_options.mark(sock, dscp, False)
    udp_options.forbid_fragments(sock)
    plain = _PlainTransport(loop, protocol, sock, dscp)
    await loop.create_datagram_endpoint(lambda: plain, sock=sock)
    return plain


@final
class _PlainTransport(PacketTransport, asyncio.DatagramProtocol):
    """The loop's own datagram transport behind our interface: one system call a datagram, no ECN, no ICMP.

    It is the protocol of that transport, too, and calls ours.
    """

    __slots__ = ("_dscp", "_inner", "_loop", "_protocol", "_sending", "_sock")

    _inner: asyncio.DatagramTransport  # from `connection_made` on

    def __init__(
        self, loop: asyncio.AbstractEventLoop, protocol: PacketProtocol, sock: socket.socket, dscp: int
    ) -> None:
        super().__init__()
        self._loop = loop
        self._protocol = protocol
        self._sock = sock
        self._dscp = dscp
        self._sending: Address | None = None  # where the send in hand goes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._inner = cast("asyncio.DatagramTransport", transport)  # uvloop's is one, but no subclass
        if hasattr(transport, "max_size"):
            transport.max_size = MAX_DATAGRAM  # what the stock loop allocates per datagram; its 256 KiB are slow
        self._protocol.connection_made(self)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if not self.is_closing():
            self._protocol.datagrams_received([data], address_of(addr), False)
        if not self.is_closing():
            self._protocol.batch_done()

    def error_received(self, exc: Exception) -> None:
        code = exc.errno if isinstance(exc, OSError) and exc.errno is not None else 0
        self._protocol.send_failed(code)
        error = DatagramError(code, str(exc), self._sending)
        self._loop.call_soon(self._report, error)  # the loop's transport calls from inside sendto

    def _report(self, error: DatagramError) -> None:
        if not self.is_closing():
            self._protocol.error_received(error)

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.connection_lost(exc)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "sockname":
            sockaddr = self._inner.get_extra_info("sockname")
            return default if sockaddr is None else address_of(sockaddr)
        if name in udp_options.BUFFERS:
            return self._sock.getsockopt(socket.SOL_SOCKET, udp_options.BUFFERS[name])
        if name in ("ecn", "gso", "gro"):
            return False
        return self._inner.get_extra_info(name, default)

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
        if self.is_closing():
            return
        if fragment:
            udp_options.allow_fragments(self._sock)  # for what leaves at once; what the loop queues does without
        if dscp >= 0:
            udp_options.mark(self._sock, dscp, False)  # the same holds here
        self._sending = addr
        try:
            target = sockaddr_of(addr)
            for packet in packets:
                self._inner.sendto(packet, target)
        except OSError as exc:
            self.error_received(exc)
        finally:
            self._sending = None
            if fragment:
                udp_options.forbid_fragments(self._sock)
            if dscp >= 0:
                udp_options.mark(self._sock, self._dscp, False)

    def is_closing(self) -> bool:
        return self._inner.is_closing()

    def close(self) -> None:
        self._inner.close()

    def abort(self) -> None:
        self._inner.abort()
