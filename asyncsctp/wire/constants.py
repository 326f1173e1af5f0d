"""Numbers of the wire: chunk types, flags, parameter types, cause codes (RFC 9260 sections 3 and 15)."""

from __future__ import annotations

from typing import Final

# Chunk types, RFC 9260 section 3.2.
DATA: Final = 0
INIT: Final = 1
INIT_ACK: Final = 2
SACK: Final = 3
HEARTBEAT: Final = 4
HEARTBEAT_ACK: Final = 5
ABORT: Final = 6
SHUTDOWN: Final = 7
SHUTDOWN_ACK: Final = 8
ERROR: Final = 9
COOKIE_ECHO: Final = 10
COOKIE_ACK: Final = 11
ECNE: Final = 12  # reserved by RFC 9260, format of RFC 4960 appendix A
CWR: Final = 13
SHUTDOWN_COMPLETE: Final = 14
AUTH: Final = 15  # RFC 4895
I_DATA: Final = 0x40  # RFC 8260
ASCONF_ACK: Final = 0x80  # RFC 5061
RE_CONFIG: Final = 0x82  # RFC 6525
PAD: Final = 0x84  # RFC 4820
FORWARD_TSN: Final = 0xC0  # RFC 3758
ASCONF: Final = 0xC1  # RFC 5061
I_FORWARD_TSN: Final = 0xC2  # RFC 8260

# DATA chunk flags, RFC 9260 section 3.3.1.
FLAG_END: Final = 0x01
FLAG_BEGIN: Final = 0x02
FLAG_UNORDERED: Final = 0x04
FLAG_IMMEDIATE: Final = 0x08

# ABORT and SHUTDOWN COMPLETE: the tag in the header is the receiver's own peer tag, reflected (section 8.5.1).
FLAG_TAG_REFLECTED: Final = 0x01
# ABORT and ERROR: not from the peer, but from a NAT in between (draft natsupp section 5.1).
FLAG_MIDDLEBOX: Final = 0x02

# What the two high bits of an unknown type ask for, RFC 9260 sections 3.2 and 3.2.1.
UNKNOWN_SKIP: Final = 0x80
UNKNOWN_REPORT: Final = 0x40

# Parameter types, RFC 9260 section 3.3.2 and the extension registries.
PARAM_HEARTBEAT_INFO: Final = 1
PARAM_IPV4_ADDRESS: Final = 5
PARAM_IPV6_ADDRESS: Final = 6
PARAM_STATE_COOKIE: Final = 7
PARAM_UNRECOGNIZED: Final = 8
PARAM_COOKIE_PRESERVATIVE: Final = 9
PARAM_HOST_NAME: Final = 11
PARAM_SUPPORTED_ADDRESS_TYPES: Final = 12
PARAM_OUTGOING_RESET: Final = 13  # RFC 6525 section 4, in RE-CONFIG
PARAM_INCOMING_RESET: Final = 14
PARAM_TSN_RESET: Final = 15
PARAM_RECONFIG_RESPONSE: Final = 16
PARAM_ADD_OUTGOING_STREAMS: Final = 17
PARAM_ADD_INCOMING_STREAMS: Final = 18
PARAM_ECN_CAPABLE: Final = 0x8000
PARAM_RANDOM: Final = 0x8002  # RFC 4895
PARAM_CHUNK_LIST: Final = 0x8003
PARAM_HMAC_ALGORITHMS: Final = 0x8004
PARAM_SUPPORTED_EXTENSIONS: Final = 0x8008
PARAM_FORWARD_TSN_SUPPORTED: Final = 0xC000  # RFC 3758
PARAM_ADD_ADDRESS: Final = 0xC001  # RFC 5061 section 4.2, in ASCONF
PARAM_DELETE_ADDRESS: Final = 0xC002
PARAM_ERROR_CAUSE: Final = 0xC003  # in ASCONF-ACK
PARAM_SET_PRIMARY: Final = 0xC004  # in ASCONF, INIT and INIT ACK
PARAM_SUCCESS: Final = 0xC005  # in ASCONF-ACK
PARAM_ADAPTATION: Final = 0xC006  # in INIT and INIT ACK
PARAM_DISABLE_RESTART: Final = 0xC007  # draft natsupp section 5.3
PARAM_VTAGS: Final = 0xC008  # in ASCONF

# Error causes, RFC 9260 section 3.3.10.
CAUSE_INVALID_STREAM: Final = 1
CAUSE_MISSING_PARAMETER: Final = 2
CAUSE_STALE_COOKIE: Final = 3
CAUSE_OUT_OF_RESOURCE: Final = 4
CAUSE_UNRESOLVABLE_ADDRESS: Final = 5
CAUSE_UNRECOGNIZED_CHUNK: Final = 6
CAUSE_INVALID_PARAMETER: Final = 7
CAUSE_UNRECOGNIZED_PARAMETERS: Final = 8
CAUSE_NO_USER_DATA: Final = 9
CAUSE_COOKIE_WHILE_SHUTTING_DOWN: Final = 10
CAUSE_RESTART_NEW_ADDRESSES: Final = 11
CAUSE_USER_ABORT: Final = 12
CAUSE_PROTOCOL_VIOLATION: Final = 13
CAUSE_NEW_ENCAPSULATION_PORT: Final = 14  # draft udp-encaps-cons
CAUSE_DELETE_LAST_ADDRESS: Final = 0xA0  # RFC 5061 section 4.3
CAUSE_RESOURCE_SHORTAGE: Final = 0xA1
CAUSE_DELETE_SOURCE_ADDRESS: Final = 0xA2
CAUSE_ILLEGAL_ASCONF_ACK: Final = 0xA3
CAUSE_NO_AUTHORIZATION: Final = 0xA4
CAUSE_VTAG_COLLISION: Final = 0xB0  # draft natsupp section 5.2
CAUSE_MISSING_STATE: Final = 0xB1
CAUSE_PORT_COLLISION: Final = 0xB2
CAUSE_UNSUPPORTED_HMAC: Final = 0x0105  # RFC 4895 section 4.1

# Sizes in bytes.
COMMON_HEADER_SIZE: Final = 12
CHUNK_HEADER_SIZE: Final = 4
DATA_HEADER_SIZE: Final = 16
I_DATA_HEADER_SIZE: Final = 20
UDP_HEADER_SIZE: Final = 8
IPV4_HEADER_SIZE: Final = 20
IPV6_HEADER_SIZE: Final = 40
MAX_DATAGRAM: Final = 65507

# Serial numbers are unwrapped at the door; these are the masks used when they are packed once.
MASK_16: Final = 0xFFFF
MASK_32: Final = 0xFFFFFFFF

UDP_PORT: Final = 9899  # sctp-tunneling, RFC 6951 section 5.1
