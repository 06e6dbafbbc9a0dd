"""The example notebook runs, shows no value before the result is revealed, and kind errors."""

from __future__ import annotations

import ast
import csv
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from tests.e2e.conftest import free_port

from xor.testing.local import LocalNetwork

EXAMPLES = Path(__file__).parents[2] / "examples"
CELL_S = 120
PUBLIC = {"xor", "xor.testing.banks", "xor.testing.demo"}
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The notebook after it was run, on a port of its own."""
    folder = tmp_path_factory.mktemp("notebook")
    shutil.copytree(EXAMPLES / "policies", folder / "policies")
    port = str(free_port())
    text = (EXAMPLES / "three_banks.ipynb").read_text(encoding="utf-8")
    text = text.replace('\\"localhost\\", 3000', f'\\"localhost\\", {port}')
    text = re.sub(r"(local \w+ \{folder\}/network.toml)", rf"\1 --port {port}", text)
    assert text.count(port) == 4
    found = nbformat.reads(text, as_version=4)
    before = dict(os.environ)
    os.environ |= {
        "XOR_HOME": str(folder / "home"),
        "TMPDIR": str(folder),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{before['PATH']}",
        "IPYTHONDIR": str(folder / "ipython"),
    }
    try:
        resources = {"metadata": {"path": str(folder)}}
        NotebookClient(found, timeout=CELL_S, kernel_name="python3", resources=resources).execute()
    finally:
        for file in folder.glob("xor-notebook-*/network.toml"):  # whatever a cell that failed left
            LocalNetwork.at(file, int(port)).down(print)
        os.environ.clear()
        os.environ |= before
    found.metadata["folder"] = str(next(folder.glob("xor-notebook-*")))
    return found


def output(notebook: Any, name: str) -> str:
    """Everything that a cell shows, in every form."""
    cell = next(each for each in notebook.cells if each.id == name)
    shown = []
    for each in cell.outputs:
        shown += [
            each.get("text", ""),
            each.get("evalue", ""),
            *each.get("traceback", ()),
            *each.get("data", {}).values(),
        ]
    return ESCAPES.sub("", "\n".join(map(str, shown)))


def values_of(notebook: Any) -> set[str]:
    """Accounts of all banks, names and cities of their customers' tables."""
    folder = Path(notebook.metadata["folder"])
    found = set()
    for file in folder.glob("*.csv"):
        with file.open(encoding="utf-8") as lines:
            for row in csv.DictReader(lines):
                found |= {row[name] for name in row if "account" in name or name in ("name", "street")}
    return found - {""}


def test_nothing_of_the_data_is_shown_before_it_is_revealed_and_then_it_is(notebook: Any) -> None:
    values = values_of(notebook)
    assert len(values) > 3000
    names = [each.id for each in notebook.cells if each.cell_type == "code"]
    before = "".join(output(notebook, name) for name in names[: names.index("reveal")])
    after = output(notebook, "reveal")
    assert not {value for value in values if value in before}
    assert {value for value in values if value in after}
    assert not {value for value in values if value in output(notebook, "refused")}
    assert output(notebook, "again").strip() == "True"


def test_frames_plans_and_results_are_shown_as_html(notebook: Any) -> None:
    for name, words in {
        "frames": ["transactions_a", "beneficiary_account", "nothing has run"],
        "join": ["at most", "transactions_a.amount", "at player-1, premises of bank-c"],
        "explain": ["Who learns what", "fraud-desk", "NO HARDWARE PROTECTION", "<figure"],
        "job": ["state", "as the service tells"],
        "run": ["sealed to fraud-desk"],
        "reveal": ["rows, 5 columns, opened here", "rows more"],
        "costs": ["bytes came to the analyst"],
    }.items():
        cell = next(each for each in notebook.cells if each.id == name)
        (html,) = (each.data["text/html"] for each in cell.outputs if "text/html" in each.get("data", {}))
        assert all(word in html for word in words), (name, html)
        assert "<script" not in html
        assert "http" not in html


def test_a_cell_that_waits_shows_how_far_the_job_is_and_leaves_nothing_of_it(notebook: Any) -> None:
    line, result = next(each for each in notebook.cells if each.id == "run").outputs
    assert (line.output_type, line.data) == ("display_data", {"text/plain": ""})
    assert result.output_type == "execute_result"


def test_values_are_found_in_the_table_of_their_owner_and_in_nothing_that_the_network_keeps(
    notebook: Any,
) -> None:
    seen = [line.rpartition(": ")[2].split(" ") for line in output(notebook, "saw").split("\n") if line]
    (of_owner, _, in_all, _), *elsewhere = seen
    assert of_owner == in_all != "0"
    assert elsewhere == [["0", "of", in_all, "accounts"]] * 4


def test_the_notebook_uses_what_everybody_may_use(notebook: Any) -> None:
    code = [each.source for each in notebook.cells if each.cell_type == "code"]
    program = ast.parse("\n".join(code).replace("\n!", "\n#"))
    nodes = list(ast.walk(program))
    modules = {each.name for node in nodes if isinstance(node, ast.Import) for each in node.names}
    modules |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {each for each in modules if each.startswith("xor")} == PUBLIC
    assert not [node.attr for node in nodes if isinstance(node, ast.Attribute) and node.attr.startswith("_")]


def test_what_is_wrong_is_said_with_the_line_and_without_our_frames(notebook: Any) -> None:
    typo = output(notebook, "typo")
    assert 'line 1:  xf.join([accounts_b, payments], on=[["acount"], ["beneficiary_account"]])' in typo
    assert "did you mean" in typo.lower()
    refused = output(notebook, "refused")
    assert "line 2:  everything.run(reveal=True)" in refused
    assert "smallest grant" in refused
    for text in (typo, refused):
        assert "/xor/" not in text


def test_the_notebook_is_committed_without_outputs() -> None:
    found = nbformat.read(EXAMPLES / "three_banks.ipynb", as_version=4)
    nbformat.validate(found)
    assert not any(each.get("outputs") for each in found.cells)


def test_it_takes_its_network_down(notebook: Any) -> None:
    assert "stopped and removed" in output(notebook, "down")
    assert not (Path(notebook.metadata["folder"]) / ".xor" / "two-parties").exists()
