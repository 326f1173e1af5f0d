"""Who is behind which NAT.

A realm is what is behind one NAT, or the public network (`None`). This knows which address belongs to which realm, and
by which addresses two hosts meet; packets and links are in `network`.
"""

from __future__ import annotations

from collections.abc import Container
from typing import final

from .host import family
from .nat import Translator


@final
class Realms:
    """The NATs of a network. `taken` are the addresses of its hosts."""

    __slots__ = ("_behind", "_by_outside", "_taken")

    def __init__(self, taken: Container[str]) -> None:
        self._taken = taken
        self._behind: dict[str, Translator] = {}
        self._by_outside: dict[str, Translator] = {}

    def add(self, nat: Translator) -> None:
        """Add a NAT. `ValueError` when one of its addresses can't be."""
        self._check(nat.outside)
        for address in sorted(nat.inside):
            if family(address) != family(nat.outside):
                raise ValueError(f"{address} and {nat.outside} are of different families")
            if address in self._behind:
                raise ValueError(f"{address} is behind a NAT already")
        self._by_outside[nat.outside] = nat
        self._behind.update(dict.fromkeys(nat.inside, nat))
        nat.on_move = self.move

    def move(self, nat: Translator, outside: str) -> None:
        """Change the outside address of a NAT; it is behind the same NAT as before. `ValueError` when that can't be."""
        self._check(outside)
        if family(outside) != family(nat.outside):
            raise ValueError(f"{outside} and {nat.outside} are of different families")
        outer, of_new = self._behind.get(nat.outside), self._behind.get(outside)
        if of_new is not None and of_new is not outer:
            raise ValueError(f"{outside} is behind another NAT")
        if outer is not None:
            del self._behind[nat.outside]
            self._behind[outside] = outer
            outer.inside = outer.inside - {nat.outside} | {outside}
        del self._by_outside[nat.outside]
        self._by_outside[outside] = nat

    def at(self, address: str) -> Translator | None:
        """Return the NAT that has this outside address."""
        return self._by_outside.get(address)

    def behind(self, address: str) -> Translator | None:
        """Return the NAT that this address is directly behind."""
        return self._behind.get(address)

    def meeting(self, a: str, b: str) -> tuple[str, str]:
        """Return the addresses under which `a` and `b` appear in the innermost realm where both do."""
        faces = self._faces(b)
        for realm, face in self._faces(a).items():
            if realm in faces:
                return face, faces[realm]
        raise AssertionError("the public network is a realm of all")

    def _faces(self, address: str) -> dict[Translator | None, str]:
        """Return the address under which a host appears in each realm, from its own to the public one."""
        faces: dict[Translator | None, str] = {}
        realm = self._behind.get(address)
        while realm is not None:
            faces[realm] = address
            address = realm.outside
            realm = self._behind.get(address)
        faces[None] = address
        return faces

    def _check(self, outside: str) -> None:
        if outside in self._taken or outside in self._by_outside:
            raise ValueError(f"{outside} is in use")
