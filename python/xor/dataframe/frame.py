"""Frames: an analyst's lazy handle on a relation. Building one runs nothing and checks everything."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn, overload

import pandas as pd

from xor.dataframe import joining, render
from xor.dataframe.asked import DEFAULT_TIMEOUT_S, Asked
from xor.dataframe.columns import ColumnExpression, Condition, condition
from xor.dataframe.handles import Handle
from xor.dataframe.joining import Suffixes
from xor.dataframe.lookup import resolve
from xor.dataframe.sample import synthetic_rows
from xor.dataframe.unbuilt import UnbuiltFrame, not_built
from xor.errors import SchemaError, UsageError
from xor.model.types import DataType, Schema
from xor.plan.explain import Explanation
from xor.plan.relations import Concat, Filter, Project, Relation, Scan

if TYPE_CHECKING:
    from xor.dataframe.check import Check
    from xor.dataframe.client import Client
    from xor.dataframe.job import Job
    from xor.dataframe.result import Result


class Frame(UnbuiltFrame, Handle):
    """A table that may be asked for: columns and types are known, rows are not here.

    Made by `xf.use`, `xf.join`, `xf.concat` and the methods below, each of which gives a new frame.
    """

    def __init__(self, relation: Relation, client: "Client") -> None:
        client.check_placeable(relation)
        self._relation = relation
        self._client = client

    @property
    def relation(self) -> Relation:
        """The node of the plan that this frame stands for."""
        return self._relation

    @property
    def client(self) -> "Client":
        return self._client

    @property
    def schema(self) -> Schema:
        """Names, types and bounds of the columns, and where their values come from."""
        return self._relation.schema

    @property
    def columns(self) -> list[str]:
        return list(self.schema.names)

    @property
    def dtypes(self) -> dict[str, DataType]:
        return {each.name: each.type for each in self.schema}

    @property
    def name(self) -> str | None:
        """The dataset's name, if the frame is one as it is."""
        return self._relation.dataset.name if isinstance(self._relation, Scan) else None

    @overload
    def __getitem__(self, key: str) -> ColumnExpression: ...

    @overload
    def __getitem__(self, key: list[str] | tuple[str, ...] | Condition | ColumnExpression) -> "Frame": ...

    def __getitem__(
        self, key: str | list[str] | tuple[str, ...] | Condition | ColumnExpression
    ) -> "ColumnExpression | Frame":
        """`frame["a"]` is a column, `frame[["a", "b"]]` a selection, `frame[frame["a"] > 1]` a filter.

        A column is found by its name or by where it comes from: `frame["transactions_a.amount"]`.

        Raises:
            SchemaError: there is none, or several come from there.
        """
        if isinstance(key, str):
            return ColumnExpression(resolve(self.schema, key, self.name))
        if isinstance(key, Condition | ColumnExpression):
            return self.filter(key)
        if isinstance(key, list | tuple):
            return self.select(key)
        raise UsageError(
            f"a frame is not indexed by {type(key).__name__}",
            code="usage.invalid",
            hint="use a column name, a list of them, or a condition. Rows have no number.",
        )

    def select(self, *columns: str | Sequence[str]) -> "Frame":
        """The frame with these columns only, in this order: `select(["a", "b"])` or `select("a", "b")`."""
        listed = [name for each in columns for name in joining.names(each, "select")]
        if not listed:
            raise UsageError("select needs at least one column", code="usage.invalid")
        chosen = [resolve(self.schema, name, self.name).name for name in listed]
        return self._project([(name, name) for name in chosen])

    def drop(self, *columns: str | Sequence[str]) -> "Frame":
        """The frame without these columns."""
        listed = [name for each in columns for name in joining.names(each, "drop")]
        dropped = {resolve(self.schema, name, self.name).name for name in listed}
        kept = [(name, name) for name in self.columns if name not in dropped]
        if not kept:
            raise SchemaError("drop would leave no column", code="schema.no-column")
        return self._project(kept)

    def rename(self, columns: Mapping[str, str]) -> "Frame":
        """The frame with columns renamed: `rename({"old": "new"})`.

        Raises:
            SchemaError: an old name is not there, or a new one is there already.
        """
        if not isinstance(columns, Mapping) or not all(isinstance(new, str) for new in columns.values()):
            raise UsageError("rename needs a mapping of old names to new ones", code="usage.invalid")
        new_names = {resolve(self.schema, old, self.name).name: new for old, new in columns.items()}
        return self._project([(new_names.get(name, name), name) for name in self.columns])

    def filter(self, *conditions: Condition | ColumnExpression) -> "Frame":
        """The rows for which all conditions are true; unknown (NULL) is not true.

        Raises:
            SchemaError: a condition is about another frame's columns.
            PlanError: after a private join, one part of the condition needs columns of both players, or of
                the side that may be NULL: no owner can apply it, and nothing is filtered at the analyst.
        """
        relation = self._relation
        for each in conditions:
            relation = Filter(relation, condition(each).fitted(self.schema))
        return self._with(relation)

    def join(
        self,
        other: "Frame",
        on: str | Sequence[str] | None = None,
        how: str = "inner",
        *,
        left_on: str | Sequence[str] | None = None,
        right_on: str | Sequence[str] | None = None,
        suffixes: Suffixes = None,
        validate: str | None = None,
        fuzzy: object = None,
    ) -> "Frame":
        """Joins two frames on `on` (names that both have) or on `left_on` and `right_on`."""
        if not isinstance(other, Frame):
            raise UsageError("a frame is joined with a frame", code="usage.invalid")
        if on is not None and left_on is None and right_on is None:
            left_on = right_on = on
        elif on is not None or left_on is None or right_on is None:
            raise UsageError(
                "a join needs its key columns",
                code="usage.join-keys",
                hint="give on=, or both left_on= and right_on=.",
            )
        keys = [joining.names(left_on, "left_on"), joining.names(right_on, "right_on")]
        return join([self, other], keys, how, suffixes=suffixes, validate=validate, fuzzy=fuzzy)

    merge = join

    def head(self, n: int = 5) -> pd.DataFrame:
        """`n` SYNTHETIC rows of the right types, labelled as such. Never data."""
        return synthetic_rows(self.schema, n)

    def check(self, to: str | Sequence[str] | None = None) -> "Check":
        """Judges the plan against the owners' policies. Nothing runs and nothing is sent but a look-up."""
        return self._client.check(self, to)

    def explain(self, to: str | Sequence[str] | None = None) -> Explanation:
        """Who would learn what, where each step runs and what it costs."""
        return self._client.explain(self, to)

    def run(
        self,
        reveal: bool = False,
        to: str | Sequence[str] | None = None,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        name: str | None = None,
    ) -> "Result":
        """Runs the plan and waits for its result, which only the recipients can open.

        Args:
            reveal: seal the result to the analyst, or to the analysts in `to`.
            to: names of analysts of the network.
            timeout_s: how long to wait for machines, in seconds; then the job is cancelled.
            name: keeps a result under a name; not built yet.

        Raises:
            PlanError: the plan cannot run as asked. PolicyDenied: an owner does not allow it.
            PeerError: a machine or the service is absent or breaks off.

        Discloses: what `explain()` says, to whom it says.
        """
        return self._client.run(self, Asked(reveal, to, timeout_s, name))

    def submit(
        self,
        reveal: bool = False,
        to: str | Sequence[str] | None = None,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        name: str | None = None,
    ) -> "Job":
        """Like `run`, but gives the job at once: `job.status`, `job.wait()`, `job.cancel()`."""
        return self._client.submit(self, Asked(reveal, to, timeout_s, name))

    def _project(self, columns: Sequence[tuple[str, str]]) -> "Frame":
        return self._with(Project(self._relation, tuple(columns)))

    def _with(self, relation: Relation) -> "Frame":
        return Frame(relation, self._client)

    def __len__(self) -> NoReturn:
        raise _no_rows("a frame has no length")

    def __iter__(self) -> NoReturn:
        raise _no_rows("a frame has no rows to go through; `columns` has the names")

    def __bool__(self) -> NoReturn:
        raise _no_rows("a frame has no truth value")

    def __contains__(self, name: object) -> bool:
        return name in self.schema

    def __setitem__(self, key: str, value: object) -> NoReturn:
        raise not_built("assigning a column", "frames never change; compute it after reveal().")

    def __repr__(self) -> str:
        return render.frame_text(self._relation)

    def _repr_html_(self) -> str:
        return render.frame_html(self._relation, self._client.agreement)


def join(
    frames: Sequence[Frame],
    on: Sequence[Sequence[str]] | str,
    how: str = "inner",
    *,
    suffixes: Suffixes = None,
    validate: str | None = None,
    fuzzy: object = None,
) -> Frame:
    """Joins frames where their keys are equal. NULL equals nothing.

    At one player the join is computed there in plaintext; between players it is private. `explain()` shows
    which. Every column of every input, keys included, gets the suffix `_i` of its input.

    Args:
        on: one list of key columns for each frame; or one name that all have.
        how: inner, left, right, outer, semi or anti. More than two frames join inner or left, each with
            the first one's keys.
        suffixes: one for each frame instead; or "clash": `_i` on columns of the same name only.
        validate: `"1:1"`, `"1:m"`, `"m:1"`: refused unless the owners declare such keys `unique`.

    Raises:
        SchemaError: a key is missing or ambiguous, types that never match, two columns of one name.
        PlanError: no physical join can do it.
    """
    if fuzzy is not None:
        raise not_built("fuzzy=", "join on equal keys.")
    if not isinstance(frames, list | tuple) or len(frames) < 2:
        raise UsageError("join needs a list of two or more frames", code="usage.invalid")
    client = _common_client(frames)
    keys = joining.key_lists(on, len(frames))
    inputs = [
        joining.resolved_input(frame.relation, own, frame.name)
        for frame, own in zip(frames, keys, strict=True)
    ]
    return Frame(joining.join_relations(inputs, joining.join_kind(how), suffixes, validate), client)


def concat(frames: Sequence[Frame]) -> Frame:
    """All rows of all frames (UNION ALL), by column name, in the first frame's order.

    Raises:
        SchemaError: a frame has other names or types.
    """
    if not isinstance(frames, list | tuple) or not frames:
        raise UsageError("concat needs a list of frames", code="usage.invalid")
    client = _common_client(frames)
    return Frame(Concat(tuple(frame.relation for frame in frames)), client)


def _common_client(frames: Sequence[object]) -> "Client":
    clients = []
    for each in frames:
        if not isinstance(each, Frame):
            raise UsageError(
                f"{type(each).__name__} is no frame", code="usage.invalid", hint="xf.use(...) gives frames."
            )
        clients.append(each.client)
    if len({(client.network, client.host, client.port) for client in clients}) > 1:
        raise UsageError(
            "the frames are of different networks",
            code="usage.other-network",
            hint="a plan is judged by the owners of one network.",
        )
    return clients[0]


def _no_rows(why: str) -> UsageError:
    return UsageError(why, code="usage.no-values", hint="nothing has run; run(reveal=True) runs it.")
