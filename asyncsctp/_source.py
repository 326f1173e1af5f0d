"""ASYNCSCTP_PURE=1: the modules are imported from their sources, whatever stands compiled beside them.

To compare, to debug, and to test both from one installation.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader
from types import ModuleType

_PACKAGE = __name__.rpartition(".")[0] + "."


class _SourceFinder(MetaPathFinder):
    """Finds this package's modules, and takes no other kind than sources."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.startswith(_PACKAGE):
            for folder in path or ():
                spec = FileFinder(folder, (SourceFileLoader, SOURCE_SUFFIXES)).find_spec(fullname, target)
                if spec is not None:
                    return spec
        return None


if os.environ.get("ASYNCSCTP_PURE", "") not in {"", "0"}:
    sys.meta_path.insert(0, _SourceFinder())
