"""What we offer in an INIT or INIT ACK, what is wrong with the peer's, and what both agree on (RFC 9260 section 5.1).

Values in, values out: what is sent, and in which state, is known to `handshake` and `collision`; the State Cookie that
carries an agreement is in `cookie`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple, final

from ...config import Config
from ...paths.encapsulation import listed_addresses
from ...paths.route import Route, in_scope, is_ipv4, is_private
from ...random_source import Random
from ...wire import causes, constants
from ...wire.auth import RANDOM_SIZE, SHA_1, SHA_256, AuthParameters
from ...wire.constants import ASCONF, ASCONF_ACK, AUTH, FORWARD_TSN, I_DATA, I_FORWARD_TSN, PAD, RE_CONFIG
from ...wire.init import Init
from ...wire.tlv import Malformed

#: How many addresses of a peer are sent to. Each costs a path and HEARTBEATs; from the others it is heard only.
MAX_PEER_ADDRESSES: Final = 16

_SMALLEST_RWND: Final = 1500  # sections 3.3.2 and 3.3.3


@final
class Extensions:
    """The extensions that both sides offered, by chunk types (RFC 5061 section 4.2.7), and what these stand for."""

    __slots__ = (
        "dynamic_addresses",
        "interleaving",
        "is_linux",
        "packed",
        "pads",
        "partial_reliability",
        "stream_reconfig",
        "types",
    )

    def __init__(self, types: frozenset[int]) -> None:
        self.types = types
        self.packed = bytes(sorted(types))
        #: All user messages travel in I-DATA chunks (RFC 8260 section 2.2.1).
        self.interleaving = I_DATA in types
        #: The peer interleaves, has FORWARD TSN, and does not list I-FORWARD-TSN, which it has all the same: Linux
        #: alone (seen up to 6.12). It counts fragments in its own way, too.
        self.is_linux = self.interleaving and FORWARD_TSN in types and I_FORWARD_TSN not in types
        #: Messages may be abandoned; I-DATA has a FORWARD TSN of its own (RFC 8260 section 2.3.1).
        self.partial_reliability = (I_FORWARD_TSN if self.interleaving and not self.is_linux else FORWARD_TSN) in types
        #: Streams can be reset and added (RFC 6525).
        self.stream_reconfig = RE_CONFIG in types
        #: Addresses can be added and deleted (RFC 5061), if that is authenticated.
        self.dynamic_addresses = ASCONF in types and ASCONF_ACK in types
        #: The peer takes PAD chunks (RFC 4820).
        self.pads = PAD in types


@lru_cache(maxsize=64)
def extensions_of(types: frozenset[int]) -> Extensions:
    """Return the extensions with these chunk types: one object for all associations with the same."""
    return Extensions(types)


NO_EXTENSIONS: Final = extensions_of(frozenset())


class Setup(NamedTuple):
    """What both sides agreed on in the handshake: all that is needed to build the association (RFC 9260 section 5.1).

    Tags and TSNs are wire numbers. `addresses` are the peer's, the one that its INIT or INIT ACK came from first.
    Whoever makes one gives all fields by position: by name that would cost three times as much.
    """

    local_tag: int
    peer_tag: int
    local_initial_tsn: int
    peer_initial_tsn: int
    peer_rwnd: int
    outgoing_streams: int
    incoming_streams: int
    local_port: int
    peer_port: int
    addresses: tuple[str, ...]
    udp_port: int
    ecn: bool = False
    extensions: Extensions = NO_EXTENSIONS
    #: What we said of authentication, and what the peer did; None unless both authenticate (RFC 4895).
    auth: tuple[AuthParameters, AuthParameters] | None = None
    #: What the peer indicated of the layer above (RFC 5061 section 4.2.6).
    adaptation: int | None = None
    #: Which of `addresses` the peer would like to be sent to (RFC 5061 section 5.4).
    preferred: int = 0
    #: Both disabled restarts: the peer's address and port may be those of several associations (draft natsupp).
    disable_restart: bool = False
    #: More addresses of the peer: packets come from there, and none are sent there.
    further: tuple[str, ...] = ()
    #: The peer listed even more, which are not known here.
    lists_more: bool = False

    def lists(self, address: str) -> bool:
        """Tell whether the peer has said that this address is its own, or may have."""
        return address in self.addresses or self.hears(address)

    def hears(self, address: str) -> bool:
        """Tell whether packets with the right tag are taken from this address, which nothing is sent to.

        Section 5.1.2 C has all recorded that the peer lists. Beyond what can be recorded, the tag has to do.
        """
        if address in self.further:
            return True
        return self.lists_more and address not in self.addresses and in_scope(address, self.addresses[0])

    @property
    def dynamic_addresses(self) -> bool:
        """True if addresses can be added and deleted (RFC 5061), which is to be authenticated."""
        return self.auth is not None and self.extensions.dynamic_addresses


def offer(
    config: Config, random: Random, tag: int, local_addresses: Sequence[str], peer: str, theirs: Init | None = None
) -> Init:
    """Return what our INIT to the address `peer` says, or our INIT ACK, if the INIT that came from there is given.

    RANDOM and the initial TSN are drawn here, the tag is given.
    """
    auth = None
    if config.offers_auth:  # RFC 4895 section 6.1
        chunks = config.demanded_chunks
        auth = AuthParameters(random.token(RANDOM_SIZE), bytes(sorted(chunks)) if chunks else None, config.auth_hmacs)
    return Init(
        tag,
        config.recv_buffer,
        config.outgoing_streams,
        config.max_incoming_streams,
        random.bits(32),
        _listed(config, local_addresses, peer, theirs),
        config.ecn,
        _extensions(
            config.partial_reliability,
            config.interleaving,
            config.stream_reconfig,
            auth is not None,
            config.dynamic_addresses,
        ),
        auth,
        config.adaptation_indication,
        config.nat_support,
    )


@lru_cache(maxsize=32)
def _extensions(
    partial_reliability: bool, interleaving: bool, stream_reconfig: bool, auth: bool, dynamic_addresses: bool
) -> frozenset[int]:
    """Return the chunk types of the extensions that are offered (RFC 5061 section 4.2.7)."""
    types = set()
    if auth:
        types.add(AUTH)
    if dynamic_addresses:
        types |= {ASCONF, ASCONF_ACK}
    if partial_reliability:
        types.add(FORWARD_TSN)
    if interleaving:
        types.add(I_DATA)
        if partial_reliability:  # RFC 8260 section 2.3.1
            types.add(I_FORWARD_TSN)
    if stream_reconfig:
        types.add(RE_CONFIG)
    if types:  # where nothing is offered, the INIT stays as bare as it can be
        types.add(PAD)  # it is taken always, and sent to those alone who say the same
    return frozenset(types)


def _listed(config: Config, local_addresses: Sequence[str], peer: str, theirs: Init | None) -> tuple[str, ...]:
    """Return our addresses to list to a peer at `peer`: only those of types that it can use.

    Section 5.1.2: a family that the peer uses itself counts as supported, even if its Supported Address Types lack it.
    """
    if theirs is None:
        return () if config.nat_support else listed_addresses(local_addresses, peer)  # draft natsupp section 6.1
    listed = listed_addresses(local_addresses, peer)
    if theirs.supported_address_types is not None:
        used = {is_ipv4(address) for address in (peer, *theirs.addresses)}
        if constants.PARAM_IPV4_ADDRESS in theirs.supported_address_types:
            used.add(True)
        if constants.PARAM_IPV6_ADDRESS in theirs.supported_address_types:
            used.add(False)
        listed = tuple(address for address in listed if is_ipv4(address) in used)
    if config.nat_support and theirs.disable_restart:  # draft natsupp section 6.1: none that a NAT hides, nor one alone
        listed = tuple(address for address in listed if not is_private(address))
        return listed if len(listed) > 1 else ()
    return listed


def flaw(init: Init, ack: bool, config: Config, ours: Init | None = None) -> bytes | None:
    """Check all that is to be right of an INIT or INIT ACK. Return the error cause for which it MUST be answered by an
    ABORT, which is empty for an INIT ACK with Initiate Tag 0 (section 3.3.3); None if it has no flaw.

    What belongs to extensions that `config` does not offer is not looked at. `ours`: what our INIT said. Raise
    `Malformed` for an INIT with Initiate Tag 0, as there is no tag to answer with (section 3.3.2).
    """
    if init.initiate_tag == 0:
        if ack:
            return b""
        raise Malformed("an INIT with Initiate Tag 0")
    if init.host_name:
        return causes.pack_unresolvable_address(init.host_name)  # section 5.1.2 B
    if init.a_rwnd < _SMALLEST_RWND or init.outgoing_streams == 0 or init.incoming_streams == 0:
        return causes.pack_cause(constants.CAUSE_INVALID_PARAMETER)
    if ack and init.cookie is None:  # section 5.1 C: what it holds, be it nothing, is known to its sender alone
        return causes.pack_missing_parameters((constants.PARAM_STATE_COOKIE,))
    return _flaw_of_auth(init, config, ours) if config.offers_auth else None


def _flaw_of_auth(init: Init, config: Config, ours: Init | None) -> bytes | None:
    said = init.auth
    if said is not None and ours is not None and ours.auth is not None and said.random == ours.auth.random:
        # Nobody comes upon 32 random bytes by chance: who returns ours may return our AUTH chunks too.
        return causes.pack_protocol_violation("the random number is ours")
    if said is not None and (said.flawed or (said.random and len(said.random) != RANDOM_SIZE)):
        return causes.pack_protocol_violation("RANDOM, CHUNKS and HMAC-ALGO are not what RFC 4895 says")  # section 6.1
    if _authenticates(said):
        return None
    # RFC 5061 section 6: addresses are not to be changed by those who don't authenticate. And what our user demands to
    # be authenticated is not given up because somebody has taken out what the peer said of it.
    if config.auth_chunks or (config.dynamic_addresses and ASCONF in init.extensions):
        return causes.pack_missing_parameters((constants.PARAM_RANDOM, constants.PARAM_HMAC_ALGORITHMS))
    return None


def _authenticates(said: AuthParameters | None) -> bool:
    """Tell whether a side has said all that it takes, and of an HMAC that we have (RFC 4895 section 6.1)."""
    return said is not None and bool(said.random) and (SHA_1 in said.hmacs or SHA_256 in said.hmacs)


def peer_addresses(
    init: Init, source: str, local_addresses: Sequence[str], known: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return the peer's addresses (section 5.1.2): where its INIT or INIT ACK came from, then those that it lists.

    Left out are families that we have no address of, and addresses that mean another host to the peer than to us,
    unless our own user named them: those are `known`.
    """
    if not init.addresses:
        return (source,)
    families = {is_ipv4(address) for address in local_addresses}
    addresses = {source: None}
    for address in init.addresses:
        if address in known or (is_ipv4(address) in families and in_scope(address, source)):
            addresses[address] = None
    return tuple(addresses)


def agree(ours: Init, theirs: Init, ports: tuple[int, int], source: Route, addresses: tuple[str, ...]) -> Setup:
    """Return what holds after both sides have said what they offer; `ports` are the local and the peer's."""
    local_port, peer_port = ports
    kept = addresses[:MAX_PEER_ADDRESSES]
    return Setup(
        ours.initiate_tag,
        theirs.initiate_tag,
        ours.initial_tsn,
        theirs.initial_tsn,
        theirs.a_rwnd,
        # Section 5.1.1: the smaller of what one side asks for and the other allows.
        min(ours.outgoing_streams, theirs.incoming_streams),
        min(ours.incoming_streams, theirs.outgoing_streams),
        local_port,
        peer_port,
        kept,
        source.udp_port,
        ours.ecn and theirs.ecn,
        _common(ours.extensions, theirs.extensions),
        (ours.auth, theirs.auth) if ours.auth and theirs.auth and _authenticates(theirs.auth) else None,
        theirs.adaptation,
        kept.index(theirs.primary) if theirs.primary in kept else 0,
        ours.disable_restart and theirs.disable_restart,
        addresses[MAX_PEER_ADDRESSES:],
        theirs.lists_more,
    )


@lru_cache(maxsize=64)
def _common(ours: frozenset[int], theirs: frozenset[int]) -> Extensions:
    """Return the extensions that both sides offer."""
    return extensions_of(ours & theirs)
