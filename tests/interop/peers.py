"""The peer made of usrsctp, as a process that tests talk to; and messages that tell whether they arrived as sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from support.ports import free_udp_port

import asyncsctp

from .relay import Relay

__all__ = [
    "QUICK",
    "Arrival",
    "Joined",
    "Peer",
    "Traffic",
    "Usrsctp",
    "arrival",
    "body",
    "eventually",
    "joined",
    "marks",
    "pair",
    "read_until",
    "told",
    "within",
]

TIMEOUT = 10.0  # of one step; a test as a whole has its own

#: Timers that let a test see several time-outs.
QUICK = asyncsctp.Config(
    rto_initial=0.3, rto_min=0.1, rto_max=1.0, sack_delay=0.02, close_timeout=TIMEOUT, outgoing_streams=128
)

T = TypeVar("T")
E = TypeVar("E", bound=asyncsctp.Event)


async def within(seconds: float, what: str, awaitable: Awaitable[T]) -> T:
    """The result of the awaitable; a failure that says `what` was waited for if it takes too long."""
    try:
        async with asyncio.timeout(seconds):
            return await awaitable
    except TimeoutError:
        raise AssertionError(f"{what}: not within {seconds} s") from None


async def eventually(condition: Callable[[], bool], what: str, seconds: float = TIMEOUT) -> None:
    """Wait until the condition holds, which nothing announces."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not condition():
        assert loop.time() < end, f"{what}: not within {seconds} s"
        await asyncio.sleep(0.005)


async def told(events: AsyncIterator[asyncsctp.Event], kind: type[E]) -> E:
    """The next event of this kind."""

    async def find() -> E:
        async for event in events:
            if isinstance(event, kind):
                return event
        raise AssertionError(f"the association ended without a {kind.__name__}")

    return await within(TIMEOUT, f"a {kind.__name__}", find())


# Messages.

_PERIOD = 65521
_LONGEST = 4 * 1024 * 1024


def _pattern() -> bytes:
    """What messages are cut from. Its period is a prime, so that no piece of a message can stand in for another."""
    x = 2463534242
    period = bytearray()
    for _ in range(_PERIOD):
        x ^= x << 13 & 0xFFFFFFFF
        x ^= x >> 17
        x ^= x << 5 & 0xFFFFFFFF
        period.append(x & 0xFF)
    return bytes(period) * (_LONGEST // _PERIOD + 2)


_PATTERN = _pattern()


def body(n: int, size: int) -> bytes:
    """The bytes of message `n`."""
    at = n * 7919 % _PERIOD
    return _PATTERN[at : at + size]


class Arrival(NamedTuple):
    """A message as one side got it; its number `n` travels as the PPID."""

    n: int
    stream: int
    size: int
    unordered: bool
    intact: bool


def arrival(message: asyncsctp.Message) -> Arrival:
    size = len(message.data)
    intact = message.data == body(message.ppid, size)
    return Arrival(message.ppid, message.stream, size, message.unordered, intact)


@dataclass(frozen=True)
class Traffic:
    """Messages `first` to `first + count - 1`: they go round the streams, and round the sizes.

    `order`: "o" ordered, "u" unordered, "m" one round ordered, the next unordered. At most one of `lifetime` (seconds),
    `max_retransmits` and `priority` is given: they mean what they mean for `Association.write`, at either side.
    """

    count: int
    streams: int = 1
    sizes: Sequence[int] = (1000,)
    order: str = "o"
    first: int = 0
    lifetime: float | None = None
    max_retransmits: int | None = None
    priority: int | None = None

    def __iter__(self) -> Iterator[Arrival]:
        for i in range(self.count):
            unordered = self.order == "u" or (self.order == "m" and i // self.streams % 2 == 1)
            yield Arrival(self.first + i, i % self.streams, self.sizes[i % len(self.sizes)], unordered, True)

    def rounds(self, count: int) -> list[Traffic]:
        """The same messages, so many at a time: they go round the streams and the sizes without a rest."""
        assert not count % self.streams and not count % len(self.sizes)
        assert self.order != "m" or not count % (2 * self.streams)
        return [
            replace(self, first=self.first + i, count=min(count, self.count - i)) for i in range(0, self.count, count)
        ]

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(message.size for message in self)

    @property
    def command(self) -> str:
        """What makes the other peer send it."""
        command = f"send {self.first} {self.count} {self.streams} {','.join(map(str, self.sizes))} {self.order}"
        if self.lifetime is not None:
            command += f" ttl {round(self.lifetime * 1000)}"
        elif self.max_retransmits is not None:
            command += f" rtx {self.max_retransmits}"
        elif self.priority is not None:
            command += f" priority {self.priority}"
        return command

    @property
    def options(self) -> dict[str, Any]:
        """What says when to give a message up, as `Association.write` takes it."""
        options = {"lifetime": self.lifetime, "max_retransmits": self.max_retransmits, "priority": self.priority}
        return {name: value for name, value in options.items() if value is not None}

    def write(self, association: asyncsctp.Association) -> None:
        """Send it, without waiting for room."""
        for n, stream, size, unordered, _ in self:
            association.write(body(n, size), stream=stream, ppid=n, unordered=unordered, **self.options)

    async def send(self, association: asyncsctp.Association) -> None:
        """Send it, waiting for room."""
        for n, stream, size, unordered, _ in self:
            await association.send(body(n, size), stream=stream, ppid=n, unordered=unordered, **self.options)

    async def read(self, association: asyncsctp.Association) -> None:
        """Read it, and check it."""
        got: list[Arrival] = []
        while len(got) < self.count:
            got += map(arrival, await association.recv_many())
        self.check(got)

    def check(self, got: Iterable[Arrival]) -> None:
        """Everything has arrived once, as it was sent; the ordered messages of each stream in their order."""
        missing = self.check_some(got)
        assert not missing, f"{len(missing)} of {self.count} messages did not arrive, the first is {min(missing)}"

    def check_some(self, got: Iterable[Arrival]) -> set[int]:
        """What has arrived did so once, as it was sent, and in order. The numbers of the messages that have not."""
        got = list(got)
        sent = list(self)
        latest: dict[int, int] = {}
        for message in got:
            assert message.intact, f"the contents of {message} are not those sent"
            if not message.unordered:
                before = latest.get(message.stream, -1)
                assert before < message.n, f"stream {message.stream} delivered {message.n} after {before}"
                latest[message.stream] = message.n
        more = set(got) - set(sent)
        assert not more, f"{len(more)} messages were not sent so, the first is {min(more)}"
        assert len(got) == len(set(got)), f"{len(got) - len(set(got))} messages arrived twice"
        return {message.n for message in set(sent) - set(got)}


def marks(streams: int, order: str = "o", first: int = 1_000_000) -> Traffic:
    """A reliable message for each stream. Once what was sent before is settled, nothing of that comes after them."""
    return Traffic(count=streams, streams=streams, sizes=(4,), order=order, first=first)


async def read_until(association: asyncsctp.Association, last: Traffic) -> list[Arrival]:
    """Read until these messages, that nothing comes after, have arrived; what came before them."""
    got: list[Arrival] = []
    after: list[Arrival] = []
    while len(after) < last.count:
        for message in map(arrival, await association.recv_many()):
            (after if message.n >= last.first else got).append(message)
    last.check(after)
    return got


# The process.


class Peer:
    """A usrsctp peer that runs, and what it has told so far."""

    def __init__(self, process: asyncio.subprocess.Process, udp_port: int, port: int) -> None:
        self.udp_port = udp_port
        self.port = port
        self.events: list[dict[str, Any]] = []
        self.arrivals: list[Arrival] = []
        #: All that it has told of each message, by number: `ssn`; whether pieces of others came between its own
        #: (`interleaved`).
        self.details: dict[int, dict[str, Any]] = {}
        self._process = process
        self._seen = 0
        self._changed = asyncio.Event()
        self._reader = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            event = json.loads(line)
            if event["event"] == "message":
                self.arrivals.append(Arrival(*(event[name] for name in Arrival._fields)))
                self.details[event["n"]] = event
            else:
                self.events.append(event)
            self._changed.set()
        self._changed.set()

    async def _until(self, condition: Callable[[], bool], what: str, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                while not condition():
                    self._changed.clear()
                    if self._reader.done():
                        raise AssertionError(f"the usrsctp peer ended, awaited was {what}; {await self._last_words()}")
                    await self._changed.wait()
        except TimeoutError:
            counts = f"it has {len(self.arrivals)} messages and told {self.events[-8:]}"
            raise AssertionError(f"{what}: not from the usrsctp peer within {timeout} s; {counts}") from None

    async def _last_words(self) -> str:
        assert self._process.stderr is not None
        return f"it said: {(await self._process.stderr.read()).decode().strip() or 'nothing'}"

    async def expect(self, name: str, timeout: float = TIMEOUT, **fields: Any) -> dict[str, Any]:
        """The next event of this name, and with these fields; those before it are passed over."""

        def found() -> bool:
            while self._seen < len(self.events):
                event = self.events[self._seen]
                self._seen += 1
                if event["event"] == name and all(event[key] == value for key, value in fields.items()):
                    return True
            return False

        await self._until(found, f"event {name!r} {fields or ''}", timeout)
        return self.events[self._seen - 1]

    async def got(self, traffic: Traffic, timeout: float = TIMEOUT) -> None:
        """Wait until this has arrived there, and check it."""
        await self._until(lambda: len(self.arrivals) >= traffic.count, f"{traffic.count} messages", timeout)
        traffic.check(self.arrivals)
        self.arrivals.clear()

    async def got_until(self, last: Traffic, timeout: float = TIMEOUT) -> list[Arrival]:
        """Wait until these messages, that nothing comes after, have arrived there; what came before them."""

        def after() -> list[Arrival]:
            return [message for message in self.arrivals if message.n >= last.first]

        await self._until(lambda: len(after()) >= last.count, f"{last.count} messages from {last.first} on", timeout)
        last.check(after())
        got = [message for message in self.arrivals if message.n < last.first]
        self.arrivals.clear()
        return got

    @property
    def undelivered(self) -> set[int]:
        """The numbers of the messages that it gave up, or of which it gave up a fragment."""
        return {event["n"] for event in self.events if event["event"] == "undelivered"}

    async def settled(self) -> None:
        """Wait until all that it was told to send has been acknowledged or abandoned."""
        await self.expect("sent")
        await self.until(lambda status: not status["unacknowledged"] and not status["pending"], "it is done")

    async def ask(self, command: str) -> None:
        """Have it change something of the association, which its library has to accept. What is expected next comes
        after.
        """
        start = self._seen = len(self.events)
        self.tell(command)

        def asked() -> list[dict[str, Any]]:  # what comes of it may be told before
            return [event for event in self.events[start:] if event["event"] == "asked"]

        await self._until(lambda: bool(asked()), f"an answer to {command!r}", TIMEOUT)
        assert not asked()[0]["reason"], f"{command!r}: {asked()[0]['reason']}"

    async def reset_streams(self, *streams: int, outgoing: bool) -> str:
        """Have it reset its outgoing streams, or ask for a reset of ours: these, or all. Its `result`."""
        await self.ask(" ".join(["reset", "out" if outgoing else "in", *map(str, streams)]))
        event = await self.expect("streams-reset", outgoing=outgoing)
        assert event["streams"] == list(streams), (event, self.events[-8:])
        return str(event["result"])

    async def reset_tsns(self) -> str:
        """Have it reset all TSNs and streams. Its `result`."""
        await self.ask("reset-tsns")
        return str((await self.expect("tsns-reset"))["result"])

    @property
    def confused_by_reset(self) -> bool:
        """Whether a reset of the TSNs that it asked for has left it unable to send.

        usrsctp 0.9.5 takes the cumulative TSN of what it receives for that of what it sends. Unless the latter is
        greater, and for half of all initial TSNs it is not, every SACK looks old to it.
        """
        event = next(event for event in reversed(self.events) if event["event"] == "tsns-reset")
        return bool((event["local_tsn"] - event["remote_tsn"]) % 2**32 >= 2**31)

    async def add_streams(self, outgoing: int = 0, incoming: int = 0) -> dict[str, Any]:
        """Have it add streams. The event: `result`, and what there is of `outgoing` and `incoming` streams now."""
        await self.ask(f"add {outgoing} {incoming}")
        return await self.expect("streams-added")

    async def add_address(self, address: str) -> None:
        """Have it add an address of its own. From when we have agreed it is in use."""
        await self.ask(f"add-address {address}")
        await self.until_addresses(lambda told: address in told["local"], f"{address} was added")

    async def remove_address(self, address: str) -> None:
        """Have it remove an address of its own."""
        await self.ask(f"remove-address {address}")
        await self.until_addresses(lambda told: address not in told["local"], f"{address} was removed")

    async def addresses(self) -> dict[str, Any]:
        """Its addresses that we have agreed to (`local`), and those of ours that it knows (`peer`)."""
        self.tell("addresses")
        return await self.expect("addresses")

    async def until_addresses(self, condition: Callable[[dict[str, Any]], bool], what: str) -> None:
        """Ask for the addresses until the condition holds for them."""

        async def ask() -> None:
            while True:
                if condition(await self.addresses()):
                    return
                await asyncio.sleep(0.01)

        await within(TIMEOUT, what, ask())

    async def authentication(self) -> dict[str, Any]:
        """The chunk types that we demand authenticated (`demanded`).

        And counters: AUTH chunks that came (`authenticated`), chunks without (`missing`), HMACs that were wrong
        (`failed`), and keys that it does not have (`unknown_key`).
        """
        self.tell("authentication")
        return await self.expect("authentication")

    def tell(self, command: str) -> None:
        """Give it a command."""
        assert self._process.stdin is not None
        self._process.stdin.write(command.encode() + b"\n")

    async def status(self) -> dict[str, Any]:
        """What it knows of the association, and the counters of its library."""
        self.tell("status")
        return await self.expect("status")

    async def until(self, condition: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """Ask for the status until the condition holds for it."""

        async def ask() -> dict[str, Any]:
            while True:
                status = await self.status()
                if condition(status):
                    return status
                await asyncio.sleep(0.01)

        return await within(TIMEOUT, what, ask())

    async def kill(self) -> None:
        """It disappears without a word to anyone."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.communicate() if self._reader.done() else await self._process.wait()
        await self._reader


class Usrsctp:
    """Starts peers."""

    def __init__(self, program: Path) -> None:
        self._program = program

    @asynccontextmanager
    async def server(self, **options: Any) -> AsyncIterator[Peer]:
        """A peer that listens at 127.0.0.1, or at `bind`; `options` are those of usrsctp_peer.c."""
        async with self._run("server", {"port": 5001, **options}) as peer:
            yield peer

    @asynccontextmanager
    async def client(self, peer_port: int, peer_udp_port: int, **options: Any) -> AsyncIterator[Peer]:
        """A peer that sets up an association when told to `connect`, with our address that equals its first."""
        host = options.get("bind", "127.0.0.1").partition(",")[0]
        ports = {"port": 6001, "peer_port": peer_port, "peer_udp_port": peer_udp_port}
        async with self._run("client", {"host": host, **ports, **options}) as peer:
            yield peer

    @asynccontextmanager
    async def _run(self, role: str, options: dict[str, Any]) -> AsyncIterator[Peer]:
        options = {"bind": "127.0.0.1", "udp_port": free_udp_port(), **options}
        process = await asyncio.create_subprocess_exec(
            self._program,
            role,
            *(f"{name}={value}" for name, value in options.items()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        peer = Peer(process, options["udp_port"], options["port"])
        try:
            await peer.expect("ready")
            yield peer
        finally:
            await peer.kill()


class Pair(NamedTuple):
    """Two peers with an association, and what is between them."""

    client: Peer
    server: Peer
    relay: Relay


@asynccontextmanager
async def pair(usrsctp: Usrsctp, server: dict[str, Any], **both: Any) -> AsyncIterator[Pair]:
    """A usrsctp client and a usrsctp server; `server` are options of the server alone."""
    async with (
        _between(usrsctp, both.pop("addresses", ("127.0.0.1",)), **{**both, **server}) as (listening, relay),
        usrsctp.client(listening.port, relay.port, **both) as client,
    ):
        client.tell("connect")
        await client.expect("up")
        await listening.expect("up")
        yield Pair(client, listening, relay)


class Joined(NamedTuple):
    """An association, its other end, and what is between them. `ours` is True if we send to the relay's server."""

    association: asyncsctp.Association
    peer: Peer
    relay: Relay
    ours: bool


@asynccontextmanager
async def _between(usrsctp: Usrsctp, addresses: Sequence[str], **options: Any) -> AsyncIterator[tuple[Peer, Relay]]:
    """A usrsctp server behind a relay, through which it sends to addresses that it has not heard from as well."""
    port = free_udp_port()
    async with (
        Relay(port, addresses=addresses, seed=5) as relay,
        usrsctp.server(udp_port=port, peer_udp_port=relay.back_port, **options) as peer,
    ):
        yield peer, relay


@asynccontextmanager
async def joined(
    usrsctp: Usrsctp,
    role: str,
    config: asyncsctp.Config,
    *,
    addresses: Sequence[str] = ("127.0.0.1",),
    ours: Sequence[str] = ("127.0.0.1",),
    **options: Any,
) -> AsyncIterator[Joined]:
    """An association in which we are the `"client"` or the `"server"`; `options` are the peer's.

    `addresses` are those that may be used, `ours` those that we begin with, and `bind` is what the peer begins with.
    """
    if role == "client":
        async with (
            _between(usrsctp, addresses, **options) as (peer, relay),
            asyncsctp.connect(ours[0], peer.port, udp_port=relay.port, local_addrs=ours, config=config) as association,
        ):
            await peer.expect("up")
            yield Joined(association, peer, relay, True)
    else:
        async with (
            asyncsctp.open_endpoint(local_addrs=ours, config=config) as endpoint,
            Relay(endpoint.udp_port, addresses=addresses, seed=5) as relay,
            usrsctp.client(endpoint.port, relay.port, **options) as peer,
        ):
            peer.tell("connect")
            association = await within(5, "the association", endpoint.accept())
            await peer.expect("up")
            yield Joined(association, peer, relay, False)
            await association.close()
