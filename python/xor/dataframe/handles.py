"""Handles live in one process: they hold keys, connections and plans that have no place in a file."""

from typing import Any, NoReturn, Self

from xor.errors import UsageError


class Handle:
    """Base of what is never pickled. A copy is the handle itself: none of them changes."""

    def __reduce_ex__(self, _protocol: Any) -> NoReturn:
        raise UsageError(
            f"a {type(self).__name__} is not pickled",
            code="usage.no-pickle",
            hint="keep the program, or the job's id: client.job(id) finds it. Save what reveal() gives.",
        )

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: object) -> Self:
        return self
