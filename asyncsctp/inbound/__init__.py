"""What arrives: which TSNs, when they are to be acknowledged, and how chunks become messages in stream order."""
