"""Reading requests: credentials, bounded bodies, signed envelopes."""

from typing import Annotated, Any

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import ClientDisconnect

from xor.errors import AuthError, UsageError
from xor.service.shell import Service
from xor.signing import Envelope
from xor.wire.http import JSON_TYPE
from xor.wire.messages import Credential

MAX_BODY_BYTES = 8 * 2**20
"""A plan or an announcement of 4 MiB in base64, with its signatures."""

MAX_SMALL_BYTES = 512 * 1024
"""Every other signed message."""


class SignatureModel(BaseModel):
    """One signature of an envelope; `keyid` decides nothing."""

    keyid: str
    sig: str = Field(description="base64 of an Ed25519 signature")


class EnvelopeModel(BaseModel):
    """A DSSE envelope in canonical JSON. Only documented here; `xor.signing` reads and checks it."""

    model_config = ConfigDict(title="Envelope")

    payloadType: str  # noqa: N815
    payload: str = Field(description="base64 of canonical JSON")
    signatures: list[SignatureModel]


def envelope_body(payload: str) -> dict[str, Any]:
    """How the OpenAPI document describes a signed body."""
    schema = {"$ref": "#/components/schemas/EnvelopeModel"}
    return {
        "requestBody": {
            "required": True,
            "description": f"signed envelope of {payload}",
            "content": {JSON_TYPE: {"schema": schema}},
        }
    }


def service_of(request: Request) -> Service:
    """The service behind the application."""
    service: Service = request.app.state.service
    return service


def credential_of(request: Request) -> Credential:
    """Who asks, by the bearer token.

    Raises:
        AuthError: there is no token, or it is wrong or expired.
    """
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not text.strip():
        raise AuthError(
            "the request carries no API token",
            code="auth.no-token",
            hint="send `Authorization: Bearer xor_…`; the profile or XOR_API_TOKEN holds it.",
        )
    return service_of(request).credential(text.strip())


async def envelope_of(request: Request, limit: int) -> Envelope:
    """The signed envelope in the body.

    Raises:
        UsageError: the body is longer than `limit`, or no canonical envelope.
    """
    return Envelope.from_bytes(await _body(request, limit))


async def _body(request: Request, limit: int) -> bytes:
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > limit:
        raise _too_large(limit)
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > limit:
                raise _too_large(limit)
    except ClientDisconnect:
        raise UsageError("the request broke off", code="usage.broken-off") from None
    return bytes(body)


def _too_large(limit: int) -> UsageError:
    return UsageError("the body is too large", code="usage.body-too-large", hint=f"at most {limit} bytes.")


async def small_envelope(request: Request) -> Envelope:
    return await envelope_of(request, MAX_SMALL_BYTES)


async def large_envelope(request: Request) -> Envelope:
    return await envelope_of(request, MAX_BODY_BYTES)


Served = Annotated[Service, Depends(service_of)]
Caller = Annotated[Credential, Depends(credential_of)]
SmallEnvelope = Annotated[Envelope, Depends(small_envelope)]
LargeEnvelope = Annotated[Envelope, Depends(large_envelope)]
