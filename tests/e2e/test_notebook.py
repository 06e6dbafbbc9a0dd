"""The example notebook runs from top to bottom, and shows rows only where they are revealed."""

import ast
import csv
import os
import socket
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from xor.testing import banks
from xor.testing.local import LocalNetwork

NOTEBOOK = Path(__file__).parents[2] / "examples" / "three_banks.ipynb"
MADE = "banks.write(folder, rows=2_000, accounts=500)"
PUBLIC = {"xor", "xor.errors", "xor.testing", "xor.testing.local"}


@pytest.fixture(scope="module")
def notebook() -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture(scope="module")
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def executed(notebook, free_port: int, tmp_path_factory) -> Iterator[nbformat.NotebookNode]:
    """The notebook after a run in a kernel of its own, whose every file is in a folder of the test."""
    folder = tmp_path_factory.mktemp("notebook")
    ours = {name: str(folder) for name in ("TMPDIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")}
    run = nbformat.from_dict(notebook)
    for cell in run.cells:
        cell.source = cell.source.replace("PORT = 3000", f"PORT = {free_port}")
    client = NotebookClient(
        run, timeout=120, kernel_name="python3", resources={"metadata": {"path": NOTEBOOK.parent}}
    )
    try:
        yield client.execute(env={**os.environ, **ours})
    finally:
        for file in folder.glob("*/network.toml"):
            LocalNetwork.at(file, free_port).down(print)


@pytest.fixture(scope="module")
def tables(tmp_path_factory) -> dict[str, list[dict[str, str]]]:
    """The rows that the notebook makes: the same again."""
    folder = tmp_path_factory.mktemp("tables")
    banks.write(folder, rows=2_000, accounts=500)
    return {file.stem: list(csv.DictReader(file.open(newline=""))) for file in folder.glob("*.csv")}


class Cells(HTMLParser):
    """The rows of all tables, as texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: object) -> None:
        if tag == "tr":
            self.rows.append([])

    def handle_data(self, text: str) -> None:
        if self.rows:
            self.rows[-1].append(text)


def outputs(executed: nbformat.NotebookNode, source: str) -> str:
    """All outputs of the cell that ends with `source`, in every form that they have."""
    (cell,) = (each for each in executed.cells if each.cell_type == "code" and each.source.endswith(source))
    return "\n".join(map(shown, cell.outputs))


def shown(output: nbformat.NotebookNode) -> str:
    if output.output_type == "error":
        return "\n".join(output.traceback)
    return output.text if output.output_type == "stream" else "\n".join(map(str, output.data.values()))


def test_the_notebook_is_kept_without_outputs(notebook):
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)


def test_the_notebook_uses_what_everybody_may_use(notebook):
    program = ast.parse("\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code"))
    modules = {node.module for node in ast.walk(program) if isinstance(node, ast.ImportFrom)}
    modules |= {
        each.name for node in ast.walk(program) if isinstance(node, ast.Import) for each in node.names
    }
    assert {each for each in modules if each.partition(".")[0] not in sys.stdlib_module_names} <= PUBLIC
    assert not [
        node.attr for node in ast.walk(program) if isinstance(node, ast.Attribute) and node.attr[0] == "_"
    ]


def test_frames_and_plans_are_shown_as_pictures(executed):
    frame = outputs(executed, "\npayments")
    assert "of bank-c, at most 500 rows, at player-1, premises of bank-c" in frame
    explained = outputs(executed, "payments.explain()")
    assert '<figure aria-label="Zones, and what flows between them"' in explained
    assert "NO HARDWARE PROTECTION" in explained
    assert "not allowed" in outputs(executed, "mpc_join.check()")
    assert "allowed by the policies" in outputs(executed, "payments.check()")
    assert "as the service tells" in outputs(executed, "\njob")


def test_a_typing_error_is_answered_in_three_lines(executed):
    error, hint, line = outputs(executed, '["ammount"]').splitlines()
    assert error.startswith("SchemaError [schema.unknown-column]: ")
    assert "did you mean 'amount'?" in hint
    assert line == '  at line 1: tee_transactions["ammount"]'


def test_no_value_is_shown_before_it_is_revealed(executed, tables):
    code = [cell for cell in executed.cells if cell.cell_type == "code"]
    revealing = next(at for at, cell in enumerate(code) if "result.reveal()" in cell.source)
    before = "\n".join(shown(output) for cell in code[:revealing] for output in cell.outputs)
    assert "sealed to fraud-desk" in before
    columns = ("account", "name", "street", "beneficiary_account", "ordering_account")
    values = {row[name] for rows in tables.values() for row in rows for name in columns if row.get(name)}
    assert len(values) > 2000
    assert [each for each in values if each in before] == []


def test_the_result_shows_its_first_rows_once_it_is_revealed(executed, tables):
    assert MADE in "\n".join(cell.source for cell in executed.cells)
    b, c = ({row["account"] for row in tables[name]} for name in ("accounts_b", "accounts_c"))
    payments = [
        (row["beneficiary_account"], row["ordering_account"])
        for row in tables["transactions_a"]
        if row["beneficiary_account"] in b and row["ordering_account"] in c
    ]
    html = outputs(executed, "rows = result.reveal()\nresult")
    assert f"{len(payments)} rows, 5 columns, opened here" in html
    pairs = [tuple(row[1:3]) for row in Cells(html).rows[1:]]
    assert len(pairs) == 10
    assert set(pairs) <= set(payments)


def test_a_cell_that_waits_shows_how_far_the_job_is_and_leaves_nothing_of_it(executed):
    (cell,) = (each for each in executed.cells if each.source == "result = job.wait()\nresult")
    line, result = cell.outputs
    assert (line.output_type, line.data) == ("display_data", {"text/plain": ""})
    assert result.output_type == "execute_result"


def test_the_accounts_of_the_result_are_found_with_their_owner_and_nowhere_else(executed):
    owner, *others = outputs(executed, "found(network.directory / place))").splitlines()
    counts = [int(line.partition(": ")[2].split(" ")[0]) for line in (owner, *others)]
    files = [int(line.split(" ")[-2]) for line in others]
    assert counts[0] > 0
    assert counts[1:] == [0, 0, 0, 0]
    assert all(files)
