//! Where things lie in memory: the boot info, the IPC buffer, and the packed words.

use crate::Refusal;
use crate::header::{Constants, Member};

/// A member of a structure and its offset in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) offset: u64,
}

/// A field of a packed word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) shift: u32,
    pub(crate) width: u32,
}

/// Size in bytes of the types that the boot info and the IPC buffer are made of, on aarch64.
const SIZES: &[(&str, u64)] = &[
    ("seL4_Word", 8),
    ("seL4_NodeId", 8),
    ("seL4_Domain", 8),
    ("seL4_CPtr", 8),
    ("seL4_MessageInfo_t", 8),
    ("seL4_SlotRegion", 16),
    ("seL4_UntypedDesc", 16),
];

/// Offsets of all members; the last place is the structure's end.
pub(crate) fn places(members: &[Member], constants: &Constants) -> Result<Vec<Place>, Refusal> {
    let mut offset = 0;
    let mut out = Vec::new();
    for member in members {
        let size = if member.is_pointer { Some(8) } else { lookup(&member.kind) };
        let size = size
            .ok_or_else(|| Refusal(format!("member {} is of unknown type {}", member.name, member.kind)))?;
        let count = match &member.array {
            None => 1,
            Some(text) => constants
                .evaluate(text)
                .and_then(|n| u64::try_from(n).ok())
                .ok_or_else(|| Refusal(format!("member {} has the unknown length {text}", member.name)))?,
        };
        out.push(Place { name: member.name.clone(), offset });
        offset += size * count;
    }
    out.push(Place { name: "end".to_owned(), offset });
    Ok(out)
}

fn lookup(kind: &str) -> Option<u64> {
    SIZES.iter().find(|(name, _)| *name == kind).map(|(_, size)| *size)
}

/// The fields of `block name` in a bit field description, where the first field is the highest.
pub(crate) fn fields(text: &str, name: &str) -> Option<Vec<Field>> {
    let text = text.lines().map(|line| line.split("--").next().unwrap_or("")).collect::<Vec<_>>().join("\n");
    let mut words = text.split(|c: char| c.is_whitespace()).filter(|word| !word.is_empty());
    while words.next()? != "block" || words.next()? != name {}
    // `{ field NAME WIDTH padding WIDTH … }`
    let mut words = words.skip_while(|word| *word == "{").take_while(|word| *word != "}");
    let mut fields = Vec::new();
    while let Some(kind) = words.next() {
        let name = if kind == "padding" { None } else { Some(words.next()?.to_owned()) };
        let width: u32 = words.next()?.parse().ok()?;
        fields.push((name, width));
    }
    let mut shift: u32 = fields.iter().map(|(_, width)| width).sum();
    let mut out = Vec::new();
    for (name, width) in fields {
        shift -= width;
        if let Some(name) = name {
            out.push(Field { name, shift, width });
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::members;

    #[test]
    fn places_add_up_through_pointers_and_arrays() {
        let text = "struct toy { seL4_Word a; X *b; seL4_SlotRegion c; seL4_UntypedDesc d[3]; }";
        let found = places(&members(text, "toy").unwrap(), &Constants::default()).unwrap();
        let offsets: Vec<_> = found.iter().map(|p| (p.name.as_str(), p.offset)).collect();
        assert_eq!(offsets, [("a", 0), ("b", 8), ("c", 16), ("d", 32), ("end", 80)]);
    }

    #[test]
    fn an_unknown_type_is_refused_by_name() {
        let found = members("struct toy { toy_Half h; }", "toy").unwrap();
        let said = places(&found, &Constants::default()).unwrap_err().to_string();
        assert_eq!(said, "member h is of unknown type toy_Half");
    }

    #[test]
    fn packed_words_count_from_the_top() {
        let text = "-- ours\nbase 64\nblock toy_Tag {\n padding 32\n field label 20 -- high\n padding 5\n field len 7\n}";
        let found = fields(text, "toy_Tag").unwrap();
        assert_eq!(found[0], Field { name: "label".to_owned(), shift: 12, width: 20 });
        assert_eq!(found[1], Field { name: "len".to_owned(), shift: 0, width: 7 });
        assert_eq!(fields(text, "toy_Other"), None);
    }
}
