"""Two real machines: a job from plan to streams, and everything that must not make one run."""

from xor.wire.messages import JobState


def test_a_sealed_join_runs_between_two_machines_and_opens_to_the_analyst(bench):
    plan = bench.plan()
    view = bench.finished(bench.submit(plan))
    assert view.state is JobState.RELEASED, bench.processes["player-0"].text
    assert bench.opened(plan, view) == [
        ("k1", "apple", "k1", "A"),
        ("k2", "pear", "k2", "B"),
        ("k2", "plum", "k2", "B"),
    ]
