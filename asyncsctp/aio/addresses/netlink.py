"""What the kernel of Linux says of the machine's addresses (rtnetlink), as bytes.

Knows the layout of the messages. The socket is in `address_watch`.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from enum import Enum
from struct import Struct
from typing import Final, NamedTuple

from ...udp.datagram import address_of

NETLINK_ROUTE: Final = 0
#: RTMGRP_IPV4_IFADDR and RTMGRP_IPV6_IFADDR.
GROUPS: Final = 0x10 | 0x100

_NLMSG_ERROR: Final = 2
_NLMSG_DONE: Final = 3
_RTM_NEWADDR: Final = 20
_RTM_DELADDR: Final = 21
_RTM_GETADDR: Final = 22
_NLM_F_REQUEST: Final = 1
_NLM_F_DUMP_INTR: Final = 0x10
_NLM_F_DUMP: Final = 0x300
_IFA_ADDRESS: Final = 1
_IFA_LOCAL: Final = 2
_IFA_FLAGS: Final = 8
_IFA_F_TEMPORARY: Final = 0x01  # of IPv4 it says that the address is a secondary one
_IFA_F_OPTIMISTIC: Final = 0x04
_IFA_F_DADFAILED: Final = 0x08
_IFA_F_DEPRECATED: Final = 0x20
_IFA_F_TENTATIVE: Final = 0x40

_header: Final = Struct("=IHHII")  # length, type, flags, sequence number, port
_about_address: Final = Struct("=BBBBI")  # family, prefix length, flags, scope, interface
_attribute: Final = Struct("=HH")  # length, type
_number: Final = Struct("=I")
_SIZES: Final = {int(socket.AF_INET): 4, int(socket.AF_INET6): 16}


class Address(NamedTuple):
    """An address of the machine, or one that was."""

    address: str
    interface: int  # the index
    is_there: bool  # it can be bound
    is_lasting: bool  # neither deprecated nor, for privacy, temporary: good for a new use
    is_answer: bool  # it was asked for


class AnswerState(Enum):
    """What the kernel says of its answer to our question."""

    INTERRUPTED = "something has changed meanwhile, so it may lack something"
    COMPLETE = "this was all"
    REFUSED = "there is none"


def pack_address_request(sequence: int) -> bytes:
    """Ask for all addresses."""
    size = _header.size + _about_address.size
    header = _header.pack(size, _RTM_GETADDR, _NLM_F_REQUEST | _NLM_F_DUMP, sequence, 0)
    return header + _about_address.pack(socket.AF_UNSPEC, 0, 0, 0, 0)


def read_messages(data: bytes, sequence: int) -> Iterator[Address | AnswerState]:
    """Yield what a datagram says; `sequence` is that of our question. What is cut short or unknown is passed over."""
    for (_, kind, flags, number, _), body in _items(_header, data):
        is_answer = number == sequence
        if kind in (_RTM_NEWADDR, _RTM_DELADDR):
            found = _read_address(body, kind == _RTM_NEWADDR, is_answer)
            if found is not None:
                yield found
        if is_answer and flags & _NLM_F_DUMP_INTR:
            yield AnswerState.INTERRUPTED
        if is_answer and kind in (_NLMSG_DONE, _NLMSG_ERROR):
            yield AnswerState.REFUSED if kind == _NLMSG_ERROR else AnswerState.COMPLETE


def _read_address(body: bytes, is_new: bool, is_answer: bool) -> Address | None:
    if len(body) < _about_address.size:
        return None
    family, _, flags, _, interface = _about_address.unpack_from(body)
    size = _SIZES.get(family)
    packed = b""
    for (_, kind), value in _items(_attribute, body[_about_address.size :]):
        if kind == _IFA_FLAGS and len(value) >= _number.size:
            flags = _number.unpack_from(value)[0]
        elif len(value) == size and (kind == _IFA_LOCAL or (kind == _IFA_ADDRESS and not packed)):
            packed = value  # of a point-to-point link IFA_ADDRESS is the other end
    if not packed:
        return None
    text = socket.inet_ntop(family, packed)
    if family == socket.AF_INET6 and text.startswith("fe80:"):
        text = address_of((text, 0, 0, interface))[0]
    is_tentative = flags & _IFA_F_TENTATIVE and not flags & _IFA_F_OPTIMISTIC
    is_there = is_new and not is_tentative and not flags & _IFA_F_DADFAILED
    is_fleeting = flags & _IFA_F_DEPRECATED or (family == socket.AF_INET6 and flags & _IFA_F_TEMPORARY)
    return Address(text, interface, is_there, not is_fleeting, is_answer)


def _items(header: Struct, data: bytes) -> Iterator[tuple[tuple[int, ...], bytes]]:
    """Yield the fields of such headers, each of which begins with the length of its item, and what is behind them."""
    at = 0
    while at + header.size <= len(data):
        fields = header.unpack_from(data, at)
        end = at + fields[0]
        if fields[0] < header.size or end > len(data):
            return
        yield fields, data[at + header.size : end]
        at = end + 3 & ~3
