//! What connections of one peer share: a lock of the operating system's, and without one a lock that nobody
//! ever waits for, since there is one thread.

pub use alloc::sync::Arc;

#[cfg(target_os = "none")]
pub use spin::Mutex;
#[cfg(not(target_os = "none"))]
pub use std::sync::Mutex;

/// What is behind the lock; what was left of it where somebody ended with it held.
#[cfg(not(target_os = "none"))]
pub fn lock<T>(held: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    held.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// What is behind the lock.
#[cfg(target_os = "none")]
pub fn lock<T>(held: &Mutex<T>) -> spin::MutexGuard<'_, T> {
    held.lock()
}
