"""Transitions of a job at the service."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xor.errors import AuthError, PlanError, ResourceError, UsageError, XorError
from xor.model.types import Kind as TypeKind
from xor.plan.relations import JoinKind, padded
from xor.service.admission import check_plan, stream_limit
from xor.service.core import (
    Append,
    Arrived,
    Close,
    Discard,
    Job,
    Slot,
    Submitted,
    Tick,
    Timeouts,
    Wake,
    fold,
    on_event,
)
from xor.testing import three_banks as banks
from xor.testing.letters import Letters, Said, signed
from xor.wire.messages import JobState, Kind

NOW = banks.NOW
TIMEOUTS = Timeouts(approvals_s=100, offers_s=50, completion_s=1000)
PLAYERS = ("player-0", "player-1")
LETTERS = Letters(banks.placed(banks.both_directions(), banks.ANALYST, "auditors"))


def submitted(letters: Letters, at: int = NOW) -> Submitted:
    return Submitted(letters.job, letters.plan, letters.envelope, at)


def arrived(document: Said, at: int = NOW) -> Arrived:
    return Arrived(document, signed(document), at)


def after(*documents: Said, letters: Letters = LETTERS) -> Job:
    job = fold([submitted(letters), *(arrived(each) for each in documents)], TIMEOUTS)
    assert job is not None
    return job


def approvals() -> list[Said]:
    return [LETTERS.approval(player) for player in PLAYERS]


def offers() -> list[Said]:
    return [LETTERS.offer(player) for player in PLAYERS]


def manifests() -> list[Said]:
    return [LETTERS.manifest(*stream) for stream in LETTERS.streams]


def test_a_job_waits_for_approvals_then_offers_then_streams() -> None:
    assert after().waiting_for == PLAYERS
    assert after(LETTERS.approval("player-0")).waiting_for == ("player-1",)
    running = after(*approvals())
    assert (running.state, running.waiting_for) == (JobState.RUNNING, PLAYERS)
    assert after(*approvals(), LETTERS.offer("player-1")).waiting_for == ("player-0",)
    assert after(*approvals(), *offers(), *manifests()[::2]).waiting_for == ("player-1",)


def test_it_is_released_by_the_last_of_all_streams_and_by_no_other() -> None:
    assert len(manifests()) == 4
    before = after(*approvals(), *offers(), *manifests()[:-1])
    assert before.state is JobState.RUNNING
    job, effects = on_event(before, arrived(manifests()[-1], NOW + 9), TIMEOUTS)
    assert (job.state, job.ended_at, job.waiting_for) == (JobState.RELEASED, NOW + 9, ())
    assert [type(effect) for effect in effects] == [Append, Wake]


def test_a_plan_sent_twice_is_one_job() -> None:
    job = after(*approvals())
    assert on_event(job, submitted(LETTERS, NOW + 5), TIMEOUTS) == (job, ())


def test_a_repeat_changes_nothing_and_a_contradiction_is_refused() -> None:
    job = after(*approvals(), LETTERS.offer("player-0"))
    assert on_event(job, arrived(LETTERS.offer("player-0"), NOW + 9), TIMEOUTS) == (job, ())
    with pytest.raises(UsageError) as caught:
        on_event(job, arrived(LETTERS.offer("player-0", job_key="cc" * 32)), TIMEOUTS)
    assert caught.value.code == "job.conflict"


def test_the_same_words_under_two_signatures_are_a_repeat() -> None:
    job = after(LETTERS.approval("player-0"))
    document = LETTERS.approval("player-0")
    envelope = signed(document).signed_by(banks.unsafe_key("player-1"))
    assert on_event(job, Arrived(document, envelope, NOW), TIMEOUTS) == (job, ())


@pytest.mark.parametrize("document", [*offers(), *manifests()])
def test_nothing_runs_before_all_have_approved(document: Said) -> None:
    with pytest.raises(UsageError) as caught:
        on_event(after(LETTERS.approval("player-0")), arrived(document), TIMEOUTS)
    assert caught.value.code == "job.too-early"


@pytest.mark.parametrize(
    ("document", "state"),
    [
        (LETTERS.refusal("player-1"), JobState.REFUSED),
        (LETTERS.failure("player-0"), JobState.FAILED),
        (LETTERS.cancel(), JobState.CANCELLED),
    ],
)
def test_a_bad_end_discards_streams_and_refuses_what_comes_late(document: Said, state: JobState) -> None:
    job, effects = on_event(after(*approvals()), arrived(document), TIMEOUTS)
    assert job.state is state
    assert Discard() in effects
    for late in (*offers(), *manifests()):
        with pytest.raises(UsageError) as caught:
            on_event(job, arrived(late), TIMEOUTS)
        assert caught.value.code == "job.ended"


def test_after_a_failure_the_other_player_may_still_say_why() -> None:
    failed = after(*approvals(), LETTERS.failure("player-1"))
    job, effects = on_event(
        failed, arrived(LETTERS.failure("player-0", "data.unreadable"), NOW + 3), TIMEOUTS
    )
    assert any(isinstance(effect, Append) for effect in effects)
    assert (job.state, job.ended_at) == (failed.state, failed.ended_at)


def test_nothing_follows_a_release() -> None:
    job = after(*approvals(), *offers(), *manifests())
    for late in (LETTERS.cancel(), LETTERS.failure("player-0"), LETTERS.refusal("player-0")):
        with pytest.raises(UsageError) as caught:
            on_event(job, arrived(late), TIMEOUTS)
        assert caught.value.code == "job.ended"


def test_a_player_may_withdraw_its_approval_until_it_has_offered() -> None:
    assert after(*approvals(), LETTERS.refusal("player-0")).state is JobState.REFUSED
    with pytest.raises(UsageError):
        after(*approvals(), LETTERS.offer("player-0"), LETTERS.refusal("player-0"))


def test_members_without_a_part_in_the_plan_are_refused() -> None:
    local = Letters(banks.placed(banks.scan("accounts_c")))
    with pytest.raises(AuthError) as caught:
        after(local.approval("player-0"), letters=local)
    assert caught.value.code == "auth.not-concerned"
    with pytest.raises(AuthError) as caught:
        after(LETTERS.cancel("auditors"))
    assert caught.value.code == "auth.not-yours"
    with pytest.raises(AuthError) as caught:
        after(local.approval("player-1"))
    assert caught.value.code == "auth.other-job"


def test_a_plan_of_one_player_needs_no_offer() -> None:
    local = Letters(banks.placed(banks.scan("accounts_c")))
    job = after(local.approval("player-1"), letters=local)
    assert job.deadline == NOW + TIMEOUTS.completion_s
    stream = local.manifest(*local.streams[0])
    assert after(local.approval("player-1"), stream, letters=local).state is JobState.RELEASED


def test_a_stream_that_the_plan_does_not_have_is_refused() -> None:
    player, node, side = LETTERS.streams[0]
    for wrong in (LETTERS.manifest(player, node, 1 - side), LETTERS.manifest(player, node + 500, side)):
        with pytest.raises(UsageError) as caught:
            on_event(after(*approvals()), arrived(wrong), TIMEOUTS)
        assert caught.value.code == "job.unknown-stream"


def test_a_stream_longer_than_the_bounds_can_need_is_refused() -> None:
    stream = LETTERS.manifest(*LETTERS.streams[0])
    limit = stream_limit(LETTERS.plan.parts[0], 0)
    on_event(after(*approvals()), arrived(stream.model_copy(update={"bytes": limit})), TIMEOUTS)
    with pytest.raises(ResourceError) as caught:
        on_event(after(*approvals()), arrived(stream.model_copy(update={"bytes": limit + 1})), TIMEOUTS)
    assert caught.value.code == "resource.stream-too-long"


def test_the_limit_of_a_stream_leaves_room_for_every_row_and_for_nothing_absurd() -> None:
    part = LETTERS.plan.parts[0]
    for side in (0, 1):
        rows = padded(part.source(side).rows)
        widths = [
            (each.max_bytes or 0) + 18 for each in part.source(side).schema if each.type.kind != TypeKind.BOOL
        ]
        assert rows * (sum(widths) + 30) < stream_limit(part, side) < 10 * rows * (sum(widths) + 200) + 2**21


def test_time_closes_each_phase_and_names_who_was_silent() -> None:
    phases: list[tuple[list[Said], int, str]] = [
        ([LETTERS.approval("player-0")], TIMEOUTS.approvals_s, "peer.no-approval"),
        ([*approvals(), LETTERS.offer("player-0")], TIMEOUTS.offers_s, "peer.no-offer"),
        ([*approvals(), *offers(), *manifests()[::2]], TIMEOUTS.completion_s, "peer.no-result"),
    ]
    for said, timeout_s, code in phases:
        job = after(*said)
        assert on_event(job, Tick(NOW + timeout_s - 1), TIMEOUTS) == (job, ())
        same, (close,) = on_event(job, Tick(NOW + timeout_s), TIMEOUTS)
        assert same == job
        assert isinstance(close, Close)
        assert (close.document.code, close.document.waiting_for) == (code, ("player-1",))
        ended, _ = on_event(job, arrived(close.document), TIMEOUTS)
        assert ended.state is JobState.EXPIRED
        assert on_event(ended, Tick(NOW + 10**9), TIMEOUTS) == (ended, ())


def test_a_phase_counts_from_its_own_beginning() -> None:
    job = after(LETTERS.approval("player-0"))
    job, _ = on_event(job, arrived(LETTERS.approval("player-1"), NOW + 90), TIMEOUTS)
    assert job.deadline == NOW + 90 + TIMEOUTS.offers_s


def test_nobody_waits_for_approvals_of_a_plan_that_is_no_longer_valid() -> None:
    assert after(letters=Letters(replace(LETTERS.plan, not_after=NOW + 7))).deadline == NOW + 7


def test_what_nobody_submitted_is_unknown() -> None:
    with pytest.raises(UsageError) as caught:
        on_event(None, arrived(LETTERS.approval("player-0")), TIMEOUTS)
    assert caught.value.code == "usage.unknown-job"


def test_plans_that_cannot_be_routed_are_refused() -> None:
    check_plan(LETTERS.plan, banks.agreement(), NOW)
    with pytest.raises(PlanError):
        check_plan(banks.expired(LETTERS.plan), banks.agreement(), NOW)
    with pytest.raises(UsageError):
        check_plan(replace(LETTERS.plan, recipients=("stranger",)), banks.agreement(), NOW)
    with pytest.raises(AuthError):
        check_plan(LETTERS.plan, banks.agreement(), NOW + 400 * 86400)


DOCUMENTS: list[Said] = [
    *approvals(),
    *offers(),
    *manifests(),
    LETTERS.offer("player-0", job_key="cc" * 32),
    LETTERS.manifest(*LETTERS.streams[0], content=b"other"),
    *(LETTERS.refusal(player) for player in PLAYERS),
    *(LETTERS.failure(player) for player in PLAYERS),
    LETTERS.cancel(),
    LETTERS.cancel("auditors"),
]
GOOD = len(approvals() + offers() + manifests())
orders = st.one_of(
    st.lists(st.sampled_from(DOCUMENTS), max_size=25),
    # Mostly good news, so that releases are reached too.
    st.lists(st.sampled_from(DOCUMENTS[:GOOD]), min_size=30, max_size=60),
    st.permutations(DOCUMENTS[:GOOD] * 3),
)
EVENTS = {id(document): arrived(document) for document in DOCUMENTS}


@settings(max_examples=150, deadline=None)
@given(order=orders)
def test_in_whatever_order_things_are_said_no_rule_is_broken(order: list[Said]) -> None:
    job, effects = on_event(None, submitted(LETTERS), TIMEOUTS)
    logged: list[Submitted | Arrived] = [submitted(LETTERS)]
    released = 0
    for document in order:
        event = EVENTS[id(document)]
        try:
            next_job, effects = on_event(job, event, TIMEOUTS)
        except XorError:
            continue
        if job.state.is_final:
            assert next_job.state is job.state
        released += next_job.state is JobState.RELEASED and job.state is not JobState.RELEASED
        appended = [effect for effect in effects if isinstance(effect, Append)]
        assert len(appended) == bool(effects)
        logged += [event] * len(appended)
        assert on_event(next_job, event, TIMEOUTS) == (next_job, ())
        job = next_job
    assert released <= 1
    if job.state is JobState.RELEASED:
        assert {Slot(Kind.APPROVAL, player) for player in PLAYERS} | set(job.streams) <= job.said.keys()
    assert fold(logged, TIMEOUTS) == job
    assert len(job.said) == len(logged)


def test_random_orders_reach_releases() -> None:
    job = after(*approvals(), *approvals(), *manifests()[::-1], *manifests())
    assert job.state is JobState.RELEASED


MATCHED = Letters(
    banks.placed(
        banks.join(
            banks.scan("accounts_c"),
            banks.scan("transactions_a"),
            ("account", "ordering_account"),
            kind=JoinKind.ANTI,
        ),
        permits=lambda _: True,
    )
)
"""player-0 sends rows to player-1, which alone has a stream."""


def test_a_sender_without_a_stream_is_met_but_not_waited_for_once_the_result_is_here():
    said: list[Said] = [MATCHED.approval(player) for player in PLAYERS]
    assert MATCHED.streams == (("player-1", len(MATCHED.plan.nodes) - 1, 0),)
    job = after(*said, MATCHED.offer("player-1"), letters=MATCHED)
    assert job.waiting_for == ("player-0",)
    _, effects = on_event(job, Tick(NOW + 50), TIMEOUTS)
    assert [each.document.code for each in effects if isinstance(each, Close)] == ["peer.no-offer"]
    job = after(*said, *(MATCHED.offer(player) for player in PLAYERS), letters=MATCHED)
    assert job.waiting_for == ("player-1",)
    assert job.deadline == NOW + 1000
    job = after(*said, MATCHED.offer("player-1"), MATCHED.manifest(*MATCHED.streams[0]), letters=MATCHED)
    assert job.state is JobState.RELEASED


def test_a_sender_has_no_stream_to_vouch_for():
    said: list[Said] = [MATCHED.approval(player) for player in PLAYERS]
    _, node, _ = MATCHED.streams[0]
    with pytest.raises(UsageError):
        after(*said, MATCHED.manifest("player-0", node, 1), letters=MATCHED)
    with pytest.raises(UsageError):
        after(*said, MATCHED.manifest("player-0", node, 0), letters=MATCHED)
