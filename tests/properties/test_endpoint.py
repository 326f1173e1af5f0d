"""Whatever comes from the wire, an endpoint does not raise, answers a packet by few, and keeps to its limits."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from asyncsctp.association.association import Association
from asyncsctp.association.outbox import Outbox
from asyncsctp.association.user import AssociationUser
from asyncsctp.config import Config
from asyncsctp.endpoint.endpoint import Endpoint
from asyncsctp.paths.route import Route
from asyncsctp.wire import control, tlv
from asyncsctp.wire.init import Init, pack_init
from asyncsctp.wire.packet import Seal, read_header

A, B, C = "192.0.2.1", "192.0.2.2", "192.0.2.3"
LIMIT = 4

chunks = st.one_of(
    st.builds(
        lambda kind, flags, value: tlv.pack(kind << 8 | flags, value),
        st.sampled_from([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 64, 132, 192, 193, 255]),
        st.integers(0, 15),
        st.binary(max_size=40),
    ),
    st.builds(
        lambda tag, streams, addresses, ack: pack_init(
            Init(tag, 5000, streams, streams, 9, tuple(addresses), cookie=b"cookie" if ack else None), ack
        ),
        st.integers(0, 5),
        st.integers(0, 2),
        st.lists(st.sampled_from([A, B, C, "127.0.0.1", "2001:db8::1"]), max_size=3),
        st.booleans(),
    ),
    st.binary(max_size=12),
)
#: What a step does: a packet for an association or for nobody, an answer to the last INIT ACK, or time.
steps = st.lists(
    st.tuples(
        st.sampled_from(["association", "stranger", "init", "cookie", "time"]),
        st.integers(0, 3),
        st.sampled_from([A, C]),
        st.lists(chunks, max_size=3),
    ),
    max_size=25,
)


class Seeded:
    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def bits(self, count: int) -> int:
        return self._random.getrandbits(count)

    def token(self, size: int) -> bytes:
        return self._random.randbytes(size)


def accept(association: Association) -> AssociationUser:
    return AssociationUser()


@settings(max_examples=150, deadline=None)
@given(steps)
def test_an_endpoint_stands_whatever_comes(story: list[tuple[str, int, str, list[bytes]]]) -> None:
    outbox = Outbox()
    endpoint = Endpoint(
        Config(),
        port=5000,
        local_addresses=[B],
        random=Seeded(1),
        outbox=outbox,
        listening=True,
        accept=accept,
        limit=LIMIT,
    )
    endpoint.connect([A], 7, 0.0, AssociationUser())
    now = 0.0
    cookie: tuple[int, bytes] | None = None
    for what, number, source, body in story:
        endpoint.flush(now)
        outbox.clear()
        port, tag = 6 + number, number
        if what == "time":
            now += (0.1, 1.0, 30.0, 4000.0)[number]
            endpoint.expire(now)
            continue
        if what == "init":
            port, tag = 6, 0
            body = [pack_init(Init(0x1234 + number, 5000, 3, 3, 9), ack=False)]
        elif what == "cookie" and cookie is not None:
            port, tag = 6, cookie[0]
            body = [control.pack_cookie_echo(cookie[1]), *body]
        elif what == "association" and endpoint.associations:
            context = endpoint.associations[number % len(endpoint.associations)].context
            port, tag = context.peer_port, (context.local_tag, context.peer_tag)[number // 2]
        datagram = Seal(port, 5000, tag).pack(b"".join(body))
        endpoint.receive(datagram, Route(B, source, 9899 + number // 3), now)
        endpoint.flush(now)
        assert len(outbox) <= 4
        for _, packet in outbox:
            read_header(packet)
            for first16, start, value, end in tlv.walk(packet, 12, len(packet)):
                if first16 >> 8 == 2:
                    init_ack = [item for item in tlv.walk(packet, value + 16, end) if item[0] == 7]
                    cookie = int.from_bytes(packet[start + 4 : start + 8]), packet[init_ack[0][2] : init_ack[0][3]]
        assert len(endpoint.associations) <= LIMIT
