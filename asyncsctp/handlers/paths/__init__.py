"""Watching the paths to the peer (RFC 9260 section 8, RFC 7829)."""
