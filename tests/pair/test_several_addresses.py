"""Several addresses on one side or on both: what a user sees when one of them goes."""

from __future__ import annotations

from support.pair import Pair

from asyncsctp.config import Config


def test_acknowledgements_leave_from_the_address_that_the_data_came_to() -> None:
    """Section 6.4: a SACK goes back to where its DATA came from. The peer has one address, and one of ours is cut off.

    The peer's retransmission reaches our other address after one time-out, and so must the answer reach the peer.
    """
    pair = Pair(paths=2, z_paths=1, config=Config(heartbeat_interval=None))
    pair.establish()
    pair.run_for(5.0)
    pair.network.cut("10.0.0.1", "10.0.0.2")
    began = pair.now
    pair.send(1, 0, b"to an address that nothing gets to")
    z = pair.association(1)
    pair.run_until(lambda: z.buffered == 0, 20.0)
    assert pair.users[0].messages
    assert pair.now - began < 2.0  # RTO.Min, and a round trip
    pair.verify()
