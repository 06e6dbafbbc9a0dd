"""Whole networks on one machine: for the demo, for tests and for a first look at one's own files."""
