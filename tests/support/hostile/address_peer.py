"""A peer that sends random chunks of changing addresses, from everywhere, with or without the right keys.

Chunks and parameters of RFC 4895, RFC 5061 and draft natsupp, most of them well-formed, with numbers mostly near what
is expected.
"""

from __future__ import annotations

from random import Random
from struct import pack, pack_into

from asyncsctp.config import Config
from asyncsctp.errors import AsconfError, AssociationClosed
from asyncsctp.handlers.setup.negotiation import MAX_PEER_ADDRESSES
from asyncsctp.handlers.state import CLOSED
from asyncsctp.paths.route import Route, is_ipv4
from asyncsctp.wire import causes, control, tlv
from asyncsctp.wire.asconf import (
    pack_asconf,
    pack_asconf_ack,
    pack_disable_restart,
    pack_failure,
    pack_request,
    pack_success,
    pack_vtags,
)
from asyncsctp.wire.constants import (
    ASCONF,
    ASCONF_ACK,
    AUTH,
    CAUSE_USER_ABORT,
    ERROR,
    FLAG_MIDDLEBOX,
    FLAG_TAG_REFLECTED,
    HEARTBEAT,
    HEARTBEAT_ACK,
    PARAM_ADD_ADDRESS,
    PARAM_DELETE_ADDRESS,
    PARAM_SET_PRIMARY,
)

from ..asconf_script import Mobile
from ..script import LOCAL, PEER, PEER_TAG, UDP_PORT

__all__ = ["RandomAddressChunks"]

#: Where packets come from, and what is asked for.
THEIRS = (*PEER, "10.2.0.2", "10.3.0.2", "198.51.100.7", "2001:db8::7")
NO_ADDRESSES = ("255.255.255.255", "224.0.0.1", "ff02::1", "127.0.0.1", "169.254.0.1", "fe80::1", "::1")
OURS = (*LOCAL, "10.2.0.1", "10.3.0.1", "2001:db8::1")
KINDS = (PARAM_ADD_ADDRESS, PARAM_DELETE_ADDRESS, PARAM_SET_PRIMARY)
SETTINGS = Config(dynamic_addresses=True, rto_min=0.2, rto_initial=0.5, max_retrans=20, mtu=1500)


class RandomAddressChunks:
    """The peer, and a user who acts meanwhile. `honest`: the share of packets that are authenticated."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        self.config = SETTINGS.replace(
            heartbeat_interval=random.choice((None, 1.0)),
            pf_threshold=random.choice((None, 0, 2)),
            path_max_retrans=random.choice((0, 2, 5)),
            nat_support=random.random() < 0.5,
        )
        self.script = Mobile(self.config, paths=1 if self.config.nat_support else random.choice((1, 2)))
        self.honest = random.choice((0.5, 0.95, 0.95))
        self.probes: list[bytes] = []
        self.sent = self.received = 0
        self.script.write(*[bytes(300)] * random.choice((0, 1, 30)))

    @property
    def is_over(self) -> bool:
        return self.script.state is CLOSED

    def say(self) -> None:
        """A packet comes, or several in a batch."""
        random, script = self.random, self.script
        for _ in range(random.choice((1, 1, 1, 2, 5))):
            if not self.is_over:
                packet = self.packet()
                self.received += len(packet)
                script.endpoint.receive(packet, self.route(), script.now)
        script.flush()
        self.look()

    def look(self) -> None:
        """What has left, and what is held."""
        script = self.script
        for packet in script.take():
            self.sent += packet.size
            self.probes += [chunk.value for chunk in packet.all(HEARTBEAT)]
        del self.probes[:-5]
        if self.is_over:
            return
        paths = script.association.path_manager
        assert 1 <= len(paths.paths) <= MAX_PEER_ADDRESSES
        assert len(paths.by_id) <= MAX_PEER_ADDRESSES + 1
        assert len(script.association._parts.heartbeat._turns) <= 2 * MAX_PEER_ADDRESSES
        assert len(script.association.context.timers._deadlines) <= 2 * MAX_PEER_ADDRESSES + 12
        data = script.association._parts.data
        asconf = data.asconf if data is not None else None
        if asconf is not None:
            assert len(asconf._kept) <= 16
            assert not asconf._queued

    def route(self) -> Route:
        """From anywhere to an address that was ours at some time."""
        random = self.random
        mine = self.script.association.path_manager.local
        local = random.choice((LOCAL[0], *mine.sources, *mine.barred))
        here = is_ipv4(local)
        strange = f"10.9.0.{random.randrange(256)}" if here else f"2001:db8::9:{random.randrange(256)}"
        source = random.choice((*THEIRS, *self.script.addresses, random.choice(NO_ADDRESSES)))
        return Route(local, source if is_ipv4(source) == here else strange, random.choice((UDP_PORT, 7)))

    # Packets.

    def packet(self) -> bytes:
        random, script = self.random, self.script
        body = b"".join(self.chunk() for _ in range(random.choice((1, 1, 1, 2, 3, 8))))
        if random.random() < self.honest:
            before = self.chunk() if random.random() < 0.1 else b""
            body = before + script.authenticated(body, hmac=random.choice((1, 3)))
        if random.random() < 0.02:
            body = body[: random.randrange(len(body) + 1)]
        if random.random() < 0.02:
            spoiled = bytearray(body) or bytearray(1)
            spoiled[random.randrange(len(spoiled))] = random.randrange(256)
            body = bytes(spoiled)
        return script.packet(body, tag=PEER_TAG if random.random() < 0.03 else None)

    def chunk(self) -> bytes:
        random = self.random
        chunk = random.choice(
            (self.asconf, self.asconf, self.asconf, self.acknowledgement, self.acknowledgement, self.other, self.auth)
        )()
        if random.random() < 0.02 and len(chunk) >= 4:
            spoiled = bytearray(chunk)
            pack_into("!H", spoiled, 2, random.choice((0, 3, 4, 8, 12, len(chunk) + 4, 65535)))
            return bytes(spoiled)
        return chunk

    def number(self) -> int:
        """The next, mostly."""
        random, script = self.random, self.script
        data = script.association._parts.data
        asconf = data.asconf if data is not None else None
        expected = script.number if asconf is None else asconf._expected
        return expected + random.choice((0, 0, 0, 0, 0, 1, -1, -2, random.getrandbits(32))) & 0xFFFFFFFF

    def asconf(self) -> bytes:
        random = self.random
        parameters = [self.parameter() for _ in range(random.choice((0, 1, 1, 1, 2, 2, 3, 20, 70)))]
        if random.random() < 0.02:
            return tlv.pack(ASCONF << 8, self.number().to_bytes(4) + b"".join(parameters))
        return pack_asconf(self.number(), random.choice((PEER[0], "0.0.0.0", "::", *THEIRS)), parameters)

    def parameter(self) -> bytes:
        random = self.random
        correlation = random.choice((0, 1, 2, random.getrandbits(32)))
        address = random.choice((*THEIRS, *THEIRS, *OURS, "0.0.0.0", "::", random.choice(NO_ADDRESSES)))
        match random.randrange(20):
            case 0:
                return pack_vtags(correlation, random.getrandbits(32), random.getrandbits(32))
            case 1:
                return pack_disable_restart()
            case 2:
                return tlv.pack(random.choice((5, 6, 11, 0x8008, 0xC002, 0xC005, 0xC006, 0x800B)), bytes(4))
            case 3:
                return tlv.pack(random.getrandbits(16), random.randbytes(random.choice((0, 4, 20, 200))))
            case 4:
                inner = pack("!HH", random.choice((5, 6, 7)), random.choice((0, 3, 4, 7, 8, 20, 65535)))
                value = pack("!I", correlation) + inner + bytes(random.choice((0, 4, 16)))
                return tlv.pack(random.choice(KINDS), value)
        return pack_request(random.choice(KINDS), correlation, address)

    def acknowledgement(self) -> bytes:
        """Of the request under way mostly, in favour of all of it or not."""
        random, script = self.random, self.script
        data = script.association._parts.data
        asconf = data.asconf if data is not None else None
        number = script.ours(-1) if asconf is None else asconf.requester._next_number - 1
        if random.random() < 0.2:  # one from ahead ends it (section 4.3.4)
            number -= random.choice((1, 2, random.getrandbits(31)) if random.random() < 0.99 else (-1, -5))
        first = 0 if asconf is None else asconf.requester._first_correlation
        responses = []
        for _ in range(random.choice((0, 0, 1, 2, 100))):
            correlation = first + random.choice((0, 0, 1, 2, random.getrandbits(32))) & 0xFFFFFFFF
            cause = random.choice((0xA0, 0xA1, 0xA2, 0xA3, 0xA4, 8, 3, 0xFFFF))
            if random.random() < 0.3:
                responses.append(pack_success(correlation))
            elif random.random() < 0.9:
                responses.append(pack_failure(correlation, tlv.pack(cause, random.randbytes(random.choice((0, 8))))))
            else:
                responses.append(tlv.pack(random.choice((0xC003, 0xC005, 7)), random.randbytes(random.randrange(12))))
        if random.random() < 0.05:
            return tlv.pack(ASCONF_ACK << 8, (number & 0xFFFFFFFF).to_bytes(4)[random.randrange(2) :] + bytes(9))
        return pack_asconf_ack(number & 0xFFFFFFFF, responses)

    def auth(self) -> bytes:
        random = self.random
        key, hmac = random.choice((0, 0, 1, 65535)), random.choice((0, 1, 2, 3, 4, 65535))
        return pack("!BBHHH", AUTH, 0, 8 + (size := random.choice((0, 4, 20, 32, 64))), key, hmac) + bytes(size)

    def other(self) -> bytes:
        random, script = self.random, self.script
        match random.randrange(8):
            case 0 | 1 if self.probes:
                return tlv.pack(HEARTBEAT_ACK << 8, random.choice(self.probes))
            case 2:
                return control.pack_heartbeat(random.randbytes(20))
            case 3:
                data = script.association._parts.data
                if data is not None:
                    queue = data.sender.outstanding
                    return script.sack(script._number(queue.next_tsn - 1 & 0xFFFFFFFF, script.ours(0)))
            case 4:
                flags = random.choice((0, FLAG_MIDDLEBOX, FLAG_MIDDLEBOX | FLAG_TAG_REFLECTED))
                cause = tlv.pack(random.choice((0xB0, 0xB1, 0xB2, 6, 14)), random.randbytes(random.choice((0, 4, 40))))
                return tlv.pack_enclosing(ERROR << 8 | flags, cause)
            case 5 if random.random() < 0.02:
                abort = control.pack_abort(causes.pack_cause(CAUSE_USER_ABORT))
                return random.choice((control.pack_shutdown(script.ours(-1)), abort))
        return script.data(random.randrange(30), bytes(random.choice((1, 100))))

    # The user.

    def interfere(self) -> None:
        """What the user does meanwhile."""
        random, script = self.random, self.script
        association = script.association
        address = random.choice(OURS)
        try:
            match random.randrange(9):
                case 0 | 1:
                    association.asconf.add_local(address, wildcard=random.random() < 0.2)
                case 2 | 3:
                    association.asconf.remove_local(address)
                case 4:
                    association.asconf.change_local(address, random.choice(OURS), wildcard=random.random() < 0.2)
                case 5:
                    association.asconf.request_primary(address)
                case 6:
                    association.heartbeat(random.choice(script.addresses), script.now)
                case 7:
                    association.set_primary(random.choice(script.addresses))
                case _:
                    path = random.choice((None, *script.addresses))
                    association.send(0, bytes(random.choice((1, 100, 3000))), options={"path": path})
        except (ValueError, AsconfError, AssociationClosed):
            return
        script.flush()
        self.look()
