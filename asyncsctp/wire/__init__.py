"""Bytes to facts and back: stateless, timeless, one walk for every type-length-value list."""
