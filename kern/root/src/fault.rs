//! What a fault message says (seL4 manual 6.2), in one line: where, and why.

use core::fmt;

use sel4::Message;
use sel4::kernel::{cap_fault, fault, unknown_syscall, user_exception, vm_fault};

/// A fault message as it came. A process can send anything to its fault endpoint: that ends it as well.
pub(crate) struct Fault<'a>(pub(crate) &'a Message);

impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |index: u64| self.0.word(index as usize);
        match self.0.label() {
            fault::VM_FAULT => {
                let address = word(vm_fault::ADDR);
                let is_write = word(vm_fault::FSR) >> 6 & 1 == 1;
                let cause = match (word(vm_fault::PREFETCH_FAULT), is_write) {
                    (0, true) => "write",
                    (0, false) => "read",
                    _ => "fetch",
                };
                write!(f, "ip={:#x} address={address:#x} cause={cause}", word(vm_fault::IP))
            }
            fault::CAP_FAULT => {
                write!(
                    f,
                    "ip={:#x} address={:#x} cause=capability",
                    word(cap_fault::IP),
                    word(cap_fault::ADDR)
                )
            }
            fault::UNKNOWN_SYSCALL => {
                let number = word(unknown_syscall::SYSCALL).cast_signed();
                write!(f, "ip={:#x} cause=syscall number={number}", word(unknown_syscall::FAULT_IP))
            }
            fault::USER_EXCEPTION => {
                let number = word(user_exception::NUMBER);
                write!(f, "ip={:#x} cause=exception number={number:#x}", word(user_exception::FAULT_IP))
            }
            label => write!(f, "cause=message label={label:#x}"),
        }
    }
}
