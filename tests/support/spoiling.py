"""Lives that go on after a packet that was spoiled on its way."""

from __future__ import annotations

from .hostile import Moment, Talk

__all__ = ["label", "play", "spoiled_is_survived"]


def label(moment: Moment) -> str:
    size = len(moment.datagram)
    return f"a packet of {size} bytes to {'AZ'[moment.side]} in state {moment.state}: {moment.datagram.hex()}"


def play(moment: Moment, packets: list[bytes]) -> Talk:
    """Go on from a moment after these packets instead of the one that came, to the end."""
    pair = moment.resume()
    for packet in packets:
        pair.endpoints[moment.side].receive(packet, moment.route, pair.now, False)
    pair.finish()
    return pair


def spoiled_is_survived(moment: Moment, packet: bytes, instead: bool, is_harmless: bool) -> None:
    """The spoiled packet comes instead of the good one, or before it."""
    try:
        pair = play(moment, [packet] if instead else [packet, moment.datagram])
        if is_harmless:
            assert pair.is_well(), [user.error for user in pair.users]
    except BaseException as error:
        error.add_note(f"{packet.hex()} was received {'instead of' if instead else 'before'} {label(moment)}")
        raise
