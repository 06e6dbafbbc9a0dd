"""How frames, jobs and results look. Names come from owners and other people: every one is escaped."""

from collections.abc import Iterable, Sequence
from html import escape

from xor.plan.relations import Relation

SHOWN = 40
"""Columns that a picture of a frame lists."""


def plain(text: object) -> str:
    """Text without control characters, which could rewrite a terminal."""
    return "".join(each if each.isprintable() or each == "\n" else "�" for each in str(text))


def frame_text(relation: Relation) -> str:
    fields = relation.schema.fields
    width = max((len(plain(each.name)) for each in fields[:SHOWN]), default=0)
    lines = [f"frame of {_datasets(relation)}, at most {relation.rows:,} rows (nothing has run)"]
    lines += [f"  {plain(each.name):<{width}}  {plain(each.type)}" for each in fields[:SHOWN]]
    return "\n".join(lines + _more(len(fields)))


def frame_html(relation: Relation) -> str:
    fields = relation.schema.fields
    rows = [
        (each.name, str(each.type), ", ".join(sorted(str(origin) for origin in each.origins)))
        for each in fields[:SHOWN]
    ]
    caption = f"frame of {_datasets(relation)}, at most {relation.rows:,} rows (nothing has run)"
    return html_table(caption, ("column", "type", "comes from"), rows, _more(len(fields)))


def text_table(caption: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows of short texts, in columns."""
    cells = [[plain(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(header))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
    return "\n".join([caption, *(f"  {line}" for line in lines)])


def html_table(
    caption: str, header: Sequence[str], rows: Iterable[Sequence[object]], below: Sequence[str] = ()
) -> str:
    """An HTML table whose every text is escaped."""
    head = "".join(f"<th>{_cell(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(f"<td>{_cell(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    foot = "".join(f"<p>{_cell(line)}</p>" for line in below)
    return (
        f"<table><caption>{_cell(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table>{foot}"
    )


def _cell(value: object) -> str:
    return escape(plain(value), quote=True)


def _datasets(relation: Relation) -> str:
    return ", ".join(entry.name for entry in relation.datasets)


def _more(count: int) -> list[str]:
    return [f"  … and {count - SHOWN} columns more"] if count > SHOWN else []
