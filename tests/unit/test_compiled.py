"""The compiled form is the plain one, but for its speed. Nothing here has anything to test where the package is plain.

ASYNCSCTP_REQUIRE_COMPILED=1 makes that an error.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pytest
from support.seeds import is_full_run, seeds

import asyncsctp
from asyncsctp.aio.sockets import _Socket
from asyncsctp.association.association import Association as CoreAssociation
from asyncsctp.endpoint.endpoint import Endpoint as CoreEndpoint
from asyncsctp.udp.batch import BatchTransport

INSTALLED = Path(asyncsctp.__file__).parents[1]
DIGESTS = Path(__file__).parents[1] / "support" / "run_digests.py"
#: Compiled classes derived from interpreted ones can be referred to weakly, by mistake: mypyc doesn't clear such
#: references. Protocols, enumerations and typed dicts are never instances or never go; an `EventStream` is no native
#: object, and clears them; of the others nobody may make any.
REFERABLE = {
    "BadTag",
    "BatchTransport",
    "Discard",
    "EventStream",
    "Malformed",
    "PartsOptions",
    "SendOptions",
    "_Socket",
}


def unavailable(why: str) -> None:
    """Skip, or fail where the compiled form has to be."""
    if os.environ.get("ASYNCSCTP_REQUIRE_COMPILED", "") not in {"", "0"}:
        pytest.fail(f"ASYNCSCTP_REQUIRE_COMPILED is set, and {why}")
    pytest.skip(why)


def digests(kind: str, wanted: range, pure: bool) -> list[str]:
    environment = {name: value for name, value in os.environ.items() if name != "ASYNCSCTP_PURE"}
    environment["PYTHONPATH"] = str(INSTALLED)
    if pure:
        environment["ASYNCSCTP_PURE"] = "1"
    command = [sys.executable, str(DIGESTS), kind, str(wanted[0]), str(wanted[-1])]
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()


@pytest.mark.process
@pytest.mark.parametrize(("kind", "count"), [("run", 30), ("packets", 150)])
def test_both_forms_put_the_same_packets_on_the_wire(kind: str, count: int) -> None:
    """Bit for bit and at the same instants, and users are told the same."""
    if digests(kind, range(1), pure=False)[0] != "compiled":
        unavailable("the package is not compiled")
    wanted = seeds(20 * count if is_full_run() else count)
    compiled, plain = digests(kind, wanted, pure=False), digests(kind, wanted, pure=True)
    assert (compiled[0], plain[0]) == ("compiled", "plain")
    differing = [line.split()[0] for line, other in zip(compiled[1:], plain[1:], strict=True) if line != other]
    assert not differing, f"with both forms compare: python {DIGESTS} {kind} {differing[0]} {differing[0]}"
    assert len(compiled) > len(wanted)


def compiled_classes() -> list[type]:
    if not asyncsctp.compiled:
        unavailable("the package is not compiled, or ASYNCSCTP_PURE is set")
    names = [module.name for module in walk_packages(asyncsctp.__path__, "asyncsctp.") if "__main__" not in module.name]
    modules = [import_module(name) for name in names]
    return [
        each
        for module in modules
        if not (module.__file__ or "").endswith(".py")
        for each in vars(module).values()
        if isinstance(each, type) and each.__module__ == module.__name__
    ]


def test_compiled_objects_cannot_be_referred_to_weakly() -> None:
    """A weak reference to one would not be cleared, and lead to freed memory."""
    classes = compiled_classes()
    assert len(classes) > 60
    referable = {
        each.__name__
        for each in classes
        if each.__weakrefoffset__ and type(each).__name__ not in {"_ProtocolMeta", "EnumType", "EnumMeta"}
    }
    assert referable <= REFERABLE


def test_plain_ones_cannot_either() -> None:
    """So that whoever would do it learns it with either form."""
    plain = [] if asyncsctp.compiled else [BatchTransport, _Socket]
    assert not [each for each in (CoreAssociation, CoreEndpoint, *plain) if each.__weakrefoffset__]


@pytest.mark.parametrize("each", [asyncsctp.Association, asyncsctp.Endpoint, asyncsctp.EventStream])
def test_what_programs_hold_can_be_referred_to_weakly(each: type) -> None:
    assert each.__weakrefoffset__
