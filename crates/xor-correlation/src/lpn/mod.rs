//! Learning parity with noise over GF(2^128): two public codes that stretch VOLEs.

pub mod dual;
pub mod primal;
