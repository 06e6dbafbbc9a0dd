"""Every error code that the source can raise is documented, and no documented code is dead."""

import subprocess
import sys
from pathlib import Path

from xor.errors import ERRORS, XorError, rebuild

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
