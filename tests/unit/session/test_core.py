"""The state machine of a submitted job: what it believes, what it repeats, when it gives up."""

from dataclasses import replace

import pytest

from xor.errors import AuthError, PeerError, PolicyDenied, ProtocolAbort, ResourceError, XorError
from xor.plan.codec import PAYLOAD_TYPE, encode_plan
from xor.session import core
from xor.signing import Envelope, seal_envelope
from xor.testing.answering import approval
from xor.testing.three_banks import ANALYST, NETWORK, unsafe_key
from xor.wire.messages import Cancel, Closed, Entry, Failure, JobState, Kind, Offer, Refusal


def ended_with(effects: tuple[core.Effect, ...]) -> XorError:
    (effect,) = effects
    assert isinstance(effect, core.Raise)
    return effect.error


def silent(service, plan, job):
    """Machines that say nothing."""


def test_a_result_counts_once_all_streams_of_both_sides_are_here(followed):
    (first,) = followed.submit()
    assert isinstance(first, core.Download)
    manifests = followed.run.manifests
    assert manifests.keys() == followed.run.expected.keys()
    assert len(manifests) == 2
    for key, manifest in sorted(manifests.items()):
        effects = followed.take(core.Downloaded(key, manifest.sha256, manifest.bytes))
    (last,) = effects
    assert isinstance(last, core.Finish)
    assert followed.run.phase is core.Phase.DONE
    assert followed.take(core.Viewed(followed.view())) == ()


def test_one_side_alone_is_not_enough(followed, service):
    service.answers = lambda service, plan, job: [
        service.say(manifest, manifest.player, job) for manifest in service.seal(plan, job)[:1]
    ]
    (effect,) = followed.submit()
    assert isinstance(effect, core.Poll)
    assert followed.run.awaited == ("player-0", "player-1")


def test_a_client_that_is_no_recipient_fetches_nothing(followed, service):
    followed.run = replace(followed.run, reader="auditors")
    (effect,) = followed.submit()
    assert isinstance(effect, core.Finish)


def test_a_lost_answer_is_asked_for_again_with_growing_delays(followed):
    (first,) = followed.take(core.Started())
    assert isinstance(first, core.Submit)
    delays = []
    for at in range(6):
        (again,) = followed.take(core.Unanswered(float(at)))
        assert isinstance(again, core.Submit)
        assert again.envelope == first.envelope
        delays.append(again.delay_s)
    assert delays == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0]
    followed.submit()
    assert followed.run.attempts == 0


def test_a_service_that_stays_silent_ends_the_waiting(followed):
    followed.take(core.Started())
    followed.take(core.Unanswered(10.0))
    error = ended_with(followed.take(core.Unanswered(10.0 + core.PATIENCE_S)))
    assert isinstance(error, PeerError)
    assert error.code == "peer.unreachable"
    assert followed.run.job in str(error)


def test_a_submission_that_arrived_twice_is_one_job(followed, service):
    service.lost_answers = 1
    followed.take(core.Started())
    with pytest.raises(PeerError):
        service.submit(NETWORK, followed.envelope)
    followed.submit()
    assert [entry.kind for entry in service.log].count(Kind.PLAN) == 1


def test_absent_machines_are_named_when_time_is_up(followed, service):
    service.silent = {"player-1"}
    followed.submit()
    assert followed.take(core.Ticked(99.0)) == ()
    error = ended_with(followed.take(core.Ticked(100.0)))
    assert isinstance(error, PeerError)
    assert error.code == "peer.timeout"
    assert "'player-1'" in str(error)
    assert "player-0" not in str(error)


def test_time_does_not_run_out_while_a_released_result_is_fetched(followed):
    followed.submit()
    assert followed.take(core.Ticked(10.0**6)) == ()


def test_a_refusal_says_who_why_and_what_would_allow_it(followed, service):
    def refuse(service, plan, job):
        refusal = Refusal(
            network=NETWORK,
            plan=job,
            player="player-1",
            kind="PolicyDenied",
            code="policy.denied",
            message="bank-c refuses",
            violations=("step 4: column 'zip'",),
            grant="reveal to fraud-desk: {rows: [zip]}",
        )
        service.say(refusal, "player-1", job)

    service.answers = refuse
    error = ended_with(followed.submit())
    assert isinstance(error, PolicyDenied)
    assert (error.player, error.job_id) == ("player-1", followed.run.job)
    assert error.violations == ("step 4: column 'zip'",)
    assert "reveal to fraud-desk" in str(error)


def test_a_failure_is_raised_as_the_machine_reported_it(followed, service):
    def fail(service, plan, job):
        service.say(
            Failure(network=NETWORK, plan=job, player="player-0", kind="ResourceError",
                    code="resource.too-many-rows", message="dataset above its bound\x1b[2J"), "player-0", job,
        )  # fmt: skip

    service.answers = fail
    error = ended_with(followed.submit())
    assert isinstance(error, ResourceError)
    assert (error.code, error.player) == ("resource.too-many-rows", "player-0")
    assert "\x1b" not in str(error)


def test_the_services_closing_names_who_did_not_answer(followed, service):
    service.answers = silent
    followed.submit()
    job = followed.run.job
    closed = seal_envelope(
        Closed(network=NETWORK, plan=job, code="peer.timeout", waiting_for=("player-1",)),
        unsafe_key("service"),
    )
    entry = Entry(position=9, job=job, kind=Kind.CLOSED, envelope=closed.to_bytes().decode())
    view = followed.view().model_copy(update={"entries": (entry,), "state": JobState.EXPIRED})
    error = ended_with(followed.take(core.Viewed(view)))
    assert isinstance(error, PeerError)
    assert "'player-1'" in str(error)


def test_a_cancelled_job_ends_for_whoever_waits(followed, service):
    service.answers = silent
    followed.submit()
    service.post(
        followed.run.job,
        seal_envelope(Cancel(network=NETWORK, plan=followed.run.job, analyst=ANALYST), unsafe_key(ANALYST)),
    )
    assert ended_with(followed.take(core.Viewed(followed.view()))).code == "peer.cancelled"


# -- a service or a member that lies ---------------------------------------------------------------------


def test_an_altered_plan_is_noticed(followed, service, plan):
    followed.take(core.Started())
    service.answers = silent
    view = service.submit(NETWORK, followed.envelope)
    other = replace(plan, nonce="8" * 64)
    envelope = Envelope(PAYLOAD_TYPE, encode_plan(other), ()).signed_by(unsafe_key(ANALYST))
    entry = view.entries[0].model_copy(update={"envelope": envelope.to_bytes().decode()})
    error = ended_with(followed.take(core.Viewed(view.model_copy(update={"entries": (entry,)}))))
    assert isinstance(error, AuthError)


def test_an_answer_about_another_job_is_noticed(followed, service):
    followed.take(core.Started())
    view = service.submit(NETWORK, followed.envelope)
    error = ended_with(followed.take(core.Viewed(view.model_copy(update={"job": "f" * 64}))))
    assert error.code == "auth.altered-plan"


@pytest.mark.parametrize("forger", ["service", ANALYST, "player-0", "bank-c"])
def test_an_approval_by_a_stranger_is_noticed(followed, service, forger):
    service.signers = {"player-1": forger}
    error = ended_with(followed.submit())
    assert isinstance(error, AuthError)
    assert error.code == "auth.bad-signature"


def test_an_approval_of_another_plan_is_noticed(followed, service):
    def answer(service, plan, job):
        said = approval(plan, "e" * 64, "player-0")
        service.say(said, "player-0", job)

    service.answers = answer
    assert ended_with(followed.submit()).code == "auth.other-job"


def test_a_player_may_only_vouch_for_its_own_stream(followed, service):
    def answer(service, plan, job):
        left, _ = service.seal(plan, job)
        service.say(left.model_copy(update={"player": "player-1"}), "player-1", job)

    service.answers = answer
    assert ended_with(followed.submit()).code == "auth.stranger"


@pytest.mark.parametrize("by", [-1, 1, 2**40])
def test_a_stream_of_another_size_than_the_plans_is_not_fetched(followed, service, by):
    def answer(service, plan, job):
        left, right = service.seal(plan, job)
        for each in (left, right.model_copy(update={"bytes": right.bytes + by})):
            service.say(each, each.player, job)

    service.answers = answer
    error = ended_with(followed.submit())
    assert isinstance(error, ProtocolAbort)
    assert error.code == "protocol.wrong-size"
    assert "download" not in service.requests


def test_two_manifests_of_one_stream_abort(followed, service):
    def answer(service, plan, job):
        left, _ = service.seal(plan, job)
        for each in (left, left, left.model_copy(update={"sha256": "1" * 64})):
            service.say(each, left.player, job)

    service.answers = answer
    error = ended_with(followed.submit())
    assert isinstance(error, ProtocolAbort)
    assert error.code == "protocol.two-manifests"


def test_streams_of_different_attempts_abort_before_anything_is_fetched(followed, service):
    def answer(service, plan, job):
        left, right = service.seal(plan, job)
        service.say(left, left.player, job)
        service.say(right.model_copy(update={"attempt": "1" * 32}), right.player, job)

    service.answers = answer
    assert ended_with(followed.submit()).code == "protocol.other-attempt"


@pytest.mark.parametrize("change", ["sha256", "size"])
def test_a_stream_that_is_not_the_signed_one_aborts(followed, change):
    followed.submit()
    key, manifest = next(iter(sorted(followed.run.manifests.items())))
    found = ("0" * 64, manifest.bytes) if change == "sha256" else (manifest.sha256, manifest.bytes + 1)
    error = ended_with(followed.take(core.Downloaded(key, *found)))
    assert isinstance(error, ProtocolAbort)
    assert error.code == "protocol.altered-stream"


def test_the_services_word_alone_neither_releases_nor_ends_a_job(followed, service):
    service.answers = silent
    followed.submit()
    service.state = JobState.RELEASED
    assert followed.run.phase is core.Phase.WAITING
    assert ended_with(followed.take(core.Viewed(followed.view()))).code == "peer.no-proof"


def test_a_repeated_entry_changes_nothing(followed, service):
    service.silent = {"player-1"}
    followed.submit()
    before = followed.run
    followed.take(core.Viewed(service.job(NETWORK, followed.run.job, 0, 0)))
    assert replace(followed.run, attempts=0) == replace(before, attempts=0)


def test_a_stranger_to_the_plan_has_no_say(followed, service, plan):
    """A member of the network that takes no part in this plan."""
    followed.run = replace(followed.run, plan=replace(plan, root=plan.root))
    offer = Offer(network=NETWORK, plan=followed.run.job, player="player-1", job_key="0" * 64)
    object.__setattr__(followed.run.plan, "players", ("player-0",))
    service.answers = lambda service, plan, job: service.say(offer, "player-1", job)
    assert ended_with(followed.submit()).code == "auth.stranger"


# -- coming back -----------------------------------------------------------------------------------------


def test_a_job_is_taken_up_again_from_its_log(followed, service):
    followed.submit()
    view = service.job(NETWORK, followed.run.job, 0, 0)
    again = core.resume(followed.run.trust, view, ANALYST, 100.0)
    assert again.plan == followed.run.plan
    (effect,) = core.on_event(again, core.Started())[1]
    assert isinstance(effect, core.Poll)
    assert effect.after == 0


def test_somebody_elses_job_is_not_taken_up(followed, service):
    followed.submit()
    view = service.job(NETWORK, followed.run.job, 0, 0)
    with pytest.raises(AuthError):
        core.resume(followed.run.trust, view, "auditors", 100.0)
    with pytest.raises(AuthError):
        core.resume(followed.run.trust, view.model_copy(update={"entries": ()}), ANALYST, 100.0)
