"""Strict YAML: a text becomes texts, lists and tables with line numbers, and nothing else.

Every scalar is a text (plain YAML would read `country: NO` as false). What could make two readers see two
policies is refused: repeated keys, anchors and aliases, tags, directives, several documents, characters that
change the direction of writing. Works on the parser's events, so that depth costs no stack.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import yaml

from xor.errors import UsageError
from xor.policy.document import MAX_TEXT

MAX_DEPTH = 8
MAX_NODES = 20_000
INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


@dataclass(frozen=True, slots=True)
class Text:
    value: str
    line: int


@dataclass(frozen=True, slots=True)
class Items:
    items: tuple[Node, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Table:
    pairs: tuple[tuple[Text, Node], ...]
    line: int


Node = Text | Items | Table


def refusal(
    why: str, line: int | None, *, hint: str | None = None, code: str = "policy.invalid"
) -> UsageError:
    """The error for a policy that cannot be read, with its line."""
    where = "the policy" if line is None else f"the policy, line {line}"
    return UsageError(f"{where}: {why}", code=code, hint=hint)


def read_tree(text: str) -> Table:
    """The table that a policy's text is.

    Raises:
        UsageError: it is no YAML, or not strict; says the line and what to do.
    """
    if len(text) > MAX_TEXT:
        raise refusal(f"it is longer than {MAX_TEXT} characters", None, code="policy.too-large")
    if found := INVISIBLE.search(text.replace("\r\n", "\n")):
        line = text.count("\n", 0, found.start()) + 1
        raise refusal(
            "it holds an invisible or direction-changing character", line, hint="type the line anew."
        )
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=yaml.BaseLoader):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark.line + 1 if error.problem_mark else None
        raise refusal(f"it is no YAML: {error.problem or 'malformed'}", at, hint=_HINT_YAML) from None
    except yaml.YAMLError:
        raise refusal("it is no YAML", None, hint=_HINT_YAML) from None
    root = builder.root
    if not isinstance(root, Table):
        raise refusal(
            "it is no list of clauses", 1, hint="a policy is a table: `clause: what it says`, one a line."
        )
    return root


_HINT_YAML = "indent with spaces; quote texts that contain ': ', ' #', ',' or brackets."


@dataclass(slots=True)
class _Open:
    """A list or table whose end has not come yet; in a table keys and values alternate."""

    is_table: bool
    line: int
    nodes: list[Node] = field(default_factory=list)


class _Builder:
    """Builds the tree from parser events."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self._open: list[_Open] = []
        self._count = 0

    def take(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else 0
        self._refuse_what_is_not_strict(event, line)
        match event:
            case yaml.ScalarEvent(value=str(value)):
                self._add(Text(value, line))
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                if len(self._open) == MAX_DEPTH:
                    raise refusal("it is nested too deeply", line)
                self._open.append(_Open(isinstance(event, yaml.MappingStartEvent), line))
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                ended = self._open.pop()
                self._add(_table(ended) if ended.is_table else Items(tuple(ended.nodes), ended.line))

    def _refuse_what_is_not_strict(self, event: yaml.Event, line: int) -> None:
        match event:
            case yaml.DocumentStartEvent() if event.version or event.tags:
                raise refusal(
                    "directives (%) are not allowed", line, hint="remove the line that starts with %."
                )
            case yaml.DocumentStartEvent() if self.root is not None:
                raise refusal("it holds a second document", line, hint="one file, one policy: remove `---`.")
            case yaml.NodeEvent(anchor=str()):
                raise refusal(
                    "anchors (&) and aliases (*) are not allowed",
                    line,
                    hint="write it out, or quote the text.",
                )
            case yaml.ScalarEvent(tag=str()) | yaml.CollectionStartEvent(tag=str()):
                raise refusal("tags (!) are not allowed", line, hint="quote a text that starts with '!'.")

    def _add(self, node: Node) -> None:
        self._count += 1
        if self._count > MAX_NODES:
            raise refusal("it says too much", node.line, code="policy.too-large")
        if self._open:
            self._open[-1].nodes.append(node)
        else:
            self.root = node


def _table(ended: _Open) -> Table:
    pairs: list[tuple[Text, Node]] = []
    seen: dict[str, int] = {}
    for key, value in zip(ended.nodes[::2], ended.nodes[1::2], strict=True):
        if not isinstance(key, Text):
            raise refusal("a name is a list or a table", key.line, hint="names are plain texts.")
        if key.value in seen:
            raise refusal(
                f"'{key.value}' stands here and in line {seen[key.value]}",
                key.line,
                hint="say it once; put several values into one list.",
                code="policy.duplicate",
            )
        seen[key.value] = key.line
        pairs.append((key, value))
    return Table(tuple(pairs), ended.line)


def text_of(node: Node, what: str, example: str) -> str:
    """The text that `what` must be."""
    if not isinstance(node, Text) or not node.value.strip():
        raise refusal(f"'{what}' must be a text", node.line, hint=f"for example: {example}")
    return " ".join(node.value.split())


def texts_of(node: Node, what: str, example: str) -> tuple[Text, ...]:
    """The texts of a list; one text stands for a list of one. An empty list grants nothing."""
    items = (node,) if isinstance(node, Text) else node.items if isinstance(node, Items) else None
    if items is None or not all(isinstance(each, Text) and each.value for each in items):
        raise refusal(f"'{what}' must be a list of texts", node.line, hint=f"for example: {example}")
    texts = tuple(each for each in items if isinstance(each, Text))
    seen: set[str] = set()
    for each in texts:
        if each.value in seen:
            raise refusal(f"'{what}' names '{each.value}' twice", each.line, code="policy.duplicate")
        seen.add(each.value)
    return texts


def table_of(node: Node, what: str, example: str) -> tuple[tuple[Text, Node], ...]:
    """The pairs of the table that `what` must be."""
    if not isinstance(node, Table):
        raise refusal(f"'{what}' must be a table", node.line, hint=f"for example: {example}")
    return node.pairs


def words(texts: Iterable[str]) -> str:
    """`a, b and c`; `none` if there are none."""
    all_of = list(texts)
    if len(all_of) < 2:
        return "".join(all_of) or "none"
    return f"{', '.join(all_of[:-1])} and {all_of[-1]}"
