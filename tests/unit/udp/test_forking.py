"""What a forked child does with the sockets of its parent; real children are in `tests/aio/test_process.py`."""

from __future__ import annotations

import asyncio
import gc
import socket

from asyncsctp.udp import forking

from .conftest import Run


def test_a_child_closes_sockets_and_pollers_and_forgets_them(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        closed: list[str] = []
        heard = asyncio.Event()
        socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)]
        for sock in socks:
            sock.bind(("127.0.0.1", 0))
            loop.add_reader(sock.fileno(), heard.set)
        watched = [sock.fileno() for sock in socks]
        forking.keep_to_this_process(socks[0], loop, watched[0])
        forking.keep_to_this_process(socks[1], loop, watched[1], lambda: closed.append("poller"))
        forking._leave_to_the_parent()
        assert [sock.fileno() for sock in socks[:2]] == [-1, -1]
        assert closed == ["poller"]
        socks[2].sendto(b"x", socks[2].getsockname())  # which was not to be kept to the process
        await heard.wait()
        loop.remove_reader(watched[2])
        socks[2].close()
        forking._leave_to_the_parent()
        assert closed == ["poller"]

    run(main())


def test_a_loop_that_is_closed_or_gone_is_no_trouble() -> None:
    for gone in (True, False):
        loop = asyncio.new_event_loop()
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        forking.keep_to_this_process(sock, loop, sock.fileno())
        loop.close()
        if gone:
            del loop
            gc.collect()
        forking._leave_to_the_parent()
        assert sock.fileno() == -1
