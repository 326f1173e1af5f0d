"""The random plan of a run of two associations, drawn from one seed before anything happens.

Limits, sizes and timers are drawn together, small and large, and so are the actions of users. As all of it is written
down beforehand, a part can be left out while the rest stays as it was: see `Plan.without`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, Final, NamedTuple

from asyncsctp import schedulers
from asyncsctp.config import Config
from asyncsctp.outbound.message import LIMITED, PRIORITY, RELIABLE, TIMED
from asyncsctp.testing import LinkSettings
from asyncsctp.wire.constants import COOKIE_ECHO, DATA, HEARTBEAT, I_DATA, RE_CONFIG, SACK, SHUTDOWN

__all__ = ["Action", "Plan", "draw"]

SCHEDULERS: Final = (
    schedulers.FirstComeFirstServed,
    schedulers.RoundRobin,
    schedulers.RoundRobinPerPacket,
    schedulers.Priority,
    schedulers.FairBandwidth,
    schedulers.WeightedFairQueueing,
)
KEYS: Final = {1: b"one", 2: b"two", 3: b"three"}
_ACCIDENTS: Final = ("loss", "burst_start", "reorder", "duplicate", "corrupt", "mark", "jitter")
#: Settings that make sense together alone, and the feature that they are.
_GROUPS: Final = {
    "rto_initial": "rto",
    "rto_min": "rto",
    "rto_max": "rto",
    "path_max_retrans": "failover",
    "pf_threshold": "failover",
    "primary_switchover": "failover",
    "auth_chunks": "auth",
    "auth_hmacs": "auth",
    "auth_keys": "auth",
    "auth_active_key": "auth",
    "dynamic_addresses": "auth",
}
_NEW_ADDRESSES: Final = (("10.2.0.1", "10.3.0.1"), ("10.2.0.2", "10.3.0.2"))
_FIRST_ADDRESSES: Final = (("10.0.0.1", "10.1.0.1"), ("10.0.0.2", "10.1.0.2"))


class Action(NamedTuple):
    """An action of a user: `side` 0 or 1, `at` so many seconds after both sides are up."""

    at: float
    side: int
    what: str
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Plan:
    """`link` is what the line is like until `calm`, in seconds; then it is good, readers read, and nothing new is done.

    `closer` shuts down then; the other side too, a little later, if `both`.
    """

    seed: int
    link: LinkSettings
    paths: tuple[int, int]
    configs: tuple[Config, Config]
    in_parts: tuple[tuple[int, ...], tuple[int, ...]]
    actions: tuple[Action, ...]
    calm: float
    closer: int
    both: bool

    def __str__(self) -> str:
        lines = [f"{self.paths[0]} and {self.paths[1]} addresses, calm after {self.calm:.3f} s, {self.closer} closes"]
        lines.append(f"line: {_differences(self.link, LinkSettings())}")
        for side, config in enumerate(self.configs):
            lines.append(f"side {side}: {_differences(config, Config())}, in parts: {self.in_parts[side]}")
        for number, (at, side, what, arguments) in enumerate(self.actions):
            lines.append(f"{number:3} {at:8.4f} s, side {side}: {what}{arguments!r}")
        return "\n".join(lines)

    @property
    def is_rough(self) -> bool:
        """Whether packets may be lost, or come so late that they are taken for lost, before the line is good."""
        link = self.link
        return (
            any(getattr(link, name) for name in ("loss", "burst_start", "corrupt", "reorder"))
            or link.rate is not None
            or any(action.what in ("cut", "remove_address", "change_address") for action in self.actions)
        )

    @property
    def features(self) -> list[str]:
        """What it could do without, the larger things first."""
        names = sorted({action.what for action in self.actions})
        names += [name for name in (*_ACCIDENTS, "rate") if getattr(self.link, name) != getattr(LinkSettings(), name)]
        names += ["paths"] if self.paths != (1, 1) else []
        names += [f"parts to {side}" for side in (0, 1) if self.in_parts[side]]
        for side, config in enumerate(self.configs):
            default = Config()
            changed = [
                field.name
                for field in dataclasses.fields(Config)
                if getattr(config, field.name) != getattr(default, field.name)
            ]
            names += dict.fromkeys(f"{side}.{_GROUPS.get(name, name)}" for name in changed)
        return names + [f"action {number}" for number in reversed(range(len(self.actions)))]

    def without(self, features: Collection[str]) -> Plan:
        """The same, less some of its features; `action 7-9` are three of them."""
        features = frozenset(_each(features))
        actions = tuple(
            action
            for number, action in enumerate(self.actions)
            if action.what not in features and f"action {number}" not in features
        )
        plain = LinkSettings()
        link = self.link.replace(**{name: getattr(plain, name) for name in (*_ACCIDENTS, "rate") if name in features})
        configs = [config.replace(**_defaults(features, side)) for side, config in enumerate(self.configs)]
        return dataclasses.replace(
            self,
            actions=actions,
            link=link,
            configs=(configs[0], configs[1]),
            paths=(1, 1) if "paths" in features else self.paths,
            in_parts=(
                () if "parts to 0" in features else self.in_parts[0],
                () if "parts to 1" in features else self.in_parts[1],
            ),
        )


def _differences(settings: Any, default: Any) -> str:
    changes = [
        f"{field.name}={getattr(settings, field.name)!r}"
        for field in dataclasses.fields(settings)
        if getattr(settings, field.name) != getattr(default, field.name)
    ]
    return ", ".join(changes) or "nothing special"


def _each(features: Collection[str]) -> Iterator[str]:
    """Those that are named one by one, and those by the first and the last."""
    for feature in features:
        numbers = feature.removeprefix("action ").split("-")
        if feature.startswith("action ") and len(numbers) == 2:
            yield from (f"action {number}" for number in range(int(numbers[0]), int(numbers[1]) + 1))
        else:
            yield feature


def _defaults(features: Collection[str], side: int) -> dict[str, Any]:
    default = Config()
    names = [field.name for field in dataclasses.fields(Config)]
    return {name: getattr(default, name) for name in names if f"{side}.{_GROUPS.get(name, name)}" in features}


def draw(seed: int) -> Plan:
    """The plan of a seed."""
    return _Drawer(seed).draw()


class _Drawer:
    """A drawer of one plan. Each group has its own random source, so that additions to one leave the others."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = self.chance("outline")
        self.span = self.random.choice((0.05, 0.5, 0.5, 2.0, 2.0, 8.0))
        self.delay = self.random.choice((0.0001, 0.005, 0.02, 0.02, 0.1, 0.3))
        self.is_rough = self.random.random() < 0.6
        self.small = self.random.choice((0.2, 0.8))  # how likely a limit is a small one
        self.actions: list[Action] = []

    def chance(self, what: str) -> Random:
        return Random(f"{self.seed} {what}")

    def draw(self) -> Plan:
        random = self.random
        self.paths = random.choice(((1, 1), (1, 1), (1, 2), (2, 2)))
        self.configs = self._configs()
        in_parts = self._in_parts()
        for side in random.choice(((0,), (1,), (0, 1), (0, 1))):
            self._messages(side)
        self._readers()
        self._interference()
        self._reconfiguration()
        self._addresses()
        if self.is_rough:
            self._cuts()
        self._disasters()
        actions = sorted(self.actions, key=lambda action: action.at)
        calm = max([self.span, *(action.at for action in actions)])
        return Plan(
            self.seed,
            self._link(),
            self.paths,
            self.configs,
            in_parts,
            tuple(actions),
            calm + 0.001,
            random.randrange(2),
            random.random() < 0.3,
        )

    def _do(self, at: float, side: int, what: str, *arguments: Any) -> None:
        self.actions.append(Action(round(at, 6), side, what, arguments))

    # Settings.

    def _link(self) -> LinkSettings:
        random = self.chance("link")
        values: dict[str, float] = {"delay": self.delay}
        if self.is_rough:
            severity = random.choice((1.0, 1.0, 3.0, 10.0))
            for name, most in (("loss", 0.03), ("reorder", 0.03), ("duplicate", 0.03), ("corrupt", 0.01)):
                if random.random() < 0.5:
                    values[name] = round(most * severity * random.random(), 4)
            if random.random() < 0.2:
                values["burst_start"] = 0.01
            values["jitter"] = random.choice((0.0, 0.0, 0.001, self.delay))
            values["reorder_delay"] = random.choice((0.001, 0.03, 0.5))
        if random.random() < 0.3:
            values["mark"] = random.choice((0.01, 0.2))
        if random.random() < 0.2:
            values["rate"] = random.choice((3e5, 2e6, 1e7))
            values["queue"] = random.choice((4000, 20_000, 60_000))
        return LinkSettings().replace(**values)

    def _size(self, random: Random, small: tuple[int, ...], large: tuple[int, ...]) -> int:
        return random.choice(small if random.random() < self.small else large)

    def _configs(self) -> tuple[Config, Config]:
        shared = self.chance("shared settings")
        both = {
            "partial_reliability": shared.random() < 0.8,
            "interleaving": shared.random() < 0.5,
            "stream_reconfig": shared.random() < 0.85,
            "dynamic_addresses": shared.random() < 0.2,
            "auth": shared.random() < 0.3,
            "ecn": shared.random() < 0.7,
        }
        first, second = self._config(0, both), self._config(1, both)
        return first, second

    def _config(self, side: int, both: dict[str, bool]) -> Config:
        random = self.chance(f"settings {side}")
        rto_min = random.choice((0.02, 0.1, 0.1, 0.5, 1.0))
        pf_threshold = random.choice((None, 0, 0, 1))
        path_max_retrans = random.choice((0, 1, 5))
        least = path_max_retrans if pf_threshold is None else pf_threshold
        # Where nothing is lost, a delay alone must not use up what retransmissions there are.
        patient = random.choice((8, 10, 10, 30))
        values: dict[str, Any] = {
            "rto_initial": random.choice((0.2, 0.5, 1.0, 3.0)),
            "rto_min": rto_min,
            "rto_max": random.choice((1.0, 2.0, 5.0, 60.0)),
            "max_retrans": patient,
            "path_max_retrans": path_max_retrans,
            "pf_threshold": pf_threshold,
            "primary_switchover": random.choice((None, None, least, 5)) if least <= 5 else None,
            "init_max_retrans": 20,
            "heartbeat_interval": random.choice((None, 0.3, 5.0, 30.0)),
            "sack_delay": random.choice((0.0, 0.05, 0.2, 0.5)),
            "sack_frequency": random.choice((1, 2, 2, 5)),
            "max_burst": random.choice((None, 1, 4)),
            "shutdown_guard": random.choice((None, 600.0, 600.0)),
            "nodelay": random.random() < 0.7,
            "outgoing_streams": random.choice((1, 2, 5, 5, 40)),
            "max_incoming_streams": random.choice((1, 3, 65535, 65535)),
            "recv_buffer": self._size(random, (4096, 4096, 5000, 9000, 20_000), (65_536, 200_000, 1 << 20)),
            "send_buffer": self._size(random, (1, 1500, 4096, 9000, 20_000), (65_536, 200_000, 1 << 20)),
            "max_message_size": self._size(random, (1, 600, 3000, 10_000, 40_000), (100_000, 16 << 20)),
            "partial_delivery_point": self._size(random, (1, 500, 3000), (20_000, 65_536)),
            "mtu": random.choice((None, 576, 580, 600, 1280, 1500, 9000)),
            "scheduler": random.choice((None, None, *SCHEDULERS)),
            **both,
        }
        if random.random() < 0.1:  # the other side offers what this does not
            values[random.choice(sorted(both))] = False
        if values["dynamic_addresses"]:
            values["auth"] = True
        if values["auth"]:
            kinds = (DATA, SACK, HEARTBEAT, SHUTDOWN, COOKIE_ECHO, I_DATA, RE_CONFIG)
            demanded = random.choice(((), (DATA,), (DATA,), (DATA, I_DATA), random.sample(kinds, 3)))
            values["auth_chunks"] = frozenset(demanded)
            values["auth_hmacs"] = random.choice(((3, 1), (1, 3), (1,)))
            if self.chance("keys").random() < 0.5:
                values["auth_keys"] = KEYS
                values["auth_active_key"] = random.choice(sorted(KEYS))
        return Config(**values)

    def _streams(self, side: int) -> int:
        """How many streams this side may send on."""
        return min(self.configs[side].outgoing_streams, self.configs[1 - side].max_incoming_streams)

    def _in_parts(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        random = self.chance("parts")
        chosen = [
            tuple(sid for sid in range(min(5, self._streams(1 - side))) if random.random() < share)
            for side, share in ((0, random.choice((0.0, 0.3, 1.0))), (1, random.choice((0.0, 0.3, 1.0))))
        ]
        return chosen[0], chosen[1]

    # What is done.

    def _instant(self, random: Random) -> float:
        return random.random() * random.choice((0.0, 0.1, 1.0)) * self.span

    def _messages(self, side: int) -> None:
        random = self.chance(f"messages {side}")
        mine, theirs = self.configs[side], self.configs[1 - side]
        streams = min(self._streams(side), random.choice((1, 2, 5, 40)))
        left = random.choice((3000, 20_000, 20_000, 60_000, 60_000, 150_000))
        unordered = random.choice((0.0, 0.0, 0.2, 1.0))
        policies = random.choice(((RELIABLE,), (RELIABLE, RELIABLE, TIMED, LIMITED, PRIORITY), (LIMITED, TIMED)))
        pace = random.choice((0.0, 0.0, 0.2, 1.0))
        borders = (
            1,
            20,
            100,
            450,
            490,
            540,
            1200,
            1430,
            1452,
            4000,
            mine.send_buffer,
            theirs.recv_buffer // 4,
            theirs.recv_buffer - 200,
            theirs.recv_buffer,
            theirs.recv_buffer + 1,
            2 * theirs.recv_buffer,
            theirs.partial_delivery_point,
            theirs.max_message_size,
            mine.max_message_size,
        )
        fit = [size for size in borders if size <= min(left, mine.max_message_size)]
        kinds = random.sample(fit, min(len(fit), random.choice((1, 2, 4))))
        number = 0
        for number in range(random.choice((3, 10, 30, 60))):
            size = min(left, random.choice(kinds))
            if not size:
                break
            size = random.choice((size, size, random.randint(1, size)))
            left -= size
            at = self._instant(random) * pace
            policy = random.choice(policies)
            self._do(
                at,
                side,
                "send",
                number,
                random.randrange(streams),
                size,
                random.random() < unordered,
                policy,
                self._bound(random, policy),
                random.choice((None, None, None, 0, 1)),
                random.choice((None, 1, 2, 3)),
                random.random() < 0.3,
                random.random() < 0.2,
            )
            if random.random() < 0.05:
                self._do(at + random.random() * self.span, side, "withdraw", number)
        for number in range(1000, 1000 + random.choice((0, 0, 1, 3, 6))):
            self._parts(random, side, number, streams, left)

    def _bound(self, random: Random, policy: int) -> float:
        """Of a lifetime it is counted from when the message is written."""
        if policy == TIMED:
            return random.choice((0.0, 0.01, 0.2, 2.0))
        return random.choice((0, 0, 1, 5)) if policy == LIMITED else random.choice((0, 1, 2))

    def _parts(self, random: Random, side: int, number: int, streams: int, left: int) -> None:
        theirs = self.configs[1 - side]
        sizes = (1, 100, 1500, 5000, theirs.recv_buffer // 2, theirs.recv_buffer)
        pieces = [min(random.choice(sizes), left // 4 + 1) for _ in range(random.choice((1, 2, 3, 6, 12)))]
        policy = random.choice((RELIABLE, RELIABLE, TIMED, LIMITED))
        at = self._instant(random)
        self._do(
            at,
            side,
            "begin_parts",
            number,
            random.randrange(streams),
            random.random() < 0.2,
            policy,
            self._bound(random, policy),
            random.random() < 0.5,
            pieces[0],
            len(pieces) == 1,
        )
        broken = random.randrange(1, len(pieces)) if len(pieces) > 1 and random.random() < 0.15 else 0
        for position in range(1, len(pieces)):
            at += random.random() * random.choice((0.0, 0.01, 0.3)) * min(self.span, 1.0)
            if position == broken:
                self._do(at, side, "break_off", number)
                break
            self._do(at, side, "part", number, pieces[position], position + 1 == len(pieces))

    def _readers(self) -> None:
        random = self.chance("readers")
        for side in (0, 1):
            kind = random.choice(("eager", "eager", "slow", "stopped", "stopped"))
            at = self._instant(random)
            if kind == "stopped":
                for _ in range(random.choice((1, 1, 3))):
                    self._do(at, side, "stop_reading")
                    at += random.choice((0.05, 0.5, 3.0, 3.0, 30.0)) * random.random()
                    if random.random() < 0.7:
                        self._do(at, side, "read", random.choice((1, 2, 5)))
                        at += random.random()
                    self._do(at, side, "go_on_reading")
                    at += random.random() * self.span
            elif kind == "slow":
                self._do(at, side, "stop_reading")
                period = random.choice((0.02, 0.2, 1.0))
                for _ in range(random.choice((5, 20))):
                    at += period
                    self._do(at, side, "read", random.choice((1, 1, 4)))

    def _some(self, random: Random, counts: tuple[int, ...]) -> list[tuple[float, int]]:
        """Instants, and who does something then."""
        return [(self._instant(random), random.randrange(2)) for _ in range(random.choice(counts))]

    def _interference(self) -> None:
        random = self.chance("meddling")
        for at, side in self._some(random, (0, 0, 1, 3)):
            changes: dict[str, Any] = {
                "recv_buffer": self._size(random, (4096, 9000, 20_000), (65_536, 1 << 20)),
                "send_buffer": self._size(random, (1, 4096), (65_536, 1 << 20)),
                "max_burst": random.choice((None, 1, 4)),
                "sack_delay": random.choice((0.0, 0.2, 0.5)),
                "rto_max": random.choice((1.0, 5.0, 60.0)),
                "heartbeat_interval": random.choice((None, 0.5, 30.0)),
                "partial_delivery_point": random.choice((1, 3000, 65_536)),
                "scheduler": random.choice((None, *SCHEDULERS)),
            }
            names = random.sample(sorted(changes), random.choice((1, 2, 4)))
            self._do(at, side, "configure", {name: changes[name] for name in names})
        for at, side in self._some(random, (0, 0, 1, 2)):
            self._do(at, side, "set_primary", random.randrange(4))
        for at, side in self._some(random, (0, 0, 1, 3)):
            self._do(at, side, "heartbeat", random.randrange(4))
        for at, side in self._some(random, (0, 0, 0, 1)):
            self._do(at, side, "learn_mtu", random.choice((576, 580, 588, 620, 1000, 1400)))
        for at, side in self._some(random, (0, 0, 1, 4)):
            self._do(at, side, "prioritize", random.randrange(5), random.choice((1, 2, 100)))
        for at, side in self._some(random, (0, 0, 2)):
            self._do(at, side, "activate_key", random.choice(sorted(KEYS)))

    def _reconfiguration(self) -> None:
        random = self.chance("reconfiguration")
        for at, side in self._some(random, (0, 0, 1, 3, 6)):
            outgoing = random.choice((None, (), (0,), (1,), (0, 2), (3, 4)))
            incoming = random.choice((None, None, None, (), (0,), (1, 2)))
            if outgoing is not None or incoming is not None:
                self._do(at, side, "reset_streams", outgoing, incoming)
        for at, side in self._some(random, (0, 0, 0, 1, 2)):
            self._do(at, side, "reset_tsns")
        for at, side in self._some(random, (0, 0, 0, 1, 2)):
            self._do(at, side, "add_streams", random.choice((1, 2)), random.choice((0, 1)))

    def _addresses(self) -> None:
        random = self.chance("addresses")
        if not all(config.dynamic_addresses for config in self.configs):
            return
        for at, side in self._some(random, (0, 2, 6)):
            pool = (*_FIRST_ADDRESSES[side][: self.paths[side]], *_NEW_ADDRESSES[side])
            new, old = random.choice(pool), random.choice(pool)
            what = random.choice(("add_address", "add_address", "remove_address", "change_address", "ask_primary"))
            self._do(at, side, what, new, old)

    def _cuts(self) -> None:
        random = self.chance("cuts")
        for _ in range(random.choice((0, 0, 0, 1, 2))):
            at = self._instant(random)
            pair = random.randrange(self.paths[0]), random.randrange(self.paths[1])
            self._do(at, 0, "cut", *pair, random.random() < 0.3)
            self._do(at + random.random() * random.choice((0.05, 0.5, 5.0)), 0, "heal", *pair)

    def _disasters(self) -> None:
        random = self.chance("disasters")
        kinds: tuple[tuple[str, float], ...] = (("restart", 0.08), ("abort", 0.04), ("shutdown", 0.15))
        for what, probability in kinds:
            if random.random() < probability:
                self._do(self._instant(random), 0 if what == "restart" else random.randrange(2), what)
