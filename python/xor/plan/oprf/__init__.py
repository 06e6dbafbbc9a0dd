"""Sizes of the OPRF back ends, as the core computes them: `docs/protocols/` has every formula.

Mirrors of Rust modules, so that a plan can be judged without the core; tests compare the two through
`tests/vectors/core/okvs-sizes.json` and `vole-costs.json`, which Rust writes and both sides read.
"""
