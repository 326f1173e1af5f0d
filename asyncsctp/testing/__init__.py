"""Testing without a network and without waiting: simulated hosts and links, on virtual time.

For programs that use asyncio, `Network.run` runs a coroutine on a loop whose clock jumps, and whose datagram sockets
are in the simulated network; for core endpoints, a `Simulation` drives them through the same network without asyncio.
What happens in a run depends on its seed alone.
"""

from __future__ import annotations

from ..udp.datagram import DatagramError
from .clock import Clock, DeadlockError, SimulationError, TimeLimitError
from .host import Address, Datagram, Host, Port, Receiver
from .link import Crossing, Link, LinkSettings, PacketOutcome
from .nat import Nat, Refusal
from .network import Network, PacketRecord, PortUnreachableError, run
from .pair import CoreEndpoint, Simulation
from .schedulers import check_scheduler
from .sctp_nat import Binding, SctpNat
from .simulated_transport import SimulatedTransport
from .virtual_time import SeededRandom, VirtualLoop

__all__ = ["Network", "VirtualLoop", "check_scheduler", "run"]
__all__ += ["Address", "Datagram", "Host", "PacketRecord", "Port", "Receiver", "SimulatedTransport"]
__all__ += ["Crossing", "Link", "LinkSettings", "PacketOutcome"]
__all__ += ["Binding", "Nat", "Refusal", "SctpNat"]
__all__ += ["Clock", "CoreEndpoint", "SeededRandom", "Simulation"]
__all__ += ["DatagramError", "DeadlockError", "PortUnreachableError", "SimulationError", "TimeLimitError"]
