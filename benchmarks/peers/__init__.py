"""The stacks compared: how each is found, and how its two processes are started.

A peer is a server and a client program with the job as an argument. Each prints one JSON object a line:

* the server `{"port": ...}` once it listens, and its results when its standard input ends;
* the client its results when it is done.
"""

from __future__ import annotations

from .base import AbsentError, Peer, PythonPeer
from .usrsctp import UsrsctpPeer

__all__ = ["OURS", "PEERS", "AbsentError", "Peer"]

OURS = "asyncsctp"
_ONE_PROCESS = frozenset({"workers"})

#: Every peer by name, in the order of the table; ours is the first.
PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        PythonPeer(OURS, "ours", requires=("asyncsctp",)),
        PythonPeer("tcp", "tcp", requires=(), skips=_ONE_PROCESS | {"heartbeats"}),
        PythonPeer("aiortc", "aiortc_peer", requires=("aiortc",), skips=_ONE_PROCESS | {"bulk-64-batch", "scale"}),
        PythonPeer("aioquic", "aioquic_peer", requires=("aioquic",), skips=_ONE_PROCESS | {"scale"}),
        UsrsctpPeer(),
    )
}
