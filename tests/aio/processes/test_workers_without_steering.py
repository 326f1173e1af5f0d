"""Worker processes where packets can't be steered: one is possible, more are refused."""

from __future__ import annotations

import sys

import pytest

import asyncsctp
from asyncsctp.udp import steering

from ..conftest import Run

elsewhere = pytest.mark.skipif(sys.platform == "linux", reason="Linux steers packets")


async def handler(association: asyncsctp.Association) -> None:
    async for message in association:
        await association.send(message.data)


@pytest.mark.parametrize("platform", ["darwin", "win32", "freebsd14"])
def test_only_linux_steers_packets(platform: str) -> None:
    with pytest.raises(NotImplementedError, match="Linux"):
        steering.check_platform(platform)
    steering.check_platform("linux")


def test_one_worker_can_serve_anywhere(run: Run) -> None:
    async def main() -> None:
        with asyncsctp.WorkerGroup("127.0.0.1", udp_port=0, workers=1) as group:
            async with (
                asyncsctp.serve(handler, reuse_port=group.slot(0)),
                asyncsctp.connect("127.0.0.1", group.port, udp_port=group.udp_port) as association,
            ):
                await association.send(b"hello")
                assert (await association.recv()).data == b"hello"

    run(main())


@elsewhere
def test_more_than_one_are_refused(run: Run) -> None:
    with pytest.raises(NotImplementedError, match="Linux"):
        asyncsctp.WorkerGroup("127.0.0.1", udp_port=0, workers=2)

    async def main() -> None:
        with pytest.raises(NotImplementedError, match="Linux"):
            await asyncsctp.serve(handler, "127.0.0.1", 5001, reuse_port=True)

    run(main())
