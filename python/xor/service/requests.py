"""Reading requests: credentials, bounded bodies, signed envelopes."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import ClientDisconnect

from xor.errors import AuthError, UsageError
from xor.service.shell import INLINE_BYTES, Service
from xor.signing import Envelope, count_parts
from xor.wire.http import JSON_TYPE
from xor.wire.messages import Credential

BODY_S = 30
"""How long the body of a signed message may take to arrive."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a body may hold, checked before it is parsed: bytes, and brackets and commas of its payload."""

    body_bytes: int
    parts: int


PLAN = Limits(8 * 2**20, 4 * 2**20)
"""4 MiB in base64, with its signatures. Only whoever shows a token comes as far as this."""

ANNOUNCEMENT = Limits(2 * 2**20, 32_000)
"""A thousand datasets. This and what follows comes from anybody: signatures can only be checked later."""

ENTRY = Limits(512 * 1024, 16_000)
"""What a machine says about a job."""

SHORT = Limits(8 * 1024, 100)
"""A poll, a progress message."""


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
            hint="send `Authorization: Bearer xor_…`; POST /v1/tokens answers a signed login with one.",
        )
    return service_of(request).credential(text.strip())


async def envelope_of(request: Request, limits: Limits) -> Envelope:
    """The signed envelope in the body.

    Raises:
        UsageError: the body is too large, comes too slowly, or is no canonical envelope.
    """
    body = await _body(request, limits.body_bytes)
    if len(body) > INLINE_BYTES:
        return await asyncio.to_thread(read_envelope, body, limits)
    return read_envelope(body, limits)


def read_envelope(body: bytes, limits: Limits) -> Envelope:
    """The envelope in these bytes, if its payload is within the limits.

    Raises:
        UsageError: it is not, or there is none.
    """
    return bounded(Envelope.from_bytes(body), limits)


def bounded(envelope: Envelope, limits: Limits) -> Envelope:
    """The envelope, if its payload has few enough parts to be parsed for a stranger.

    Raises:
        UsageError: it has more.
    """
    if count_parts(envelope.payload) > limits.parts:
        raise UsageError("the document has too many parts", code="usage.body-too-large")
    return envelope


async def _body(request: Request, limit: int) -> bytes:
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > limit:
        raise _too_large(limit)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for piece in request.stream():
                body += piece
                if len(body) > limit:
                    raise _too_large(limit)
    except ClientDisconnect:
        raise UsageError("the request broke off", code="usage.broken-off") from None
    except TimeoutError:
        raise UsageError("the request has stalled", code="usage.stalled", hint="send it again.") from None
    return bytes(body)


def _too_large(limit: int) -> UsageError:
    return UsageError("the body is too large", code="usage.body-too-large", hint=f"at most {limit} bytes.")


async def plan_envelope(request: Request, _caller: Annotated[Credential, Depends(credential_of)]) -> Envelope:
    return await envelope_of(request, PLAN)


async def announcement_envelope(request: Request) -> Envelope:
    return await envelope_of(request, ANNOUNCEMENT)


async def entry_envelope(request: Request) -> Envelope:
    return await envelope_of(request, ENTRY)


async def short_envelope(request: Request) -> Envelope:
    return await envelope_of(request, SHORT)


Served = Annotated[Service, Depends(service_of)]
Caller = Annotated[Credential, Depends(credential_of)]
PlanEnvelope = Annotated[Envelope, Depends(plan_envelope)]
AnnouncementEnvelope = Annotated[Envelope, Depends(announcement_envelope)]
EntryEnvelope = Annotated[Envelope, Depends(entry_envelope)]
ShortEnvelope = Annotated[Envelope, Depends(short_envelope)]
