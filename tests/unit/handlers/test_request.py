"""A request that is sent again until the peer has answered it, as its user and its path see it."""

from __future__ import annotations

from support.narrowing import so_far

from asyncsctp.config import Config
from asyncsctp.errors import AsconfError, AssociationTimeout
from asyncsctp.handlers.paths.reachability import OF_DATA, OF_REQUESTS
from asyncsctp.handlers.request import Retry, Ticket
from asyncsctp.path_state import ACTIVE, INACTIVE
from asyncsctp.timers import T4_RTO

from .conftest import PEER, Bench

OTHER = "192.0.2.3"


def test_a_ticket_is_done_with_the_last_of_its_requests(bench: Bench) -> None:
    told: list[str] = []
    ticket = Ticket()
    ticket.on_done = lambda: told.append("done")
    ticket.open_requests = 2
    ticket.close(bench.context)
    assert not so_far(ticket.is_done) and not bench.context.notices
    ticket.close(bench.context)
    assert ticket.is_done and ticket.is_ok
    assert len(bench.context.notices) == 1 and not told, "the user is called after the step"


def test_a_ticket_keeps_the_first_error() -> None:
    ticket, first = Ticket(), AsconfError("first")
    ticket.fail(first)
    ticket.fail(AsconfError("second"))
    ticket.is_done = True
    assert ticket.error is first and not ticket.is_ok


def two_paths(**config: int) -> Bench:
    return Bench(Config(rto_initial=1.0, rto_min=0.1, pf_threshold=None).replace(**config), addresses=(PEER, OTHER))


def test_a_retransmission_takes_another_path_and_its_answer_is_ambiguous() -> None:
    """RFC 9260 section 6.4.1; RFC 7829 section 3.2 rule 9."""
    context = two_paths().context
    first, second = context.paths.paths
    retry = Retry(context, T4_RTO, OF_REQUESTS)
    assert so_far(retry.path) is first
    assert retry.rotate() is second
    assert so_far(retry.path) is second and so_far(retry.is_ambiguous)
    retry.begin(first)
    assert so_far(retry.path) is first and not so_far(retry.is_ambiguous)
    retry.move(first)
    assert not retry.is_ambiguous


def test_the_timer_runs_for_the_rto_of_the_path() -> None:
    context = two_paths().context
    retry = Retry(context, T4_RTO, OF_REQUESTS)
    retry.start_timer()
    assert context.timers.deadline(T4_RTO) == context.now + 1.0
    assert retry.on_timeout()
    retry.start_timer()
    assert context.timers.deadline(T4_RTO) == context.now + 2.0, "the RTO is backed off"
    retry.stop_timer()
    assert context.timers.next_expiry > context.now + 1e6


def test_an_outage_that_another_timer_has_counted_is_not_counted_again() -> None:
    context = two_paths().context
    one, other = Retry(context, T4_RTO, OF_REQUESTS), Retry(context, T4_RTO, OF_DATA)
    assert one.on_timeout() and other.on_timeout()
    assert one.path.error_count == 1


def test_time_outs_end_the_association() -> None:
    bench = two_paths(max_retrans=1, path_max_retrans=5)
    retry = Retry(bench.context, T4_RTO, OF_REQUESTS)
    assert retry.on_timeout()
    bench.context.now += 1.0
    assert not retry.on_timeout()
    assert isinstance(bench.owner.ended[0], AssociationTimeout)


def test_an_answer_clears_the_errors_of_its_path() -> None:
    context = two_paths(path_max_retrans=0).context
    retry = Retry(context, T4_RTO, OF_REQUESTS)
    assert retry.on_timeout() and so_far(retry.path.state) is INACTIVE
    retry.on_answer()
    assert retry.path.state is ACTIVE and retry.path.error_count == 0


def test_an_ambiguous_answer_does_not_bring_a_path_back() -> None:
    """RFC 7829 section 3.2 rules 9 and 10, where its thresholds are in use."""
    context = two_paths(path_max_retrans=0, pf_threshold=0).context
    retry = Retry(context, T4_RTO, OF_DATA)
    assert retry.on_timeout() and so_far(retry.path.state) is INACTIVE
    failed = retry.path
    retry.rotate()
    retry.move(failed)
    retry.on_answer()
    assert failed.state is INACTIVE


def test_a_request_goes_on_with_the_successor_of_a_removed_path() -> None:
    context = two_paths().context
    first, second = context.paths.paths
    retry = Retry(context, T4_RTO, OF_REQUESTS)
    retry.forget_path(second, first)
    assert so_far(retry.path) is first and not so_far(retry.is_ambiguous)
    retry.forget_path(first, second)
    assert so_far(retry.path) is second and so_far(retry.is_ambiguous)
