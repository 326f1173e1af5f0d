"""One side of a handshake on a bench: a context whose owner only writes down what it is asked for."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from asyncsctp.config import Config
from asyncsctp.errors import SCTPError
from asyncsctp.handlers.context import Context
from asyncsctp.handlers.setup.cookie import CookieJar
from asyncsctp.handlers.setup.handshake import Handshake
from asyncsctp.handlers.setup.negotiation import Setup
from asyncsctp.handlers.state import CLOSED, ESTABLISHED
from asyncsctp.inbound.receive_window import Budget
from asyncsctp.paths.path import Path
from asyncsctp.paths.route import Route
from asyncsctp.timers import T1_COOKIE, T1_INIT
from asyncsctp.wire import tlv
from asyncsctp.wire.constants import INIT, INIT_ACK
from asyncsctp.wire.init import Init, read_init

LOCAL = "192.0.2.1"
PEER = "192.0.2.2"
LOCAL_PORT = 5000
PEER_PORT = 6000
UDP_PORT = 9899


class Seeded:
    """The same randomness in every run."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)

    def bits(self, count: int) -> int:
        return self._random.getrandbits(count)

    def token(self, size: int) -> bytes:
        return self._random.randbytes(size)


@dataclass
class FakeOwner:
    """What the association would do, on paper."""

    context: Context | None = None
    established: list[Setup] = field(default_factory=list)
    restarted: list[Setup] = field(default_factory=list)
    ended: list[SCTPError | None] = field(default_factory=list)
    is_pending: bool = False

    def establish(self, setup: Setup) -> None:
        self.established.append(setup)
        self._enter(setup)

    def restart(self, setup: Setup) -> None:
        self.restarted.append(setup)
        self._enter(setup)

    def end(self, error: SCTPError | None) -> None:
        assert self.context is not None
        self.ended.append(error)
        self.context.state = CLOSED
        self.context.timers.stop_all()

    def change_tag(self, local_tag: int) -> None:
        assert self.context is not None
        self.context.local_tag = local_tag

    def data_pending(self) -> bool:
        return self.is_pending

    def is_timed(self, path: Path) -> bool:
        return False

    def _enter(self, setup: Setup) -> None:
        assert self.context is not None
        self.context.setup = setup
        self.context.state = ESTABLISHED

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)  # what no handler here asks of its owner


class Bench:
    """One association without its data rooms, and what its peer can send."""

    local_address = LOCAL
    peer_address = PEER
    udp_port = UDP_PORT

    def __init__(
        self,
        config: Config | None = None,
        local: Sequence[str] = (LOCAL,),
        addresses: Sequence[str] = (PEER,),
        seed: int = 1,
    ) -> None:
        self.config = config or Config()
        self.local = local
        self.random = Seeded(seed)
        self.owner = FakeOwner()
        budget = Budget(self.config.budget)
        ports, tags = (LOCAL_PORT, PEER_PORT), (0, 0)
        self.context = Context(
            self.owner, self.config, self.random, ports, tags, (local, addresses), UDP_PORT, budget, 0.0
        )
        self.owner.context = self.context
        self.cookies = CookieJar(self.random, self.config.cookie_lifetime)
        self.handshake = Handshake(self.context, local, 0x1111)

    def sent(self) -> list[tuple[str, int, bytes]]:
        """Packets of their own since the last look: the address each goes to, its tag, its chunks."""
        packets = [(route.address, tag, body) for route, tag, body in self.context.packets]
        self.context.packets.clear()
        return packets

    def queued(self) -> list[tuple[bytes, int]]:
        """Control chunks that wait for a packet, and the path of each."""
        chunks = [(chunk, path_id) for chunk, path_id, _ in self.context.control]
        self.context.control.clear()
        return chunks

    def wait(self) -> None:
        """Let time pass until a T1 timer runs out, and let it."""
        context = self.context
        context.now = min(context.timers.deadline(T1_INIT), context.timers.deadline(T1_COOKIE))
        for key in context.timers.expired(context.now):
            assert key in (T1_INIT, T1_COOKIE)
            self.handshake.expire_t1()

    def echo(self, init_ack: Init | None = None, source: Route | None = None) -> bytes:
        """Bring the handshake to COOKIE-ECHOED; the packet with the COOKIE ECHO."""
        self.handshake.associate()
        self.sent()
        self.handshake.on_init_ack(init_ack or self.peer_init(cookie=b"cookie"), source or self.route())
        [(_, _, body)] = self.sent()
        return body

    # What the peer sends, and what we send, read.

    @staticmethod
    def route(address: str = PEER, udp_port: int = UDP_PORT, local: str = LOCAL) -> Route:
        return Route(local, address, udp_port)

    @staticmethod
    def peer_init(
        tag: int = 0x2222,
        a_rwnd: int = 100_000,
        streams: tuple[int, int] = (10, 20),
        tsn: int = 0xFFFFFFF0,
        addresses: tuple[str, ...] = (),
        cookie: bytes | None = None,
        unrecognized: tuple[bytes, ...] = (),
        host_name: bytes = b"",
        preservative_ms: int = 0,
        ecn: bool = True,
    ) -> Init:
        """An INIT or INIT ACK of the peer."""
        return Init(
            tag,
            a_rwnd,
            *streams,
            tsn,
            addresses,
            cookie=cookie,
            unrecognized=unrecognized,
            host_name=host_name,
            preservative_ms=preservative_ms,
            ecn=ecn,
        )

    @staticmethod
    def kinds(body: bytes) -> list[int]:
        """The types of the chunks in a packet, in order."""
        return [first16 >> 8 for first16, *_ in tlv.walk(body, 0, len(body))]

    @staticmethod
    def read_setup_chunk(body: bytes) -> Init:
        """The one INIT or INIT ACK in a packet."""
        [(first16, _, start, end)] = tlv.walk(body, 0, len(body))
        assert first16 >> 8 in (INIT, INIT_ACK)
        return read_init(body, start, end)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def make_bench() -> Callable[..., Bench]:
    return Bench
