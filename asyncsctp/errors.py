"""What can go wrong, as a program sees it. Wrong arguments are `ValueError` and `TypeError`; the rest is here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cause:
    """One error cause of an ABORT or ERROR chunk (RFC 9260 section 3.3.10).

    `code` is the cause code, `info` the cause-specific information as it stood on the wire, `text` a sentence for
    people.
    """

    code: int
    info: bytes = b""
    text: str = ""

    def __str__(self) -> str:
        return self.text or f"cause {self.code}"


class SCTPError(ConnectionError):
    """The association can't go on, or could not be set up."""


class AssociationRefused(SCTPError, ConnectionRefusedError):
    """The peer answered the INIT or COOKIE ECHO with an ABORT (RFC 9260 section 5.1). `causes` are those it gave."""

    def __init__(self, message: str, causes: Sequence[Cause] = ()) -> None:
        super().__init__(message)
        self.causes = tuple(causes)


class AssociationAborted(SCTPError, ConnectionResetError):
    """The association ended by an ABORT (RFC 9260 section 9.1): the peer's where `by_peer`, else our own."""

    def __init__(self, message: str, causes: Sequence[Cause] = (), *, by_peer: bool = False) -> None:
        super().__init__(message)
        self.causes = tuple(causes)
        self.by_peer = by_peer


class AssociationTimeout(SCTPError, TimeoutError):
    """The peer stopped answering: a retransmission limit was exceeded (RFC 9260 sections 5.1, 8.1 and 9.2)."""


class AssociationClosed(SCTPError):
    """The association has ended, or is shutting down and takes no new messages."""


class MessageTooLarge(SCTPError, ValueError):
    """A message is longer than `Config.max_message_size`."""


class MessageAbandoned(SCTPError):
    """A message was given up before the peer had acknowledged all of it; the text says why (RFC 3758, RFC 7496).

    Or one that was being read in parts will not be completed (RFC 6458 section 6.1.7).
    """


class ReconfigError(SCTPError):
    """Streams were not reconfigured. `result` is the peer's result code (RFC 6525 section 4.4), None without one."""

    def __init__(self, message: str, result: int | None = None) -> None:
        super().__init__(message)
        self.result = result


class AsconfError(SCTPError):
    """The peer did not take an address (RFC 5061). `causes` are those it gave; none if it was not asked."""

    def __init__(self, message: str, causes: Sequence[Cause] = ()) -> None:
        super().__init__(message)
        self.causes = tuple(causes)


class EndOfStream(EOFError):
    """No more messages will come: the peer has reset the stream, or the association has ended gracefully."""
