"""What a program can say of a message, and hears of it: receipts, lifetimes, retransmissions, priorities, withdrawing.

Over a simulated network, in virtual time.
"""

from __future__ import annotations

import asyncio
from math import inf, nan
from typing import Any

import pytest
from support.simulated import A, Z, run_ends, two_hosts

import asyncsctp
from asyncsctp import Abandoned, Config, Delivery, MessageAbandoned, Receipt, SendFailed
from asyncsctp.testing import Datagram, Network

DELAY = 0.01
NOTHING = {name: Abandoned(0, 0) for name in ("withdrawn", "timed", "limited", "priority")}
NARROW = Config(recv_buffer=4096)  # a peer that has this and does not read stops the sender soon
WITHOUT = Config(partial_reliability=False)


class Wire:
    """What leaves host A, and what of it is lost."""

    def __init__(self, network: Network) -> None:
        self.times: list[tuple[float, bytes]] = []
        self.lose = 0  # so many of the packets that hold `lose_with`
        self.lose_with = b""
        self._network = network
        network.on_datagram = self._look

    def _look(self, datagram: Datagram) -> bool:
        if datagram.source[0] != A:
            return True
        self.times.append((self._network.now, datagram.data))
        if self.lose and self.lose_with in datagram.data:
            self.lose -= 1
            return False
        return True

    def times_of(self, text: bytes) -> list[float]:
        """When a packet with this text left."""
        return [when for when, data in self.times if text in data]


async def block(a: asyncsctp.Association, stream: int = 9) -> None:
    """Fill the window of a peer that does not read: what is written from now on waits."""
    for _ in range(8):
        a.write(bytes(1000), stream=stream, context="filler")
    await asyncio.sleep(1.0)


async def unblock(z: asyncsctp.Association) -> list[bytes]:
    """Read all that comes; what was not filled in by `block`."""
    texts: list[bytes] = []
    try:
        async with asyncio.timeout(30.0):
            while True:
                texts.append((await z.recv()).data)
    except TimeoutError:
        return [text for text in texts if text != bytes(1000)]


async def failures(events: Any, count: int) -> list[SendFailed]:
    found: list[SendFailed] = []
    async for event in events:
        if isinstance(event, SendFailed):
            found.append(event)
            if len(found) == count:
                break
    return found


# Awaiting.


def test_a_receipt_tells_when_and_where_the_message_was_acknowledged() -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        started = asyncio.get_running_loop().time()
        receipt = a.write(b"hello", sack_immediately=True)
        assert isinstance(receipt, Receipt)
        delivery = await receipt
        assert delivery.path == Z and delivery.transmissions == 1
        assert delivery.time == pytest.approx(started + 2 * DELAY)
        assert (await z.recv()).data == b"hello"

    run_ends(test)


@pytest.mark.parametrize("size", [100, 50_000])
@pytest.mark.parametrize("interleaving", [False, True])
def test_after_a_loss_it_tells_of_more_transmissions(size: int, interleaving: bool) -> None:
    network = two_hosts()
    wire = Wire(network)

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        wire.lose, wire.lose_with = 1, b"lose me"
        lost = a.write(b"lose me" + bytes(size))
        others = [a.write(bytes(100), stream=stream) for stream in range(1, 8)]
        delivery, *rest = await asyncio.gather(lost, *others)
        assert delivery.transmissions == 2
        assert {each.transmissions for each in rest} <= {1, 2}, "some were in the same packet"
        assert (await a.write(b"later")).transmissions == 1

    run_ends(test, network, config=Config(interleaving=interleaving))


def test_it_resolves_only_when_all_of_a_message_is_acknowledged() -> None:
    network = two_hosts()
    wire = Wire(network)

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        wire.lose, wire.lose_with = 1, b"the end"
        started = asyncio.get_running_loop().time()
        delivery = await a.write(bytes(10_000) + b"the end")
        assert delivery.time is not None and delivery.time > started + 4 * DELAY
        assert delivery.transmissions == 2
        assert z.stats.messages_received == 1

    run_ends(test, network)


def test_several_may_wait_and_one_that_is_cancelled_withdraws_nothing() -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        receipt = a.write(b"hello")

        async def wait() -> Delivery:
            return await receipt

        waits = [asyncio.ensure_future(wait()) for _ in range(4)]
        await asyncio.sleep(DELAY / 2)
        waits[1].cancel()
        outcomes = await asyncio.gather(*waits, return_exceptions=True)
        assert isinstance(outcomes[1], asyncio.CancelledError)
        [first, third, fourth] = [outcome for outcome in outcomes if isinstance(outcome, Delivery)]
        assert first == third == fourth == await receipt
        assert (await z.recv()).data == b"hello"

    run_ends(test)


def test_who_asks_late_is_told_that_it_arrived() -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        one, long, timed = a.write(b"1"), a.write(bytes(30_000)), a.write(b"2", lifetime=5.0)
        watched = a.write(b"3")
        delivery = await watched
        await a.flush()
        assert await one == await long == await timed == Delivery(None, None, None)
        assert await watched == delivery
        await a.close()
        assert await one == Delivery(None, None, None)
        assert await watched == delivery

    run_ends(test)


def test_many_receipts_each_tell_of_their_own() -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        receipts = [a.write(b"%d" % number * 50, stream=number % 5) for number in range(300)]
        deliveries = await asyncio.gather(*receipts)
        assert all(delivery.path == Z for delivery in deliveries)
        assert {delivery.transmissions for delivery in deliveries} >= {1, 2}
        assert z.stats.messages_received == 300

    run_ends(test, two_hosts(seed=3, loss=0.1))


@pytest.mark.parametrize("is_begun", [False, True])
def test_an_association_that_ends_before_tells_all_who_wait(is_begun: bool) -> None:
    network = two_hosts()

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        network.cut(A, Z)
        receipts = [a.write(b"1"), a.write(b"2", lifetime=60.0), a.write(bytes(100_000))]
        waits = [asyncio.ensure_future(_outcome(receipt)) for receipt in receipts]
        await asyncio.sleep(1.0 if is_begun else 0.0)
        a.abort(b"enough")
        outcomes = await asyncio.gather(*waits)
        assert [type(outcome) for outcome in outcomes] == [MessageAbandoned] * 3
        for receipt in receipts:
            assert isinstance(await _outcome(receipt), MessageAbandoned), "and those who ask later"
            assert not receipt.withdraw()

    run_ends(test, network)


async def _outcome(receipt: Receipt) -> Delivery | MessageAbandoned:
    try:
        return await receipt
    except MessageAbandoned as error:
        return error


def test_what_was_written_before_a_graceful_end_arrives() -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        receipts = [a.write(bytes(5000)) for _ in range(20)]
        waits = asyncio.gather(*receipts)
        await z.close()
        assert all(delivery.path == Z for delivery in await waits)
        assert await receipts[0] == (await waits)[0]

    run_ends(test)


# Withdrawing.


@pytest.mark.parametrize("partial_reliability", [False, True])
def test_a_message_that_has_not_left_can_be_withdrawn(partial_reliability: bool) -> None:
    network = two_hosts()
    wire = Wire(network)

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        events = a.events()
        await block(a)
        one = a.write(b"not this one", stream=2, ppid=77, context="mine")
        a.write(b"but this one", stream=2)
        waiting = asyncio.ensure_future(_outcome(one))
        await asyncio.sleep(0.1)
        assert one.withdraw() is True
        assert one.withdraw() is False
        assert isinstance(await waiting, MessageAbandoned)
        assert isinstance(await _outcome(one), MessageAbandoned)
        [failed] = await failures(events, 1)
        assert failed == SendFailed(2, 77, b"not this one", "mine", False, failed.reason)
        assert "withdrawn" in failed.reason
        assert await unblock(z) == [b"but this one"]
        assert wire.times_of(b"not this one") == []
        assert a.abandoned()["withdrawn"] == Abandoned(1, 0)
        assert a.abandoned(2)["withdrawn"] == Abandoned(1, 0)
        assert a.abandoned(3) == NOTHING

    run_ends(test, network, config=Config(partial_reliability=partial_reliability), z_config=NARROW)


@pytest.mark.parametrize("interleaving", [False, True])
@pytest.mark.parametrize("size", [0, 20_000])
def test_a_message_that_has_left_can_be_withdrawn(size: int, interleaving: bool) -> None:
    """One that was lost, so that the peer would have had to wait for it."""
    network = two_hosts()
    wire = Wire(network)

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        events = a.events()
        wire.lose, wire.lose_with = 1, b"not this one"
        data = b"not this one" + bytes(size)
        one = a.write(data, stream=2, context=7)
        a.write(b"but this one", stream=2)
        await asyncio.sleep(DELAY / 2)
        assert one.withdraw() is True
        assert (await z.recv()).data == b"but this one"
        await a.flush()
        [failed] = await failures(events, 1)
        assert failed == SendFailed(2, 0, data, 7, True, failed.reason)
        assert len(wire.times_of(b"not this one")) == 1
        assert a.abandoned() == NOTHING | {"withdrawn": Abandoned(0, 1)}
        a.write(b"and what follows", stream=2)
        assert (await z.recv()).data == b"and what follows"

    run_ends(test, network, config=Config(interleaving=interleaving))


def test_it_is_too_late_once_it_was_acknowledged() -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        events = a.events()
        receipt = a.write(b"x")
        await receipt
        assert receipt.withdraw() is False
        other = a.write(b"y")
        await a.flush()
        assert other.withdraw() is False
        assert a.abandoned() == NOTHING
        await a.close()
        assert other.withdraw() is False
        assert not [event async for event in events if isinstance(event, SendFailed)]

    run_ends(test)


def test_what_has_left_cannot_be_withdrawn_where_the_peer_can_not_be_told() -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        receipt = a.write(b"x")
        await asyncio.sleep(DELAY / 2)
        with pytest.raises(ValueError, match="not negotiated"):
            receipt.withdraw()
        assert (await receipt).transmissions == 1
        assert (await z.recv()).data == b"x"

    run_ends(test, config=WITHOUT)


def test_withdrawing_makes_room_for_who_waits_to_write() -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        await block(a)
        large = a.write(bytes(200_000), stream=1)
        sending = asyncio.ensure_future(a.send(b"x", stream=2))
        await asyncio.sleep(1.0)
        assert not sending.done()
        assert large.withdraw()
        async with asyncio.timeout(1.0):
            await sending

    run_ends(test, config=Config(send_buffer=100_000), z_config=NARROW)


# Lifetimes.


@pytest.mark.parametrize("interleaving", [False, True])
def test_what_has_not_left_when_its_lifetime_is_over_does_not_leave(interleaving: bool) -> None:
    network = two_hosts()
    wire = Wire(network)

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        events = a.events()
        await block(a)
        started = asyncio.get_running_loop().time()
        receipt = await a.send(b"soon worthless", stream=4, ppid=5, lifetime=0.5, context=[1])
        later = await a.send(b"lasting", stream=4, lifetime=600)
        assert isinstance(await _outcome(receipt), MessageAbandoned)
        assert asyncio.get_running_loop().time() == pytest.approx(started + 0.5)
        [failed] = await failures(events, 1)
        assert failed == SendFailed(4, 5, b"soon worthless", [1], False, failed.reason)
        assert await unblock(z) == [b"lasting"]
        assert (await later).path is None, "it is over, and nobody had asked before"
        assert wire.times_of(b"soon worthless") == []
        assert a.abandoned() == NOTHING | {"timed": Abandoned(1, 0)}

    run_ends(
        test, network, config=Config(interleaving=interleaving), z_config=NARROW.replace(interleaving=interleaving)
    )


def test_what_was_lost_is_not_sent_again_when_its_lifetime_is_over() -> None:
    network = two_hosts()
    wire = Wire(network)

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        wire.lose, wire.lose_with = 1, b"soon worthless"
        receipt = a.write(b"soon worthless", lifetime=0.5)
        a.write(b"next")
        assert isinstance(await _outcome(receipt), MessageAbandoned)
        assert (await z.recv()).data == b"next"
        assert len(wire.times_of(b"soon worthless")) == 1
        assert a.abandoned() == NOTHING | {"timed": Abandoned(0, 1)}

    run_ends(test, network)


def test_a_lifetime_that_is_long_enough_changes_nothing() -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        receipts = [a.write(b"%d" % number, lifetime=lifetime) for number, lifetime in enumerate([0.1, 5, inf] * 5)]
        assert [delivery.transmissions for delivery in await asyncio.gather(*receipts)] == [1] * 15
        assert [int(message.data) for message in await z.recv_many()] == list(range(15))
        assert a.abandoned() == NOTHING

    run_ends(test)


def test_a_timeout_of_asyncio_bounds_the_message_as_well() -> None:
    """The send returns at once, for there is room in the buffer, and the message is dropped at the deadline."""
    network = two_hosts()
    wire = Wire(network)

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        _, writer = a.open_stream(3)
        await block(a)
        started = asyncio.get_running_loop().time()
        async with asyncio.timeout(0.5) as limit:
            receipt = await writer.send(b"only in time", lifetime=limit)
        assert asyncio.get_running_loop().time() == started
        assert isinstance(await _outcome(receipt), MessageAbandoned)
        assert asyncio.get_running_loop().time() == pytest.approx(started + 0.5)
        assert await unblock(z) == []
        assert wire.times_of(b"only in time") == []

    run_ends(test, network, z_config=NARROW)


def test_a_timeout_that_ends_the_send_ends_the_message() -> None:
    network = two_hosts()
    wire = Wire(network)

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        await block(a)
        a.write(bytes(20_000), stream=8)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5) as limit:
                await a.send(b"only in time", lifetime=limit)
        texts = await unblock(z)
        assert b"only in time" not in texts and bytes(20_000) in texts
        assert wire.times_of(b"only in time") == []

    run_ends(test, network, config=Config(send_buffer=10_000), z_config=NARROW)


def test_a_timeout_without_end_is_a_lifetime_without_end() -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        await block(a)
        async with asyncio.timeout(None) as limit:
            receipt = await a.send(b"x", lifetime=limit)
        await asyncio.sleep(1800)
        assert await unblock(z) == [b"x"]
        await receipt

    run_ends(test, z_config=NARROW)


# Retransmissions.


@pytest.mark.parametrize("most", [0, 1, 3])
def test_a_message_is_retransmitted_no_more_often_than_it_may_be(most: int) -> None:
    network = two_hosts()
    wire = Wire(network)

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        wire.lose, wire.lose_with = 100, b"lose me"
        receipt = a.write(b"lose me", max_retransmits=most)
        a.write(b"next")
        outcome = await _outcome(receipt)
        assert isinstance(outcome, MessageAbandoned) and "retransmitted" in str(outcome)
        assert (await z.recv()).data == b"next"
        assert len(wire.times_of(b"lose me")) == 1 + most
        assert a.abandoned(0) == NOTHING | {"limited": Abandoned(0, 1)}

    run_ends(test, network)


def test_a_message_is_retransmitted_as_often_as_it_may_be() -> None:
    network = two_hosts()
    wire = Wire(network)

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        wire.lose, wire.lose_with = 3, b"lose me"
        assert (await a.write(b"lose me", max_retransmits=3)).transmissions == 4
        assert (await z.recv()).data == b"lose me"
        assert a.abandoned() == NOTHING

    run_ends(test, network)


# Priorities.


def test_what_matters_less_makes_room_for_what_matters_more() -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        events = a.events()
        await block(a)
        receipts = {
            name: a.write(name.encode() * 5000, stream=stream, priority=priority, context=name)
            for name, stream, priority in (("a", 1, 1), ("c", 3, 30), ("b", 2, 20), ("d", 3, 30))
        }
        a.write(b"e" * 5000, stream=4, priority=25)
        assert [failed.context for failed in await failures(events, 1)] == ["c"], "the least, and the oldest of these"
        assert isinstance(await _outcome(receipts["c"]), MessageAbandoned)
        a.write(b"f" * 5000, stream=4)
        assert [failed.context for failed in await failures(events, 1)] == ["d"], "a message without matters most"
        a.write(b"g" * 5000, stream=4, priority=99)
        assert a.abandoned() == NOTHING | {"priority": Abandoned(2, 0)}
        assert a.abandoned(3) == NOTHING | {"priority": Abandoned(2, 0)}
        assert sorted(text[:1] for text in await unblock(z)) == [b"a", b"b", b"e", b"f", b"g"]

    run_ends(test, config=Config(send_buffer=8000 + 18_000), z_config=NARROW)


def test_what_has_left_makes_room_too() -> None:
    """RFC 7496 section 3.2: the send buffer is full of what is in flight, to a peer out of reach for a while."""
    network = two_hosts()

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        network.cut(A, Z)
        a.write(b"1" * 1000, priority=9)
        await asyncio.sleep(0.1)
        a.write(b"2" * 20_000)
        network.heal(A, Z)
        assert (await z.recv()).data[:1] == b"2"
        assert a.abandoned() == NOTHING | {"priority": Abandoned(0, 1)}

    run_ends(test, network, config=Config(send_buffer=10_000))


# What can be asked for.

MANY: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"lifetime": 1.0, "max_retransmits": 1}, ValueError, "lifetime and max_retransmits"),
    ({"lifetime": 1.0, "priority": 0}, ValueError, "lifetime and priority"),
    ({"max_retransmits": 0, "priority": 0}, ValueError, "max_retransmits and priority"),
    ({"lifetime": 0, "max_retransmits": 0, "priority": 0}, ValueError, "lifetime"),
    ({"lifetime": -1.0}, ValueError, "lifetime must be at least 0"),
    ({"lifetime": nan}, ValueError, "lifetime must be"),
    ({"lifetime": "1"}, TypeError, "lifetime must be"),
    ({"lifetime": True}, TypeError, "lifetime must be"),
    ({"max_retransmits": -1}, ValueError, "max_retransmits must be between 0 and"),
    ({"max_retransmits": 1 << 32}, ValueError, "max_retransmits must be between 0 and"),
    ({"max_retransmits": 1.0}, TypeError, "max_retransmits must be an int"),
    ({"max_retransmits": False}, TypeError, "max_retransmits must be an int"),
    ({"priority": -1}, ValueError, "priority must be between 0 and"),
    ({"priority": 1 << 32}, ValueError, "priority must be between 0 and"),
    ({"priority": "high"}, TypeError, "priority must be an int"),
]


@pytest.mark.parametrize(("options", "error", "words"), MANY, ids=lambda value: str(value))
def test_wrong_options_are_named(options: dict[str, Any], error: type[Exception], words: str) -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        _, writer = a.open_stream(1)
        with pytest.raises(error, match=words):
            a.write(b"x", **options)
        with pytest.raises(error, match=words):
            await a.send(b"x", **options)
        # A compiled method looks at the types itself, and does not say which argument has the wrong one.
        named = None if asyncsctp.compiled and error is TypeError else words
        with pytest.raises(error, match=named):
            writer.write(b"x", **options)
        with pytest.raises(error, match=named):
            await writer.send(b"x", **options)
        if "priority" not in options:
            with pytest.raises(error, match=named):
                await writer.send_parts([b"x"], **options)
        await writer.send(b"good")
        assert (await z.recv()).data == b"good"

    run_ends(test)


@pytest.mark.parametrize("options", [{"lifetime": 1.0}, {"max_retransmits": 0}, {"priority": 0}], ids=str)
@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_policies_are_refused_where_they_were_not_negotiated(options: dict[str, Any], side: str) -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        assert "partial_reliability" not in a.negotiated and "partial_reliability" not in z.negotiated
        _, writer = a.open_stream(1)
        with pytest.raises(ValueError, match="not negotiated"):
            writer.write(b"x", **options)
        with pytest.raises(ValueError, match="not negotiated"):
            await a.send(b"x", **options)
        if "priority" not in options:
            with pytest.raises(ValueError, match="not negotiated"):
                await writer.send_parts([b"x"], **options)
        receipt = await writer.send(b"good", context="no policy")
        assert (await receipt).path == Z
        assert (await z.recv()).data == b"good"
        assert a.state is asyncsctp.State.ESTABLISHED

    run_ends(test, config=WITHOUT if side == "ours" else None, z_config=WITHOUT if side == "theirs" else Config())


def test_partial_reliability_is_negotiated_unless_a_side_does_not_want_it() -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        assert a.negotiated.partial_reliability and "partial_reliability" in z.negotiated

    run_ends(test)


def test_the_counters_are_by_stream_and_policy() -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        await block(a)
        for stream, count in ((1, 3), (2, 1)):
            for _ in range(count):
                a.write(b"x", stream=stream, lifetime=0.5)
        assert a.write(b"x", stream=1).withdraw()
        await asyncio.sleep(1.0)
        assert a.abandoned(1) == NOTHING | {"timed": Abandoned(3, 0), "withdrawn": Abandoned(1, 0)}
        assert a.abandoned(2) == NOTHING | {"timed": Abandoned(1, 0)}
        assert a.abandoned() == NOTHING | {"timed": Abandoned(4, 0), "withdrawn": Abandoned(1, 0)}
        assert a.stats.messages_abandoned == 5
        assert z.abandoned() == NOTHING
        assert await unblock(z) == []

    run_ends(test, z_config=NARROW)
