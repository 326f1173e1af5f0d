"""RFC 9260 section 8.4, rule by rule."""

from __future__ import annotations

import pytest

from asyncsctp.endpoint.out_of_the_blue import TokenBucket, answer, is_unicast, survey
from asyncsctp.paths.route import Route
from asyncsctp.wire import causes, control, tlv
from asyncsctp.wire.constants import CAUSE_STALE_COOKIE, CAUSE_USER_ABORT, DATA, INIT_ACK, SACK
from asyncsctp.wire.packet import Seal
from asyncsctp.wire.tlv import Malformed

ABORT = control.pack_abort(reflected=True)
STALE = control.pack_error(causes.pack_stale_cookie(5))
SOME_ERROR = control.pack_error(causes.pack_invalid_stream(5))
SOME_DATA = tlv.pack(DATA << 8 | 3, bytes(12) + b"data")


def answer_to(*chunks: bytes) -> bytes | None:
    datagram = Seal(6000, 5000, 0x1234).pack(b"".join(chunks))
    return answer(survey(datagram))


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ((control.pack_abort(),), None),  # rule 2
        ((SOME_DATA, control.pack_abort(causes.pack_cause(CAUSE_USER_ABORT, b"bye"))), None),
        ((control.pack_shutdown_ack(), control.pack_abort()), None),
        ((control.pack_shutdown_ack(),), control.pack_shutdown_complete(reflected=True)),  # rule 5
        ((control.pack_cookie_ack(), control.pack_shutdown_ack()), control.pack_shutdown_complete(reflected=True)),
        ((control.pack_shutdown_complete(),), None),  # rule 6
        ((control.pack_shutdown_complete(reflected=True),), None),
        ((control.pack_cookie_ack(),), None),  # rule 7
        ((control.pack_cookie_ack(), SOME_DATA), None),
        ((STALE,), None),
        ((SOME_ERROR, STALE), None),
        ((SOME_ERROR,), ABORT),  # rule 8
        ((SOME_DATA,), ABORT),
        ((tlv.pack(SACK << 8, bytes(12)),), ABORT),
        ((tlv.pack(INIT_ACK << 8, bytes(16)),), ABORT),
        ((control.pack_heartbeat(b"who is there"),), ABORT),
        ((tlv.pack(0xFF << 8),), ABORT),
        ((SOME_DATA, control.pack_cookie_echo(b"cookie")), ABORT),
        ((), None),
    ],
)
def test_the_rules(chunks: tuple[bytes, ...], expected: bytes | None) -> None:
    assert answer_to(*chunks) == expected


def test_answers_have_the_t_bit_and_never_provoke_an_answer() -> None:
    """Else two endpoints could go on for ever."""
    for answered in (ABORT, control.pack_shutdown_complete(reflected=True)):
        assert answered[1] == 1
        assert answer_to(answered) is None


@pytest.mark.parametrize("body", [b"\0\3\0\3", b"\0\3\0\0", b"\0\3\0\x20data"])
def test_a_packet_with_an_impossible_length_is_not_believed(body: bytes) -> None:
    with pytest.raises(Malformed):
        answer_to(control.pack_shutdown_ack(), body)


def test_a_cause_with_an_impossible_length_is_not_believed() -> None:
    with pytest.raises(Malformed):
        answer_to(control.pack_error(CAUSE_STALE_COOKIE.to_bytes(2) + b"\0\3"))


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.1", True),
        ("127.0.0.1", True),
        ("2001:db8::1", True),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("0.0.0.0", False),
        ("ff02::1", False),
        ("::", False),
    ],
)
def test_only_unicast_is_answered(address: str, expected: bool) -> None:
    """Rule 1."""
    assert is_unicast(Route("192.0.2.9", address, 9899)) is expected


def test_the_bucket_gives_a_burst_and_then_a_rate() -> None:
    bucket = TokenBucket(10.0, 3.0)
    assert [bucket.take(100.0) for _ in range(5)] == [True, True, True, False, False]
    assert not bucket.take(100.05)
    assert bucket.take(100.11)
    assert not bucket.take(100.12)
    assert [bucket.take(1000.0) for _ in range(5)] == [True, True, True, False, False]
