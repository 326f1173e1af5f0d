"""Counters of an association and of an endpoint; names after RFC 3873 where it has one."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Statistics:
    """What one association has counted since it was set up. Sizes are user bytes unless the name says otherwise."""

    packets_sent: int = 0
    packets_received: int = 0
    data_chunks_sent: int = 0
    data_chunks_received: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    messages_sent: int = 0
    messages_received: int = 0
    packets_retransmitted: int = 0
    fast_retransmits: int = 0
    t3_timeouts: int = 0
    duplicate_tsns_received: int = 0
    duplicate_tsns_reported: int = 0
    sacks_sent: int = 0
    sacks_received: int = 0
    heartbeats_sent: int = 0
    heartbeat_acks_received: int = 0
    restarts: int = 0
    ecn_echoes_received: int = 0
    checksum_errors: int = 0
    bad_tags: int = 0
    malformed_packets: int = 0
    discarded_packets: int = 0  # well-formed, and not processed, or not to their end, since a rule says so
    unknown_chunks: int = 0
    unexpected_chunks: int = 0
    dropped_out_of_window: int = 0
    reneged: int = 0
    messages_abandoned: int = 0
    forward_tsns_sent: int = 0
    forward_tsns_received: int = 0
    unauthenticated_chunks: int = 0  # received, and dropped as they must be authenticated (RFC 4895 section 6.3)
    auth_failures: int = 0  # AUTH chunks received whose key or HMAC was wrong
    send_failures: int = 0  # packets that the system refused to send


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
