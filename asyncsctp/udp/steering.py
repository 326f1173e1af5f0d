"""Which of the sockets at one UDP port gets a packet: a classic BPF program, which the kernel runs for each.

It sees the UDP payload from 0 on, and the IP header through SKF_NET_OFF. What it returns is the index of a socket in
the order of binding, or any larger number: then the kernel takes its own hash of addresses and UDP ports. When a socket
of the group is closed, the kernel moves the last one into its place.
"""

from __future__ import annotations

import ctypes
import socket
import sys
from struct import Struct
from typing import Final

from ..wire.constants import ABORT, COMMON_HEADER_SIZE, FLAG_TAG_REFLECTED, SHUTDOWN_COMPLETE

Instruction = tuple[int, int, int, int]  # code, steps to go on by if true and if false, operand

# Linux numbers that the socket module does not name.
_SO_ATTACH_REUSEPORT_CBPF: Final = 51
_LOAD_WORD: Final = 0x20
_LOAD_HALF: Final = 0x28
_LOAD_BYTE: Final = 0x30
_COPY_TO_X: Final = 0x07
_XOR: Final = 0xA4
_XOR_X: Final = 0xAC
_MULTIPLY: Final = 0x24
_SHIFT_RIGHT: Final = 0x74
_MODULO: Final = 0x94
_IF_EQUAL: Final = 0x15
_IF_ANY_BIT: Final = 0x45
_RETURN: Final = 0x06
_RETURN_A: Final = 0x16

_NETWORK_HEADER: Final = 0xFFF00000  # SKF_NET_OFF
_IPV4_SOURCE: Final = (12,)
_IPV6_SOURCE: Final = (8, 12, 16, 20)
_TAG_AT: Final = 4
_NO_SOCKET: Final = 0xFFFFFFFF
_MIXER: Final = 0x9E3779B1  # odd, and without a pattern: the golden ratio of 2^32

_instruction: Final = Struct("=HBBI")
_program: Final = Struct("@HP")


def check_platform(platform: str = sys.platform) -> None:
    """Raise `NotImplementedError` where there is no such thing."""
    if platform != "linux":
        raise NotImplementedError("processes can share a port only where packets can be steered, which is on Linux")


def by_index(members: int, salt: int, family: int) -> list[Instruction]:
    """Choose the member that the tag is of, by `MemberTags`; without one, by a hash of the peer's port and IP address.

    So that the INITs of a peer come to one member, and what reflects the peer's tag (RFC 9260 section 8.5.1) comes to
    the member that had its INIT. `salt`, 32 random bits, keeps the hash from being known.
    """
    spread: list[Instruction] = [(_LOAD_HALF, 0, 0, 0), (_XOR, 0, 0, salt)]
    for at in _IPV4_SOURCE if family == socket.AF_INET else _IPV6_SOURCE:
        spread += [
            (_MULTIPLY, 0, 0, _MIXER),
            (_COPY_TO_X, 0, 0, 0),
            (_LOAD_WORD, 0, 0, _NETWORK_HEADER + at),
            (_XOR_X, 0, 0, 0),
        ]
    spread += [(_MULTIPLY, 0, 0, _MIXER), (_SHIFT_RIGHT, 0, 0, 16), (_MODULO, 0, 0, members), (_RETURN_A, 0, 0, 0)]
    return _by_tag(members, spread)


def by_name(names: int) -> list[Instruction]:
    """Choose among members who don't know how many they are; without a tag, by the kernel's hash."""
    return _by_tag(names, [(_RETURN, 0, 0, _NO_SOCKET)])


def _by_tag(members: int, otherwise: list[Instruction]) -> list[Instruction]:
    """Choose by the tag; `otherwise` for packets without one. A packet without a chunk ends the program, with 0."""
    return [
        (_LOAD_BYTE, 0, 0, COMMON_HEADER_SIZE),
        (_IF_EQUAL, 1, 0, ABORT),
        (_IF_EQUAL, 0, 2, SHUTDOWN_COMPLETE),
        (_LOAD_BYTE, 0, 0, COMMON_HEADER_SIZE + 1),
        (_IF_ANY_BIT, 4, 0, FLAG_TAG_REFLECTED),
        (_LOAD_WORD, 0, 0, _TAG_AT),
        (_IF_EQUAL, 2, 0, 0),
        (_MODULO, 0, 0, members),
        (_RETURN_A, 0, 0, 0),
        *otherwise,
    ]


def attach(sock: socket.socket, program: list[Instruction]) -> None:
    """Give a program to all sockets that share the address of this one, instead of the one they have.

    `NotImplementedError` where the system does not take it.
    """
    code = b"".join(_instruction.pack(*instruction) for instruction in program)
    memory = ctypes.create_string_buffer(code, len(code))
    fprog = _program.pack(len(program), ctypes.addressof(memory))
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, fprog)
    except OSError as exc:
        raise NotImplementedError(f"this system does not let packets be steered: {exc}") from exc
