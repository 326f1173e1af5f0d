"""Which association a packet is for, and which tags must rest (RFC 9260 sections 5.2 and 5.3.1)."""

from __future__ import annotations

import pytest
from support.endpoints import OTHER, PEER_PORT, THERE, Solo

from asyncsctp.association.association import Association
from asyncsctp.endpoint.directory import Deadlines, Directory
from asyncsctp.timers import NEVER

REST = 60.0


class Tags:
    """A source of tags that come as they are written here."""

    def __init__(self, *tags: int) -> None:
        self.tags = list(tags)

    def bits(self, count: int) -> int:
        return self.tags.pop(0)

    def token(self, size: int) -> bytes:
        return bytes(size)


def association(*addresses: str) -> Association:
    """One that is up, with a peer at these addresses."""
    solo = Solo(seed=repr(addresses))
    return solo.accept(addresses=addresses[1:], source=addresses[0])


def directory(*tags: int) -> Directory:
    return Directory(Tags(*tags), REST, Deadlines())


def test_an_association_is_found_by_its_tag_and_ports_and_by_all_addresses() -> None:
    found, one = directory(), association(THERE, OTHER)
    found.bind(one)
    assert found.by_prefix == {one.prefix: one}
    assert found.find_peer([OTHER], PEER_PORT) is one
    assert found.find_peer(["203.0.113.9", THERE], PEER_PORT) is one
    assert found.find_peer([THERE], PEER_PORT + 1) is None
    assert (len(found), found.associations) == (1, [one])
    one.path_manager.remove(OTHER)
    found.bind(one)
    assert found.find_peer([OTHER], PEER_PORT) is None
    found.unbind(one)
    assert (len(found), found.by_prefix, found.find_peer([THERE], PEER_PORT)) == (0, {}, None)
    found.unbind(one)  # once more is nothing
    assert len(found) == 0


def test_who_has_an_address_keeps_it_whatever_another_peer_claims() -> None:
    """RFC 5062 section 2."""
    found, first, second = directory(), association(THERE), association(OTHER, THERE)
    found.bind(first)
    found.bind(second)
    assert found.find_peer([THERE], PEER_PORT) is first
    assert found.find_peer([OTHER], PEER_PORT) is second
    found.unbind(second)
    assert found.find_peer([THERE], PEER_PORT) is first


def test_behind_a_nat_several_share_an_address() -> None:
    """Draft natsupp section 6.3.2: they are told apart by their tags."""
    found = directory()
    sharing = [association(THERE), association(THERE, OTHER), association(THERE, "203.0.113.9")]
    for one in sharing:
        assert one.context.setup is not None
        one.context.setup = one.context.setup._replace(disable_restart=True)
        found.bind(one)
        found.bind(one)
    assert list(found.peers_at([THERE], PEER_PORT)) == sharing
    found.unbind(sharing[0])
    assert list(found.peers_at([THERE], PEER_PORT)) == sharing[1:]
    found.unbind(sharing[2])
    assert list(found.peers_at([THERE], PEER_PORT)) == [sharing[1]]
    assert list(found.peers_at(["203.0.113.9"], PEER_PORT)) == []


def test_a_tag_rests_after_its_association() -> None:
    """Section 5.3.1: packets to it may be under way."""
    one = association(THERE)
    tag = one.context.local_tag
    found = directory(tag, 0, 77, tag, 78, tag)
    found.bind(one)
    assert found.new_tag() == 77  # neither one in use, nor 0
    found.now = 100.0
    found.unbind(one)
    assert found.rests(tag)
    assert found.new_tag() == 78
    found.now = 100.0 + REST
    assert not found.rests(tag)
    other = association(OTHER)
    found.bind(other)
    found.unbind(other)
    assert found.new_tag() == tag


@pytest.mark.parametrize("lingers", [True, False])
def test_a_shutdown_complete_is_said_again_a_few_times(lingers: bool) -> None:
    """Whoever knows the tag may ask for it in another's name: each answer is counted."""
    found, one = directory(), association(THERE)
    tag = one.context.local_tag
    one.context.linger = 4.0 if lingers else 0.0
    found.bind(one)
    assert not found.is_completed(tag)
    found.unbind(one)
    assert found.is_completed(tag) is lingers
    if lingers:
        answers = [found.take_completion(tag) for _ in range(100)]
        assert 2 <= sum(answers) <= 20
        assert answers == sorted(answers, reverse=True)
        found.now += REST
        assert not found.is_completed(tag)


class TestDeadlines:
    def due_at(self, one: Association, deadline: float) -> None:
        one.context.timers.stop_all()
        one.context.timers.start(1, deadline)

    def test_the_earliest_comes_first_and_each_once(self) -> None:
        deadlines = Deadlines()
        assert deadlines.next_expiry() == NEVER
        ones = [association(THERE), association(OTHER)]
        for one, deadline in zip(ones, (5.0, 3.0), strict=True):
            one.due = NEVER
            self.due_at(one, deadline)
            deadlines.note(one)
        assert deadlines.next_expiry() == 3.0
        assert deadlines.take_due(2.9) == []
        assert deadlines.take_due(4.0) == [ones[1]]
        assert deadlines.next_expiry() == 5.0
        deadlines.forget(ones[0])
        assert deadlines.next_expiry() == NEVER
        assert deadlines.take_due(99.0) == []

    def test_a_deadline_that_is_put_off_wakes_once_too_early_and_not_again(self) -> None:
        deadlines, one = Deadlines(), association(THERE)
        one.due = NEVER
        self.due_at(one, 1.0)
        deadlines.note(one)
        self.due_at(one, 8.0)
        deadlines.note(one)
        assert deadlines.take_due(2.0) == [one]
        deadlines.note(one)
        assert deadlines.next_expiry() == 8.0

    def test_what_is_noted_again_and_again_is_not_kept_for_ever(self) -> None:
        deadlines, one = Deadlines(), association(THERE)
        one.due = NEVER
        for number in range(10_000):
            self.due_at(one, 20_000.0 - number)
            deadlines.note(one)
        assert len(deadlines._heap) < 1000
        assert deadlines.next_expiry() == 10_001.0
        assert deadlines.take_due(30_000.0) == [one]
