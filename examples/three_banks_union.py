"""The question of the fraud desk: payments between known accounts of banks B and C, in both directions.

Two clean-room joins, two private joins, one plan, one approval; the results are released together.
"""

from xor import dataframe as xf
from xor import session

PAYMENT = ["beneficiary_account", "ordering_account", "timestamp", "amount", "flag"]

with session.open_session("localhost", 3000, api_token="*", use_ssl=False):
    client = xf.Client("two-parties", "localhost", 3000, "*", False)
    tee_transactions = xf.use("transactions_a", "player-0", client=client)
    tee_accounts = xf.use("accounts_b", "player-0", client=client)
    c_accounts = xf.use("accounts_c", "player-1", client=client)

    def payments(at_b: str, at_c: str) -> xf.Frame:
        """Payments whose account `at_b` is one of bank B, and whose account `at_c` is one of bank C."""
        tee_join = xf.join([tee_accounts, tee_transactions], on=[["account"], [at_b]])
        mpc_join = xf.join([tee_join, c_accounts], on=[[f"transactions_a.{at_c}"], ["account"]])
        chosen = mpc_join.select([f"transactions_a.{name}" for name in PAYMENT])
        return chosen.rename({f"transactions_a.{name}": name for name in PAYMENT})

    to_b = payments("beneficiary_account", "ordering_account")
    from_b = payments("ordering_account", "beneficiary_account")
    result = xf.concat([to_b, from_b]).run(reveal=True)
    print(result.reveal())
    print(result.costs)
