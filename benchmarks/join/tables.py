"""The two tables by name and declared type. Without imports: players must not pay for the generator's."""

TRANSACTIONS = {
    "beneficiary_account": "text",
    "amount": "decimal(18,2)",
    "timestamp": "timestamp",
    "flag": "int64",
}
ACCOUNTS = {"account": "text", "balance": "decimal(18,2)", "country": "text"}
MAX_BYTES = {"beneficiary_account": 12, "account": 12, "country": 16}

KEYS = (("beneficiary_account", "account"),)
OUTPUT = ("beneficiary_account", "amount", "timestamp", "flag", "balance", "country")
