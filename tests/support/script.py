"""One association against a scripted peer: packers and readers of the wire, and a clock that the test sets.

The association is a real one at a real core endpoint, set up by a real handshake; the peer has no state but its tag.
TSNs are numbers from 0 on both sides: `Script` and `Chunk` hide where they really start, which is just below the
wrap. After every flush the association's invariants are checked.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from struct import pack, unpack_from

from asyncsctp.association.invariants import check
from asyncsctp.association.outbox import Outbox, PacketRun
from asyncsctp.config import Config
from asyncsctp.endpoint.endpoint import Endpoint
from asyncsctp.handlers.state import ESTABLISHED, State
from asyncsctp.paths.path import Path
from asyncsctp.paths.route import Route
from asyncsctp.paths.rto import RtoEstimator
from asyncsctp.wire import control, sack, tlv
from asyncsctp.wire.auth import AuthParameters
from asyncsctp.wire.constants import (
    AUTH,
    CHUNK_HEADER_SIZE,
    COMMON_HEADER_SIZE,
    COOKIE_ECHO,
    CWR,
    DATA,
    DATA_HEADER_SIZE,
    ECNE,
    INIT,
    SACK,
    SHUTDOWN,
)
from asyncsctp.wire.init import Init, pack_init, read_init
from asyncsctp.wire.packet import Seal, checksum_ok

from .auth_reference import SHA_1, SHA_256, Authenticator
from .chunks import pack_data
from .pair import Recorder

LOCAL_PORT = 4000
PEER_PORT = 5001
UDP_PORT = 9899
PEER_TAG = 0x5EE4
PEER_TSN = 0xFFFFFFFC
PEER_RANDOM = bytes(range(32))
LOCAL = ("10.0.0.1", "10.1.0.1")
PEER = ("10.0.0.2", "10.1.0.2")

E = 1
B = 2
U = 4
I = 8  # noqa: E741 - the bits have the names that section 3.3.1 gives them


class Chance:
    """A source of tags and initial TSNs just below the wrap, and of a heartbeat jitter that a test can choose."""

    def __init__(self) -> None:
        self._random = random.Random(1)
        self._word = 0xFFFFFFF0
        self.jitter = 0x8000  # in the middle: no deviation

    def bits(self, count: int) -> int:
        if count < 32:
            return self.jitter
        self._word += 1
        return self._word

    def token(self, size: int) -> bytes:
        return self._random.randbytes(size)


@dataclass(frozen=True)
class Chunk:
    """A chunk that the association sent. Fields of other chunk types are 0 or empty."""

    kind: int
    flags: int
    value: bytes
    tsn: int = 0  # of DATA, ECNE and CWR; the cumulative one of SACK and SHUTDOWN
    sid: int = 0
    ssn: int = 0
    ppid: int = 0
    data: bytes = b""
    a_rwnd: int = 0
    gaps: tuple[tuple[int, int], ...] = ()
    duplicates: tuple[int, ...] = ()

    @property
    def causes(self) -> list[tuple[int, bytes]]:
        """Of ERROR and ABORT: code and information of each cause."""
        return [(code, self.value[start:end]) for code, _, start, end in tlv.walk(self.value, 0, len(self.value))]


@dataclass(frozen=True)
class Packet:
    """A packet that the association sent, with its time and its route."""

    at: float
    route: Route
    tag: int
    size: int  # of its chunks
    chunks: tuple[Chunk, ...]
    ecn_capable: bool
    dscp: int
    key: int | None = None  # of its AUTH chunk, which was right

    @property
    def to(self) -> str:
        return self.route.address

    @property
    def kinds(self) -> list[int]:
        return [chunk.kind for chunk in self.chunks]

    def all(self, kind: int) -> list[Chunk]:
        return [chunk for chunk in self.chunks if chunk.kind == kind]

    def one(self, kind: int) -> Chunk:
        [chunk] = self.all(kind)
        return chunk

    @property
    def tsns(self) -> list[int]:
        return [chunk.tsn for chunk in self.all(DATA)]


class Script:
    """The association, its user, and what its peer does. `paths`: how many addresses each of them has."""

    def __init__(
        self,
        config: Config | None = None,
        *,
        paths: int = 1,
        listed: bool = False,
        peer_rwnd: int = 1 << 20,
        ecn: bool = False,
        up: bool = True,
        user: Recorder | None = None,
        extensions: frozenset[int] = frozenset(),
        streams: int = 16,
        auth: frozenset[int] | None = None,
        primary: str = "",
        keys: Mapping[int, bytes] | None = None,
        hmacs: tuple[int, ...] = (SHA_256, SHA_1),
        bursts: bool = False,
        adaptation: int | None = None,
    ) -> None:
        """`listed`: all addresses but the first are known from the INIT ACK only, thus UNCONFIRMED.

        `extensions`: the chunk types that the peer lists as supported. `streams`: how many it takes, and sends on.
        `primary`: the address that it would like to be sent to. `adaptation`: its Adaptation Indication. `auth`: the
        chunk types that it wants authenticated; None: it does not know RFC 4895. It has these `keys`, and lists these
        `hmacs`. What the association sends it then is checked: AUTH where there is one, and that it is there where it
        must.
        """
        self.now = 100.0
        self.chance = Chance()
        self.config = config or Config(heartbeat_interval=None)
        if self.config.max_burst is None and not bursts:
            self.config = self.config.replace(max_burst=1_000_000)
        self.user = user or Recorder("the user")
        self.peer_rwnd = peer_rwnd
        self.ecn = ecn
        self.paths = paths
        self.listed = listed
        self.extensions = extensions
        self.streams = streams
        self.primary = primary
        self.adaptation = adaptation
        self.auth = None if auth is None else AuthParameters(PEER_RANDOM, bytes(sorted(auth)), hmacs)
        self.keys = {0: b""} if keys is None else keys
        self.authenticator: Authenticator | None = None  # once both have said what it takes
        self.outbox = Outbox()
        self.packets: list[Packet] = []
        self.endpoint = Endpoint(
            self.config, port=LOCAL_PORT, local_addresses=LOCAL[:paths], random=self.chance, outbox=self.outbox
        )
        addresses = PEER[:1] if listed else PEER[:paths]
        self.association = self.endpoint.connect(addresses, PEER_PORT, self.now, self.user, udp_port=UDP_PORT)
        self.user.association = self.association
        self._seal = Seal(PEER_PORT, LOCAL_PORT, 0)
        self._local_tsn = 0
        self._ssn: dict[int, int] = {}
        self.flush()
        if up:
            self.set_up()

    def set_up(self, key: int = 0) -> None:
        """The peer's part of the handshake; it authenticates with this key."""
        init = self.expect_raw(INIT)
        self._seal = Seal(PEER_PORT, LOCAL_PORT, init.initiate_tag)
        self._local_tsn = init.initial_tsn
        answer = Init(
            PEER_TAG,
            self.peer_rwnd,
            self.streams,
            self.streams,
            PEER_TSN,
            PEER[: self.paths] if self.paths > 1 else (),
            cookie=b"cookie",
            ecn=self.ecn,
            extensions=self.extensions,
            auth=self.auth,
            primary=self.primary,
            adaptation=self.adaptation,
            disable_restart=init.disable_restart,
        )
        if self.auth is not None and init.auth is not None:
            self.authenticator = Authenticator((init.auth, self.auth), self.keys)
        self.send(pack_init(answer, True))
        assert [packet.kinds[-1] for packet in self.take()] == [COOKIE_ECHO]
        if self.authenticator is None or init.auth is None:
            self.send(control.pack_cookie_ack())
        else:
            self.send(control.pack_cookie_ack(), auth=key, hmac=init.auth.hmacs[0])
        assert self.state is ESTABLISHED
        config = self.config
        for path in self.association.path_manager.by_id:  # the handshake took no time: what it measured is forgotten
            path.rto = RtoEstimator(config.rto_initial, config.rto_min, config.rto_max)
        if not self.listed:
            self.expect_nothing()

    def expect_raw(self, kind: int) -> Init:
        [(_, datagram)] = [(packet.route, packet.chunks[0]) for packet in self.take()]
        assert datagram.kind == kind
        return read_init(datagram.value, 0, len(datagram.value))

    # The association.

    @property
    def state(self) -> State:
        return self.association.state

    def path(self, number: int = 0) -> Path:
        return self.association.path_manager.by_id[number]

    @property
    def cwnd(self) -> int:
        return self.path().congestion.cwnd

    @property
    def ssthresh(self) -> int:
        return self.path().congestion.ssthresh

    @property
    def rto(self) -> float:
        return self.path().rto.rto

    @property
    def payload(self) -> int:
        return self.path().payload

    @property
    def in_flight(self) -> int:
        return self.association.in_flight(0)

    def write(
        self, *messages: bytes, sid: int = 0, unordered: bool = False, immediate: bool = False, path: str | None = None
    ) -> None:
        """The user writes these messages, and a flush follows."""
        for message in messages:
            self.association.send(
                sid, message, unordered=unordered, options={"sack_immediately": immediate, "path": path}
            )
        self.flush()

    def write_packets(self, count: int) -> None:
        """The user writes so many messages that fill a packet each."""
        self.write(*[bytes(self.payload - DATA_HEADER_SIZE)] * count)

    def shutdown(self) -> None:
        self.association.shutdown(self.now)
        self.flush()

    # Time.

    def flush(self) -> None:
        self.endpoint.touch(self.association)
        self.endpoint.flush(self.now)
        for run in self.outbox.take():
            self.packets += [self._read(run, datagram) for datagram in run.packets]
        check(self.association)

    def advance(self, seconds: float) -> None:
        """Let time pass, and the timers run out that do in that time, each at its instant."""
        until = self.now + seconds
        while self.endpoint.next_expiry <= until:
            self.now = max(self.now, self.endpoint.next_expiry)
            self.endpoint.expire(self.now)
            self.flush()
        self.now = until

    def wait(self, limit: float = 1000.0) -> list[Packet]:
        """Let time pass until something is sent; those packets."""
        until = self.now + limit
        while not self.packets and self.endpoint.next_expiry <= until:
            self.now = max(self.now, self.endpoint.next_expiry)
            self.endpoint.expire(self.now)
            self.flush()
        if not self.packets:
            self.now = until
        return self.take()

    # The peer.

    def data(
        self, tsn: int, data: bytes = b"data", *, flags: int = B | E, sid: int = 0, ssn: int | None = None
    ) -> bytes:
        """DATA from the peer. Each whole ordered message has the next SSN of its stream, unless it is given."""
        if ssn is None:
            ssn = self._ssn.get(sid, 0)
            if flags & (U | E) == E:
                self._ssn[sid] = ssn + 1 & 0xFFFF
        return pack_data(flags, self.theirs(tsn), sid, ssn, 0, data)

    def sack(
        self,
        cumulative: int,
        gaps: Sequence[tuple[int, int]] = (),
        *,
        a_rwnd: int | None = None,
        duplicates: Sequence[int] = (),
    ) -> bytes:
        """SACK from the peer; `gaps` are TSNs, the first and the last of each block."""
        offsets = [(first - cumulative, last - cumulative) for first, last in gaps]
        rwnd = self.peer_rwnd if a_rwnd is None else a_rwnd
        return sack.pack_sack(self.ours(cumulative), rwnd, offsets, [self.ours(tsn) for tsn in duplicates])

    def ours(self, tsn: int) -> int:
        """A TSN of the association as it is on the wire."""
        return self._local_tsn + tsn & 0xFFFFFFFF

    def theirs(self, tsn: int) -> int:
        """A TSN of the peer as it is on the wire."""
        return PEER_TSN + tsn & 0xFFFFFFFF

    def packet(self, *chunks: bytes, tag: int | None = None) -> bytes:
        seal = self._seal if tag is None else Seal(PEER_PORT, LOCAL_PORT, tag)
        return seal.pack(b"".join(chunks))

    def authenticated(self, *chunks: bytes, key: int = 0, hmac: int = SHA_256) -> bytes:
        """AUTH and these chunks; nothing may follow them in their packet."""
        assert self.authenticator is not None
        body = b"".join(chunks)
        return self.authenticator.auth(body, key, hmac) + body

    def arrive(self, *chunks: bytes, source: int = 0, tag: int | None = None, marked: bool = False) -> None:
        """A packet comes, from one of the peer's addresses; the batch that it belongs to goes on."""
        self.arrive_raw(self.packet(*chunks, tag=tag), source=source, marked=marked)

    def arrive_raw(self, datagram: bytes, *, source: int = 0, marked: bool = False) -> None:
        route = Route(LOCAL[source], PEER[source], UDP_PORT)
        self.endpoint.receive(datagram, route, self.now, marked)

    def send(
        self,
        *chunks: bytes,
        source: int = 0,
        tag: int | None = None,
        marked: bool = False,
        auth: int | None = None,
        hmac: int = SHA_256,
    ) -> None:
        """A packet comes, alone in its batch; authenticated with the key `auth`, if there is one."""
        if auth is not None:
            chunks = (self.authenticated(*chunks, key=auth, hmac=hmac),)
        self.arrive(*chunks, source=source, tag=tag, marked=marked)
        self.flush()

    def take(self) -> list[Packet]:
        """What was sent since the last look."""
        packets, self.packets = self.packets, []
        return packets

    def expect(self, *kinds: int) -> Packet:
        """Exactly one packet was sent since the last look, with chunks of these types in this order."""
        packets = self.take()
        assert [packet.kinds for packet in packets] == [list(kinds)]
        return packets[0]

    def expect_each(self, *kinds: Sequence[int]) -> list[Packet]:
        """Exactly these packets were sent since the last look."""
        packets = self.take()
        assert [packet.kinds for packet in packets] == [list(each) for each in kinds]
        return packets

    def expect_nothing(self) -> None:
        assert [packet.kinds for packet in self.take()] == []

    def _read(self, run: PacketRun, datagram: bytes) -> Packet:
        assert checksum_ok(datagram)  # section 6.8
        chunks = []
        key = None
        for first16, at, start, end in tlv.walk(datagram, COMMON_HEADER_SIZE, len(datagram)):
            if first16 >> 8 == AUTH and self.authenticator is not None:
                assert key is None  # RFC 4895 section 5.1
                key = self.authenticator.key_of(datagram[at:])
            if self.authenticator is not None and self.auth is not None and first16 >> 8 in self.auth.listed:
                assert key is not None  # section 6.2
            chunks.append(self._read_chunk(first16 >> 8, first16 & 0xFF, datagram[start:end]))
        tag = unpack_from("!I", datagram, 4)[0]
        assert len(datagram) % 4 == 0
        size = len(datagram) - COMMON_HEADER_SIZE
        return Packet(self.now, run.route, tag, size, tuple(chunks), run.ecn_capable, run.dscp, key)

    def _read_chunk(self, kind: int, flags: int, value: bytes) -> Chunk:
        if kind == DATA:
            tsn, sid, ssn, ppid = unpack_from("!IHHI", value)
            data = value[DATA_HEADER_SIZE - CHUNK_HEADER_SIZE :]
            assert data  # section 6.2
            return Chunk(kind, flags, value, self._number(tsn, self._local_tsn), sid, ssn, ppid, data)
        if kind == SACK:
            chunk = pack("!HH", SACK << 8, len(value) + CHUNK_HEADER_SIZE) + value
            wire_tsn, a_rwnd, offsets, duplicates = sack.read_sack(chunk, 0, len(chunk))
            tsn = self._number(wire_tsn, PEER_TSN)
            return Chunk(
                kind,
                flags,
                value,
                tsn,
                a_rwnd=a_rwnd,
                gaps=tuple((tsn + first, tsn + last) for first, last in offsets),
                duplicates=tuple(self._number(each, PEER_TSN) for each in duplicates),
            )
        if kind in (SHUTDOWN, ECNE):
            return Chunk(kind, flags, value, self._number(unpack_from("!I", value)[0], PEER_TSN))
        if kind == CWR:
            return Chunk(kind, flags, value, self._number(unpack_from("!I", value)[0], self._local_tsn))
        return Chunk(kind, flags, value)

    @staticmethod
    def _number(wire_tsn: int, first: int) -> int:
        return (wire_tsn - first + 0x80000000 & 0xFFFFFFFF) - 0x80000000
