"""What ICMP is believed (RFC 9260 section 10, RFC 6951 section 5.5): only what quotes a packet that we can have sent.

ICMP is an attacker's input. It never ends an established association, it makes us ask: time-outs decide.
"""

from __future__ import annotations

from typing import Final

from ...errors import AssociationRefused
from ...paths.route import Route
from ...wire.constants import COMMON_HEADER_SIZE, INIT
from ...wire.packet import read_header
from ...wire.tlv import HEADER_SIZE, Malformed
from ..context import Context
from ..state import COOKIE_WAIT, SHUTDOWN_ACK_SENT
from .heartbeat import Heartbeat

_TAG_AT: Final = COMMON_HEADER_SIZE + HEADER_SIZE


def is_quoted(context: Context, quoted: bytes) -> bool:
    """Return True if the quoted packet has the peer's tag, or is our INIT with the right Initiate Tag (ICMP6)."""
    try:
        source_port, destination_port, tag = read_header(quoted)
        if (source_port, destination_port) != (context.local_port, context.peer_port):
            return False
        if tag:
            return tag == context.peer_tag
        return quoted[COMMON_HEADER_SIZE] == INIT and quoted[_TAG_AT : _TAG_AT + 4] == context.local_tag.to_bytes(4)
    except (IndexError, Malformed):
        return False


def on_port_unreachable(context: Context, heartbeat: Heartbeat, quoted: bytes, route: Route) -> None:
    """Probe the path, or end an association that is not up: "port unreachable" stands for ICMP8 (RFC 6951 section 5.5).

    ICMP8 ends the association as an ABORT does, and so it is in COOKIE-WAIT. Here it makes us probe the path: a peer
    that is there answers; of one that is not, each HEARTBEAT that is refused and unanswered counts. In
    SHUTDOWN-ACK-SENT it stands for the SHUTDOWN COMPLETE that got lost: the peer has closed its socket behind it.
    """
    if not is_quoted(context, quoted):
        return
    if context.state is COOKIE_WAIT:
        text = f"nobody takes UDP packets at {route.address} port {route.udp_port}: no SCTP endpoint listens there"
        context.owner.end(AssociationRefused(text))
    elif context.state is SHUTDOWN_ACK_SENT:
        context.owner.end(None)
    elif (path := context.paths.find(route.address)) is not None:
        heartbeat.on_refused(path)
