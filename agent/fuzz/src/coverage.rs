//! Which branches of the agent a run took.
//!
//! With `-C passes=sancov-module` and inline 8-bit counters (LLVM's SanitizerCoverage) the compiler puts a counter at
//! every branch and hands all of them to a function of this name before `main`. scripts/fuzz compiles so; without it
//! there are none, and everything here does nothing.

/// Branches, and how often each was taken at most, in powers of two.
#[derive(Debug, Default)]
pub struct Coverage {
    seen: Vec<u8>,
    branches: usize,
}

impl Coverage {
    /// How many branches were taken so far.
    #[must_use]
    pub fn branches(&self) -> usize {
        self.branches
    }

    /// How many there are.
    #[must_use]
    pub fn all() -> usize {
        counters::len()
    }

    /// Looks at what the last run took, and sets the counters back; whether something was new.
    pub fn collect(&mut self) -> bool {
        self.seen.resize(counters::len(), 0);
        let (mut new, mut branches) = (false, 0);
        let seen = &mut self.seen;
        counters::take(|at, count| {
            if let Some(seen) = seen.get_mut(at) {
                // 1, 2, 3, 4 to 7, 8 to 15, 16 to 31, 32 to 127, more.
                let class = match count {
                    0..=3 => count.saturating_sub(1),
                    4..=7 => 3,
                    8..=15 => 4,
                    16..=31 => 5,
                    32..=127 => 6,
                    128.. => 7,
                };
                let bit = 1 << class;
                branches += usize::from(*seen == 0);
                new |= *seen & bit == 0;
                *seen |= bit;
            }
        });
        self.branches += branches;
        new
    }
}

#[cfg(not(feature = "coverage"))]
mod counters {
    pub(super) fn len() -> usize {
        0
    }

    pub(super) fn take(_: impl FnMut(usize, u8)) {}
}

#[cfg(feature = "coverage")]
#[allow(
    unsafe_code,
    reason = "the counters are the compiler's, handed over as C does it; never part of a release"
)]
mod counters {
    use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicUsize, Ordering};

    static FIRST: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());
    static LEN: AtomicUsize = AtomicUsize::new(0);

    /// Called by every object file, each time with the same range: the linker has put all counters together.
    #[unsafe(no_mangle)]
    extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, stop: *mut u8) {
        FIRST.store(start, Ordering::Relaxed);
        LEN.store((stop as usize).saturating_sub(start as usize), Ordering::Relaxed);
    }

    pub(super) fn len() -> usize {
        LEN.load(Ordering::Relaxed)
    }

    pub(super) fn take(mut each: impl FnMut(usize, u8)) {
        let first = FIRST.load(Ordering::Relaxed);
        for at in 0..len() {
            // SAFETY: the range that the program was compiled with lives as long as it does, and is only read and written
            // in single bytes.
            let counter = unsafe { AtomicU8::from_ptr(first.add(at)) };
            let count = counter.load(Ordering::Relaxed);
            if count > 0 {
                counter.store(0, Ordering::Relaxed);
                each(at, count);
            }
        }
    }
}
