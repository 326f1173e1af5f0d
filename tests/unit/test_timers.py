from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asyncsctp.timers import HEARTBEAT_TIMER, NEVER, T3_RTX, TimerTable, timer_key, timer_kind, timer_path


def test_keys_carry_the_kind_and_the_path() -> None:
    key = timer_key(HEARTBEAT_TIMER, 77)
    assert (timer_kind(key), timer_path(key)) == (HEARTBEAT_TIMER, 77)
    assert timer_key(T3_RTX) == T3_RTX


def test_an_empty_table_never_expires() -> None:
    table = TimerTable()
    assert table.next_expiry == NEVER
    assert table.expired(1e12) == []
    assert table.deadline(T3_RTX) == NEVER
    table.stop(T3_RTX)


def test_timers_expire_once_in_the_order_of_their_deadlines() -> None:
    table = TimerTable()
    table.start(1, 30.0)
    table.start(2, 10.0)
    table.start(3, 20.0)
    assert table.next_expiry == 10.0
    assert table.expired(9.9) == []
    assert table.expired(20.0) == [2, 3]
    assert not table.runs(2)
    assert table.next_expiry == 30.0
    assert table.expired(30.0) == [1]
    assert table.expired(1000.0) == []


def test_a_restarted_timer_has_its_last_deadline() -> None:
    table = TimerTable()
    table.start(1, 10.0)
    table.start(1, 20.0)
    assert table.deadline(1) == 20.0
    assert table.expired(10.0) == []
    assert table.next_expiry == 20.0
    table.start(1, 5.0)
    assert table.next_expiry == 5.0
    assert table.expired(5.0) == [1]


def test_stopped_timers_do_not_expire() -> None:
    table = TimerTable()
    table.start(1, 10.0)
    table.start(2, 10.0)
    table.stop(1)
    assert not table.runs(1)
    assert table.expired(10.0) == [2]
    table.start(3, 11.0)
    table.stop_all()
    assert table.next_expiry == NEVER
    assert table.expired(100.0) == []


@given(st.lists(st.tuples(st.sampled_from("sspe"), st.integers(0, 5), st.integers(0, 50))))
def test_against_a_plain_dictionary(steps: list[tuple[str, int, int]]) -> None:
    table = TimerTable()
    model: dict[int, float] = {}
    now = 0.0
    for what, key, after in steps:
        if what == "s":
            table.start(key, now + after)
            model[key] = now + after
        elif what == "p":
            table.stop(key)
            model.pop(key, None)
        else:
            now += after
            due = [key for _, key in sorted((deadline, key) for key, deadline in model.items() if deadline <= now)]
            assert table.expired(now) == due
            for key in due:
                del model[key]
        assert table.next_expiry <= min(model.values(), default=NEVER)
        assert (table.next_expiry == NEVER) == (not model)
        assert all(
            table.runs(key) == (key in model) and table.deadline(key) == model.get(key, NEVER) for key in range(6)
        )


@given(st.lists(st.integers(0, 1000), min_size=1))
def test_whoever_wakes_at_next_expiry_misses_no_deadline(deadlines: list[int]) -> None:
    table = TimerTable()
    for key, deadline in enumerate(deadlines):
        table.start(key, float(deadline))
    seen: list[int] = []
    while table.next_expiry != NEVER:
        now = table.next_expiry
        for key in table.expired(now):
            assert deadlines[key] == now
            seen.append(key)
    assert sorted(seen) == list(range(len(deadlines)))
