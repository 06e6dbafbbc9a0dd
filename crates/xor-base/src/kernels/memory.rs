//! Hints to the processor and the system about memory. None changes what a program computes.

use std::alloc::{Layout, alloc_zeroed};

use super::Block;
use super::sparse::Pair;

/// Large buffers take pages of this size where the system has them.
const LARGE_PAGE: usize = 1 << 21;

/// Asks for a value before it is needed, so that looking at many of them does not wait for each.
#[inline]
pub fn prefetch<T>(values: &[T], index: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(value) = values.get(index) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every x86-64 has the instruction; the pointer is valid, and nothing is read or written.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (values, index);
}

/// Values of which a stretch of zero bytes is one, such as numbers.
///
/// # Safety
/// Every byte of a value may be zero, padding included.
pub unsafe trait Plain: Copy {}

// SAFETY: numbers, and what is made of them only.
unsafe impl Plain for u8 {}
// SAFETY: as above.
unsafe impl Plain for u16 {}
// SAFETY: as above.
unsafe impl Plain for u32 {}
// SAFETY: as above.
unsafe impl Plain for u64 {}
// SAFETY: as above.
unsafe impl Plain for Block {}
// SAFETY: as above.
unsafe impl Plain for Pair {}
// SAFETY: as above.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

/// `count` zeros, on large pages if they are many; nothing where there is not enough memory.
///
/// Most of the time that a fresh buffer costs is spent on its pages, one after the other.
#[must_use]
pub fn zeros<T: Plain>(count: usize) -> Option<Vec<T>> {
    let layout = Layout::array::<T>(count).ok()?;
    if layout.size() == 0 {
        return Some(Vec::new());
    }
    // SAFETY: the size is not zero.
    let start = unsafe { alloc_zeroed(layout) };
    if start.is_null() {
        return None;
    }
    prefer_large_pages(start, layout.size());
    // SAFETY: just allocated for so many `T`, by the allocator that frees them; zero bytes are values of a `Plain`.
    Some(unsafe { Vec::from_raw_parts(start.cast(), count, count) })
}

fn prefer_large_pages(start: *mut u8, length: usize) {
    #[cfg(target_os = "linux")]
    {
        let first = start.addr().next_multiple_of(LARGE_PAGE);
        let length = (start.addr() + length).saturating_sub(first) & !(LARGE_PAGE - 1);
        if length > 0 {
            // SAFETY: whole pages within an allocation that nobody else has yet; the advice changes how they
            // are backed and not what they hold. Whether it is taken does not matter.
            unsafe { libc::madvise(start.with_addr(first).cast(), length, libc::MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (start, length);
}

/// Keeps freed memory in this process until it ends, for what needs it next. For a process that ends with its job:
/// clearing pages that the system takes back and gives again takes a fifth of the time of an exchange.
pub fn keep_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: two numbers of the allocator, which locks itself. A refusal changes nothing.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
    }
}

/// Overwrites with zeros, whether or not anybody reads them again.
pub fn wipe<T: Plain>(secrets: &mut [T]) {
    // SAFETY: an exclusively borrowed slice; zero bytes are values of a `Plain`.
    unsafe { std::ptr::write_bytes(secrets.as_mut_ptr(), 0, secrets.len()) };
    zeroize::optimization_barrier(secrets);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_zeros_at_any_length() {
        for count in [0, 1, 1 << 12, 5 << 20] {
            let mut values = zeros::<u8>(count).unwrap();
            assert!(values.len() == count && values.iter().all(|value| *value == 0));
            values.fill(7);
            prefetch(&values, count / 2);
            prefetch(&values, count);
            wipe(&mut values);
            assert!(values.iter().all(|value| *value == 0));
        }
        assert!(zeros::<u64>(usize::MAX / 4).is_none());
        assert!(zeros::<Block>(usize::MAX / 64).is_none());
    }
}
