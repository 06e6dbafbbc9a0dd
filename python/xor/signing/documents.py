"""Typed documents to canonical bytes and signed envelopes, and back."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from xor.errors import UsageError
from xor.signing.canonical import canonical, parse_canonical
from xor.signing.dsse import Envelope
from xor.signing.keys import SigningKey

Model = TypeVar("Model", bound=BaseModel)


def encode(document: BaseModel) -> bytes:
    """The canonical bytes of a document."""
    return canonical(document.model_dump(mode="json"))


def decode(cls: type[Model], payload: bytes) -> Model:
    """The document in canonical bytes.

    Raises:
        UsageError: the bytes are not canonical, or no such document. The message names fields, not values.
    """
    parse_canonical(payload)
    try:
        return cls.model_validate_json(payload)
    except ValidationError as error:
        fields = sorted(
            {".".join(str(part) for part in each["loc"]) or "document" for each in error.errors()}
        )
        raise UsageError(
            f"a {cls.__name__} is malformed at: {', '.join(fields[:5])}", code="usage.bad-document"
        ) from None


def seal_envelope(document: BaseModel, *keys: SigningKey) -> Envelope:
    """The document in an envelope signed by each of `keys`."""
    envelope = Envelope(_type_of(type(document)), encode(document), ())
    for key in keys:
        envelope = envelope.signed_by(key)
    return envelope


def open_envelope(cls: type[Model], envelope: Envelope, *keys: str) -> Model:
    """The document, if all of `keys` (hex) signed it.

    Raises:
        AuthError: a signature is missing or wrong. UsageError: the document is malformed.
    """
    return decode(cls, envelope.payload_signed_by(_type_of(cls), *keys))


def _type_of(cls: type[BaseModel]) -> str:
    payload_type: str = cls.payload_type  # type: ignore[attr-defined]
    return payload_type
