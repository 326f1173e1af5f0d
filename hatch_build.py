"""Compiles the core by mypyc into the wheel where there is a C compiler; elsewhere the wheel is plain source.

`ASYNCSCTP_PURE=1` asks for plain source, `ASYNCSCTP_COMPILED=1` makes a failure to compile an error. An editable
install is always plain: a compiled module beside a source that is edited would hide what was changed.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

#: Stays interpreted: asyncio's side and what programs derive from or look into; exceptions, which mypyc can't make.
INTERPRETED = {
    "_source",
    "aio",
    "udp",
    "testing",
    "cli",
    "checks",
    "config",
    "errors",
    "events",
    "association/invariants",
}
#: Of asyncio's side, what each packet and each message goes through.
COMPILED_SHELL = {"udp/batch", "aio/engine", "aio/receipts", "aio/sockets"}
#: The same, with coroutines. mypyc throws exceptions into what they await in a way that Python warns of from 3.12 on.
if sys.version_info < (3, 12):
    COMPILED_SHELL |= {
        "aio/driver",
        "aio/flow_control",
        "aio/inbox",
        "aio/outlet",
        "aio/reader",
        "aio/session",
        "aio/writer",
    }
#: What the compiled modules need at run time beside what the plain ones do.
LIBRT = "librt>=0.16"


class CompileHook(BuildHookInterface[Any]):
    """Hatchling's custom hook of the wheel."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Return what compiling needs in the environment that builds the wheel."""
        return [] if _set("ASYNCSCTP_PURE") else ["mypy>=2.4", "setuptools>=65", LIBRT, "mypy-extensions"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Put the compiled modules beside their sources."""
        if version == "editable" or _set("ASYNCSCTP_PURE"):
            return
        self._directory = tempfile.TemporaryDirectory()
        built = Path(self._directory.name)
        try:
            _compile(Path(self.root), built)
        except BaseException as error:
            if _set("ASYNCSCTP_COMPILED") or isinstance(error, KeyboardInterrupt):
                raise
            self.app.display_warning(f"asyncsctp is not compiled ({error}): it will run as plain Python, slower")
            return
        for module in built.rglob("*"):
            if module.suffix in {".so", ".pyd"}:
                build_data["force_include"][str(module)] = module.relative_to(built).as_posix()
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["dependencies"].append(LIBRT)


def core_modules(root: Path) -> list[str]:
    """Return the modules to compile, as paths from the root."""
    package = root / "asyncsctp"
    names = {path: path.relative_to(package).with_suffix("").as_posix() for path in sorted(package.rglob("*.py"))}
    return [
        str(path.relative_to(root))
        for path, name in names.items()
        if (not INTERPRETED & {name, name.split("/")[0]} and not path.name.startswith("__")) or name in COMPILED_SHELL
    ]


def _compile(root: Path, built: Path) -> None:
    from mypyc.build import mypycify
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    class Build(build_ext):
        """Compiles as many files at a time as there are processors."""

        def build_extensions(self) -> None:
            compile_one = self.compiler._compile
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                waiting = []
                self.compiler._compile = lambda *arguments: waiting.append(pool.submit(compile_one, *arguments))
                link = self.compiler.link_shared_object

                def link_compiled(*arguments: Any, **options: Any) -> None:
                    while waiting:
                        waiting.pop().result()
                    link(*arguments, **options)

                self.compiler.link_shared_object = link_compiled
                super().build_extensions()

    with _inside(root):
        extensions = mypycify(
            [
                "--config-file=",
                "--strict",
                "--implicit-reexport",
                "--ignore-missing-imports",
                "--always-true=COMPILED",
                *core_modules(root),
            ],
            opt_level="3",
            debug_level="0",
            multi_file=True,
            group_name="asyncsctp",
            target_dir=str(built / "c"),
        )
        command = Build(Distribution({"name": "asyncsctp", "packages": ["asyncsctp"], "ext_modules": extensions}))
        command.build_lib = str(built)
        command.build_temp = str(built / "objects")
        command.ensure_finalized()
        command.run()


@contextlib.contextmanager
def _inside(root: Path) -> Iterator[None]:
    """Work in `root`, from where mypyc names modules; what it and the compiler print goes to stderr."""
    before = Path.cwd()
    os.chdir(root)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.chdir(before)


def _set(variable: str) -> bool:
    return os.environ.get(variable, "") not in {"", "0"}
