"""A server whose client is behind a NAT, and the chunks of NATs, for tests of draft-ietf-tsvwg-natsupp."""

from __future__ import annotations

from asyncsctp.config import Config
from asyncsctp.paths.route import Route
from asyncsctp.wire import tlv
from asyncsctp.wire.constants import ERROR, FLAG_MIDDLEBOX, FLAG_TAG_REFLECTED

from .endpoints import Solo
from .script import LOCAL, PEER, PEER_TAG, UDP_PORT, Script

NAT = Config(nat_support=True, heartbeat_interval=None)
NAT_AND_ASCONF = NAT.replace(dynamic_addresses=True)
REFLECTED = FLAG_MIDDLEBOX | FLAG_TAG_REFLECTED


def server(config: Config = NAT, disable_restart: bool = True) -> Solo:
    """One with an association; whether its client wants restarts disabled, as section 6.1 asks of it."""
    solo = Solo(config=config)
    solo.accept(disable_restart=disable_restart)
    return solo


def by_nat(kind: int, cause: int, flags: int | None = None, info: bytes = b"") -> bytes:
    """An ABORT or ERROR as a NAT makes them: unless `flags` say otherwise, an ERROR reflects the tag (6.4.1)."""
    if flags is None:
        flags = REFLECTED if kind == ERROR else FLAG_MIDDLEBOX
    return tlv.pack_enclosing(kind << 8 | flags, tlv.pack(cause, info))


def nat_returns(script: Script, cause: int, local: str = LOCAL[0]) -> None:
    """A NAT has not let a packet pass that left from this address of ours."""
    packet = script.packet(by_nat(ERROR, cause), tag=PEER_TAG)
    script.endpoint.receive(packet, Route(local, PEER[0], UDP_PORT), script.now)
    script.flush()
