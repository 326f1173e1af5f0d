"""What a path that stops answering, or answers again, does to the association (RFC 9260 sections 8.1 and 8.2)."""

from __future__ import annotations

import pytest

from asyncsctp.errors import AssociationTimeout
from asyncsctp.events import PathChanged, PeerAddressChanged
from asyncsctp.handlers.paths.reachability import is_counted, on_answer, on_silence, on_verdict
from asyncsctp.path_state import ACTIVE, INACTIVE, POTENTIALLY_FAILED
from asyncsctp.paths.failover import Verdict
from asyncsctp.timers import HEARTBEAT_TIMER, timer_key

from ..conftest import PEER, Bench

UNCHANGED = Verdict(False)


def test_an_outage_that_two_timers_tell_of_at_once_is_counted_once(bench: Bench) -> None:
    [path] = bench.context.paths.paths
    assert not is_counted(bench.context, path)
    assert on_silence(bench.context, path, UNCHANGED)
    assert is_counted(bench.context, path)
    bench.context.now += 0.001
    assert not is_counted(bench.context, path)


def test_another_path_that_is_silent_at_the_same_instant_is_counted_too(bench: Bench) -> None:
    [path] = bench.context.paths.paths
    on_silence(bench.context, path, UNCHANGED)
    on_silence(bench.context, path, UNCHANGED)
    assert bench.context.silence == (bench.context.now, (path, path))


def test_association_max_retrans_ends_the_association(bench: Bench) -> None:
    [path] = bench.context.paths.paths
    assert not on_silence(bench.context, path, Verdict(False, exceeded=True))
    [error] = bench.owner.ended
    assert isinstance(error, AssociationTimeout)


def test_the_user_hears_of_another_state(bench: Bench) -> None:
    [path] = bench.context.paths.paths
    path.state = INACTIVE
    on_verdict(bench.context, path, UNCHANGED)
    assert not bench.context.notices
    on_verdict(bench.context, path, Verdict(True))
    assert list(bench.context.notices) == [PathChanged(PEER, INACTIVE)]


def test_rfc_7829_a_path_that_may_have_failed_is_probed_at_once(bench: Bench) -> None:
    context = bench.context
    [path] = context.paths.paths
    path.state = POTENTIALLY_FAILED
    on_verdict(context, path, Verdict(True))
    assert context.timers.deadline(timer_key(HEARTBEAT_TIMER, path.path_id)) == context.now


def test_rfc_7829_another_primary_path_is_told(bench: Bench) -> None:
    [path] = bench.context.paths.paths
    on_verdict(bench.context, path, Verdict(False, switched=True))
    assert list(bench.context.notices) == [PeerAddressChanged(PEER, "primary")]


@pytest.mark.parametrize(
    ("became_active", "confirmed", "told"),
    [
        (False, False, []),
        (True, False, [PathChanged(PEER, ACTIVE)]),
        (False, True, [PeerAddressChanged(PEER, "confirmed"), PathChanged(PEER, ACTIVE)]),
    ],
)
def test_what_an_answer_changes_is_told(bench: Bench, became_active: bool, confirmed: bool, told: list[object]) -> None:
    [path] = bench.context.paths.paths
    path.state = ACTIVE
    on_answer(bench.context, path, became_active, confirmed)
    assert list(bench.context.notices) == told
