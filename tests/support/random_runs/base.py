"""Random runs of one association: network, settings, messages and accidents, all drawn from one seed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

from asyncsctp.config import Config
from asyncsctp.handlers.state import ESTABLISHED
from asyncsctp.testing import LinkSettings

from ..pair import A_ADDRESSES, Z_ADDRESSES, Pair

#: Virtual seconds after which the most patient of associations must have noticed that its peer is gone.
LIMIT = 20_000.0


class RandomRun:
    """A random run of a `Pair`. `describe` says what was drawn, for whoever has to find a bug."""

    #: The addresses that each side may begin with.
    places: tuple[tuple[str, ...], tuple[str, ...]] = (A_ADDRESSES, Z_ADDRESSES)

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        self.paths = self._addresses()
        self.is_rough = random.random() < 0.6
        self.link = self._link()
        self.configs = (self._config(), self._config())
        self.pair = Pair(
            seed,
            link=self.link,
            config=self.configs[0],
            z_config=self.configs[1],
            paths=self.paths,
            z_paths=random.choice((1, self.paths)),
            places=self.places,
        )

    def describe(self) -> str:
        return f"{self.link}\nA: {self.configs[0]}\nZ: {self.configs[1]}\naddresses: {self.pair.addresses}"

    def run(self) -> None:
        pair, random = self.pair, self.random
        if self.is_rough:
            self._plan_cuts()
        pair.connect(random.choice((1, len(pair.addresses[1]))))
        pair.run_until(self._is_decided, LIMIT)
        if pair.is_up():
            self._plan_messages()
            self._plan_readers()
            for _ in range(random.choice((0, 0, 1, 4))):
                what = random.choice(("primary", "heartbeat", "mtu", "configure"))
                side, number = random.randrange(2), random.randrange(800)
                self._later(random.random() * 3, partial(self._meddle, side, what, number))
            pair.run_for(random.choice((0.0, 0.05, 0.5, 5.0)))
            if random.random() < 0.5:  # else with data queued
                pair.run_until(self._is_quiet, LIMIT)
            self._shutdown(random.randrange(2))
            if random.random() < 0.3:
                self._later(random.random() * 2, partial(self._shutdown, random.randrange(2)))
            pair.run_until(self._is_half_over, LIMIT)
        for side in (0, 1):  # without heartbeats the other may have nothing to notice it by
            self._shutdown(side)
        pair.run_until(pair.is_over, LIMIT)
        self.verify()

    def verify(self) -> None:
        self.pair.verify()

    # What is drawn.

    def _addresses(self) -> int:
        return self.random.choice((1, 1, 2))

    def _link(self) -> LinkSettings:
        random = self.random
        values: dict[str, float] = {"delay": random.choice((0.0001, 0.01, 0.05, 0.3))}
        if self.is_rough:
            values["loss"] = random.choice((0.0, 0.001, 0.01, 0.03, 0.1, 0.2, 0.3))
            for name in ("reorder", "duplicate", "corrupt", "mark"):
                values[name] = random.choice((0.0, 0.0, 0.01, 0.1, 0.3))
            values["burst_start"] = random.choice((0.0, 0.0, 0.0, 0.02))
            values["jitter"] = random.choice((0.0, 0.001, 0.05))
            values["reorder_delay"] = random.choice((0.001, 0.03, 0.5))
        if random.random() < 0.3:
            values["rate"] = random.choice((3e5, 2e6, 1e7))
            values["queue"] = random.choice((3000, 10_000, 60_000))
            if random.random() < 0.3:
                values["ecn_threshold"] = values["queue"] / 2
        return LinkSettings().replace(**values)

    def _config(self) -> Config:
        random = self.random
        return Config(
            rto_initial=random.choice((0.2, 1.0, 3.0)),
            rto_min=random.choice((0.1, 1.0)),
            rto_max=random.choice((5.0, 60.0)),
            max_retrans=random.choice((10, 10, 30)),
            path_max_retrans=random.choice((0, 1, 5)),
            heartbeat_interval=random.choice((None, 1.0, 30.0)),
            sack_delay=random.choice((0.0, 0.2, 0.5)),
            sack_frequency=random.choice((1, 2, 2, 5)),
            shutdown_guard=random.choice((None, None, 30.0)),
            max_burst=random.choice((None, None, 1, 4)),
            nodelay=random.random() < 0.6,
            outgoing_streams=random.choice((1, 3, 1024, 65535)),
            max_incoming_streams=random.choice((1, 10, 65535)),
            recv_buffer=random.choice((4096, 9000, 30_000, 2 * 1024 * 1024)),
            mtu=random.choice((None, None, 600, 1500, 9000)),
            ecn=random.random() < 0.7,
            init_max_retrans=20,
        )

    def _plan_messages(self) -> None:
        random, pair = self.random, self.pair
        for side in random.choice(((0,), (1,), (0, 1), (0, 1))):
            left = random.choice((2_000, 20_000, 60_000, 60_000, 200_000))
            largest = random.choice((1, 60, 1_500, 20_000, 200_000))
            streams = min(pair.association(side).outgoing_streams, random.choice((1, 2, 7, 300)))
            unordered = random.choice((0.0, 0.0, 0.2, 1.0))
            named = random.choice((0.0, 0.0, 0.3))
            pace = random.choice((0.0, 0.0, 0.001, 0.1))
            when = 0.0
            for number in range(150):
                sizes = (largest, random.randint(1, largest), random.randint(1, min(largest, 100)))
                size = min(left, random.choice(sizes))
                if not size:
                    break
                left -= size
                when += random.random() * pace
                data = number.to_bytes(2) * (size // 2) + b"!" * (size % 2)
                sid, path = random.randrange(streams), random.randrange(2) if random.random() < named else None
                send = partial(self._send, side, sid, data, number, random.random() < unordered, path)
                if when:
                    self._later(when, send)
                else:
                    send()

    def _plan_readers(self) -> None:
        random, pair = self.random, self.pair
        for side in (0, 1):
            kind = random.choice(("eager", "eager", "slow", "stopped"))
            if kind == "stopped":
                self._later(random.random(), partial(pair.stop_reading, side))
                self._later(1 + random.choice((0.1, 3.0, 100.0)), partial(pair.resume_reading, side))
            elif kind == "slow":
                pair.stop_reading(side)
                period = random.choice((0.02, 0.2, 2.0))
                self._read_slowly(side, period)

    def _plan_cuts(self) -> None:
        random = self.random
        addresses = [(a, z) for a in self.pair.addresses[0] for z in self.pair.addresses[1]]
        when = 0.0
        for _ in range(random.choice((0, 0, 1, 3, 6))):
            when += random.random() * random.choice((0.1, 2.0, 20.0))
            pair = random.choice(addresses)
            one_way = random.random() < 0.3
            self._later(when, partial(self._cut, pair, one_way))
            if random.random() < 0.9:
                length = random.choice((0.01, 0.5, 5.0, 60.0))
                self._later(when + random.random() * length, partial(self._heal, pair))

    # What happens.

    def _later(self, delay: float, action: Callable[[], None]) -> None:
        self.pair.network.clock.after(delay, action)

    def _send(self, side: int, sid: int, data: bytes, ppid: int, unordered: bool, path: int | None) -> None:
        association = self.pair.association(side)
        if association.state is ESTABLISHED:
            paths = association.path_manager.paths
            address = None if path is None else paths[path % len(paths)].route.address
            self.pair.send(side, sid, data, ppid=ppid, unordered=unordered, path=address)

    def _meddle(self, side: int, what: str, number: int) -> None:
        """What a user may do at any time, or the network report."""
        pair = self.pair
        association = pair.association(side)
        if association.state is not ESTABLISHED:
            return
        paths = association.path_manager.paths
        route = paths[number % len(paths)].route
        if what == "primary":
            association.set_primary(route.address)
        elif what == "heartbeat":
            association.heartbeat(route.address, pair.now)
        elif what == "mtu":
            association.on_message_size(route, 576 + number, pair.now)
        elif what == "configure":
            association.configure(association.context.config.replace(recv_buffer=5000 + 100 * number, rto_max=20.0))
        pair.endpoints[side].touch(association)

    def _shutdown(self, side: int) -> None:
        if self.pair.users[side].association is not None:
            self.pair.shutdown(side)

    def _read_slowly(self, side: int, period: float) -> None:
        self.pair.read(side, 1 + len(self.pair.users[side].unread) // 3)
        if not self.pair.users[side].is_closed:
            self._later(period, partial(self._read_slowly, side, period))

    def _cut(self, addresses: tuple[str, str], one_way: bool) -> None:
        self.pair.network.cut(*addresses, one_way=one_way)

    def _heal(self, addresses: tuple[str, str]) -> None:
        self.pair.network.heal(*addresses)

    def _is_decided(self) -> bool:
        return self.pair.is_up() or self._is_half_over()

    def _is_half_over(self) -> bool:
        return any(user.is_closed for user in self.pair.users)

    def _is_quiet(self) -> bool:
        pair = self.pair
        return any(user.is_closed for user in pair.users) or (
            pair.is_delivered() and not any(pair.association(side).buffered for side in (0, 1))
        )
