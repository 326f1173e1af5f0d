"""Serial numbers: RFC 1982, RFC 9260 section 1.6."""

from __future__ import annotations

import pytest

from asyncsctp.wire.serial import ahead, unwrap, unwrap_upwards

WRAP = 1 << 32
HALF = 1 << 31


@pytest.mark.parametrize("near", [0, 1, WRAP - 1, WRAP, 7 * WRAP + 5, -3])
@pytest.mark.parametrize("steps", [0, 1, -1, HALF - 1, 1 - HALF, -HALF])
def test_a_number_is_the_one_nearest_to_what_is_known(near: int, steps: int) -> None:
    wire = (near + steps) % WRAP
    assert unwrap(wire, near) == near + steps
    assert ahead(wire, near) == ahead(wire, near % WRAP) == steps


def test_of_two_numbers_as_near_it_is_the_lower_one() -> None:
    assert unwrap((5 + HALF) % WRAP, WRAP + 5) == WRAP + 5 - HALF


@pytest.mark.parametrize("lowest", [0, WRAP - 1, 3 * WRAP + 9])
@pytest.mark.parametrize("steps", [0, 1, HALF, WRAP - 1])
def test_upwards_it_is_never_below_what_is_known(lowest: int, steps: int) -> None:
    assert unwrap_upwards((lowest + steps) % WRAP, lowest) == lowest + steps
