"""What an operator does: backs up, restores, and asks the doctor."""

import datetime as dt
import re
import shutil
import socket
import stat
import time
from pathlib import Path

import pytest

from conftest import PLAYERS, wait_until
from xor.cli.doctor import Grade, examine
from xor.errors import DataError, ResourceError, UsageError
from xor.machine import backup as machine_backup
from xor.machine.journal import SECONDS_PER_DAY, Journal
from xor.service import backup as service_backup
from xor.service import certificate, configuration
from xor.service import setup as service_setup
from xor.signing import SigningKey
from xor.wire import http, tls
from xor.wire.messages import JobState, Kind

ROWS = [
    ("k1", "apple", "k1", "A"),
    ("k2", "pear", "k2", "B"),
    ("k2", "plum", "k2", "B"),
]


def just_before() -> int:
    """A restore at that time blocks what was placed up to now (plans are valid 5 s early), not what comes."""
    return int(time.time()) - 5


def released(bench, plan) -> str:
    view = bench.finished(bench.submit(plan))
    assert view.state is JobState.RELEASED, bench.processes["player-0"].text
    return view.job


def test_a_restored_machine_runs_nothing_twice_and_has_no_guesses_left_today(bench):
    backup = bench.directory / "backup"
    machine_backup.make(bench.machine_directory("player-0"), backup)
    job = released(bench, bench.plan())
    bench.processes["player-0"].kill()
    shutil.rmtree(bench.machine_directory("player-0"))

    restored_at = just_before()
    machine_backup.restore(backup, bench.machine_directory("player-0"), {"orders": 1}, restored_at)
    process = bench.start_machine("player-0")
    wait_until(lambda: process.shows(f"job={job[:12]} state=refused code=plan.spent"), "the refusal")
    assert "confined to its files" not in process.text.replace("machine confined", "")

    wait_until(lambda: just_before() > restored_at, "a plan that is valid only after the restore")
    view = bench.finished(bench.submit(bench.plan()))
    [refusal] = bench.said(view, Kind.REFUSAL)
    assert (refusal.player, refusal.code) == ("player-0", "resource.guesses-unknown")
    released(bench, bench.plan_of_one("orders"))


def test_on_the_next_day_a_restored_machine_joins_again(tmp_path):
    noon = 20_000 * SECONDS_PER_DAY + SECONDS_PER_DAY // 2
    journal = Journal(tmp_path / "state.db")
    journal.restored(noon)
    assert journal.is_spent("p", not_before=noon)
    assert not journal.is_spent("p", not_before=noon + 1)
    assert journal.was_restored_today(noon + SECONDS_PER_DAY // 2 - 1)
    assert not journal.was_restored_today(noon + SECONDS_PER_DAY // 2)
    journal.close()


def test_a_restored_machine_takes_no_policy_that_its_owner_had_replaced(bench):
    backup, restored = bench.directory / "backup", bench.directory / "restored"
    bench.processes["player-0"].stop()
    machine_backup.make(bench.machine_directory("player-0"), backup)
    for versions in ({}, {"stock": 1}, {"orders": 1, "stock": 1}):
        with pytest.raises(UsageError) as caught:
            machine_backup.restore(backup, restored, versions, 0)
        assert "--policy orders=VERSION" in caught.value.hint
        assert not restored.exists()
    machine_backup.restore(backup, restored, {"orders": 2}, 0)
    assert any("older than version 2" in each.text for each in examine(restored))


def test_a_restored_service_goes_on_above_all_that_members_have_seen(bench):
    plan = bench.plan()
    first = released(bench, plan)
    backup = bench.directory / "backup"
    service_backup.make(bench.directory / "service", backup)
    lost = released(bench, bench.plan())
    seen = max(each.position for each in bench.view(lost).entries)
    bench.processes["service"].kill()
    shutil.rmtree(bench.directory / "service")

    service_backup.restore(backup, bench.directory / "service")
    bench.start_service()
    assert bench.opened(plan, bench.view(first)) == ROWS
    assert bench.client.get(f"/v1/jobs/{lost}").status_code == 404
    wait_until(lambda: bench.view(released(bench, bench.plan())), "a new job")
    after = bench.finished(bench.submit(bench.plan()))
    assert min(each.position for each in after.entries) > seen + 2**31


def test_a_service_on_postgresql_outlives_itself_and_its_database(bench, postgres_server):
    bench.processes["service"].stop()
    for file in (bench.directory / "service").glob(f"{service_setup.DATABASE}*"):
        file.unlink()
    settings = bench.directory / "service" / configuration.NAME
    settings.write_text(f'database = "{postgres_server.new_database()}"\n')
    settings.chmod(0o600)
    bench.start_service()
    job = released(bench, bench.plan())

    bench.processes["service"].kill()
    bench.start_service()
    assert bench.view(job).state is JobState.RELEASED

    postgres_server.stop()
    answer = bench.client.get(f"/v1/jobs/{'0' * 64}")
    assert (answer.status_code, answer.json()["code"]) == (503, "peer.database-away")
    assert bench.client.get(http.READY).json()["lacks"] == ["database"]
    postgres_server.start()
    released(bench, bench.plan())
    assert not (bench.directory / "service" / service_setup.DATABASE).exists()


def test_backups_are_whole_private_and_told_apart(bench, monkeypatch):
    service, backup = bench.directory / "service", bench.directory / "backup"
    service_backup.make(service, backup)
    assert stat.S_IMODE(backup.stat().st_mode) == 0o700
    assert stat.S_IMODE((backup / service_setup.KEY).stat().st_mode) == 0o600
    assert not (backup / service_setup.LOCK).exists()
    with pytest.raises(UsageError, match="exists"):
        service_backup.make(service, backup)
    with pytest.raises(DataError, match="no backup of a machine"):
        machine_backup.restore(backup, bench.directory / "other", {}, 0)
    with pytest.raises(UsageError, match="no directory of a service"):
        service_backup.make(bench.directory, bench.directory / "other")

    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copy2", full)
    with pytest.raises(ResourceError, match="No space left"):
        service_backup.make(service, bench.directory / "other")
    assert not [each for each in bench.directory.iterdir() if "other" in each.name]


def test_the_doctor_finds_nothing_where_nothing_is_wrong(bench):
    address = bench.processes["player-1"].text.split("listens=")[1].split()[0]
    for directory in (bench.directory / "service", bench.machine_directory("player-0")):
        findings = list(examine(directory, [address]))
        assert {each.grade for each in findings if not each.about.startswith("agreement")} == {Grade.OK}, (
            findings
        )
        # The agreement of the test lasts for a day.
        assert [each.grade for each in findings if each.about.startswith("agreement")] == [Grade.WARNING]


def problems(directory: Path, *peers: str) -> dict[str, str]:
    found = {each.about: each for each in examine(directory, peers) if each.grade is Grade.PROBLEM}
    assert all(each.hint for each in found.values()), found
    return {about: each.text for about, each in found.items()}


def test_the_doctor_finds_what_is_wrong_at_a_machine(bench, monkeypatch):
    directory = bench.machine_directory("player-0")
    for player in PLAYERS:
        bench.processes[player].stop()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = directory / "machine.toml"
        settings.write_text(settings.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}"))
        (bench.directory / "orders.csv").unlink()
        found = problems(directory)
        assert "cannot be had" in found.pop("port")
    assert "rows cannot be read" in found.pop("dataset orders")
    assert not found

    monkeypatch.setattr(time, "time", lambda now=time.time: now() + 100)
    found = problems(directory, f"127.0.0.1:{port}")
    assert re.fullmatch("10[0-3] s from the service's", found.pop("clock"))
    assert "minute" in found.pop("identity")
    assert found.pop(f"peer 127.0.0.1:{port}") == "Connection refused"
    monkeypatch.undo()

    bench.processes["service"].kill()
    assert problems(directory)["service"] == "the service cannot be reached"
    state = directory / "state.db"
    state.write_bytes(state.read_bytes()[:4096] + b"\xff" * 8192)
    assert "journal" in problems(directory)
    (directory / "machine.key").chmod(0o644)
    assert list(problems(directory)) == ["directory"]


def test_the_doctor_finds_what_is_wrong_at_a_service(bench, monkeypatch):
    directory = bench.directory / "service"
    bench.processes["service"].kill()
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(10, 10, 0))
    for file in directory.glob(f"{service_setup.DATABASE}*"):
        file.write_bytes(b"no database any more" * 100)
    key = SigningKey.load(directory / service_setup.KEY)
    (directory / certificate.FILE).write_bytes(tls.new_certificate(key, ["localhost"], dt.timedelta(0)))
    assert problems(directory).keys() == {"database", "disk", "certificate"}
    with pytest.raises(UsageError, match="neither a service nor a machine"):
        list(examine(bench.directory))
