"""`python -m xor.machine --dir DIRECTORY`: runs one machine until it is told to stop.

SIGTERM lets the jobs in hand end and starts no other; SIGINT (Ctrl-C), or a second signal, stops at once.
"""

import argparse
import asyncio
import signal
import sqlite3
import sys
from pathlib import Path

from xor import log
from xor.errors import XorError
from xor.machine import sandbox
from xor.machine.directory import Directory
from xor.machine.journal import unwritable
from xor.machine.shell import Machine, confine


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m xor.machine", description=__doc__)
    parser.add_argument(
        "--dir", type=Path, required=True, help="the machine's directory, made by xor.machine.setup"
    )
    options = parser.parse_args(arguments)
    log.set_up()
    try:
        directory = Directory(options.dir)
        sandbox.harden()
        confine(directory)
        asyncio.run(_run(directory))
    except sqlite3.OperationalError:
        return _cannot_run(unwritable())
    except XorError as error:
        return _cannot_run(error)
    return 0


def _cannot_run(error: XorError) -> int:
    log.error("cannot run", code=error.code, why=error.message, hint=error.hint)
    return 1


async def _run(directory: Directory) -> None:
    stop, drain = asyncio.Event(), asyncio.Event()

    def on_term() -> None:
        (stop if drain.is_set() else drain).set()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, on_term)
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    await Machine(directory).run(stop, drain)


if __name__ == "__main__":
    sys.exit(main())
