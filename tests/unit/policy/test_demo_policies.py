"""The demo's policies allow exactly the demo: without any one of their grants it is refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from xor.errors import UsageError
from xor.policy.grant import policy_text
from xor.policy.judge import judge
from xor.policy.parse import parse
from xor.testing.three_banks import (
    ENTRIES,
    NOW,
    agreement,
    both_directions,
    literal_program,
    one_direction,
    placed,
    policies,
)

POLICIES = Path(__file__).parents[3] / "examples" / "policies"
TEXTS = {name: (POLICIES / f"{name}.yaml").read_text() for name in ENTRIES}
TEXT_ONLY = {("purpose",)}
"""What a policy says to people and nobody is allowed anything by."""
UNREADABLE = {
    ("policy",),
    ("valid",),
    ("protection", "adversary"),
    ("protection", "dealer"),
    ("protection", "simulated clean room", "until"),
    ("protection", "simulated clean room", "reason"),
}
"""Without these a policy cannot even be read, so nothing is allowed."""


def decide(relation, texts):
    return judge(placed(relation), policies(texts), agreement(), {}, NOW)


def without_each_part(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """The document once for each clause, part of a clause and item of a list, without it."""
    if isinstance(document, dict):
        for key, value in document.items():
            rest = {each: document[each] for each in document if each != key}
            yield (*path, key), rest
            for below, changed in without_each_part(value, (*path, key)):
                yield below, {**document, key: changed}
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield (*path, value), document[:index] + document[index + 1 :]


def deletions():
    for name, text in TEXTS.items():
        for path, document in without_each_part(yaml.load(text, Loader=yaml.BaseLoader)):
            yield pytest.param(name, path, document, id=f"{name}: {' / '.join(path)}")


@pytest.mark.parametrize("program", [one_direction, both_directions])
def test_the_demo_is_allowed_as_it_is(program):
    assert decide(program(), TEXTS).violations == ()


@pytest.mark.parametrize(("name", "path", "document"), list(deletions()))
def test_without_any_one_grant_the_demo_is_refused(name, path, document):
    text = policy_text(document)
    if path in TEXT_ONLY:
        assert decide(both_directions(), {**TEXTS, name: text}).is_allowed
        return
    if path in UNREADABLE:
        with pytest.raises(UsageError):
            parse(text)
        return
    decision = decide(both_directions(), {**TEXTS, name: text})
    assert {each.dataset for each in decision.violations} == {name}
    assert {each.clause for each in decision.violations} == {path[0].partition(" ")[0]}


def test_every_kind_of_part_was_deleted():
    paths = [parameters.values[1] for parameters in deletions()]
    assert len(paths) > 60
    assert {len(path) for path in paths} == {1, 2, 3}


def test_the_literal_program_is_refused_and_the_columns_are_named():
    error = decide(literal_program(), TEXTS).to_error()
    for dataset in ("accounts_b", "accounts_c"):
        assert any(
            f"columns 'balance', 'city', 'country', 'name', 'street', 'zip' of '{dataset}'" in each
            for each in error.violations
        )
    assert "street_1" in (error.hint or "")
