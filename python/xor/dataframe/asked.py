"""How an analyst asked for a run."""

from collections.abc import Sequence
from dataclasses import dataclass

from xor.dataframe.unbuilt import not_built
from xor.errors import UsageError
from xor.model.agreement import Agreement

DEFAULT_TIMEOUT_S = 3600.0


@dataclass(frozen=True)
class Asked:
    """The arguments of `run` and `submit`, as given."""

    reveal: bool
    to: str | Sequence[str] | None
    timeout_s: float
    name: str | None

    def check(self, agreement: Agreement) -> None:
        """Checks what can be asked at this version.

        Raises:
            PlanError: something is not built yet. UsageError: a value has the wrong form.
        """
        if not self.reveal:
            raise not_built(
                "run() without reveal (a secret-shared result)",
                "run(reveal=True) seals the result to you, run(reveal=True, to=...) to other analysts.",
            )
        if self.name is not None:
            raise not_built("keeping a result under a name", "run(reveal=True) and keep what reveal() gives.")
        if not isinstance(self.timeout_s, int | float) or not 0 <= self.timeout_s < 10**9:
            raise UsageError("timeout_s is a number of seconds", code="usage.invalid")
        players = {each.name for each in agreement.players}
        if players & set(recipient_names(self.to, "")):
            raise not_built(
                "revealing to a player",
                "run(reveal=True, to=...) takes analysts; they open it at their client.",
            )


def recipient_names(to: str | Sequence[str] | None, analyst: str) -> list[str]:
    """The names in `to=`; the analyst alone if there is none.

    Raises:
        UsageError: it is no name and no list of names.
    """
    if to is None:
        return [analyst]
    listed = [to] if isinstance(to, str) else list(to)
    if not listed or not all(isinstance(name, str) for name in listed):
        raise UsageError("to= takes the name of an analyst, or a list of them", code="usage.invalid")
    return listed
