"""The service's database: the log of all jobs, and tables that are projections of it.

The log is the truth. `jobs` and `readers` and `seats` exist to be queried and are written in the same
transaction as the entry that changed them; `Store.load` folds the log.
"""

import json
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from xor.errors import PeerError, XorError
from xor.service import core
from xor.service.core import Append, Arrived, Job, Submitted, Timeouts
from xor.service.database import connect, read_from, written
from xor.service.migrations import upgrade
from xor.signing import Envelope
from xor.wire.messages import Entry, JobState, Kind
from xor.wire.trust import Trust

metadata = sa.MetaData()

Number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
"""Positions and seconds since 1970 UTC; SQLite's integers have 64 bits under either name."""

entries = sa.Table(
    "entries",
    metadata,
    sa.Column("position", Number, primary_key=True),
    sa.Column("job", sa.String(64), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("slot", sa.String(200), nullable=False),
    sa.Column("envelope", sa.Text, nullable=False),
    sa.Column("at", Number, nullable=False),
    sa.UniqueConstraint("job", "slot", name="one_entry_for_each_slot"),
    sqlite_autoincrement=True,
)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("job", sa.String(64), primary_key=True),
    sa.Column("network", sa.String(64), nullable=False),
    sa.Column("analyst", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("waiting_for", sa.Text, nullable=False),
    sa.Column("submitted_at", Number, nullable=False),
    sa.Column("ended_at", Number),
)

seats = sa.Table(
    "seats",
    metadata,
    sa.Column("job", sa.String(64), sa.ForeignKey("jobs.job", ondelete="CASCADE"), primary_key=True),
    sa.Column("network", sa.String(64), nullable=False),
    sa.Column("player", sa.String(64), primary_key=True),
    sa.Index("seats_of_player", "network", "player"),
)

readers = sa.Table(
    "readers",
    metadata,
    sa.Column("job", sa.String(64), sa.ForeignKey("jobs.job", ondelete="CASCADE"), primary_key=True),
    sa.Column("network", sa.String(64), nullable=False),
    sa.Column("analyst", sa.String(64), primary_key=True),
    sa.Index("jobs_of_reader", "network", "analyst"),
)

catalogue = sa.Table(
    "catalogue",
    metadata,
    sa.Column("network", sa.String(64), primary_key=True),
    sa.Column("player", sa.String(64), primary_key=True),
    sa.Column("dataset", sa.String(64), primary_key=True),
    sa.Column("entry", sa.Text, nullable=False),
    sa.Column("policy", sa.Text, nullable=False),
    sa.Column("online_until", Number, nullable=False),
)

writer = sa.Table(
    "writer",
    metadata,
    sa.Column("one", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("token", sa.String(64), nullable=False),
)
"""Who may write: the service that came last."""

MAX_PAGE_ENTRIES = 500
MAX_PAGE_CHARS = 8 * 2**20


RESTORED_GAP = 2**32
"""Positions left out after a restore: what machines have seen since the copy was made lies below."""


class Store:
    """One database. Safe to read from several threads; one writer at a time is the caller's duty.

    Whoever opens it last may write; an earlier service over the same database finds itself superseded at its
    next write. So no lock outlives a service, and two never append to one log.

    Args:
        where: a SQLite file, or the URL of a PostgreSQL database.
    """

    def __init__(self, where: Path | str) -> None:
        self._engine = connect(where)
        self.is_superseded = False
        self._token = secrets.token_hex(32)
        with written():
            upgrade(self._engine)
            with self._engine.begin() as connection:
                connection.execute(sa.delete(writer))
                connection.execute(sa.insert(writer).values(one=1, token=self._token))

    def close(self) -> None:
        self._engine.dispose()

    def append(self, job: Job, append: Append) -> int:
        """Makes one entry and the job's projection durable; returns the entry's position.

        Raises:
            ResourceError: the disk is full or the file cannot be written; nothing has changed.
            PeerError: the database is away, and whether the entry was written is not known; or another
                service has taken over.
        """
        with self._writing(job.id) as connection:
            position = _append(connection, job, append)
            _project(connection, job)
        return position

    def is_writable(self) -> bool:
        """Whether an append would succeed now, by trying to write without an effect."""
        try:
            with self._writing():
                return True
        except XorError:
            return False

    def skip_restored(self) -> None:
        """Leaves a gap of positions, after the database was put back from a copy: see `RESTORED_GAP`."""
        with self._writing() as connection:
            newest = connection.scalar(sa.select(sa.func.max(entries.c.position))) or 0
            _start_after(connection, newest + RESTORED_GAP)

    def load(self, job_id: str, trust: Mapping[str, Trust], timeouts: Timeouts) -> tuple[Job, int] | None:
        """The fold of a job's log and its last position; every signature is checked again."""
        query = sa.select(entries).where(entries.c.job == job_id).order_by(entries.c.position)
        with read_from(self._engine) as connection:
            rows = connection.execute(query).all()
            network = connection.scalar(sa.select(jobs.c.network).where(jobs.c.job == job_id))
        if network is None or network not in trust:
            return None
        job = core.fold((_event(trust[network], row) for row in rows), timeouts)
        return None if job is None else (job, int(rows[-1].position))

    def unfinished(self) -> tuple[str, ...]:
        """The ids of the jobs that have not ended, oldest first."""
        final = [state.value for state in JobState if state.is_final]
        query = sa.select(jobs.c.job).where(jobs.c.state.not_in(final)).order_by(jobs.c.submitted_at)
        with read_from(self._engine) as connection:
            return tuple(connection.scalars(query))

    def released(self, before: int) -> tuple[str, ...]:
        """The ids of the jobs that were released before that time."""
        query = sa.select(jobs.c.job).where(jobs.c.state == JobState.RELEASED.value, jobs.c.ended_at < before)
        with read_from(self._engine) as connection:
            return tuple(connection.scalars(query))

    def jobs_of(self, network: str, analyst: str, limit: int) -> tuple[str, ...]:
        """The ids of the jobs that an analyst may see, newest first."""
        query = (
            sa.select(jobs.c.job)
            .join(readers, readers.c.job == jobs.c.job)
            .where(readers.c.network == network, readers.c.analyst == analyst)
            .order_by(jobs.c.submitted_at.desc(), jobs.c.job)
            .limit(limit)
        )
        with read_from(self._engine) as connection:
            return tuple(connection.scalars(query))

    def projection(self, job_id: str) -> dict[str, Any] | None:
        """The row of a job in `jobs`."""
        with read_from(self._engine) as connection:
            row = connection.execute(sa.select(jobs).where(jobs.c.job == job_id)).one_or_none()
        return None if row is None else dict(row._mapping)

    def log(self, job_id: str, after: int = 0) -> tuple[Entry, ...]:
        """The entries of one job after a position, at most one page."""
        return self._page(sa.select(entries).where(entries.c.job == job_id), after)

    def inbox(self, network: str, player: str, after: int) -> tuple[Entry, ...]:
        """The entries after a position of all jobs in which a player takes part, at most one page."""
        query = (
            sa.select(entries)
            .join(seats, seats.c.job == entries.c.job)
            .where(seats.c.network == network, seats.c.player == player)
        )
        return self._page(query, after)

    def announce(self, network: str, player: str, items: Sequence[tuple[str, str, str]], until: int) -> None:
        """Replaces what a player offers by `items`: dataset, entry envelope, policy envelope."""
        mine = sa.and_(catalogue.c.network == network, catalogue.c.player == player)
        with self._writing() as connection:
            connection.execute(sa.delete(catalogue).where(mine))
            for dataset, entry, policy in items:
                values = (network, player, dataset, entry, policy, until)
                connection.execute(sa.insert(catalogue).values(values))

    def catalogue(self, network: str) -> Sequence[sa.Row[Any]]:
        """What all players of a network offer."""
        query = sa.select(catalogue).where(catalogue.c.network == network)
        with read_from(self._engine) as connection:
            return connection.execute(query.order_by(catalogue.c.dataset, catalogue.c.player)).all()

    @contextmanager
    def _writing(self, job_id: str | None = None) -> Iterator[sa.Connection]:
        """A transaction of the one service that may write."""
        mine = sa.update(writer).where(writer.c.token == self._token).values(token=self._token)
        with written(job_id), self._engine.begin() as connection:
            if connection.execute(mine).rowcount != 1:
                self.is_superseded = True
                raise PeerError(
                    "another service has taken over this database",
                    code="peer.superseded",
                    hint="one service writes a log; ask that one.",
                )
            yield connection

    def _page(self, query: sa.Select[Any], after: int) -> tuple[Entry, ...]:
        page = query.where(entries.c.position > after).order_by(entries.c.position).limit(MAX_PAGE_ENTRIES)
        with read_from(self._engine) as connection:
            rows = connection.execute(page)
            return tuple(_up_to(MAX_PAGE_CHARS, (_entry(row) for row in rows)))


def projected(job: Job) -> dict[str, Any]:
    """What the table `jobs` says of a job."""
    return {
        "job": job.id,
        "network": job.plan.network,
        "analyst": job.plan.analyst,
        "state": job.state.value,
        "waiting_for": json.dumps(job.waiting_for),
        "submitted_at": job.submitted_at,
        "ended_at": job.ended_at,
    }


def _append(connection: sa.Connection, job: Job, append: Append) -> int:
    statement = sa.insert(entries).values(
        job=job.id,
        kind=append.slot.kind.value,
        slot=str(append.slot),
        envelope=append.envelope.to_bytes().decode(),
        at=append.at,
    )
    key = connection.execute(statement).inserted_primary_key
    assert key is not None
    return int(key[0])


def _project(connection: sa.Connection, job: Job) -> None:
    values = projected(job)
    if len(job.said) > 1:
        connection.execute(sa.update(jobs).where(jobs.c.job == job.id).values(values))
    else:
        connection.execute(sa.insert(jobs).values(values))
        network = job.plan.network
        for player in job.plan.players:
            connection.execute(sa.insert(seats).values(job=job.id, network=network, player=player))
        for analyst in job.readers:
            connection.execute(sa.insert(readers).values(job=job.id, network=network, analyst=analyst))


def _event(trust: Trust, row: sa.Row[Any]) -> Submitted | Arrived:
    envelope = Envelope.from_bytes(row.envelope.encode())
    if row.kind == Kind.PLAN.value:
        plan, job_id = trust.plan(envelope)
        return Submitted(job_id, plan, envelope, row.at)
    return Arrived(read(trust, Kind(row.kind), envelope), envelope, row.at)


def read(trust: Trust, kind: Kind, envelope: Envelope) -> core.Said:
    """The document of that kind in an envelope, signed by the member that it names."""
    match kind:
        case Kind.APPROVAL:
            return trust.approval(envelope)
        case Kind.REFUSAL:
            return trust.refusal(envelope)
        case Kind.OFFER:
            return trust.offer(envelope)
        case Kind.MANIFEST:
            return trust.manifest(envelope)
        case Kind.FAILURE:
            return trust.failure(envelope)
        case Kind.CANCEL:
            return trust.cancel(envelope)
        case Kind.CLOSED:
            return trust.closed(envelope)
        case Kind.PLAN:
            raise ValueError(kind)


def _entry(row: sa.Row[Any]) -> Entry:
    return Entry(position=row.position, job=row.job, kind=Kind(row.kind), envelope=row.envelope)


def _up_to(limit: int, page: Iterable[Entry]) -> Iterable[Entry]:
    """At least one entry, then as many as fit."""
    chars = 0
    for entry in page:
        chars += len(entry.envelope)
        if chars > limit and chars > len(entry.envelope):
            return
        yield entry


def _start_after(connection: sa.Connection, position: int) -> None:
    """Makes the next entry's position greater than that one."""
    if connection.dialect.name == "sqlite":
        table = sa.table("sqlite_sequence", sa.column("name"), sa.column("seq"))
        connection.execute(sa.delete(table).where(table.c.name == entries.name))
        connection.execute(sa.insert(table).values(name=entries.name, seq=position))
    else:
        sequence = sa.func.pg_get_serial_sequence(entries.name, "position")
        connection.execute(sa.select(sa.func.setval(sequence, position)))
