"""Interleaving with Linux, which counts fragments in its own way, and lists what it has in its own way (RFC 8260).

The second fragment of a message has FSN 0 there; it is known by the INIT, or by the first that it sends.
"""

from __future__ import annotations

from struct import unpack_from

import pytest
from support.script import B, E, Script

from asyncsctp.config import Config
from asyncsctp.wire.constants import FORWARD_TSN, I_DATA, I_DATA_HEADER_SIZE, I_FORWARD_TSN
from asyncsctp.wire.octets import Writer, write_i_data
from asyncsctp.wire.tlv import PADDING

CONFIG = Config(heartbeat_interval=None, interleaving=True)
LINUX = frozenset({I_DATA, FORWARD_TSN})
LETTER = frozenset({I_DATA, I_FORWARD_TSN, FORWARD_TSN})
UNRELIABLE_OFF = frozenset({I_DATA})  # Linux with net.sctp.prsctp_enable=0, or any other without partial reliability


def i_data(script: Script, tsn: int, data: bytes, *, flags: int, number: int = 0) -> bytes:
    writer = Writer()
    length = I_DATA_HEADER_SIZE + len(data)
    write_i_data(writer, I_DATA << 8 | flags, length, script.theirs(tsn), 0, 0, number)
    return writer.getvalue() + data + PADDING[len(data) & 3]


def fsns(script: Script) -> list[int]:
    """The FSNs of the fragments that were sent but the first ones."""
    found: list[int] = []
    while packets := script.take():
        chunks = [chunk for packet in packets for chunk in packet.all(I_DATA)]
        found += [unpack_from("!I", chunk.value, 12)[0] for chunk in chunks if not chunk.flags & B]
        last = unpack_from("!I", chunks[-1].value)[0]
        script.send(script.sack(last - script.ours(0) & 0xFFFFFFFF))
    return found


@pytest.mark.parametrize(("extensions", "first"), [(LINUX, 0), (LETTER, 1), (UNRELIABLE_OFF, 1)])
def test_what_the_init_lists_tells_the_count(extensions: frozenset[int], first: int) -> None:
    script = Script(CONFIG, extensions=extensions)
    script.write(bytes(5000))
    assert fsns(script) == list(range(first, first + 4))


@pytest.mark.parametrize("extensions", [LETTER, UNRELIABLE_OFF])
def test_it_is_learned_from_the_first_message_of_several_fragments(extensions: frozenset[int]) -> None:
    script = Script(CONFIG, extensions=extensions)
    script.send(i_data(script, 0, b"a", flags=B), i_data(script, 1, b"b", flags=0, number=0))
    script.send(i_data(script, 2, b"c", flags=E, number=1))
    assert [data for *_, data in script.user.messages] == [b"abc"]
    script.take()
    script.write(bytes(5000))
    assert fsns(script) == [0, 1, 2, 3]


def test_a_message_that_was_begun_goes_on_as_it_was() -> None:
    script = Script(CONFIG, extensions=UNRELIABLE_OFF)
    script.write(bytes(9000))
    [*before] = [chunk for packet in script.take() for chunk in packet.all(I_DATA)]
    assert len(before) > 1
    script.send(i_data(script, 0, b"a", flags=B), i_data(script, 1, b"b", flags=E, number=0))
    script.take()
    script.send(script.sack(len(before) - 1))
    assert fsns(script) == list(range(len(before), 8))
    script.write(bytes(5000))
    assert fsns(script) == [0, 1, 2, 3]


def test_who_looks_like_linux_and_counts_by_the_letter_is_sent_that() -> None:
    script = Script(CONFIG, extensions=LINUX)
    script.send(i_data(script, 0, b"a", flags=B), i_data(script, 1, b"b", flags=E, number=1))
    script.take()
    script.write(bytes(5000))
    assert fsns(script) == [1, 2, 3, 4]


def test_its_messages_can_be_given_up_although_it_does_not_list_i_forward_tsn() -> None:
    script = Script(CONFIG, extensions=LINUX)
    setup = script.association.context.setup
    assert setup is not None
    assert setup.extensions.partial_reliability
    setup = Script(CONFIG, extensions=UNRELIABLE_OFF).association.context.setup
    assert setup is not None
    assert not setup.extensions.partial_reliability
