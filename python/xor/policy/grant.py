"""Grants: fragments of a policy, as the judge suggests them and as an owner merges them into the policy.

A fragment has the form of the policy itself: texts, lists and tables. Merging unites lists and tables; any
other text is replaced by that of the grant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from xor.policy.tree import INVISIBLE

Grant = Mapping[str, Any]
"""What a policy would have to say in addition, in the normal form of `Clauses.document`."""


def merge(first: Grant, second: Grant) -> Grant:
    """Both grants in one."""
    return {**first, **{key: _merged(first.get(key), value) for key, value in second.items()}}


def merge_all(grants: Iterable[Grant]) -> Grant:
    merged: Grant = {}
    for each in grants:
        merged = merge(merged, each)
    return merged


def grant_text(grant: Grant) -> str:
    """The grant in the words of a policy file, one clause a line: `reveal to fraud-desk: {rows: [zip]}`."""
    return "\n".join(_flow({key: value}) for key, value in grant.items())


def policy_text(document: Grant) -> str:
    """A whole policy as text: clauses one below the other, the parts of a clause indented."""
    lines: list[str] = []
    for key, value in document.items():
        if isinstance(value, Mapping) and value:
            lines.append(_flow({key: ""}).removesuffix(" ''").removesuffix(' ""'))
            lines.extend(f"  {_flow({inner: each})}" for inner, each in value.items())
        else:
            lines.append(_flow({key: value}))
    return "\n".join(lines) + "\n"


def _merged(old: Any, new: Any) -> Any:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return merge(old, new)
    if isinstance(old, list) and isinstance(new, list):
        return list(dict.fromkeys((*old, *new)))
    return new


def _flow(pair: Grant) -> str:
    """One pair as `key: value` on one line."""
    text = _dump(pair, allow_unicode=True)
    if INVISIBLE.search(text.strip()):
        text = _dump(pair, allow_unicode=False)
    return text.strip()[1:-1]


def _dump(pair: Grant, allow_unicode: bool) -> str:
    return yaml.dump(
        dict(pair), Dumper=_TextDumper, default_flow_style=True, width=2**30, allow_unicode=allow_unicode
    )


class _TextDumper(yaml.BaseDumper):
    """Writes texts, lists and tables only; a text that looks like a number or a date stays plain."""

    def ignore_aliases(self, _node: Any) -> bool:
        return True


_TEXT, _LIST, _TABLE = (f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map"))
_TextDumper.add_representer(str, lambda dumper, text: dumper.represent_scalar(_TEXT, text))
_TextDumper.add_representer(list, lambda dumper, items: dumper.represent_sequence(_LIST, items))
_TextDumper.add_representer(dict, lambda dumper, table: dumper.represent_mapping(_TABLE, list(table.items())))
