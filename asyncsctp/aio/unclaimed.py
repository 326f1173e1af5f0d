"""Where the messages wait that belong to no claimed stream: read in order of arrival, or taken out stream by stream.

Knows messages and the resets that came between them. Does not know who claims a stream, nor when one is free.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, final

from .streams import Message, MessageQueue

if TYPE_CHECKING:
    from .inbox import Inbox


@final
class Backlog:
    """Unread messages, found by their order of arrival and by their stream. Each of them is here once.

    What came on a stream before the peer reset it is told from what came after (RFC 6525).
    """

    __slots__ = ("_arrivals", "_current", "_ended", "_messages")

    def __init__(self, messages: list[Message]) -> None:
        self._arrivals = 0
        self._messages: OrderedDict[int, Message] = OrderedDict()  # by the number of their arrival
        self._current: dict[int, deque[int]] = {}  # the numbers of those of each stream since its last reset
        self._ended: dict[int, deque[deque[int]]] = {}  # the same of those before that, by reset
        for message in messages:
            self.add(message)

    def __len__(self) -> int:
        return len(self._messages)

    def unread(self) -> list[Message]:
        """All of them, in order of arrival."""
        return list(self._messages.values())

    def add(self, message: Message) -> None:
        """One more has arrived."""
        self._arrivals = number = self._arrivals + 1
        self._messages[number] = message
        sid = message[1]
        current = self._current.get(sid)
        if current is None:
            current = self._current[sid] = deque()
        current.append(number)

    def first_stream(self) -> int:
        """The stream of the oldest message, of one or more."""
        for message in self._messages.values():
            return message[1]
        return -1

    def pop(self) -> tuple[Message, bool]:
        """The oldest message, and whether it was the last of before a reset of its stream."""
        message = self._messages.popitem(last=False)[1]
        sid = message[1]
        ended = self._ended.get(sid)
        if ended is not None:
            ended[0].popleft()
            if not ended[0]:
                self._forget(sid, ended)
            return message, not self.has_ended(sid)
        current = self._current[sid]
        current.popleft()
        if not current:
            del self._current[sid]
        return message, False

    def _forget(self, sid: int, ended: deque[deque[int]]) -> None:
        """All of what came before the oldest reset of a stream has been taken."""
        ended.popleft()
        if not ended:
            del self._ended[sid]

    def take_stream(self, sid: int) -> tuple[list[Message], bool]:
        """The messages of a stream up to its oldest reset, and whether there was one."""
        ended = self._ended.get(sid)
        is_ended = ended is not None
        if ended is not None:
            numbers = ended[0]
            self._forget(sid, ended)
        else:
            numbers = self._current.pop(sid, deque())
        return [self._messages.pop(number) for number in numbers], is_ended

    def end(self, sid: int) -> bool:
        """The peer has reset this stream; whether a message that came before is here."""
        current = self._current.pop(sid, None)
        if current is None:
            return False
        ended = self._ended.get(sid)
        if ended is None:
            ended = self._ended[sid] = deque()
        ended.append(current)
        return True

    def has_ended(self, sid: int) -> bool:
        """Whether there are messages from before a reset of this stream."""
        return sid in self._ended


@final
class Unclaimed(MessageQueue):
    """The messages that nobody has claimed.

    They are in a plain queue, until one stream has to be told from another; then in a backlog until that is empty.
    Which of the two it is, all of them are there.
    """

    __slots__ = ("_backlog",)

    def __init__(self, inbox: Inbox) -> None:
        super().__init__(inbox)
        self._backlog: Backlog | None = None

    def __len__(self) -> int:
        backlog = self._backlog
        return super().__len__() if backlog is None else len(backlog)

    def is_empty(self) -> bool:
        return self._backlog is None and not self._turned and not self.messages

    def put(self, message: Message) -> None:
        if self._backlog is None:
            self.messages.append(message)
        else:
            self._backlog.add(message)

    def pop(self) -> Message:
        backlog = self._backlog
        if backlog is None:
            if not self._turned:
                self._turn_around()
            return self._turned.pop()
        message, is_last = backlog.pop()
        if is_last:
            self._inbox.free(message[1])
        self._tidy()
        return message

    def take_all(self) -> list[Message]:
        backlog = self._backlog
        if backlog is None:
            return super().take_all()
        taken = backlog.unread()
        self._backlog = None
        for message in taken:
            if backlog.has_ended(message[1]):
                self._inbox.free(message[1])
        return taken

    def first_stream(self) -> int:
        """The stream of the message that is the next to be read, of one or more."""
        return self._sorted().first_stream()

    def take_stream(self, sid: int) -> tuple[list[Message], bool]:
        """The messages of a stream up to its oldest reset, and whether there was one; what came after it stays."""
        taken = self._sorted().take_stream(sid)
        self._tidy()
        return taken

    def end(self, sid: int) -> bool:
        """The peer has reset this stream; whether a message of before that is still to be read."""
        has_messages = self._sorted().end(sid)
        self._tidy()
        return has_messages or self.has_ended(sid)

    def has_ended(self, sid: int) -> bool:
        """Whether there are messages of before a reset of this stream."""
        return self._backlog is not None and self._backlog.has_ended(sid)

    def _sorted(self) -> Backlog:
        if self._backlog is None:
            self._backlog = Backlog(super().take_all())
        return self._backlog

    def _tidy(self) -> None:
        backlog = self._backlog
        if backlog is not None and len(backlog) == 0:  # compiled code takes any backlog for true
            self._backlog = None
