"""HTTP between clients, machines and the service: paths, headers, and errors as RFC 9457 problems.

The service turns an XorError into a problem document, whoever called turns it back into the same error.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from xor.errors import ERRORS, InternalError, PeerError, UsageError, XorError
from xor.signing import Envelope

JSON_TYPE = "application/json"
PROBLEM_TYPE = "application/problem+json"
STREAM_TYPE = "application/octet-stream"
MANIFEST_HEADER = "X-Xor-Manifest"
"""Carries the signed manifest of an uploaded stream: `manifest_header(envelope)`."""

HEALTH = "/v1/health"
READY = "/v1/ready"
TOKENS = "/v1/tokens"
JOBS = "/v1/jobs"
INBOX = "/v1/machines/inbox"
ANNOUNCE = "/v1/machines/announce"

IDLE_S = 60
"""How long those who ask keep an idle connection. The service keeps it longer, so that it never closes one on
which a question is on its way."""
MAX_WAIT_S = 60
"""The longest that a long poll may ask to wait."""

TOO_MANY = "resource.too-many-requests"
"""The code of a request that was not looked at: the same one may be sent again in a second."""

MAX_TEXT = 4000
SERVICE_SAYS = "the service says: "
_PROBLEM_PREFIX = "urn:xor:problem:"


def network_path(network: str) -> str:
    """GET: agreement and catalogue of a network."""
    return f"/v1/networks/{network}"


def network_jobs_path(network: str) -> str:
    """POST: a signed plan."""
    return f"/v1/networks/{network}/jobs"


def job_path(job: str) -> str:
    """GET: a job and its log (`after`, `wait_s`)."""
    return f"/v1/jobs/{job}"


def entries_path(job: str) -> str:
    """POST: a signed approval, refusal, offer, failure or cancel."""
    return f"/v1/jobs/{job}/entries"


def progress_path(job: str) -> str:
    """POST: a signed progress message."""
    return f"/v1/jobs/{job}/progress"


def blob_path(job: str, node: int, side: int) -> str:
    """PUT by the machine, GET by a recipient: one sealed stream."""
    return f"/v1/jobs/{job}/blobs/{node}/{side}"


def manifest_header(envelope: Envelope) -> str:
    """A signed manifest as the value of `MANIFEST_HEADER`."""
    return base64.urlsafe_b64encode(envelope.to_bytes()).decode().rstrip("=")


def read_manifest_header(value: str) -> Envelope:
    """The envelope in a value of `MANIFEST_HEADER`.

    Raises:
        UsageError: the value is malformed.
    """
    try:
        return Envelope.from_bytes(base64.b64decode(value + "=" * (-len(value) % 4), b"-_", validate=True))
    except (ValueError, binascii.Error):
        raise UsageError(
            f"the header {MANIFEST_HEADER} holds no signed manifest", code="usage.bad-envelope"
        ) from None


def problem_of(error: XorError, status: int, title: str) -> dict[str, Any]:
    """An error as a problem document. `code` and `kind` identify it; the texts are for people.

    Source: RFC 9457 section 3.1 (members), 3.2 (extension members).
    """
    problem: dict[str, Any] = {
        "type": _PROBLEM_PREFIX + error.code,
        "title": title,
        "status": status,
        "detail": error.message,
        "kind": type(error).__name__,
        "code": error.code,
    }
    optional = {"hint": error.hint, "job": error.job_id, "player": error.player}
    problem.update({name: value for name, value in optional.items() if value is not None})
    return problem


def encode_problem(error: XorError, status: int, title: str) -> bytes:
    """The bytes of a problem document."""
    return json.dumps(problem_of(error, status, title), ensure_ascii=False).encode(errors="replace")


def error_of(status: int, body: bytes) -> XorError:
    """The error in an answer whose status says failure; a PeerError if the answer holds no problem.

    Security: the texts come from a service that may be hostile. Control characters are dropped (they
    could rewrite a terminal) and lengths are bounded. Nobody signed them: the message says whose words they
    are, and neither a player nor a grant is taken from them. What an owner refuses arrives signed.
    """
    problem = _parse(body)
    kind, code = problem.get("kind"), _text(problem.get("code"), 80)
    if not isinstance(kind, str) or code is None:
        return _no_problem(status)
    message = _text(problem.get("detail")) or f"status {status}"
    hint, job = (_text(problem.get(name)) for name in ("hint", "job"))
    return ERRORS.get(kind, InternalError)(SERVICE_SAYS + message, code=code, hint=hint, job_id=job)


def _parse(body: bytes) -> Mapping[str, Any]:
    try:
        problem = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return problem if isinstance(problem, dict) else {}


def _no_problem(status: int) -> PeerError:
    return PeerError(
        f"the service answered with status {status} and without a reason",
        code="peer.bad-answer",
        hint="is it an xor service that listens there?",
    )


def _text(value: Any, limit: int = MAX_TEXT) -> str | None:
    if not isinstance(value, str):
        return None
    return "".join(each for each in value if each.isprintable() or each == "\n")[:limit]
