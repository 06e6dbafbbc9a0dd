"""DSSE envelopes: a signature covers the type of a document and its exact bytes.

Source: Dead Simple Signing Envelope v1.0.2 (pre-authentication encoding). The key id is a hint that
decides nothing: a verifier tries the keys that *it* expects.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any

from xor.errors import AuthError, UsageError
from xor.signing.canonical import canonical, parse_canonical
from xor.signing.keys import SigningKey, verify

MAX_SIGNATURES = 64
MAX_PARTS = 1000
"""Brackets and commas in the JSON of an envelope: far more than 64 signatures need."""


@dataclass(frozen=True, slots=True)
class Signature:
    keyid: str
    signature: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """A typed payload and its signatures. Holding one says nothing: call `payload_signed_by`."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]

    def signed_by(self, key: SigningKey) -> Envelope:
        """This envelope with one signature more."""
        made = Signature(key.public[:16], key.sign(pre_authentication(self.payload_type, self.payload)))
        return Envelope(self.payload_type, self.payload, (*self.signatures, made))

    def payload_signed_by(self, payload_type: str, *keys: str) -> bytes:
        """The payload, if its type is the expected one and *every* one of `keys` (hex) signed it.

        Raises:
            AuthError: the type differs or a signature is missing or wrong.
        """
        if self.payload_type != payload_type:
            raise AuthError(f"a signed document is not of the type {payload_type}", code="auth.wrong-type")
        message = pre_authentication(self.payload_type, self.payload)
        for key in keys:
            if not any(verify(key, message, each.signature) for each in self.signatures):
                raise AuthError("a signature is missing or wrong", code="auth.bad-signature")
        if not keys:
            raise AuthError("nobody is named who should have signed", code="auth.bad-signature")
        return self.payload

    def to_json(self) -> dict[str, Any]:
        return {
            "payloadType": self.payload_type,
            "payload": base64.b64encode(self.payload).decode(),
            "signatures": [
                {"keyid": each.keyid, "sig": base64.b64encode(each.signature).decode()}
                for each in self.signatures
            ],
        }

    def to_bytes(self) -> bytes:
        return canonical(self.to_json())

    @classmethod
    def from_json(cls, value: Any) -> Envelope:
        """Reads the JSON form.

        Raises:
            UsageError: a field is missing, unknown or malformed.
        """
        try:
            if (
                set(value) != {"payloadType", "payload", "signatures"}
                or len(value["signatures"]) > MAX_SIGNATURES
            ):
                raise ValueError
            signatures = tuple(
                Signature(_text(each["keyid"]), base64.b64decode(_text(each["sig"]), validate=True))
                for each in value["signatures"]
            )
            payload = base64.b64decode(_text(value["payload"]), validate=True)
            return cls(_text(value["payloadType"]), payload, signatures)
        except (ValueError, KeyError, TypeError, binascii.Error):
            raise UsageError("a signed envelope is malformed", code="usage.bad-envelope") from None

    @classmethod
    def from_bytes(cls, data: bytes) -> Envelope:
        """Reads the canonical bytes. Anybody may have sent them, so they are counted before they are parsed.

        Raises:
            UsageError: they are no envelope.
        """
        if count_parts(data) > MAX_PARTS:
            raise UsageError("a signed envelope is malformed", code="usage.bad-envelope")
        return cls.from_json(parse_canonical(data))


def count_parts(text: bytes) -> int:
    """At least as many values as the JSON text holds but one: what reading it costs, found without reading.

    Brackets and commas inside of texts count too.
    """
    return text.count(b"[") + text.count(b"{") + text.count(b",")


def pre_authentication(payload_type: str, payload: bytes) -> bytes:
    """PAE of DSSE: lengths make the pair (type, payload) unambiguous."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value
