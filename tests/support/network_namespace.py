"""Linux network namespaces for tests: a fresh one with only a loopback interface, and a second one with a process in
it, joined to the first by virtual cables.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import IO, Final

import pytest

__all__ = ["Elsewhere", "in_own_network", "ip", "other_network", "set_loopback_mtu", "set_loopback_up"]

_CLONE_NEWNET = 0x40000000
_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_SIOCSIFMTU = 0x8922
_IFF_UP = 1
_REQUEST = struct.Struct("16sh22x")  # struct ifreq with flags
_MTU_REQUEST = struct.Struct("16si20x")


def in_own_network(body: Callable[[], None]) -> None:
    """Run it in a thread that is alone in a network namespace: only sockets made there are.

    Skips where that takes rights that we don't have, unless ASYNCSCTP_REQUIRE_NETNS=1 forbids that.
    """
    failures: list[BaseException] = []
    refused = 0

    def run() -> None:
        nonlocal refused
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_CLONE_NEWNET):
            refused = ctypes.get_errno()
            return
        try:
            set_loopback_up(True)
            body()
        except BaseException as exc:
            failures.append(exc)

    reason = "not on Linux"
    if sys.platform == "linux":
        thread = Thread(target=run)
        thread.start()
        thread.join()
        if failures:
            raise failures[0]
        if not refused:
            return
        reason = os.strerror(refused)
    if os.environ.get("ASYNCSCTP_REQUIRE_NETNS") == "1":
        pytest.fail(f"a network namespace is required here, but: {reason}", pytrace=False)
    pytest.skip(f"needs a network namespace: {reason}")


def set_loopback_up(up: bool) -> None:
    """Bring the loopback interface of this thread's namespace up, or down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        found = fcntl.ioctl(sock, _SIOCGIFFLAGS, _REQUEST.pack(b"lo", 0))
        flags = _REQUEST.unpack(found)[1]
        fcntl.ioctl(sock, _SIOCSIFFLAGS, _REQUEST.pack(b"lo", flags | _IFF_UP if up else flags & ~_IFF_UP))


def set_loopback_mtu(mtu: int) -> None:
    """The largest IP packet that the loopback interface of this thread's namespace takes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, _SIOCSIFMTU, _MTU_REQUEST.pack(b"lo", mtu))


def ip(*words: str) -> None:
    """The command of iproute2, in this thread's namespace. Skips without it, as `in_own_network`."""
    command = shutil.which("ip")
    if command is None:
        if os.environ.get("ASYNCSCTP_REQUIRE_NETNS") == "1":
            pytest.fail("iproute2 is required here", pytrace=False)
        pytest.skip("needs iproute2")
    done = subprocess.run([command, *words], capture_output=True, text=True, timeout=10, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")


class Elsewhere:
    """A second namespace, in which a Python program runs, and the cables from this thread's namespace to it."""

    CABLE: Final = ("near", "far")
    NOBODY: Final = "02:00:00:00:00:01"  # no interface has this link-layer address

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._cables: dict[int, tuple[tuple[str, ...], tuple[str, ...]]] = {}

    @property
    def output(self) -> IO[str]:
        """What the program writes."""
        assert self._process.stdout is not None
        return self._process.stdout

    def begin(self, *lines: str) -> None:
        """Let the program go on: it reads these lines."""
        assert self._process.stdin is not None
        self._process.stdin.write("".join(f"{line}\n" for line in lines))
        self._process.stdin.flush()

    def lay_cable(self, number: int, near: tuple[str, ...], far: tuple[str, ...]) -> None:
        """A pair of interfaces with these addresses, "10.1.0.1/24" and the like: near1 here, far1 there."""
        here, there = (f"{end}{number}" for end in self.CABLE)
        ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", str(self._process.pid))
        self._cables[number] = near, far
        _configure(here, near)
        self.run(lambda: _configure(there, far))

    def cut(self, number: int) -> None:
        """Let what leaves either end go nowhere, in silence, as when the switch between two hosts dies.

        The interfaces stay up: where a far end is down, some kernels send a packet again and again, and no others.
        """
        here, there = (f"{end}{number}" for end in self.CABLE)
        near, far = self._cables[number]
        _mislead(here, far)
        self.run(lambda: _mislead(there, near))

    def run(self, body: Callable[[], None]) -> None:
        """Run it in a thread that is in the other namespace."""
        failures: list[BaseException] = []

        def enter() -> None:
            try:
                libc = ctypes.CDLL(None, use_errno=True)
                with Path(f"/proc/{self._process.pid}/ns/net").open("rb") as namespace:
                    if libc.setns(namespace.fileno(), _CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), "setns")
                body()
            except BaseException as exc:
                failures.append(exc)

        thread = Thread(target=enter)
        thread.start()
        thread.join()
        if failures:
            raise failures[0]


def _configure(interface: str, addresses: tuple[str, ...]) -> None:
    for address in addresses:
        ip("addr", "add", address, "dev", interface, *(["nodad"] if ":" in address else []))
    ip("link", "set", interface, "up")


def _mislead(interface: str, addresses: tuple[str, ...]) -> None:
    for address in addresses:
        host = address.partition("/")[0]
        ip("neigh", "replace", host, "lladdr", Elsewhere.NOBODY, "dev", interface, "nud", "permanent")


@contextmanager
def other_network(program: str, *arguments: str) -> Iterator[Elsewhere]:
    """A namespace beside this thread's own (see `in_own_network`), with a Python program in it, which ends with it.

    The program waits until it can read a line.
    """
    isolated = "import ctypes, sys; assert not ctypes.CDLL(None).unshare(0x40000000); print('ready', flush=True)"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{isolated}\n{program}", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    elsewhere = Elsewhere(process)
    try:
        assert elsewhere.output.readline() == "ready\n"
        elsewhere.run(lambda: set_loopback_up(True))
        yield elsewhere
    finally:
        # The namespace goes with its last process, and with it the cables.
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
