"""Where packets go: the peer's addresses, and what is known of the way to each. Nothing here sends or keeps time."""
