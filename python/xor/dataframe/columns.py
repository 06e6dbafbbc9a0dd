"""Column expressions: what `frame["amount"] > 1000` builds. Data for a plan; nothing is computed here."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NoReturn

import pandas as pd

from xor.dataframe.handles import Handle
from xor.dataframe.unbuilt import UnbuiltColumn
from xor.errors import SchemaError, UsageError, plain
from xor.model.types import Field, Kind, Schema
from xor.plan.predicates import (
    And,
    Column,
    Compare,
    Comparison,
    IsIn,
    IsNull,
    IsTrue,
    Literal,
    Not,
    Or,
    Predicate,
    check,
    literal,
)


class _NoTruth(Handle):
    """Python asks for one truth value where there is one per row."""

    def __bool__(self) -> NoReturn:
        raise UsageError(
            "a column has no single truth value",
            code="usage.no-truth-value",
            hint="combine conditions with & and | (not `and`, `or`), negate with ~; filter() takes them.",
        )

    def __iter__(self) -> NoReturn:
        raise UsageError(
            "a column has no values here; nothing has run",
            code="usage.no-values",
            hint="run(reveal=True).reveal() gives a pandas DataFrame.",
        )

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, eq=False, repr=False)
class Condition(_NoTruth):
    """A three-valued condition on rows: `filter` keeps those for which it is true.

    `fields` are the columns that it reads, as they were where it was written.
    """

    predicate: Predicate
    fields: tuple[Field, ...]

    def __and__(self, other: object) -> "Condition":
        return self._with(And, other)

    def __or__(self, other: object) -> "Condition":
        return self._with(Or, other)

    def __rand__(self, other: object) -> "Condition":
        return condition(other)._with(And, self)

    def __ror__(self, other: object) -> "Condition":
        return condition(other)._with(Or, self)

    def __invert__(self) -> "Condition":
        return Condition(Not(self.predicate), self.fields)

    def _with(self, connective: type[And | Or], other: object) -> "Condition":
        right = condition(other)
        return Condition(connective(self.predicate, right.predicate), (*self.fields, *right.fields))

    def fitted(self, schema: Schema) -> Predicate:
        """The predicate over a frame's columns.

        Raises:
            SchemaError: a column is not that of the frame.
        """
        for each in self.fields:
            found = schema[each.name]
            if found != each or found.origins != each.origins:
                raise SchemaError(
                    f"column '{each.name}' in the condition is that of another frame",
                    code="schema.other-frame",
                    hint="write the condition with the frame that it filters.",
                )
        return self.predicate

    def __repr__(self) -> str:
        return f"<condition on {plain(', '.join(sorted({each.name for each in self.fields})))}>"


@dataclass(frozen=True, eq=False, repr=False)
class ColumnExpression(UnbuiltColumn, _NoTruth):
    """A column of a frame. Comparisons give conditions; NULL compares as unknown, as in SQL."""

    field: Field

    @property
    def name(self) -> str:
        return self.field.name

    @property
    def dtype(self) -> str:
        return f"{self.field.type}"

    def __eq__(self, other: object) -> Condition:  # type: ignore[override]
        return self._compare(Comparison.EQ, other)

    def __ne__(self, other: object) -> Condition:  # type: ignore[override]
        return self._compare(Comparison.NE, other)

    def __lt__(self, other: object) -> Condition:
        return self._compare(Comparison.LT, other)

    def __le__(self, other: object) -> Condition:
        return self._compare(Comparison.LE, other)

    def __gt__(self, other: object) -> Condition:
        return self._compare(Comparison.GT, other)

    def __ge__(self, other: object) -> Condition:
        return self._compare(Comparison.GE, other)

    def __and__(self, other: object) -> Condition:
        return condition(self) & other

    def __or__(self, other: object) -> Condition:
        return condition(self) | other

    def __rand__(self, other: object) -> Condition:
        return condition(other) & self

    def __ror__(self, other: object) -> Condition:
        return condition(other) | self

    def __invert__(self) -> Condition:
        return ~condition(self)

    def isin(self, values: Iterable[Any]) -> Condition:
        """True where the value is one of `values`."""
        if isinstance(values, str | bytes):
            raise UsageError("isin takes a list of values", code="usage.invalid", hint="isin(['a', 'b'])")
        literals = tuple(self._literal(value) for value in values)
        if not literals:  # nothing is in an empty list, not even NULL
            return Condition(And(IsNull(self._column), Not(IsNull(self._column))), (self.field,))
        return self._checked(IsIn(self._column, literals))

    def between(self, left: Any, right: Any, inclusive: str = "both") -> Condition:
        """True where the value lies between two others; `inclusive` is both, left, right or neither."""
        if inclusive not in ("both", "left", "right", "neither"):
            raise UsageError(
                f"inclusive={inclusive!r} is not known",
                code="usage.invalid",
                hint="both, left, right or neither.",
            )
        lower: Condition = self >= left if inclusive in ("both", "left") else self > left
        upper: Condition = self <= right if inclusive in ("both", "right") else self < right
        return lower & upper

    def is_null(self) -> Condition:
        """True where there is no value; never unknown."""
        return Condition(IsNull(self._column), (self.field,))

    def is_not_null(self) -> Condition:
        """True where there is a value; never unknown."""
        return ~self.is_null()

    isna = isnull = is_null
    notna = notnull = not_null = is_not_null

    @property
    def _column(self) -> Column:
        return Column(self.field.name)

    def _compare(self, operator: Comparison, other: object) -> Condition:
        if isinstance(other, ColumnExpression):
            return self._checked(Compare(operator, self._column, other._column), other.field)
        return self._checked(Compare(operator, self._column, self._literal(other)))

    def _checked(self, predicate: Predicate, *others: Field) -> Condition:
        fields = (self.field, *others)
        check(predicate, Schema(tuple({each.name: each for each in fields}.values())))
        return Condition(predicate, fields)

    def _literal(self, value: Any) -> Literal:
        return literal(_plain(value, self.field.type.kind), self.field.type)

    def __repr__(self) -> str:
        return f"<column {self.field.name!r}: {self.field.type}>"


def condition(value: object) -> Condition:
    if isinstance(value, Condition):
        return value
    if isinstance(value, ColumnExpression):
        predicate = IsTrue(value._column)
        check(predicate, Schema((value.field,)))
        return Condition(predicate, (value.field,))
    raise UsageError(
        f"{type(value).__name__} is no condition",
        code="usage.invalid",
        hint="conditions are comparisons of columns; put each in parentheses: (f['a'] > 1) & (f['b'] < 2).",
    )


def _plain(value: Any, kind: Kind) -> Any:
    """A scalar of numpy or pandas as the Python value that it holds."""
    if hasattr(value, "to_pydatetime"):
        if value is pd.NaT:
            raise SchemaError(
                "nothing equals a missing value", code="schema.type-mismatch", hint="is_null() finds NULL."
            )
        if getattr(value, "nanosecond", 0):
            raise SchemaError(
                "a timestamp counts microseconds; this one has nanoseconds",
                code="schema.type-mismatch",
                hint="round it: value.floor('us').",
            )
        return value.to_pydatetime()
    if hasattr(value, "item") and not isinstance(value, str | bytes):
        value = value.item()
    # A whole number is exact in any decimal column, also where int64 would need too many digits.
    if kind is Kind.DECIMAL and isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    return value
