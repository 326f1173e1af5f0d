"""RFC 9260 section 9.1, with 3.3.7 and 8.5.1 B: ABORT."""

from __future__ import annotations

import pytest
from support.pair import Recorder
from support.script import PEER_TAG, Script

from asyncsctp.errors import AssociationAborted
from asyncsctp.events import SendFailed
from asyncsctp.handlers.state import CLOSED, ESTABLISHED
from asyncsctp.wire import causes
from asyncsctp.wire.constants import ABORT, CAUSE_PROTOCOL_VIOLATION, CAUSE_USER_ABORT
from asyncsctp.wire.control import pack_abort


class Impatient(Recorder):
    """A user that one message is enough for."""

    def on_message(self, sid: int, ssn: int, ppid: int, unordered: bool, tsn: int, data: bytes) -> None:
        super().on_message(sid, ssn, ppid, unordered, tsn, data)
        assert self.association is not None
        self.association.abort(100.0, b"")


def test_an_abort_by_the_user_has_the_peers_tag_and_a_cause_and_no_data() -> None:
    """MUST fill in the peer's tag, MUST NOT bundle DATA, a User-Initiated Abort cause SHOULD be present."""
    script = Script()
    script.association.send(0, b"never sent")
    script.association.abort(script.now, b"had enough")
    script.flush()
    packet = script.expect(ABORT)
    assert packet.tag == PEER_TAG
    assert packet.chunks[0].flags == 0
    assert packet.chunks[0].causes == [(CAUSE_USER_ABORT, b"had enough")]
    assert script.state is CLOSED
    assert [event.data for event in script.user.events if isinstance(event, SendFailed)] == [b"never sent"]


def test_an_abort_with_our_tag_ends_the_association_and_its_reason_is_told() -> None:
    """MUST remove the association; the Upper Layer Abort Reason SHOULD be made available."""
    script = Script()
    script.send(pack_abort(causes.pack_cause(CAUSE_USER_ABORT, b"bye")))
    script.expect_nothing()
    assert script.state is CLOSED
    error = script.user.error
    assert isinstance(error, AssociationAborted)
    assert error.by_peer
    assert [(cause.code, cause.info) for cause in error.causes] == [(CAUSE_USER_ABORT, b"bye")]


def test_an_abort_with_the_peers_tag_and_the_t_bit_is_accepted() -> None:
    """Section 8.5.1 B: its own tag without the T bit, or the peer's with it."""
    script = Script()
    script.send(pack_abort(reflected=True), tag=PEER_TAG)
    assert script.state is CLOSED


def test_one_with_the_t_bit_under_our_tag_counts_as_a_bad_tag_and_nothing_else() -> None:
    """Section 8.5.1 B."""
    script = Script()
    script.send(pack_abort(reflected=True))
    statistics = script.association.statistics
    assert (statistics.bad_tags, statistics.malformed_packets, statistics.discarded_packets) == (1, 0, 0)


@pytest.mark.parametrize(("tag", "reflected"), [(None, True), (PEER_TAG, False), (12345, False), (12345, True)])
def test_any_other_is_silently_discarded(tag: int | None, reflected: bool) -> None:
    """Section 8.5.1 B: otherwise, the receiver MUST silently discard the packet."""
    script = Script()
    script.send(pack_abort(reflected=reflected), tag=tag)
    script.expect_nothing()
    assert script.state is ESTABLISHED


@pytest.mark.parametrize(
    "chunk",
    [b"\x06\0\0\x03", b"\x06\0\0\x08\0\x0c\0\x09", b"\x06\0\0\x08\0\x0c\0\0", b"\x06\0\0\x09\0\x0c\0\x40x\0\0\0"],
)
def test_an_abort_with_a_format_error_is_silently_discarded(chunk: bytes) -> None:
    """Section 3.3.7: MUST silently discard it."""
    script = Script()
    script.send(chunk)
    script.expect_nothing()
    assert script.state is ESTABLISHED


def test_a_packet_with_an_abort_is_not_responded_to() -> None:
    """MUST NOT respond to any received packet that contains an ABORT chunk."""
    script = Script()
    script.send(b"\xc1\0\0\4", script.data(0), pack_abort(), b"\xc1\0\0\4", script.data(1))
    script.expect_nothing()
    assert script.state is CLOSED
    assert len(script.user.messages) == 1


def test_nothing_is_sent_after_the_end() -> None:
    script = Script()
    script.write(b"outstanding")
    script.take()
    script.send(pack_abort())
    script.send(script.data(0))
    script.advance(1000.0)
    assert not any(packet.tag == PEER_TAG for packet in script.take())


def test_a_user_who_aborts_in_the_middle_of_a_packet_hears_no_more() -> None:
    script = Script(user=Impatient("the user"))
    script.send(script.data(0, b"first"), script.data(1, b"second"), script.data(2, sid=65535))
    assert [message[3] for message in script.user.messages] == [b"first"]
    script.expect(ABORT)


def test_a_sack_for_what_was_never_sent_is_a_protocol_violation() -> None:
    """Section 3.3.10.13."""
    script = Script()
    script.write(b"one")
    script.take()
    script.send(script.sack(1))
    assert script.expect(ABORT).chunks[0].causes[0][0] == CAUSE_PROTOCOL_VIOLATION
