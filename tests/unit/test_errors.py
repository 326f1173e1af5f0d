from __future__ import annotations

import copy
import pickle

import pytest

from asyncsctp.errors import (
    AssociationAborted,
    AssociationClosed,
    AssociationRefused,
    AssociationTimeout,
    Cause,
    EndOfStream,
    MessageTooLarge,
    SCTPError,
)


@pytest.mark.parametrize(
    ("error", "also"),
    [
        (AssociationRefused, ConnectionRefusedError),
        (AssociationAborted, ConnectionResetError),
        (AssociationTimeout, TimeoutError),
        (AssociationClosed, ConnectionError),
        (MessageTooLarge, ValueError),
    ],
)
def test_programs_that_know_the_usual_errors_know_ours(error: type[SCTPError], also: type[Exception]) -> None:
    made = error("what happened")
    assert isinstance(made, SCTPError)
    assert isinstance(made, ConnectionError)
    assert isinstance(made, also)
    assert str(made) == "what happened"


def test_the_end_of_a_stream_is_no_failure() -> None:
    assert issubclass(EndOfStream, EOFError)
    assert not issubclass(EndOfStream, OSError)


def test_an_abort_tells_causes_and_who_did_it() -> None:
    cause = Cause(12, b"bye", "the user aborted: bye")
    error = AssociationAborted("aborted by the peer", [cause], by_peer=True)
    assert error.causes == (cause,)
    assert error.by_peer
    assert AssociationAborted("x").causes == ()
    assert not AssociationAborted("x").by_peer
    assert AssociationRefused("refused", [cause]).causes == (cause,)


def test_errors_survive_copying_and_pickling() -> None:
    error = AssociationAborted("aborted", [Cause(12)], by_peer=True)
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert isinstance(twin, AssociationAborted)
        assert (str(twin), twin.causes, twin.by_peer) == ("aborted", (Cause(12),), True)


def test_a_cause_reads_as_its_text() -> None:
    assert str(Cause(4, b"", "out of resource")) == "out of resource"
    assert str(Cause(99)) == "cause 99"
