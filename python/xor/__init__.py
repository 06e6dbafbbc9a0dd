"""xor: organizations that may not show each other their data still compute on it together."""
