"""The local engine: reads an owner's datasets, computes plaintext relations, and drives the Rust core.

Runs only at a machine, in the worker of one job. Relations are compiled to SQL by ibis and run in a DuckDB
that reaches no file, no network and no extension.
"""
