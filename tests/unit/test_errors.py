"""Every error code that the source can raise is documented, and no documented code is dead."""

import subprocess
import sys
from pathlib import Path

import pytest

from xor.errors import ERRORS, InternalError, SchemaError, UsageError, XorError, rebuild
from xor.model.types import unknown_column
from xor.testing.banks import write

ROOT = Path(__file__).parents[2]


def test_the_page_of_errors_is_what_the_source_says():
    done = subprocess.run([sys.executable, ROOT / "tools" / "errors", "--check"], check=False)
    assert done.returncode == 0, "run tools/errors"


def test_an_error_of_another_process_keeps_its_class_code_and_hint():
    error = rebuild("ResourceError", "resource.rows", "too many rows", "declare more")
    assert type(error) is ERRORS["ResourceError"]
    assert str(error) == "[resource.rows]: too many rows\n  hint: declare more"


def test_an_unknown_class_of_error_becomes_our_bug():
    assert type(rebuild("SystemExit", "x.y", "?")) is ERRORS["InternalError"]
    assert all(issubclass(cls, XorError) for cls in ERRORS.values())


def test_a_notebook_shows_the_error_and_the_line_that_led_here_but_not_the_way_through_the_package(tmp_path):
    with pytest.raises(UsageError) as caught:
        write(tmp_path, rows=-1)  # this line
    line, _, said = caught.value._render_traceback_()
    assert said == "UsageError [usage.invalid]: three banks need at least one account each"
    assert line.startswith("line ")
    assert line.endswith(":  write(tmp_path, rows=-1)  # this line")


def test_a_notebook_shows_the_hint_without_control_characters():
    error = unknown_column("acount", ["account\x1b[2J"])
    assert isinstance(error, SchemaError)
    assert error._render_traceback_() == [
        "SchemaError [schema.unknown-column]: the frame has no column 'acount'.\n"
        "  hint: did you mean 'account\\x1b[2J'? Columns: account\N{REPLACEMENT CHARACTER}[2J.",
    ]


def test_a_bug_of_ours_is_shown_with_all_of_its_traceback():
    with pytest.raises(InternalError) as caught:
        raise rebuild("SystemExit", "x.y", "?")
    shown = "".join(caught.value._render_traceback_())
    assert shown.startswith("Traceback")
    assert 'raise rebuild("SystemExit"' in shown
