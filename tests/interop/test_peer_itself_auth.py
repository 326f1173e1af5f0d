"""usrsctp with usrsctp: what the peer of the other tests does with AUTH, ASCONF and NATs."""

from __future__ import annotations

import pytest
from crc32c import crc32c
from support.ports import free_udp_port

from .peers import Traffic, Usrsctp, eventually, pair
from .sniffer import ASCONF, ASCONF_ACK, AUTH, DATA, HEARTBEAT, SACK, Sniffer

V4, V6 = FAMILIES = ("127.0.0.1", "::1")
ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
KEYS = {"auth_keys": f"1:{b'one'.hex()},2:{b'another one'.hex()}", "auth_active": 1}
SOME = Traffic(count=5, sizes=(200,))
ERROR, MISSING_STATE = 9, 0x00B1
VTAGS, ADD_ADDRESS = 0xC008, 0xC001

# Nothing of ours runs here but the relay.
pytestmark = pytest.mark.parametrize("loop_factory", ["asyncio"], indirect=True)
ASKS = pytest.mark.parametrize("asks", ["client", "server"])


async def test_only_what_is_demanded_is_authenticated(usrsctp: Usrsctp) -> None:
    async with pair(usrsctp, {"auth_chunks": "0"}, auth=1, asconf=0, **KEYS) as (client, server, relay):
        sniffer = Sniffer(relay)
        client.tell(SOME.command)
        await server.got(SOME)
        server.tell(SOME.command)
        await client.got(SOME)
        assert (await client.authentication())["demanded"] == [DATA]
        assert (await server.authentication())["demanded"] == []
    assert sniffer.authenticated(DATA, to_server=True)
    assert AUTH not in sniffer.kinds(to_server=False)


async def test_wrong_keys(usrsctp: Usrsctp) -> None:
    """The association comes up, and nothing passes: it is not told of that."""
    other = {"auth_keys": f"1:{b'two'.hex()}"}
    async with pair(usrsctp, other, auth=1, asconf=0, auth_chunks="0", **KEYS) as (client, server, _relay):
        client.tell(SOME.command)
        await client.until(lambda status: status["t3_timeouts"] > 0, "it retransmits in vain")
        assert (await server.authentication())["failed"] > 0
        await client.ask("auth-activate 2")
        await client.until(lambda status: status["t3_timeouts"] > 1, "it retransmits in vain")
        assert not server.arrivals
        assert not [event for event in server.events if event["event"] == "error"]


@ASKS
async def test_keys_roll_over(usrsctp: Usrsctp, asks: str) -> None:
    """The receiver is told of a key when it is used for the first time; the sender when it is done with one."""
    async with pair(usrsctp, {}, auth=1, asconf=0, auth_chunks="0", **KEYS) as (client, server, _relay):
        sender, receiver = (client, server) if asks == "client" else (server, client)
        for key in (1, 2, 3):
            if key == 3:
                for peer in (client, server):
                    await peer.ask("auth-key 3 0102030405")
            await sender.ask(f"auth-activate {key}")
            sender.tell(SOME.command)
            await receiver.got(SOME)
            await receiver.expect("auth", key=key, what="new")
            await sender.settled()
        await sender.ask("auth-deactivate 1")
        await sender.expect("auth", key=1, what="free")
        await sender.ask("auth-delete 2")
        for command in ("auth-activate 2", "auth-deactivate 3", "auth-delete 3"):
            sender.tell(command)
            await sender.expect("asked", reason="Invalid argument")
        sender.tell(SOME.command)
        await receiver.got(SOME)


@pytest.mark.parametrize("demands", [False, True])
async def test_the_other_side_restarts(usrsctp: Usrsctp, demands: bool) -> None:
    """Nothing that is authenticated passes any more, though the key is the same.

    Its INIT ACK has told a new random number, and it goes on with that of the association that was lost.
    """
    options = {"auth": 1, "asconf": 0, "auth_chunks": "0" if demands else "", **KEYS}
    ports = {"port": 6002, "udp_port": free_udp_port()}
    async with usrsctp.server(**options) as server:
        for event in ("up", "restarted"):
            async with usrsctp.client(server.port, server.udp_port, **ports, **options) as client:
                client.tell("connect")
                await client.expect("up")
                await server.expect(event)
                client.tell(SOME.command)
                if event == "up" or not demands:
                    await server.got(SOME)
                else:
                    await client.until(lambda status: status["t3_timeouts"] > 0, "it retransmits in vain")
                    assert (await server.authentication())["failed"] > 0
                    assert not server.arrivals


@ASKS
async def test_addresses_come_and_go(usrsctp: Usrsctp, asks: str) -> None:
    """An ASCONF-ACK without parameters says that all was done.

    What comes to an address that goes, before the answer, is out of the blue to its owner: its ABORT has to be lost.
    """
    async with pair(usrsctp, {}, auth=1, asconf=1, addresses=ADDRESSES, **KEYS) as (client, server, relay):
        relay.reflects = False
        client.tell(SOME.command)
        await server.got(SOME)
        sniffer = Sniffer(relay)
        asking, other = (client, server) if asks == "client" else (server, client)
        await asking.add_address(ADDRESSES[1])
        await other.expect("path", address=ADDRESSES[1], state="added")
        await other.expect("path", address=ADDRESSES[1], state="confirmed")
        await asking.ask(f"set-peer-primary {ADDRESSES[1]}")
        await other.expect("path", address=ADDRESSES[1], state="primary")
        await asking.remove_address(ADDRESSES[0])
        await other.expect("path", address=ADDRESSES[0], state="removed")
        other.tell(SOME.command)
        await asking.got(SOME)
        assert (await other.status())["primary"] == ADDRESSES[1]
        asking.tell(f"remove-address {ADDRESSES[1]}")
        await asking.expect("asked", reason="Invalid argument")
    to_server = asks == "client"
    assert sniffer.authenticated(ASCONF, to_server=to_server)
    assert sniffer.authenticated(ASCONF_ACK, to_server=not to_server)
    answers = {chunk.value for chunk in sniffer.chunks if chunk.kind == ASCONF_ACK}
    assert [len(value) for value in answers] == [4, 4, 4]


@ASKS
async def test_a_socket_of_ipv4_has_no_path_to_ipv6(usrsctp: Usrsctp, asks: str) -> None:
    """It agrees to an address of IPv6 all the same, and to be sent there, and says that it can't be reached."""
    inet6 = {"client": int(asks == "client"), "server": int(asks == "server")}
    options = {"auth": 1, "asconf": 1, "addresses": FAMILIES, **KEYS}
    async with pair(usrsctp, {"inet6": inet6["server"]}, inet6=inet6["client"], **options) as (client, server, relay):
        asking, other = (client, server) if asks == "client" else (server, client)
        sniffer = Sniffer(relay)
        await asking.add_address(V6)
        await other.expect("path", address=V6, state="added")
        await other.expect("path", address=V6, state="unreachable")
        await asking.ask(f"set-peer-primary {V6}")
        await other.expect("path", address=V6, state="primary")
        assert (await other.status())["primary"] == V4
        assert HEARTBEAT not in sniffer.kinds(to_server=asks == "server")
        other.tell(SOME.command)
        await asking.got(SOME)
        other.tell(f"add-address {V6}")
        await other.expect("asked", reason="Invalid argument")


@ASKS
async def test_who_listens_at_an_address_can_add_it_no_more(usrsctp: Usrsctp, asks: str) -> None:
    """An association that was accepted, and has given the address up: it is the listening socket's."""
    async with pair(usrsctp, {}, auth=1, asconf=1, addresses=ADDRESSES, **KEYS) as (client, server, relay):
        relay.reflects = False
        asking, other = (client, server) if asks == "client" else (server, client)
        await asking.add_address(ADDRESSES[1])
        await other.expect("path", address=ADDRESSES[1], state="confirmed")
        await asking.remove_address(ADDRESSES[0])
        await other.expect("path", address=ADDRESSES[0], state="removed")
        asking.tell(f"add-address {ADDRESSES[0]}")
        await asking.expect("asked", reason="" if asks == "client" else "Address already in use")


@pytest.mark.parametrize("heartbeat", [0, 50])
async def test_without_heartbeats_a_new_address_is_probed_once(usrsctp: Usrsctp, heartbeat: int) -> None:
    """The one HEARTBEAT comes before the ASCONF-ACK. If it gets lost the address stays unconfirmed."""
    options = {"auth": 1, "asconf": 1, "addresses": ADDRESSES, "rto_initial": 100, "rto_max": 100, **KEYS}
    async with pair(usrsctp, {}, heartbeat=heartbeat, **options) as (client, server, relay):
        relay.cut.add(ADDRESSES[1])
        await client.add_address(ADDRESSES[1])
        await eventually(lambda: relay.lost > 0, "it is probed")
        relay.restore()
        confirmed = server.expect("path", timeout=1.0, address=ADDRESSES[1], state="confirmed")
        if heartbeat:
            await confirmed
        else:
            with pytest.raises(AssertionError, match="within"):
                await confirmed


async def test_adaptation(usrsctp: Usrsctp) -> None:
    async with pair(usrsctp, {}, adaptation=0x7FFFFFFF) as (client, server, _relay):
        for peer in (client, server):
            await peer.expect("adaptation", value=0x7FFFFFFF)


async def test_a_nat_has_lost_its_state(usrsctp: Usrsctp) -> None:
    """It sends VTags and adds 0.0.0.0, as the draft says, but swaps the bytes of its own tag, and adds where it should
    delete. Then it dies of the answer.
    """

    def report(packet: bytes, to_server: bool) -> bytes:
        if to_server or packet[12] != SACK or sniffer.kinds(to_server=True) & {ASCONF}:
            return note(packet, to_server) or b""
        plain = (
            packet[:8] + bytes(4) + packet[12:] + bytes([ERROR, 2, 0, 8]) + MISSING_STATE.to_bytes(2) + bytes([0, 4])
        )
        return note(plain[:8] + crc32c(plain).to_bytes(4, "little") + plain[12:], to_server) or b""

    async with pair(usrsctp, {}, auth=1, asconf=1, nat=1, **KEYS) as (client, _server, relay):
        sniffer = Sniffer(relay)
        assert relay.change is not None
        note, relay.change = relay.change, report
        client.tell(SOME.command)
        await eventually(lambda: ASCONF_ACK in sniffer.kinds(to_server=False), "it is answered")
    value = next(chunk for chunk in sniffer.chunks if chunk.kind == ASCONF).value[12:]
    kinds = []
    while value:
        kinds.append(int.from_bytes(value[:2]))
        value = value[int.from_bytes(value[2:4]) :]
    assert kinds == [VTAGS, ADD_ADDRESS, ADD_ADDRESS]


async def test_two_behind_one_address(usrsctp: Usrsctp) -> None:
    """A one-to-one socket takes no second association of the same address and port, whatever its INIT says."""
    async with (
        pair(usrsctp, {}, nat=1) as (client, server, _relay),
        usrsctp.client(server.port, server.udp_port, nat=1) as second,
    ):
        second.tell("connect")
        await second.expect("refused")
        client.tell(SOME.command)
        await server.got(SOME)
