"""Addresses and keys that come and go for ever: neither what is held nor what a packet costs grows by that."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from support.asconf_script import CHUNKS, OURS, Mobile, add, delete
from support.measure import lines, size_of
from support.script import LOCAL, PEER, UDP_PORT

from asyncsctp import compiled
from asyncsctp.config import Config
from asyncsctp.handlers.state import ESTABLISHED
from asyncsctp.paths.route import Route
from asyncsctp.wire import tlv
from asyncsctp.wire.asconf import pack_asconf
from asyncsctp.wire.constants import PARAM_ADD_ADDRESS

Flood = Callable[[Mobile, int], None]


def other(number: int) -> str:
    return f"10.9.{number >> 8 & 0xFF}.{number & 0xFF}"


def settle(script: Mobile) -> None:
    """The peer says yes to the request under way."""
    asconf = script.association.asconf
    script.flush()
    assert asconf.current is not None
    script.acknowledge(asconf._next_number - 1 - script.ours(0))
    assert asconf.current is None


def of_the_peer(script: Mobile, number: int) -> None:
    script.ask(add(other(number)))
    script.write(b"data")
    script.ask(delete(other(number)))
    transmission = script.association._parts.established.sender
    script.send(script.sack(transmission.outstanding.next_tsn - 1 - script.ours(0)))


def of_strangers(script: Mobile, number: int) -> None:
    script.ask(add(PEER[0]), source=other(number))


def of_strangers_without_keys(script: Mobile, number: int) -> None:
    script.say(pack_asconf(script.number, PEER[0], [add(other(number))]), source=other(number), genuine=False)


def of_ours(script: Mobile, number: int) -> None:
    script.association.asconf.add_local(OURS)
    settle(script)
    script.association.asconf.remove_local(OURS)
    settle(script)


def of_a_host_that_moves(script: Mobile, number: int) -> None:
    for address in (other(number), PEER[0]):
        script.ask(add("0.0.0.0"), delete("0.0.0.0"), source=address, lookup="0.0.0.0")
        script.take()
        script.advance(0.0)
        script.verify(address)


def of_keys(script: Mobile, number: int) -> None:
    authentication = script.association.authentication
    authentication.set_key(1 + number % 3, bytes(8))
    authentication.activate(1 + number % 3)
    authentication.activate(0)
    authentication.deactivate(1 + number % 3)
    authentication.delete(1 + number % 3)
    script.flush()


def of_thousands_of_parameters(script: Mobile, number: int) -> None:
    request = add("224.0.0.1") if number % 2 else tlv.pack(PARAM_ADD_ADDRESS, bytes(4))
    script.ask(*[request] * 2000)
    script.number = script.association._parts.need_asconf()._expected


FLOODS = (
    of_the_peer,
    of_strangers,
    of_strangers_without_keys,
    of_ours,
    of_a_host_that_moves,
    of_keys,
    of_thousands_of_parameters,
)


def mobile() -> Mobile:
    return Mobile(Config(heartbeat_interval=None, dynamic_addresses=True), extensions=CHUNKS)


def forget(script: Mobile) -> None:
    """What the test itself keeps."""
    script.take()
    script.user.events.clear()
    script.now += 0.01


@pytest.mark.parametrize("flood", FLOODS)
def test_what_is_held_does_not_grow(flood: Flood) -> None:
    script = mobile()
    sizes = []
    for number in range(400):
        flood(script, number)
        forget(script)
        if number % 100 == 99:
            sizes.append(size_of(script.endpoint))
    assert script.state is ESTABLISHED
    assert sizes[-1] < sizes[0] + 1500
    assert len(script.association.path_manager.by_id) <= 3
    assert script.addresses == [PEER[0]]


@pytest.mark.skipif(compiled, reason="compiled code has no lines to count; ASYNCSCTP_PURE=1 has")
@pytest.mark.parametrize("flood", FLOODS)
def test_what_a_packet_costs_does_not_grow(flood: Flood) -> None:
    """A SACK, and an ASCONF, before and after the flood."""
    script = mobile()
    costs = []
    for number in range(303):
        flood(script, number)
        forget(script)
        if number % 100 == 2:
            script.write(b"data")
            forget(script)
            transmission = script.association._parts.established.sender
            sack = script.packet(script.sack(transmission.outstanding.next_tsn - 1 - script.ours(0)))
            asconf = script.packet(script.authenticated(script.asconf(add(other(9999)), delete(other(9999)))))
            costs.append(
                lines(partial(script.endpoint.receive, sack, Route(LOCAL[0], PEER[0], UDP_PORT), script.now))
                + lines(partial(script.endpoint.receive, asconf, Route(LOCAL[0], PEER[0], UDP_PORT), script.now))
            )
            script.flush()
    assert max(costs[1:]) <= 1.1 * costs[0] + 20
