//! The inner loops of the fast protocols, on the vector instructions of the processor at hand.
//!
//! Instructions are detected at run time. Every kernel has a portable path, in its `portable` module,
//! that gives identical bytes; it also is the oracle of the tests. Kernels that see secrets neither
//! branch on them nor index by them. Unsafe code of this crate stands below this module only.
//!
//! Lengths of slices are the caller's: those that must agree are asserted, and no peer chooses them.

// What a `Block` is in memory is what travels, without a pass over the bytes.
#[cfg(not(target_endian = "little"))]
compile_error!("the kernels need a little-endian processor");

pub mod aes;
pub mod block;
pub mod gf128;
pub mod hash;
pub mod many;
pub mod prefix;
pub mod prg;
pub mod sparse;
pub mod transpose;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use block::Block;
