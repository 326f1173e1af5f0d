"""Authentication as user and peer see it (RFC 4895, RFC 6458 sections 6.1.8, 8.1.18 and 8.3.3 to 8.3.5): shared keys
that come, change and go, and what follows from the peer's AUTH chunks, or from their absence.

Knows who may do what with which key, and what the user is told of it. HMACs and keys are computed by `keyring`.
"""

from __future__ import annotations

from itertools import islice
from typing import Final, final

from ..checks import check_int
from ..config import Config, check_auth_key
from ..events import AuthKeyChanged
from ..outbound.message import Terms
from ..wire import causes, tlv
from ..wire.auth import NEVER_AUTHENTICATED, read_auth
from ..wire.constants import AUTH, COMMON_HEADER_SIZE, COOKIE_ECHO, PAD
from ..wire.packet import MOST_CONTROL
from ..wire.tlv import HEADER_SIZE, Malformed
from .context import Context
from .keyring import GENUINE, UNSUPPORTED, Keyring, SharedKeys
from .setup.negotiation import Setup
from .state import CLOSED, MEANINGFUL

#: They say nothing of who has sent them: PAD nothing at all, the others no more than that somebody knows the tag.
_SAYS_NOTHING: Final = NEVER_AUTHENTICATED | {PAD}


def proves_source(context: Context, data: bytes) -> bool:
    """Tell whether a packet with the right tag is to be believed where it came from (RFC 6951 section 5.4).

    Where the peer must authenticate some chunks, the packet has to have AUTH that is right, or a chunk that means
    something here and need not be authenticated.
    """
    keyring = context.keyring
    if keyring is None or not keyring.demands:
        return True
    meaningful = MEANINGFUL[context.state]
    try:
        for first16, at, _, end in islice(tlv.walk(data, COMMON_HEADER_SIZE, len(data)), MOST_CONTROL):
            kind = first16 >> 8
            if kind == AUTH:
                return keyring.verify(data, at, end) == GENUINE
            if kind in meaningful and kind not in keyring.demands and kind not in _SAYS_NOTHING:
                return True
    except Malformed:
        pass
    return False


def is_unauthenticated(context: Context, kind: int, authenticated: bool) -> bool:
    """Tell whether a chunk is to be discarded, as the peer must authenticate its type and has not; count it then
    (section 6.3). `authenticated`: it stands behind an AUTH chunk that is right.
    """
    keyring = context.keyring
    if keyring is None or authenticated or kind not in keyring.demands:
        return False
    context.statistics.unauthenticated_chunks += 1
    return True


def is_genuine(context: Context, keyring: Keyring, data: bytes, at: int, end: int, path_id: int) -> bool:
    """Judge the AUTH chunk at `at`; return whether it is right. If not, all that stands behind it is discarded (section
    6.3), and a HMAC identifier that we did not list is reported.
    """
    key_id, hmac_id = read_auth(data, at + HEADER_SIZE, end)
    verdict = keyring.verify(data, at, end)
    if verdict == GENUINE:
        keyring.is_proven = True
        if key_id not in keyring.heard:
            keyring.heard.add(key_id)
            context.emit(AuthKeyChanged(key_id, "new"))
        return True
    context.statistics.auth_failures += 1
    if verdict == UNSUPPORTED and context.setup is not None:
        context.report(causes.pack_unsupported_hmac(hmac_id), path_id)
    return False


def admits(setup: Setup, config: Config, keyring: Keyring | None, data: bytes, at: int, end: int) -> bool:
    """Tell whether a COOKIE ECHO is to be looked at that has this setup in its cookie (section 6.3).

    The AUTH chunk in front of it, if there is one, stands from `at` to `end`; else both are 0. `keyring` is that of the
    association that the cookie is for; where there is none yet, what the cookie holds takes its place.
    """
    if keyring is None:
        keyring = keys_of(setup, config)
    if not end:
        return COOKIE_ECHO not in (config.demanded_chunks if keyring is None else keyring.demands)
    return keyring is not None and keyring.verify(data, at, end) == GENUINE


def keys_of(setup: Setup, config: Config) -> Keyring | None:
    """Return the keys of an association that there is only a cookie of; None if it does not authenticate."""
    return Keyring(setup.auth, SharedKeys(config.auth_keys, config.auth_active_key)) if setup.auth else None


@final
class Authentication:
    """What the user says of the shared keys of one association."""

    __slots__ = ("_context", "_leaving")

    def __init__(self, context: Context) -> None:
        self._context = context
        self._leaving: list[int] = []  # deactivated keys that are still used for sending

    def set_key(self, key_id: int, secret: bytes) -> None:
        """Add a shared key, or replace one; it is of use once the peer has it too. Raise as `check_auth_key` does."""
        check_auth_key(key_id, secret)
        self._keyring().set_key(key_id, secret)
        if key_id in self._leaving:
            self._leaving.remove(key_id)

    def activate(self, key_id: int) -> None:
        """Authenticate with this key from now on."""
        self._usable(key_id)
        self._keyring().shared.active = key_id

    def deactivate(self, key_id: int) -> None:
        """Take no more messages with this key; those that were written, and what the peer sends, still have it."""
        shared = self._known(key_id)
        if key_id == shared.active:
            raise ValueError(f"key {key_id} is the active one: activate another first")
        if key_id in shared.deactivated:
            return
        shared.deactivated.add(key_id)
        self._leaving.append(key_id)
        self.advance()

    def delete(self, key_id: int) -> None:
        """Forget a deactivated key: nothing that is authenticated with it is taken any more."""
        shared = self._known(key_id)
        if key_id not in shared.deactivated:
            raise ValueError(f"key {key_id} is in use: deactivate it first")
        if shared.is_used(key_id):
            raise ValueError(f"key {key_id} is in use until AuthKeyChanged({key_id}, 'free') tells otherwise")
        self._keyring().forget(key_id)

    def assign(self, terms: Terms, key_id: int) -> None:
        """Let a message with these terms be authenticated with this key."""
        terms.key = self._usable(key_id).use(key_id)

    def advance(self) -> None:
        """Tell of the deactivated keys that nothing is sent with any more."""
        shared = self._context.shared_keys
        if not self._leaving or shared is None or self._context.state is CLOSED:
            return
        for key_id in list(self._leaving):
            if not shared.is_used(key_id):
                self._leaving.remove(key_id)
                self._context.emit(AuthKeyChanged(key_id, "free"))

    def _keyring(self) -> Keyring:
        keyring = self._context.keyring
        if keyring is None:
            raise ValueError("authentication (RFC 4895) was not negotiated with the peer")
        return keyring

    def _known(self, key_id: int) -> SharedKeys:
        check_int("a key id", key_id)
        shared = self._keyring().shared
        if key_id not in shared.secrets:
            known = ", ".join(map(str, sorted(shared.secrets)))
            raise ValueError(f"there is no key {key_id}, only {known}")
        return shared

    def _usable(self, key_id: int) -> SharedKeys:
        shared = self._known(key_id)
        if key_id in shared.deactivated:
            raise ValueError(f"key {key_id} was deactivated; to use it again, set it again")
        return shared
