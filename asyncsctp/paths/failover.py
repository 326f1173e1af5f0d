"""Which of the paths is used, and which have failed: error counters and what follows from them (RFC 9260 sections 6.4,
8.1 and 8.2, RFC 7829).

Counts and picks. It does not know which addresses there are to be, starts no timer and tells nobody: what changed is
returned.
"""

from __future__ import annotations

from typing import Final, NamedTuple, final

from ..config import Config
from ..path_state import ACTIVE, INACTIVE, POTENTIALLY_FAILED, UNCONFIRMED
from .choice import best
from .path import Path

#: What was not answered in time: user data and what belongs to it, HEARTBEATs, RE-CONFIG and ASCONF.
OF_DATA: Final = 0
OF_HEARTBEATS: Final = 1
OF_REQUESTS: Final = 2


#: One time-out is a loss; with the second in a row the pair of addresses is suspected.
ROTATE_AT: Final = 2
#: RFC 7829 section 4.1 rule 3: error counters go on above Path.Max.Retrans, up to an order of magnitude.
_DORMANT_FACTOR: Final = 10


class Verdict(NamedTuple):
    """What a time-out changed."""

    changed: bool  # the path has another state
    exceeded: bool = False  # Association.Max.Retrans was exceeded: the peer is unreachable
    switched: bool = False  # another path has become the primary path (RFC 7829 section 5)


@final
class Silence:
    """Counts what the peer leaves unanswered, whichever path it took (section 8.1).

    An answer to a question ends the silence about questions of its kind. To user data alone it ends no silence: a peer
    that answers HEARTBEATs but never acknowledges data would be waited for without end (section 8.1: it MAY stay).
    """

    __slots__ = ("_kinds", "total")

    def __init__(self) -> None:
        #: Time-outs, of all kinds, since the last answers.
        self.total = 0
        self._kinds: tuple[int, ...] = ()  # of each

    def add(self, kind: int) -> None:
        """One more time-out."""
        self._kinds += (kind,)
        self.total = len(self._kinds)

    def end(self, kind: int) -> None:
        """Something of this kind was answered."""
        self._kinds = tuple([other for other in self._kinds if other != kind])
        self.total = len(self._kinds)

    def end_all(self) -> None:
        """The peer is there, whatever was asked."""
        if self.total:
            self.total = 0
            self._kinds = ()


class Failover:
    """The paths in use. `primary` is the user's choice, or the one that section 5 of RFC 7829 has put in its place."""

    __slots__ = ("_config", "_current", "by_id", "paths", "primary", "silence")

    _current: Path
    primary: Path

    def __init__(self, config: Config) -> None:
        self._config = config
        self.by_id: list[Path] = []
        self.paths: list[Path] = []
        self.silence = Silence()

    @property
    def error_count(self) -> int:
        """The association's error counter (section 8.1)."""
        return self.silence.total

    def rotate_local(self, path: Path) -> bool:
        """Send to this address from our next one of its family; whether there is another (section 6.4.1)."""
        raise NotImplementedError

    # Choice

    def data_path(self, preferred: Path | None = None) -> Path:
        """Where new data goes: the path that the user prefers for it, the primary, or one that works (section 6.4).

        RFC 7829 section 3.2 rule 3 iii: one that the user prefers is to be ACTIVE as well.
        """
        if preferred is not None and preferred.state is ACTIVE:
            return preferred
        return self._current

    def reply_path(self, path: Path) -> Path:
        """Where to answer what came from `path` (section 6.4); section 5.4 forbids most answers to UNCONFIRMED ones."""
        return self._current if path.state is UNCONFIRMED or not path.route.local else path

    @property
    def is_held(self) -> bool:
        """Whether no data may leave, nor most else: the peer has moved, and where it is now is still to be verified
        (section 5.4); or we have, and it does not know that yet (RFC 5061 section 5.3 F1).
        """
        current = self._current
        return current.state is UNCONFIRMED or not current.route.local

    def retransmit_path(self, after_path_id: int) -> Path:
        """Where data goes that timed out on another path: an active one, as divergent as can be (section 6.4.1).

        RFC 7829 section 3.2 rules 3 ii and 4: POTENTIALLY_FAILED paths come after the active ones.
        """
        return best(self.paths, self.by_id[after_path_id])

    # Errors

    def on_timeout(self, path: Path, kind: int = OF_DATA, counts: bool = True) -> Verdict:
        """Nothing came back from this path within its RTO; `counts` is whether the association's counter takes notice.
        `kind` is what was sent there.

        Backs the RTO off (rule E2 of section 6.3.3), counts (sections 8.1 and 8.2), and after repeated errors tries
        the next local address. `Path.expire_t3` comes before it where the time-out was T3's.
        """
        if path.settings.pf_threshold is None or path.error_count < self._most_errors(path):
            path.error_count += 1
        exceeded = False
        # Section 5.4: probing is not counted; but where there is no other path, nothing else would tell. Nor is there
        # another while nothing can leave for the one in use, and an ASCONF goes to those that are to be verified.
        current = self._current
        counted = counts and (path.state is not UNCONFIRMED or path is current or not current.route.local)
        path.rto.back_off(lasting=counted and kind != OF_HEARTBEATS)
        if counted:
            self.silence.add(kind)
            exceeded = self.silence.total > self._config.max_retrans
        if path.error_count >= ROTATE_AT:
            self.rotate_local(path)
        return self._judge(path)._replace(exceeded=exceeded)

    def on_heartbeat_timeout(self, path: Path) -> Verdict:
        """A HEARTBEAT to this path was not answered within an RTO."""
        if path.error_count >= self._most_errors(path):
            path.error_count -= 1  # section 8.3: the counter stops once the path is inactive
        # Section 8.1: only on the path that data uses does it say that the peer is gone.
        return self.on_timeout(path, OF_HEARTBEATS, path is self._current)

    def on_acknowledged(self, path: Path, alone: bool = True) -> bool:
        """A SACK acknowledged data sent to this path (sections 8.1 and 8.2); whether the path became ACTIVE by that.

        `alone`: some of it was sent to no other address. RFC 7829 section 3.2 rules 9 and 10: unless it was, nobody
        knows which address it reached, and one that has failed stays failed.
        """
        if self.silence.total:
            self.end_silence()
        return self._hear(path, alone)

    def on_answered(self, path: Path, kind: int, outstanding: bool, alone: bool = True) -> bool:
        """A question of this kind, a HEARTBEAT or a request, which went to this path, was answered; `outstanding` tells
        whether data waits to be acknowledged: if none does, nothing else is unanswered.

        Whether the path became ACTIVE by it, from INACTIVE; see `confirm` for UNCONFIRMED.
        """
        if outstanding:
            self.silence.end(kind)
        if not outstanding or not self.silence.total:
            self.end_silence()
        return self._hear(path, alone)

    def end_silence(self) -> None:
        """The peer is there, whatever was asked: nothing is counted any more, and no back-off outlasts the count."""
        self.silence.end_all()
        for path in self.paths:
            path.rto.release()

    def _hear(self, path: Path, alone: bool) -> bool:
        """An answer to what was sent to this path; whether it became ACTIVE by that."""
        state = path.state
        if not alone and state is not ACTIVE and path.settings.pf_threshold is not None:
            return False
        path.error_count = 0
        if state is ACTIVE or state is UNCONFIRMED or not path.route.local:
            return False
        path.state = ACTIVE
        self._select()
        return True

    def confirm(self, path: Path) -> bool:
        """The peer has shown that this address is its own (section 5.4); whether that was news."""
        if path.state is not UNCONFIRMED:
            return False
        path.state = ACTIVE if path.route.local else INACTIVE  # nothing can leave for it until we have an address
        path.error_count = 0
        self._select()
        return True

    def _most_errors(self, path: Path) -> int:
        """Where the error counter stops: once the path is INACTIVE (section 8.3), or later where that tells failed
        paths apart (RFC 7829 section 4.1 rule 3), or where it is waited for (section 5 rule 2).
        """
        settings = path.settings
        most = settings.max_retrans + 1
        if settings.pf_threshold is not None:
            most = max(settings.max_retrans * _DORMANT_FACTOR, _DORMANT_FACTOR)
        threshold = self._config.primary_switchover
        return max(most, threshold + 1) if threshold is not None and path is self.primary else most

    def _judge(self, path: Path) -> Verdict:
        """What follows from the error counter of this path, by the thresholds in force."""
        changed = path.judge()
        if changed or path.state is POTENTIALLY_FAILED or path.state is INACTIVE:
            self._select()
        threshold = self._config.primary_switchover
        if threshold is None or path is not self.primary or path.error_count <= threshold:
            return Verdict(changed)
        # RFC 7829 section 5 rules 2 and 3: the primary path is the one that data takes now.
        self.primary = self._current
        return Verdict(changed, switched=self.primary is not path)

    def _select(self) -> None:
        # Section 8.2: ONE other address, and the same one as long as it works.
        if self.primary.state is ACTIVE:
            self._current = self.primary
        elif self._current.state is not ACTIVE:
            self._current = best(self.paths, self._current)
