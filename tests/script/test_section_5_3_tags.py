"""RFC 9260 section 5.3.1: tags are random, never 0, and not used again before what bore them is gone."""

from __future__ import annotations

from support.endpoints import THERE, Sim, Solo, data, init_of, kinds

from asyncsctp.handlers.state import CLOSED, ESTABLISHED
from asyncsctp.wire import control
from asyncsctp.wire.constants import ABORT, INIT_ACK

REST = 240.0


class Few:
    """Chance that knows few tags, the invalid one among them."""

    def __init__(self) -> None:
        self.tags = [0, 5, 5, 6, 7]
        self.asked = 0

    def bits(self, count: int) -> int:
        if count != 32:
            return 1
        self.asked += 1
        return self.tags[(self.asked - 1) % len(self.tags)]

    def token(self, size: int) -> bytes:
        return bytes(size)


def test_a_tag_is_never_0_and_never_taken() -> None:
    solo = Solo()
    solo.endpoint._shared.random = solo.endpoint._directory._random = chance = Few()  # what the endpoint was given
    chance.tags = [0, 5, 100, 5, 6, 101]
    first = solo.connect((THERE,))
    second = solo.connect(("192.0.2.3",))
    assert (first.initiate_tag, second.initiate_tag) == (5, 6)


def test_tags_of_ended_associations_rest() -> None:
    """Two minutes that a packet may wander about, there and back."""
    solo = Solo()
    association = solo.accept()
    tag = association.context.local_tag
    directory = solo.endpoint._directory
    solo.say(control.pack_abort())
    assert association.state is CLOSED
    directory.now = solo.now + REST - 1
    assert directory.rests(tag)
    directory.now = solo.now + REST + 1
    assert not directory.rests(tag)


def test_no_tag_is_kept_longer_than_it_rests() -> None:
    solo = Solo()
    for number in range(200):
        solo.accept(f"198.51.100.{number + 1}", initiate_tag=number + 1)
        solo.receive(solo.packet(control.pack_abort()), f"198.51.100.{number + 1}")
        solo.wait(10.0)
    assert len(solo.endpoint._directory._resting) <= REST / 10 + 2


def test_the_tags_never_change_while_the_association_lives() -> None:
    sim = Sim()
    a = sim.node("a", "10.0.0.1")
    z = sim.node("z", "10.0.0.2", listening=True)
    a.connect(z)
    sim.until(lambda: a.is_up() and z.is_up())
    tags = a.association.context.local_tag, a.association.context.peer_tag
    for _ in range(50):
        a.send(b"data")
        sim.run(40.0)
    assert (a.association.context.local_tag, a.association.context.peer_tag) == tags


def test_a_new_association_of_the_same_peers_has_new_tags() -> None:
    sim = Sim()
    a = sim.node("a", "10.0.0.1")
    z = sim.node("z", "10.0.0.2", listening=True)
    seen = set()
    for _ in range(10):
        a.connect(z)
        sim.until(lambda: a.is_up())
        association = a.association
        seen |= {association.context.local_tag, association.context.peer_tag}
        a.shutdown()
        sim.until(lambda: a.user.is_closed and z.user.is_closed)
    assert len(seen) == 20


def test_packets_of_an_association_before_do_not_disturb_the_next() -> None:
    """Everything that was sent in one association is replayed into the next of the same peers."""
    sim = Sim()
    a = sim.node("a", "10.0.0.1")
    z = sim.node("z", "10.0.0.2", listening=True)
    a.connect(z)
    sim.until(lambda: a.is_up() and z.is_up())
    a.send(b"old")
    sim.until(lambda: z.received)
    a.shutdown()
    sim.until(lambda: a.user.is_closed and z.user.is_closed)
    old = list(sim.log)
    a.connect(z)
    sim.until(lambda: a.is_up() and z.is_up() and len(z.users) == 2)
    for datagram in old:
        sim.network.send(datagram.source, datagram.destination, datagram.data)
        sim.run(0.001)
    sim.run(30.0)
    a.send(b"new")
    sim.until(lambda: z.received)
    assert z.received == [b"new"]
    assert (len(a.users), len(z.users)) == (2, 2)
    assert a.association.state is z.association.state is ESTABLISHED


def test_an_old_cookie_does_not_wake_an_association_that_ended() -> None:
    solo = Solo()
    _, echo = solo.cookie()
    solo.receive(echo)
    solo.say(control.pack_abort())
    for _ in range(5):
        solo.wait(20.0)
        assert [kinds(packet) for _, packet in solo.receive(echo)] in ([], [[ABORT]], [[9]])
    assert len(solo.users) == 1


def test_a_cookie_made_before_the_end_is_good_after_it() -> None:
    """Another INIT of the peer's, answered while the old association was there, makes the next once that is gone."""
    solo = Solo()
    solo.accept()
    ((_, answer),) = solo.init(initiate_tag=0x77)
    assert kinds(answer) == [INIT_ACK]
    ack = init_of(answer)
    solo.say(control.pack_abort())
    said = solo.receive(solo.packet(control.pack_cookie_echo(ack.cookie or b""), data(1000), tag=ack.initiate_tag))
    assert said
    assert len(solo.users) == 2
    assert solo.association.context.peer_tag == 0x77
