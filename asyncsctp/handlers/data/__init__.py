"""DATA and its acknowledgement (RFC 9260 section 6, RFC 3758, RFC 7496, RFC 8260)."""
