//! Writes the Rust module. What it writes stands on `crate::sys`: one call with capabilities and words.

use std::fmt::Write as _;

use crate::interface::{Interface, Method, Param};
use crate::kernel::Kernel;
use crate::layout::Place;

/// A constant's module in the output, and the C names it is taken from: prefix and suffix around the name.
const GROUPS: &[(&str, &str, &str, &str)] = &[
    ("object", "Kinds of object, for retyping.", "seL4_", "Object"),
    ("bits", "Sizes of objects and indices, as powers of two.", "seL4_", "Bits"),
    ("slot", "Slots that the kernel fills for the first process.", "seL4_Cap", ""),
    ("fault", "Kinds of fault: the label of a fault message.", "seL4_Fault_", ""),
    ("vm_fault", "Words of a VM fault message.", "seL4_VMFault_", ""),
    ("cap_fault", "Words of a capability fault message.", "seL4_CapFault_", ""),
    ("user_exception", "Words of a user exception message.", "seL4_UserException_", ""),
    ("unknown_syscall", "Words of an unknown system call message.", "seL4_UnknownSyscall_", ""),
    ("boot_chunk", "Kinds of extra boot information.", "SEL4_BOOTINFO_HEADER_", ""),
    ("message", "Limits of a message.", "seL4_Msg", ""),
];

/// The names of the errors, in the kernel's order, and what each says to an operator.
const ERRORS: &[(&str, &str)] = &[
    ("InvalidArgument", "an argument is not valid"),
    ("InvalidCapability", "a capability is of the wrong kind"),
    ("IllegalOperation", "the object does not do that"),
    ("RangeError", "an argument is out of range"),
    ("AlignmentError", "an address is not aligned"),
    ("FailedLookup", "a slot or a page table is missing"),
    ("TruncatedMessage", "the message is too short"),
    ("DeleteFirst", "the slot or the address is taken"),
    ("RevokeFirst", "the object has children"),
    ("NotEnoughMemory", "the untyped memory is used up"),
];

/// The whole module.
pub(crate) fn module(kernel: &Kernel) -> String {
    let mut out = String::from("// Written by sel4-gen from the kernel's own files. Not to be edited.\n");
    numbers(&mut out, "config", "The kernel's options that are numbers or on.", kernel.config.numbers());
    let calls = kernel.calls.iter().map(|(name, value)| (name.as_str(), i128::from(*value)));
    signed(&mut out, "syscall", "System call numbers.", calls);
    let labels = kernel.interface.methods.iter().zip(1..).map(|(method, label)| (method.id.as_str(), label));
    numbers(&mut out, "label", "Invocation labels.", labels);
    for (name, what, prefix, suffix) in GROUPS {
        // The kernel's headers spell some negative or huge values only to widen an enumeration.
        let values = kernel.constants.between(prefix, suffix).filter(|(_, v)| (0..=0xffff_ffff).contains(v));
        // Every group without a suffix would take in those of the groups that have one.
        let values =
            values.filter(|(n, _)| !suffix.is_empty() || !(n.ends_with("Bits") || n.ends_with("Object")));
        numbers(&mut out, name, what, values);
    }
    offsets(&mut out, "boot_info", "Offsets in the boot info, in bytes.", &kernel.boot_info);
    offsets(&mut out, "ipc_buffer", "Offsets in the IPC buffer, in bytes.", &kernel.ipc_buffer);
    for (name, fields) in &kernel.packed {
        let shifts = fields.iter().map(|f| (f.name.as_str(), i128::from(f.shift)));
        let module = screaming(name.trim_start_matches("seL4_")).to_lowercase();
        numbers(&mut out, &format!("{module}_shift"), "Lowest bit of each field.", shifts);
    }
    errors(&mut out, kernel);
    for (name, members) in &kernel.interface.structs {
        structure(&mut out, name, members);
    }
    out.push_str("\n/// One function an invocation.\npub mod invoke {\n    use super::*;\n");
    for method in &kernel.interface.methods {
        match wrapper(method, &kernel.interface) {
            Some(text) => out.push_str(&text),
            None => {
                let _ = writeln!(
                    out,
                    "    // {}: its arguments are of a kind that is not spoken here.",
                    method.id
                );
            }
        }
    }
    out.push_str("}\n");
    out
}

fn numbers<'a>(out: &mut String, module: &str, what: &str, values: impl Iterator<Item = (&'a str, i128)>) {
    constants(out, module, what, "u64", values);
}

fn signed<'a>(out: &mut String, module: &str, what: &str, values: impl Iterator<Item = (&'a str, i128)>) {
    constants(out, module, what, "i64", values);
}

fn offsets(out: &mut String, module: &str, what: &str, places: &[Place]) {
    numbers(out, module, what, places.iter().map(|place| (place.name.as_str(), i128::from(place.offset))));
}

fn constants<'a>(
    out: &mut String,
    module: &str,
    what: &str,
    kind: &str,
    values: impl Iterator<Item = (&'a str, i128)>,
) {
    let _ = writeln!(out, "\n/// {what}\npub mod {module} {{");
    let mut seen = std::collections::BTreeSet::new();
    for (name, value) in values {
        let name = screaming(name);
        if seen.insert(name.clone()) {
            let _ = writeln!(out, "    pub const {name}: {kind} = {value};");
        }
    }
    out.push_str("}\n");
}

fn errors(out: &mut String, kernel: &Kernel) {
    out.push_str(
        "\n/// Why the kernel refused.\n#[derive(Debug, Clone, Copy, PartialEq, Eq)]\npub enum Error {\n",
    );
    for (name, _) in ERRORS {
        let _ = writeln!(out, "    {name},");
    }
    out.push_str("    /// One that this kernel's files do not name.\n    Other(u64),\n}\n\nimpl Error {\n");
    out.push_str("    pub fn check(label: u64) -> Result<(), Self> {\n        match label {\n            0 => Ok(()),\n");
    for (name, _) in ERRORS {
        if let Some(value) = kernel.constants.get(&format!("seL4_{name}")) {
            let _ = writeln!(out, "            {value} => Err(Self::{name}),");
        }
    }
    out.push_str("            other => Err(Self::Other(other)),\n        }\n    }\n}\n");
    out.push_str("\nimpl core::fmt::Display for Error {\n");
    out.push_str(
        "    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {\n        match self {\n",
    );
    for (name, text) in ERRORS {
        let _ = writeln!(out, "            Self::{name} => f.write_str(\"{text}\"),");
    }
    out.push_str(
        "            Self::Other(label) => write!(f, \"kernel error {label}\"),\n        }\n    }\n}\n",
    );
}

fn structure(out: &mut String, name: &str, members: &[String]) {
    let name = name.trim_start_matches("seL4_").replace('_', "");
    let _ = writeln!(
        out,
        "\n/// Words in the order of a message.\n#[derive(Debug, Clone, Copy, PartialEq, Eq)]\n\
         pub struct {name}(pub [u64; {n}]);\n\nimpl {name} {{\n    pub const WORDS: usize = {n};",
        n = members.len()
    );
    for (index, member) in members.iter().enumerate() {
        let _ = writeln!(out, "    pub const {}: usize = {index};", screaming(member));
    }
    out.push_str("}\n");
}

/// How an argument travels.
enum Travel {
    Capability,
    /// A word or less: its width in bits.
    Bits(u32),
    /// A structure of this many words.
    Words(usize, String),
}

fn travel(kind: &str, interface: &Interface) -> Option<Travel> {
    if interface.is_capability(kind) {
        return Some(Travel::Capability);
    }
    if let Some(members) = interface.structs.get(kind) {
        return Some(Travel::Words(members.len(), kind.trim_start_matches("seL4_").replace('_', "")));
    }
    Some(Travel::Bits(match kind {
        "seL4_Bool" => 1,
        "seL4_Uint8" => 8,
        "seL4_Uint16" => 16,
        "seL4_Uint32" | "int" => 32,
        "seL4_Word"
        | "seL4_Uint64"
        | "seL4_Time"
        | "seL4_CapRights_t"
        | "seL4_CNode_CapData_t"
        | "seL4_ARM_VMAttributes"
        | "seL4_VCPUReg" => 64,
        _ => return None,
    }))
}

/// Where the next argument lies: small ones share a word, each aligned to its own width.
fn place(at: u32, width: u32) -> u32 {
    at.next_multiple_of(width)
}

fn wrapper(method: &Method, interface: &Interface) -> Option<String> {
    let (results, arguments): (Vec<&Param>, Vec<&Param>) = method.params.iter().partition(|p| p.is_result);
    let mut signature = String::from("service: u64");
    let mut body = String::new();
    let mut caps = Vec::new();
    let mut at = 0;
    for param in arguments {
        let name = identifier(&param.name);
        match travel(&param.kind, interface)? {
            Travel::Capability => {
                let _ = write!(signature, ", {name}: u64");
                caps.push(name);
            }
            Travel::Bits(width) => {
                let _ = write!(
                    signature,
                    ", {name}: {}",
                    if width == 1 { "bool".to_owned() } else { format!("u{width}") }
                );
                at = place(at, width);
                let _ = writeln!(body, "        words[{}] |= u64::from({name}) << {};", at / 64, at % 64);
                at += width;
            }
            Travel::Words(count, kind) => {
                let _ = write!(signature, ", {name}: &{kind}");
                at = place(at, 64);
                let first = at / 64;
                let last = first as usize + count;
                let _ = writeln!(body, "        words[{first}..{last}].copy_from_slice(&{name}.0);");
                at += 64 * u32::try_from(count).ok()?;
            }
        }
    }
    let words = at.div_ceil(64);
    let (kind, reply_words, tail) = reply(&results, interface)?;
    let name = snake(&method.id);
    let label = screaming(&method.id);
    let mut text = format!("\n    pub fn {name}({signature}) -> Result<{kind}, Error> {{\n");
    let mutable = if words > 0 { "mut " } else { "" };
    let _ = writeln!(text, "        let {mutable}words = [0u64; {words}];");
    text.push_str(&body);
    let out = if reply_words > 0 { "let reply = " } else { "let _: [u64; 0] = " };
    let _ = writeln!(
        text,
        "        {out}crate::sys::invoke(service, label::{label}, &[{}], &words)?;\n        {tail}\n    }}",
        caps.join(", ")
    );
    Some(text)
}

/// The results' Rust type, how many words they are, and the expression that makes them of `reply`.
fn reply(results: &[&Param], interface: &Interface) -> Option<(String, usize, String)> {
    let mut parts = Vec::new();
    let mut at = 0;
    for param in results {
        match travel(&param.kind, interface)? {
            Travel::Words(count, kind) if results.len() == 1 => {
                let tail = format!("let reply: [u64; {count}] = reply;\n        Ok({kind}(reply))");
                return Some((kind, count, tail));
            }
            Travel::Bits(64) => {
                parts.push(format!("reply[{at}]"));
                at += 1;
            }
            // Narrower results are only of the debug interface, which nothing here uses.
            _ => return None,
        }
    }
    let typed = format!("let reply: [u64; {at}] = reply;\n        ");
    Some(match parts.len() {
        0 => ("()".to_owned(), 0, "Ok(())".to_owned()),
        1 => ("u64".to_owned(), 1, format!("{typed}Ok(reply[0])")),
        n => (format!("({})", vec!["u64"; n].join(", ")), n, format!("{typed}Ok(({}))", parts.join(", "))),
    })
}

fn identifier(name: &str) -> String {
    let name = snake(name);
    if matches!(name.as_str(), "type" | "move" | "ref" | "in" | "use" | "service" | "words") {
        name + "_"
    } else {
        name
    }
}

/// `TCBReadRegisters` to `tcb_read_registers`, `ARMPageClean_Data` to `arm_page_clean_data`.
fn snake(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (i, &letter) in letters.iter().enumerate() {
        let before = i.checked_sub(1).map(|n| letters[n]);
        let is_start = letter.is_ascii_uppercase()
            && before.is_some_and(|b| {
                b.is_ascii_lowercase()
                    || b.is_ascii_digit()
                    || (b.is_ascii_uppercase() && letters.get(i + 1).is_some_and(char::is_ascii_lowercase))
            });
        if is_start && !out.ends_with('_') {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

fn screaming(name: &str) -> String {
    snake(name).to_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn param(name: &str, kind: &str, is_result: bool) -> Param {
        Param { name: name.to_owned(), kind: kind.to_owned(), is_result }
    }

    #[test]
    fn names_follow_rust() {
        assert_eq!(snake("TCBReadRegisters"), "tcb_read_registers");
        assert_eq!(snake("ARMPageClean_Data"), "arm_page_clean_data");
        assert_eq!(snake("IRQIssueIRQHandler"), "irq_issue_irq_handler");
        assert_eq!(screaming("ARM_SmallPage"), "ARM_SMALL_PAGE");
        assert_eq!(screaming("initThreadCNodeSizeBits"), "INIT_THREAD_C_NODE_SIZE_BITS");
    }

    #[test]
    fn small_arguments_share_a_word_and_capabilities_go_apart() {
        let method = Method {
            id: "BoxOpen".to_owned(),
            params: vec![
                param("first", "seL4_Bool", false),
                param("lid", "seL4_CPtr", false),
                param("second", "seL4_Bool", false),
                param("flags", "seL4_Uint8", false),
                param("type", "seL4_Word", false),
            ],
        };
        let text = wrapper(&method, &Interface::default()).unwrap();
        assert!(
            text.contains(
                "box_open(service: u64, first: bool, lid: u64, second: bool, flags: u8, type_: u64)"
            )
        );
        assert!(text.contains("words[0] |= u64::from(first) << 0;"));
        assert!(text.contains("words[0] |= u64::from(second) << 1;"));
        assert!(text.contains("words[0] |= u64::from(flags) << 8;"));
        assert!(text.contains("words[1] |= u64::from(type_) << 0;"));
        assert!(text.contains("label::BOX_OPEN, &[lid], &words"));
    }

    #[test]
    fn results_become_the_return_value() {
        let method = Method { id: "BoxWhere".to_owned(), params: vec![param("at", "seL4_Word", true)] };
        let text = wrapper(&method, &Interface::default()).unwrap();
        assert!(text.contains("-> Result<u64, Error>") && text.contains("Ok(reply[0])"), "{text}");
        let odd = Method { id: "BoxOdd".to_owned(), params: vec![param("x", "toy_Odd", false)] };
        assert_eq!(wrapper(&odd, &Interface::default()), None);
    }
}
