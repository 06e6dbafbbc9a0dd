"""The log on disk: projections equal folds, versions go up and down."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xor.errors import UsageError, XorError
from xor.service import migrations
from xor.service.core import Append, Arrived, Job, Submitted, Timeouts, on_event
from xor.service.store import MAX_PAGE_ENTRIES, Store, metadata, projected
from xor.testing import three_banks as banks
from xor.testing.letters import Letters, Said, signed
from xor.wire.messages import JobState, Kind
from xor.wire.trust import Trust

NOW = banks.NOW
TIMEOUTS = Timeouts()
TRUST = {banks.NETWORK: Trust(banks.agreement())}
LETTERS = Letters(banks.placed(banks.both_directions()))
LOCAL = Letters(banks.placed(banks.scan("accounts_c")))


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
    documents: list[Said], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("store") / "service.db"
    store = Store(path)
    job = deliver(store, LETTERS, documents)
    store.close()
    again = Store(path)
    loaded = again.load(job.id, TRUST, TIMEOUTS)
    assert loaded == (job, len(job.said))
    assert again.projection(job.id) == projected(job)
    assert again.unfinished() == (() if job.state.is_final else (job.id,))
    again.close()


def test_a_machine_reads_the_jobs_of_its_player_only(tmp_path: Path) -> None:
    store = Store(tmp_path / "service.db")
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


def test_entries_come_in_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "service.db")
    deliver(store, LETTERS, happy(LETTERS))
    assert MAX_PAGE_ENTRIES >= 3
    monkeypatch.setattr("xor.service.store.MAX_PAGE_ENTRIES", 3)
    assert [entry.position for entry in store.log(LETTERS.job)] == [1, 2, 3]
    assert [entry.position for entry in store.log(LETTERS.job, after=3)] == [4, 5, 6]
    monkeypatch.setattr("xor.service.store.MAX_PAGE_CHARS", 1)
    assert [entry.position for entry in store.log(LETTERS.job, after=3)] == [4]
    store.close()


def test_an_analyst_lists_what_it_submitted_or_receives(tmp_path: Path) -> None:
    store = Store(tmp_path / "service.db")
    shared = Letters(banks.placed(banks.scan("accounts_b"), banks.ANALYST, "auditors"))
    for letters in (LETTERS, shared):
        deliver(store, letters, [])
    assert store.jobs_of(banks.NETWORK, "auditors", 9) == (shared.job,)
    assert set(store.jobs_of(banks.NETWORK, banks.ANALYST, 9)) == {LETTERS.job, shared.job}
    assert len(store.jobs_of(banks.NETWORK, banks.ANALYST, 1)) == 1
    store.close()


def test_an_altered_log_is_noticed(tmp_path: Path) -> None:
    store = Store(tmp_path / "service.db")
    deliver(store, LETTERS, [LETTERS.approval("player-0")])
    store.close()
    engine = sa.create_engine(sa.URL.create("sqlite", database=str(tmp_path / "service.db")))
    forged = signed(LETTERS.approval("player-0"), by="player-1").to_bytes().decode()
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE entries SET envelope = :it WHERE position = 2"), {"it": forged})
    store = Store(tmp_path / "service.db")
    with pytest.raises(XorError) as caught:
        store.load(LETTERS.job, TRUST, TIMEOUTS)
    assert caught.value.code == "auth.bad-signature"
    store.close()


def test_two_entries_never_fill_one_slot(tmp_path: Path) -> None:
    store = Store(tmp_path / "service.db")
    job, effects = on_event(None, Submitted(LETTERS.job, LETTERS.plan, LETTERS.envelope, NOW), TIMEOUTS)
    assert isinstance(effects[0], Append)
    store.append(job, effects[0])
    with pytest.raises(sa.exc.IntegrityError):
        store.append(job, effects[0])
    assert len(store.log(LETTERS.job)) == 1
    store.close()


def test_old_releases_are_found_by_their_age(tmp_path: Path) -> None:
    store = Store(tmp_path / "service.db")
    job = deliver(store, LETTERS, happy(LETTERS))
    assert job.state is JobState.RELEASED
    assert store.released(before=NOW + 2) == (job.id,)
    assert store.released(before=NOW + 1) == ()
    store.close()


def test_migrations_make_the_tables_that_the_code_expects(tmp_path: Path) -> None:
    store = Store(tmp_path / "100% of 'it'.db")
    with store._engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert connection.scalar(sa.text("PRAGMA journal_mode")) == "wal"
        assert connection.scalar(sa.text("PRAGMA synchronous")) == 2
        assert connection.scalar(sa.text("PRAGMA foreign_keys")) == 1
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert scripts.get_current_head() == migrations.HEAD
    store.close()


def test_migrations_go_down_and_up_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "service.db")
    migrations.downgrade(store._engine, "base")
    assert sa.inspect(store._engine).get_table_names() == ["alembic_version"]
    store.close()
    store = Store(tmp_path / "service.db")
    deliver(store, LETTERS, [])
    store.close()


def test_a_database_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "service.db")
    with store._engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    store.close()
    with pytest.raises(UsageError) as caught:
        Store(tmp_path / "service.db")
    assert caught.value.code == "usage.other-database"
