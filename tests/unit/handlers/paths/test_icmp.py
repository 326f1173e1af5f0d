"""What ICMP is believed (RFC 9260 section 10): what quotes a packet that we can have sent, and what follows from it."""

from __future__ import annotations

import pytest
from support.endpoints import THERE, Solo, into

from asyncsctp.association.association import Association
from asyncsctp.handlers.paths.icmp import is_quoted, on_port_unreachable
from asyncsctp.handlers.state import CLOSED, COOKIE_WAIT, ESTABLISHED, SHUTDOWN_ACK_SENT, SHUTDOWN_SENT, State
from asyncsctp.paths.route import Route
from asyncsctp.wire.packet import Seal


def quote(association: Association, tag: int | None = None, ports: tuple[int, int] | None = None) -> bytes:
    context = association.context
    local, peer = ports or (context.local_port, context.peer_port)
    return Seal(local, peer, context.peer_tag if tag is None else tag).pack(b"\x03\0\0\x10")[:12]


def test_what_bears_our_ports_and_the_peers_tag_is_ours() -> None:
    association = Solo().accept()
    context = association.context
    ports = context.local_port, context.peer_port
    assert is_quoted(context, quote(association))
    assert not is_quoted(context, quote(association, tag=context.peer_tag ^ 1))
    assert not is_quoted(context, quote(association, ports=ports[::-1]))
    assert not is_quoted(context, quote(association)[:7])
    assert not is_quoted(context, b"")


def test_an_init_is_ours_by_its_initiate_tag() -> None:
    """It bears tag 0 itself."""
    solo = Solo()
    solo.connect()
    context = solo.association.context
    init = Seal(context.local_port, context.peer_port, 0).pack(b"\1\0\0\x14" + context.local_tag.to_bytes(4))
    assert is_quoted(context, init)
    assert not is_quoted(context, init[:-1])
    assert not is_quoted(context, init[:-1] + bytes([init[-1] ^ 1]))
    assert not is_quoted(context, init[:12] + b"\2" + init[13:])


@pytest.mark.parametrize(
    ("state", "ends"), [(COOKIE_WAIT, True), (ESTABLISHED, False), (SHUTDOWN_SENT, False), (SHUTDOWN_ACK_SENT, True)]
)
@pytest.mark.parametrize("forged", [True, False])
def test_nothing_ends_that_has_begun_and_is_not_over(state: State, ends: bool, forged: bool) -> None:
    solo = Solo()
    association = into(solo, state)
    context = association.context
    quoted = quote(association)
    if state is COOKIE_WAIT:
        quoted = Seal(context.local_port, context.peer_port, 0).pack(b"\1\0\0\x14" + context.local_tag.to_bytes(4))
    if forged:
        quoted = quote(association, tag=99)
    on_port_unreachable(context, association._parts.heartbeat, quoted, Route("192.0.2.1", THERE, 9899))
    assert (association.state is CLOSED) is (ends and not forged)
