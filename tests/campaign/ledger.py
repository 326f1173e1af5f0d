"""What a campaign has done so far, as lines of JSON in a file: so that it can be gone on with another day."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["CHUNK", "Chunk", "Failure", "Ledger"]

#: So many seeds are done or not done together.
CHUNK: Final = 50


class Chunk(NamedTuple):
    """Seeds of a family: the `number`th so many."""

    family: str
    number: int

    @property
    def seeds(self) -> range:
        return range(self.number * CHUNK, (self.number + 1) * CHUNK)


@dataclass(frozen=True)
class Failure:
    """A seed that failed: what its error says in a line, and all there is to say."""

    family: str
    seed: int
    summary: str
    details: str

    @property
    def replay(self) -> str:
        """The command that has it again."""
        return f"python -m tests.campaign --family '{self.family}' --seed {self.seed}"

    def __str__(self) -> str:
        return f"FAILED {self.family} {self.seed}: {self.summary}; again by: {self.replay}"


class Ledger:
    """Counts, and remembers in a file if there is one. Chunks that the file has are not done again."""

    def __init__(self, path: Path | None) -> None:
        self.done: set[Chunk] = set()
        self.failures: list[Failure] = []
        self.counts: defaultdict[str, int] = defaultdict(int)
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._path = path
        if path is not None and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                self._read(json.loads(line))

    def note_failure(self, failure: Failure) -> None:
        """It is in the file at once."""
        self.failures.append(failure)
        self._write({"failure": asdict(failure)})

    def note_done(self, chunk: Chunk, count: int, seconds: float) -> None:
        """All seeds of a chunk have been tried, or the first `count` of them."""
        self.counts[chunk.family] += count
        self.seconds[chunk.family] += seconds
        if count == CHUNK:
            self.done.add(chunk)
            self._write({"family": chunk.family, "chunk": chunk.number, "seconds": round(seconds, 3)})

    def summary(self) -> list[str]:
        """A line for each family."""
        failed: defaultdict[str, int] = defaultdict(int)
        for failure in self.failures:
            failed[failure.family] += 1
        lines = [_line(name, count, failed[name], self.seconds[name]) for name, count in self.counts.items()]
        total, seconds = sum(self.counts.values()), sum(self.seconds.values())
        return [*lines, _line("all", total, len(self.failures), seconds)]

    def _read(self, entry: dict[str, object]) -> None:
        if "failure" in entry:
            fields = entry["failure"]
            assert isinstance(fields, dict)
            self.failures.append(Failure(**fields))
            return
        family, number, seconds = entry["family"], entry["chunk"], entry["seconds"]
        assert isinstance(family, str) and isinstance(number, int) and isinstance(seconds, (int, float))
        chunk = Chunk(family, number)
        if chunk not in self.done:
            self.done.add(chunk)
            self.counts[family] += CHUNK
            self.seconds[family] += seconds

    def _write(self, entry: dict[str, object]) -> None:
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")


def _line(name: str, count: int, failed: int, seconds: float) -> str:
    return f"{name:70} {count:8,} seeds {failed:5} failed {1000 * seconds / max(count, 1):8.1f} ms each"
