"""Measurements. Seconds live here and never in tests; bytes and rounds are asserted in tests."""
