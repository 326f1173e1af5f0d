"""One conversation with the peer each; handlers see their `Context`, not the association."""
