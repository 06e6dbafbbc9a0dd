"""A result: sealed streams that are here, and what is known about how they came to be."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

import pandas as pd
import pyarrow as pa

from xor.dataframe import render
from xor.dataframe.handles import Handle
from xor.dataframe.open import SealedResult, open_result
from xor.dataframe.unbuilt import not_built
from xor.errors import AuthError, UsageError, plain
from xor.plan.explain import Explanation, explain
from xor.plan.markup import table
from xor.plan.placed import PlacedPlan


@dataclass(frozen=True)
class StepCost:
    """What one step of one machine took. `sent_bytes` is what it sent to its peer."""

    player: str
    node: int
    step: str
    seconds: float
    sent_bytes: int


@dataclass(frozen=True)
class Costs:
    """What a job took, as the machines signed it. `stream_bytes` is what came to the analyst."""

    steps: tuple[StepCost, ...]
    stream_bytes: int

    def __iter__(self) -> Iterator[StepCost]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def __repr__(self) -> str:
        return render.text_table(self._caption, _HEADER, self._rows())

    def _repr_html_(self) -> str:
        return table(self._caption, _HEADER, self._rows())

    @property
    def _caption(self) -> str:
        return f"cost; {self.stream_bytes:,} bytes came to the analyst"

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (each.player, f"{each.node}", each.step, f"{each.seconds:.3f}", f"{each.sent_bytes:,}")
            for each in self.steps
        ]


_HEADER = ("player", "node", "step", "seconds", "bytes sent")


class Result(Handle):
    """A finished job. Its rows are ciphertext until `reveal()`, which talks to nobody.

    Its repr never shows rows. A notebook shows the first of them once `reveal()` has opened them, and keeps
    them in its file like everything that it shows.
    """

    withheld: tuple[str, ...] = ()
    """What a policy held back: nothing can be at this version."""
    suppressed: tuple[str, ...] = ()
    """Groups that were too small: there are no aggregates at this version."""

    def __init__(
        self, sealed: SealedResult, seal_key: Path | None, folder: tempfile.TemporaryDirectory[str]
    ) -> None:
        self._sealed = sealed
        self._seal_key = seal_key
        self._folder = folder  # removed with this object
        self._table: pa.Table | None = None

    @property
    def job_id(self) -> str:
        return self._sealed.plan_hash

    @property
    def plan(self) -> PlacedPlan:
        """The placed plan that was signed, approved and run."""
        return self._sealed.plan

    @property
    def explanation(self) -> Explanation:
        """Who learned what, at which step."""
        return explain(self._sealed.plan, self._sealed.agreement)

    @property
    def costs(self) -> Costs:
        manifests = [manifest for _, manifest in sorted(self._sealed.manifests.items())]
        steps = tuple(
            StepCost(each.player, each.node, step.step, step.milliseconds / 1000, step.sent_bytes)
            for each in manifests
            for step in each.steps
        )
        return Costs(steps, sum(each.bytes for each in manifests))

    @property
    def receipt(self) -> NoReturn:
        """Not built at this version."""
        raise not_built(
            "receipt", "`job_id`, `plan` and `explanation` say what ran; machines signed `costs`."
        )

    def reveal(self, as_: Literal["pandas", "arrow", "polars"] = "pandas") -> Any:
        """The rows: a pandas DataFrame with Arrow dtypes, an Arrow table or a polars DataFrame.

        Raises:
            AuthError: the result is sealed to others. ProtocolAbort: a stream is not what it must be.

        Security: opens here, with the analyst's key; nothing is sent.
        """
        if as_ not in ("pandas", "arrow", "polars"):
            raise UsageError(
                f"as_={as_!r} is not known", code="usage.invalid", hint="pandas, arrow or polars."
            )
        if self._seal_key is None:
            raise AuthError(
                "the result is not sealed to you",
                code="auth.not-recipient",
                hint=f"it is sealed to: {', '.join(self.plan.recipients)}.",
                job_id=self.job_id,
            )
        if self._table is None:
            self._table = open_result(self._sealed, self._seal_key)
        match as_:
            case "pandas":
                return self._table.to_pandas(types_mapper=pd.ArrowDtype)
            case "arrow":
                return self._table
            case "polars":
                return _polars(self._table)

    def __repr__(self) -> str:
        columns = plain(", ".join(self.plan.root.schema.names))
        return f"<result of job {self.job_id[:12]}…: {columns}; sealed to {', '.join(self.plan.recipients)}>"

    def _repr_html_(self) -> str:
        return render.result_html(self.plan, self.job_id, self._table)


def _polars(table: pa.Table) -> Any:
    try:
        import polars as pl
    except ImportError:
        raise UsageError(
            "polars is not installed", code="usage.no-polars", hint="pip install 'xor-platform[polars]'"
        ) from None
    return pl.from_arrow(table)
