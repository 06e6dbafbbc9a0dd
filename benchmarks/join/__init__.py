"""The private join of two CSV files, beside the plaintext join and the best peer on the same files.

`python -m benchmarks.join` starts two players and an analyst as processes of their own. The clock runs from
the players opening their files to the analyst closing the joined one; only process start, the TCP connection
and the exchange of public keys lie before it.
"""
