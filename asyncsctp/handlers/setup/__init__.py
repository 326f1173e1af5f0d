"""Setting up an association (RFC 9260 section 5)."""
