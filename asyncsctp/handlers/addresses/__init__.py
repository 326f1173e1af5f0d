"""Changing addresses while the association lives (RFC 5061, draft-ietf-tsvwg-natsupp)."""
