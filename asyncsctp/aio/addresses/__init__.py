"""Our own addresses: which there are, and telling peers of changes."""
