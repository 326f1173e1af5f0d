"""What the two sides of an association agree on while it is set up (RFC 9260 section 5.1).

Knows values alone. How they are agreed on is in `negotiation`; the State Cookie that carries them is in `cookie`.
"""

from __future__ import annotations

from typing import NamedTuple

from ...paths.route import in_scope
from ...wire.auth import AuthParameters
from ...wire.constants import ASCONF, ASCONF_ACK, FORWARD_TSN, I_DATA, I_FORWARD_TSN, RE_CONFIG


class Setup(NamedTuple):
    """What both sides agreed on in the handshake: all that is needed to build the association (RFC 9260 section 5.1).

    Tags and TSNs are wire numbers. `addresses` are the peer's, the one that its INIT or INIT ACK came from first.
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
    #: The chunk types of the extensions that both offered (RFC 5061 section 4.2.7).
    extensions: frozenset[int] = frozenset()
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
    def interleaving(self) -> bool:
        """True if all user messages travel in I-DATA chunks (RFC 8260 section 2.2.1)."""
        return I_DATA in self.extensions

    @property
    def partial_reliability(self) -> bool:
        """True if messages may be abandoned; I-DATA has a FORWARD TSN of its own (RFC 8260 section 2.3.1)."""
        kind = I_FORWARD_TSN if I_DATA in self.extensions and not self.is_linux else FORWARD_TSN
        return kind in self.extensions

    @property
    def is_linux(self) -> bool:
        """True if the peer interleaves, has FORWARD TSN, and does not list I-FORWARD-TSN, which it has all the same:
        Linux alone (seen up to 6.12). It counts fragments in its own way, too.
        """
        return I_DATA in self.extensions and FORWARD_TSN in self.extensions and I_FORWARD_TSN not in self.extensions

    @property
    def stream_reconfig(self) -> bool:
        """True if streams can be reset and added (RFC 6525)."""
        return RE_CONFIG in self.extensions

    @property
    def dynamic_addresses(self) -> bool:
        """True if addresses can be added and deleted (RFC 5061), which is to be authenticated."""
        return self.auth is not None and ASCONF in self.extensions and ASCONF_ACK in self.extensions
