"""What was packed is read back; what was damaged is read or refused as malformed, and nothing else happens."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from support.chunks import pack_data

from asyncsctp.errors import Cause
from asyncsctp.wire import causes, control, packet, sack, tlv
from asyncsctp.wire import init as init_chunk
from asyncsctp.wire.auth import AuthParameters
from asyncsctp.wire.constants import (
    CAUSE_OUT_OF_RESOURCE,
    CAUSE_UNRECOGNIZED_CHUNK,
    CAUSE_UNRECOGNIZED_PARAMETERS,
    CAUSE_USER_ABORT,
)
from asyncsctp.wire.octets import read_data
from asyncsctp.wire.tlv import Malformed

u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFFFFFF)
destinations = st.one_of(
    st.integers(0x01000000, 0xDFFFFFFF).map(lambda number: str(IPv4Address(number))),
    st.integers(1 << 125, (1 << 126) - 1).map(lambda number: str(IPv6Address(number))),
)


@st.composite
def gap_ranges(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Isolated ranges in order."""
    ranges = []
    end = 0
    for step, size in draw(st.lists(st.tuples(st.integers(2, 50), st.integers(0, 50)), max_size=30)):
        start = end + step
        end = start + size
        ranges.append((start, end))
    return ranges


# What a named tuple has a default for is drawn too, unless it is named.
NOT_IN_EVERY: dict[str, st.SearchStrategy[object]] = {
    "unrecognized": st.just(()),
    "reported": st.just(()),
    "host_name": st.just(b""),
    "auth": st.none()
    | st.builds(
        AuthParameters,
        random=st.binary(min_size=1, max_size=40),
        chunks=st.none() | st.binary(max_size=9),
        hmacs=st.lists(u16, min_size=1, max_size=3).map(tuple),
        flawed=st.just(False),
    ),
    "adaptation": st.none() | u32,
    "primary": st.just("") | destinations,
    "disable_restart": st.booleans(),
    "lists_more": st.just(False),
}
inits = st.builds(
    init_chunk.Init,
    initiate_tag=u32,
    a_rwnd=u32,
    outgoing_streams=u16,
    incoming_streams=u16,
    initial_tsn=u32,
    addresses=st.lists(destinations, unique=True, max_size=8).map(tuple),
    supported_address_types=st.none() | st.frozensets(st.sampled_from([5, 6])),
    preservative_ms=u32,
    ecn=st.booleans(),
    extensions=st.frozensets(st.integers(0, 255), max_size=10),
    **NOT_IN_EVERY,
    cookie=st.none(),
)
init_acks = st.builds(
    init_chunk.Init,
    initiate_tag=u32,
    a_rwnd=u32,
    outgoing_streams=u16,
    incoming_streams=u16,
    initial_tsn=u32,
    addresses=st.lists(destinations, unique=True, max_size=8).map(tuple),
    cookie=st.binary(max_size=200),
    ecn=st.booleans(),
    extensions=st.frozensets(st.integers(0, 255), max_size=10),
    unrecognized=st.lists(st.binary(max_size=20).map(lambda value: tlv.pack(0xC123, value)), max_size=3).map(tuple),
    **{name: NOT_IN_EVERY[name] for name in NOT_IN_EVERY if name != "unrecognized"},
    preservative_ms=st.just(0),
    supported_address_types=st.none(),
)
cause_lists = st.lists(
    st.one_of(
        u16.map(causes.pack_invalid_stream),
        st.lists(u16, max_size=5).map(causes.pack_missing_parameters),
        u32.map(causes.pack_stale_cookie),
        st.just(causes.pack_cause(CAUSE_OUT_OF_RESOURCE)),
        destinations.map(lambda address: causes.pack_restart_with_new_addresses([address])),
        st.binary(min_size=4, max_size=20).map(lambda info: causes.pack_cause(CAUSE_UNRECOGNIZED_CHUNK, info)),
        st.binary(max_size=20).map(causes.pack_unresolvable_address),
        st.binary(max_size=20).map(
            lambda value: causes.pack_copies(CAUSE_UNRECOGNIZED_PARAMETERS, [tlv.pack(0xC123, value)])
        ),
        u32.map(causes.pack_no_user_data),
        st.binary(max_size=20).map(lambda info: causes.pack_cause(CAUSE_USER_ABORT, info)),
        st.text(max_size=20).map(causes.pack_protocol_violation),
        st.builds(causes.pack_new_encapsulation_port, u16, u16),
    ),
    max_size=5,
).map(b"".join)

READERS: dict[int, Callable[[bytes, int, int], object]] = {
    1: init_chunk.read_init,
    2: init_chunk.read_init,
    3: lambda data, start, end: sack.read_sack(data, start - 4, end - start + 4),
    4: control.read_heartbeat,
    5: control.read_heartbeat,
    6: causes.read_causes,
    7: control.read_tsn,
    9: causes.read_causes,
    12: control.read_ecne,
    13: control.read_tsn,
}

chunks = st.one_of(
    inits.map(lambda init: init_chunk.pack_init(init, ack=False)),
    init_acks.map(lambda init: init_chunk.pack_init(init, ack=True)),
    st.builds(sack.pack_sack, u32, u32, gap_ranges(), st.lists(u32, max_size=10)),
    st.binary(max_size=60).map(control.pack_heartbeat),
    st.binary(max_size=60).map(control.pack_heartbeat_ack),
    cause_lists.map(control.pack_abort),
    u32.map(control.pack_shutdown),
    cause_lists.map(control.pack_error),
    st.builds(
        lambda tsn, marked: tlv.pack(12 << 8, tsn.to_bytes(4) + marked), u32, st.sampled_from([b"", b"\0\0\0\7"])
    ),
    u32.map(control.pack_cwr),
)


def read_all(data: bytes) -> int:
    """Read every chunk of a packet's body; how many there were."""
    count = 0
    for first16, _, start, end in tlv.walk(data, 0, len(data)):
        count += 1
        if reader := READERS.get(first16 >> 8):
            reader(data, start, end)
    return count


@given(st.lists(chunks, max_size=4))
def test_valid_chunks_are_read(body: list[bytes]) -> None:
    assert read_all(b"".join(body)) == len(body)


@given(chunks, st.data())
def test_every_truncation_is_read_or_malformed(chunk: bytes, data: st.DataObject) -> None:
    for size in range(len(chunk)):
        with suppress(Malformed):
            read_all(chunk[:size])
        # The same with the enclosing length put right, so that the reader of the value meets the end.
        if size >= 4:
            with suppress(Malformed):
                read_all(chunk[:2] + size.to_bytes(2) + chunk[4:size])
    kept = data.draw(st.integers(4, len(chunk)))
    assert read_all(b"\x0b\0\0\4" + chunk[kept:kept]) == 1


@given(chunks, u32)
def test_every_single_byte_mutation_is_read_or_malformed(chunk: bytes, seed: int) -> None:
    for at in range(len(chunk)):
        for byte in {0, 1, 0xFF, seed >> at % 24 & 0xFF}:
            with suppress(Malformed):
                assert read_all(chunk[:at] + bytes([byte]) + chunk[at + 1 :]) <= len(chunk) // 4


@given(st.binary(max_size=200), st.sampled_from(sorted(READERS)))
def test_any_value_of_any_chunk_is_read_or_malformed(value: bytes, chunk_type: int) -> None:
    with suppress(Malformed):
        read_all(tlv.pack(chunk_type << 8, value))


@given(st.binary(max_size=200))
def test_any_bytes_are_walked_in_bounded_steps(data: bytes) -> None:
    steps = 0
    with suppress(Malformed):
        for _, at, start, end in tlv.walk(data, 0, len(data)):
            steps += 1
            assert at + 4 == start <= end <= len(data)
    assert steps <= len(data) // 4


@given(st.binary(max_size=100))
def test_any_datagram_is_checked_or_malformed(datagram: bytes) -> None:
    with suppress(Malformed):
        packet.checksum_ok(datagram)


@given(u16, u16, u32, st.binary(max_size=100))
def test_packets_come_back(source: int, destination: int, tag: int, body: bytes) -> None:
    sealed = packet.Seal(source, destination, tag).pack(body)
    assert packet.read_header(sealed) == (source, destination, tag)
    assert packet.checksum_ok(sealed)
    assert sealed[12:] == body


@given(inits)
def test_inits_come_back(init: init_chunk.Init) -> None:
    chunk = init_chunk.pack_init(init, ack=False)
    assert init_chunk.read_init(chunk, 4, int.from_bytes(chunk[2:4])) == init


@given(init_acks)
def test_init_acks_come_back(ack: init_chunk.Init) -> None:
    chunk = init_chunk.pack_init(ack, ack=True)
    found = init_chunk.read_init(chunk, 4, int.from_bytes(chunk[2:4]))
    assert (found.cookie, found.addresses, found.extensions) == (ack.cookie, ack.addresses, ack.extensions)
    assert found.reported == ack.unrecognized


@given(u32, u32, gap_ranges(), st.lists(u32, max_size=20))
def test_sacks_come_back(tsn: int, a_rwnd: int, gaps: list[tuple[int, int]], duplicates: list[int]) -> None:
    chunk = sack.pack_sack(tsn, a_rwnd, gaps, duplicates)
    assert sack.read_sack(chunk, 0, len(chunk)) == (tsn, a_rwnd, gaps, tuple(duplicates))


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=20))
def test_gap_blocks_of_any_kind_cover_what_they_say(blocks: list[tuple[int, int]]) -> None:
    chunk = sack.pack_sack(1, 1, blocks)
    gaps = sack.read_sack(chunk, 0, len(chunk))[2]
    said = {tsn for start, end in blocks if start > 1 for tsn in range(start, end + 1)}
    assert {tsn for start, end in gaps for tsn in range(start, end + 1)} == said
    assert all(before[1] + 1 < after[0] for before, after in pairwise(gaps))


@given(st.integers(0, 15), u32, u16, u16, u32, st.binary(min_size=1, max_size=40))
def test_data_comes_back(flags: int, tsn: int, sid: int, ssn: int, ppid: int, user_data: bytes) -> None:
    chunk = pack_data(flags, tsn, sid, ssn, ppid, user_data)
    first16, length, wire_tsn, *numbers, found_ppid = read_data(chunk, 0)
    assert (first16, wire_tsn, *numbers, found_ppid) == (flags, tsn, sid, ssn, ppid)
    assert chunk[16:length] == user_data
    assert len(chunk) == (length + 3) // 4 * 4


@given(cause_lists)
def test_causes_read_leniently_are_the_same_where_all_is_well(value: bytes) -> None:
    found: tuple[Cause, ...] = causes.read_causes(value, 0, len(value))
    assert causes.read_causes_leniently(value) == found
    assert all(cause.text.isprintable() for cause in found)


@given(st.binary(max_size=100))
def test_causes_of_an_abort_never_hurt(value: bytes) -> None:
    causes.read_causes_leniently(value)
