"""README.md and docs/ say what is: their programs run, their links lead somewhere, the names they use exist.

Of the blocks marked `python`, those that import something run as programs of their own; the functions in them that are
called `test_*` are called; a `text` block that follows directly is what they print. The others, which may await at
their top level, run in a coroutine that has `assoc`, an association with an echo server of this process, and `server`.
A block after the line `<!-- not run: REASON -->` is only compiled.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import subprocess
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import asyncsctp
import asyncsctp.testing

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
TIMEOUT = 60.0
CALL_TESTS = """
for _name in [_name for _name in globals() if _name.startswith("test_")]:
    globals()[_name]()
"""


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    language: str
    text: str
    before: str  # the line before it
    output: str | None  # what it prints, where the page says so

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def is_run(self) -> bool:
        return re.fullmatch(r"<!-- not run: .+ -->", self.before) is None

    def compile(self) -> types.CodeType:
        """With line numbers that are those of the page."""
        code: types.CodeType = compile(
            "\n" * self.line + self.text, str(self.page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
        )
        return code

    @property
    def is_program(self) -> bool:
        return re.search("^(import|from) ", self.text, re.MULTILINE) is not None


def blocks_of(page: Path) -> Iterator[Block]:
    lines = page.read_text(encoding="utf-8").splitlines()
    at = 0
    while at < len(lines):
        if not lines[at].startswith("```"):
            at += 1
            continue
        end = lines.index("```", at + 1)
        output = None
        if lines[end + 1 : end + 3] == ["", "```text"]:
            output = "\n".join(lines[end + 3 : lines.index("```", end + 3)]) + "\n"
        text = "\n".join(lines[at + 1 : end]) + "\n"
        yield Block(page, at + 1, lines[at].removeprefix("```"), text, lines[at - 1], output)
        at = end + 1


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
PYTHON = [block for block in BLOCKS if block.language == "python"]
PROGRAMS = [block for block in PYTHON if block.is_run and block.is_program]
PIECES = [block for block in PYTHON if block.is_run and not block.is_program]


def name(value: object) -> str:
    return str(value)


@pytest.mark.parametrize("block", BLOCKS, ids=name)
def test_every_block_says_what_it_is(block: Block) -> None:
    assert block.language in {"python", "sh", "text"}


@pytest.mark.parametrize("block", PYTHON, ids=name)
def test_blocks_compile(block: Block) -> None:
    block.compile()


@pytest.mark.process
@pytest.mark.parametrize("block", PROGRAMS, ids=name)
def test_programs(block: Block) -> None:
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", block.text + CALL_TESTS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    if block.output is not None:
        assert done.stdout == block.output


async def echo(assoc: asyncsctp.Association) -> None:
    async for message in assoc:
        await assoc.send(message.data, stream=message.stream, ppid=message.ppid)


@pytest.mark.parametrize("block", PIECES, ids=name)
def test_pieces(block: Block) -> None:
    async def main() -> None:
        async with (
            asyncio.timeout(TIMEOUT),
            asyncsctp.serve(echo, "127.0.0.1", 5001, udp_port=0) as server,
            asyncsctp.connect("127.0.0.1", 5001, udp_port=server.udp_port) as assoc,
        ):
            names = {"asyncio": asyncio, "asyncsctp": asyncsctp, "assoc": assoc, "server": server}
            running = types.FunctionType(block.compile(), names)()
            if inspect.isawaitable(running):
                await running

    asyncsctp.run(main())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_anchors_are_headings(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#]*)#([^)]*)\)", page.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        there = (page.parent / target) if target else page
        headings = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), re.MULTILINE)
        assert anchor in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_names_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    known = {"": asyncsctp, "testing.": asyncsctp.testing}
    for room, attribute in re.findall(r"(?<!logger `)\basyncsctp\.(testing\.|)([A-Za-z]\w*)", text):
        if (ROOT / "asyncsctp" / attribute).is_dir() or (ROOT / "asyncsctp" / f"{attribute}.py").is_file():
            continue
        assert hasattr(known[room], attribute), f"asyncsctp.{room}{attribute}"
    fields = asyncsctp.Config.__dataclass_fields__
    for field in re.findall(r"`Config\.(\w+)`", text):
        assert field in fields, f"Config.{field}"


def test_every_page_is_linked_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for page in PAGES[1:]:
        assert f"({page.relative_to(ROOT)})" in readme


def test_every_public_name_is_in_a_page() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    missing = [each for each in asyncsctp.__all__ if re.search(rf"\b{each}\b", text) is None]
    assert not missing


def test_the_tests_leave_the_compiled_form_alone() -> None:
    """What `pip install -e` installs is plain Python: in the environment of the demonstration it would replace it."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = dict(re.findall(r"<!-- command: (\w+) -->\n```sh\n(.*)\n```", page))
    assert commands.keys() == {"demo", "tests"}
    environments = {}
    for name, command in commands.items():
        [environments[name]] = re.findall(r"-m venv (\S+)", command)
        assert set(re.findall(r"(\S+)/bin/", command)) == {environments[name]}
    assert environments["demo"] != environments["tests"]
    assert " -e " not in commands["demo"]
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert set(re.findall(r"(\S+)/bin/", contributing)) == {environments["tests"]}
