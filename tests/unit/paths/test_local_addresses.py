"""Our own addresses: which may be a source, and which paths leave from there."""

from __future__ import annotations

from support.narrowing import so_far

from asyncsctp.config import Config
from asyncsctp.path_state import PathState
from asyncsctp.paths.local_addresses import LocalAddresses
from asyncsctp.paths.path_manager import PathManager

ONE, TWO, SIX = "192.0.2.1", "192.0.2.129", "2001:db8::1"
PEER, PEER_SIX = "192.0.2.2", "2001:db8::2"


def manager(*local: str, peer: tuple[str, ...] = (PEER,)) -> PathManager:
    return PathManager(Config(), local, peer, 9899, print)


def test_an_address_is_a_source_once_the_peer_has_agreed() -> None:
    local = LocalAddresses([ONE])
    local.announce(TWO)
    assert (local.sources, local.barred) == ((ONE,), (TWO,))
    assert TWO in local
    local.admit(TWO)
    assert (local.sources, local.barred, local.bound) == ((ONE, TWO), (), (ONE, TWO))


def test_an_address_is_no_source_as_soon_as_it_is_to_go() -> None:
    local = LocalAddresses([ONE, TWO])
    local.withdraw(ONE)
    assert (local.sources, local.barred, local.bound) == ((TWO,), (ONE,), (ONE, TWO))
    local.drop(ONE)
    assert (local.sources, local.barred, local.bound) == ((TWO,), (), (TWO,))
    assert ONE not in local


def test_a_refused_address_is_forgotten_and_a_kept_one_is_not() -> None:
    local = LocalAddresses([ONE, TWO])
    local.announce(SIX)
    local.drop(SIX)
    local.withdraw(TWO)
    local.admit(TWO)
    assert (local.sources, local.barred, local.bound) == ((ONE, TWO), (), (ONE, TWO))


def test_what_a_wildcard_covers_is_not_listed_beside_it() -> None:
    local = LocalAddresses(["0.0.0.0"])
    local.replace_wildcard(ONE)
    local.announce(TWO)
    local.admit(TWO)
    assert (local.sources, local.bound) == ((ONE, TWO), ("0.0.0.0",))
    local.restart()
    assert local.sources == ("0.0.0.0",)


def test_paths_leave_from_another_address_of_their_family() -> None:
    paths = manager(ONE, TWO)
    path = paths.primary
    assert path.route.local == ONE
    paths.local.withdraw(ONE)
    paths.leave(ONE)
    assert path.route.local == path.reply_route.local == TWO
    assert path.state is PathState.ACTIVE
    assert not paths.is_held


def test_a_path_without_an_address_of_ours_is_not_used_until_there_is_one() -> None:
    paths = manager(ONE, SIX, peer=(PEER, PEER_SIX))
    four, six = paths.paths
    paths.local.withdraw(ONE)
    paths.leave(ONE)
    assert paths.data_path() is six
    assert paths.reply_path(four) is six
    assert paths.retransmit_path(six.path_id) is six
    assert not paths.recover(four)
    assert paths.data_path() is six
    assert not paths.is_held
    paths.local.admit(TWO)
    paths.arrive()
    assert four.route.local == TWO
    assert four.state is PathState.ACTIVE
    assert paths.data_path() is four


def test_nothing_leaves_while_there_is_no_address_at_all() -> None:
    paths = manager(ONE)
    paths.local.announce(TWO)
    paths.local.withdraw(ONE)
    paths.leave(ONE)
    assert so_far(paths.is_held)
    assert not paths.local.rotate(paths.primary)
    paths.local.admit(TWO)
    paths.local.drop(ONE)
    paths.arrive()
    assert not paths.is_held
    assert paths.primary.route.local == TWO


def test_a_restart_brings_back_what_the_handshake_said() -> None:
    paths = manager(ONE)
    paths.local.announce(TWO)
    paths.local.withdraw(ONE)
    paths.leave(ONE)
    paths.restart((PEER,))
    assert paths.local.sources == (ONE,)
    assert not paths.local.barred
    assert paths.primary.route.local == ONE
    assert paths.primary.state is PathState.ACTIVE
    assert not paths.is_held


def test_numbers_of_removed_paths_are_used_again_but_not_at_once() -> None:
    paths = manager(ONE)
    second = paths.add("192.0.2.3")
    assert second is not None
    paths.confirm(second)
    assert paths.remove("192.0.2.3")
    third = paths.add("192.0.2.4")
    assert third is not None
    assert third.path_id == 2
    assert paths.by_id[1] is second
    paths.release(second)
    paths.release(second)
    fourth, fifth = paths.add("192.0.2.5"), paths.add("192.0.2.6")
    assert fourth is not None
    assert fifth is not None
    assert (fourth.path_id, fifth.path_id) == (1, 3)
    paths.release(fourth)  # it is in use
    assert paths.add("192.0.2.7").path_id == 4  # type: ignore[union-attr]


def test_the_last_verified_path_may_be_removed_if_another_takes_its_place() -> None:
    paths = manager(ONE)
    old = paths.primary
    new = paths.add("192.0.2.3")
    assert new is not None
    assert not paths.remove(PEER)
    assert paths.remove(PEER, new)
    assert paths.primary is paths.data_path() is new
    assert paths.is_held
    assert paths.reply_path(old) is new
    assert paths.confirm(new)
    assert not paths.is_held
