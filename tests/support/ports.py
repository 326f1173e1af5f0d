"""Free UDP ports, which no other process gets by chance before a test has bound them."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from itertools import cycle, islice

__all__ = ["free_udp_port", "ports"]

#: Below those that systems give to sockets by themselves.
_FIRST, _END = 20_000, 32_768
#: Processes that test side by side, workers of one run and of others, have different ones: so many can.
_SHARES = 64


def _claim() -> tuple[int, socket.socket | None]:
    """A share of the ports that no other process on this machine has, and what holds it until this process ends.

    That is the TCP port of the same number as the first of them, which nobody listens at. If all shares are taken, any.
    """
    for share in range(_SHARES):
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.bind(("127.0.0.1", _FIRST + share))
        except OSError:
            sock.close()
        else:
            return share, sock
    return random.SystemRandom().randrange(_SHARES), None


_SHARE, _HOLD = _claim()
_ALL = range(_FIRST + _SHARE, _END, _SHARES)
_NEXT = islice(cycle(_ALL), random.SystemRandom().randrange(len(_ALL)), None)


def ports() -> Iterator[int]:
    """Ports to try, each of which may be taken."""
    return islice(_NEXT, len(_ALL))


def free_udp_port(*addresses: str) -> int:
    """A port that is free at each of these addresses, or everywhere."""
    for port in ports():
        if all(_is_free(address, port) for address in addresses or ("0.0.0.0",)):
            return port
    raise OSError(f"no UDP port is free at all of {', '.join(addresses)}")


def _is_free(address: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((address, port))
        except OSError:
            return False
    return True
