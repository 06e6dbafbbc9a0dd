"""`xor doctor`: looks at a service or a machine, running or not, and says what is wrong and what to do.

It writes to no database. The one poll that it sends takes nothing away, but a machine that is not running
counts as online for a moment after it.
"""

import asyncio
import fcntl
import os
import platform
import resource
import secrets
import shutil
import socket
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from xor.engine.postgres import PostgresSource, Snapshot, check_columns
from xor.errors import PeerError, UsageError, XorError
from xor.machine.capacity import MIB, capacity_of
from xor.machine.directory import Directory, Holding, SourceFile, parse_address
from xor.machine.link import Link
from xor.model.agreement import Agreement
from xor.policy.parse import in_force
from xor.service import certificate, setup
from xor.service.configuration import read_settings
from xor.service.database import connect
from xor.service.listener import MAX_CONNECTIONS
from xor.service.migrations import HEAD, current
from xor.service.shell import MIN_FREE_BYTES
from xor.signing import SigningKey
from xor.wire import tls

SOON_S = 30 * 86_400
SKEW_S = 5
"""More, and it is time to look at the clocks: messages count for a minute."""
CONNECT_S = 5.0
DATABASE_S = 10
FEW_FILES = 256


class Grade(StrEnum):
    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Finding(NamedTuple):
    """What was looked at, how it is, and what to do about it."""

    about: str
    grade: Grade
    text: str
    hint: str | None = None


def examine(directory: Path, peers: Iterable[str] = ()) -> Iterator[Finding]:
    """Findings about the service or machine in a directory, as they come.

    Args:
        peers: addresses `HOST:PORT` of other machines that this one must reach.

    Raises:
        UsageError: there is neither in the directory.
    """
    yield Finding("version", Grade.OK, f"xor {version('xor-platform')}, Python {platform.python_version()}")
    if (directory / "machine.toml").exists():
        yield from _examine(lambda: _machine(directory, peers))
    elif (directory / setup.KEY).exists():
        yield from _examine(lambda: _service(directory))
    else:
        raise UsageError(
            f"{directory} is the directory of neither a service nor a machine", code="usage.no-directory"
        )


def _examine(findings: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What stops the examination is its last finding."""
    try:
        yield from findings()
    except XorError as error:
        yield Finding("directory", Grade.PROBLEM, str(error.message), error.hint)


# -- a machine -----------------------------------------------------------------------------------------


def _machine(path: Path, peers: Iterable[str]) -> Iterator[Finding]:
    directory = Directory(path)
    settings = directory.settings
    is_running = _is_locked(path / "machine.lock")
    yield _state(f"machine of {settings.player} in network '{settings.network}'", is_running)
    yield _agreement(directory.trust.agreement)
    yield from _journal(directory)
    for holding in directory.holdings.values():
        yield _dataset(directory, holding)
    yield _room(directory)
    yield _files(FEW_FILES)
    if settings.listen:
        yield _listening(settings.listen, settings.advertise, is_running)
    yield from asyncio.run(_line(directory))
    for peer in peers:
        yield _reach(peer)


def _journal(directory: Directory) -> Iterator[Finding]:
    if not directory.state.exists():
        yield Finding("journal", Grade.OK, "none yet: this machine has not run")
    elif (damage := _damage(directory.state)) is not None:
        yield Finding("journal", Grade.PROBLEM, damage, "restore a backup: `xor machine restore`.")
    else:
        yield Finding("journal", Grade.OK, "whole")


def _dataset(directory: Directory, holding: Holding) -> Finding:
    about = f"dataset {holding.entry.name}"
    try:
        policy = directory.policy(holding, holding.policy_bytes()).policy
        in_force(policy, holding.entry)
    except XorError as error:
        return Finding(about, Grade.PROBLEM, error.message, error.hint)
    if (problem := _unreadable(holding)) is not None:
        return problem
    seen = _highest_version(directory.state, holding.entry.name)
    if policy.policy_version < seen:
        hint = "its owner hands over the newest one, or signs a newer one."
        return Finding(about, Grade.PROBLEM, f"its policy is older than version {seen}, known here", hint)
    return Finding(about, Grade.OK, f"policy version {policy.policy_version}, rows can be read")


def _unreadable(holding: Holding) -> Finding | None:
    about, source = f"dataset {holding.entry.name}", holding.source
    if isinstance(source, SourceFile):
        if os.access(source.path, os.R_OK):
            return None
        return Finding(about, Grade.PROBLEM, "its rows cannot be read", "see its source.toml.")
    try:
        snapshot = Snapshot(source.database, DATABASE_S)
        try:
            check_columns(PostgresSource(holding.entry, snapshot, source.schema_name, source.table))
        finally:
            snapshot.close()
    except XorError as error:
        return Finding(about, Grade.PROBLEM, error.message, error.hint)
    return None


def _room(directory: Directory) -> Finding:
    capacity = capacity_of(directory.settings, directory.path)
    free = shutil.disk_usage(directory.path).free
    text = f"{free // MIB} MiB free; one job may take {capacity.disk_bytes // MIB} MiB"
    if free >= capacity.disk_bytes:
        return Finding("disk", Grade.OK, text)
    return Finding("disk", Grade.WARNING, text, "make room, or lower disk_mib in machine.toml.")


def _listening(listen: str, advertise: str | None, is_running: bool) -> Finding:
    host, port = parse_address(listen)
    if host in ("", "0.0.0.0", "::") and not advertise:
        hint = 'advertise = "HOST:PORT" in machine.toml, as others reach it.'
        return Finding("port", Grade.PROBLEM, f"{listen} is no address that others can call", hint)
    if is_running or port == 0 or _is_free(host, port):
        return Finding("port", Grade.OK, f"listens at {listen}" if is_running else f"{listen} is free")
    return Finding(
        "port", Grade.PROBLEM, f"{listen} cannot be had", "another program has it, or the host is elsewhere."
    )


async def _line(directory: Directory) -> list[Finding]:
    """How this machine and its service get along."""
    link = Link(directory)
    try:
        before = time.time()
        seen = await link.look()
        findings = [_clock(seen.clock - (before + time.time()) / 2)]
        lacks = ", ".join(seen.lacks)
        findings.append(
            Finding("service", Grade.WARNING, f"up, but not ready: {lacks}", "its operator looks after it.")
            if lacks
            else Finding("service", Grade.OK, f"{directory.settings.service} is ready")
        )
        # Nothing is lost by a poll: the machine itself asks from where it stands.
        await link.poll(0, 0, int(time.time()), secrets.token_hex(32))
        findings.append(Finding("identity", Grade.OK, "it is the agreed service, and knows this machine"))
    except PeerError as error:
        hint = error.hint or "see `service` in machine.toml, and the firewall."
        return [Finding("service", Grade.PROBLEM, error.message, hint)]
    except XorError as error:
        findings.append(Finding("identity", Grade.PROBLEM, error.message, error.hint))
    finally:
        await link.close()
    return findings


def _clock(skew_s: float) -> Finding:
    text = f"{abs(skew_s):.0f} s from the service's"
    if abs(skew_s) <= SKEW_S:
        return Finding("clock", Grade.OK, text)
    return Finding("clock", Grade.PROBLEM, text, "run a time service (NTP) on both computers.")


def _reach(peer: str) -> Finding:
    about = f"peer {peer}"
    host, port = parse_address(peer)
    began = time.monotonic()
    try:
        socket.create_connection((host, port), timeout=CONNECT_S).close()
    except OSError as error:
        why = "does not answer" if isinstance(error, TimeoutError) else (error.strerror or "cannot be found")
        return Finding(
            about, Grade.PROBLEM, why, "is that machine up, and does every firewall let it through?"
        )
    return Finding(about, Grade.OK, f"reached in {(time.monotonic() - began) * 1000:.0f} ms")


# -- a service -----------------------------------------------------------------------------------------


def _service(path: Path) -> Iterator[Finding]:
    key = SigningKey.load(path / setup.KEY)
    networks = setup.load_networks(path, key)
    settings = read_settings(path)
    yield _state(f"service of {', '.join(sorted(networks))}", _is_locked(path / setup.LOCK))
    for network in networks.values():
        yield _agreement(network.trust.agreement)
    yield _certificate(path, settings.certificate)
    yield _database(settings.database or path / setup.DATABASE)
    free = shutil.disk_usage(path).free
    yield Finding(
        "disk",
        Grade.OK if free > MIN_FREE_BYTES else Grade.PROBLEM,
        f"{free // MIB} MiB free",
        None if free > MIN_FREE_BYTES else "make room: uploads and entries need it.",
    )
    yield _files(MAX_CONNECTIONS + FEW_FILES // 2)


def _certificate(path: Path, brought: str | None) -> Finding:
    """Of TLS: one that the operator has brought, or the service's own, which it renews itself."""
    where = Path(brought) if brought else path / certificate.FILE
    if brought is None and not where.exists():
        return Finding("certificate", Grade.OK, "none yet: this service has not run")
    try:
        expires_at = tls.expires_at(where.read_bytes())
    except (OSError, UsageError):
        return Finding("certificate", Grade.PROBLEM, f"{where} cannot be read", "it is a PEM file.")
    until = time.strftime("%Y-%m-%d", time.gmtime(expires_at))
    hint = "bring a new one." if brought else "start the service: it renews its own."
    left_s = expires_at - time.time()
    if left_s < 0:
        return Finding("certificate", Grade.PROBLEM, f"expired on {until}", hint)
    if left_s < certificate.RENEW_S / 2:
        return Finding("certificate", Grade.WARNING, f"valid until {until} only", hint)
    return Finding("certificate", Grade.OK, f"valid until {until}")


def _database(where: Path | str) -> Finding:
    if isinstance(where, Path) and not where.exists():
        return Finding("database", Grade.OK, "none yet: this service has not run")
    if isinstance(where, Path) and (damage := _damage(where)) is not None:
        return Finding("database", Grade.PROBLEM, damage, "restore a backup: `xor service restore`.")
    engine = connect(where)
    try:
        found = current(engine)
    except sa.exc.DBAPIError:
        return Finding("database", Grade.PROBLEM, "it does not answer", "see `database` in service.toml.")
    finally:
        engine.dispose()
    kind = "SQLite" if isinstance(where, Path) else "PostgreSQL"
    if found in (HEAD, None):
        return Finding("database", Grade.OK, f"{kind}, version {found or 'none yet'}")
    return Finding(
        "database", Grade.WARNING, f"{kind}, version {found}, not {HEAD}", "the next start migrates it."
    )


# -- both ----------------------------------------------------------------------------------------------


def _state(what: str, is_running: bool) -> Finding:
    return Finding("directory", Grade.OK, f"{what}, {'running' if is_running else 'not running'}")


def _agreement(agreement: Agreement) -> Finding:
    about = f"agreement of '{agreement.network}'"
    left_s = agreement.not_after - time.time()
    until = time.strftime("%Y-%m-%d", time.gmtime(agreement.not_after))
    if left_s < 0 or time.time() < agreement.not_before:
        return Finding(about, Grade.PROBLEM, f"not valid now (until {until})", "the owners sign a new one.")
    if left_s < SOON_S:
        return Finding(about, Grade.WARNING, f"valid until {until} only", "the owners sign a new one soon.")
    return Finding(about, Grade.OK, f"valid until {until}")


def _files(wanted: int) -> Finding:
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY or allowed >= wanted:
        return Finding("open files", Grade.OK, f"{allowed} allowed")
    return Finding(
        "open files", Grade.WARNING, f"{allowed} allowed", f"allow {wanted}: `ulimit -n`, LimitNOFILE=."
    )


def _is_locked(path: Path) -> bool:
    if not path.exists():
        return False
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _is_free(host: str, port: int) -> bool:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()
    except OSError:
        return False
    return True


def _damage(path: Path) -> str | None:
    """What is wrong with a SQLite file; None if nothing is."""
    try:
        with closing(_read_only(path)) as database:
            found = database.execute("PRAGMA quick_check").fetchone()
    except sqlite3.Error:
        return f"{path.name} cannot be read"
    return None if found == ("ok",) else f"{path.name} is damaged"


def _highest_version(state: Path, dataset: str) -> int:
    if not state.exists():
        return 0
    with closing(_read_only(state)) as database:
        row = database.execute("SELECT version FROM policies WHERE dataset = ?", (dataset,)).fetchone()
    return row[0] if row else 0


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
