"""What is built: a compiled wheel where that can be, a plain one elsewhere, and nothing beside an edited source.

mypyc takes more than a minute, so that a stand-in takes its place, which gives a C file of a few lines, or fails.
Compiler, linker and packaging are the real ones. ASYNCSCTP_REQUIRE_BUILD=1 makes it an error if they are missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[1]
NEEDED = ("hatchling", "setuptools")
MISSING = [name for name in NEEDED if find_spec(name) is None] + ([] if shutil.which("cc") else ["a C compiler"])

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(
        bool(MISSING) and os.environ.get("ASYNCSCTP_REQUIRE_BUILD", "") in {"", "0"},
        reason=f"not here: {', '.join(MISSING)}",
    ),
    pytest.mark.skipif(not (ROOT / "hatch_build.py").exists(), reason="the tests of an installed package"),
    pytest.mark.skipif(any((ROOT / "asyncsctp").rglob("*.so")), reason="what is compiled in place would be packed"),
]

WORKS = """
from pathlib import Path
from setuptools import Extension

def mypycify(arguments, *, target_dir, **options):
    modules = [each for each in arguments if each.endswith(".py")]
    assert "asyncsctp/wire/octets.py" in modules and "asyncsctp/errors.py" not in modules
    source = Path(target_dir, "octets.c")
    source.parent.mkdir(parents=True)
    source.write_text('''
        #include <Python.h>
        static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "octets", NULL, -1, NULL};
        PyMODINIT_FUNC PyInit_octets(void) { return PyModule_Create(&module); }
    ''')
    return [Extension("asyncsctp.wire.octets", [str(source)])]
"""
TYPES_ARE_WRONG = "def mypycify(*arguments, **options): raise SystemExit('a type is wrong')"  # as mypyc does
IS_NOT_CALLED = "def mypycify(*arguments, **options): raise AssertionError('the compiler was called')"


class Built:
    """What came of one run of the builder."""

    def __init__(self, folder: Path, run: subprocess.CompletedProcess[str]) -> None:
        self.status = run.returncode
        self.output = run.stdout + run.stderr
        self.wheels = [wheel.name for wheel in folder.glob("*.whl")]
        self.files: list[str] = []
        self.metadata = ""
        for wheel in folder.glob("*.whl"):
            with ZipFile(wheel) as archive:
                self.files = archive.namelist()
                (metadata,) = (name for name in self.files if name.endswith(".dist-info/METADATA"))
                self.metadata = archive.read(metadata).decode()

    @property
    def is_plain(self) -> bool:
        (wheel,) = self.wheels
        return wheel.endswith("-py3-none-any.whl") and not self.compiled and "librt" not in self.metadata

    @property
    def compiled(self) -> list[str]:
        return [name for name in self.files if name.endswith((".so", ".pyd"))]


def stand_in_for_mypyc(folder: Path, stand_in: str) -> dict[str, str]:
    """An environment whose mypyc is this."""
    package = folder / "fakes" / "mypyc"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "build.py").write_text(stand_in, encoding="utf-8")
    ours = ("ASYNCSCTP_PURE", "ASYNCSCTP_COMPILED", "CC")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    return environment | {"PYTHONPATH": str(package.parent), "NO_COLOR": "1"}


def build(folder: Path, stand_in: str, **variables: str) -> Built:
    environment = stand_in_for_mypyc(folder, stand_in) | variables
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return Built(folder, run)


def test_the_compiled_modules_stand_beside_their_sources(tmp_path: Path) -> None:
    built = build(tmp_path, WORKS, ASYNCSCTP_COMPILED="1")
    assert built.status == 0, built.output
    (wheel,) = built.wheels
    assert f"cp{sys.version_info[0]}{sys.version_info[1]}" in wheel
    (module,) = built.compiled
    assert module.startswith("asyncsctp/wire/octets.")
    assert "asyncsctp/wire/octets.py" in built.files
    assert "Requires-Dist: librt" in built.metadata


def test_plain_is_what_one_can_ask_for(tmp_path: Path) -> None:
    built = build(tmp_path, IS_NOT_CALLED, ASYNCSCTP_PURE="1")
    assert built.status == 0, built.output
    assert built.is_plain
    assert "asyncsctp/wire/octets.py" in built.files
    assert "not compiled" not in built.output


@pytest.mark.parametrize(
    ("stand_in", "compiler"), [(WORKS, "/bin/false"), (WORKS, "/no/such/compiler"), (TYPES_ARE_WRONG, "cc")]
)
def test_without_a_compiler_the_wheel_is_plain_and_says_so_once(tmp_path: Path, stand_in: str, compiler: str) -> None:
    built = build(tmp_path, stand_in, CC=compiler)
    assert built.status == 0, built.output
    assert built.is_plain
    assert built.output.count("asyncsctp is not compiled (") == 1


@pytest.mark.parametrize(("stand_in", "compiler"), [(WORKS, "/bin/false"), (TYPES_ARE_WRONG, "cc")])
def test_who_insists_on_compiling_gets_an_error(tmp_path: Path, stand_in: str, compiler: str) -> None:
    built = build(tmp_path, stand_in, CC=compiler, ASYNCSCTP_COMPILED="1")
    assert built.status != 0
    assert not built.wheels


EDITABLE = """
from hatch_build import CompileHook
data = {"force_include": {}, "dependencies": []}
CompileHook(".", {}, None, None, "", "wheel").initialize("editable", data)
print(data)
"""


def test_an_editable_install_compiles_nothing(tmp_path: Path) -> None:
    """Even where the environment insists."""
    environment = stand_in_for_mypyc(tmp_path, IS_NOT_CALLED) | {"ASYNCSCTP_COMPILED": "1"}
    command = [sys.executable, "-c", EDITABLE]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "{'force_include': {}, 'dependencies': []}"


LISTS = """
from hatch_build import COMPILED_SHELL, INTERPRETED, core_modules
from pathlib import Path
for name in sorted(INTERPRETED | COMPILED_SHELL):
    assert list(Path("asyncsctp").glob(name + "*")), name
print(*core_modules(Path.cwd()))
"""


def test_the_lists_name_what_there_is() -> None:
    """A module that was renamed would stay plain, and nobody would see it."""
    command = [sys.executable, "-c", LISTS]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert {"asyncsctp/association/association.py", "asyncsctp/wire/octets.py", "asyncsctp/aio/engine.py"} <= set(found)
    assert not [each for each in found if "/testing/" in each or "__" in each or each == "asyncsctp/aio/api.py"]
