"""What users give is checked in one way, and each error names the value, what it has to be, and what it was."""

from __future__ import annotations

from math import nan

import pytest

from asyncsctp.checks import check_bool, check_int, check_number


@pytest.mark.parametrize("value", [True, 1.0, "1", None])
def test_an_int_is_no_bool_and_nothing_else(value: object) -> None:
    with pytest.raises(TypeError, match=f"^size must be an int or None, not {value!r}$"):
        check_int("size", value, wanted="an int or None")


def test_a_range_is_told_with_both_ends_or_the_lower_one() -> None:
    assert check_int("size", 3, 3, 5) == 3
    assert check_int("size", -7) == -7
    with pytest.raises(ValueError, match=r"^size must be between 3 and 5, not 6$"):
        check_int("size", 6, 3, 5)
    with pytest.raises(ValueError, match=r"^size must be at least 3, not 2$"):
        check_int("size", 2, 3)


def test_a_number_is_an_int_or_a_float_and_is_one() -> None:
    assert check_number("time", 2, 0) == 2
    assert check_number("time", 0.5, 0, 1) == 0.5
    with pytest.raises(TypeError, match=r"^time must be a number, not False$"):
        check_number("time", False, 0)
    with pytest.raises(ValueError, match=r"^time must be at least 0, not nan$"):
        check_number("time", nan, 0)


def test_a_bool_is_no_int() -> None:
    assert check_bool("flag", False) is False
    with pytest.raises(TypeError, match=r"^flag must be a bool, not 1$"):
        check_bool("flag", 1)
