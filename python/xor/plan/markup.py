"""HTML for notebooks, safe by construction: text becomes HTML only inside an element, which escapes it.

No script, no style sheet, nothing loaded. Colours are tints over the notebook's own, so that dark and light
ones can be read, and no meaning is in a colour alone.
"""

import html
from collections.abc import Iterable, Sequence

from xor.plan.phrases import printable

DIM = "opacity:.75;font-size:.9em"
LEFT = "min-width:3em;text-align:left;vertical-align:top;overflow-wrap:anywhere;white-space:normal"
_BOX = (
    "border:1px {line} {edge};border-left:5px {line} {edge};border-radius:6px;padding:6px 10px;margin:4px 0"
)


class Html(str):
    """HTML that `element` made. Every other text is escaped where it becomes a part of one."""

    __slots__ = ()


def element(tag: str, *inside: object, **attributes: object) -> Html:
    """An element; `aria_label` is written `aria-label`. Controls and invisible signs are replaced."""
    given = "".join(f' {name.replace("_", "-")}="{_escaped(each)}"' for name, each in attributes.items())
    return Html(f"<{tag}{given}>{joined(inside)}</{tag}>")


def joined(parts: Iterable[object]) -> Html:
    return Html("".join(each if isinstance(each, Html) else _escaped(each) for each in parts))


def stacked(text: str) -> Html:
    """A text of several lines, one below the other."""
    return joined(element("div", each) for each in text.splitlines())


def listed(items: Iterable[object], style: str = "margin:2px 0 8px;padding-left:1.4em") -> Html:
    return element("ul", *(element("li", each) for each in items), style=style)


def table(caption: object, header: Sequence[object], rows: Iterable[Sequence[object]]) -> Html:
    """A table in which the first cell of a row is its name; one that is given already stays as it is."""
    head = element("tr", *(element("th", each, scope="col", style=LEFT) for each in header))
    body = [element("tr", _named(first), *(_cell(each) for each in rest)) for first, *rest in rows]
    title = element("caption", caption, style="text-align:left;font-weight:600;white-space:normal")
    return element("table", title, element("thead", head), element("tbody", *body))


def box(*inside: object, edge: str, line: str = "solid") -> Html:
    return element("div", *inside, style=_BOX.format(edge=edge, line=line))


def alarm(title: str, *inside: object) -> Html:
    """What nobody may overlook. It is said in words, the colour only helps."""
    heading = element("b", f"\N{WARNING SIGN} {title}")
    return element("div", box(heading, *inside, edge="#d55e00", line="double"), role="note")


def _named(cell: object) -> Html:
    return cell if isinstance(cell, Html) else element("th", cell, scope="row", style=LEFT)


def _cell(cell: object) -> Html:
    return element("td", cell, style=LEFT)


def _escaped(text: object) -> str:
    return html.escape(printable(str(text)))
