"""The long campaigns behind `make` targets, in small: so that they run when somebody needs them."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.conftest import free_port

from xor.testing import canaries, kills, load


@pytest.fixture(autouse=True)
def environment(tmp_path: Path) -> Iterator[None]:
    """Campaigns name folders in the environment; tests give it back."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ |= before


@pytest.mark.timeout(300)
def test_each_kind_of_process_may_be_killed_at_any_step(tmp_path: Path) -> None:
    chance = random.Random(20261126)
    with kills.network_of(tmp_path, free_port(), rows=1000, oprf="vole") as network:
        campaign = kills.Campaign(network, chance, "vole")
        for step, victim in kills.aims(len(kills.VICTIMS), chance):
            campaign.kill_one(step, victim)
        campaign.close()
    assert len(campaign.results) == len(kills.VICTIMS)
    assert "kills" in kills.table(campaign.results)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root reads the memory of machines")
@pytest.mark.timeout(300)
def test_planted_values_are_found_where_they_may_be_and_nowhere_else() -> None:
    found = canaries.campaign(jobs=4, values=300, seed=20261126, port=free_port(), every=100)
    assert found["forbidden"] == []
    assert found["jobs"] >= 4
    for back_end in ("vole", "dh"):
        assert found[back_end]["found where permitted"].keys() == {"client", "player-0", "player-1"}
        assert found[back_end]["bytes on the wire"] > 10_000


@pytest.mark.timeout(120)
def test_light_machines_and_many_jobs_keep_a_service_busy_without_errors() -> None:
    found = load.load(10, 5, seconds=5, warm_s=2, port=free_port())
    assert found["errors"] == {}
    assert found["jobs done"] > 5
