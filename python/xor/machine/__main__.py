"""`python -m xor.machine --dir DIRECTORY`: runs one machine until it is told to stop."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from xor.errors import XorError
from xor.machine import log, sandbox
from xor.machine.directory import Directory
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
    except XorError as error:
        log.error("cannot run", code=error.code, why=error.message, hint=error.hint)
        return 1
    return 0


async def _run(directory: Directory) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await Machine(directory).run(stop)


if __name__ == "__main__":
    sys.exit(main())
