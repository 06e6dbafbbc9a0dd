"""Addresses: what names this computer, and URLs of PostgreSQL databases."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from xor.errors import UsageError

QUERY_KEYS = {"host", "sslmode", "sslrootcert"}
"""What is understood of the parameters that libpq knows."""


def is_loopback(host: str) -> bool:
    """Whether `host` names this computer in a form that no resolver can turn into another."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """A PostgreSQL database, named by `postgresql://USER:PASSWORD@HOST:PORT/NAME?sslrootcert=FILE`.

    Or by `?host=/DIRECTORY` in place of a host.
    Its repr shows no password.

    Args:
        host: None if it is reached by `socket`, the directory of a Unix socket.
        ca: PEM file of the authorities that certify the server; None: those that this computer trusts.
        is_tls: with the server's name verified. False on this computer only.
    """

    user: str
    password: str = field(repr=False)
    host: str | None
    port: int
    database: str
    socket: str | None = None
    ca: str | None = None
    is_tls: bool = True

    @classmethod
    def parse(cls, text: str) -> DatabaseUrl:
        """Reads a URL.

        Raises:
            UsageError: it is malformed, or names a server elsewhere without TLS. The URL is not repeated.
        """
        try:
            parts = urlsplit(text)
            query = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
            port = parts.port or 5432
        except ValueError:
            raise _bad("it is malformed") from None
        if parts.scheme not in ("postgresql", "postgres") or not parts.username or len(parts.path) < 2:
            raise _bad("scheme, user or name of the database is missing")
        if unknown := query.keys() - QUERY_KEYS:
            raise _bad(f"it has unknown parameters: {', '.join(sorted(unknown))}")
        host = query.get("host") or parts.hostname or ""
        socket = host if host.startswith("/") else None
        if not host:
            raise _bad("it names no host")
        mode = query.get("sslmode", "disable" if socket or is_loopback(host) else "verify-full")
        if mode != "verify-full" and not (mode == "disable" and (socket or is_loopback(host))):
            raise _bad(f"sslmode={mode} does not protect what is on its way")
        return cls(
            user=unquote(parts.username),
            password=unquote(parts.password or ""),
            host=None if socket else host,
            port=port,
            database=unquote(parts.path[1:]),
            socket=socket,
            ca=query.get("sslrootcert"),
            is_tls=mode == "verify-full",
        )

    def for_libpq(self, **settings: str) -> str:
        """The URL as libpq takes it, with further parameters."""
        parameters = {
            "host": self.socket or self.host or "",
            "sslmode": "verify-full" if self.is_tls else "disable",
            **({"sslrootcert": self.ca or "system"} if self.is_tls else {}),
            **settings,
        }
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters.items())
        login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        return f"postgresql://{login}@:{self.port}/{quote(self.database, safe='')}?{query}"


def _bad(why: str) -> UsageError:
    return UsageError(
        f"the URL of a database is not in order: {why}",
        code="usage.bad-database",
        hint="postgresql://USER:PASSWORD@HOST:PORT/NAME?sslrootcert=FILE",
    )
