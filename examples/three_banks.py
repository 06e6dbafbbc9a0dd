"""The three banks, literally: payments of bank A whose beneficiary banks at B and whose orderer banks at C.

Every column is revealed, so it runs under permissive policies only. `make demo` brings up such a network.
"""

from xor import session
from xor import dataframe as xf

with session.open_session("localhost", 3000, api_token="*", use_ssl=False) as sess:
    # the default client to use for interaction with the service
    client = xf.Client("two-parties", "localhost", 3000, "*", False)
    # transactions of Bank A and accounts of Bank B, both in the clean room "player-0"
    tee_transactions = xf.use("transactions_a", "player-0", client=client)
    tee_accounts = xf.use("accounts_b", "player-0", client=client)
    # accounts of Bank C, on its premises, "player-1"
    c_accounts = xf.use("accounts_c", "player-1", client=client)
    # same player: a plaintext join in the clean room
    tee_join = xf.join([tee_accounts, tee_transactions], on=[["account"], ["beneficiary_account"]])
    # different players: a private join
    mpc_join = xf.join([tee_join, c_accounts], on=[["ordering_account_1"], ["account"]])
    result = mpc_join.run(reveal=True)
    result_df = result.reveal()
    print(result_df)
