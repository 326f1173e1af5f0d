"""Association shared keys and AUTH chunks, against the few lines of RFC 4895 in `support.auth_reference`."""

from __future__ import annotations

import hashlib
import hmac
from itertools import product

import pytest
from support.auth_reference import SIZES, Authenticator, vector
from support.chunks import pack_data

from asyncsctp.handlers.keyring import GENUINE, UNSUPPORTED, WRONG, Keyring, SharedKeys
from asyncsctp.wire import control
from asyncsctp.wire.auth import AuthParameters, pack_auth
from asyncsctp.wire.constants import ABORT, ASCONF, ASCONF_ACK, AUTH, COOKIE_ACK, DATA, INIT, RE_CONFIG
from asyncsctp.wire.tlv import Malformed

LOW = AuthParameters(bytes(32), None, (3, 1))
HIGH = AuthParameters(b"\xff" * 32, bytes([DATA]), (1,))
BODY = pack_data(3, 1, 2, 3, 4, b"seven..")


def ring(local: AuthParameters = LOW, peer: AuthParameters = HIGH, keys: dict[int, bytes] | None = None) -> Keyring:
    return Keyring((local, peer), SharedKeys(keys or {}, next(iter(keys or (0,)))))


def judge(keyring: Keyring, packet: bytes) -> int:
    return keyring.verify(packet, 0, int.from_bytes(packet[2:4]))


def test_a_known_answer() -> None:
    """All by hand: section 6.1, Figure 6, and RFC 2104 of a key that is longer than a block."""
    smaller = b"\x80\x02\x00\x24" + bytes(32) + b"\x80\x04\x00\x08\x00\x03\x00\x01"
    larger = b"\x80\x02\x00\x24" + b"\xff" * 32 + b"\x80\x03\x00\x05\x00" + b"\x80\x04\x00\x06\x00\x01"
    key = hashlib.sha1(b"secret" + smaller + larger).digest().ljust(64, b"\0")
    zeroed = b"\x0f\x00\x00\x1c\x00\x07\x00\x01" + bytes(20)
    inner = hashlib.sha1(bytes(byte ^ 0x36 for byte in key) + zeroed + BODY).digest()
    mac = hashlib.sha1(bytes(byte ^ 0x5C for byte in key) + inner).digest()
    assert ring(keys={7: b"secret"}).protect(BODY) == zeroed[:8] + mac + BODY


@pytest.mark.parametrize(("hmac_id", "key"), list(product((1, 3), (b"", b"k", b"long" * 100))))
def test_both_sides_and_the_rfc_agree(hmac_id: int, key: bytes) -> None:
    said = (AuthParameters(b"a" * 32, b"\x00\x40", (3, 1)), AuthParameters(b"b" * 32, None, (hmac_id, 1)))
    here = Keyring(said, SharedKeys({5: key}, 5))
    there = Keyring((said[1], said[0]), SharedKeys({5: key}, 5))
    packet = here.protect(BODY)
    assert packet == Authenticator(said, {5: key}).auth(BODY, 5, hmac_id) + BODY
    assert judge(there, packet) == GENUINE
    assert len(packet) - len(BODY) == here.size == 8 + SIZES[hmac_id]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (AuthParameters(b"\0" * 32, None, (1,)), AuthParameters(b"\1" + bytes(31), None, (1,))),
        (AuthParameters(b"\xff" * 32, None, (1,)), AuthParameters(b"\0" * 32, None, (3, 1))),  # a longer one is larger
        (AuthParameters(b"x" * 32, b"\0", (1,)), AuthParameters(b"x" * 32, None, (1,))),
    ],
)
def test_6_1_the_smaller_vector_comes_first(one: AuthParameters, other: AuthParameters) -> None:
    first, second = sorted((vector(one), vector(other)), key=int.from_bytes)
    for said in ((one, other), (other, one)):
        keyring = Keyring(said, SharedKeys({0: b"s"}, 0))
        packet = keyring.protect(BODY)
        hmac_id = int.from_bytes(packet[6:8])
        name = {1: "sha1", 3: "sha256"}[hmac_id]
        zeroed = packet[:8] + bytes(SIZES[hmac_id])
        assert packet[8 : keyring.size] == hmac.digest(b"s" + first + second, zeroed + BODY, name)


def test_6_1_the_first_hmac_of_the_peer_that_we_have() -> None:
    for listed, chosen in (((3, 1), 3), ((1, 3), 1), ((4, 9, 1), 1), ((2, 3), 3)):
        packet = ring(peer=HIGH._replace(hmacs=listed)).protect(BODY)
        assert int.from_bytes(packet[6:8]) == chosen


def test_what_was_changed_on_its_way_is_wrong() -> None:
    packet = ring(HIGH, LOW._replace(hmacs=(1,))).protect(BODY)
    receiver = ring(LOW._replace(hmacs=(1,)), HIGH)
    assert judge(receiver, packet) == GENUINE
    for at in range(len(packet)):
        if at in (2, 3, 6, 7):  # the length, and the HMAC identifier
            continue
        changed = packet[:at] + bytes([packet[at] ^ 1]) + packet[at + 1 :]
        assert judge(receiver, changed) == WRONG, at
    assert judge(receiver, packet + bytes(4)) == WRONG
    assert judge(receiver, packet[:-4]) == WRONG


def test_an_hmac_of_another_size_is_wrong_whatever_it_is() -> None:
    keyring = ring(HIGH, LOW)
    for size in (0, 4, 16, 19, 21, 24, 32, 64):
        assert judge(keyring, pack_auth(0, 1, bytes(size)) + BODY) == WRONG


@pytest.mark.parametrize("hmac_id", [0, 2, 3, 4, 0xFFFF])
def test_an_hmac_that_we_did_not_list(hmac_id: int) -> None:
    assert judge(ring(HIGH, LOW), pack_auth(0, hmac_id, bytes(20)) + BODY) == UNSUPPORTED


@pytest.mark.parametrize("size", range(4))
def test_an_auth_chunk_without_room_for_its_ids(size: int) -> None:
    packet = bytes((AUTH, 0, 0, 4 + size)) + bytes(size)
    with pytest.raises(Malformed):
        judge(ring(), packet)


def test_key_0_is_there_only_where_there_is_no_other() -> None:
    """Section 9: who accepts the empty key beside a real one accepts everybody who saw the handshake."""
    from_nobody = ring(HIGH, LOW).protect(BODY)
    assert judge(ring(LOW, HIGH), from_nobody) == GENUINE
    assert judge(ring(LOW, HIGH, {1: b"secret"}), from_nobody) == WRONG
    assert judge(ring(LOW, HIGH, {1: b"secret", 0: b""}), from_nobody) == GENUINE


def test_keys_that_come_change_and_go() -> None:
    here, there = ring(HIGH, LOW), ring(LOW, HIGH)
    here.set_key(9, b"nine")
    packet = here.protect(BODY, 9)
    assert judge(there, packet) == WRONG
    there.set_key(9, b"NINE")
    assert judge(there, packet) == WRONG
    there.set_key(9, b"nine")
    assert judge(there, packet) == GENUINE
    there.forget(9)
    assert judge(there, packet) == WRONG


def test_what_must_be_authenticated() -> None:
    listed = bytes([DATA, ABORT, INIT, AUTH])
    keyring = ring(LOW._replace(chunks=listed), HIGH._replace(chunks=bytes([RE_CONFIG])))
    assert keyring.demands == {DATA, ABORT}  # section 3.2: the others are ignored
    assert keyring.peer_demands == {RE_CONFIG, ASCONF, ASCONF_ACK}  # RFC 5061 section 4.1
    assert keyring.must_cover(control.pack_cookie_ack() + bytes([RE_CONFIG, 0, 0, 4]))
    assert not keyring.must_cover(control.pack_cookie_ack() + BODY)


@pytest.mark.parametrize(
    ("listed", "blanket"), [([], False), ([ASCONF, RE_CONFIG], False), ([ABORT], False), ([DATA], True), ([200], False)]
)
def test_all_packets_are_authenticated_where_one_of_these_travels_with_data(listed: list[int], blanket: bool) -> None:
    assert ring(LOW, HIGH._replace(chunks=bytes(listed))).covers_all is blanket


def test_a_cookie_ack_stays_the_first_chunk_unless_it_is_to_be_authenticated_itself() -> None:
    """RFC 9260 section 5.1 D, RFC 4895 section 7."""
    ack = control.pack_cookie_ack()
    keyring = ring(LOW, HIGH)
    assert keyring.cover(ack) == ack
    assert keyring.cover(ack + BODY) == ack + keyring.protect(BODY)
    assert keyring.cover(BODY) == keyring.protect(BODY)
    keyring = ring(LOW, HIGH._replace(chunks=bytes([COOKIE_ACK, DATA])))
    assert keyring.cover(ack + BODY) == keyring.protect(ack + BODY)
