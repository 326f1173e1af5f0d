"""A network of its own for a test: a fresh Linux network namespace with nothing but a loopback interface."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import sys
from collections.abc import Callable
from threading import Thread

import pytest

__all__ = ["in_own_network", "set_loopback_mtu", "set_loopback_up"]

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
