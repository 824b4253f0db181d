//! The system calls themselves (seL4 manual 2.2 and 4): registers, the IPC buffer, and the trap.
// The two kinds of unsafe code here are the trap and the IPC buffer's memory; both are below.
#![allow(unsafe_code)]

use core::arch::asm;
use core::sync::atomic::{AtomicPtr, Ordering};

use crate::kernel::{Error, ipc_buffer, message_info_shift as shift, syscall};

/// Words of a message that travel in registers.
const REGISTERS: usize = 4;
/// Words of a message at most.
pub const MAX_WORDS: usize = crate::kernel::message::MAX_LENGTH as usize;

/// Where the kernel reads and writes what does not fit into registers. A process has one thread.
static BUFFER: AtomicPtr<u64> = AtomicPtr::new(core::ptr::null_mut());

/// Says where this thread's IPC buffer is. Until then messages have four words and no capabilities.
///
/// # Safety
/// `buffer` is the page or part of one that this thread's TCB names as its IPC buffer, mapped writable for
/// as long as the process lives, and nothing else in the process uses that memory.
pub unsafe fn set_ipc_buffer(buffer: *mut u64) {
    BUFFER.store(buffer, Ordering::Relaxed);
}

fn buffer_write(offset: u64, index: usize, value: u64) {
    let buffer = BUFFER.load(Ordering::Relaxed);
    assert!(!buffer.is_null(), "the message needs an IPC buffer and none is set");
    // SAFETY: set_ipc_buffer's caller promised the memory; `index` is bounded by each caller below.
    unsafe { buffer.add(offset as usize / 8 + index).write_volatile(value) }
}

fn buffer_read(offset: u64, index: usize) -> u64 {
    let buffer = BUFFER.load(Ordering::Relaxed);
    assert!(!buffer.is_null(), "the message needs an IPC buffer and none is set");
    // SAFETY: as for buffer_write.
    unsafe { buffer.add(offset as usize / 8 + index).read_volatile() }
}

/// A message as it came: what the sender's capability was badged with, its label, length and first words.
#[derive(Debug, Clone, Copy)]
pub struct Message {
    /// The badge of the capability that was used; 0 in an answer.
    pub badge: u64,
    info: u64,
    registers: [u64; REGISTERS],
}

impl Message {
    /// The label: a kind of fault, an error, or what the sender chose.
    #[must_use]
    pub fn label(&self) -> u64 {
        self.info >> shift::LABEL
    }

    /// How many words there are.
    #[must_use]
    pub fn len(&self) -> usize {
        ((self.info >> shift::LENGTH) & 0x7f) as usize
    }

    /// Whether there are no words.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One word, 0 past the end. Words past the fourth must be read before the next system call.
    #[must_use]
    pub fn word(&self, index: usize) -> u64 {
        match self.registers.get(index) {
            _ if index >= self.len().min(MAX_WORDS) => 0,
            Some(word) => *word,
            None => buffer_read(ipc_buffer::MSG, index),
        }
    }
}

fn info(label: u64, capabilities: usize, words: usize) -> u64 {
    label << shift::LABEL | (capabilities as u64) << shift::EXTRA_CAPS | (words as u64) << shift::LENGTH
}

/// The trap: all that any system call of this kernel takes and gives back.
fn trap(number: i64, target: u64, info: u64, words: [u64; REGISTERS]) -> Message {
    let (mut badge, mut out) = (target, info);
    let mut registers = words;
    // SAFETY: the kernel preserves every register but x0 to x5, which are declared; what memory it reads
    // and writes is the IPC buffer alone, which Rust reaches by volatile accesses only.
    unsafe {
        asm!(
            "svc #0",
            inlateout("x0") badge,
            inlateout("x1") out,
            inlateout("x2") registers[0],
            inlateout("x3") registers[1],
            inlateout("x4") registers[2],
            inlateout("x5") registers[3],
            in("x6") 0u64,
            in("x7") number,
            options(nostack),
        );
    }
    Message { badge, info: out, registers }
}

/// Lays `words` and `capabilities` out as the next message; returns what goes into registers.
fn lay_out(label: u64, capabilities: &[u64], words: &[u64]) -> (u64, [u64; REGISTERS]) {
    assert!(words.len() <= MAX_WORDS && capabilities.len() <= 3, "a message is bounded");
    let mut registers = [0; REGISTERS];
    for (index, &word) in words.iter().enumerate() {
        match registers.get_mut(index) {
            Some(register) => *register = word,
            None => buffer_write(ipc_buffer::MSG, index, word),
        }
    }
    for (index, &capability) in capabilities.iter().enumerate() {
        buffer_write(ipc_buffer::CAPS_OR_BADGES, index, capability);
    }
    (info(label, capabilities.len(), words.len()), registers)
}

/// Invokes the object behind `service` and returns the first `N` words of its answer.
///
/// # Errors
/// What the kernel said.
pub fn invoke<const N: usize>(
    service: u64,
    label: u64,
    capabilities: &[u64],
    words: &[u64],
) -> Result<[u64; N], Error> {
    let (info, registers) = lay_out(label, capabilities, words);
    let answer = trap(syscall::CALL, service, info, registers);
    Error::check(answer.label())?;
    let mut reply = [0; N];
    for (index, word) in reply.iter_mut().enumerate() {
        *word = answer.word(index);
    }
    Ok(reply)
}

/// Sends words to an endpoint and waits for the answer.
#[must_use]
pub fn call(endpoint: u64, label: u64, words: &[u64]) -> Message {
    let (info, registers) = lay_out(label, &[], words);
    trap(syscall::CALL, endpoint, info, registers)
}

/// Sends words to an endpoint and waits until they are taken; signals a notification.
pub fn send(endpoint: u64, label: u64, words: &[u64]) {
    let (info, registers) = lay_out(label, &[], words);
    trap(syscall::SEND, endpoint, info, registers);
}

/// Waits for a message or a signal.
#[must_use]
pub fn receive(endpoint: u64) -> Message {
    trap(syscall::RECV, endpoint, 0, [0; REGISTERS])
}

/// Takes a message or a signal if one is there; a badge of 0 says that there was none.
#[must_use]
pub fn poll(endpoint: u64) -> Message {
    trap(syscall::NB_RECV, endpoint, 0, [0; REGISTERS])
}

/// Answers the last caller.
pub fn reply(label: u64, words: &[u64]) {
    let (info, registers) = lay_out(label, &[], words);
    trap(syscall::REPLY, 0, info, registers);
}

/// Lets another thread of the same priority run.
pub fn yield_now() {
    trap(syscall::YIELD, 0, 0, [0; REGISTERS]);
}

/// Writes one byte to the kernel's console, where the kernel was built with one.
pub fn debug_put(byte: u8) {
    #[cfg(sel4_printing)]
    trap(syscall::DEBUG_PUT_CHAR, u64::from(byte), 0, [0; REGISTERS]);
    #[cfg(not(sel4_printing))]
    let _ = byte;
}
