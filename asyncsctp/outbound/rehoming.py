"""What becomes of data that was sent to an address which is the peer's no more (RFC 5061 section 5.3 F13).

Paths are small ints here as everywhere in `outbound`. An id that is given up is referred to by nothing afterwards.
"""

from __future__ import annotations

from .message import ACKED, LOST
from .outstanding import OutstandingQueue


def rehome(outstanding: OutstandingQueue, path_id: int, other: int) -> None:
    """What is outstanding on a path is lost, and is to leave for another one; what was acknowledged there may yet be
    reneged on, and counts for that one then.
    """
    outstanding.expire(path_id, LOST)
    earliest = outstanding._earliest[other]
    for record in outstanding.records[outstanding.head :]:
        if record.path_id == path_id:
            record.path_id = other
            if record.state < ACKED and (earliest is None or record.first_tsn < earliest.first_tsn):
                earliest = record
    outstanding._earliest[other] = earliest
    outstanding._earliest[path_id] = outstanding._timed[path_id] = None
