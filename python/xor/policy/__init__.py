"""What owners allow: policy documents, their clauses, and the judge. Pure functions of their arguments."""
