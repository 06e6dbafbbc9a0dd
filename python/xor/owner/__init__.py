"""An owner's own client: signs agreements, entries and policies. Owner keys never lie on a machine."""

from xor.owner.sign import countersign, sign_agreement, sign_entry, sign_policy

__all__ = ["countersign", "sign_agreement", "sign_entry", "sign_policy"]
