"""Requests to the service. Small on purpose: what answers mean is decided in `session.core`."""

import hashlib
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import httpx2
from pydantic import BaseModel, RootModel, ValidationError

from xor.errors import AuthError, PeerError
from xor.signing import Envelope
from xor.wire import http
from xor.wire.messages import JobView, NetworkView, TokenView

CONNECT_S = 5.0
ANSWER_S = 30.0
RENEW_S = 60.0
"""A token is renewed when it has only so long left."""
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

    def job(self, network: str, job: str, after: int, wait_s: int) -> JobView: ...

    def jobs(self, network: str) -> tuple[JobView, ...]: ...

    def post(self, job: str, envelope: Envelope) -> None: ...

    def download(
        self,
        network: str,
        job: str,
        key: tuple[int, int],
        path: Path,
        *,
        size: int,
        progress: Callable[[int], None],
    ) -> tuple[str, int]: ...

    def close(self) -> None: ...


class Login(Protocol):
    """Makes the signed request for a token of a network."""

    def __call__(self, network: str) -> Envelope: ...


class HttpTransport:
    """The transport over HTTP. The token travels in a header, never in an address.

    Args:
        token: the credential for all requests; None: `login` makes the requests for some.
        context: verifies the service; None: plain HTTP, on this computer only.
        inner: replaces the network in tests.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        token: str | None,
        login: Login,
        context: ssl.SSLContext | None,
        inner: httpx2.BaseTransport | None = None,
    ) -> None:
        self._where = f"{host}:{port}"
        self._token = token
        self._login = login
        self._tokens: dict[str, tuple[str, tuple[float, ...]]] = {}
        bracketed = f"[{host}]" if ":" in host else host
        self._http = httpx2.Client(
            base_url=f"{'https' if context else 'http'}://{bracketed}:{port}",
            timeout=httpx2.Timeout(ANSWER_S, connect=CONNECT_S),
            limits=httpx2.Limits(keepalive_expiry=http.IDLE_S),
            trust_env=False,  # no proxies, certificates or passwords from the environment
            verify=context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            follow_redirects=False,
            transport=inner,
        )

    def network(self, name: str) -> NetworkView:
        return _parsed(NetworkView, self._ask("GET", http.network_path(name), name))

    def submit(self, network: str, envelope: Envelope) -> JobView:
        body = self._ask("POST", http.network_jobs_path(network), network, content=envelope.to_bytes())
        return _parsed(JobView, body)

    def job(self, network: str, job: str, after: int, wait_s: int) -> JobView:
        body = self._ask(
            "GET",
            http.job_path(job),
            network,
            params={"after": after, "wait_s": wait_s},
            timeout=httpx2.Timeout(ANSWER_S + wait_s, connect=CONNECT_S),
        )
        return _parsed(JobView, body)

    def jobs(self, network: str) -> tuple[JobView, ...]:
        return _parsed(_Jobs, self._ask("GET", http.JOBS, network)).root

    def post(self, job: str, envelope: Envelope) -> None:
        self._ask("POST", http.entries_path(job), content=envelope.to_bytes())

    def download(
        self,
        network: str,
        job: str,
        key: tuple[int, int],
        path: Path,
        *,
        size: int,
        progress: Callable[[int], None],
    ) -> tuple[str, int]:
        """Stores a stream at `path`; gives its SHA-256 and its length. Stops at more than `size` bytes."""
        digest, count = hashlib.sha256(), 0
        with self._answer("GET", http.blob_path(job, *key), network) as answer, path.open("wb") as file:
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

    def _ask(self, method: str, path: str, network: str | None = None, **options: Any) -> bytes:
        with self._answer(method, path, network, **options) as answer:
            return _bounded(answer)

    def _bearer(self, network: str) -> str:
        """The token for a network; a new one shortly before the old one expires."""
        if self._token is not None:
            return self._token
        # One clock stands still while a computer sleeps, the other may be set: whichever is ahead counts.
        now = (time.monotonic(), time.time())
        text, until = self._tokens.get(network, ("", (0.0, 0.0)))
        if any(each > end - RENEW_S for each, end in zip(now, until, strict=True)):
            body = self._ask("POST", http.TOKENS, content=self._login(network).to_bytes())
            got = _parsed(TokenView, body)
            text = got.token
            self._tokens[network] = (text, tuple(each + got.lasts_s for each in now))
        return text

    @contextmanager
    def _answer(
        self, method: str, path: str, network: str | None = None, **options: Any
    ) -> Iterator[httpx2.Response]:
        """The answer, if its status says success.

        Args:
            network: whose token the request shows; None: it shows none.

        Raises:
            NoAnswer: nothing came back, or not all of it. XorError: what the service answered.
        """
        headers = {"Content-Type": http.JSON_TYPE} if "content" in options else {}
        if network is not None:
            headers["Authorization"] = f"Bearer {self._bearer(network)}"
        options["headers"] = headers
        try:
            with self._http.stream(method, path, **options) as answer:
                if answer.status_code in _BUSY:
                    raise self._nothing("is busy")
                if not answer.is_success:
                    error = http.error_of(answer.status_code, _bounded(answer))
                    raise self._nothing("is busy") if error.code == http.TOO_MANY else error
                yield answer
        except httpx2.ConnectError as error:
            if isinstance(_root(error), ssl.SSLCertVerificationError):
                raise _not_the_service(self._where) from None
            raise self._nothing("cannot be reached") from None
        except httpx2.TransportError:
            raise self._nothing("broke off") from None

    def _nothing(self, what: str) -> NoAnswer:
        return NoAnswer(
            f"the service at {self._where} {what}",
            code="peer.unreachable",
            hint="does it run? `xor local up network.toml` starts one on this machine.",
        )


def _root(error: BaseException) -> BaseException:
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error


def _not_the_service(where: str) -> AuthError:
    return AuthError(
        f"what answers at {where} has no certificate of the service",
        code="auth.not-the-service",
        hint="compare `service_key` (or `ca`) in the profile; is the host among the service's `names`?",
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
