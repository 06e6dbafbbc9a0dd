"""Which HTTP status each error gets: the one table.

A row for each class of error; a row for those codes that HTTP has a better word for than their class.
"""

from xor.errors import (
    AuthError,
    DataError,
    InternalError,
    PeerError,
    PlanError,
    PolicyDenied,
    ProtocolAbort,
    ResourceError,
    SchemaError,
    UsageError,
    XorError,
)

CLASSES: dict[type[XorError], tuple[int, str]] = {
    UsageError: (400, "The request is wrong"),
    SchemaError: (422, "A column or a type does not fit"),
    PlanError: (422, "The plan cannot be run"),
    AuthError: (403, "Not allowed"),
    PolicyDenied: (403, "A policy does not allow it"),
    PeerError: (503, "Somebody is unreachable"),
    ProtocolAbort: (409, "A check of a protocol failed"),
    ResourceError: (429, "A stated bound would be exceeded"),
    DataError: (422, "A dataset is not as declared"),
    InternalError: (500, "A bug"),
}

CODES: dict[str, int] = {
    "auth.bad-signature": 401,
    "auth.bad-token": 401,
    "auth.expired-token": 401,
    "auth.no-token": 401,
    "auth.replayed": 401,
    "auth.stale": 401,
    "job.conflict": 409,
    "job.ended": 409,
    "job.not-released": 409,
    "job.result-deleted": 410,
    "job.too-early": 409,
    "job.unknown-stream": 404,
    "resource.disk-full": 507,
    "resource.disk-unwritable": 507,
    "resource.log-unwritable": 507,
    "resource.stream-too-long": 413,
    "usage.body-too-large": 413,
    "usage.bad-parameter": 422,
    "usage.method-not-allowed": 405,
    "usage.unknown-job": 404,
    "usage.unknown-network": 404,
    "usage.unknown-route": 404,
}


def status_of(error: XorError) -> tuple[int, str]:
    """The status and title of the problem document of an error."""
    status, title = CLASSES.get(type(error), CLASSES[InternalError])
    return CODES.get(error.code, status), title
