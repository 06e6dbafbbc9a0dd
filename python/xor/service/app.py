"""The HTTP API: routes only. What they mean is in `shell`, what they answer on error in `problems`."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from functools import partial
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Header, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xor import log
from xor.errors import InternalError, ResourceError, UsageError, XorError
from xor.model.agreement import HEX_32_BYTES
from xor.model.dataset import NAME
from xor.service.blobs import STALL_S
from xor.service.configuration import read_settings
from xor.service.jobs import Settings
from xor.service.limits import ADDRESS, MAX_OPEN_OF_ADDRESS, address_of
from xor.service.metrics import route_of
from xor.service.problems import status_of
from xor.service.requests import (
    ENTRY,
    AnnouncementEnvelope,
    Caller,
    EntryEnvelope,
    EnvelopeModel,
    PlanEnvelope,
    Served,
    ShortEnvelope,
    SignatureModel,
    bounded,
    envelope_body,
)
from xor.service.shell import Service
from xor.signing import encode
from xor.wire.http import (
    ANNOUNCE,
    HEALTH,
    INBOX,
    JOBS,
    JSON_TYPE,
    MANIFEST_HEADER,
    MAX_WAIT_S,
    PROBLEM_TYPE,
    READY,
    STREAM_TYPE,
    TOKENS,
    encode_problem,
    read_manifest_header,
)
from xor.wire.messages import JobView, NetworkView, TokenView

MAX_LISTED = 1000

NetworkName = Annotated[str, Path(pattern=NAME)]
JobId = Annotated[str, Path(pattern=HEX_32_BYTES)]
Node = Annotated[int, Path(ge=0, le=10_000)]
Side = Annotated[int, Path(ge=0, le=1)]


def stream_of(node: Node, side: Side) -> tuple[int, int]:
    return node, side


Stream = Annotated[tuple[int, int], Depends(stream_of)]
_NEW: dict[int | str, dict[str, Any]] = {
    201: {"model": JobView, "description": "New."},
    200: {"description": "Known already."},
}


class Health(BaseModel):
    """The service is up; the networks that it serves."""

    status: str
    networks: list[str]


class Ready(BaseModel):
    """Whether the service can do its work now; if not, what it lacks."""

    status: Literal["ready", "not ready"]
    lacks: list[str]


class Problem(BaseModel):
    """RFC 9457 problem document; see docs/errors.md for the codes."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    kind: str
    code: str
    hint: str | None = None


def create_app(directory: FilePath, settings: Settings | None = None) -> FastAPI:
    """The application over a service's directory; `setup.create` makes one.

    Raises:
        XorError: the directory is not in order, or another service runs in it.
    """
    service = Service(directory, settings or read_settings(directory))

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        clock = asyncio.create_task(service.keep_time())
        try:
            yield
        finally:
            clock.cancel()
            with suppress(asyncio.CancelledError):
                await clock
            service.close()

    app = FastAPI(
        title="xor service",
        version="1",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
        responses={"default": {"description": "A problem document."}},
    )
    app.state.service = service
    app.add_middleware(partial(_limited, service))
    app.add_middleware(service.metrics.measured)
    _add_routes(app)
    _add_problems(app)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _add_routes(app: FastAPI) -> None:
    app.add_api_route(HEALTH, health, methods=["GET"])
    app.add_api_route(READY, ready, methods=["GET"], response_model=Ready, responses={503: {"model": Ready}})
    app.add_api_route("/v1/networks/{network}", network_view, methods=["GET"], response_model=NetworkView)
    app.add_api_route(
        TOKENS, log_in, methods=["POST"], response_model=TokenView, openapi_extra=envelope_body("a login")
    )
    plan = envelope_body("a placed plan")
    app.add_api_route(
        "/v1/networks/{network}/jobs", submit, methods=["POST"], responses=_NEW, openapi_extra=plan
    )
    app.add_api_route(JOBS, list_jobs, methods=["GET"], response_model=list[JobView])
    app.add_api_route("/v1/jobs/{job}", job_view, methods=["GET"], response_model=JobView)
    said = envelope_body("an approval, refusal, offer, failure or cancel")
    app.add_api_route("/v1/jobs/{job}/entries", post, methods=["POST"], responses=_NEW, openapi_extra=said)
    app.add_api_route(
        "/v1/jobs/{job}/progress",
        progress,
        methods=["POST"],
        status_code=204,
        openapi_extra=envelope_body("a progress message"),
    )
    stream = "/v1/jobs/{job}/blobs/{node}/{side}"
    binary: dict[str, Any] = {"content": {STREAM_TYPE: {"schema": {"type": "string", "format": "binary"}}}}
    app.add_api_route(stream, upload, methods=["PUT"], responses=_NEW, openapi_extra={"requestBody": binary})
    app.add_api_route(stream, download, methods=["GET"], responses={200: binary}, response_class=FileResponse)
    app.add_api_route(
        ANNOUNCE,
        announce,
        methods=["POST"],
        status_code=204,
        openapi_extra=envelope_body("an announcement"),
    )
    app.add_api_route(
        INBOX, inbox, methods=["POST"], response_model=EnvelopeModel, openapi_extra=envelope_body("a poll")
    )


async def health(service: Served) -> Health:
    """Whether the service is up."""
    return Health(status="ok", networks=sorted(service.networks))


async def ready(service: Served) -> Response:
    """Whether the service can do its work now: for whoever sends it work or restarts it."""
    lacks = await service.unready()
    answer = Ready(status="not ready" if lacks else "ready", lacks=list(lacks))
    return Response(encode(answer), status_code=503 if lacks else 200, media_type=JSON_TYPE)


async def log_in(envelope: ShortEnvelope, service: Served) -> Response:
    """An API token for an analyst: the body says who asks, signed with that analyst's key."""
    return _json(await service.log_in(envelope))


async def network_view(network: NetworkName, caller: Caller, service: Served) -> Response:
    """Agreement and catalogue of a network."""
    return _json(await service.catalogue(network, caller))


async def submit(network: NetworkName, caller: Caller, envelope: PlanEnvelope, service: Served) -> Response:
    """Asks for a job: the body is the plan, signed by its analyst."""
    return _job(*await service.submit(network, caller, envelope))


async def list_jobs(
    caller: Caller, service: Served, limit: Annotated[int, Query(ge=1, le=MAX_LISTED)] = 100
) -> Response:
    """The jobs that the caller submitted or receives, newest first, without their logs."""
    views = await service.jobs(caller, limit)
    return Response(b"[" + b",".join(encode(view) for view in views) + b"]", media_type=JSON_TYPE)


async def job_view(
    job: JobId,
    caller: Caller,
    service: Served,
    after: Annotated[int, Query(ge=0, le=2**53)] = 0,
    wait_s: Annotated[int, Query(ge=0, le=MAX_WAIT_S)] = 0,
) -> Response:
    """A job with its log after a position; waits for news if there are none."""
    return _json(await service.view(job, caller, after, wait_s))


async def post(job: JobId, envelope: EntryEnvelope, service: Served) -> Response:
    """What a machine says about a job, or its analyst's cancel."""
    return _job(*await service.post(job, envelope))


async def progress(job: JobId, envelope: ShortEnvelope, service: Served) -> Response:
    """How far a machine is; kept in memory only."""
    await service.progress(job, envelope)
    return Response(status_code=204)


async def upload(
    job: JobId,
    stream: Stream,
    manifest: Annotated[str, Header(alias=MANIFEST_HEADER)],
    request: Request,
    service: Served,
) -> Response:
    """Stores a sealed stream and logs its manifest."""
    envelope = bounded(read_manifest_header(manifest), ENTRY)
    try:
        return _job(*await service.upload(job, stream, envelope, request.stream()))
    except ClientDisconnect:
        raise UsageError("the upload broke off", code="usage.broken-off") from None


async def download(job: JobId, stream: Stream, caller: Caller, service: Served) -> Response:
    """A sealed stream of a released job."""
    path = await service.stream(job, stream, caller)
    return _Stream(path, service.lasting(caller.network, caller.analyst))


async def announce(envelope: AnnouncementEnvelope, service: Served) -> Response:
    """A machine's heartbeat."""
    await service.announce(envelope)
    return Response(status_code=204)


async def inbox(envelope: ShortEnvelope, service: Served) -> Response:
    """The log entries that concern a machine; waits for some if there are none."""
    answer = await service.inbox(envelope)
    return Response(answer.to_bytes(), media_type=JSON_TYPE)


class _Stream(FileResponse):
    """A stream, for as long as whoever asked for it goes on taking it."""

    def __init__(self, path: FilePath, lasting: AbstractContextManager[None]) -> None:
        super().__init__(path, media_type=STREAM_TYPE)
        self._lasting = lasting

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_unstalled(message: Message) -> None:
            async with asyncio.timeout(STALL_S):
                await send(message)

        with self._lasting, suppress(TimeoutError):
            await super().__call__(scope, receive, send_unstalled)


def _json(document: BaseModel) -> Response:
    return Response(encode(document), media_type=JSON_TYPE)


def _job(view: JobView, is_new: bool) -> Response:
    return Response(encode(view), status_code=201 if is_new else 200, media_type=JSON_TYPE)


def _limited(service: Service, app: ASGIApp) -> ASGIApp:
    """The application, for callers whose address has not asked too much."""

    async def limited(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        address = ("address", address_of((scope.get("client") or ("", 0))[0]))
        try:
            service.limits.take(address, ADDRESS)
            with service.limits.open(address, MAX_OPEN_OF_ADDRESS):
                await app(scope, receive, send)
        except ResourceError as error:
            answer = await _on_error(Request(scope), error)
            await answer(scope, receive, send)

    return limited


def _add_problems(app: FastAPI) -> None:
    app.add_exception_handler(XorError, _on_error)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(Exception, _on_bug)


async def _on_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, XorError)
    status, title = status_of(error)
    headers = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "1"}}.get(status)
    body = encode_problem(error, status, title)
    return Response(body, status_code=status, media_type=PROBLEM_TYPE, headers=headers)


async def _on_http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "usage.unknown-route", 405: "usage.method-not-allowed"}.get(
        error.status_code, "usage.invalid"
    )
    known = UsageError(str(error.detail), code=code, hint="GET /openapi.json lists the routes.")
    body = encode_problem(known, error.status_code, str(error.detail))
    return Response(body, error.status_code, headers=error.headers, media_type=PROBLEM_TYPE)


async def _on_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    names = sorted({".".join(str(part) for part in each["loc"]) for each in error.errors()})
    what = f"a parameter is missing or has the wrong form: {', '.join(names)}"
    return await _on_error(request, UsageError(what, code="usage.bad-parameter"))


async def _on_bug(request: Request, error: Exception) -> Response:
    """Tells the caller an incident's number and nothing else; the rest is in the service's own log."""
    incident = secrets.token_hex(8)
    log.error(
        "incident",
        incident=incident,
        route=route_of(request.scope),
        error=type(error).__name__,
        where=log.places(error),
    )
    return await _on_error(
        request,
        InternalError(
            f"the service met a bug; incident {incident}",
            code=f"internal.{incident}",
            hint="tell its operator the incident's number.",
        ),
    )


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with the models of signed bodies that routes read by themselves."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, routes=app.routes)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        template = "#/components/schemas/{model}"
        for model in (EnvelopeModel, SignatureModel, Problem):
            schema = model.model_json_schema(ref_template=template)
            schema.pop("$defs", None)
            schemas.setdefault(model.__name__, schema)
        problem = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        for operations in document["paths"].values():
            for operation in operations.values():
                operation["responses"]["default"]["content"] = problem
                # FastAPI's own words about parameters; ours are a problem document like all others.
                operation["responses"].pop("422", None)
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        app.openapi_schema = document
    return app.openapi_schema
