//! Hints to the processor and the system about memory. None changes what a program computes.

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

/// An empty buffer with room for `count` values, on large pages if it is large.
///
/// Most of the time that a fresh buffer costs is spent on its pages, one after the other.
///
/// # Errors
/// When there is not enough memory.
pub fn reserve<T>(count: usize) -> Result<Vec<T>, std::collections::TryReserveError> {
    let mut values = Vec::new();
    values.try_reserve_exact(count)?;
    prefer_large_pages(&mut values);
    Ok(values)
}

fn prefer_large_pages<T>(values: &mut Vec<T>) {
    #[cfg(target_os = "linux")]
    {
        let room = values.spare_capacity_mut().as_mut_ptr_range();
        let start = room.start.addr().next_multiple_of(LARGE_PAGE);
        let length = room.end.addr().saturating_sub(start) & !(LARGE_PAGE - 1);
        if length > 0 {
            let start = room.start.with_addr(start).cast();
            // SAFETY: whole pages within an allocation that is exclusively borrowed; the advice changes how they
            // are backed and not what they hold. Whether it is taken does not matter.
            unsafe { libc::madvise(start, length, libc::MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = values;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_buffer_holds_what_any_other_holds() {
        for count in [0, 1, 1 << 12, 5 << 20] {
            let mut values = reserve::<u8>(count).unwrap();
            values.resize(count, 7);
            assert!(values.capacity() >= count && values.iter().all(|value| *value == 7));
            prefetch(&values, count / 2);
            prefetch(&values, count);
        }
        assert!(reserve::<u64>(usize::MAX / 4).is_err());
    }
}
