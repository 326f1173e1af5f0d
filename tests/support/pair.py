"""Two core endpoints, A and Z, on a simulated network: seeded, in virtual time, and checked after every event.

Nothing here is a closure, so that a whole pair can be pickled in the middle of a run, and the run be continued from
there as often as one likes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from asyncsctp.association.association import Association
from asyncsctp.association.invariants import check as check_association
from asyncsctp.association.outbox import Outbox
from asyncsctp.association.user import AssociationUser
from asyncsctp.config import Config
from asyncsctp.endpoint.endpoint import Endpoint
from asyncsctp.errors import SCTPError
from asyncsctp.events import Event, SendFailed
from asyncsctp.handlers.state import CLOSED, ESTABLISHED
from asyncsctp.inbound.reassembly import SMALLEST_CHARGE
from asyncsctp.testing import LinkSettings, Network
from asyncsctp.testing.pair import Simulation

UDP_PORT = 9899
A_PORT = 4000
Z_PORT = 5001
A_ADDRESSES = ("10.0.0.1", "10.1.0.1")
Z_ADDRESSES = ("10.0.0.2", "10.1.0.2")


class Chance:
    """The source of the core's tags, nonces and secrets."""

    def __init__(self, seed: int | str) -> None:
        self.random = random.Random(seed)

    def bits(self, count: int) -> int:
        return self.random.getrandbits(count)

    def token(self, size: int) -> bytes:
        return self.random.randbytes(size)


class Recorder(AssociationUser):
    """A user that records what it is told. It reads each message at once, unless `reading` is false."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.association: Association | None = None
        self.messages: list[tuple[int, int, bool, bytes]] = []  # sid, ppid, unordered, data
        self.events: list[Event] = []
        self.heartbeats: list[tuple[str, float | None]] = []
        self.error: SCTPError | None = None
        self.in_parts: set[int] = set()
        self.parts: dict[tuple[int, int], list[bytes]] = {}
        self.settled: list[tuple[Any, str, str, int]] = []
        self.writable = 0  # how often it was told that there is room
        self.completed = False
        self.is_closed = False
        self.reading = True
        self.unread: list[int] = []

    def on_message(self, sid: int, ssn: int, ppid: int, unordered: bool, tsn: int, data: bytes) -> None:
        assert not self.is_closed
        self.messages.append((sid, ppid, unordered, data))
        if not self.reading:
            self.unread.append(len(data))
        elif self.association is not None:
            self.association.consumed(max(len(data), SMALLEST_CHARGE))

    def on_part(self, sid: int, number: int, ppid: int, unordered: bool, tsn: int, data: bytes, last: bool) -> None:
        assert not self.is_closed
        assert sid in self.in_parts
        begun = self.parts.setdefault((sid, tsn), [])
        begun.append(data)
        if last:
            del self.parts[sid, tsn]
            self.messages.append((sid, ppid, unordered, b"".join(begun)))
        if not self.reading:
            self.unread.append(len(data))
        elif self.association is not None:
            self.association.consumed(max(len(data), SMALLEST_CHARGE))

    def on_parts_aborted(self, sid: int) -> None:
        [begun] = [key for key in self.parts if key[0] == sid]
        del self.parts[begun]

    def on_event(self, event: Event) -> None:
        assert not self.is_closed
        self.events.append(event)

    def on_writable(self) -> None:
        assert not self.is_closed
        self.writable += 1

    def on_heartbeat(self, address: str, round_trip: float | None) -> None:
        self.heartbeats.append((address, round_trip))

    def on_outcome(self, watcher: object, reason: str, address: str, transmissions: int) -> None:
        self.settled.append((watcher, reason, address, transmissions))

    def on_complete(self) -> None:
        assert not self.is_closed
        assert not self.completed
        self.completed = True

    def on_closed(self, error: SCTPError | None) -> None:
        assert not self.is_closed
        self.is_closed = True
        self.error = error

    def read(self, count: int | None = None) -> bool:
        """Read so many of the messages that wait, or all. Whether the peer should hear of it."""
        taken, self.unread = self.unread[:count], self.unread[len(self.unread) if count is None else count :]
        tell = False
        for size in taken:
            if self.association is not None:
                tell |= self.association.consumed(max(size, SMALLEST_CHARGE))
        return tell

    @property
    def failed(self) -> list[SendFailed]:
        return [event for event in self.events if isinstance(event, SendFailed)]


class Pair:
    """A connects, Z listens. `a` and `z` are the endpoints, `users` by the same letters, in that order."""

    def __init__(
        self,
        seed: int = 0,
        *,
        link: LinkSettings | None = None,
        config: Config | None = None,
        z_config: Config | None = None,
        paths: int = 1,
        z_paths: int | None = None,
        places: Sequence[Sequence[str]] = (A_ADDRESSES, Z_ADDRESSES),
        checked: bool = True,
    ) -> None:
        config = config or Config()
        self.network = Network(seed=seed, link=link)
        self.simulation = Simulation(self.network, check=self.check if checked else None)
        self.addresses = (tuple(places[0][:paths]), tuple(places[1][: z_paths or paths]))
        self.users = (Recorder("a"), Recorder("z"))
        #: What was written, as `Recorder.messages` has it.
        self.sent: tuple[list[tuple[int, int, bool, bytes]], list[tuple[int, int, bool, bytes]]] = ([], [])
        self.endpoints = (
            self._endpoint(config, A_PORT, self.addresses[0], f"{seed} a", False),
            self._endpoint(z_config or config, Z_PORT, self.addresses[1], f"{seed} z", True),
        )
        self.accepted = 0
        self.others: list[Recorder] = []
        self._checked: list[object] = [None, None]
        self.attach()

    def attach(self) -> None:
        """Put the endpoints on the network."""
        for endpoint, addresses in zip(self.endpoints, self.addresses, strict=True):
            self.simulation.add(endpoint, addresses, udp_port=UDP_PORT)

    def _endpoint(self, config: Config, port: int, addresses: Sequence[str], seed: str, listening: bool) -> Endpoint:
        return Endpoint(
            config,
            port=port,
            local_addresses=addresses,
            random=Chance(seed),
            outbox=Outbox(),
            listening=listening,
            accept=self.accept,
        )

    def accept(self, association: Association) -> Recorder:
        self.accepted += 1
        user = self.users[1]
        if user.is_closed:  # A has come again after Z had given it up
            user = Recorder("z again")
            self.others.append(user)
        user.association = association
        return user

    @property
    def now(self) -> float:
        return self.network.now

    def association(self, side: int) -> Association:
        association = self.users[side].association
        assert association is not None
        return association

    # What users do.

    def connect(self, addresses: int = 1) -> Association:
        """A begins to set up an association, by so many of the addresses of Z."""
        user = self.users[0]
        user.association = self.endpoints[0].connect(
            self.addresses[1][:addresses], Z_PORT, self.now, user, udp_port=UDP_PORT
        )
        return user.association

    def reborn(self) -> None:
        """A loses its state, and sets up the association anew; `sent` begins anew for it."""
        self.simulation.remove(self.endpoints[0])
        config = self.association(0).context.config
        self.users = (Recorder("a again"), self.users[1])
        endpoint = self._endpoint(config, A_PORT, self.addresses[0], f"{self.now} a again", False)
        self.endpoints = (endpoint, self.endpoints[1])
        self.sent[0].clear()
        self._checked[0] = None
        self.simulation.add(endpoint, self.addresses[0], udp_port=UDP_PORT)
        self.connect(len(self.addresses[1]))

    def establish(self, limit: float = 60.0) -> None:
        """Connect, and wait until both sides are up."""
        self.connect()
        self.run_until(self.is_up, limit)

    def is_up(self) -> bool:
        return all(user.association is not None and user.association.state is ESTABLISHED for user in self.users)

    def is_over(self) -> bool:
        """A's association has ended, and Z's, if there was one."""
        ended = [user.is_closed for user in self.users if user.association is not None]
        return all(ended) and self.users[0].is_closed

    def send(
        self,
        side: int,
        sid: int,
        data: bytes,
        *,
        ppid: int = 0,
        unordered: bool = False,
        path: str | None = None,
        auth_key: int | None = None,
    ) -> None:
        association = self.association(side)
        association.send(sid, data, ppid, unordered, options={"path": path, "auth_key": auth_key})
        self.sent[side].append((sid, ppid, unordered, data))
        self.endpoints[side].touch(association)

    def read(self, side: int, count: int | None = None) -> None:
        if self.users[side].read(count):
            self.endpoints[side].touch(self.association(side))

    def stop_reading(self, side: int) -> None:
        self.users[side].reading = False

    def resume_reading(self, side: int) -> None:
        self.users[side].reading = True
        self.read(side)

    def shutdown(self, side: int) -> None:
        association = self.association(side)
        if association.state is not CLOSED:
            association.shutdown(self.now)
            self.endpoints[side].touch(association)

    def abort(self, side: int, reason: bytes = b"") -> None:
        association = self.association(side)
        association.abort(self.now, reason)
        self.endpoints[side].touch(association)

    def run_until(self, predicate: Callable[[], object], limit: float = 60.0) -> None:
        self.simulation.run_until(predicate, limit)

    def run_for(self, seconds: float) -> None:
        self.simulation.run_for(seconds)

    # What must be true of it.

    def check(self, endpoint: object) -> None:
        """The invariants of all associations of an endpoint, and of the one that has ended."""
        assert isinstance(endpoint, Endpoint)
        side = self.endpoints.index(endpoint)
        associations = endpoint.associations
        mine = self.users[side].association
        if mine is not None and mine not in associations:
            associations.append(mine)
        for association in associations:
            statistics = association.statistics
            # What changes when anything does: most events are the other endpoint's.
            seen = (
                association.state,
                association.next_expiry,
                association.buffered,
                statistics.packets_received,
                statistics.packets_sent,
                statistics.messages_sent,
                len(self.users[side].unread),
            )
            if self._checked[side] != seen:
                check_association(association)
                self._checked[side] = seen

    def is_delivered(self) -> bool:
        return all(len(self.users[1 - side].messages) >= len(self.sent[side]) for side in (0, 1))

    def verify(self) -> None:
        """All that was written on either side has arrived on the other, or its writer knows that it failed."""
        for side in (0, 1):
            verify(self.sent[side], self.users[side], self.users[1 - side])


def verify(sent: list[tuple[int, int, bool, bytes]], writer: Recorder, reader: Recorder) -> None:
    """Each message arrived once, whole, in the order of its stream; or the writer's association ended with an error."""
    lost = 0
    received: dict[tuple[int, bool], list[tuple[int, bytes]]] = {}
    for sid, ppid, unordered, data in reader.messages:
        received.setdefault((sid, unordered), []).append((ppid, data))
    written: dict[tuple[int, bool], list[tuple[int, bytes]]] = {}
    for sid, ppid, unordered, data in sent:
        written.setdefault((sid, unordered), []).append((ppid, data))
    assert received.keys() <= written.keys(), f"messages came on {received.keys() - written.keys()}: nobody wrote them"
    for (sid, unordered), messages in written.items():
        came = received.get((sid, unordered), [])
        what = f"stream {sid} from {writer.name}, {'un' if unordered else ''}ordered"
        if unordered:
            rest = list(messages)
            for message in came:
                assert message in rest, f"{what}: {_show(message)} came that was not written, or came twice"
                rest.remove(message)
        else:
            assert came == messages[: len(came)], f"{what}: {_difference(messages, came)}"
            rest = messages[len(came) :]
        lost += len(rest)
        told = [(event.ppid, event.data) for event in writer.failed if event.stream == sid]
        if writer.is_closed:
            for message in rest:
                assert message in told, f"{what}: {_show(message)} neither arrived nor was it told to have failed"
    if lost:
        assert writer.is_closed, f"{lost} messages from {writer.name} did not arrive, and its association goes on"
        assert writer.error is not None, f"{lost} messages from {writer.name} did not arrive, but it closed gracefully"
    assert not writer.failed or writer.error is not None, "messages failed although the association closed gracefully"


def _show(message: tuple[int, bytes]) -> str:
    ppid, data = message
    return f"a message of {len(data)} bytes with PPID {ppid}"


def _difference(written: list[tuple[int, bytes]], came: list[tuple[int, bytes]]) -> str:
    for number, (one, other) in enumerate(zip(written, came, strict=False)):
        if one != other:
            return f"message {number} was {_show(one)}, and {_show(other)} came"
    return f"{len(came)} messages came, {len(written)} were written"
