"""A NAT that knows SCTP, after draft-ietf-tsvwg-natsupp: it changes addresses alone, and tells associations by tags.

It looks at the SCTP packet inside the UDP datagram, and keeps the binding table of section 4.3. It knows no more of an
association than its ports, its tags and whether restarts are disabled, and no checksum. The simulated network has no
fragments (section 6.5).
"""

from __future__ import annotations

from contextlib import suppress
from ipaddress import ip_address
from struct import Struct
from typing import Final, NamedTuple, final

from ..wire import constants, tlv
from ..wire.asconf import read_asconf
from ..wire.causes import pack_cause
from ..wire.init import read_init
from ..wire.packet import Seal, read_header
from .host import Address
from .nat import Refusal, Translator

_IPV4: Final = Struct("!BBHHHBBH")
_IPV6: Final = Struct("!IHBB")
_UDP: Final = Struct("!HHHH")

_UDP_PROTOCOL: Final = 17
_DONT_FRAGMENT: Final = 0x4000
_TTL: Final = 64

#: The kinds of chunk that may carry the tag of their receiver's peer.
_MAY_REFLECT: Final = frozenset({constants.ABORT, constants.ERROR, constants.SHUTDOWN_COMPLETE})
_ABORT: Final = constants.ABORT << 8 | constants.FLAG_MIDDLEBOX
#: Its packet reflects the tag of the one that it answers (section 6.4).
_ERROR: Final = constants.ERROR << 8 | constants.FLAG_MIDDLEBOX | constants.FLAG_TAG_REFLECTED
#: Section 6.4.1: packets with these are not answered by an ERROR.
_NOT_ANSWERED: Final = frozenset({constants.ABORT, constants.SHUTDOWN_COMPLETE, constants.INIT_ACK})

_CAUSES: Final = {
    Refusal.PORT_COLLISION: constants.CAUSE_PORT_COLLISION,
    Refusal.VTAG_COLLISION: constants.CAUSE_VTAG_COLLISION,
    Refusal.MISSING_STATE: constants.CAUSE_MISSING_STATE,
}


class Binding(NamedTuple):
    """A line of the binding table (section 4.3): a NAT-State control block."""

    internal_vtag: int
    internal_port: int
    remote_vtag: int  #: 0 until the peer has told it
    remote_port: int
    internal_address: str
    restart_disabled: bool = False


@final
class _Entry:
    """A binding, when it was last used, and whether the inside has used its remote tag."""

    def __init__(self, binding: Binding, now: float) -> None:
        self.binding = binding
        self.is_used = False
        self.used_at = now


class _Chunk(NamedTuple):
    """Where a chunk is in its packet."""

    kind: int
    flags: int
    start: int
    end: int

    @property
    def is_not_answered(self) -> bool:
        """True if its packet is answered by no ERROR (section 6.4.1): it ends something, or is from a NAT."""
        is_from_nat = self.kind == constants.ERROR and self.flags & constants.FLAG_MIDDLEBOX != 0
        return is_from_nat or self.kind in _NOT_ANSWERED


class _Packet(NamedTuple):
    """As much of an SCTP packet as can be read."""

    data: bytes
    source_port: int
    destination_port: int
    tag: int
    chunks: tuple[_Chunk, ...]

    def starts_with(self, kind: int) -> bool:
        return bool(self.chunks) and self.chunks[0].kind == kind

    @property
    def reflects_tag(self) -> bool:
        """True if its tag is the one that its receiver's peer has chosen: the T bit."""
        return any(chunk.kind in _MAY_REFLECT and chunk.flags & constants.FLAG_TAG_REFLECTED for chunk in self.chunks)

    def bytes_of(self, chunk: _Chunk) -> bytes:
        return self.data[chunk.start : chunk.end]


@final
class SctpNat(Translator):
    """A NAT that knows SCTP (draft-ietf-tsvwg-natsupp), made by `Network.sctp_nat`.

    It keeps the ports of SCTP and UDP, and translates addresses alone. To hosts behind it it answers as the draft
    says: with an ABORT or an ERROR that has the M bit. A binding unused for longer than `idle_timeout` seconds is
    forgotten; `None`: never. It knows of no other end: an association that is over keeps its binding until then.
    """

    __slots__ = ("_entries",)

    def __init__(
        self, outside: str, inside: frozenset[str], *, idle_timeout: float | None = None, hairpin: bool = True
    ) -> None:
        super().__init__(outside, inside, idle_timeout=idle_timeout, hairpin=hairpin)
        #: By internal and remote port.
        self._entries: dict[tuple[int, int], list[_Entry]] = {}

    @property
    def bindings(self) -> list[Binding]:
        """The binding table, the oldest first within the same ports."""
        return [entry.binding for entries in self._entries.values() for entry in entries]

    def lose_state(self, outside: str | None = None) -> None:
        """Forget all bindings, as after a restart (section 8.4). With `outside` it has that address from now on.

        `ValueError`, and nothing is changed, when the address is in use or of another family.
        """
        if outside is not None:
            self.move(outside)
        self._entries.clear()

    def translate_out(self, source: Address, destination: Address, data: bytes, now: float) -> Address | None:
        if self._refuses_hairpin(destination):
            return self._drop(Refusal.HAIRPIN)
        packet = _read(data)
        if packet is None:
            return self._drop(Refusal.MALFORMED)
        admit = self._admit_init if packet.starts_with(constants.INIT) else self._admit
        refusal = admit(packet, source, destination, now)
        return self._drop(refusal) if refusal is not None else (self.outside, source[1])

    def translate_in(self, source: Address, port: int, data: bytes, now: float) -> Address | None:
        packet = _read(data)
        if packet is None:
            return self._drop(Refusal.MALFORMED)
        entries = self._live(packet.destination_port, packet.source_port, now)
        if packet.starts_with(constants.INIT):
            entry = self._accept_init(packet, entries)
        elif packet.reflects_tag:
            entry = _lookup(entries, remote_vtag=packet.tag)
        else:
            entry = _lookup(entries, internal_vtag=packet.tag)
        if entry is None:
            return self._drop(Refusal.UNKNOWN)
        inside = entry.binding.internal_address, port
        if packet.starts_with(constants.INIT_ACK):
            refusal = self._accept_init_ack(packet, entry, entries)
            if refusal is not None:
                # Section 6.2.1: the same addresses and port numbers as the packet containing the INIT ACK.
                seal = Seal(packet.source_port, packet.destination_port, packet.tag)
                self._answer(source, inside, seal, _ABORT, refusal, packet.bytes_of(packet.chunks[0]))
                return self._drop(refusal)
        entry.used_at = now
        return inside

    # From inside

    def _admit_init(self, packet: _Packet, source: Address, destination: Address, now: float) -> Refusal | None:
        """Create a binding for an INIT, if it can be told from those of other hosts (sections 4.3 and 6.3.1)."""
        tag, disables_restart = _read_initiation(packet)
        if not tag:
            return Refusal.MALFORMED
        entries = self._live(packet.source_port, packet.destination_port, now)
        entry = _lookup(entries, internal_vtag=tag, internal_address=source[0])
        if entry is not None:
            entry.used_at = now
            return None
        wanted = Binding(tag, packet.source_port, 0, packet.destination_port, source[0], disables_restart)
        refusal = _collision(wanted, entries)
        if refusal is None:
            self._create(wanted, now)
        else:
            # As an ABORT that answers an INIT out of the blue (RFC 9260 section 8.4): it has the Initiate Tag.
            seal = Seal(packet.destination_port, packet.source_port, tag)
            self._answer(destination, source, seal, _ABORT, refusal, packet.bytes_of(packet.chunks[0]))
        return refusal

    def _admit(self, packet: _Packet, source: Address, destination: Address, now: float) -> Refusal | None:
        """Let out any other packet that has a binding; an ASCONF with the tags may make one (section 6.4.1)."""
        entries = self._live(packet.source_port, packet.destination_port, now)
        if packet.reflects_tag:
            entry = _lookup(entries, internal_vtag=packet.tag, internal_address=source[0])
        else:
            entry = _lookup(entries, remote_vtag=packet.tag, internal_address=source[0])
        if entry is not None:
            entry.used_at = now
            entry.is_used = True
            return None
        for chunk in packet.chunks:
            wanted = _read_asconf(packet, chunk, source[0]) if chunk.kind == constants.ASCONF else None
            if wanted is not None:
                return self._recover(packet, chunk, wanted, source, destination, now)
        if not any(chunk.is_not_answered for chunk in packet.chunks):
            original = _ip_packet(source, destination, packet.data)
            self._report(packet, source, destination, Refusal.MISSING_STATE, original)
        return Refusal.MISSING_STATE

    def _recover(
        self, packet: _Packet, asconf: _Chunk, wanted: Binding, source: Address, destination: Address, now: float
    ) -> Refusal | None:
        """Create the binding that the VTags parameter of an ASCONF describes (section 6.4.1)."""
        entries = self._live(packet.source_port, packet.destination_port, now)
        refusal = _collision(wanted, entries)
        if refusal is not None:
            self._report(packet, source, destination, refusal, packet.bytes_of(asconf))
            return refusal
        known = _lookup(entries, internal_vtag=wanted.internal_vtag, internal_address=source[0])
        if known is not None:
            entries.remove(known)
        self._create(wanted, now)
        return None

    # From outside

    def _accept_init(self, packet: _Packet, entries: list[_Entry]) -> _Entry | None:
        """Return the entry of a host that has sent an INIT to these ports itself (sections 4.3 and 8.5)."""
        tag, disables_restart = _read_initiation(packet)
        if not tag:
            return None
        entry = _lookup(entries, remote_vtag=tag)
        if entry is not None:
            return entry
        entry = _lookup(entries, remote_vtag=0)
        if entry is None:
            return None
        updated = _updated(entry.binding, tag, disables_restart)
        if _collision(updated, entries) is not None:
            return None
        entry.binding = updated
        return entry

    def _accept_init_ack(self, packet: _Packet, entry: _Entry, entries: list[_Entry]) -> Refusal | None:
        """Take its Initiate Tag for the Remote-VTag (section 4.3), unless that collides (sections 6.2.1 and 6.3.1).

        Once the inside has used one Remote-VTag, later INIT ACKs are answers to its retransmissions and change nothing.
        """
        tag, disables_restart = _read_initiation(packet)
        if not tag:
            return Refusal.MALFORMED
        if entry.is_used:
            return None
        entry.binding = _updated(entry.binding, tag, disables_restart)
        refusal = _collision(entry.binding, entries)
        if refusal is not None:
            entries.remove(entry)
        return refusal

    # Table and answers

    def _live(self, internal_port: int, remote_port: int, now: float) -> list[_Entry]:
        """Return the entries of these ports; those that have timed out are forgotten."""
        entries = self._entries.get((internal_port, remote_port), [])
        if any(self._is_stale(entry.used_at, now) for entry in entries):
            entries[:] = [entry for entry in entries if not self._is_stale(entry.used_at, now)]
        return entries

    def _create(self, binding: Binding, now: float) -> None:
        entries = self._entries.setdefault((binding.internal_port, binding.remote_port), [])
        entries.append(_Entry(binding, now))

    def _report(self, packet: _Packet, source: Address, destination: Address, why: Refusal, info: bytes) -> None:
        """Send an ERROR to the sender of a packet: its tag is reflected (section 6.4)."""
        seal = Seal(packet.destination_port, packet.source_port, packet.tag)
        self._answer(destination, source, seal, _ERROR, why, info)

    def _answer(
        self, source: Address, destination: Address, seal: Seal, first16: int, why: Refusal, info: bytes
    ) -> None:
        if why in _CAUSES:
            chunk = tlv.pack_enclosing(first16, pack_cause(_CAUSES[why], info))
            self.outbox.append((source, destination, seal.pack(chunk)))


def _lookup(entries: list[_Entry], **fields: object) -> _Entry | None:
    """Return the entry whose binding has these fields; what isn't given is the draft's `*`."""
    for entry in entries:
        if all(getattr(entry.binding, name) == value for name, value in fields.items()):
            return entry
    return None


def _updated(binding: Binding, remote_vtag: int, disables_restart: bool) -> Binding:
    """Add the peer's tag; restarts are disabled if both sides say so (section 5.3.1)."""
    return binding._replace(remote_vtag=remote_vtag, restart_disabled=binding.restart_disabled and disables_restart)


def _collision(wanted: Binding, entries: list[_Entry]) -> Refusal | None:
    """Return what stands against a binding among those of the same ports: conditions of uniqueness (section 4.3)."""
    others = [entry.binding for entry in entries if entry.binding.internal_address != wanted.internal_address]
    if not all(other.restart_disabled and wanted.restart_disabled for other in others):
        return Refusal.PORT_COLLISION
    for other in others:
        if other.internal_vtag == wanted.internal_vtag or other.remote_vtag == wanted.remote_vtag != 0:
            return Refusal.VTAG_COLLISION
    return None


def _read(data: bytes) -> _Packet | None:
    """Return the packet up to its first malformed chunk; `None` when not even its header is there."""
    try:
        source_port, destination_port, tag = read_header(data)
    except tlv.Malformed:
        return None
    chunks = []
    with suppress(tlv.Malformed):
        for first16, start, _, end in tlv.walk(data, constants.COMMON_HEADER_SIZE, len(data)):
            chunks.append(_Chunk(first16 >> 8, first16 & 0xFF, start, end))
    return _Packet(data, source_port, destination_port, tag, tuple(chunks))


def _read_initiation(packet: _Packet) -> tuple[int, bool]:
    """Return the Initiate Tag of a packet with an INIT or INIT ACK, 0 for none, and whether it disables restarts."""
    chunk = packet.chunks[0]
    try:
        init = read_init(packet.data, chunk.start + constants.CHUNK_HEADER_SIZE, chunk.end)
    except tlv.Malformed:
        return 0, False
    return init.initiate_tag, init.disable_restart


def _read_asconf(packet: _Packet, chunk: _Chunk, internal_address: str) -> Binding | None:
    """Return the binding that the VTags parameter of an ASCONF describes; `None` without a whole one."""
    try:
        asconf = read_asconf(packet.data, chunk.start + constants.CHUNK_HEADER_SIZE, chunk.end)
    except tlv.Malformed:
        return None
    kinds = [request.kind for request in asconf.requests]
    if constants.PARAM_VTAGS not in kinds:
        return None
    internal_vtag, remote_vtag = asconf.requests[kinds.index(constants.PARAM_VTAGS)].tags
    if not internal_vtag or not remote_vtag:
        return None
    disables_restart = constants.PARAM_DISABLE_RESTART in kinds
    ports = packet.source_port, packet.destination_port
    return Binding(internal_vtag, ports[0], remote_vtag, ports[1], internal_address, disables_restart)


def _ip_packet(source: Address, destination: Address, data: bytes) -> bytes:
    """Return the IP packet with a UDP datagram, as it came from inside; UDP's checksum is left out."""
    size = constants.UDP_HEADER_SIZE + len(data)
    ends = ip_address(source[0]).packed + ip_address(destination[0]).packed
    if ":" in source[0]:
        header = _IPV6.pack(6 << 28, size, _UDP_PROTOCOL, _TTL)
    else:
        fields = (0x45, 0, constants.IPV4_HEADER_SIZE + size, 0, _DONT_FRAGMENT, _TTL, _UDP_PROTOCOL)
        header = _IPV4.pack(*fields, _internet_checksum(_IPV4.pack(*fields, 0) + ends))
    return header + ends + _UDP.pack(source[1], destination[1], size, 0) + data


def _internet_checksum(data: bytes) -> int:
    """Return the checksum of RFC 1071."""
    total = sum(int.from_bytes(data[at : at + 2]) for at in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
