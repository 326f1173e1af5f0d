"""Resetting and adding streams (RFC 6525)."""
