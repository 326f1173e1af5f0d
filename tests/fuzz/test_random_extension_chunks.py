"""Well-formed chunks of every extension with senseless numbers: memory is bounded, and who becomes sane is served.

ASYNCSCTP_SEED=0-9999 tries more of them.
"""

from __future__ import annotations

import os
from random import Random

import pytest
from support.hostile.extension_peer import LIMITS, STATES, ExtensionPeer, RandomExtensionChunks
from support.seeds import is_full_run, seeds

from asyncsctp.errors import ReconfigError
from asyncsctp.handlers.state import CLOSED

#: All that a peer can say by such chunks that ends an association.
FATAL = (
    "the peer violated the protocol",
    "the peer sent a DATA chunk without user data",
    "the peer acknowledged",
    "is unreachable",
    "peer did not",
    "no answer",
    "not reachable",
)


#: Seeds that failed once.
FOUND = {
    1000563: "messages were put aside for a restart of the TSNs that the peer never answered",
    6001252: "three requests of ours waited that answer the peer's: one that had been under way came back",
    8000291: "what was put aside until a reset contradicted itself, when that was carried out",
}


@pytest.mark.parametrize(
    "seed", sorted({*seeds(150 if not is_full_run() else 20_000), *([] if os.environ.get("ASYNCSCTP_SEED") else FOUND)})
)
def test_disorder(seed: int) -> None:
    random = Random(seed)
    state = random.choice(("established", *STATES))
    config = LIMITS.replace(
        recv_buffer=random.choice((4096, 20_000, 64 * 1024)),
        max_message_size=random.choice((2000, 64 * 1024)),
        partial_delivery_point=random.choice((1, 1000, 10_000)),
    )
    script = ExtensionPeer(random.random() < 0.6, state, config=config, streams=16)
    script.reader.reads = random.random() < 0.6
    for sid in random.choice(((), (), (0,), (0, 1, 15))):
        script.association.deliver_parts(sid, True)
        script.reader.in_parts.add(sid)
    disorder = RandomExtensionChunks(random, script, random.choice((0.0, 0.0, 0.02, 0.3)))
    writes = random.random() < 0.5
    for number in range(random.choice((20, 100, 400))):
        chunks = [disorder.chunk() for _ in range(random.choice((1, 1, 1, 3, 10)))]
        script.send(*chunks)
        if script.state is CLOSED:
            break
        script.bounded()
        sent = script.take()
        assert len(sent) < 100
        answers = sum(packet.size for packet in sent)
        assert answers <= 4 * sum(map(len, chunks)) + 20_000
        if writes and script.is_up and random.random() < 0.3:
            interfere(script, random, number)
        if random.random() < 0.1:
            script.advance(random.choice((0.01, 0.3, 3.0)))
            script.take()
        if random.random() < 0.05:
            script.reader.catch_up()
            script.flush()
    if script.state is CLOSED:
        assert script.reader.error is not None
        return
    script.bounded()
    script.still_serves()


def interfere(script: ExtensionPeer, random: Random, number: int) -> None:
    """What the user does meanwhile."""
    association = script.association
    try:
        match random.randrange(8):
            case 0:
                association.reconfig.reset_streams([number % 16], None)
            case 1:
                association.reconfig.reset_streams(None, [number % 16])
            case 2:
                association.reconfig.reset_streams([], [])
            case 3:
                association.reconfig.reset_tsns()
            case 4:
                association.reconfig.add_streams(number % 3, 1)
            case _:
                association.send(number % 16, bytes(random.choice((1, 100, 4000))))
    except (ReconfigError, ValueError):
        return
    script.flush()
