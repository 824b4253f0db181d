//! The heap: the fixed memory behind the program's data, in use counted. A process that runs out of it ends
//! in its own fault.
// An allocator hands out memory by address.
#![allow(unsafe_code)]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::sync::atomic::Ordering;

use talc::{ErrOnOom, Span, Talc};

use crate::process::report;

pub(crate) struct Heap(UnsafeCell<Talc<ErrOnOom>>);

// SAFETY: a process has one thread, and nothing interrupts it.
unsafe impl Sync for Heap {}

#[global_allocator]
pub(crate) static HEAP: Heap = Heap(UnsafeCell::new(Talc::new(ErrOnOom)));

impl Heap {
    /// Gives it its memory.
    ///
    /// # Safety
    /// The range is mapped, writable, used by nobody else, and given once.
    pub(crate) unsafe fn give(&self, start: usize, end: usize) {
        // SAFETY: the caller's promise; no other reference to the allocator lives at this time.
        let claimed = unsafe { (*self.0.get()).claim(Span::new(start as *mut u8, end as *mut u8)) };
        if claimed.is_err() {
            crate::fail(format_args!("the heap is too small"));
        }
    }
}

fn count(change: impl Fn(u64) -> u64) {
    let report = report();
    let used = change(report.heap_used.load(Ordering::Relaxed));
    report.heap_used.store(used, Ordering::Relaxed);
    if used > report.heap_peak.load(Ordering::Relaxed) {
        report.heap_peak.store(used, Ordering::Relaxed);
    }
}

// SAFETY: what talc gives is its own until it is taken back, with the layout that it was asked for; one thread
// asks at a time, and talc calls nothing of ours.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: one thread; the layout is not empty, as the trait's caller promises.
        match unsafe { (*self.0.get()).malloc(layout) } {
            Ok(at) => {
                count(|used| used + layout.size() as u64);
                at.as_ptr()
            }
            Err(()) => {
                let used = report().heap_used.load(Ordering::Relaxed);
                crate::fail(format_args!("out of memory: {} bytes wanted, {used} in use", layout.size()))
            }
        }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        let Some(at) = core::ptr::NonNull::new(at) else { return };
        count(|used| used.saturating_sub(layout.size() as u64));
        // SAFETY: `at` came from `alloc` with this layout, as the trait's caller promises.
        unsafe { (*self.0.get()).free(at, layout) };
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if size > layout.size()
            && let Some(place) = core::ptr::NonNull::new(at)
            // SAFETY: as for `dealloc`; it grows where it lies or stays as it is.
            && unsafe { (*self.0.get()).grow_in_place(place, layout, size) }.is_ok()
        {
            count(|used| used + (size - layout.size()) as u64);
            return at;
        }
        // SAFETY: as the trait has it: a new place, the common part copied, the old one taken back.
        unsafe {
            let Ok(wanted) = Layout::from_size_align(size, layout.align()) else {
                return core::ptr::null_mut();
            };
            let new = self.alloc(wanted);
            core::ptr::copy_nonoverlapping(at, new, layout.size().min(size));
            self.dealloc(at, layout);
            new
        }
    }
}
