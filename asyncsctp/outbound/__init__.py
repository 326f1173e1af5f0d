"""What leaves: messages waiting, packets outstanding, and what of them to send again."""
