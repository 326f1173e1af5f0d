"""UDP ports that nobody has, and that nobody gets by chance until a test has bound them."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from itertools import cycle, islice

__all__ = ["free_udp_port", "ports"]

#: Below those that systems give to sockets by themselves. Processes that test side by side have different ones.
_PROCESSES = 32
_PROCESS = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _PROCESSES
_ALL = range(20_000 + _PROCESS, 32_768, _PROCESSES)
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
