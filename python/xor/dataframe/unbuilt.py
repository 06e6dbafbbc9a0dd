"""Names of the API that this version does not have yet. Each says so, and what is possible instead."""

from collections.abc import Callable
from typing import Any, NoReturn

from xor.errors import PlanError


def not_built(name: str, instead: str) -> PlanError:
    """The PlanError for what is not built yet."""
    return PlanError(f"{name} is not built at this version", code="plan.not-built", hint=instead)


def unbuilt(name: str, instead: str) -> Callable[..., NoReturn]:
    """A method or function that takes anything and raises."""

    def refuse(*_args: Any, **_options: Any) -> NoReturn:
        raise not_built(name, instead)

    refuse.__name__ = refuse.__qualname__ = name
    refuse.__doc__ = f"Not built at this version; {instead}"
    return refuse


AFTER_REVEAL = "do it with pandas after reveal()."
AT_OWNER = "let the owner register a dataset that holds it, or do it with pandas after reveal()."


class UnbuiltFrame:
    """The part of a frame that is not built yet."""

    assign = unbuilt("assign", AFTER_REVEAL)
    sort_values = unbuilt("sort_values", AFTER_REVEAL)
    groupby = unbuilt("groupby", AFTER_REVEAL)
    agg = unbuilt("agg", AFTER_REVEAL)
    describe = unbuilt("describe", AFTER_REVEAL)
    value_counts = unbuilt("value_counts", AFTER_REVEAL)
    fill_null = unbuilt("fill_null", AFTER_REVEAL)
    fillna = unbuilt("fillna", AFTER_REVEAL)
    dropna = unbuilt("dropna", "filter(frame['column'].notna()).")
    drop_duplicates = unbuilt("drop_duplicates", AFTER_REVEAL)
    limit = unbuilt("limit", "filter(...), or a smaller dataset; head() shows synthetic rows.")
    keep = unbuilt("keep", "run(reveal=True): secret-shared results follow.")


class UnbuiltColumn:
    """The part of a column that is not built yet."""

    fill_null = unbuilt("fill_null", AFTER_REVEAL)
    fillna = unbuilt("fillna", AFTER_REVEAL)
    value_counts = unbuilt("value_counts", AFTER_REVEAL)
    sum = unbuilt("sum", AFTER_REVEAL)
    mean = unbuilt("mean", AFTER_REVEAL)
    min = unbuilt("min", AFTER_REVEAL)
    max = unbuilt("max", AFTER_REVEAL)
    count = unbuilt("count", AFTER_REVEAL)
    __add__ = __radd__ = unbuilt("arithmetic on columns", AFTER_REVEAL)
    __sub__ = __rsub__ = unbuilt("arithmetic on columns", AFTER_REVEAL)
    __mul__ = __rmul__ = unbuilt("arithmetic on columns", AFTER_REVEAL)
    __truediv__ = __rtruediv__ = unbuilt("arithmetic on columns", AFTER_REVEAL)

    @property
    def str(self) -> NoReturn:
        """Not built at this version."""
        raise not_built(".str", AT_OWNER)

    @property
    def dt(self) -> NoReturn:
        """Not built at this version."""
        raise not_built(".dt", "compare the column with a date or datetime, or use pandas after reveal().")


normalize = unbuilt("normalize", AT_OWNER)
"""Normal forms of keys beyond Unicode NFC."""
