"""The signed policy of one dataset: the YAML text, verbatim, bound to a network and a version."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field as Bounded

from xor.model.dataset import NAME, Strict

MAX_TEXT = 128 * 1024
"""Characters of a policy: enough for a table of a thousand columns. A bomb is longer."""


class Policy(Strict):
    """A policy as its owner signs it. `text` is what people read; `policy.parse` gives its clauses.

    A machine keeps the highest `policy_version` it ever saw for a dataset and takes none below it.
    """

    payload_type: ClassVar[str] = "application/vnd.xor.policy.v1+json"

    version: Literal[1] = 1
    network: str = Bounded(pattern=NAME)
    owner: str = Bounded(pattern=NAME)
    dataset: str = Bounded(pattern=NAME)
    policy_version: int = Bounded(ge=1)
    text: str = Bounded(min_length=1, max_length=MAX_TEXT)
