"""ASCONF and ASCONF-ACK as usrsctp writes them."""

from __future__ import annotations

from support.vectors import Chunk, conversation

from asyncsctp.wire.asconf import AsconfChunk, Response, pack_asconf, pack_request, read_asconf, read_asconf_ack
from asyncsctp.wire.constants import (
    ASCONF,
    ASCONF_ACK,
    INIT,
    INIT_ACK,
    PARAM_ADD_ADDRESS,
    PARAM_DELETE_ADDRESS,
    PARAM_SET_PRIMARY,
    PARAM_VTAGS,
)

FIRST, SECOND, THIRD, NOWHERE = "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.9"
NUMBER_ONE = 0x01000000  # 1, in the order of bytes of its machine
INVALID_PARAMETER, UNRESOLVABLE_ADDRESS, SOURCE_ADDRESS = 7, 5, 0xA2


def asked(name: str) -> list[tuple[AsconfChunk, Chunk]]:
    chunks = conversation(name).chunks(ASCONF)
    return [(read_asconf(chunk.value, 0, len(chunk.value)), chunk) for chunk in chunks]


def answers(name: str) -> list[tuple[int, list[Response]]]:
    found = []
    for chunk in conversation(name).chunks(ASCONF_ACK):
        number, responses = read_asconf_ack(chunk.value, 0, len(chunk.value))
        found.append((number, list(responses)))
    return found


def initial_tsn(name: str, kind: int) -> int:
    return int.from_bytes(conversation(name).chunks(kind)[0].value[12:16])


def test_it_asks() -> None:
    expected = [(PARAM_ADD_ADDRESS, SECOND), (PARAM_SET_PRIMARY, SECOND), (PARAM_DELETE_ADDRESS, FIRST)]
    first = initial_tsn("usrsctp-asconf", INIT)
    lookups = (FIRST, SECOND, FIRST)
    requests = zip(asked("usrsctp-asconf"), expected, lookups, strict=True)
    for n, ((asconf, chunk), (kind, address), lookup) in enumerate(requests):
        [request] = asconf.requests
        assert (request.kind, request.address, request.correlation) == (kind, address, NUMBER_ONE)
        assert (asconf.number, asconf.address) == (first + n, lookup)
        assert pack_asconf(first + n, lookup, [pack_request(kind, NUMBER_ONE, address)]) == chunk.padded


def test_it_does_what_it_is_asked() -> None:
    """Without parameters: all was done."""
    first = initial_tsn("usrsctp-asconf", INIT)
    assert answers("usrsctp-asconf") == [(first + n, []) for n in range(3)]


def test_it_refuses() -> None:
    """What went before the first failure is not mentioned if it was done."""
    found = [
        [(response.correlation, [cause.code for cause in response.causes]) for response in responses]
        for _, responses in answers("usrsctp-asconf-refused")
    ]
    assert found == [[(1, [SOURCE_ADDRESS]), (2, [])], [(1, [INVALID_PARAMETER]), (2, []), (3, [UNRESOLVABLE_ADDRESS])]]


def test_a_nat_has_lost_its_state() -> None:
    [(asconf, _)] = asked("usrsctp-nat")
    tags = [conversation("usrsctp-nat").chunks(kind)[0].value[:4] for kind in (INIT, INIT_ACK)]
    own = bytes([tags[0][1], tags[0][0], tags[0][3], tags[0][2]])  # the bytes of each half are swapped
    vtags, add, delete = asconf.requests
    assert (vtags.kind, vtags.tags) == (PARAM_VTAGS, (int.from_bytes(own), int.from_bytes(tags[1])))
    assert (add.kind, add.address) == (PARAM_ADD_ADDRESS, "0.0.0.0")
    assert (delete.kind, delete.address) == (PARAM_ADD_ADDRESS, "0.0.0.0")  # it means a deletion
