"""API tokens: a service-signed credential as one line of text. A token requests; signatures authorise."""

from __future__ import annotations

import base64
import binascii

from xor.errors import AuthError, UsageError
from xor.signing import Envelope, SigningKey, open_envelope, seal_envelope
from xor.wire.messages import Credential

PREFIX = "xor_"
MAX_LENGTH = 4096


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
            hint="ask its operator for one.",
        ) from None
    if not credential.not_before <= now < credential.not_after:
        raise AuthError(
            "the API token has expired", code="auth.expired-token", hint="ask the operator for a new one."
        )
    return credential
