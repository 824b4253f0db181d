//! Reads what a seL4 kernel's own build installs and writes the Rust bindings for exactly that kernel.
//! Guarantees: every number in the output was read from the kernel's files; what it cannot read or what
//! does not fit is refused with a sentence, never guessed. It knows nothing of any particular version.
#![forbid(unsafe_code)]

mod config;
mod emit;
mod expr;
mod header;
mod interface;
mod kernel;
mod layout;

pub use config::Config;
pub use kernel::Kernel;

/// Why the bindings cannot be made: a sentence for the person who installs the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(pub(crate) String);

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// What a crate compiles in to speak to one kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bindings {
    /// The text of a Rust module.
    pub module: String,
    /// Which of [`FLAGS`] this kernel has, as `--cfg` names.
    pub flags: Vec<&'static str>,
}

/// Kernel options that decide which functions there are, and the `--cfg` name of each.
pub const FLAGS: [(&str, &str); 2] = [("PRINTING", "sel4_printing"), ("ENABLE_SMP_SUPPORT", "sel4_smp")];

/// Reads the kernel under `prefix` and writes the bindings for it.
///
/// # Errors
/// A sentence that names the file, or the option, that does not fit.
pub fn bindings(prefix: &std::path::Path) -> Result<Bindings, Refusal> {
    let kernel = Kernel::read(prefix)?;
    let flags = FLAGS.iter().filter(|(option, _)| kernel.config.has(option)).map(|(_, flag)| *flag).collect();
    Ok(Bindings { module: emit::module(&kernel), flags })
}
