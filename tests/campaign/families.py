"""What a campaign consists of: families of random tests, each a function of a seed.

A family is named by its module and function, and imported by the process that runs it. One whose module has `features`
can be shrunk: that gives the names of what a seed has drawn, and the function takes some of them as `without`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from random import Random
from typing import Any, Final

__all__ = ["FAMILIES", "Family", "portions"]

#: What hypothesis makes its examples of.
_BYTES_OF_AN_EXAMPLE: Final = 4096


@dataclass(frozen=True)
class Family:
    """`target`: `module:function`. `weight`: its share of a campaign's seeds. `arguments` follow the seed.

    `hypothesis`: the function is one that hypothesis calls; a seed is so many examples of it.
    """

    name: str
    target: str
    weight: int
    arguments: tuple[Any, ...] = ()
    hypothesis: int = 0

    def run(self, seed: int, without: Sequence[str] = ()) -> None:
        """One seed; raises what is wrong. `without`: some of its `features`."""
        if self.hypothesis:
            self._run_hypothesis(seed)
        elif without and hasattr(self._module(), "features"):
            self._function()(seed, *self.arguments, without=frozenset(without))
        else:
            self._function()(seed, *self.arguments)

    def features(self, seed: int) -> list[str]:
        """What a seed has drawn that it can do without; nothing for most families."""
        features = getattr(self._module(), "features", None)
        return [] if features is None else list(features(seed))

    def _run_hypothesis(self, seed: int) -> None:
        random = Random(f"{self.name} {seed}")
        function: Any = self._function()
        one_example = function.hypothesis.fuzz_one_input
        for _ in range(self.hypothesis):
            one_example(random.randbytes(_BYTES_OF_AN_EXAMPLE))

    def _module(self) -> Any:
        return import_module(self.target.partition(":")[0])

    def _function(self) -> Callable[..., Any]:
        function: Callable[..., Any] = getattr(self._module(), self.target.partition(":")[2])
        return function


def _by_hypothesis(module: str, *functions: str, examples: int = 20) -> list[Family]:
    """The tests of a module that hypothesis calls."""
    return [
        Family(
            f"{module.removeprefix('properties.test_')}: {name.removeprefix('test_')}",
            f"{module}:{name}",
            1,
            hypothesis=examples,
        )
        for name in functions
    ]


_ABANDONMENT: Final = "properties.test_abandonment:test_what_was_not_abandoned_arrives_once_whole_and_in_order"

FAMILIES: Final = [
    Family("planned cores", "support.random_runs.planned_cores:live", 240),
    Family("planned programs", "support.random_runs.planned_programs:live", 60),
    Family("association", "properties.test_association:test_nothing_is_lost_in_silence", 40),
    Family("user callbacks", "properties.test_user_callbacks:test_users_may_call_back", 40),
    Family("claims", "properties.test_claims:test_each_message_is_in_one_place", 10),
    Family("senders", "aio.test_concurrent_senders:test_a_crowd_of_senders", 20),
    Family("messages", "properties.test_messages_and_streams:test_what_was_said_holds", 60),
    Family("ending", "properties.test_ending:test_both_sides_end_gracefully_and_soon", 40),
    Family("address changes", "properties.test_address_changes:test_nothing_is_lost_on_the_way", 30),
    Family("nats", "properties.test_nats:test_nothing_is_lost_behind_nats", 20),
    Family("authentication", "properties.test_authentication:test_nothing_is_lost_in_silence", 20),
    Family("paths", "properties.test_paths:test_failing_paths_lose_nothing", 20),
    Family("abandonment", _ABANDONMENT, 20, (False,)),
    Family("abandonment, I-DATA", _ABANDONMENT, 20, (True,)),
    Family("random extension chunks", "fuzz.test_random_extension_chunks:test_disorder", 20),
    Family("random address chunks", "fuzz.test_random_address_chunks:test_senseless_changes_of_addresses", 20),
    Family("random packets", "fuzz.test_hostile_packets:test_random_packets", 10),
    Family("random packets, all extensions", "fuzz.test_hostile_packets:test_random_packets_with_all_extensions", 5),
    Family("random packets, address changes", "fuzz.test_hostile_addresses:test_random_packets", 5),
    *(
        Family(f"harness of {name}", "coverage_guided.blind:attempt", 10, (name,))
        for name in ("packets", "inits", "cookies", "asconf", "reconfig", "commands")
    ),
    *_by_hypothesis(
        "properties.test_inbound",
        "test_intervals_are_a_set",
        "test_the_tracker_is_a_set_of_tsns",
        "test_each_message_once_whole_in_stream_order_and_as_soon_as_it_can",
        "test_a_small_buffer_loses_nothing_that_is_sent_again",
        "test_no_chunk_however_wrong_raises_or_spoils_the_ledger",
    ),
    *_by_hypothesis(
        "properties.test_outbound",
        "test_outstanding_against_one_entry_per_tsn",
        "test_every_message_leaves_whole_and_in_order",
    ),
    *_by_hypothesis("properties.test_endpoint", "test_an_endpoint_stands_whatever_comes", examples=5),
]


@cache
def _total_weight(names: tuple[str, ...]) -> int:
    return sum(family.weight for family in FAMILIES if family.name in names)


def portions(count: int, names: Sequence[str]) -> dict[str, int]:
    """How many of `count` seeds each of these families gets, by its weight; together they are `count`."""
    chosen = [family for family in FAMILIES if family.name in names]
    total = _total_weight(tuple(names))
    parts = {family.name: count * family.weight // total for family in chosen}
    rest = sorted(chosen, key=lambda family: -(count * family.weight % total))
    for family in rest[: count - sum(parts.values())]:
        parts[family.name] += 1
    return parts
