"""Counters of an association and of an endpoint; names after RFC 3873 where it has one."""

from __future__ import annotations

from dataclasses import dataclass, field, fields


@dataclass(slots=True, init=False)
class Statistics:
    """What one association has counted since it was set up. Sizes are user bytes unless the name says otherwise.

    The constructor is written out, as the one that `dataclass` makes takes ten times as long in the compiled form.
    """

    packets_sent: int
    packets_received: int
    data_chunks_sent: int
    data_chunks_received: int
    bytes_sent: int
    bytes_received: int
    messages_sent: int
    messages_received: int
    packets_retransmitted: int
    fast_retransmits: int
    t3_timeouts: int
    duplicate_tsns_received: int
    duplicate_tsns_reported: int
    sacks_sent: int
    sacks_received: int
    heartbeats_sent: int
    heartbeat_acks_received: int
    restarts: int
    ecn_echoes_received: int
    checksum_errors: int
    bad_tags: int
    malformed_packets: int
    discarded_packets: int  # well-formed, and not processed, or not to their end, since a rule says so
    unknown_chunks: int
    unexpected_chunks: int
    dropped_out_of_window: int
    reneged: int
    messages_abandoned: int
    forward_tsns_sent: int
    forward_tsns_received: int
    unauthenticated_chunks: int  # received, and dropped as they must be authenticated (RFC 4895 section 6.3)
    auth_failures: int  # AUTH chunks received whose key or HMAC was wrong
    send_failures: int  # packets that the system refused to send

    def __init__(self) -> None:
        self.packets_sent = self.packets_received = self.data_chunks_sent = self.data_chunks_received = 0
        self.bytes_sent = self.bytes_received = self.messages_sent = self.messages_received = 0
        self.packets_retransmitted = self.fast_retransmits = self.t3_timeouts = self.duplicate_tsns_received = 0
        self.duplicate_tsns_reported = self.sacks_sent = self.sacks_received = self.heartbeats_sent = 0
        self.heartbeat_acks_received = self.restarts = self.ecn_echoes_received = self.checksum_errors = 0
        self.bad_tags = self.malformed_packets = self.discarded_packets = self.unknown_chunks = 0
        self.unexpected_chunks = self.dropped_out_of_window = self.reneged = self.messages_abandoned = 0
        self.forward_tsns_sent = self.forward_tsns_received = self.unauthenticated_chunks = self.auth_failures = 0
        self.send_failures = 0

    def copy(self) -> Statistics:
        """Return the counters as they stand now, in an object that goes on counting nothing."""
        copied = Statistics()
        for each in fields(self):
            setattr(copied, each.name, getattr(self, each.name))
        return copied


@dataclass(slots=True)
class EndpointStatistics:
    """What one endpoint has counted: handshakes, packets that belong to none of its associations, and failures to send.

    `send_failures` counts by the name of the error: packets that the system refused ("EPERM", "ENETUNREACH",
    "EMSGSIZE"), and that count as lost on their path; how often it made packets wait ("EAGAIN", "ENOBUFS"), which lost
    none; and ICMP messages ("ECONNREFUSED", "EHOSTUNREACH").
    """

    inits_received: int = 0
    cookies_accepted: int = 0
    cookies_rejected: int = 0
    stale_cookies: int = 0
    out_of_the_blue: int = 0
    answers_suppressed: int = 0
    checksum_errors: int = 0
    malformed_packets: int = 0
    associations_refused: int = 0
    handed_over: int = 0
    send_failures: dict[str, int] = field(default_factory=dict)
