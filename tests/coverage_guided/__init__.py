"""Harnesses for bytes that somebody else has chosen: coverage finds them, or chance where atheris is not installed.

`python -m tests.coverage_guided packets --runs 10000`; see `targets` for what there is.
"""
