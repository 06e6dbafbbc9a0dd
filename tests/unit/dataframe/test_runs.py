"""Running a frame: what is signed and sent, who is waited for, what is left behind when it ends badly."""

import io
from collections.abc import Callable

import pandas as pd
import pyarrow as pa
import pytest

from xor import dataframe as xf
from xor.dataframe import progress
from xor.errors import AuthError, PeerError, PlanError, PolicyDenied, ProtocolAbort, ResourceError, UsageError
from xor.model.machine import Capacity, LinkSeen, MachineSeen
from xor.plan.codec import decode_plan
from xor.testing.answering import AnsweringService, all_agree
from xor.testing.three_banks import NETWORK
from xor.wire.messages import JobState, Refusal


@pytest.fixture
def frame(b_accounts: xf.Frame) -> xf.Frame:
    return b_accounts.select("account", "zip")


@pytest.fixture
def private(b_accounts: xf.Frame, c_accounts: xf.Frame) -> xf.Frame:
    return xf.join([b_accounts, c_accounts], on="account")


def silent(service, plan, job):
    """Machines that say nothing."""


def table_of(rows: list[tuple[str | None, ...]]) -> pa.Table:
    return pa.table({"account": [row[0] for row in rows], "zip": [row[1] for row in rows]})


ROWS = [("CH_1", "02139"), ("YY_2", "V6B 1S3"), ("KK_3", None)]


def test_a_result_comes_back_exactly(frame, service):
    service.tables = {1: table_of(ROWS)}
    result = frame.run(reveal=True)
    rows = result.reveal()
    assert isinstance(rows, pd.DataFrame)
    assert [str(each) for each in rows.dtypes] == ["string[pyarrow]", "string[pyarrow]"]
    found = {(row["account"], row["zip"]) for row in result.reveal(as_="arrow").to_pylist()}
    assert found == set(ROWS)
    assert sorted(rows["account"]) == ["CH_1", "KK_3", "YY_2"]
    assert rows["zip"].isna().sum() == 1
    assert result.reveal(as_="polars").shape == (3, 2)


def test_an_empty_result_has_its_columns_and_types(frame, service):
    service.tables = {1: table_of([]).cast(pa.schema({"account": pa.string(), "zip": pa.string()}))}
    rows = frame.run(reveal=True).reveal()
    assert len(rows) == 0
    assert list(rows.columns) == ["account", "zip"]


def test_what_is_sent_is_the_signed_plan(frame, client, service):
    service.tables = {1: table_of(ROWS)}
    result = frame.run(reveal=True)
    assert service.plan is not None
    sent = decode_plan(service.plan.payload)
    assert sent == result.plan
    assert (sent.analyst, sent.recipients, sent.network) == ("fraud-desk", ("fraud-desk",), NETWORK)
    assert service.requests == ["network", "network", "submit", "download"]


def test_two_runs_of_one_frame_are_two_plans(frame, client, service):
    ids = set()
    for _ in range(2):
        service.plan = None
        service.log.clear()
        service.tables = {1: table_of(ROWS)}
        ids.add(frame.run(reveal=True).job_id)
    assert len(ids) == 2


def test_nothing_is_sent_after_the_download_whatever_is_found_inside(private, service):
    """The streams of this private join hold nothing that opens: only the analyst hears of it."""
    result = private.run(reveal=True)
    asked = list(service.requests)
    with pytest.raises(ProtocolAbort):
        result.reveal()
    assert service.requests == asked


def test_a_result_can_be_revealed_after_the_session(frame, client, service):
    service.tables = {1: table_of(ROWS)}
    result = frame.run(reveal=True)
    client.session.close()
    assert len(result.reveal()) == 3
    with pytest.raises(UsageError, match="closed"):
        frame.run(reveal=True)


def test_a_result_for_others_is_not_fetched(frame, service):
    result = frame.run(reveal=True, to="auditors")
    assert "download" not in service.requests
    with pytest.raises(AuthError, match="auditors"):
        result.reveal()


def test_an_unknown_recipient_is_refused_before_anything_is_sent(frame, service):
    for to in ("auditor", ["fraud-desk", "nobody"], [], [1]):
        with pytest.raises(UsageError):
            frame.run(reveal=True, to=to)
    assert "submit" not in service.requests


def test_a_result_shows_what_it_cost_and_who_learned_what_but_no_rows(frame, service):
    service.tables = {1: table_of(ROWS)}
    result = frame.run(reveal=True)
    result.reveal()
    (step,) = result.costs
    assert (step.player, step.seconds, step.sent_bytes) == ("player-0", 1.5, 1000)
    assert result.costs.stream_bytes > 0
    assert "player-0" in repr(result.costs)
    assert "fraud-desk" in str(result.explanation)
    for shown in (repr(result), repr(result.costs), result.costs._repr_html_(), str(result.explanation)):
        assert "CH_1" not in shown
        assert "02139" not in shown
    assert (result.withheld, result.suppressed) == ((), ())
    with pytest.raises(PlanError) as caught:
        _ = result.receipt
    assert caught.value.code == "plan.not-built"
    with pytest.raises(UsageError, match="pandas, arrow or polars"):
        result.reveal(as_="csv")


# -- lost answers, absent machines -------------------------------------------------------------------------


@pytest.mark.parametrize("lost", ["lost_requests", "lost_answers"])
def test_lost_messages_are_repeated(frame, service, lost):
    service.tables = {1: table_of(ROWS)}
    setattr(service, lost, 3)
    assert len(frame.run(reveal=True).reveal()) == 3
    assert service.requests.count("submit") > 1


def test_an_absent_machine_is_named_and_the_job_cancelled(private, service):
    service.silent = {"player-1"}
    with pytest.raises(PeerError, match="'player-1'") as caught:
        private.run(reveal=True, timeout_s=30)
    assert caught.value.code == "peer.timeout"
    assert service.requests[-1] == "post"
    assert service.state is JobState.CANCELLED
    assert 30 <= service.clock.seconds < 60


def test_waiting_for_a_submitted_job_can_be_given_up_and_taken_up_again(frame, service):
    service.answers = silent
    job = frame.submit(reveal=True)
    with pytest.raises(PeerError):
        job.wait(timeout_s=5)
    assert service.state is JobState.RUNNING
    service.tables = {1: table_of(ROWS)}
    all_agree(service, decode_plan(service.plan.payload), job.id)
    assert len(job.wait().reveal()) == 3
    assert job.wait() is job.wait()
    asked = len(service.requests)
    assert job.status == "released"
    assert len(service.requests) == asked


def test_an_unreachable_service_says_how_to_start_one(frame, service):
    service.lost_requests = 10**6
    with pytest.raises(PeerError) as caught:
        frame.run(reveal=True)
    assert caught.value.code == "peer.unreachable"


# -- refusals ------------------------------------------------------------------------------------------------


def test_a_refusal_reaches_the_analyst_with_clause_and_grant(private, service):
    service.answers = silent
    job = private.submit(reveal=True)
    refusal = Refusal(
        network=NETWORK,
        plan=job.id,
        player="player-1",
        kind="PolicyDenied",
        code="policy.denied",
        message="bank-c refuses",
        violations=("clause 'reveal'",),
        grant="reveal to fraud-desk: {rows: [zip]}",
    )
    service.say(refusal, "player-1", job.id)
    with pytest.raises(PolicyDenied, match="smallest grant") as first:
        job.wait()
    with pytest.raises(PolicyDenied) as again:
        job.wait()
    assert first.value is again.value


def test_check_and_explain_run_nothing(private, service):
    check = private.check()
    assert check.is_allowed
    assert check
    check.require()
    assert "player-1" in str(private.explain())
    assert "submit" not in service.requests
    assert "allowed" in repr(check)
    assert "allowed" in check._repr_html_()


def _machine(player: str, memory_bytes: int, *oprf: str) -> MachineSeen:
    link = LinkSeen(peer="player-1" if player == "player-0" else "player-0", rtt_us=20_000, bytes_per_s=10**6)
    capacity = Capacity(memory_bytes=memory_bytes, disk_bytes=2**36, cores=2, oprf=oprf)
    return MachineSeen(player=player, capacity=capacity, links=(link,))


def test_what_machines_say_of_themselves_decides_cost_and_back_end(private, service):
    service.machines = (_machine("player-0", 2**33, "dh", "vole"), _machine("player-1", 2**33, "dh"))
    text = private.explain().text
    assert "OPRF dh" in text
    assert "not vole: it is not run by player-1" in text
    assert "8 Mbit/s, round trip 20 ms (seen in earlier jobs)" in text
    assert "(limit 8.0 GiB)" in text


def test_a_job_that_cannot_fit_is_refused_before_anything_is_sent(private, service):
    service.machines = (_machine("player-0", 2**33, "dh", "vole"), _machine("player-1", 2**24, "dh", "vole"))
    with pytest.raises(ResourceError) as caught:
        private.submit(reveal=True)
    assert caught.value.code == "resource.memory-limit"
    assert caught.value.player == "player-1"
    assert "memory_mib" in (caught.value.hint or "")
    assert service.plan is None
    assert not private.check()
    assert "Refused for want of resources" in private.explain().text


def test_a_dataset_that_changed_since_is_noticed_before_signing(frame, service):
    changed = service.entries["accounts_b"].model_copy(update={"rows": 9000})
    service.entries = {**service.entries, "accounts_b": changed}
    with pytest.raises(PlanError, match="accounts_b") as caught:
        frame.run(reveal=True)
    assert caught.value.code == "plan.changed-dataset"
    assert "submit" not in service.requests


def test_without_the_seal_key_nothing_is_submitted(frame, client, service, tmp_path):
    (tmp_path / "fraud-desk.seal").unlink()
    with pytest.raises(AuthError) as caught:
        frame.run(reveal=True)
    assert caught.value.code == "auth.no-key"
    (tmp_path / "fraud-desk.seal").write_text("ab" * 32)
    (tmp_path / "fraud-desk.seal").chmod(0o600)
    with pytest.raises(AuthError) as caught:
        frame.run(reveal=True)
    assert caught.value.code == "auth.wrong-key"
    assert "ab" * 32 not in str(caught.value)
    assert "submit" not in service.requests


# -- jobs ----------------------------------------------------------------------------------------------------


def test_a_job_is_found_again_by_its_id(frame, client, service):
    service.tables = {1: table_of(ROWS)}
    submitted = frame.submit(reveal=True)
    assert submitted.status == "released"
    found = client.job(submitted.id)
    assert [job.id for job in client.jobs()] == [submitted.id]
    assert len(found.wait().reveal()) == 3
    assert len(client.jobs()[0].wait().reveal()) == 3
    assert submitted.id in repr(found)
    assert submitted.id in found._repr_html_()
    with pytest.raises(UsageError):
        client.job("../" + "a" * 61)


def test_a_cancelled_job_ends(frame, service):
    service.answers = silent
    job = frame.submit(reveal=True)
    job.cancel()
    assert job.status == "cancelled"
    with pytest.raises(PeerError) as caught:
        job.wait()
    assert caught.value.code == "peer.cancelled"


class Interrupting(AnsweringService):
    """Ctrl-C is pressed while a poll waits."""

    def job(self, network: str, job: str, after: int, wait_s: int):
        self.requests.append("poll")
        raise KeyboardInterrupt


@pytest.fixture
def interrupted(client: xf.Client, service: AnsweringService) -> Callable[[], xf.Frame]:
    service.answers = silent
    service.__class__ = Interrupting
    return client.use("accounts_b", "player-0")


def test_ctrl_c_cancels_in_a_script(interrupted, service, capsys):
    with pytest.raises(KeyboardInterrupt):
        interrupted.run(reveal=True)
    assert service.state is JobState.CANCELLED
    assert "cancelled" in capsys.readouterr().err


@pytest.mark.parametrize(("answer", "state"), [("d\n", JobState.RUNNING), ("c\n", JobState.CANCELLED)])
def test_ctrl_c_asks_in_a_terminal(interrupted, service, monkeypatch, answer, state):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown = Terminal()
    monkeypatch.setattr(progress.sys, "stdin", Terminal(answer))
    monkeypatch.setattr(progress.sys, "stderr", shown)
    with pytest.raises(KeyboardInterrupt):
        interrupted.run(reveal=True)
    assert service.state is state
    assert "Detach (d) or cancel it (c)?" in shown.getvalue()


def test_progress_is_silent_outside_a_terminal(frame, service, capsys):
    service.tables = {1: table_of(ROWS)}
    frame.run(reveal=True)
    assert capsys.readouterr() == ("", "")


# -- clients -------------------------------------------------------------------------------------------------


def test_the_latest_client_is_the_default(client):
    assert xf.use("accounts_b", "player-0").client is client


def test_without_a_client_the_session_gives_one(client):
    from xor.dataframe import client as module

    module._default.clear()
    assert xf.use("accounts_b", "player-0").client.network == NETWORK
    client.session.close()
    with pytest.raises(UsageError) as caught:
        xf.use("accounts_b", "player-0")
    assert caught.value.code == "usage.no-client"


def test_the_catalogue_lists_what_owners_declare(client):
    found = {each.name: each for each in client.datasets()}
    assert found["accounts_c"].player == "player-1"
    assert found["accounts_c"].rows == 5000
    assert "account" in found["accounts_c"].columns
    assert "fraud-desk" in repr(client)


@pytest.mark.parametrize("timeout_s", [-1, "soon", float("nan")])
def test_a_timeout_is_a_number_of_seconds(frame, timeout_s):
    with pytest.raises(UsageError):
        frame.run(reveal=True, timeout_s=timeout_s)
