"""Golden files: texts that a person reviews. XOR_REWRITE_GOLDEN=1 rewrites them; read the diff."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compares a text with the golden file of that name (`plan/merge_filters.txt`)."""

    def compare(name: str, text: str) -> None:
        path = HERE / name
        if os.environ.get("XOR_REWRITE_GOLDEN"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        assert path.exists(), f"{name} is missing: run `make golden` and review it"
        assert text == path.read_text()

    return compare
