"""RFC 7053, RFC 9260 sections 3.3.1, 6.1 and 11.1.5: the I bit of what we send. (`test_section_6_2` has what we
receive.)
"""

from __future__ import annotations

from support.script import B, E, I, Script

from asyncsctp.wire.constants import DATA


def flags(script: Script) -> list[int]:
    return [chunk.flags for packet in script.take() for chunk in packet.all(DATA)]


def test_no_i_bit_by_default() -> None:
    script = Script()
    script.write(b"x", bytes(3000))
    assert not any(each & I for each in flags(script))


def test_the_user_asks_for_it_and_the_last_chunk_of_the_message_has_it() -> None:
    """Section 11.1.5: set the I bit on the last DATA chunk used for the user message."""
    script = Script()
    script.write(b"x", immediate=True)
    assert flags(script) == [B | E | I]
    script.write(bytes(3000), immediate=True)
    assert flags(script) == [B, 0, E | I]


def test_shutdown_pending_asks_for_it() -> None:
    """Section 6.1: a reason is that the sender is in the SHUTDOWN-PENDING state."""
    script = Script()
    script.association.send(0, b"last words")
    script.shutdown()
    assert flags(script) == [B | E | I]
