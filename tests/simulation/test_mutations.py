"""The script that breaks the control plane on purpose: it finds its targets, and the simulator finds out."""

import importlib.machinery
import importlib.util
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "mutate"
CAUGHT = {
    'machine/journal.py spend: self._db.execute("INSERT INTO spent (plan) VALUES …': "spent",
    "wire/trust.py: envelope.payload_signed_by(payload_type, keys[clai…": "stranger",
    "service/shell.py inbox: self._freshness.check(poll.nonce, poll.at, self.no…": "answers",
    "service/jobs.py: await asyncio.to_thread(self._store.append, job, e…": "log",
}
"""Some that the first seeds catch, and a word of what is violated then."""


@pytest.fixture(scope="module")
def mutate():
    loader = importlib.machinery.SourceFileLoader("mutate", str(TOOL))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("mutate", loader))
    sys.modules["mutate"] = module
    loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", CAUGHT)
def test_the_first_seeds_notice_what_is_missing(mutate, name):
    (mutation,) = (each for each in mutate.mutations() if each.name == name)
    seed, _, claim = mutate.tried(mutation, seeds=30).partition(" ")
    assert int(seed) < 30
    assert CAUGHT[name] in claim


def test_a_change_of_nothing_is_not_noticed(mutate):
    (one, *_) = mutate.mutations()
    nothing = mutate.Mutation("nothing", one.file, one.start, one.start, "")
    assert mutate.tried(nothing, seeds=2) == ""


def test_every_mutation_is_in_the_table_or_has_a_reason(mutate):
    names = {each.name for each in mutate.mutations()}
    assert names >= mutate.EXEMPT.keys()
    table = mutate.TABLE.read_text(encoding="utf-8")
    missing = [name for name in names if f"| `{name.replace('|', '¦')}` |" not in table]
    assert not missing, "run tools/mutate --write"
