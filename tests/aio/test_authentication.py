"""Shared keys as a program changes them, and messages with a key of their own (RFC 4895)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from support.simulated import A, Z, two_hosts

import asyncsctp
from asyncsctp import AssociationClosed, AssociationRefused, AuthKeyChanged, Config
from asyncsctp.testing import Network
from asyncsctp.wire import tlv
from asyncsctp.wire.constants import COOKIE_ECHO, DATA

from .conftest import echo

KEYED = Config(auth=True, auth_chunks=frozenset({DATA}), auth_keys={1: b"one"}, auth_active_key=1)


def run(
    use: Callable[[asyncsctp.Association, asyncsctp.Server], Awaitable[None]],
    config: Config = KEYED,
    z_config: Config | None = None,
    network: Network | None = None,
) -> None:
    async def main() -> None:
        async with (
            asyncsctp.serve(echo, Z, 5001, config=z_config or config) as server,
            asyncsctp.connect(Z, 5001, local_addrs=[A], config=config) as assoc,
        ):
            await use(assoc, server)

    (network or two_hosts()).run(main())


def kinds(datagram: bytes) -> list[int]:
    return [first16 >> 8 for first16, _, _, _ in tlv.walk(datagram, 12, len(datagram))]


async def changes(assoc: asyncsctp.Association, into: list[asyncsctp.Event]) -> None:
    async for event in assoc.events():
        into.append(event)  # noqa: PERF401 - looked at while it grows


def test_a_key_is_rolled_over_while_data_flows() -> None:
    async def use(assoc: asyncsctp.Association, server: asyncsctp.Server) -> None:
        assert "auth" in assoc.negotiated
        told: list[asyncsctp.Event] = []
        listening = asyncio.ensure_future(changes(assoc, told))
        (peer,) = server.associations
        for each in (assoc, peer):
            each.set_auth_key(2, b"two")
        _, writer = assoc.open_stream(3)
        receipts = [writer.write(b"old %d" % number) for number in range(50)]
        receipts.append(assoc.write(b"by name", stream=3, auth_key=1))
        for each in (assoc, peer):
            each.activate_auth_key(2)
            each.deactivate_auth_key(1)
        receipts += [await writer.send(b"new", auth_key=2), await assoc.send(b"new", stream=3)]
        for receipt in receipts:
            await receipt
        await assoc.flush()
        await asyncio.sleep(1.0)
        assoc.delete_auth_key(1)
        assert AuthKeyChanged(1, "free") in told
        assert AuthKeyChanged(2, "new") in told
        assert assoc.stats.auth_failures == peer.stats.auth_failures == 0
        listening.cancel()

    run(use)


def test_all_parts_of_a_message_are_authenticated_with_its_key() -> None:
    """And the key is in use until the last of them is acknowledged."""
    network = two_hosts()

    async def use(assoc: asyncsctp.Association, server: asyncsctp.Server) -> None:
        more = asyncio.Event()

        async def parts() -> AsyncIterator[bytes]:
            yield b"first" * 1000
            yield b"second" * 1000
            await more.wait()
            yield b"last"

        for each in (assoc, *server.associations):
            each.set_auth_key(2, b"two")
        reader, writer = assoc.open_stream(3)
        network.packets = []
        sending = asyncio.ensure_future(writer.send_parts(parts(), auth_key=2))
        await asyncio.sleep(2.0)
        assoc.deactivate_auth_key(2)
        with pytest.raises(ValueError, match="2"):
            assoc.delete_auth_key(2)
        more.set()
        await (await sending)
        assert (await reader.read()).data == b"first" * 1000 + b"second" * 1000 + b"last"
        assoc.delete_auth_key(2)
        sent = [record.data for record in network.packets if record.source[0] == A and DATA in kinds(record.data)]
        assert len(sent) > 8
        assert {int.from_bytes(data[16:18]) for data in sent} == {2}  # AUTH stands first
        with pytest.raises(ValueError, match="no key 7"):
            await writer.send_parts([b"data"], auth_key=7)
        with pytest.raises(TypeError):  # compiled code says it in words of its own
            await writer.send_parts([b"data"], auth_key="1")  # type: ignore[arg-type]

    run(use, network=network)


def test_short_parts_with_a_key_of_their_own_are_one_message() -> None:
    async def use(assoc: asyncsctp.Association, server: asyncsctp.Server) -> None:
        more = asyncio.Event()

        async def parts() -> AsyncIterator[bytes]:
            yield b"first "
            yield b"second "
            await more.wait()
            yield b"last"

        for each in (assoc, *server.associations):
            each.set_auth_key(2, b"two")
        reader, writer = assoc.open_stream(3)
        sending = asyncio.ensure_future(writer.send_parts(parts(), auth_key=2))
        await asyncio.sleep(1.0)
        assoc.write(b"of another stream", auth_key=2)
        await asyncio.sleep(1.0)
        more.set()
        await (await sending)
        assert (await reader.read()).data == b"first second last"
        writer.write(b"behind it")
        assert (await reader.read()).data == b"behind it"

    run(use)


def test_wrong_keys_are_errors_that_say_what_is_allowed() -> None:
    async def use(assoc: asyncsctp.Association, server: asyncsctp.Server) -> None:
        _, writer = assoc.open_stream(3)
        with pytest.raises(ValueError, match="there is no key 7, only 1"):
            assoc.write(b"data", auth_key=7)
        with pytest.raises(TypeError, match=None if asyncsctp.compiled else "a key id must be an int"):
            await writer.send(b"data", auth_key="1")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="there is no key 7, only 1"):
            assoc.activate_auth_key(7)
        with pytest.raises(ValueError, match="key 1 is the active one"):
            assoc.deactivate_auth_key(1)
        with pytest.raises(ValueError, match="deactivate it first"):
            assoc.delete_auth_key(1)
        with pytest.raises(TypeError, match=None if asyncsctp.compiled else "a key must be bytes"):
            assoc.set_auth_key(2, "secret")  # type: ignore[arg-type]
        assert assoc._session.core.buffered == 0  # what was refused left nothing behind
        await assoc.close()
        with pytest.raises(AssociationClosed):
            assoc.set_auth_key(2, b"two")
        with pytest.raises(AssociationClosed):
            assoc.write(b"data", auth_key=1)

    run(use)


def test_without_negotiation_there_are_no_keys() -> None:
    async def use(assoc: asyncsctp.Association, server: asyncsctp.Server) -> None:
        assert "auth" not in assoc.negotiated
        with pytest.raises(ValueError, match="was not negotiated"):
            assoc.set_auth_key(1, b"one")
        with pytest.raises(ValueError, match="was not negotiated"):
            assoc.write(b"data", auth_key=0)

    run(use, Config(auth=True), Config())


def test_a_server_that_demands_what_a_client_lacks_refuses_it() -> None:
    async def use(assoc: asyncsctp.Association, server: asyncsctp.Server) -> None:
        raise AssertionError("it was let in")

    with pytest.raises(AssociationRefused):
        run(use, Config(), KEYED)


def test_a_client_with_another_key_is_not_let_in() -> None:
    """Section 6.3: COOKIE ECHO is to be authenticated. Nothing is answered; the client gives up."""

    async def use(assoc: asyncsctp.Association, server: asyncsctp.Server) -> None:
        raise AssertionError("it was let in")

    demanding = KEYED.replace(auth_chunks=frozenset({COOKIE_ECHO}))
    with pytest.raises(asyncsctp.AssociationTimeout):
        run(use, demanding.replace(auth_keys={1: b"guessed"}, init_max_retrans=2), demanding)
