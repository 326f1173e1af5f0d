"""How much gets through a link with loss, against a table that is kept beside this file.

100 Mbit/s, 20 ms of round trip, in virtual time: the numbers don't depend on the machine, so a change of the protocol's
behaviour shows as a change of the table. Run as a program, with tests/ on PYTHONPATH, this file writes it anew. The
last column is what Mathis' formula says of TCP Reno, 1.22 * MSS / (RTT * sqrt(loss)).
"""

from __future__ import annotations

from math import sqrt
from pathlib import Path

import pytest
from support.pair import Pair

from asyncsctp.config import Config
from asyncsctp.testing import LinkSettings

TABLE = Path(__file__).parent / "goodput.txt"
RATE = 100e6
RTT = 0.02
MTU = 1500
SECONDS = {0.0: 2.0, 0.001: 10.0, 0.01: 20.0, 0.03: 30.0}
TOLERANCE = 0.15


def goodput(loss: float) -> float:
    """User data in Mbit/s, with a writer that always has something to write; the first second is not counted."""
    link = LinkSettings(delay=RTT / 2, rate=RATE, queue=256 * 1024, loss=loss)
    pair = Pair(7, link=link, config=Config(mtu=MTU, recv_buffer=4 * 1024 * 1024, rto_min=0.2), checked=False)
    # Loss on the way there alone: on the way back it hardly matters, and the formula doesn't know it.
    pair.network.link(pair.addresses[1][0], pair.addresses[0][0], loss=0.0, one_way=True)
    pair.establish()
    association = pair.association(0)
    received = 0
    message = bytes(16 * 1024)
    start = pair.now
    measured_from = start + 1.0
    while pair.now < measured_from + SECONDS[loss]:
        while association.buffered < 1024 * 1024:
            association.send(0, message)
            pair.endpoints[0].touch(association)
        pair.run_for(0.02)
        if pair.now >= measured_from:
            received += sum(len(data) for _, _, _, data in pair.users[1].messages)
        pair.users[1].messages.clear()
    return received * 8 / (pair.now - measured_from) / 1e6


def reno(loss: float) -> float:
    most = RATE * (MTU - 64) / MTU / 1e6
    return min(most, 1.22 * (MTU - 28 - 12 - 16) * 8 / (RTT * sqrt(loss)) / 1e6) if loss else most


def golden() -> dict[float, float]:
    rows = (line.split() for line in TABLE.read_text().splitlines() if line and line[0] != "#")
    return {float(row[0]) / 100: float(row[1]) for row in rows}


@pytest.mark.parametrize("loss", SECONDS)
def test_goodput_is_as_it_was(loss: float) -> None:
    found = goodput(loss)
    assert found == pytest.approx(golden()[loss], rel=TOLERANCE)
    assert found > 0.6 * reno(loss)


def write_table() -> None:
    lines = ["# 100 Mbit/s, RTT 20 ms, IP packets of 1,500 bytes; Mbit/s of user data", "# loss %   goodput   Reno"]
    lines += [f"{loss * 100:8.1f}  {goodput(loss):8.2f}  {reno(loss):5.1f}" for loss in SECONDS]
    TABLE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    write_table()
