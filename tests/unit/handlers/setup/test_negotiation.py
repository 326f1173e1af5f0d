from __future__ import annotations

import pytest

from asyncsctp.config import Config
from asyncsctp.handlers.setup import negotiation
from asyncsctp.paths.route import Route
from asyncsctp.testing import SeededRandom
from asyncsctp.wire.constants import (
    CAUSE_INVALID_PARAMETER,
    CAUSE_MISSING_PARAMETER,
    CAUSE_UNRESOLVABLE_ADDRESS,
    FORWARD_TSN,
    I_DATA,
    I_FORWARD_TSN,
    PARAM_IPV4_ADDRESS,
    PARAM_IPV6_ADDRESS,
)
from asyncsctp.wire.init import Init, pack_init
from asyncsctp.wire.tlv import Malformed

THEIRS = Init(0x2222, 50_000, 7, 9, 100, cookie=b"cookie", ecn=True)


def offer(config: Config) -> Init:
    return negotiation.offer(config, SeededRandom(1), 0x1111, ["192.0.2.1"], "192.0.2.2")


def listed(local: list[str], peer: str, theirs: Init) -> tuple[str, ...]:
    return negotiation.offer(Config(), SeededRandom(1), 0x1111, local, peer, theirs).addresses


def test_the_init_of_a_single_homed_endpoint_is_minimal() -> None:
    """Some peers refuse an INIT with parameters that they do not know, be it an address (pion)."""
    init = offer(Config(ecn=False, partial_reliability=False, stream_reconfig=False))
    assert len(pack_init(init, ack=False)) == 20


def test_an_offer_says_what_the_settings_say() -> None:
    config = Config(outgoing_streams=3, max_incoming_streams=4, recv_buffer=5000)
    init = negotiation.offer(config, SeededRandom(1), 0x1111, ["192.0.2.1", "192.0.2.3"], "192.0.2.2")
    assert (init.initiate_tag, init.initial_tsn, init.a_rwnd) == (0x1111, SeededRandom(1).bits(32), 5000)
    assert (init.outgoing_streams, init.incoming_streams) == (3, 4)
    assert init.addresses == ("192.0.2.1", "192.0.2.3")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"a_rwnd": 1499}, CAUSE_INVALID_PARAMETER),
        ({"outgoing_streams": 0}, CAUSE_INVALID_PARAMETER),
        ({"incoming_streams": 0}, CAUSE_INVALID_PARAMETER),
        ({"host_name": b"\0\x0b\0\x08a.b\0"}, CAUSE_UNRESOLVABLE_ADDRESS),
        ({"cookie": None}, CAUSE_MISSING_PARAMETER),
    ],
)
def test_flaws_that_must_be_answered_by_an_abort(changes: dict[str, object], code: int) -> None:
    flawed = THEIRS._replace(**changes)  # type: ignore[arg-type]
    cause = negotiation.flaw(flawed, True, Config())
    assert cause is not None and int.from_bytes(cause[:2]) == code


def test_what_has_no_flaw() -> None:
    assert negotiation.flaw(THEIRS, True, Config()) is None
    assert negotiation.flaw(THEIRS._replace(cookie=None, a_rwnd=1500), False, Config()) is None


def test_an_initiate_tag_of_zero_leaves_no_tag_to_answer_an_init_with() -> None:
    """Sections 3.3.2 and 3.3.3: an INIT is dropped, an INIT ACK answered by an ABORT that reflects the tag."""
    assert negotiation.flaw(THEIRS._replace(initiate_tag=0), True, Config()) == b""
    with pytest.raises(Malformed):
        negotiation.flaw(THEIRS._replace(initiate_tag=0), False, Config())


def test_streams_are_the_smaller_of_asked_for_and_allowed() -> None:
    """Section 5.1.1."""
    ours = offer(Config(outgoing_streams=100, max_incoming_streams=5))
    setup = negotiation.agree(ours, THEIRS, (5000, 6000), Route("192.0.2.1", "192.0.2.2", 4321), ("192.0.2.2",))
    assert (setup.outgoing_streams, setup.incoming_streams) == (9, 5)
    assert (setup.local_tag, setup.peer_tag) == (0x1111, 0x2222)
    assert (setup.local_initial_tsn, setup.peer_initial_tsn) == (ours.initial_tsn, 100)
    assert (setup.local_port, setup.peer_port, setup.udp_port) == (5000, 6000, 4321)


@pytest.mark.parametrize(("we", "they"), [(True, True), (True, False), (False, True)])
def test_ecn_takes_two(we: bool, they: bool) -> None:
    ours = offer(Config(ecn=we))
    setup = negotiation.agree(ours, THEIRS._replace(ecn=they), (1, 2), Route("", "192.0.2.2", 1), ("192.0.2.2",))
    assert setup.ecn is (we and they)


def test_the_source_of_the_packet_is_always_the_first_address() -> None:
    """Section 5.1.2 C."""
    init = THEIRS._replace(addresses=("192.0.2.3", "192.0.2.2"))
    assert negotiation.peer_addresses(init, "192.0.2.2", ["192.0.2.1"]) == ("192.0.2.2", "192.0.2.3")


def test_addresses_that_we_cannot_reach_are_left_out() -> None:
    """Loopback of the peer is not ours, and IPv6 is no use without an address of that family."""
    init = THEIRS._replace(addresses=("127.0.0.1", "10.0.0.1", "2001:db8::2", "198.51.100.7"))
    assert negotiation.peer_addresses(init, "203.0.113.9", ["203.0.113.1"]) == ("203.0.113.9", "198.51.100.7")


def test_addresses_that_our_user_named_stay_whatever_their_scope() -> None:
    init = THEIRS._replace(addresses=("10.0.0.1",))
    found = negotiation.peer_addresses(init, "203.0.113.9", ["203.0.113.1"], known=["10.0.0.1"])
    assert found == ("203.0.113.9", "10.0.0.1")


def test_a_peer_with_too_many_addresses_is_sent_to_some_and_heard_from_all() -> None:
    init = THEIRS._replace(addresses=tuple(f"198.51.100.{number}" for number in range(1, 60)))
    found = negotiation.peer_addresses(init, "203.0.113.9", ["203.0.113.1"])
    ours = offer(Config())
    setup = negotiation.agree(ours, init, (1, 2), Route("203.0.113.1", "203.0.113.9", 9899), found)
    assert len(setup.addresses) == negotiation.MAX_PEER_ADDRESSES
    assert (*setup.addresses, *setup.further) == ("203.0.113.9", *init.addresses)


def test_we_list_only_types_that_the_peer_supports() -> None:
    """Section 5.1.2: what it uses itself counts as supported."""
    local = ["203.0.113.1", "203.0.113.2", "2001:db8:1::1"]
    only_ipv4 = THEIRS._replace(supported_address_types=frozenset({PARAM_IPV4_ADDRESS}))
    assert listed(local, "203.0.113.9", only_ipv4) == ("203.0.113.1", "203.0.113.2")
    assert len(listed(local, "2001:db8:1::9", only_ipv4)) == 3
    assert len(listed(local, "203.0.113.9", only_ipv4._replace(addresses=("2001:db8:1::9",)))) == 3
    assert len(listed(local, "203.0.113.9", THEIRS)) == 3


def test_interleaving_without_partial_reliability_has_no_forward_tsn() -> None:
    """RFC 8260 section 2.3.1: I-FORWARD-TSN is for those who have both."""
    only = offer(Config(interleaving=True, partial_reliability=False))
    both = offer(Config(interleaving=True, partial_reliability=True))
    assert I_DATA in only.extensions
    assert not only.extensions & {FORWARD_TSN, I_FORWARD_TSN}
    assert both.extensions >= {I_DATA, FORWARD_TSN, I_FORWARD_TSN}


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ((PARAM_IPV4_ADDRESS,), ("192.0.2.1", "192.0.2.3")),
        ((PARAM_IPV6_ADDRESS,), ("192.0.2.1", "192.0.2.3", "2001:db8::1")),
        ((), ("192.0.2.1", "192.0.2.3")),
    ],
)
def test_addresses_are_listed_of_the_types_that_the_peer_supports_or_uses(
    types: tuple[int, ...], expected: tuple[str, ...]
) -> None:
    """Section 5.1.2: it uses IPv4, so that it supports it whatever it says."""
    local = ["192.0.2.1", "192.0.2.3", "2001:db8::1"]
    assert listed(local, "192.0.2.2", THEIRS._replace(supported_address_types=frozenset(types))) == expected
