//! An installed kernel, as its files describe it.

use std::fs;
use std::path::Path;

use crate::Refusal;
use crate::config::Config;
use crate::header::{self, Constants, Member};
use crate::interface::{self, Interface};
use crate::layout::{self, Field, Place};

/// Everything that the bindings are made of.
#[derive(Debug, Clone)]
pub struct Kernel {
    pub(crate) config: Config,
    pub(crate) calls: Vec<(String, i64)>,
    pub(crate) interface: Interface,
    pub(crate) constants: Constants,
    pub(crate) boot_info: Vec<Place>,
    pub(crate) ipc_buffer: Vec<Place>,
    /// Packed words: name, fields.
    pub(crate) packed: Vec<(&'static str, Vec<Field>)>,
}

/// Below `$SEL4_PREFIX`.
const INCLUDE: &str = "libsel4/include";
/// In the order in which their enumerations build on each other.
const HEADERS: [&str; 9] = [
    "sel4/sel4_arch/constants.h",
    "sel4/constants.h",
    "sel4/errors.h",
    "sel4/objecttype.h",
    "sel4/sel4_arch/objecttype.h",
    "sel4/arch/objecttype.h",
    "sel4/bootinfo_types.h",
    "sel4/sel4_arch/types_gen.h",
    "sel4/shared_types.h",
];
/// In the order of the labels.
const INTERFACES: [&str; 3] = ["object-api.xml", "object-api-sel4-arch.xml", "object-api-arch.xml"];
const PACKED: [&str; 3] = ["seL4_MessageInfo", "seL4_CapRights", "seL4_CNode_CapData"];

impl Kernel {
    /// Reads the kernel under `prefix`.
    ///
    /// # Errors
    /// If a file is missing or cannot be read, or an option does not fit.
    pub fn read(prefix: &Path) -> Result<Self, Refusal> {
        let include = prefix.join(INCLUDE);
        let read = |name: &str| {
            let path = include.join(name);
            fs::read_to_string(&path).map_err(|e| {
                Refusal(format!("{}: {e}; install seL4 13 to 16 there, or set SEL4_PREFIX", path.display()))
            })
        };
        let at = |name: &str, why: String| Refusal(format!("{}: {why}", include.join(name).display()));

        let name = "kernel/gen_config.json";
        let config = Config::parse(&read(name)?).map_err(|e| at(name, e.0))?;
        config.check().map_err(|e| at(name, e.0))?;

        let mut constants = Constants::of(&config);
        for name in HEADERS {
            let text = header::surviving(&read(name)?, &config).map_err(|e| at(name, e))?;
            constants.read(&text);
        }
        // seL4 13 made the levels of page tables one kind of object below one VSpace.
        if constants.get("seL4_ARM_VSpaceObject").is_none() {
            let why = "no seL4_ARM_VSpaceObject: this kernel is older than seL4 13; install 13 to 16";
            return Err(at("sel4/sel4_arch/objecttype.h", why.to_owned()));
        }

        let mut interface = Interface::default();
        for file in INTERFACES {
            let name = format!("interfaces/{file}");
            interface.add(&read(&name)?, &config).map_err(|e| at(&name, e.0))?;
        }
        let name = "api/syscall.xml";
        let calls = interface::system_calls(&read(name)?, &config).map_err(|e| at(name, e.0))?;

        let structure = |name: &str, wanted: &str| -> Result<Vec<Place>, Refusal> {
            let text = header::surviving(&read(name)?, &config).map_err(|e| at(name, e))?;
            let members: Vec<Member> =
                header::members(&text, wanted).ok_or_else(|| at(name, format!("no struct {wanted}")))?;
            layout::places(&members, &constants).map_err(|e| at(name, e.0))
        };
        let boot_info = structure("sel4/bootinfo_types.h", "seL4_BootInfo")?;
        let ipc_buffer = structure("sel4/shared_types.h", "seL4_IPCBuffer_")?;

        let name = "sel4/shared_types.pbf";
        let text = read(name)?;
        let mut packed = Vec::new();
        for wanted in PACKED {
            let fields =
                layout::fields(&text, wanted).ok_or_else(|| at(name, format!("no block {wanted}")))?;
            packed.push((wanted, fields));
        }
        Ok(Self { config, calls, interface, constants, boot_info, ipc_buffer, packed })
    }
}
