"""The log on disk: projections equal folds, versions go up and down."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xor.errors import PeerError, UsageError, XorError
from xor.service import migrations
from xor.service.core import Append, Arrived, Job, Submitted, Timeouts, on_event, slot_of
from xor.service.database import connect
from xor.service.store import MAX_PAGE_ENTRIES, RESTORED_GAP, Store, metadata, projected
from xor.testing import three_banks as banks
from xor.testing.letters import Letters, Said, signed
from xor.testing.postgres import Server
from xor.wire.messages import JobState, Kind
from xor.wire.trust import Trust

NOW = banks.NOW
TIMEOUTS = Timeouts()
TRUST = {banks.NETWORK: Trust(banks.agreement())}
LETTERS = Letters(banks.placed(banks.both_directions()))
LOCAL = Letters(banks.placed(banks.scan("accounts_c")))


Where = Path | str


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Where:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return tmp_path / "100% of 'it'.db"
    server: Server = request.getfixturevalue("postgres_server")
    return server.new_database()


def emptied(where: Where) -> Store:
    """A store over a database without tables: hypothesis runs one test many times."""
    engine = connect(where)
    migrations.downgrade(engine, "base")
    engine.dispose()
    return Store(where)


def happy(letters: Letters) -> list[Said]:
    players = letters.plan.players
    return [
        *(letters.approval(player) for player in players),
        *(letters.offer(player) for player in players),
        *(letters.manifest(*stream) for stream in letters.streams),
    ]


def deliver(store: Store, letters: Letters, documents: list[Said]) -> Job:
    """Takes what is in order, as the service does."""
    job: Job | None = None
    events = [
        Submitted(letters.job, letters.plan, letters.envelope, NOW),
        *(Arrived(document, signed(document), NOW + 1) for document in documents),
    ]
    for event in events:
        try:
            job, effects = on_event(job, event, TIMEOUTS)
        except XorError:
            continue
        for effect in effects:
            if isinstance(effect, Append):
                store.append(job, effect)
    assert job is not None
    return job


DOCUMENTS = [
    *happy(LETTERS),
    LETTERS.refusal("player-0"),
    LETTERS.failure("player-1"),
    LETTERS.cancel(),
    LETTERS.offer("player-0", job_key="cc" * 32),
]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents=st.one_of(st.lists(st.sampled_from(DOCUMENTS), max_size=20), st.just(happy(LETTERS))))
def test_after_a_restart_the_fold_of_the_log_is_the_job_and_its_projection(
    where: Where, documents: list[Said]
) -> None:
    store = emptied(where)
    job = deliver(store, LETTERS, documents)
    store.close()
    again = Store(where)
    loaded = again.load(job.id, TRUST, TIMEOUTS)
    assert loaded == (job, len(job.said))
    assert again.projection(job.id) == projected(job)
    assert again.unfinished() == (() if job.state.is_final else (job.id,))
    again.close()


def test_a_machine_reads_the_jobs_of_its_player_only(where: Where) -> None:
    store = Store(where)
    local = deliver(store, LOCAL, [LOCAL.approval("player-1")])
    both = deliver(store, LETTERS, [LETTERS.approval("player-0")])
    mine = store.inbox(banks.NETWORK, "player-0", 0)
    assert [(entry.position, entry.job) for entry in mine] == [(3, both.id), (4, both.id)]
    assert [entry.kind for entry in store.inbox(banks.NETWORK, "player-1", 1)] == [
        Kind.APPROVAL,
        Kind.PLAN,
        Kind.APPROVAL,
    ]
    assert store.inbox("other", "player-0", 0) == ()
    assert [entry.position for entry in store.log(local.id, after=1)] == [2]
    store.close()


def test_entries_come_in_pages(where: Where, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(where)
    deliver(store, LETTERS, happy(LETTERS))
    assert MAX_PAGE_ENTRIES >= 3
    monkeypatch.setattr("xor.service.store.MAX_PAGE_ENTRIES", 3)
    assert [entry.position for entry in store.log(LETTERS.job)] == [1, 2, 3]
    assert [entry.position for entry in store.log(LETTERS.job, after=3)] == [4, 5, 6]
    monkeypatch.setattr("xor.service.store.MAX_PAGE_CHARS", 1)
    assert [entry.position for entry in store.log(LETTERS.job, after=3)] == [4]
    store.close()


def test_an_analyst_lists_what_it_submitted_or_receives(where: Where) -> None:
    store = Store(where)
    shared = Letters(banks.placed(banks.scan("accounts_b"), banks.ANALYST, "auditors"))
    for letters in (LETTERS, shared):
        deliver(store, letters, [])
    assert store.jobs_of(banks.NETWORK, "auditors", 9) == (shared.job,)
    assert set(store.jobs_of(banks.NETWORK, banks.ANALYST, 9)) == {LETTERS.job, shared.job}
    assert len(store.jobs_of(banks.NETWORK, banks.ANALYST, 1)) == 1
    store.close()


def test_an_altered_log_is_noticed(where: Where) -> None:
    store = Store(where)
    deliver(store, LETTERS, [LETTERS.approval("player-0")])
    store.close()
    engine = connect(where)
    forged = signed(LETTERS.approval("player-0"), by="player-1").to_bytes().decode()
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE entries SET envelope = :it WHERE position = 2"), {"it": forged})
    store = Store(where)
    with pytest.raises(XorError) as caught:
        store.load(LETTERS.job, TRUST, TIMEOUTS)
    assert caught.value.code == "auth.bad-signature"
    store.close()


def test_two_entries_never_fill_one_slot(where: Where) -> None:
    store = Store(where)
    job, effects = on_event(None, Submitted(LETTERS.job, LETTERS.plan, LETTERS.envelope, NOW), TIMEOUTS)
    assert isinstance(effects[0], Append)
    store.append(job, effects[0])
    with pytest.raises(sa.exc.IntegrityError):
        store.append(job, effects[0])
    assert len(store.log(LETTERS.job)) == 1
    store.close()


def test_old_releases_are_found_by_their_age(where: Where) -> None:
    store = Store(where)
    job = deliver(store, LETTERS, happy(LETTERS))
    assert job.state is JobState.RELEASED
    assert store.released(before=NOW + 2) == (job.id,)
    assert store.released(before=NOW + 1) == ()
    store.close()


def test_migrations_make_the_tables_that_the_code_expects(where: Where) -> None:
    store = Store(where)
    with store._engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert scripts.get_current_head() == migrations.HEAD
    store.close()


def test_a_file_is_written_through_and_read_while_it_is_written(tmp_path: Path) -> None:
    store = Store(tmp_path / "service.db")
    with store._engine.connect() as connection:
        assert connection.scalar(sa.text("PRAGMA journal_mode")) == "wal"
        assert connection.scalar(sa.text("PRAGMA synchronous")) == 2
        assert connection.scalar(sa.text("PRAGMA foreign_keys")) == 1
    store.close()


def test_every_migration_goes_down_and_up_again(where: Where) -> None:
    store = Store(where)
    job = deliver(store, LETTERS, happy(LETTERS))
    store.close()
    engine = connect(where)
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    for script in scripts.walk_revisions():
        below = script.down_revision or "base"
        migrations.downgrade(engine, str(below))
        assert migrations.current(engine) == (None if below == "base" else below)
        if below != "base":
            migrations.upgrade(engine)
            again = Store(where)
            assert again.load(LETTERS.job, TRUST, TIMEOUTS) == (job, len(job.said))
            again.close()
            migrations.downgrade(engine, str(below))
    assert sa.inspect(engine).get_table_names() == ["alembic_version"]
    engine.dispose()
    store = Store(where)
    deliver(store, LETTERS, [])
    store.close()


def test_a_database_of_a_newer_release_is_refused(where: Where) -> None:
    store = Store(where)
    with store._engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    store.close()
    with pytest.raises(UsageError) as caught:
        Store(where)
    assert caught.value.code == "usage.other-database"


def test_who_opens_a_log_last_writes_it(where: Where) -> None:
    first = Store(where)
    job = deliver(first, LETTERS, [])
    second = Store(where)
    append = Append(slot_of(LETTERS.approval("player-0")), signed(LETTERS.approval("player-0")), NOW)
    with pytest.raises(PeerError) as caught:
        first.append(job, append)
    assert caught.value.code == "peer.superseded"
    assert first.is_superseded
    assert not first.is_writable()
    assert second.is_writable()
    assert not second.is_superseded
    assert len(second.log(LETTERS.job)) == 1
    first.close()
    second.close()


def test_after_a_restore_positions_start_above_all_that_were_seen(where: Where) -> None:
    store = Store(where)
    store.skip_restored()
    deliver(store, LETTERS, [])
    [entry] = store.log(LETTERS.job)
    assert entry.position == RESTORED_GAP + 1
    store.skip_restored()
    deliver(store, LOCAL, [])
    [entry] = store.log(LOCAL.job)
    assert entry.position == 2 * RESTORED_GAP + 2
    store.close()


def test_a_database_that_goes_away_is_said_and_its_return_is_noticed(postgres_server: Server) -> None:
    store = Store(postgres_server.new_database())
    job = deliver(store, LETTERS, [])
    append = Append(slot_of(LETTERS.approval("player-0")), signed(LETTERS.approval("player-0")), NOW)
    postgres_server.stop()
    for ask in (
        lambda: store.append(job, append),
        lambda: store.load(LETTERS.job, TRUST, TIMEOUTS),
        lambda: store.log(LETTERS.job),
        store.unfinished,
    ):
        with pytest.raises(PeerError) as caught:
            ask()
        assert caught.value.code == "peer.database-away"
    assert not store.is_writable()
    postgres_server.start()
    assert store.is_writable()
    after, [effect, *_] = on_event(job, Arrived(LETTERS.approval("player-0"), append.envelope, NOW), TIMEOUTS)
    assert isinstance(effect, Append)
    store.append(after, effect)
    assert store.load(LETTERS.job, TRUST, TIMEOUTS) == (after, 2)
    store.close()


def test_a_database_that_only_reads_is_said(postgres_server: Server) -> None:
    url = postgres_server.new_database()
    store = Store(url)
    engine = connect(url)
    with engine.begin() as connection:
        name = connection.scalar(sa.text("SELECT current_database()"))
        connection.execute(sa.text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
    engine.dispose()
    store.close()
    with pytest.raises(PeerError) as caught:
        Store(url)
    assert caught.value.code == "peer.database-away"
