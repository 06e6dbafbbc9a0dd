"""A service's directory for the three banks, and what they say."""

from pathlib import Path

import pytest

from xor.service import setup
from xor.signing import seal_envelope
from xor.testing import three_banks as banks
from xor.testing.letters import Letters


@pytest.fixture
def letters() -> Letters:
    return Letters(banks.placed(banks.both_directions(), banks.ANALYST, "auditors"))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "service"
    made.mkdir()
    banks.unsafe_key("service").save(made / setup.KEY)
    owners = (banks.unsafe_key(name) for name in banks.OWNERS)
    setup.create(made, [seal_envelope(banks.agreement(), *owners)])
    return made
