"""Shared keys, for the user of an association (RFC 4895): the part of it that changes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..handlers.auth import Authentication
    from .driver import Driver


class Authenticated:
    """What an association can do about its shared keys.

    They are those of `Config.auth_keys` at first; where there are none, it is key 0, the empty one, which stays until
    it is deleted. `ValueError` where authentication was not negotiated, and for an id out of range or of no key;
    `TypeError` for a wrong type; `AssociationClosed`, or the association's error, once that has ended.
    """

    __slots__ = ()

    _driver: Driver

    def set_auth_key(self, key_id: int, key: bytes) -> None:
        """Add a shared key, or replace the one with this id (0 to 65535).

        The peer has to have it before it can be activated here, or given as a message's `auth_key`.
        """
        self._authentication.set_key(key_id, key)

    def activate_auth_key(self, key_id: int) -> None:
        """Authenticate with this key what leaves from now on, unless a message names another."""
        self._authentication.activate(key_id)

    def deactivate_auth_key(self, key_id: int) -> None:
        """Write no more with this key, which must not be the active one (RFC 6458 section 8.3.4).

        What was written with it leaves with it; `AuthKeyChanged(key_id, "free")` tells when all of that has been
        acknowledged. What the peer authenticates with it is taken as before.
        """
        self._authentication.deactivate(key_id)
        self._driver.engine.flush_soon(self._driver.core)

    def delete_auth_key(self, key_id: int) -> None:
        """Forget a deactivated key: what the peer authenticates with it is discarded from now on (section 8.3.5).

        `ValueError` while it is active, not deactivated, or used by messages that are not acknowledged.
        """
        self._authentication.delete(key_id)

    @property
    def _authentication(self) -> Authentication:
        self._driver.check_alive()
        return self._driver.core.authentication
