"""A fixed transfer between two endpoints in memory, cut into phases: what `benchmarks.instructions` counts.

No socket, no clock, no randomness that is not seeded: each run executes the same. Between two phases it calls
`getppid`, which nothing else here does; who counts sees the calls. Where no one counts it does nothing but work, once.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from struct import Struct

import asyncsctp
from asyncsctp.association.association import Association
from asyncsctp.association.outbox import Outbox
from asyncsctp.association.user import AssociationUser
from asyncsctp.config import Config
from asyncsctp.endpoint.endpoint import Endpoint
from asyncsctp.paths.route import Route
from asyncsctp.testing import SeededRandom

__all__ = ["CALIBRATION", "LARGE", "OFFERS", "SETUP", "SMALL", "Phases", "Transfer", "main"]

#: The phases. Of the first two: sent, received, acknowledged; for each packet of messages of 16 KiB, for each message.
LARGE, SMALL = "packet", "64 B message"
SETUP, CALIBRATION = "setup and teardown", "calibration"

_A, _Z = "10.0.0.1", "10.0.0.2"
_TO_Z, _TO_A = Route(_Z, _A, 9899), Route(_A, _Z, 9899)  # as the receiver sees them
_PORT = 5001
_BATCH = 44  # packets of 1,500 bytes that one read with GRO brings
_STEP = 0.001  # seconds, between two turns
_WARM_UP = 20  # turns, and slow start is over for sender and receiver
_DELAY = 0.25  # seconds, in which a SACK that is delayed becomes due
_CONFIG = Config(mtu=1500, heartbeat_interval=None, recv_buffer=128 * 1024, max_burst=1000)  # a turn is one flight
#: What both sides offer of extensions, by name: that of the one who connects, and that of the other.
OFFERS = {
    "default": (_CONFIG, _CONFIG),
    "none": (_CONFIG.replace(partial_reliability=False, stream_reconfig=False),) * 2,
    "all": (_CONFIG.replace(interleaving=True), _CONFIG),  # I-DATA takes both sides: it is offered, and not in use
}


class Phases:
    """The names of the phases in their order, and how much of what each has done: packets, messages, associations."""

    def __init__(self, counted: bool = True) -> None:
        self.done: list[tuple[str, int]] = []
        self._counted = counted

    def begin(self) -> None:
        """What came since the last phase counts for nothing."""
        self.end("", 0)

    def end(self, name: str, units: int) -> None:
        """This is what has been done since `begin`, or since the last `end`."""
        if self._counted:
            self.done.append((name, units))
            os.getppid()


class Reader(AssociationUser):
    """A program that reads whatever comes, at once."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.ended = False

    def on_message(self, sid: int, ssn: int, ppid: int, unordered: bool, tsn: int, data: bytes) -> None:
        self.sizes.append(len(data))

    def on_closed(self, error: asyncsctp.SCTPError | None) -> None:
        self.ended = error is None


class Transfer:
    """Two endpoints, and the phases of what they do."""

    def __init__(self, phases: Phases, offer: str = "default") -> None:
        self._phases = phases
        self._config, z_config = OFFERS[offer]
        self._now = 0.0
        self._port = 10_000
        self._accepted: list[tuple[Association, Reader]] = []
        self._z = Endpoint(
            z_config,
            port=_PORT,
            local_addresses=[_Z],
            random=SeededRandom(1),
            outbox=Outbox(),
            listening=True,
            accept=self._accept,
        )

    def _accept(self, association: Association) -> AssociationUser:
        reader = Reader()
        self._accepted.append((association, reader))
        return reader

    def _client(self) -> tuple[Endpoint, Association, Reader]:
        self._port += 1
        random = SeededRandom(self._port)
        a = Endpoint(self._config, port=self._port, local_addresses=[_A], random=random, outbox=Outbox())
        reader = Reader()
        return a, a.connect([_Z], _PORT, self._now, reader, udp_port=9899), reader

    def _flushed(self, endpoint: Endpoint) -> list[bytes]:
        endpoint.flush(self._now)
        packets = [packet for _, packet in endpoint.outbox]
        endpoint.outbox.clear()
        return packets

    def _receive(self, endpoint: Endpoint, packets: list[bytes], route: Route) -> list[bytes]:
        """In batches as they would be read; the answers."""
        answers: list[bytes] = []
        for at in range(0, len(packets), _BATCH):
            endpoint.receive_batch(packets[at : at + _BATCH], route, self._now)
            answers += self._flushed(endpoint)
        return answers

    def _exchange(self, a: Endpoint) -> None:
        """Until neither has anything to say."""
        packets = self._flushed(a)
        while packets:
            packets = self._receive(a, self._receive(self._z, packets, _TO_Z), _TO_A)

    def _settle(self, a: Endpoint, packets: list[bytes]) -> None:
        """Go on until all is acknowledged, and what is delayed too."""
        while packets:
            while packets:
                packets = self._receive(a, self._receive(self._z, packets, _TO_Z), _TO_A)
            self._now += _DELAY
            self._z.expire(self._now)
            packets = self._receive(a, self._flushed(self._z), _TO_A)

    def setups(self, name: str, count: int) -> None:
        """Associations set up and shut down: both ends together."""
        self._phases.begin()
        for _ in range(count):
            a, association, reader = self._client()
            self._exchange(a)
            association.shutdown(self._now)
            a.touch(association)
            self._exchange(a)
            _, other = self._accepted.pop()
            if not (reader.ended and other.ended):
                raise RuntimeError("an association did not end gracefully")
            self._now += _STEP
        self._phases.end(name, count)

    def bulk(self, name: str, size: int, batch: int, turns: int) -> None:
        """Messages of one size, `batch` written in each turn, all sent, read and acknowledged in it.

        Nothing counts until the congestion window has grown so wide that a turn's messages leave in one flight, and
        SACKs are as few as they are then.
        """
        a, association, _ = self._client()
        self._exchange(a)
        ends = a, association, *self._accepted.pop()
        for _ in range(_WARM_UP):
            self._turn(Phases(counted=False), name, ends, bytes(size), batch)
        for _ in range(turns):
            if not self._turn(self._phases, name, ends, bytes(size), batch):
                raise RuntimeError(f"{batch} messages of {size} bytes did not get through in one flight")

    def _turn(
        self,
        phases: Phases,
        name: str,
        ends: tuple[Endpoint, Association, Association, Reader],
        message: bytes,
        batch: int,
    ) -> bool:
        a, association, other, reader = ends
        self._now += _STEP
        phases.begin()
        for _ in range(batch):
            association.send(0, message)
        a.touch(association)
        packets = self._flushed(a)
        units = batch if name == SMALL else len(packets)
        phases.end(f"{name} sent", units)
        answers = self._receive(self._z, packets, _TO_Z)
        for size in reader.sizes:
            other.consumed(size)
        phases.end(f"{name} received", units)
        more = self._receive(a, answers, _TO_A)
        phases.end(f"{name} acknowledged", units)
        arrived = len(reader.sizes)
        self._settle(a, more)
        for size in reader.sizes[arrived:]:
            other.consumed(size)
        reader.sizes.clear()
        return arrived == batch


_WORD = Struct("!HHI")


class _Thing:
    __slots__ = ("count", "seen")

    def __init__(self) -> None:
        self.count = 0
        self.seen: dict[int, bytes] = {}

    def take(self, number: int, data: bytes) -> int:
        """A bit of everything that the library does."""
        first, second, third = _WORD.unpack_from(data, number % 8)
        self.count += first + second
        self.seen[number % 64] = data[number % 16 : 32 + number % 16]
        if third & 1:
            self.count -= 1
        return len(self.seen)


def plain(rounds: int) -> int:
    """Plain Python, which is what all is compared with: another interpreter makes it as much slower as the rest."""
    thing = _Thing()
    data = bytes(range(64))
    kept: list[bytes] = []
    total = 0
    for number in range(rounds):
        total += thing.take(number, data)
        kept.append(_WORD.pack(number & 0xFFFF, 1, total & 0xFFFFFFFF))
        if len(kept) == 50:
            data = b"".join(kept)[:64]
            kept.clear()
    return total


def main(offer: str = "default") -> None:
    """Do it all, with these extensions offered; print the phases as JSON."""
    phases = Phases()
    gc.disable()  # when it runs depends on what ran before
    gc.freeze()
    plain(1000)
    phases.begin()
    plain(5000)
    phases.end(CALIBRATION, 5000)
    transfer = Transfer(phases, offer)
    transfer.setups("", 10)
    transfer.setups(SETUP, 30)
    transfer.bulk(LARGE, 16384, 4, turns=5)
    transfer.bulk(SMALL, 64, 500, turns=4)
    print(json.dumps({"compiled": bool(getattr(asyncsctp, "compiled", False)), "phases": phases.done}))


if __name__ == "__main__":
    main(*sys.argv[1:])
