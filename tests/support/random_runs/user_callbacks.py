"""Random runs whose users act whenever they are called back: they withdraw, reset, send, abort, and so on.

The contract of the core says that they may. All callbacks but those of messages come between two steps: never from
within another callback, nor from within a verb of the user.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from asyncsctp.errors import SCTPError
from asyncsctp.events import Event
from asyncsctp.handlers.state import CLOSED, ESTABLISHED

from ..pair import Recorder
from .messages_and_resets import SCHEDULERS, MessagesAndResetsRun


class CallingRecorder(Recorder):
    """A recorder that calls verbs of its association from its callbacks."""

    def __init__(self, name: str, life: CallbackRun, side: int) -> None:
        super().__init__(name)
        self.life = life
        self.side = side
        self.inside = ""  # the callback that is at work
        self.calling = ""  # the verb of ours that is

    @contextmanager
    def told(self, what: str, *, alone: bool = True) -> Iterator[None]:
        """`alone`: it is no message, and is told between two steps."""
        assert not self.is_closed, f"{what} after on_closed"
        if alone:
            assert not self.inside, f"{what} was told from within {self.inside}"
            assert not self.calling, f"{what} was told from within {self.calling}"
        outer = self.inside
        self.inside = what
        try:
            yield
            if self.life.is_planned and self.life.random.random() < self.life.zeal:
                self.life.interfere(self)
        finally:
            self.inside = outer

    def on_message(self, sid: int, ssn: int, ppid: int, unordered: bool, tsn: int, data: bytes) -> None:
        with self.told("on_message", alone=False):
            super().on_message(sid, ssn, ppid, unordered, tsn, data)

    def on_part(self, sid: int, number: int, ppid: int, unordered: bool, tsn: int, data: bytes, last: bool) -> None:
        with self.told("on_part", alone=False):
            super().on_part(sid, number, ppid, unordered, tsn, data, last)

    def on_parts_aborted(self, sid: int) -> None:
        with self.told("on_parts_aborted", alone=False):
            super().on_parts_aborted(sid)

    def on_event(self, event: Event) -> None:
        with self.told("on_event"):
            super().on_event(event)

    def on_writable(self) -> None:
        with self.told("on_writable"):
            super().on_writable()

    def on_heartbeat(self, address: str, round_trip: float | None) -> None:
        with self.told("on_heartbeat"):
            super().on_heartbeat(address, round_trip)

    def on_outcome(self, watcher: object, reason: str, address: str, transmissions: int) -> None:
        with self.told("on_outcome"):
            super().on_outcome(watcher, reason, address, transmissions)

    def on_complete(self) -> None:
        with self.told("on_complete"):
            super().on_complete()

    def on_closed(self, error: SCTPError | None) -> None:
        with self.told("on_closed"):
            super().on_closed(error)


class CallbackRun(MessagesAndResetsRun):
    """A `MessagesAndResetsRun` whose users act from within callbacks."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.is_planned = False
        self.zeal = self.random.choice((0.02, 0.2, 0.5))
        self.count = 0
        self.pair.users = (CallingRecorder("a", self, 0), CallingRecorder("z", self, 1))

    def _plan_messages(self) -> None:
        super()._plan_messages()
        self.is_planned = True

    def interfere(self, user: CallingRecorder) -> None:
        """From within a callback of this user, if its association is not another by now."""
        random, side = self.random, user.side
        association = user.association
        self.count += 1
        if association is None or association.state is CLOSED or self.pair.users[side] is not user:
            return
        if self.count > 2000:  # it would go on for ever
            return
        wish = random.choice(
            ["withdraw"] * 6
            + ["send"] * 3
            + [
                "watch",
                "reset",
                "reset",
                "heartbeat",
                "heartbeat",
                "parts",
                "primary",
                "configure",
                "scheduler",
                "shutdown",
                "abort",
                "break off",
                "break off",
                "look",
            ]
        )
        if wish in ("abort", "shutdown") and random.random() < 0.9:
            wish = "withdraw"
        outer = user.calling
        user.calling = wish
        try:
            self._carry_out(wish, user, random.randrange(200))
        finally:
            user.calling = outer

    def _carry_out(self, wish: str, user: CallingRecorder, number: int) -> None:
        random, side = self.random, user.side
        association = user.association
        assert association is not None
        match wish:
            case "withdraw":
                for each in range(random.choice((1, 1, 5))):
                    self._withdraw(side, number + each)
            case "send" if association.state is ESTABLISHED:
                ppid = 2000 + self.count
                sid = random.randrange(min(association.outgoing_streams, 3))
                self._send(side, sid, bytes(random.choice((1, 100, 3000))), ppid, random.random() < 0.2, None)
            case "watch":
                self._watch(side, number)
            case "reset":
                self._reset(side, number)
            case "heartbeat" | "primary" | "configure":
                self._meddle(side, wish, number)
            case "parts" if association.state is ESTABLISHED:
                self._begin_parts(side, 10_000 + self.count)
            case "scheduler":
                self._swap_scheduler(side, random.choice(SCHEDULERS))
            case "shutdown":
                self._shutdown(side)
            case "abort":
                self._abort(side)
            case "break off":
                for part, terms in list(self.parts[side].items()):
                    self._break_off(side, part, terms)
            case "look":
                self._later(0.0, partial(self._withdraw, side, number))


def live(seed: int) -> None:
    """One such life, from beginning to end."""
    life = CallbackRun(seed)
    try:
        life.run()
    except BaseException as error:
        error.add_note(life.describe())
        raise
