"""One SCTP port with several endpoints behind it, in processes of their own: whose a packet is.

The verification tag tells: each endpoint, a member, gives out only tags of its own class. Packets are sorted by that
before they come here (`udp.steering`); what was sorted wrong is handed over (`aio.processes.exchange`).
"""

from __future__ import annotations

from typing import Final, Protocol, final

from ..paths.route import Route
from ..random_source import Random
from ..wire.constants import ABORT, COMMON_HEADER_SIZE, FLAG_TAG_REFLECTED, SHUTDOWN_COMPLETE
from ..wire.packet import checksum_ok, read_header
from .directory import Directory
from .out_of_the_blue import TokenBucket

#: Packets that all members get: anybody can forge them, and each makes work for all.
_ROUND_RATE: Final = 1000.0
_ROUND_BURST: Final = 2000.0


def is_reflected(datagram: bytes) -> bool:
    """Tell whether the first chunk has the T bit: then the tag is its sender's, not its receiver's (section 8.5.1)."""
    return (
        len(datagram) > COMMON_HEADER_SIZE + 1
        and datagram[COMMON_HEADER_SIZE] in (ABORT, SHUTDOWN_COMPLETE)
        and datagram[COMMON_HEADER_SIZE + 1] & FLAG_TAG_REFLECTED != 0
    )


class Carrier(Protocol):
    """What takes packets to other members."""

    def hand_over(self, member: int, datagram: bytes, route: Route, congestion_experienced: bool) -> None:
        """Take it to this member; back to us as one that `is_receiving`, if there is no such member."""

    def hand_round(self, datagram: bytes, route: Route, congestion_experienced: bool) -> None:
        """Take it to all the others."""


@final
class MemberTags:
    """Randomness whose numbers are those of one member: they leave its index when divided by the number of members.

    All such numbers are equally likely, up to the last incomplete run of them, which is left out.
    """

    def __init__(self, random: Random, member: int, members: int) -> None:
        self._random = random
        self._member = member
        self._members = members

    def bits(self, count: int) -> int:
        """Return a number of so many bits, which must be enough for all members."""
        while True:
            number = self._random.bits(count)
            first = number - number % self._members
            if first + self._members <= 1 << count:
                return first + self._member

    def token(self, size: int) -> bytes:
        """Return so many random bytes, as every member does."""
        return self._random.token(size)


@final
class Sharing:
    """The part of one endpoint in a port that it shares."""

    def __init__(self, member: int, members: int, carrier: Carrier, cookie_secret: bytes | None = None) -> None:
        """Make the part of a `member` in `range(members)`. With a `cookie_secret` they open each other's cookies."""
        if not 0 <= member < members:
            raise ValueError(f"member must be in range({members}), not {member}")
        self._member = member
        self._members = members
        self._rounds = TokenBucket(_ROUND_RATE, _ROUND_BURST)
        self.carrier = carrier
        self.cookie_secret = cookie_secret
        #: What comes now has been handed over already, and goes no further.
        self.is_receiving = False

    def tags(self, random: Random) -> MemberTags:
        """Return the source of this member's tags."""
        return MemberTags(random, self._member, self._members)

    def take(
        self,
        datagram: bytes,
        route: Route,
        now: float,
        congestion_experienced: bool,
        directory: Directory,
        listening: bool,
    ) -> bool:
        """Hand a packet that none of our associations is found for over to the member that its tag is of.

        Return whether it is on its way there; `Malformed` if it has no common header. `directory` has our associations,
        `listening` tells whether we take more.
        """
        if self.is_receiving:
            return False
        peer_port, _, tag = read_header(datagram)
        if not is_reflected(datagram):
            member = tag % self._members
            if tag == 0:  # an INIT's; who is about to leave leaves new associations to the next
                takes_it = listening or directory.find_peer((route.address,), peer_port) is not None
                member = self._member if takes_it else (self._member + 1) % self._members
            if member == self._member:
                return False
            self.carrier.hand_over(member, datagram, route, congestion_experienced)
            return True
        # Section 8.5.1 B and C: the tag is the peer's own, so any of us may have sent what this answers.
        is_ours = any(each.context.peer_tag == tag for each in directory.peers_at((route.address,), peer_port))
        if not is_ours and checksum_ok(datagram) and self._rounds.take(now):
            self.carrier.hand_round(datagram, route, congestion_experienced)
        return False
