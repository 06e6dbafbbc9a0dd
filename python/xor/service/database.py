"""Where the service's log is: a SQLite file in its directory, or a PostgreSQL database named by URL."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from xor.errors import PeerError, ResourceError
from xor.model.address import DatabaseUrl

DRIVER = "postgresql+pg8000"
CONNECT_S = 10
AWAY = ("08", "57P", "53300", "25006")
"""SQLSTATEs of a server that stops, has no connection left, or only reads: it may be another one soon."""


def connect(where: Path | str) -> sa.Engine:
    """An engine over a SQLite file or a database URL; connections are made when they are needed.

    Raises:
        UsageError: the URL is malformed, or names a server elsewhere without TLS.
    """
    if isinstance(where, Path):
        engine = sa.create_engine(sa.URL.create("sqlite", database=str(where)))
        sa.event.listen(engine, "connect", _configure_sqlite)
        return engine
    url, arguments = _postgres(where)
    return sa.create_engine(url, connect_args=arguments, pool_pre_ping=True, isolation_level="READ COMMITTED")


@contextmanager
def written(job_id: str | None = None) -> Iterator[None]:
    """Around a write. Raises `ResourceError` or `PeerError` for whatever the database says.

    If the connection breaks in a commit, nobody knows whether it took place: read again before you go on.
    """
    try:
        yield
    except sa.exc.DBAPIError as error:
        if _is_away(error):
            raise _away() from None
        if isinstance(error, sa.exc.IntegrityError) or _state(error).startswith("23"):
            raise  # a bug of ours, not of the disk
        raise ResourceError(
            "the service cannot write its log",
            code="resource.log-unwritable",
            hint="free some disk space at the service, then try again.",
            job_id=job_id,
        ) from None


@contextmanager
def read_from(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection to read with.

    Raises:
        PeerError: the database is away.
    """
    try:
        with engine.connect() as connection:
            yield connection
    except sa.exc.DBAPIError as error:
        if _is_away(error):
            raise _away() from None
        raise


def _is_away(error: sa.exc.DBAPIError) -> bool:
    is_broken = error.connection_invalidated or isinstance(error, sa.exc.InterfaceError)
    return is_broken or _state(error).startswith(AWAY)


def _state(error: sa.exc.DBAPIError) -> str:
    """The SQLSTATE that a PostgreSQL server gave; empty for SQLite."""
    first = error.orig.args[0] if error.orig is not None and error.orig.args else None
    return str(first.get("C", "")) if isinstance(first, dict) else ""


def _away() -> PeerError:
    return PeerError(
        "the service's database does not answer",
        code="peer.database-away",
        hint="its operator looks after it; what was asked may be asked again.",
    )


def _postgres(text: str) -> tuple[sa.URL, dict[str, Any]]:
    """The URL and connection arguments of a PostgreSQL database."""
    where = DatabaseUrl.parse(text)
    arguments: dict[str, Any] = {"timeout": CONNECT_S, "tcp_keepalive": True}
    if where.socket:
        arguments["unix_sock"] = f"{where.socket}/.s.PGSQL.{where.port}"
    else:
        arguments["ssl_context"] = ssl.create_default_context(cafile=where.ca) if where.is_tls else None
    url = sa.URL.create(DRIVER, where.user, where.password, where.host, where.port, where.database)
    return url, arguments


def _configure_sqlite(connection: Any, _record: Any) -> None:
    """Every entry is on disk before anybody hears of it; readers never wait for the writer."""
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
