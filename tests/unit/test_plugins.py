"""How a user's plug-in is made, and what is said of one that goes wrong."""

from __future__ import annotations

from asyncsctp.plugins import describe, fault, make_plugin, spell


class Contract:
    pass


class Silent(Exception):
    def __str__(self) -> str:
        raise ValueError("never")


class Unspeakable:
    def __repr__(self) -> str:
        raise ValueError("never")


def test_what_can_not_be_written_is_named_by_its_class() -> None:
    assert spell([1]) == "[1]"
    assert spell(Unspeakable()) == "<Unspeakable>"


def test_an_exception_is_described_even_one_that_can_not_say_what_it_is() -> None:
    assert describe(KeyError("x")) == "KeyError: 'x'"
    assert describe(LookupError()) == "LookupError"
    assert describe(Silent()) == "Silent"


def test_a_fault_keeps_its_cause() -> None:
    cause = LookupError("x")
    assert fault("what", cause).__cause__ is cause


def test_what_a_factory_makes_is_taken_if_it_keeps_the_contract() -> None:
    told: list[Exception] = []
    made = make_plugin("scheduler", Contract, lambda number: Contract() if number == 7 else None, told.append, 7)
    assert type(made) is Contract
    assert told == []
    assert make_plugin("scheduler", Contract, Unspeakable, told.append) is None
    assert str(told[0]).endswith("made <Unspeakable>, which is not a Contract")


def test_a_factory_that_raises_is_told_with_its_reason() -> None:
    def factory() -> Contract:
        raise Silent

    told: list[Exception] = []
    assert make_plugin("scheduler", Contract, factory, told.append) is None
    assert "scheduler <function" in str(told[0])
    assert str(told[0]).endswith("could not be made: Silent")
    assert isinstance(told[0].__cause__, Silent)
