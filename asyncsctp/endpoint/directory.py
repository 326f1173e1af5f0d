"""The associations of one endpoint: found by tag, by the peer's addresses, and by when they want to be woken.

Knows keys, tags that must rest, and deadlines. What a packet means that is for none of them is known to
`out_of_the_blue`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heappush
from typing import Final, final

from ..association.association import Association
from ..random_source import Random
from ..tables import NOTHING
from ..timers import NEVER

_TAG_BITS: Final = 32
_MOST_RESTING: Final = 1 << 16
_SPARE_DEADLINES: Final = 64
#: Section 16: a peer asks ten times for a SHUTDOWN COMPLETE, from one of its addresses or another.
_MOST_COMPLETIONS: Final = 16


#: What an association is found by: the first bytes of its packets, our tag, the peer's addresses with its port.
_Keys = tuple[bytes, int, tuple[tuple[str, int], ...]]


@final
class Deadlines:
    """The times at which associations want to be woken. That one was put off is noticed when it comes, not before.

    `Association.due` is the deadline that counts: what the heap has of it besides is out of date.
    """

    __slots__ = ("_count", "_heap", "_noted")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Association]] = []
        self._noted = 0  # associations that have a deadline
        self._count = 0  # of entries ever made: of equal deadlines the first comes first

    def next_expiry(self) -> float:
        """Return when the first of them is due; `NEVER` if none is."""
        heap = self._heap
        while heap and heap[0][2].due != heap[0][0]:
            heappop(heap)
        return heap[0][0] if heap else NEVER

    def note(self, association: Association) -> None:
        """Note an association whose timers may have changed."""
        deadline = association.context.timers.next_expiry
        if deadline < association.due:
            self._noted += association.due == NEVER
            association.due = deadline
            self._count += 1
            heappush(self._heap, (deadline, self._count, association))
            if len(self._heap) > 4 * self._noted + _SPARE_DEADLINES:
                # One of each: a deadline that was noted again may be there several times.
                self._heap = list({entry[2]: entry for entry in self._heap if entry[2].due == entry[0]}.values())
                heapify(self._heap)

    def forget(self, association: Association) -> None:
        """Wake the association no more."""
        self._noted -= association.due != NEVER
        association.due = NEVER

    def take_due(self, now: float) -> list[Association]:
        """Return those whose deadline has come; each has to be noted again."""
        due = []
        while self._heap and self._heap[0][0] <= now:
            deadline, _, association = heappop(self._heap)
            if association.due == deadline:
                self.forget(association)
                due.append(association)
        return due


@final
class Directory:
    """The associations of one endpoint, by tag and ports and by the peer's addresses, and the tags that must rest."""

    __slots__ = (
        "_by_address",
        "_completed",
        "_deadlines",
        "_keys",
        "_neighbours",
        "_random",
        "_rest",
        "_resting",
        "_tags",
        "by_prefix",
        "leaving",
        "now",
    )

    def __init__(self, random: Random, rest: float, deadlines: Deadlines) -> None:
        """Make an empty one; `random` gives tags, which rest for `rest` seconds when an association has ended."""
        self._random = random
        self._rest = rest
        self._deadlines = deadlines
        #: The association that a packet with these first bytes belongs to.
        self.by_prefix: dict[bytes, Association] = {}
        self._by_address: dict[tuple[str, int], Association] = {}
        #: Those that share an address and port with the one found by it: told apart by their tags (draft natsupp).
        self._neighbours: dict[tuple[str, int], list[Association]] = NOTHING
        #: What each association is found by, as it was when it was bound last: prefix, tag, addresses.
        self._keys: dict[Association, _Keys] = {}
        #: Those that wait for nothing but SHUTDOWN COMPLETE, the longest first.
        self.leaving: dict[Association, None] = {}
        self._tags: set[int] = set()
        self._resting: dict[int, float] = {}
        #: Of those: the association ended by a SHUTDOWN COMPLETE of ours; how often that may be said again.
        self._completed: dict[int, int] = NOTHING
        self.now = 0.0

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def associations(self) -> list[Association]:
        """Those that have not ended, the oldest first."""
        return list(self._keys)

    def bind(self, association: Association) -> None:
        """Find the association by its tags and its peer's port and addresses, as these are now."""
        prefix = association.prefix
        context = association.context
        port = context.peer_port
        setup = context.setup
        addresses = tuple([(path.route.address, port) for path in context.paths.paths])
        if setup is not None and setup.further:
            addresses += tuple([(address, port) for address in setup.further])
        shares = setup is not None and setup.disable_restart  # which is known later than the rest
        tag = context.local_tag
        keys = prefix, tag, addresses
        before = self._keys.get(association)
        if before == keys and not shares:
            return
        if before is not None and before[0] == prefix:
            for key in set(before[2]).difference(addresses):
                self._drop_address(key, association)
        else:
            if before is not None:
                self._drop_keys(association, before)
            self.by_prefix[prefix] = association
            self._tags.add(tag)
            self._resting.pop(tag, None)
            self._completed.pop(tag, None)
        self._keys[association] = keys
        for key in addresses:
            # Two can't have the same: who has it keeps it, whatever another peer claims to be (RFC 5062 section 2).
            holder = self._by_address.setdefault(key, association)
            if holder is not association and shares:  # but behind a NAT they can: draft natsupp section 6.3.2
                if not self._neighbours:
                    self._neighbours = {}
                neighbours = self._neighbours.setdefault(key, [])
                if association not in neighbours:
                    neighbours.append(association)

    def unbind(self, association: Association) -> None:
        """Forget an association that has ended; its tag rests while packets may be under way to it (section 5.3.1)."""
        self.leaving.pop(association, None)
        self._deadlines.forget(association)
        keys = self._keys.pop(association, None)
        if keys is not None:
            self._drop_keys(association, keys)
            if association.context.linger:
                if not self._completed:
                    self._completed = {}
                self._completed[keys[1]] = _MOST_COMPLETIONS

    def await_completion(self, association: Association) -> None:
        """Let an association go when its place is wanted: it waits for nothing but SHUTDOWN COMPLETE."""
        self.leaving[association] = None

    def peers_at(self, addresses: Sequence[str], port: int) -> Iterator[Association]:
        """Yield all associations with a peer at this port of any of these addresses."""
        for address in addresses:
            association = self._by_address.get((address, port))
            if association is not None:
                yield association
                yield from self._neighbours.get((address, port), ())

    def find_peer(self, addresses: Sequence[str], port: int) -> Association | None:
        """Return the association with a peer at this port of the first address that has one; None if none has."""
        for address in addresses:
            association = self._by_address.get((address, port))
            if association is not None:
                return association
        return None

    def new_tag(self) -> int:
        """Return a tag that no association of this endpoint has or had a short while ago (section 5.3.1)."""
        while True:
            tag = self._random.bits(_TAG_BITS)
            if tag and tag not in self._tags and tag not in self._resting:
                return tag

    def rests(self, tag: int) -> bool:
        """Tell whether an association has this tag, or had it and ended a short while ago."""
        return self._resting.get(tag, -NEVER) > self.now or tag in self._tags

    def is_completed(self, tag: int) -> bool:
        """Tell whether an association with this tag ended a short while ago by a SHUTDOWN COMPLETE of ours, which the
        peer may lack.
        """
        return tag in self._completed and self._resting.get(tag, -NEVER) > self.now

    def take_completion(self, tag: int) -> bool:
        """Count one more SHUTDOWN COMPLETE under this tag; return whether it may be sent, as the peer may ask for it in
        another's name.
        """
        left = self._completed[tag]
        if left:
            self._completed[tag] = left - 1
        return left > 0

    def _drop_keys(self, association: Association, keys: _Keys) -> None:
        """Find the association no more by what it was found by; its tag rests."""
        prefix, tag, addresses = keys
        if self.by_prefix.get(prefix) is association:
            del self.by_prefix[prefix]
        self._tags.discard(tag)
        for key in addresses:
            self._drop_address(key, association)
        self._resting[tag] = self.now + self._rest
        # In order of time: what is due to be forgotten comes first.
        while self._resting and (len(self._resting) > _MOST_RESTING or next(iter(self._resting.values())) <= self.now):
            oldest = next(iter(self._resting))
            del self._resting[oldest]
            self._completed.pop(oldest, None)

    def _drop_address(self, key: tuple[str, int], association: Association) -> None:
        neighbours = self._neighbours.get(key, [])
        if association in neighbours:
            neighbours.remove(association)
        elif self._by_address.get(key) is not association:
            return
        elif neighbours:
            self._by_address[key] = neighbours.pop(0)
        else:
            del self._by_address[key]
        if not neighbours:
            self._neighbours.pop(key, None)
