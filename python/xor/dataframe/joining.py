"""Joins as an analyst writes them, turned into relations: suffixes, keys, more than two inputs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from xor.dataframe.lookup import resolve
from xor.errors import PlanError, SchemaError, UsageError
from xor.plan.relations import Join, JoinKind, Project, Relation

Suffixes = Sequence[str] | Literal["clash"] | None

_VALIDATE = {
    "1:1": (True, True),
    "one_to_one": (True, True),
    "1:m": (True, False),
    "one_to_many": (True, False),
    "m:1": (False, True),
    "many_to_one": (False, True),
    "m:m": (False, False),
    "many_to_many": (False, False),
}
"""Which side may hold no key twice: left, right."""


@dataclass(frozen=True)
class Input:
    """One input of a join: its relation and the key columns in it, by their names there."""

    relation: Relation
    keys: tuple[str, ...]


def join_relations(
    inputs: Sequence[Input], kind: JoinKind, suffixes: Suffixes, validate: str | None
) -> Relation:
    """The join of all inputs on their keys, folded from the left on the first input's key.

    Raises:
        SchemaError: keys that do not fit, or two output columns of one name.
        PlanError: a kind of join that is not possible for so many inputs, or an undeclared uniqueness.
    """
    if len(inputs) > 2 and kind not in (JoinKind.INNER, JoinKind.LEFT):
        raise PlanError(
            f"a {kind.value} join takes two frames, not {len(inputs)}",
            code="plan.join-inputs",
            hint="more than two frames join inner or left; nest the others.",
        )
    _check_lengths(inputs)
    renames = _renames([each.relation for each in inputs], kind, suffixes)
    wrapped = [
        Project(each.relation, tuple((new, old) for old, new in names.items()))
        for each, names in zip(inputs, renames, strict=True)
    ]
    first_keys = [renames[0][key] for key in inputs[0].keys]
    joined: Relation = wrapped[0]
    for index in range(1, len(inputs)):
        right_keys = [renames[index][key] for key in inputs[index].keys]
        step = Join(joined, wrapped[index], tuple(zip(first_keys, right_keys, strict=True)), kind)
        _check_unique(step, validate, index)
        joined = step
    return joined


def join_kind(how: str) -> JoinKind:
    """The kind of join of that name.

    Raises:
        UsageError: there is none; all are listed.
    """
    if how in list(JoinKind):
        return JoinKind(how)
    raise UsageError(
        f"how={how!r} is no kind of join",
        code="usage.unknown-join",
        hint=f"kinds: {', '.join(JoinKind)}; every row with every row (cross) is not possible.",
    )


def key_lists(on: object, count: int) -> list[list[str]]:
    """`on` of `xf.join` as one list of names per input.

    Raises:
        UsageError: it has another form; the hint shows the right one.
    """
    if isinstance(on, str):
        return [[on] for _ in range(count)]
    if isinstance(on, list | tuple) and len(on) == count:
        lists = [list(keys) if isinstance(keys, list | tuple) else keys for keys in on]
        if all(isinstance(keys, list) and keys and all(isinstance(k, str) for k in keys) for keys in lists):
            return [list(keys) for keys in lists]
    raise UsageError(
        f"on= needs one list of key columns for each of the {count} frames",
        code="usage.join-keys",
        hint=f"on=[{', '.join(['[...]'] * count)}], or one name that all of them have.",
    )


def names(value: object, what: str) -> list[str]:
    """A name or a list of names as a list.

    Raises:
        UsageError: it is neither.
    """
    if isinstance(value, str):
        return [value]
    if isinstance(value, list | tuple) and value and all(isinstance(each, str) for each in value):
        return list(value)
    raise UsageError(f"{what} needs a column name or a list of them", code="usage.invalid")


def resolved_input(relation: Relation, keys: Sequence[str], frame: str | None) -> Input:
    return Input(relation, tuple(resolve(relation.schema, key, frame).name for key in keys))


def _check_lengths(inputs: Sequence[Input]) -> None:
    lengths = [len(each.keys) for each in inputs]
    if len(set(lengths)) != 1:
        raise SchemaError(
            f"the frames have keys of different lengths: {', '.join(map(str, lengths))}",
            code="schema.key-mismatch",
            hint="name as many key columns for every frame, in the same order.",
        )


def _renames(relations: Sequence[Relation], kind: JoinKind, suffixes: Suffixes) -> list[dict[str, str]]:
    """For each input its old names and the new ones."""
    columns = [relation.schema.names for relation in relations]
    ends = _ends(len(relations), suffixes)
    visible = columns if kind.keeps_right_columns else columns[:1]
    clashing = {name for own in visible for name in own if sum(name in other for other in visible) > 1}
    new = [
        {name: name + end if suffixes != "clash" or name in clashing else name for name in own}
        for own, end in zip(columns, ends, strict=True)
    ]
    if not kind.keeps_right_columns:
        # The right side's names are only used for its keys; they may not meet the left side's.
        taken = set(new[0].values())
        new[1] = {old: _apart(name, taken) for old, name in new[1].items()}
    _check_distinct([name for own in new for name in own.values()])
    return new


def _ends(count: int, suffixes: Suffixes) -> list[str]:
    if suffixes is None or suffixes == "clash":
        return [f"_{index}" for index in range(count)]
    if (
        not isinstance(suffixes, str)
        and len(suffixes) == count
        and all(isinstance(each, str | None) for each in suffixes)
    ):
        return [each or "" for each in suffixes]
    raise UsageError(
        f"suffixes= needs one text for each of the {count} frames",
        code="usage.suffixes",
        hint="suffixes=('_left', '_right'), or suffixes='clash' for columns of the same name only.",
    )


def _apart(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _check_distinct(columns: Sequence[str]) -> None:
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise SchemaError(
            f"the join would have two columns named {', '.join(map(repr, twice[:5]))}",
            code="schema.duplicate-column",
            hint="choose other suffixes, or rename before the join.",
        )


def _check_unique(join: Join, validate: str | None, index: int) -> None:
    if validate is None:
        return
    if validate not in _VALIDATE:
        raise UsageError(
            f"validate={validate!r} is not known",
            code="usage.invalid",
            hint="one of 1:1, 1:m, m:1, m:m.",
        )
    needs_left, needs_right = _VALIDATE[validate]
    declared = (join.left_is_unique or not needs_left, join.right_is_unique or not needs_right)
    if not all(declared):
        side = "left" if not declared[0] else f"right (frame {index})"
        raise PlanError(
            f"validate={validate!r}: nothing declares the {side} keys unique",
            code="plan.not-unique",
            hint="it is checked against what owners declare (`unique` of a dataset), never by counting.",
        )
