"""Hostile packets, and recorded runs in which they are sent.

A `Life` of an association is recorded, each packet that arrived as a `Moment`. From any of them the run can go on with
other packets than the one that came: from a pickled copy of everything or, as compiled objects can't be pickled, by
repeating the run up to there.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping
from random import Random
from struct import pack, pack_into, unpack_from
from typing import Any, NamedTuple

from asyncsctp import compiled
from asyncsctp.association.association import Association
from asyncsctp.config import Config
from asyncsctp.endpoint.endpoint import Endpoint
from asyncsctp.handlers.state import CLOSED
from asyncsctp.outbound.message import LIMITED, TIMED, Terms
from asyncsctp.paths.route import Route
from asyncsctp.testing import LinkSettings
from asyncsctp.testing.host import Datagram
from asyncsctp.wire.constants import (
    ABORT,
    ASCONF,
    ASCONF_ACK,
    AUTH,
    COMMON_HEADER_SIZE,
    COOKIE_ACK,
    COOKIE_ECHO,
    CWR,
    DATA,
    ECNE,
    ERROR,
    FORWARD_TSN,
    HEARTBEAT,
    HEARTBEAT_ACK,
    I_DATA,
    I_FORWARD_TSN,
    INIT,
    INIT_ACK,
    PAD,
    RE_CONFIG,
    SACK,
    SHUTDOWN,
    SHUTDOWN_ACK,
    SHUTDOWN_COMPLETE,
)
from asyncsctp.wire.packet import Seal
from asyncsctp.wire.sack import SACK_HEADER_SIZE

from ..on_terms import send_on_terms
from ..pair import A_PORT, Z_PORT, Pair

LIMIT = 20_000.0


class Life(NamedTuple):
    """The plan of a run: the losses and marks of the network, and which side ends the association."""

    seed: int
    paths: int
    closer: int
    marks: bool = False
    losses: tuple[int, ...] = ()
    rich: bool = False
    interleaving: bool = False
    maker: Callable[[Life], Talk] | None = None

    def talk(self) -> Talk:
        if self.maker is not None:
            return self.maker(self)
        if self.rich:
            return RichTalk(self.seed, paths=self.paths, losses=self.losses, interleaving=self.interleaving)
        return Talk(self.seed, paths=self.paths, marks=self.marks, losses=self.losses)

    def live(self, talk: Talk) -> None:
        """All of it."""
        talk.begin()
        talk.run_until(talk.is_through, LIMIT)
        talk.run_for(3.0)  # heartbeats
        talk.go_on()
        talk.send(self.closer, 0, b"queued as the shutdown begins" * 40)
        talk.send(1 - self.closer, 1, b"still under way when it comes" * 200)
        talk.shutdown(self.closer)
        talk.run_until(talk.is_over, LIMIT)

    def live_until(self, number: int) -> Talk:
        """Everything as it was before this packet arrived, of all that did. Nothing is checked on the way there."""
        talk = self.talk()
        count = 0

        def arrives(side: int, route: Route, datagram: bytes) -> None:
            nonlocal count
            if count == number:
                raise _ReachedError
            count += 1

        talk.is_checked = False
        talk.watch(arrives)
        try:
            self.live(talk)
        except _ReachedError:
            talk.is_checked = True
            talk.watch(None)
            return talk
        raise ValueError(f"only {count} packets arrive in {self}")


class _ReachedError(Exception):
    """The packet is about to be received."""


class Moment(NamedTuple):
    """A packet about to be received by one side (0: A, 1: Z), the `number`th of a run."""

    side: int
    state: str
    route: Route
    datagram: bytes
    life: Life
    number: int
    snapshot: bytes | None  #: everything as it was then, where that can be copied

    def resume(self) -> Talk:
        """Everything as it was then."""
        if self.snapshot is None:
            return self.life.live_until(self.number)
        talk: Talk = pickle.loads(self.snapshot)
        return talk


#: Two lives of which all is tried: a quiet one, and one with losses and marks that the other side ends.
QUIET = Life(1, paths=2, closer=0)
ROUGH = Life(2, paths=1, closer=1, marks=True, losses=(1, 6, 8, 17))
#: Two with messages in parts, abandoned ones and all kinds of reconfiguration: with DATA, and with I-DATA.
RICH = Life(3, paths=1, closer=0, losses=(8, 13, 14, 20, 31, 35, 37), rich=True)
INTERLEAVED = Life(4, paths=1, closer=1, losses=(6, 8, 13, 27, 31), rich=True, interleaving=True)


#: The chunks by which one side says what the other's numbers are to be.
EXTENSIONS = frozenset({I_DATA, FORWARD_TSN, I_FORWARD_TSN, RE_CONFIG})

Watcher = Callable[[int, Route, bytes], None]


class Tap:
    """An endpoint as the simulation sees it, whose received packets can be watched."""

    def __init__(self, side: int, endpoint: Endpoint) -> None:
        self.side = side
        self.endpoint = endpoint
        self.outbox = endpoint.outbox
        self.watcher: Watcher | None = None

    @property
    def next_expiry(self) -> float:
        return self.endpoint.next_expiry

    def receive(self, datagram: bytes, route: Route, now: float, congestion_experienced: bool) -> None:
        if self.watcher is not None:
            self.watcher(self.side, route, datagram)
        self.endpoint.receive(datagram, route, now, congestion_experienced)

    def flush(self, now: float) -> None:
        self.endpoint.flush(now)

    def expire(self, now: float) -> None:
        self.endpoint.expire(now)


class TappedPair(Pair):
    """A pair whose network loses the packets with these numbers, and no others."""

    taps: tuple[Tap, Tap]

    def __init__(
        self,
        seed: int,
        *,
        losses: tuple[int, ...] = (),
        marks: bool = False,
        paths: int = 2,
        interleaving: bool = False,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        config = Config(
            mtu=576,
            rto_initial=0.5,
            rto_min=0.2,
            heartbeat_interval=1.0,
            outgoing_streams=8,
            ecn=marks,
            interleaving=interleaving,
            partial_delivery_point=600,
        ).replace(**more or {})
        link = LinkSettings(delay=0.02, mark=0.2 if marks else 0.0)
        self.losses = losses
        self.count = 0
        self.is_checked = True
        super().__init__(seed, link=link, config=config, paths=paths)
        self.network.on_datagram = self.travels

    def attach(self) -> None:
        self.taps = (Tap(0, self.endpoints[0]), Tap(1, self.endpoints[1]))
        for tap, addresses in zip(self.taps, self.addresses, strict=True):
            self.simulation.add(tap, addresses)

    def watch(self, watcher: Watcher | None) -> None:
        """Who is called before each packet that arrives."""
        for tap in self.taps:
            tap.watcher = watcher

    def check(self, endpoint: object) -> None:
        if self.is_checked:
            super().check(endpoint.endpoint if isinstance(endpoint, Tap) else endpoint)

    def travels(self, datagram: Datagram) -> bool:
        self.count += 1
        return self.count not in self.losses

    def finish(self) -> None:
        """Deliver what was written, if that goes, and end."""
        self.run_until(self.is_through, LIMIT)
        for side in (0, 1):
            if self.users[side].association is not None:
                self.shutdown(side)
        self.run_until(self.is_over, LIMIT)

    def is_over(self) -> bool:
        return self.users[0].is_closed and (self.users[1].association is None or self.users[1].is_closed)

    def is_through(self) -> bool:
        if any(user.is_closed for user in self.users):
            return True
        return self.is_up() and not any(self.association(side).buffered for side in (0, 1)) and self.is_written()

    def is_written(self) -> bool:
        return bool(self.sent[0])

    def is_well(self) -> bool:
        """Nothing was lost and both sides ended gracefully."""
        for side in (0, 1):
            user = self.users[side]
            if user.error is not None or sorted(self.sent[side]) != sorted(self.users[1 - side].messages):
                return False
        return True


class Talk(TappedPair):
    """A pair that sets itself up and exchanges a few messages, whatever happens to its packets."""

    def begin(self) -> None:
        self.connect(len(self.addresses[1]))

    def talk(self) -> None:
        """Messages of all kinds, in both directions, once the association is up."""
        for sid, size in enumerate((1, 30, 700, 2, 400)):
            self.send(0, sid % 2, bytes([65 + sid]) * size, ppid=sid, unordered=sid == 3)
        for sid, size in enumerate((5, 900)):
            self.send(1, sid, bytes([97 + sid]) * size, ppid=50 + sid)
        self.association(0).heartbeat(None, self.now)
        self.endpoints[0].touch(self.association(0))

    def go_on(self) -> None:
        """What else is done, once all has been acknowledged."""

    def is_written(self) -> bool:
        if not self.sent[0]:
            self.talk()
            return False
        return True


#: PPIDs from there on are those of messages that may be given up.
EXPENDABLE = 1000


class RichTalk(Talk):
    """A pair that also sends long messages, some in parts, some unreliable, and resets streams."""

    def talk(self) -> None:
        super().talk()
        self.users[1].in_parts.add(2)
        self.association(1).deliver_parts(2, True)
        self._expend(0, 3, 300, LIMITED, 0)
        for sid, size in ((0, 1100), (2, 1900), (1, 900)):
            self.send(0, sid, bytes([75 + sid]) * size, ppid=10 + sid, unordered=sid == 1)
        self._expend(0, 4, 2600, TIMED, self.now + 0.03)
        self._expend(1, 2, 1500, LIMITED, 0, unordered=True)
        self._expend(1, 3, 700, LIMITED, 0)

    def go_on(self) -> None:
        self._reconfigure(0, [0, 1], [1])
        self._reconfigure(1, [], None)
        for side in (0, 1):
            reconfig = self.association(side).reconfig
            reconfig.add_streams(2, 1 - side)
            self.endpoints[side].touch(self.association(side))
            self.run_for(0.5)
        self.association(0).reconfig.reset_tsns()
        self.endpoints[0].touch(self.association(0))
        self._expend(0, 5, 700, LIMITED, 0)
        self.send(0, 0, b"after all that" * 60)
        self.run_for(2.0)

    def is_well(self) -> bool:
        """Nothing was lost but what may be, nothing came twice, and both sides ended gracefully."""
        for side in (0, 1):
            user = self.users[side]
            came = self.users[1 - side].messages
            needed = [message for message in self.sent[side] if message[1] < EXPENDABLE]
            if user.error is not None or sorted(each for each in came if each[1] < EXPENDABLE) != sorted(needed):
                return False
            if not set(came) <= set(self.sent[side]) or len(set(came)) != len(came):
                return False
        return True

    def _expend(self, side: int, sid: int, size: int, policy: int, bound: float, unordered: bool = False) -> None:
        ppid = EXPENDABLE + len(self.sent[side])
        data = bytes([ppid & 0xFF]) * size
        send_on_terms(self.association(side), sid, data, Terms(None, policy, bound), ppid, unordered)
        self.sent[side].append((sid, ppid, unordered, data))
        self.endpoints[side].touch(self.association(side))

    def _reconfigure(self, side: int, outgoing: list[int] | None, incoming: list[int] | None) -> None:
        self.association(side).reconfig.reset_streams(outgoing, incoming)
        self.endpoints[side].touch(self.association(side))
        self.run_for(0.5)


def record(life: Life, *, copies: bool = not compiled) -> list[Moment]:
    """Let a pair live its life, and give all its moments."""
    moments: list[Moment] = []
    talk = life.talk()

    def arrives(side: int, route: Route, datagram: bytes) -> None:
        user = talk.users[side]
        state = user.association.state if user.association is not None else CLOSED
        talk.watch(None)
        snapshot = pickle.dumps(talk) if copies else None
        talk.watch(arrives)
        moments.append(Moment(side, state.value, route, datagram, life, len(moments), snapshot))

    talk.watch(arrives)
    life.live(talk)
    assert talk.is_well()
    return moments


def reseal(packet: bytes) -> bytes:
    """The packet with the checksum that it should have."""
    if len(packet) < COMMON_HEADER_SIZE:
        return packet
    return Seal(*unpack_from("!HHI", packet)).pack(packet[COMMON_HEADER_SIZE:])


def changed(packet: bytes, at: int, value: int) -> bytes:
    return packet[:at] + bytes((value,)) + packet[at + 1 :]


class Field(NamedTuple):
    """A byte of a packet, and the most that a change of it may cause."""

    is_harmless: bool
    name: str


def fields(packet: bytes) -> list[Field]:
    """For each byte whether another value there, under a right checksum, may do no more than the loss of the packet."""
    result = [Field(True, "common header")] * COMMON_HEADER_SIZE
    at = COMMON_HEADER_SIZE
    while at + 4 <= len(packet):
        kind, _, length = unpack_from("!BBH", packet, at)
        end = at + (length + 3 & ~3)
        is_last = end >= len(packet)
        for offset in range(min(end, len(packet)) - at):
            result.append(_field(kind, offset, length, is_last))
        at = end
    return result


def _field(kind: int, offset: int, length: int, is_last: bool) -> Field:
    if offset >= length:
        return Field(True, "padding")
    if offset == 0:
        return Field(False, "chunk type")
    if offset == 1 and kind not in EXTENSIONS:
        return Field(kind != DATA, "chunk flags")
    if offset in (2, 3) and kind not in EXTENSIONS:
        return Field(is_last and kind not in (DATA, INIT, INIT_ACK), "chunk length")
    if kind in EXTENSIONS:
        return Field(False, "flags, length or value of an extension's chunk")
    if kind in (DATA, INIT, INIT_ACK):
        return Field(False, "value of DATA, INIT or INIT ACK")
    if kind in (SACK, SHUTDOWN) and offset < 8:
        return Field(False, "cumulative TSN")
    if kind == SACK and offset >= SACK_HEADER_SIZE - 4:
        return Field(False, "how many gaps and duplicates, and which")  # section 12.4
    return Field(True, "value")


# RandomPackets: packets put together at random, from chunks that mostly have the right form.


class RandomPackets:
    """An attacker who knows tags and ports, and sends random packets to one side of a pair."""

    def __init__(self, random: Random, pair: Pair, side: int) -> None:
        self.random = random
        self.pair = pair
        self.side = side

    def packet(self) -> bytes:
        random = self.random
        ports = (Z_PORT, A_PORT) if self.side == 0 else (A_PORT, Z_PORT)
        tag = random.getrandbits(32)
        association = self.pair.users[self.side].association
        if association is not None and random.random() < 0.9:
            tag = unpack_from("!I", association.prefix, 4)[0]
        if random.random() < 0.05:
            tag = 0
        body = b"".join(self.chunk(association) for _ in range(random.choice((1, 1, 1, 2, 3, 10))))
        if random.random() < 0.05:
            body = body[: random.randrange(len(body) + 1)]
        keyring = association.context.keyring if association is not None else None
        if keyring is not None and random.random() < 0.7:
            body = keyring.protect(body)  # the attacker is the peer
        packet = Seal(*ports, tag).pack(body)
        if random.random() < 0.02:
            packet = changed(packet, random.randrange(len(packet)), random.randrange(256))
        return packet

    def chunk(self, association: Association | None) -> bytes:
        random = self.random
        makers: list[Callable[[Association | None], bytes]] = [
            self._data,
            self._data,
            self._data,
            self._sack,
            self._sack,
            self._control,
            self._init,
            self._unknown,
            self._skip,
            self._i_data,
            self._reconfig,
            self._change,
        ]
        chunk = random.choice(makers)(association)
        if random.random() < 0.03:
            spoiled = bytearray(chunk)
            pack_into("!H", spoiled, 2, random.choice((0, 1, 3, 4, 5, len(chunk) + 1, 65535)))
            chunk = bytes(spoiled)
        return chunk

    def _tlv(self, kind: int, flags: int, value: bytes) -> bytes:
        return pack("!BBH", kind, flags, 4 + len(value)) + value + bytes(-len(value) & 3)

    def _near(self, number: int) -> int:
        random = self.random
        anywhere = random.randint(0, 1 << 31), random.getrandbits(32)
        away = random.choice((0, 1, 1, 2, 3, 5, random.randint(-5, 30), *anywhere))
        return number + away & 0xFFFFFFFF

    def _data(self, association: Association | None) -> bytes:
        random = self.random
        data = association._parts.data if association is not None else None
        expected = data.receiver.tracker.expected if data is not None else 0
        size = random.choice((1, 1, 2, 10, 100, random.randint(0, 500)))
        sid, ssn = random.choice((0, 0, 1, 7, 65535)), random.choice((0, 1, 2, random.randrange(65536)))
        value = pack("!IHHI", self._near(expected), sid, ssn, 0) + bytes(size)
        return self._tlv(DATA, random.choice((3, 3, 0, 1, 2, 7, 4, 5, 6, random.randrange(256))), value)

    def _sack(self, association: Association | None) -> bytes:
        random = self.random
        data = association._parts.data if association is not None else None
        acked = data.sender.outstanding.cumulative_tsn if data is not None else 0
        largest = random.choice((5, 100, 65535))
        blocks = [
            sorted((random.randrange(largest + 1), random.randrange(largest + 1)))
            if random.random() < 0.8
            else [random.randrange(65536), random.randrange(65536)]
            for _ in range(random.choice((0, 0, 1, 2, 10)))
        ]
        repeats = [random.getrandbits(32) for _ in range(random.choice((0, 0, 1, 5)))]
        a_rwnd = random.choice((0, 1, 1000, 1 << 20, 0xFFFFFFFF))
        value = pack("!IIHH", self._near(acked), a_rwnd, len(blocks), len(repeats))
        if random.random() < 0.05:
            value = value[:8] + pack("!HH", random.getrandbits(16), random.getrandbits(16))
        value += b"".join(pack("!HH", *block) for block in blocks) + pack(f"!{len(repeats)}I", *repeats)
        return self._tlv(SACK, 0, value)

    def _control(self, _: Association | None) -> bytes:
        random = self.random
        kind = random.choice(
            (HEARTBEAT, HEARTBEAT, HEARTBEAT_ACK, ERROR, ERROR, COOKIE_ECHO, COOKIE_ACK, ECNE, CWR, PAD)
            + ((SHUTDOWN, SHUTDOWN_ACK, SHUTDOWN_COMPLETE, ABORT) if random.random() < 0.1 else ())
        )
        if kind == ERROR:
            items = (
                pack("!HH", random.randrange(16), 4 + size) + random.randbytes(size + (-size & 3))
                for size in random.choices((0, 2, 4, 8, 30), k=random.choice((0, 1, 3)))
            )
            return self._tlv(kind, 0, b"".join(items))
        if kind in (HEARTBEAT, HEARTBEAT_ACK):
            size = random.choice((0, 4, 20, 200))
            return self._tlv(kind, 0, pack("!HH", random.choice((1, 1, 2)), 4 + size) + random.randbytes(size))
        return self._tlv(kind, random.choice((0, 0, 1)), random.randbytes(random.choice((0, 4, 4, 8, 100))))

    def _init(self, _: Association | None) -> bytes:
        random = self.random
        value = pack(
            "!IIHHI",
            random.getrandbits(32) if random.random() < 0.9 else 0,
            random.choice((0, 1500, 1 << 20)),
            random.choice((0, 1, 65535)),
            random.choice((0, 1, 65535)),
            random.getrandbits(32),
        )
        for _number in range(random.choice((0, 1, 5))):
            kind = random.choice((5, 6, 7, 8, 9, 11, 12, 0x8000, 0x8008, 0xC000, 0x4001, random.getrandbits(16)))
            size = random.choice((0, 4, 8, 16, 40))
            value += pack("!HH", kind, 4 + size) + random.randbytes(size)
        return self._tlv(random.choice((INIT, INIT_ACK)), 0, value)

    def _skip(self, association: Association | None) -> bytes:
        random = self.random
        data = association._parts.data if association is not None else None
        value = pack("!I", self._near(data.receiver.tracker.expected if data is not None else 0))
        for _number in range(random.choice((0, 1, 1, 5))):
            value += pack("!HH", random.choice((0, 1, 2, 7, 65535)), random.choice((0, 1, 5, random.getrandbits(16))))
        return self._tlv(random.choice((FORWARD_TSN, FORWARD_TSN, I_FORWARD_TSN)), 0, value)

    def _i_data(self, association: Association | None) -> bytes:
        random = self.random
        data = association._parts.data if association is not None else None
        value = pack(
            "!IHHII",
            self._near(data.receiver.tracker.expected if data is not None else 0),
            random.choice((0, 1, 2, 7, 65535)),
            0,
            random.choice((0, 1, 2, random.getrandbits(32))),
            random.choice((0, 1, 2, random.getrandbits(32))),
        )
        return self._tlv(I_DATA, random.choice((3, 0, 1, 2, 7, 4)), value + bytes(random.choice((0, 1, 10, 400))))

    def _reconfig(self, association: Association | None) -> bytes:
        random = self.random
        data = association._parts.data if association is not None else None
        number = 0
        if data is not None:
            number = data.setup.peer_initial_tsn if data.reconfig is None else data.reconfig._expected
        value = b""
        for _number in range(random.choice((1, 1, 1, 2, 3))):
            kind = random.choice((13, 14, 15, 16, 17, 18, 19))
            size = random.choice({13: (8, 10, 12), 14: (0, 2), 15: (0,), 16: (4, 12)}.get(kind, (4, 4, 4, 0, 100)))
            away = random.choice((0, 0, 0, 1, -1, -2, random.getrandbits(32)))
            parameter = pack("!HHI", kind, 8 + size, number + away & 0xFFFFFFFF) + random.randbytes(size)
            value += parameter + bytes(-len(parameter) & 3)
        return self._tlv(RE_CONFIG, 0, value)

    def _change(self, association: Association | None) -> bytes:
        """AUTH, ASCONF, or the answer to that, of what is there and of what is not."""
        random = self.random
        data = association._parts.data if association is not None else None
        asconf = data.asconf if data is not None else None
        setup = association.context.setup if association is not None else None
        kind = random.choice((AUTH, ASCONF, ASCONF, ASCONF_ACK))
        if kind == AUTH:
            return self._tlv(kind, 0, pack("!HH", random.choice((0, 1, 7)), random.choice((1, 3))) + bytes(32))
        number = setup.peer_initial_tsn if setup is not None else 0
        if asconf is not None:
            number = asconf._expected if kind == ASCONF else asconf.requester._next_number - 1
        value = pack("!I", number + random.choice((0, 0, 0, -1, -2)) & 0xFFFFFFFF)
        address = pack("!HH4B", 5, 8, 10, random.randrange(4), 0, random.choice((1, 2)))
        value += address if kind == ASCONF else b""
        for _number in range(random.choice((0, 1, 1, 2, 10))):
            parameter = random.choice((0xC001, 0xC002, 0xC004, 0xC003, 0xC005, random.getrandbits(16)))
            what = pack("!HH4B", 5, 8, 10, random.randrange(4), 0, random.choice((1, 2, 9)))
            value += pack("!HHI", parameter, 8 + len(what), random.choice((1, 2, 3, 4))) + what
        return self._tlv(kind, 0, value)

    def _unknown(self, _: Association | None) -> bytes:
        random = self.random
        kind = random.choice((15, 64, 66, 128, 130, 192, 193, 194, random.getrandbits(8)))
        if kind == ABORT:
            kind = 255
        return self._tlv(kind, random.getrandbits(8), random.randbytes(random.choice((0, 4, 12, 100))))


def stir(pair: Talk, moment: Moment, random: Random) -> None:
    """Go on from a moment with some packets of soup instead of the one that came, to the end."""
    soup = RandomPackets(random, pair, moment.side)
    for _ in range(random.choice((1, 5, 40))):
        packet = soup.packet()
        endpoint = pair.endpoints[moment.side]
        before = pair.network.counts.total()
        try:
            endpoint.receive(packet, moment.route, pair.now, random.random() < 0.1)
            pair.simulation.flush()
        except BaseException as error:
            error.add_note(f"{packet.hex()} was received")
            raise
        # An answer or two, an acknowledgement for what was in it, and what a SACK sets free.
        assert pair.network.counts.total() - before < 200
        if random.random() < 0.3:
            pair.run_for(random.choice((0.001, 0.05, 1.0)))
    pair.finish()


def every_change(packet: bytes) -> Iterator[tuple[int, int]]:
    """Each byte with each other value."""
    for at, old in enumerate(packet):
        for value in range(256):
            if value != old:
                yield at, value
