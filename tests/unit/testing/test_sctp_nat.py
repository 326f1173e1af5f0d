"""A NAT of draft-ietf-tsvwg-natsupp, by the figures of its sections 4.3 and 8 and the rules of section 6."""

from __future__ import annotations

from ipaddress import ip_address
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.chunks import pack_data
from support.endpoints import Sim, addresses, cause_of, chunks, offer
from support.natsupp_script import by_nat

from asyncsctp.config import Config
from asyncsctp.testing import Binding, Network, Refusal, SctpNat
from asyncsctp.wire import control, tlv
from asyncsctp.wire.addresses import pack_address
from asyncsctp.wire.auth import pack_auth
from asyncsctp.wire.constants import (
    ABORT,
    ASCONF,
    CAUSE_MISSING_STATE,
    CAUSE_PORT_COLLISION,
    CAUSE_VTAG_COLLISION,
    ERROR,
    FLAG_MIDDLEBOX,
    FLAG_TAG_REFLECTED,
    PARAM_ADD_ADDRESS,
    PARAM_DELETE_ADDRESS,
    PARAM_DISABLE_RESTART,
    PARAM_VTAGS,
)
from asyncsctp.wire.init import pack_init
from asyncsctp.wire.packet import Seal, read_header

# As in the figures: host A behind the NAT, host B beyond it; further inside hosts.
A, A2, A3 = "10.0.0.1", "10.0.0.2", "10.0.0.3"
B, B2 = "203.0.113.1", "203.0.113.129"
EXTERNAL = "192.0.2.1"
INT_PORT, REM_PORT = 1, 2
INT_TAG, REM_TAG = 1234, 5678
UDP = 9899
M, T = FLAG_MIDDLEBOX, FLAG_TAG_REFLECTED


def init(tag: int, restart: bool = True, ack: bool = False) -> bytes:
    return pack_init(offer(initiate_tag=tag, disable_restart=not restart, cookie=b"cookie" if ack else None), ack)


def init_ack(tag: int, restart: bool = True) -> bytes:
    return init(tag, restart, ack=True)


def asconf(
    internal_tag: int = INT_TAG, remote_tag: int = REM_TAG, restart: bool = True, wildcard: str = "0.0.0.0"
) -> bytes:
    """As in section 8.4: VTags, the address of the packet in, all others out."""
    items = tlv.pack(PARAM_VTAGS, b"".join(number.to_bytes(4) for number in (7, internal_tag, remote_tag)))
    items += b"" if restart else tlv.pack(PARAM_DISABLE_RESTART)
    for number, kind in enumerate((PARAM_ADD_ADDRESS, PARAM_DELETE_ADDRESS)):
        items += tlv.pack(kind, number.to_bytes(4) + pack_address(wildcard))
    return tlv.pack_enclosing(ASCONF << 8, pack_address(wildcard) + items, (1).to_bytes(4))


def plain_asconf() -> bytes:
    items = tlv.pack(PARAM_ADD_ADDRESS, (1).to_bytes(4) + pack_address(A))
    return tlv.pack_enclosing(ASCONF << 8, pack_address(A) + items, (1).to_bytes(4))


def error(flags: int) -> bytes:
    return by_nat(ERROR, CAUSE_MISSING_STATE, flags, b"1234")


DATA = pack_data(3, 1, 0, 0, 0, b"data")


class Bench:
    """A NAT between packets made by hand."""

    def __init__(self, *inside: str, **options: float | bool | None) -> None:
        self.nat = SctpNat(EXTERNAL, frozenset(inside or (A, A2, A3)), **options)  # type: ignore[arg-type]
        self.now = 0.0

    def out(
        self, *items: bytes, tag: int = REM_TAG, source: str = A, port: int = INT_PORT, to: str = B, udp: int = UDP
    ) -> str | None:
        """A packet from inside; the address that it goes on from."""
        packet = Seal(port, REM_PORT, tag).pack(b"".join(items))
        going_on = self.nat.translate_out((source, udp), (to, UDP), packet, self.now)
        assert going_on is None or going_on[1] == udp
        return going_on[0] if going_on is not None else None

    def into(
        self, *items: bytes, tag: int = INT_TAG, source: str = B, port: int = INT_PORT, udp: int = UDP
    ) -> str | None:
        """A packet from outside; the address that it goes on to."""
        packet = Seal(REM_PORT, port, tag).pack(b"".join(items))
        going_on = self.nat.translate_in((source, UDP), udp, packet, self.now)
        assert going_on is None or going_on[1] == udp
        return going_on[0] if going_on is not None else None

    def establish(self, source: str = A, tag: int = INT_TAG, remote: int = REM_TAG, restart: bool = True) -> None:
        assert self.out(init(tag, restart), tag=0, source=source) == EXTERNAL
        assert self.into(init_ack(remote, restart), tag=tag) == source

    def answer(self) -> tuple[tuple[str, str], tuple[int, int, int], int, int, int, bytes]:
        """What the NAT said: addresses, header, chunk type, flags, cause, and what the cause says."""
        ((source, destination, data),) = self.nat.outbox
        self.nat.outbox.clear()
        assert source[1] == destination[1] == UDP
        (chunk,) = chunks(data)
        ((code, _, start, end),) = tlv.walk(chunk, 4, len(chunk))
        return (source[0], destination[0]), read_header(data), chunk[0], chunk[1], code, chunk[start:end]

    def is_silent(self) -> bool:
        return not self.nat.outbox

    def rows(self) -> list[tuple[int, int, int, int, str]]:
        return [binding[:5] for binding in self.nat.bindings]


# Section 8.1, with the figures of section 4.3.


def test_8_1_a_handshake() -> None:
    bench = Bench()
    assert bench.out(init(INT_TAG), tag=0) == EXTERNAL
    assert bench.rows() == [(1234, 1, 0, 2, A)]
    assert bench.into(init_ack(REM_TAG)) == A
    assert bench.rows() == [(1234, 1, 5678, 2, A)]
    assert bench.out(control.pack_cookie_echo(b"cookie")) == EXTERNAL
    assert bench.into(control.pack_cookie_ack()) == A
    assert bench.out(DATA) == EXTERNAL
    assert bench.into(DATA) == A
    assert bench.rows() == [(1234, 1, 5678, 2, A)]
    assert bench.is_silent()
    assert not bench.nat.drops


def test_ports_of_udp_are_kept_and_tell_nothing() -> None:
    bench = Bench()
    bench.out(init(INT_TAG), tag=0, udp=4444)
    assert bench.into(init_ack(REM_TAG), udp=4444) == A
    assert bench.out(DATA, udp=5555) == EXTERNAL
    assert bench.into(DATA, udp=6666) == A


def test_4_3_an_init_ack_that_nobody_asked_for_is_dropped() -> None:
    bench = Bench()
    bench.out(init(INT_TAG), tag=0)
    for tag, port in ((INT_TAG + 1, INT_PORT), (INT_TAG, INT_PORT + 1), (0, INT_PORT)):
        assert bench.into(init_ack(REM_TAG), tag=tag, port=port) is None
    assert bench.rows() == [(1234, 1, 0, 2, A)]
    assert bench.nat.drops == {Refusal.UNKNOWN: 3}
    assert bench.is_silent()


@pytest.mark.parametrize(
    "chunk",
    [control.pack_abort(reflected=True), control.pack_shutdown_complete(reflected=True), error(M | T)],
    ids=["ABORT", "SHUTDOWN COMPLETE", "ERROR of another NAT"],
)
def test_4_3_with_the_t_bit_the_tag_is_the_remote_one(chunk: bytes) -> None:
    bench = Bench()
    bench.establish()
    assert bench.into(chunk, tag=REM_TAG) == A
    assert bench.into(chunk, tag=INT_TAG) is None
    assert bench.out(chunk, tag=INT_TAG) == EXTERNAL
    assert bench.out(chunk, tag=INT_TAG, source=A2) is None
    assert bench.out(chunk, tag=REM_TAG) is None


@pytest.mark.parametrize("chunk", [control.pack_abort(), control.pack_shutdown_complete(), error(0)])
def test_4_3_without_the_t_bit_the_tag_is_as_usual(chunk: bytes) -> None:
    bench = Bench()
    bench.establish()
    assert bench.into(chunk, tag=INT_TAG) == A
    assert bench.into(chunk, tag=REM_TAG) is None
    assert bench.out(chunk, tag=REM_TAG) == EXTERNAL


def test_4_3_other_packets_from_outside_need_the_internal_tag_and_both_ports() -> None:
    bench = Bench()
    bench.establish()
    assert bench.into(DATA, tag=INT_TAG) == A
    assert bench.into(DATA, tag=REM_TAG) is None
    assert bench.into(DATA, port=INT_PORT + 1) is None
    assert bench.into() == A  # nothing but a header
    assert bench.nat.drops == {Refusal.UNKNOWN: 2}


# Section 8.2.


def test_8_2_the_second_address_of_the_server_needs_nothing() -> None:
    bench = Bench()
    bench.establish()
    assert bench.into(DATA, source=B2) == A
    assert bench.out(DATA, to=B2) == EXTERNAL
    assert bench.rows() == [(1234, 1, 5678, 2, A)]


# Section 8.3.


@pytest.mark.parametrize("restart", [True, False])
@pytest.mark.parametrize("before", [b"", pack_auth(0, 1, bytes(20))], ids=["alone", "behind AUTH"])
def test_8_3_an_asconf_with_the_tags_makes_an_entry_in_the_second_nat(restart: bool, before: bytes) -> None:
    second = Bench("10.1.0.1")
    assert second.out(before + asconf(restart=restart), source="10.1.0.1", to=B2) == EXTERNAL
    assert second.nat.bindings == [Binding(1234, 1, 5678, 2, "10.1.0.1", not restart)]
    assert second.into(DATA, source=B2) == "10.1.0.1"
    assert second.is_silent()


# Section 8.4, and 6.4.1.


@pytest.mark.parametrize("external", [None, "192.0.2.2"])
def test_8_4_a_nat_that_lost_its_state_says_so_and_learns_anew(external: str | None) -> None:
    bench = Bench()
    bench.establish()
    bench.nat.lose_state(external)
    assert bench.rows() == []
    assert bench.out(DATA) is None
    addresses, header, kind, flags, cause, original = bench.answer()
    assert addresses == (B, A)
    assert header == (REM_PORT, INT_PORT, REM_TAG)
    assert (kind, flags, cause) == (ERROR, M | T, CAUSE_MISSING_STATE)
    assert original[:1] == b"\x45"
    assert bench.nat.drops == {Refusal.MISSING_STATE: 1}
    assert bench.out(asconf(), to=B2) == (external or EXTERNAL)
    assert bench.rows() == [(1234, 1, 5678, 2, A)]
    assert bench.into(DATA, source=B2) == A
    assert bench.out(DATA) == (external or EXTERNAL)


def test_8_4_a_new_address_only() -> None:
    bench = Bench()
    bench.establish()
    bench.nat.move("192.0.2.2")
    assert bench.out(DATA) == "192.0.2.2"
    assert bench.into(DATA) == A


def test_6_4_1_the_original_packet_is_returned_as_it_came() -> None:
    bench = Bench()
    bench.out(DATA, to=B2)
    original = bench.answer()[-1]
    assert original[:2] == b"\x45\x00"
    assert int.from_bytes(original[2:4]) == len(original)
    assert sum(int.from_bytes(original[at : at + 2]) for at in range(0, 20, 2)) % 0xFFFF == 0
    assert [str(ip_address(original[at : at + 4])) for at in (12, 16)] == [A, B2]
    assert original[20:24] == UDP.to_bytes(2) * 2
    assert original[28:] == Seal(INT_PORT, REM_PORT, REM_TAG).pack(DATA)


def test_6_4_1_an_original_packet_of_ipv6() -> None:
    bench = Bench("fd00::1")
    bench.out(DATA, source="fd00::1", to="2001:db8::1")
    original = bench.answer()[-1]
    assert original[0] == 0x60
    assert int.from_bytes(original[4:6]) == len(original) - 40
    assert [str(ip_address(original[at : at + 16])) for at in (8, 24)] == ["fd00::1", "2001:db8::1"]
    assert original[48:] == Seal(INT_PORT, REM_PORT, REM_TAG).pack(DATA)


def test_6_4_1_a_large_original_packet_is_truncated() -> None:
    bench = Bench()
    bench.out(pack_data(3, 1, 0, 0, 0, bytes(8000)))
    ((_, _, answer),) = bench.nat.outbox
    assert len(answer) + 28 <= 1280
    assert int.from_bytes(bench.answer()[-1][2:4]) > 8000


@pytest.mark.parametrize(
    "chunk",
    [
        control.pack_abort(),
        control.pack_abort(reflected=True),
        control.pack_shutdown_complete(),
        control.pack_shutdown_complete(reflected=True),
        init_ack(1),
        error(M),
        error(M | T),
    ],
    ids=["ABORT", "ABORT T", "SHUTDOWN COMPLETE", "SHUTDOWN COMPLETE T", "INIT ACK", "ERROR M", "ERROR M T"],
)
def test_6_4_1_what_is_not_answered_when_state_is_missing(chunk: bytes) -> None:
    bench = Bench()
    assert bench.out(chunk) is None
    assert bench.is_silent()
    assert bench.nat.drops == {Refusal.MISSING_STATE: 1}
    assert bench.rows() == []


@pytest.mark.parametrize(
    "chunk",
    [DATA, error(0), error(T), plain_asconf(), control.pack_cookie_echo(b"cookie"), b""],
    ids=["DATA", "ERROR", "ERROR T", "ASCONF without tags", "COOKIE ECHO", "nothing"],
)
def test_6_4_1_what_is_answered_when_state_is_missing(chunk: bytes) -> None:
    bench = Bench()
    assert bench.out(chunk) is None
    assert bench.answer()[2:5] == (ERROR, M | T, CAUSE_MISSING_STATE)
    assert bench.rows() == []


def test_4_3_an_asconf_for_which_there_is_an_entry_changes_nothing() -> None:
    bench = Bench()
    bench.establish(restart=False)
    assert bench.out(asconf(restart=True)) == EXTERNAL
    assert bench.out(plain_asconf()) == EXTERNAL
    assert bench.nat.bindings == [Binding(1234, 1, 5678, 2, A, restart_disabled=True)]


def test_6_4_1_an_asconf_puts_the_remote_tag_right() -> None:
    bench = Bench()
    bench.establish(remote=99)
    assert bench.out(asconf()) == EXTERNAL
    assert bench.rows() == [(1234, 1, 5678, 2, A)]


# Section 8.5.


def test_8_5_peer_to_peer_by_an_init_collision() -> None:
    nat_a = Bench()
    inside_b, external_b = "10.1.0.1", "203.0.113.1"
    nat_b = SctpNat(external_b, frozenset({inside_b}))

    def from_b(chunk: bytes, tag: int) -> str | None:
        going_on = nat_b.translate_out((inside_b, UDP), (EXTERNAL, UDP), Seal(REM_PORT, INT_PORT, tag).pack(chunk), 0.0)
        return going_on[0] if going_on is not None else None

    def to_b(chunk: bytes, tag: int) -> str | None:
        going_on = nat_b.translate_in((EXTERNAL, UDP), UDP, Seal(INT_PORT, REM_PORT, tag).pack(chunk), 0.0)
        return going_on[0] if going_on is not None else None

    assert nat_a.out(init(INT_TAG), tag=0) == EXTERNAL
    assert to_b(init(INT_TAG), 0) is None
    assert nat_b.bindings == []
    assert nat_b.drops == {Refusal.UNKNOWN: 1}
    assert from_b(init(REM_TAG), 0) == external_b
    assert nat_b.bindings == [(5678, 2, 0, 1, inside_b, False)]
    assert nat_a.into(init(REM_TAG), tag=0) == A
    assert nat_a.rows() == [(1234, 1, 5678, 2, A)]
    assert nat_a.out(init_ack(INT_TAG)) == EXTERNAL
    assert to_b(init_ack(INT_TAG), REM_TAG) == inside_b
    assert nat_b.bindings == [(5678, 2, 1234, 1, inside_b, False)]
    assert from_b(control.pack_cookie_echo(b"cookie"), INT_TAG) == external_b
    assert nat_a.into(control.pack_cookie_echo(b"cookie")) == A
    assert nat_a.out(control.pack_cookie_ack()) == EXTERNAL
    assert to_b(control.pack_cookie_ack(), REM_TAG) == inside_b


def test_4_3_an_init_from_outside_passes_again_but_not_with_another_tag() -> None:
    bench = Bench()
    bench.out(init(INT_TAG), tag=0)
    assert bench.into(init(REM_TAG), tag=0) == A
    assert bench.into(init(REM_TAG), tag=0) == A
    assert bench.into(init(REM_TAG + 1), tag=0) is None
    assert bench.rows() == [(1234, 1, 5678, 2, A)]
    assert bench.is_silent()


@pytest.mark.parametrize(("ours", "theirs"), [(False, False), (False, True), (True, False), (True, True)])
def test_5_3_1_restarts_are_disabled_when_both_sides_say_so(ours: bool, theirs: bool) -> None:
    by_init_ack, by_init = Bench(), Bench()
    for bench in (by_init_ack, by_init):
        bench.out(init(INT_TAG, restart=not ours), tag=0)
    by_init_ack.into(init_ack(REM_TAG, restart=not theirs))
    by_init.into(init(REM_TAG, restart=not theirs), tag=0)
    expected = [Binding(1234, 1, 5678, 2, A, restart_disabled=ours and theirs)]
    assert by_init_ack.nat.bindings == by_init.nat.bindings == expected


def test_an_init_from_outside_that_would_let_two_hosts_collide_is_dropped() -> None:
    bench = Bench()
    bench.out(init(INT_TAG, restart=False), tag=0)
    bench.out(init(4321, restart=False), tag=0, source=A2)
    assert bench.into(init(REM_TAG, restart=True), tag=0) is None
    assert bench.rows() == [(1234, 1, 0, 2, A), (4321, 1, 0, 2, A2)]
    assert bench.is_silent()


# Sections 6.2.1 and 6.3.1: collisions.


def test_two_hosts_with_one_port_are_told_apart_where_restarts_are_disabled() -> None:
    bench = Bench()
    bench.establish(A, restart=False)
    bench.establish(A2, tag=4321, remote=8765, restart=False)
    assert (bench.into(DATA, tag=1234), bench.into(DATA, tag=4321)) == (A, A2)
    assert bench.into(control.pack_abort(reflected=True), tag=8765) == A2
    assert bench.out(DATA, tag=8765, source=A2) == EXTERNAL
    assert bench.out(DATA, tag=8765, source=A) is None
    assert bench.answer()[2:5] == (ERROR, M | T, CAUSE_MISSING_STATE)


@pytest.mark.parametrize("established", [True, False])
def test_6_2_1_an_init_with_the_tag_of_another_host(established: bool) -> None:
    bench = Bench()
    bench.out(init(INT_TAG, restart=False), tag=0)
    if established:
        bench.into(init_ack(REM_TAG, restart=False))
    rows = bench.rows()
    offending = init(INT_TAG, restart=False)
    assert bench.out(offending, tag=0, source=A2, to=B2) is None
    assert bench.answer() == ((B2, A2), (REM_PORT, INT_PORT, INT_TAG), ABORT, M, CAUSE_VTAG_COLLISION, offending)
    assert bench.rows() == rows
    assert bench.nat.drops == {Refusal.VTAG_COLLISION: 1}
    assert bench.out(init(INT_TAG + 1, restart=False), tag=0, source=A2) == EXTERNAL


def test_6_2_1_an_init_ack_with_the_tag_of_another_host() -> None:
    bench = Bench()
    bench.establish(restart=False)
    bench.out(init(4321, restart=False), tag=0, source=A2)
    offending = init_ack(REM_TAG, restart=False)
    assert bench.into(offending, tag=4321, source=B2) is None
    addresses, header, kind, flags, cause, info = bench.answer()
    # As the INIT ACK that caused it: its addresses, its ports, and its tag.
    assert addresses == (B2, A2)
    assert header == (REM_PORT, INT_PORT, 4321)
    assert (kind, flags, cause) == (ABORT, M, CAUSE_VTAG_COLLISION)
    assert info == offending[: len(info)]
    assert bench.rows() == [(1234, 1, 5678, 2, A)]
    assert bench.nat.drops == {Refusal.VTAG_COLLISION: 1}


@pytest.mark.parametrize(("first", "second"), [(True, True), (True, False), (False, True)])
def test_6_3_1_an_init_with_the_port_of_another_host(first: bool, second: bool) -> None:
    """Section 4.3: they may only share it if restarts are disabled for all."""
    bench = Bench()
    bench.establish(restart=first)
    offending = init(4321, restart=second)
    assert bench.out(offending, tag=0, source=A2) is None
    assert bench.answer() == ((B, A2), (REM_PORT, INT_PORT, 4321), ABORT, M, CAUSE_PORT_COLLISION, offending)
    assert bench.rows() == [(1234, 1, 5678, 2, A)]
    assert bench.nat.drops == {Refusal.PORT_COLLISION: 1}
    assert bench.out(init(4321, restart=second), tag=0, source=A2, port=3) == EXTERNAL


def test_6_3_1_an_init_with_port_and_tag_of_another_host_that_may_restart() -> None:
    """A new tag would not help it."""
    bench = Bench()
    bench.establish()
    assert bench.out(init(INT_TAG), tag=0, source=A2) is None
    assert bench.answer()[2:5] == (ABORT, M, CAUSE_PORT_COLLISION)


def test_6_3_1_a_server_that_does_not_disable_restarts_has_one_client_behind_a_nat() -> None:
    bench = Bench()
    bench.establish(restart=False)
    bench.out(init(4321, restart=False), tag=0, source=A2)
    assert bench.into(init_ack(8765, restart=True), tag=4321) is None
    assert bench.answer()[:5] == ((B, A2), (REM_PORT, INT_PORT, 4321), ABORT, M, CAUSE_PORT_COLLISION)
    assert bench.rows() == [(1234, 1, 5678, 2, A)]


@pytest.mark.parametrize(("internal", "remote"), [(INT_TAG, 8765), (4321, REM_TAG), (INT_TAG, REM_TAG)])
def test_6_2_1_an_asconf_with_a_tag_of_another_host(internal: int, remote: int) -> None:
    bench = Bench()
    bench.establish(restart=False)
    offending = asconf(internal, remote, restart=False)
    auth = pack_auth(0, 1, bytes(20))
    assert bench.out(auth, offending, tag=remote, source=A2) is None
    addresses, header, kind, flags, cause, info = bench.answer()
    assert addresses == (B, A2)
    assert header == (REM_PORT, INT_PORT, remote)
    assert (kind, flags, cause, info) == (ERROR, M | T, CAUSE_VTAG_COLLISION, offending)
    assert bench.rows() == [(1234, 1, 5678, 2, A)]
    assert bench.nat.drops == {Refusal.VTAG_COLLISION: 1}


@pytest.mark.parametrize(("first", "second"), [(True, True), (True, False), (False, True)])
def test_6_3_1_an_asconf_with_the_port_of_another_host(first: bool, second: bool) -> None:
    bench = Bench()
    bench.establish(restart=first)
    assert bench.out(asconf(4321, 8765, restart=second), tag=8765, source=A2) is None
    assert bench.answer()[2:5] == (ERROR, M | T, CAUSE_PORT_COLLISION)
    assert bench.rows() == [(1234, 1, 5678, 2, A)]


def test_other_remote_ports_never_collide_and_other_remote_hosts_do() -> None:
    """The table of section 4.3 has no remote address: an association may have any number of them."""
    bench = Bench()
    bench.establish()
    other = Seal(INT_PORT, REM_PORT + 1, 0).pack(init(INT_TAG))
    assert bench.nat.translate_out((A2, UDP), (B, UDP), other, 0.0) == (EXTERNAL, UDP)
    assert bench.out(init(4321), tag=0, source=A2, to=B2) is None


def test_a_host_does_not_collide_with_itself() -> None:
    """It has crashed, or speaks to two servers; section 4.3 speaks of other internal addresses."""
    bench = Bench()
    bench.establish()
    bench.establish(tag=4321, remote=8765)
    assert (bench.into(DATA, tag=1234), bench.into(DATA, tag=4321)) == (A, A)
    assert bench.out(DATA, tag=5678) == bench.out(DATA, tag=8765) == EXTERNAL


def test_an_init_that_is_sent_again_passes_again() -> None:
    bench = Bench()
    assert bench.out(init(INT_TAG), tag=0) == bench.out(init(INT_TAG), tag=0) == EXTERNAL
    bench.into(init_ack(99))
    assert bench.into(init_ack(REM_TAG)) == A
    assert bench.rows() == [(1234, 1, 5678, 2, A)]
    assert bench.out(control.pack_cookie_echo(b"cookie")) == EXTERNAL
    # The answer to the second INIT comes late: the association has begun with the tag of the first.
    assert bench.into(init_ack(99)) == A
    assert bench.rows() == [(1234, 1, 5678, 2, A)]


# Time, hairpins, nonsense.


def test_a_binding_times_out_unless_it_is_used_in_either_direction() -> None:
    bench = Bench(idle_timeout=30.0)
    bench.establish()
    for bench.now in (30.0, 60.0):
        assert bench.out(DATA) == EXTERNAL
    for bench.now in (90.0, 120.0):
        assert bench.into(DATA) == A
    bench.now = 151.0
    assert bench.into(DATA) is None
    assert bench.out(DATA) is None
    assert bench.answer()[2:5] == (ERROR, M | T, CAUSE_MISSING_STATE)
    assert bench.nat.drops == {Refusal.UNKNOWN: 1, Refusal.MISSING_STATE: 1}


def test_a_binding_lives_while_the_init_is_sent_again() -> None:
    bench = Bench(idle_timeout=30.0)
    for bench.now in (0.0, 20.0):
        bench.out(init(INT_TAG), tag=0)
    bench.now = 45.0
    assert bench.into(init_ack(REM_TAG)) == A


def test_a_binding_that_timed_out_collides_with_nothing() -> None:
    bench = Bench(idle_timeout=30.0)
    bench.establish()
    bench.now = 31.0
    bench.establish(A2)
    assert bench.rows() == [(1234, 1, 5678, 2, A2)]


def test_hairpin() -> None:
    bench = Bench(hairpin=False)
    assert bench.out(init(INT_TAG), tag=0, to=EXTERNAL) is None
    assert bench.nat.drops == {Refusal.HAIRPIN: 1}
    assert bench.rows() == []


@pytest.mark.parametrize("size", range(12))
def test_what_has_no_header_is_dropped(size: int) -> None:
    nat = Bench().nat
    packet = Seal(1, 2, 3).pack(DATA)[:size]
    assert nat.translate_out((A, UDP), (B, UDP), packet, 0.0) is None
    assert nat.translate_in((B, UDP), UDP, packet, 0.0) is None
    assert nat.drops == {Refusal.MALFORMED: 2}
    assert nat.outbox == []


@pytest.mark.parametrize(
    "chunk", [init(0), b"\1\0\0\4", b"\1\0\0\x13" + bytes(range(16))], ids=["tag 0", "empty", "short"]
)
def test_an_init_without_a_tag_is_dropped(chunk: bytes) -> None:
    bench = Bench()
    assert bench.out(chunk, tag=0) is None
    assert bench.nat.drops == {Refusal.MALFORMED: 1}
    assert bench.rows() == []
    assert bench.is_silent()


def test_an_init_ack_without_a_tag_is_dropped() -> None:
    bench = Bench()
    bench.out(init(INT_TAG), tag=0)
    for chunk in (init_ack(0), b"\2\0\0\4"):
        assert bench.into(chunk) is None
    assert bench.nat.drops == {Refusal.MALFORMED: 2}
    assert bench.rows() == [(1234, 1, 0, 2, A)]
    assert bench.is_silent()


def test_malformed_chunks_of_a_known_association_pass() -> None:
    """It is the endpoints that judge them."""
    bench = Bench()
    bench.establish()
    for content in (b"\0\0\0\0", b"\0", b"\6\1\0", DATA + b"\xff\xff\xff\xff"):
        assert bench.out(content) == EXTERNAL
        assert bench.into(content) == A


@pytest.mark.parametrize("tags", [(0, REM_TAG), (INT_TAG, 0)])
def test_an_asconf_whose_tags_are_zero_is_none_with_tags(tags: tuple[int, int]) -> None:
    bench = Bench()
    assert bench.out(asconf(*tags)) is None
    assert bench.answer()[2:5] == (ERROR, M | T, CAUSE_MISSING_STATE)
    assert bench.rows() == []


def test_strangers_make_no_entries() -> None:
    bench = Bench()
    for port in range(1000):
        for chunk in (init(INT_TAG), init_ack(INT_TAG), DATA, asconf()):
            assert bench.into(chunk, port=port) is None
    assert bench.rows() == []
    assert bench.is_silent()
    assert bench.nat.drops == {Refusal.UNKNOWN: 4000}


SNIPPETS = st.one_of(
    st.binary(max_size=40),
    st.builds(init, st.sampled_from([INT_TAG, REM_TAG]), st.booleans(), st.booleans()),
    st.builds(asconf, st.sampled_from([INT_TAG, 1]), st.sampled_from([REM_TAG, 1]), st.booleans()),
    st.sampled_from([DATA, plain_asconf(), error(M), control.pack_abort()]),
    st.builds(lambda chunk, size: chunk[:size], st.just(asconf()), st.integers(0, 60)),
)


@given(st.lists(st.tuples(st.booleans(), SNIPPETS, st.sampled_from([0, INT_TAG, REM_TAG]), st.sampled_from([A, A2]))))
def test_nothing_raises_and_all_that_it_says_is_well_formed(steps: list[tuple[bool, bytes, int, str]]) -> None:
    bench = Bench()
    for outgoing, chunk, tag, source in steps:
        if outgoing:
            bench.out(chunk, tag=tag, source=source)
        else:
            bench.into(chunk, tag=tag)
        for _, destination, answer in bench.nat.outbox:
            assert destination[0] in (A, A2)
            assert [cause_of(each) for each in chunks(answer)] != [0]
        bench.nat.outbox.clear()
    for one, other in combinations(bench.nat.bindings, 2):
        # Section 4.3's conditions of uniqueness; all have the same ports here.
        assert one.internal_vtag != other.internal_vtag
        if one.internal_address != other.internal_address:
            assert one.restart_disabled
            assert other.restart_disabled
            assert one.remote_vtag != other.remote_vtag or one.remote_vtag == 0


# In the network.


def test_a_nat_is_checked() -> None:
    network = Network()
    network.host("b", B)
    nat = network.sctp_nat(EXTERNAL, A)
    for outside, inside in ((EXTERNAL, A2), (B, A2), ("192.0.2.2", "fd00::1"), ("192.0.2.2", A)):
        with pytest.raises(ValueError):
            network.sctp_nat(outside, inside)
    for taken in (B, "fd00::1", "nonsense"):
        with pytest.raises(ValueError):
            nat.lose_state(taken)
    with pytest.raises(ValueError, match="idle_timeout"):
        network.sctp_nat("192.0.2.2", A2, idle_timeout=0.0)


def test_an_association_through_a_nat() -> None:
    sim = Sim()
    a, z = sim.node("a", A), sim.node("z", B, listening=True)
    nat = sim.network.sctp_nat(EXTERNAL, A)
    a.connect(z)
    sim.until(lambda: a.is_up() and z.is_up())
    assert addresses(z.association) == [EXTERNAL]
    a.send(b"to z" * 10_000)
    z.send(b"to a" * 10_000)
    sim.until(lambda: a.received and z.received)
    context = a.association.context
    assert nat.bindings == [Binding(context.local_tag, a.port, context.peer_tag, z.port, A)]
    a.shutdown()
    sim.until(lambda: a.user.is_closed and z.user.is_closed)
    assert a.user.error is z.user.error is None
    assert not nat.drops


def test_an_association_with_a_multihomed_server_through_a_nat() -> None:
    sim = Sim()
    a, z = sim.node("a", A), sim.node("z", B, B2, listening=True, config=Config(heartbeat_interval=1.0))
    nat = sim.network.sctp_nat(EXTERNAL, A)
    a.connect(z, (B,))
    sim.until(lambda: a.is_up() and z.is_up())
    sim.run(5.0)
    sim.network.cut(A, B)
    a.send(b"by the other address")
    sim.until(lambda: z.received)
    assert len(nat.bindings) == 1
    assert not nat.drops


def test_two_clients_with_two_ports_behind_a_nat() -> None:
    sim = Sim()
    a, b = sim.node("a", A, port=4000), sim.node("b", A2, port=4001)
    z = sim.node("z", B, listening=True)
    nat = sim.network.sctp_nat(EXTERNAL, A, A2)
    a.connect(z)
    b.connect(z)
    sim.until(lambda: a.is_up() and b.is_up() and len(z.users) == 2)
    a.send(b"a")
    b.send(b"b")
    sim.until(lambda: all(user.messages for user in z.users))
    assert {binding.internal_address for binding in nat.bindings} == {A, A2}


def test_an_answer_of_the_nat_reaches_the_host_soon() -> None:
    sim = Sim()
    a, z = sim.node("a", A), sim.node("z", B, listening=True)
    nat = sim.network.sctp_nat(EXTERNAL, A)
    a.connect(z)
    sim.until(lambda: a.is_up() and z.is_up())
    sim.run(1.0)
    nat.lose_state()
    sim.network.packets = []
    a.send(b"x")
    sim.run(0.01)
    sent, answer = sim.network.packets
    assert (sent.outcome, answer.outcome) == ("filtered", "delivered")
    assert (answer.source, answer.destination) == ((B, UDP), (A, UDP))
    assert cause_of(chunks(answer.data)[0]) == CAUSE_MISSING_STATE
    assert answer.time - sent.time == pytest.approx(0.001)


def test_an_answer_of_the_outer_nat_passes_the_inner_one() -> None:
    sim = Sim()
    a, z = sim.node("a", A), sim.node("z", B, listening=True)
    inner = sim.network.sctp_nat("100.64.0.1", A)
    outer = sim.network.sctp_nat(EXTERNAL, "100.64.0.1")
    a.connect(z)
    sim.until(lambda: a.is_up() and z.is_up())
    a.send(b"through both")
    sim.until(lambda: z.received)
    sim.run(1.0)
    assert inner.bindings[0][:4] == outer.bindings[0][:4]
    outer.lose_state()
    sim.network.packets = []
    a.send(b"x")
    sim.run(0.01)
    assert [record.outcome for record in sim.network.packets] == ["filtered", "delivered"]
    assert sim.network.packets[1].source == (B, UDP)
    assert not inner.drops


def test_two_hosts_behind_one_nat_meet_by_its_outside() -> None:
    """As section 8.5, with one NAT: by hairpins, and an INIT collision."""
    sim = Sim()
    a, b = sim.node("a", A, port=4000, listening=True), sim.node("b", A2, port=4001, listening=True)
    nat = sim.network.sctp_nat(EXTERNAL, A, A2)
    a.connect(b, (EXTERNAL,))
    b.connect(a, (EXTERNAL,))
    sim.until(lambda: a.is_up() and b.is_up())
    a.send(b"to b")
    sim.until(lambda: b.received)
    assert len(nat.bindings) == 2
