"""API tokens: a service-signed credential as one line of text. A token requests; signatures authorise."""

from __future__ import annotations

import base64
import binascii

from xor.errors import AuthError, UsageError
from xor.signing import Envelope, SigningKey, open_envelope, seal_envelope
from xor.wire.messages import Credential

PREFIX = "xor_"
MAX_LENGTH = 4096
LASTS_S = 15 * 60
"""How long a token is good: who steals one from a log or a process list comes too late."""
SKEW_S = 60


def issue(credential: Credential, service_key: SigningKey) -> str:
    """The token of a credential."""
    envelope = seal_envelope(credential, service_key)
    return PREFIX + base64.urlsafe_b64encode(envelope.to_bytes()).decode().rstrip("=")


def read(token: str, service_key: str, now: int) -> Credential:
    """The credential in a token.

    Raises:
        AuthError: the token is malformed, not signed by this service, not valid yet, or expired.
    """
    text = token.removeprefix(PREFIX)
    try:
        if text == token or len(token) > MAX_LENGTH:
            raise ValueError
        envelope = Envelope.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        credential = open_envelope(Credential, envelope, service_key)
    except (ValueError, binascii.Error, UsageError, AuthError):
        raise AuthError(
            "the API token is not one of this service",
            code="auth.bad-token",
            hint='log in: with `api_token="*"` a session does by itself.',
        ) from None
    if credential.audience != service_key:
        raise AuthError("the API token is for another service", code="auth.other-service")
    lasts_s = credential.not_after - credential.not_before
    if not credential.not_before <= now < credential.not_after or lasts_s > LASTS_S + SKEW_S:
        raise AuthError("the API token has expired", code="auth.expired-token", hint="log in again.")
    return credential


def new(network: str, analyst: str, service_key: SigningKey, now: int) -> str:
    """A token for an analyst who has just proved itself, good from now on for `LASTS_S`."""
    credential = Credential(
        audience=service_key.public,
        network=network,
        analyst=analyst,
        not_before=now - SKEW_S,
        not_after=now + LASTS_S,
    )
    return issue(credential, service_key)
