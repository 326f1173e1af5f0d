"""Addresses come and go while data flows both ways: nothing is lost, nothing comes twice (RFC 5061)."""

from __future__ import annotations

import pytest
from support.pair import Pair
from support.random_runs.address_changes import give, take

from asyncsctp.config import Config
from asyncsctp.errors import AsconfError
from asyncsctp.events import PeerAddressChanged
from asyncsctp.handlers.request import Ticket
from asyncsctp.path_state import PathState
from asyncsctp.testing import LinkSettings
from asyncsctp.testing.host import Datagram
from asyncsctp.wire.constants import HEARTBEAT_ACK

CONFIG = Config(dynamic_addresses=True, rto_initial=0.5, rto_min=0.2, heartbeat_interval=1.0, max_retrans=30)
LOSSY = LinkSettings(delay=0.02, loss=0.05, duplicate=0.02, reorder=0.05)
NEW = ("10.2.0.1", "10.2.0.2")


def established(seed: int = 0, *, paths: int = 1, link: LinkSettings | None = None, config: Config = CONFIG) -> Pair:
    pair = Pair(seed, link=link or LOSSY, config=config, paths=paths)
    pair.establish()
    return pair


def talk(pair: Pair, count: int = 60) -> None:
    """Both sides write so many messages."""
    for number in range(count):
        for side in (0, 1):
            pair.send(side, number % 3, bytes([number]) * 1500)


def done(pair: Pair, side: int, ticket: Ticket) -> None:
    pair.endpoints[side].touch(pair.association(side))
    pair.run_until(lambda: ticket.is_done, 300.0)
    assert ticket.is_ok, ticket.error


def finish(pair: Pair) -> None:
    pair.run_until(pair.is_delivered, 600.0)
    pair.shutdown(0)
    pair.run_until(pair.is_over, 600.0)
    pair.verify()
    assert [user.error for user in pair.users] == [None, None]


def addresses(pair: Pair, side: int) -> list[str]:
    """Those of the other side, as this one has them."""
    return [path.route.address for path in pair.association(side).path_manager.paths]


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("seed", range(5))
def test_an_address_is_added_verified_preferred_and_the_old_one_removed(side: int, seed: int) -> None:
    pair = established(seed)
    old, new = pair.addresses[side][0], NEW[side]
    talk(pair)
    give(pair, side, new)
    asconf = pair.association(side).asconf
    done(pair, side, asconf.add_local(new))
    assert addresses(pair, 1 - side) == [old, new]
    path = pair.association(1 - side).path_manager.find(new)
    assert path is not None
    pair.run_until(lambda: path.state is PathState.ACTIVE)
    done(pair, side, asconf.request_primary(new))
    assert pair.association(1 - side).path_manager.primary is path
    talk(pair)
    done(pair, side, asconf.remove_local(old))
    take(pair, side, old)
    assert addresses(pair, 1 - side) == [new]
    talk(pair)
    finish(pair)
    events = [event for event in pair.users[1 - side].events if isinstance(event, PeerAddressChanged)]
    told = [(event.address, event.state) for event in events]
    assert told == [(new, "added"), (new, "confirmed"), (new, "primary"), (old, "removed")]


@pytest.mark.parametrize("seed", range(10))
def test_a_single_homed_host_moves_while_data_flows(seed: int) -> None:
    pair = established(seed)
    talk(pair)
    where = pair.addresses[0][0]
    for step in range(4):
        there = (NEW[0], pair.addresses[0][0])[step % 2]
        give(pair, 0, there)
        pair.network.cut(where, pair.addresses[1][0])  # the old address is gone at once
        pair.network.heal(there, pair.addresses[1][0])
        done(pair, 0, pair.association(0).asconf.change_local(there, where))
        take(pair, 0, where)
        where = there
        talk(pair, 20)
        pair.run_for(1.0)
        assert addresses(pair, 1) == [where]
    finish(pair)


@pytest.mark.parametrize("seed", range(6))
def test_the_path_that_carries_data_is_deleted(seed: int) -> None:
    pair = established(seed, paths=2)
    talk(pair, 100)
    pair.run_for(0.1)
    for side in (0, 1):
        data_path = pair.association(1 - side).path_manager.data_path().route.address
        ticket = pair.association(side).asconf.remove_local(data_path)
        done(pair, side, ticket)
        take(pair, side, data_path)
    finish(pair)


@pytest.mark.parametrize("seed", range(6))
def test_the_only_link_that_works_is_the_new_one(seed: int) -> None:
    """The request cannot leave from the old address, nor can its answer come there (section 5.1 B4)."""
    pair = established(seed, link=LinkSettings(delay=0.02))
    talk(pair)
    give(pair, 0, NEW[0])
    pair.network.cut(pair.addresses[0][0], pair.addresses[1][0])
    done(pair, 0, pair.association(0).asconf.add_local(NEW[0]))
    finish(pair)


@pytest.mark.parametrize("seed", range(20))
def test_both_hosts_change_at_the_same_time(seed: int) -> None:
    pair = established(seed)
    talk(pair)
    tickets = []
    for side in (0, 1):
        give(pair, side, NEW[side])
        tickets.append(pair.association(side).asconf.change_local(NEW[side], pair.addresses[side][0]))
        pair.endpoints[side].touch(pair.association(side))
    pair.run_until(lambda: all(ticket.is_done for ticket in tickets), 600.0)
    assert all(ticket.is_ok for ticket in tickets)
    finish(pair)


class LosesAnswers:
    """The network loses HEARTBEAT ACKs from one address until it has lost so many."""

    def __init__(self, source: str, count: int) -> None:
        self.source = source
        self.left = count

    def __call__(self, datagram: Datagram) -> bool:
        is_lost = self.left > 0 and datagram.source[0] == self.source and datagram.data[12] == HEARTBEAT_ACK
        self.left -= is_lost
        return not is_lost


@pytest.mark.parametrize("asks", [False, True])
@pytest.mark.parametrize("paths", [1, 2])
def test_who_has_moved_waits_for_a_peer_that_has_to_verify_where(paths: int, asks: bool) -> None:
    """RFC 5061 section 5.3 F1: Z may send nothing but HEARTBEATs, which A answers, until one answer has come to it. The
    first is lost, and the next HEARTBEAT leaves after RTO.Initial (RFC 9260 section 6.3.1 C1), which is much for A. It
    has no acknowledgement meanwhile, and many answers to its own HEARTBEATs (section 8.1).

    `asks`: Z has a request of its own as well. That may not leave either.
    """
    config = Config(dynamic_addresses=True, rto_initial=0.2, rto_min=0.1, heartbeat_interval=5.0, sack_delay=0.0)
    pair = Pair(link=LinkSettings(delay=0.02), config=config, z_config=config.replace(rto_initial=3.0), z_paths=paths)
    pair.establish()
    give(pair, 1, NEW[1])
    done(pair, 1, pair.association(1).asconf.add_local(NEW[1]))
    talk(pair)
    pair.run_until(pair.is_delivered)
    give(pair, 0, NEW[0])
    loss = pair.network.on_datagram = LosesAnswers(NEW[0], 1)
    tickets = [pair.association(0).asconf.change_local(NEW[0], pair.addresses[0][0])]
    pair.endpoints[0].touch(pair.association(0))
    pair.run_until(lambda: loss.left == 0)
    assert pair.association(1).path_manager.is_held
    if asks:
        tickets.append(pair.association(1).asconf.remove_local(pair.addresses[1][0]))
        pair.endpoints[1].touch(pair.association(1))
    moved_at = pair.now
    talk(pair, 10)
    pair.run_until(pair.is_delivered)
    assert pair.now - moved_at == pytest.approx(3.0, abs=3.0)
    pair.run_until(lambda: all(ticket.is_done for ticket in tickets))
    assert all(ticket.is_ok for ticket in tickets)
    finish(pair)


def test_ipv6_is_added_over_ipv4_and_ipv4_removed_over_ipv6() -> None:
    pair = established(1)
    for side, address in ((0, "2001:db8::1"), (1, "2001:db8::2")):
        give(pair, side, address)
    asconf = pair.association(0).asconf
    done(pair, 0, asconf.add_local("2001:db8::1"))
    done(pair, 1, pair.association(1).asconf.add_local("2001:db8::2"))
    assert addresses(pair, 0) == ["10.0.0.2", "2001:db8::2"]
    pair.run_for(2.0)
    with pytest.raises(ValueError, match="already"):
        asconf.add_local("2001:db8::1")
    done(pair, 1, pair.association(1).asconf.remove_local("10.0.0.2"))
    assert addresses(pair, 0) == ["2001:db8::2"]
    talk(pair)
    finish(pair)


def test_ipv4_is_removed_while_the_answer_is_lost_that_lets_the_other_side_use_ipv6() -> None:
    """Nothing leaves any more from where the request went (section 5.3 F4), and where it did not go nothing can be
    verified: no HEARTBEAT is answered from an address that is not agreed on (F1).
    """
    pair = established(paths=2, link=LinkSettings(delay=0.02))
    for side, address in ((0, "2001:db8::1"), (1, "2001:db8::2")):
        give(pair, side, address)
    ours, theirs = (pair.association(side).asconf for side in (0, 1))
    done(pair, 1, theirs.add_local("2001:db8::2"))
    adding = ours.add_local("2001:db8::1")
    pair.endpoints[0].touch(pair.association(0))
    pair.network.cut("10.0.0.2", "10.0.0.1", one_way=True)
    pair.run_until(lambda: "2001:db8::1" in addresses(pair, 1))
    pair.network.heal("10.0.0.2", "10.0.0.1")
    theirs.remove_local("10.1.0.2")
    done(pair, 1, theirs.remove_local("10.0.0.2"))
    done(pair, 0, adding)
    talk(pair)
    finish(pair)


def test_an_association_that_the_peer_restarts_goes_on_without_what_was_asked() -> None:
    pair = established(3)
    ticket = pair.association(1).asconf.add_local(NEW[1])
    give(pair, 1, NEW[1])
    pair.reborn()
    pair.run_until(lambda: pair.users[0].association is not None and pair.is_up())
    assert ticket.is_done
    talk(pair)
    done(pair, 1, pair.association(1).asconf.add_local("10.3.0.2"))
    pair.run_until(pair.is_delivered)


def test_where_it_was_not_offered_it_is_not_there() -> None:
    pair = Pair(1, config=CONFIG, z_config=CONFIG.replace(dynamic_addresses=False, auth=True))
    pair.establish()
    for side in (0, 1):
        with pytest.raises(AsconfError):
            _ = pair.association(side).asconf
    talk(pair)
    finish(pair)


def test_addresses_that_come_and_go_for_ever_take_no_room() -> None:
    pair = established(2, link=LinkSettings(delay=0.001))
    give(pair, 0, NEW[0])
    for _ in range(60):
        pair.send(0, 0, b"message")
        done(pair, 0, pair.association(0).asconf.add_local(NEW[0]))
        done(pair, 0, pair.association(0).asconf.remove_local(NEW[0]))
    association = pair.association(1)
    assert len(association.path_manager.by_id) <= 3
    finish(pair)
