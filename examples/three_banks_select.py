"""The three banks under policies that protect: a payment's accounts, amount, time and flag only.

Only what is selected leaves the owners, also in sealed form.
"""

from xor import dataframe as xf
from xor import session

PAYMENT = ["beneficiary_account", "ordering_account", "timestamp", "amount", "flag"]

with session.open_session("localhost", 3000, api_token="*", use_ssl=False):
    client = xf.Client("two-parties", "localhost", 3000, "*", False)
    tee_transactions = xf.use("transactions_a", "player-0", client=client)
    tee_accounts = xf.use("accounts_b", "player-0", client=client)
    c_accounts = xf.use("accounts_c", "player-1", client=client)

    tee_join = xf.join([tee_accounts, tee_transactions], on=[["account"], ["beneficiary_account"]])
    mpc_join = xf.join([tee_join, c_accounts], on=[["ordering_account_1"], ["account"]])
    # a column is also found by where it comes from, however many suffixes it has by now
    payments = mpc_join.select([f"transactions_a.{name}" for name in PAYMENT])
    payments = payments.rename({f"transactions_a.{name}": name for name in PAYMENT})

    print(payments.explain())
    result = payments.run(reveal=True)
    print(result.reveal())
    print(result.costs)
