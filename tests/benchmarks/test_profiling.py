"""Profiles: which room a file or a symbol belongs to."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.profiling import describe, room, room_of_symbol, shares


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("/site-packages/asyncsctp/wire/sack.py", "asyncsctp/wire"),
        ("/src/asyncsctp/asyncsctp/packetizer.py", "asyncsctp/packetizer"),
        ("/usr/lib/python3.11/asyncio/runners.py", "event loop"),
        ("/usr/lib/python3.11/selectors.py", "event loop"),
        ("/src/benchmarks/scenarios/bulk.py", "the program"),
        ("/usr/lib/python3.11/dataclasses.py", "other Python"),
    ],
)
def test_the_room_of_a_file(file: str, name: str) -> None:
    assert room(file) == name


@pytest.mark.parametrize(
    ("library", "symbol", "name"),
    [
        ("[kernel.kallsyms]", "[k] udp_sendmsg", "kernel"),
        ("x__mypyc.cpython-311.so", "[.] CPyDef_data_tracker___DataTracker___observe", "asyncsctp/inbound"),
        ("x__mypyc.cpython-311.so", "[.] CPyDef_wire___sack___read", "asyncsctp/wire"),
        ("x__mypyc.cpython-311.so", "[.] CPyDef_association___Association___receive", "asyncsctp/association"),
        ("x__mypyc.cpython-311.so", "[.] CPyTagged_Add", "asyncsctp, compiled"),
        ("loop.cpython-311-x86_64-linux-gnu.so", "[.] __pyx_f_6uvloop", "event loop"),
        ("_crc32c.cpython-311-x86_64-linux-gnu.so", "[.] crc", "crc32c"),
        ("libpython3.11.so.1.0", "[.] PyObject_Malloc", "the interpreter"),
        ("libc.so.6", "[.] malloc", "the C library"),
    ],
)
def test_the_room_of_a_symbol(library: str, symbol: str, name: str) -> None:
    assert room_of_symbol(library, symbol) == name


def test_shares_of_what_perf_lists() -> None:
    found = shares("\n  30\tlibc.so.6\t[.] malloc\n  10\tlibc.so.6\t[.] free\n  60\t[kernel.kallsyms]\t[k] sys_read\n")
    assert found["ticks"] == 100
    assert found["rooms"] == {"kernel": 0.6, "the C library": 0.4}
    assert [entry["name"] for entry in found["functions"]][:2] == ["kernel: sys_read", "the C library: malloc"]


def test_the_time_of_a_room_is_told_for_each_packet() -> None:
    results = {
        "cpu": 2.0,
        "cpu_system": 0.5,
        "counters": {"packets_sent": 100_000, "packets_received": 10},
        "profile": {"kind": "perf", "ticks": 4, "rooms": {"kernel": 0.25, "asyncsctp/wire": 0.75}, "functions": []},
    }
    lines = describe("ours", results)
    assert lines[0] == "ours: 2.00 s of CPU, 25% of it in the system, 4 ticks (perf)"
    assert "  100000 packets: 20.00 us for each" in lines
    assert "   75.0%   15.00 us/packet  asyncsctp/wire" in lines
