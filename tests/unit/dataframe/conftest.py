"""A client at the three banks, over a service in memory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from xor import dataframe as xf
from xor.session.opening import Session
from xor.testing import answering
from xor.testing.answering import AnsweringService
from xor.testing.three_banks import NETWORK, NOW


@pytest.fixture
def service(tmp_path: Path) -> AnsweringService:
    return AnsweringService(scratch=tmp_path)


@pytest.fixture
def client(service: AnsweringService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[xf.Client]:
    monkeypatch.setenv("XOR_HOME", str(tmp_path))
    with Session(answering.profile(tmp_path), None, service, now=lambda: NOW) as session:
        yield xf.Client(NETWORK, session=session, clock=service.clock)


@pytest.fixture
def transactions(client: xf.Client) -> xf.Frame:
    return xf.use("transactions_a", "player-0", client=client)


@pytest.fixture
def b_accounts(client: xf.Client) -> xf.Frame:
    return xf.use("accounts_b", "player-0", client=client)


@pytest.fixture
def c_accounts(client: xf.Client) -> xf.Frame:
    return xf.use("accounts_c", "player-1", client=client)
