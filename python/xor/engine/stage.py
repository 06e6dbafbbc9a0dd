"""The plaintext stage below a step of a plan: the table that one player brings to it."""

from collections.abc import Mapping

from xor.engine.duck import DEFAULT_LIMITS, Limits
from xor.engine.local import Input, Table, run
from xor.engine.postgres import PostgresSource
from xor.engine.sources import Source
from xor.engine.streaming import Stream, stream
from xor.plan.cost import exchange_of
from xor.plan.placed import Exchange, Part, payload_columns
from xor.plan.relations import Relation


def side_columns(step: Part | Exchange, side: int) -> tuple[str, ...]:
    """The columns that a player brings, in the order of the step's spec: keys, then payload.

    Args:
        side: 0 left or 1 right in a private join; 0 where a single player releases its rows.
    """
    exchange = step if isinstance(step, Exchange) else exchange_of(step)
    if exchange is None:
        return step.source(side).schema.names
    join = exchange.join
    return (*(pair[side] for pair in join.keys), *payload_columns(join)[side])


def side_stream(
    part: Part, side: int, inputs: Mapping[str, Source | PostgresSource], limits: Limits = DEFAULT_LIMITS
) -> Stream:
    """The rows of `side_table` as a stream from one file.

    Args:
        part: one of which the source `is_streamable`.

    Raises:
        PlanError: as `local.run`. What is wrong with the data shows while the stream is read.
    """
    return stream(part.source(side), inputs, side_columns(part, side), limits)


def side_table(
    step: Part | Exchange,
    side: int,
    inputs: Mapping[str, Input],
    limits: Limits = DEFAULT_LIMITS,
    *,
    source: Relation | None = None,
) -> Table:
    """Computes what a player brings to a step of a plan: key columns, then payload columns.

    Args:
        inputs: for each dataset of this side its source, or its rows from `local.load`.
        source: what stands for `step.source(side)` if that is built on rows that have arrived.

    Raises:
        DataError, ResourceError: the data are not as declared; nobody has been contacted yet.
    """
    return run(source or step.source(side), inputs, side_columns(step, side), limits)
