"""The transitions of one job: what leads to a worker, and all that ends one."""

from collections.abc import Iterable

import pytest

from xor.machine.core import Job, State, on_event, peers_of, sides_of
from xor.machine.events import (
    CleanUp,
    Clear,
    Cleared,
    Delivered,
    Denied,
    Effect,
    Event,
    Failed,
    GivePeer,
    Judge,
    Judged,
    KillWorker,
    Restarted,
    Send,
    StartWorker,
    Tick,
    Upload,
    Uploaded,
)
from xor.machine.orders import routes_of
from xor.machine.routing import Route
from xor.wire.messages import Failure, Kind, Offer, Refusal

DENIED = Denied(kind="PolicyDenied", code="policy.denied", message="no", violations=("v",), grant="g")


def after(job: Job, *events: Event) -> tuple[Job, list[Effect]]:
    effects: list[Effect] = []
    for event in events:
        job, more = on_event(job, event)
        effects += more
    return job, effects


def kinds(effects: Iterable[Effect]) -> list[type]:
    return [type(each) for each in effects]


def until_running(script, address=None):
    return [
        script.plan_arrives(),
        Judged(verdict=script.allowed()),
        script.approval(),
        Cleared(verdict=script.allowed()),
        script.ready(address),
    ]


def test_a_plan_runs_once_all_have_approved_it_and_it_is_spent(script):
    job, effects = after(script.job, script.plan_arrives())
    assert kinds(effects) == [Judge]
    job, effects = after(job, Judged(verdict=script.allowed()))
    assert kinds(effects) == [Send]
    assert job.state is State.APPROVED
    job, effects = after(job, script.approval())
    assert kinds(effects) == [Clear]
    job, effects = after(job, Cleared(verdict=script.allowed()))
    assert kinds(effects) == [StartWorker]


def test_what_arrives_before_the_plan_is_kept_for_it(script):
    job, effects = after(script.job, script.approval(), script.offer(), script.plan_arrives())
    assert kinds(effects) == [Judge]
    job, effects = after(job, Judged(verdict=script.allowed()))
    assert kinds(effects) == [Send, Clear]
    assert job.offers


def test_a_cancel_before_the_plan_ends_it_unjudged(script):
    job, effects = after(script.job, script.cancel(), script.plan_arrives())
    assert job.state is State.ENDED
    assert Judge() not in effects


@pytest.mark.parametrize(
    "changes",
    [
        {"policies": ()},
        {"plan": "0" * 64},
        {"player": "player-7"},
        {"policies": ({"dataset": "transactions_a", "owner": "bank-a", "policy_version": 1},)},
    ],
)
def test_an_approval_that_is_not_of_this_plan_and_all_its_policies_counts_nothing(script, changes):
    job, _ = after(script.job, script.plan_arrives(), Judged(verdict=script.allowed()))
    job, effects = after(job, script.approval(**changes))
    assert job.state is State.APPROVED
    assert effects == []


def test_an_approval_for_another_version_of_a_policy_counts_nothing(script):
    job, _ = after(script.job, script.plan_arrives(), Judged(verdict=script.allowed()))
    newer = tuple(each.model_copy(update={"policy_version": 2}) for each in script.policies_of(script.peer))
    job, effects = after(job, script.approval(policies=newer))
    assert effects == []


def test_its_own_approval_from_the_log_does_not_stand_for_its_own_judge(script):
    job, effects = after(script.job, script.plan_arrives(), script.approval(), script.approval(script.me))
    assert job.state is State.JUDGING
    assert script.me not in job.approvals
    assert kinds(effects) == [Judge]


def test_a_refusal_carries_clause_and_grant(script):
    job, effects = after(script.job, script.plan_arrives(), Judged(verdict=DENIED))
    assert job.state is State.REFUSED
    [sent] = [each.document for each in effects if isinstance(each, Send)]
    assert isinstance(sent, Refusal)
    assert (sent.code, sent.violations, sent.grant) == ("policy.denied", ("v",), "g")


def test_texts_too_long_for_a_message_are_cut(script):
    long = DENIED.model_copy(update={"message": "m" * 9999, "hint": "h" * 9999, "grant": "g" * 9999})
    job, _ = after(script.job, script.plan_arrives(), Judged(verdict=long))
    assert len(job.outbox[0].message) == 2000


def test_the_final_judgement_can_still_say_no(script):
    events = until_running(script)[:3]
    job, effects = after(script.job, *events, Cleared(verdict=DENIED))
    assert job.state is State.FAILED
    assert StartWorker not in kinds(effects)
    assert isinstance(job.outbox[-1], Failure)


def test_peers_are_given_whether_their_offer_comes_early_or_late(script):
    early = [*until_running(script)[:3], script.offer(), *until_running(script)[3:]]
    late = [*until_running(script), script.offer()]
    for events in (early, late):
        job, effects = after(script.job, *events)
        assert effects[-1] == GivePeer(script.peer, "bb" * 32, False, "127.0.0.1:9")
        assert job.given == {script.peer}


def test_a_second_offer_of_the_same_player_changes_nothing(script):
    job, _ = after(script.job, *until_running(script), script.offer())
    again, effects = after(job, script.offer(key="dd" * 32))
    assert (again, effects) == (job, [])


@pytest.mark.parametrize(
    ("mine", "theirs", "is_listener"),
    [("h:1", None, True), (None, "h:2", False), ("h:1", "h:2", False)],
)
def test_who_has_an_address_listens_and_of_two_the_lower_name(script, mine, theirs, is_listener):
    _, effects = after(script.job, *until_running(script, mine), script.offer(theirs))
    [peer] = [each for each in effects if isinstance(each, GivePeer)]
    assert peer.is_listener is is_listener
    assert peer.address == (None if is_listener else theirs)


def test_two_machines_without_addresses_end_the_job_by_name(script):
    job, _ = after(script.job, *until_running(script), script.offer(None))
    assert job.state is State.FAILED
    assert job.outbox[-1].code == "peer.no-address"
    assert "relay" in job.outbox[-1].hint


def test_every_stream_is_uploaded_and_then_the_job_is_done(script):
    job, effects = after(script.job, *until_running(script), script.offer(), script.done())
    uploads = [each.manifest for each in effects if isinstance(each, Upload)]
    assert len(uploads) == 2
    assert {each.player for each in uploads} == {script.me}
    for manifest in uploads:
        job, effects = after(job, Uploaded(node=manifest.node, side=manifest.side))
    assert job.state is State.DONE
    assert kinds(effects) == [KillWorker, CleanUp]


def test_streams_that_the_plan_does_not_name_are_a_fault_of_the_worker(script):
    done = script.done()
    odd = done.model_copy(update={"streams": done.streams[:1]})
    job, _ = after(script.job, *until_running(script), script.offer(), odd)
    assert job.outbox[-1].code == "internal.wrong-streams"


@pytest.mark.parametrize("how", ["cancel", "failure", "refusal", "closed"])
@pytest.mark.parametrize("events", [1, 2, 3, 4, 5])
def test_the_word_of_another_ends_the_job_and_kills_the_worker(script, how, events):
    job, _ = after(script.job, *until_running(script)[:events])
    job, effects = after(job, getattr(script, how)())
    assert job.state is State.ENDED
    assert kinds(effects) == [KillWorker, CleanUp]
    assert after(job, *until_running(script)) == (job, [])


def test_a_cancel_by_another_analyst_is_nothing(script):
    job, _ = after(script.job, *until_running(script))
    assert after(job, script.cancel("auditors")) == (job, [])


@pytest.mark.parametrize("events", [1, 2, 3, 4, 5])
def test_the_end_of_the_plans_validity_kills_the_worker(script, events):
    job, _ = after(script.job, *until_running(script)[:events])
    still, effects = after(job, Tick(now=script.plan.not_after - 1))
    assert still == job
    job, effects = after(job, Tick(now=script.plan.not_after))
    assert job.outbox[-1].code == "plan.expired"
    assert KillWorker() in effects


def test_a_failed_worker_is_reported_with_its_code(script):
    job, effects = after(
        script.job, *until_running(script), Failed(kind="DataError", code="data.x", message="step 1")
    )
    assert (job.state, job.outbox[-1].code) == (State.FAILED, "data.x")
    assert kinds(effects)[-3:] == [KillWorker, Send, CleanUp]


@pytest.mark.parametrize("events", [4, 5])
def test_a_restart_in_the_middle_of_a_run_is_a_failure_never_a_second_run(script, events):
    job, _ = after(script.job, *until_running(script)[:events])
    job, effects = after(job, Restarted())
    assert job.outbox[-1].code == "peer.interrupted"
    assert StartWorker not in kinds(effects)
    job, effects = after(job, *until_running(script), Restarted())
    assert StartWorker not in kinds(effects)


def test_a_restart_before_the_spending_goes_on(script):
    events = until_running(script)
    for count, expected in ((1, [Judge]), (2, [Send]), (3, [Send, Clear])):
        job, _ = after(script.job, *events[:count])
        _, effects = after(job, Restarted())
        assert kinds(effects) == expected


def test_a_restart_after_the_streams_uploads_the_same_again(script):
    job, first = after(script.job, *until_running(script), script.offer(), script.done())
    uploads = [each for each in first if isinstance(each, Upload)]
    job, _ = after(job, Uploaded(node=uploads[0].manifest.node, side=uploads[0].manifest.side))
    _, effects = after(job, Restarted())
    assert [each for each in effects if isinstance(each, Upload)] == uploads[1:]


def test_what_the_service_has_not_taken_is_sent_again(script):
    job, _ = after(script.job, *until_running(script))
    _, effects = after(job, Tick(now=0))
    assert kinds(effects) == [Send, Send]
    job, _ = after(job, Delivered(kind=Kind.APPROVAL))
    _, effects = after(job, Tick(now=0))
    assert [type(each.document) for each in effects] == [Offer]


def test_a_plan_seen_again_elsewhere_in_a_log_is_refused_as_spent(script):
    job, _ = after(script.job, *until_running(script), script.failure())
    assert after(job, script.plan_arrives(position=1)) == (job, [])
    job, effects = after(job, script.plan_arrives(position=9))
    assert [each.document.code for each in effects] == ["plan.spent"]
    assert after(job, script.plan_arrives(position=9)) == (job, [])


def test_a_plan_that_does_not_concern_this_player_ends_quietly(script):
    job, effects = after(Job(script.id, "two-parties", "player-9"), script.plan_arrives())
    assert (job.state, effects) == (State.ENDED, [])


def test_a_malformed_plan_is_refused_by_name(script):
    broken = script.plan_arrives().model_copy(update={"payload": "{}"})
    job, effects = after(script.job, broken)
    assert job.state is State.REFUSED
    assert job.outbox[0].code.startswith("plan.")
    assert kinds(effects) == [Send]


def test_who_only_sends_rows_to_a_receiver_is_done_with_its_worker(matched):
    job, effects = after(matched.job, *until_running(matched), matched.offer())
    assert effects[-1] == GivePeer("player-1", "bb" * 32, False, "127.0.0.1:9")
    assert sides_of(matched.plan, "player-0") == frozenset()
    assert sides_of(matched.plan, "player-1") == {(len(matched.plan.nodes) - 1, 0)}
    job, effects = after(job, matched.done())
    assert job.state is State.DONE
    assert kinds(effects) == [KillWorker, CleanUp]
    again, effects = after(job, Tick(now=matched.plan.not_after))
    assert again is job
    assert kinds(effects) == [Send, Send], "what the service has not taken yet"


def test_a_sender_that_finishes_a_stream_is_a_mistake(matched):
    job, _ = after(matched.job, *until_running(matched))
    receiver = type(matched)(matched.plan, me="player-1", peer="player-0")
    job, _ = after(job, receiver.done())
    assert (job.state, job.outbox[-1].code) == (State.FAILED, "internal.wrong-streams")


def test_both_players_of_a_matched_join_may_be_connected(matched):
    job, _ = after(matched.job, matched.plan_arrives())
    assert routes_of(job) == {Route(job.id, matched.plan.exchanges[0].node, 0, "player-1")}
    assert peers_of(matched.plan, "player-1") == {"player-0"}
