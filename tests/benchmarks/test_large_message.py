"""The benchmark of a long message: all of it arrives, and there is a figure for each kind of chunk."""

from __future__ import annotations

import pytest

from benchmarks.large_message import Progress, main


@pytest.mark.process
def test_all_of_it_arrives(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--gib", "0.004"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert sum(line[:1] in (["DATA"], ["I-DATA"]) and len(line) == 4 for line in lines) == 2


def test_memory_is_looked_at_after_the_warm_up_and_at_the_end() -> None:
    progress = Progress(1 << 20)
    progress.note(1 << 19)
    assert not progress.peak
    kept = bytearray(b"x" * (32 << 20))
    progress.note(1 << 19)
    assert progress.done == 1 << 20
    assert progress.peak >= progress.warm > len(kept)
