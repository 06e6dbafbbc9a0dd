"""Where the service's log is: a SQLite file in its directory, or a PostgreSQL database named by URL."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from xor.errors import PeerError, ResourceError, UsageError
from xor.wire.http import is_loopback

DRIVER = "postgresql+pg8000"
CONNECT_S = 10
QUERY_KEYS = {"host", "sslmode", "sslrootcert"}
"""What is understood of the parameters that libpq knows."""
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
    """The URL and connection arguments of a PostgreSQL database, from a URL as libpq takes it."""
    try:
        url = sa.make_url(text)
    except sa.exc.ArgumentError:
        raise _bad_url("it is malformed") from None
    if url.drivername not in ("postgresql", "postgres"):
        raise _bad_url("its scheme is not postgresql")
    if unknown := url.query.keys() - QUERY_KEYS:
        raise _bad_url(f"it has unknown parameters: {', '.join(sorted(unknown))}")
    query = {name: str(value) for name, value in url.query.items()}
    arguments: dict[str, Any] = {"timeout": CONNECT_S, "tcp_keepalive": True}
    host = query.get("host", url.host or "")
    if host.startswith("/"):
        arguments["unix_sock"] = f"{host}/.s.PGSQL.{url.port or 5432}"
    else:
        arguments["ssl_context"] = _ssl_context(host, query)
    plain = url.set(drivername=DRIVER, query={}, host=None if host.startswith("/") else host)
    return plain, arguments


def _ssl_context(host: str, query: dict[str, str]) -> ssl.SSLContext | None:
    """TLS with a verified name, but for a server on this computer that says otherwise."""
    mode = query.get("sslmode", "disable" if is_loopback(host) else "verify-full")
    if mode == "disable" and is_loopback(host):
        return None
    if mode != "verify-full":
        raise _bad_url(f"sslmode={mode} does not protect the log on its way")
    return ssl.create_default_context(cafile=query.get("sslrootcert"))


def _bad_url(why: str) -> UsageError:
    # Never the URL itself: it holds a password.
    return UsageError(
        f"the URL of the service's database is not in order: {why}",
        code="usage.bad-database",
        hint="service.toml takes postgresql://USER:PASSWORD@HOST:PORT/NAME?sslrootcert=FILE",
    )


def _configure_sqlite(connection: Any, _record: Any) -> None:
    """Every entry is on disk before anybody hears of it; readers never wait for the writer."""
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
