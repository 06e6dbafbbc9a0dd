"""How frames, jobs and results look. Names come from owners and other people: every one is escaped."""

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from xor.errors import plain
from xor.model.agreement import Agreement
from xor.plan.markup import DIM, Html, element, joined, listed, stacked, table
from xor.plan.placed import PlacedPlan
from xor.plan.relations import Relation, Scan, post_order
from xor.plan.statement import describe, zone_of
from xor.wire.messages import JobView

SHOWN = 40
"""Columns that a picture of a frame lists, and steps of a job."""
SHOWN_ROWS = 10
SHOWN_TEXT = 120


def frame_text(relation: Relation) -> str:
    fields = relation.schema.fields
    width = max((len(plain(each.name)) for each in fields[:SHOWN]), default=0)
    lines = [_title(relation)]
    lines += [f"  {plain(each.name):<{width}}  {plain(each.type)}" for each in fields[:SHOWN]]
    return "\n".join(lines + [f"  {each}" for each in _more(len(fields), "columns")])


def frame_html(relation: Relation, agreement: Agreement) -> Html:
    """Columns and types, and the tree of operations down to where each dataset lives."""
    rows = [
        (each.name, each.type, _clipped(", ".join(sorted(str(origin) for origin in each.origins))))
        for each in relation.schema.fields[:SHOWN]
    ]
    columns = table(_title(relation), ("column", "type", "comes from"), rows)
    return _below(columns, _more(len(relation.schema), "columns"), _tree(relation, agreement))


def _tree(root: Relation, agreement: Agreement) -> Html:
    waiting: list[tuple[int, Html]] = []
    for number, node in enumerate(post_order(root)):
        inputs = [waiting.pop() for _ in node.inputs][::-1]
        what, details = describe(node, [below for below, _ in inputs])
        at = node.dataset.player if isinstance(node, Scan) else None
        where = f", at {at}, {zone_of(at, agreement)}" if at else ""
        said = joined((f"{number} {what} ", element("span", _clipped(details[0]) + where, style=DIM)))
        waiting.append((number, joined((said, *(listed([html]) for _, html in inputs)))))
    return listed([waiting[0][1]])


def job_html(job: str, network: str, view: JobView | None, problem: str = "") -> Html:
    """How far a job is by the word of the service, and what is wrong with it."""
    rows: list[tuple[str, object]] = [("id", job)]
    if view:
        rows += [("state", view.state.value)]
        rows += [("waiting for", _clipped(", ".join(view.waiting_for)))] * bool(view.waiting_for)
        for each in view.progress[-SHOWN:]:
            rows.append(
                (f"step {each.node} {each.step} at {each.player}", f"{each.done:,} of {each.total:,}")
            )
    rows += [("problem", stacked(problem))] * bool(problem)
    return table(f"job of network {network}, as the service tells", ("what", "now"), rows)


def result_html(plan: PlacedPlan, job: str, opened: pa.Table | None) -> Html:
    """Sealed: columns and types. Opened here: the first rows."""
    title = f"result of job {job[:12]}\N{HORIZONTAL ELLIPSIS}"
    if opened is not None:
        return _preview(
            f"{title}: {opened.num_rows:,} rows, {opened.num_columns:,} columns, opened here", opened
        )
    schema, to = plan.root.schema, ", ".join(plan.recipients)
    caption = f"{title}: at most {plan.root.rows:,} rows, {len(schema):,} columns, sealed to {to}"
    columns = table(caption, ("column", "type"), [(each.name, each.type) for each in schema.fields[:SHOWN]])
    return _below(columns, _more(len(schema), "columns"))


def _preview(caption: str, rows: pa.Table) -> Html:
    names = rows.column_names[:SHOWN]
    values = [rows.column(at)[:SHOWN_ROWS].to_pylist() for at in range(len(names))]
    body = [(number, *map(_value, row)) for number, row in enumerate(zip(*values, strict=True))]
    more = _more(rows.num_columns, "columns") + _more(rows.num_rows, "rows", SHOWN_ROWS)
    return _below(table(caption, ("", *names), body), more)


def _value(value: Any) -> object:
    return element("i", "NULL", style=DIM) if value is None else _clipped(str(value))


def text_table(caption: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows of short texts, in columns."""
    cells = [[plain(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(header))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
    return "\n".join([caption, *(f"  {line}" for line in lines)])


def _title(relation: Relation) -> str:
    datasets = ", ".join(entry.name for entry in relation.datasets)
    return f"frame of {datasets}, at most {relation.rows:,} rows (nothing has run)"


def _below(table: Html, lines: Iterable[str], *more: Html) -> Html:
    return element("div", table, *(element("p", each, style=DIM) for each in lines), *more)


def _more(count: int, of: str, shown: int = SHOWN) -> list[str]:
    return [f"\N{HORIZONTAL ELLIPSIS} and {count - shown:,} {of} more"] if count > shown else []


def _clipped(text: str) -> str:
    return text if len(text) <= SHOWN_TEXT else f"{text[:SHOWN_TEXT]}\N{HORIZONTAL ELLIPSIS}"
