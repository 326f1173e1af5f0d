"""`python -m tests.coverage_guided`: one harness, so many runs.

With atheris (`pip install -e '.[fuzz]'`) libFuzzer looks for inputs that reach what no other has; `--blind` does
without. What fails is printed as hexadecimal digits, by which `--input` has it again.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

TESTS = str(Path(__file__).resolve().parent.parent)
if TESTS not in sys.path:
    sys.path.insert(0, TESTS)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.coverage_guided", description=__doc__)
    parser.add_argument("target", help="packets, inits, cookies, asconf, reconfig or commands")
    parser.add_argument("--runs", type=int, default=10_000, help="how many inputs (10000)")
    parser.add_argument("--seed", type=int, default=1, help="of what is tried (1)")
    parser.add_argument("--blind", action="store_true", help="by chance alone, without atheris")
    parser.add_argument("--input", help="this one, hexadecimal")
    options = parser.parse_args()
    atheris: Any = None
    if not options.blind and options.input is None and find_spec("atheris") is not None:
        atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["asyncsctp"]) if atheris is not None else nullcontext():
        from coverage_guided import blind
        from coverage_guided.targets import TARGETS
    if options.target not in TARGETS:
        parser.error(f"there is no {options.target}; there are {', '.join(TARGETS)}")
    target: Callable[[bytes], None] = TARGETS[options.target]
    if options.input is not None:
        target(bytes.fromhex(options.input))
        print("nothing is wrong")
        return 0
    if atheris is None:
        blind.run(options.target, options.runs, options.seed)
        print(f"{options.target}: {options.runs} inputs by chance, nothing is wrong")
        return 0
    return _guided(atheris, options.target, target, options.runs, options.seed)


def _guided(atheris: Any, name: str, target: Callable[[bytes], None], runs: int, seed: int) -> int:
    """Lets libFuzzer try. It ends the process."""
    from coverage_guided.blind import corpus

    def one(data: bytes) -> None:
        try:
            target(data)
        except BaseException as error:
            again = f"python -m tests.coverage_guided {name} --input {data.hex()}"
            error.add_note(f"again by: {again}")
            print(f"FAILED {name}: {error!r}; again by: {again}", flush=True)
            raise

    folder = Path(tempfile.mkdtemp(prefix="asyncsctp-corpus-"))
    for number, entry in enumerate(corpus(name)):
        (folder / str(number)).write_bytes(entry)
    limits = [f"-runs={runs}", f"-seed={seed}", "-max_len=3000", "-len_control=0", f"-artifact_prefix={folder}/"]
    atheris.Setup([sys.argv[0], *limits, str(folder)], one)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
