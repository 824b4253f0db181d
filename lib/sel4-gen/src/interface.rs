//! Reads the interface XML: object methods with their arguments, and system calls.

use std::collections::BTreeMap;

use roxmltree::{Document, Node};

use crate::Refusal;
use crate::config::Config;

/// One invocation of one kind of object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Method {
    /// The label's name, unique in a kernel.
    pub(crate) id: String,
    pub(crate) params: Vec<Param>,
}

/// One argument or result, in the order of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Param {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) is_result: bool,
}

/// What the interface files say together. Labels count from 1: 0 is never valid.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interface {
    pub(crate) methods: Vec<Method>,
    /// Structures that travel as one word a member.
    pub(crate) structs: BTreeMap<String, Vec<String>>,
    /// The kinds of object: an argument of such a kind is a capability, not a word.
    objects: Vec<String>,
}

impl Interface {
    /// Adds one file. The order of the files is the order of the labels.
    pub(crate) fn add(&mut self, xml: &str, config: &Config) -> Result<(), Refusal> {
        let document = parse(xml)?;
        for node in document.descendants().filter(|n| n.has_tag_name("struct")) {
            let members = node.children().filter(|n| n.has_tag_name("member"));
            let names = members.map(|n| attribute(&n, "name")).collect::<Result<_, _>>()?;
            self.structs.insert(attribute(&node, "name")?, names);
        }
        for interface in document.descendants().filter(|n| n.has_tag_name("interface")) {
            self.objects.push(attribute(&interface, "name")?);
            for method in interface.children().filter(|n| n.has_tag_name("method")) {
                if is_present(&interface, config)? && is_present(&method, config)? {
                    self.methods.push(read_method(&method)?);
                }
            }
        }
        Ok(())
    }

    /// Whether an argument of this kind goes into the message as a capability.
    pub(crate) fn is_capability(&self, kind: &str) -> bool {
        matches!(kind, "seL4_CPtr" | "seL4_CNode") || self.objects.iter().any(|object| object == kind)
    }
}

fn read_method(method: &Node) -> Result<Method, Refusal> {
    let mut params = Vec::new();
    for param in method.children().filter(|n| n.has_tag_name("param")) {
        let is_result = match attribute(&param, "dir")?.as_str() {
            "in" => false,
            "out" => true,
            other => return Err(Refusal(format!("a parameter goes neither in nor out: {other}"))),
        };
        params.push(Param { name: attribute(&param, "name")?, kind: attribute(&param, "type")?, is_result });
    }
    Ok(Method { id: attribute(method, "id")?, params })
}

/// The system calls of a non-MCS kernel with their numbers, which count down from -1: first those of the
/// API, then those on the slow path. One that the configuration leaves out keeps its number to itself.
pub(crate) fn system_calls(xml: &str, config: &Config) -> Result<Vec<(String, i64)>, Refusal> {
    let document = parse(xml)?;
    let mut found = Vec::new();
    let mut next = -1;
    for group in ["api-master", "debug"] {
        let group = document.descendants().filter(|n| n.has_tag_name(group));
        for set in group.flat_map(|n| n.children()).filter(|n| n.has_tag_name("config")) {
            let is_present = is_present(&set, config)?;
            for call in set.children().filter(|n| n.has_tag_name("syscall")) {
                if is_present {
                    found.push((attribute(&call, "name")?, next));
                }
                next -= 1;
            }
        }
    }
    if found.is_empty() {
        return Err(Refusal("no system calls found".to_owned()));
    }
    Ok(found)
}

fn parse(xml: &str) -> Result<Document<'_>, Refusal> {
    Document::parse(xml).map_err(|e| Refusal(format!("not an interface file: {e}")))
}

fn attribute(node: &Node, name: &str) -> Result<String, Refusal> {
    node.attribute(name)
        .map(str::to_owned)
        .ok_or_else(|| Refusal(format!("<{}> has no attribute {name}", node.tag_name().name())))
}

/// Whether the node's `<condition>`, if it has one, holds.
fn is_present(node: &Node, config: &Config) -> Result<bool, Refusal> {
    match node.children().find(|n| n.has_tag_name("condition")) {
        Some(condition) => all(&condition, config),
        None => Ok(true),
    }
}

fn all(node: &Node, config: &Config) -> Result<bool, Refusal> {
    let mut holds = true;
    for child in node.children().filter(Node::is_element) {
        holds &= one(&child, config)?;
    }
    Ok(holds)
}

fn one(node: &Node, config: &Config) -> Result<bool, Refusal> {
    match node.tag_name().name() {
        "config" => {
            let variable = attribute(node, "var")?;
            Ok(variable.strip_prefix("CONFIG_").is_some_and(|option| config.has(option)))
        }
        "not" => Ok(!all(node, config)?),
        "and" => all(node, config),
        "or" => {
            let mut holds = false;
            for child in node.children().filter(Node::is_element) {
                holds |= one(&child, config)?;
            }
            Ok(holds)
        }
        other => Err(Refusal(format!("cannot read the condition <{other}>"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::GOOD;

    #[test]
    fn conditions_choose_methods_and_calls() {
        let config = Config::parse(GOOD).unwrap();
        let xml = r#"<api><struct name="toy_Regs"><member name="pc"/><member name="sp"/></struct>
            <interface name="toy_Box"><method id="BoxOpen" name="Open">
                <condition><not><config var="CONFIG_KERNEL_MCS"/></not></condition>
                <param dir="in" name="lid" type="toy_Box"/><param dir="out" name="got" type="seL4_Word"/>
            </method><method id="BoxBurn" name="Burn"><condition><and><config var="CONFIG_PRINTING"/>
                <config var="CONFIG_KERNEL_MCS"/></and></condition></method></interface></api>"#;
        let mut interface = Interface::default();
        interface.add(xml, &config).unwrap();
        assert_eq!(interface.methods.len(), 1);
        assert_eq!(interface.methods[0].id, "BoxOpen");
        assert!(interface.is_capability("toy_Box") && !interface.is_capability("seL4_Word"));
        assert_eq!(interface.structs["toy_Regs"], ["pc", "sp"]);
        let calls = r#"<syscalls><api-master><config><syscall name="Knock"/><syscall name="Wait"/></config>
            </api-master><api-mcs><config><syscall name="Never"/></config></api-mcs><debug>
            <config><condition><config var="CONFIG_KERNEL_MCS"/></condition><syscall name="Not"/></config>
            <config><condition><or><config var="CONFIG_KERNEL_MCS"/><config var="CONFIG_PRINTING"/></or></condition>
            <syscall name="Say"/></config></debug></syscalls>"#;
        let found = system_calls(calls, &config).unwrap();
        assert_eq!(found, [("Knock".to_owned(), -1), ("Wait".to_owned(), -2), ("Say".to_owned(), -4)]);
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_name() {
        let config = Config::default();
        let odd = r#"<api><interface name="X"><method id="Y"><condition><maybe/></condition></method></interface></api>"#;
        let said = Interface::default().add(odd, &config).unwrap_err().to_string();
        assert_eq!(said, "cannot read the condition <maybe>");
        assert!(system_calls("<syscalls/>", &config).is_err());
        assert!(system_calls("<syscalls", &config).is_err());
    }
}
