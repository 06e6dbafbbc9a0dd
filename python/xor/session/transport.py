"""Requests to the service. Small on purpose: what answers mean is decided in `session.core`."""

import hashlib
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import httpx2
from pydantic import BaseModel, RootModel, ValidationError

from xor.errors import PeerError
from xor.signing import Envelope
from xor.wire import http
from xor.wire.messages import JobView, NetworkView

CONNECT_S = 5.0
ANSWER_S = 30.0
MAX_ANSWER_BYTES = 64 * 2**20
_CHUNK_BYTES = 2**20
_BUSY = (502, 503, 504)

Model = TypeVar("Model", bound=BaseModel)


class NoAnswer(PeerError):
    """A request or its answer was lost: whether it took effect is not known. Asking again is harmless."""


class Transport(Protocol):
    """What a client asks of a service. Raises NoAnswer, or the error that the service answered with."""

    def network(self, name: str) -> NetworkView: ...

    def submit(self, network: str, envelope: Envelope) -> JobView: ...

    def job(self, job: str, after: int, wait_s: int) -> JobView: ...

    def jobs(self) -> tuple[JobView, ...]: ...

    def post(self, job: str, envelope: Envelope) -> None: ...

    def download(
        self, job: str, key: tuple[int, int], path: Path, size: int, progress: Callable[[int], None]
    ) -> tuple[str, int]: ...

    def close(self) -> None: ...


class HttpTransport:
    """The transport over HTTP. The token travels in a header, never in an address.

    Args:
        inner: replaces the network in tests.
    """

    def __init__(self, host: str, port: int, token: str, inner: httpx2.BaseTransport | None = None) -> None:
        self._where = f"{host}:{port}"
        bracketed = f"[{host}]" if ":" in host else host
        self._http = httpx2.Client(
            base_url=f"http://{bracketed}:{port}",
            headers={"Authorization": f"Bearer {token}"},
            timeout=httpx2.Timeout(ANSWER_S, connect=CONNECT_S),
            trust_env=False,  # a proxy has no business on loopback
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # no TLS yet: spares reading certificates
            follow_redirects=False,
            transport=inner,
        )

    def network(self, name: str) -> NetworkView:
        return _parsed(NetworkView, self._ask("GET", http.network_path(name)))

    def submit(self, network: str, envelope: Envelope) -> JobView:
        body = self._ask("POST", http.network_jobs_path(network), content=envelope.to_bytes())
        return _parsed(JobView, body)

    def job(self, job: str, after: int, wait_s: int) -> JobView:
        body = self._ask(
            "GET",
            http.job_path(job),
            params={"after": after, "wait_s": wait_s},
            timeout=httpx2.Timeout(ANSWER_S + wait_s, connect=CONNECT_S),
        )
        return _parsed(JobView, body)

    def jobs(self) -> tuple[JobView, ...]:
        return _parsed(_Jobs, self._ask("GET", http.JOBS)).root

    def post(self, job: str, envelope: Envelope) -> None:
        self._ask("POST", http.entries_path(job), content=envelope.to_bytes())

    def download(
        self, job: str, key: tuple[int, int], path: Path, size: int, progress: Callable[[int], None]
    ) -> tuple[str, int]:
        """Stores a stream at `path`; gives its SHA-256 and its length. Stops at more than `size` bytes."""
        digest, count = hashlib.sha256(), 0
        with self._answer("GET", http.blob_path(job, *key)) as answer, path.open("wb") as file:
            for chunk in answer.iter_bytes(_CHUNK_BYTES):
                count += len(chunk)
                if count > size:
                    break
                digest.update(chunk)
                file.write(chunk)
                progress(count)
        return digest.hexdigest(), count

    def close(self) -> None:
        self._http.close()

    def _ask(self, method: str, path: str, **options: Any) -> bytes:
        with self._answer(method, path, **options) as answer:
            return _bounded(answer)

    @contextmanager
    def _answer(self, method: str, path: str, **options: Any) -> Iterator[httpx2.Response]:
        """The answer, if its status says success.

        Raises:
            NoAnswer: nothing came back, or not all of it. XorError: what the service answered.
        """
        if "content" in options:
            options["headers"] = {"Content-Type": http.JSON_TYPE}
        try:
            with self._http.stream(method, path, **options) as answer:
                if answer.status_code in _BUSY:
                    raise self._nothing("is busy")
                if not answer.is_success:
                    raise http.error_of(answer.status_code, _bounded(answer))
                yield answer
        except httpx2.ConnectError:
            raise self._nothing("cannot be reached") from None
        except httpx2.TransportError:
            raise self._nothing("broke off") from None

    def _nothing(self, what: str) -> NoAnswer:
        return NoAnswer(
            f"the service at {self._where} {what}",
            code="peer.unreachable",
            hint="does it run? `xor local up network.toml` starts one on this machine.",
        )


class _Jobs(RootModel[tuple[JobView, ...]]):
    """The answer of `http.JOBS`."""


def _bounded(answer: httpx2.Response) -> bytes:
    body = bytearray()
    for chunk in answer.iter_bytes(_CHUNK_BYTES):
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise PeerError("the service answers at too great a length", code="peer.bad-answer")
    return bytes(body)


def _parsed(cls: type[Model], body: bytes) -> Model:
    try:
        return cls.model_validate_json(body)
    except ValidationError:
        raise PeerError(
            "the service answers in a form that this version does not know",
            code="peer.bad-answer",
            hint="is it an xor service of the same version?",
        ) from None
