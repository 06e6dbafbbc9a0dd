"""Machines say what a job may take there and how their lines were; clients and machines act on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from xor import dataframe as xf
from xor import session
from xor.testing import processes
from xor.testing.local import LocalNetwork
from xor.testing.programs import selected


@pytest.fixture(scope="module")
def client(network: LocalNetwork) -> Iterator[xf.Client]:
    with session.open_session("localhost", network.port, api_token="*", use_ssl=False):
        yield xf.Client("two-parties", "localhost", network.port, "*", False)


def test_a_job_shows_how_the_line_is_and_the_next_plan_is_explained_with_it(client: xf.Client) -> None:
    frame = selected(client)
    before = frame.explain().text
    assert "assumed" in before
    assert "whose limits are not known" not in before
    assert len(frame.run(reveal=True).reveal()) > 0
    assert processes.wait_until(lambda: "seen in earlier jobs" in frame.explain().text, 30, step_s=0.5)
