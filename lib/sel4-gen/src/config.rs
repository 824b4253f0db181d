//! How the kernel was configured: `kernel/gen_config.json`, and what of it this system needs.

use std::collections::BTreeMap;

use crate::Refusal;

/// The kernel's options by their names without `CONFIG_`. A flag that is off is not there at all, as in C.
#[derive(Debug, Clone, Default)]
pub struct Config {
    options: BTreeMap<String, String>,
}

/// A flag, what it must be, and how the kernel's build is told.
const FLAGS: &[(&str, bool, &str)] = &[
    ("ARCH_AARCH64", true, "-DKernelSel4Arch=aarch64"),
    ("PLAT_QEMU_ARM_VIRT", true, "-DKernelPlatform=qemu-arm-virt"),
    ("KERNEL_MCS", false, "-DKernelIsMCS=OFF"),
    ("ARM_HYPERVISOR_SUPPORT", false, "-DKernelArmHypervisorSupport=OFF"),
    ("EXPORT_PCNT_USER", true, "-DKernelArmExportPCNTUser=ON"),
    ("EXPORT_VCNT_USER", true, "-DKernelArmExportVCNTUser=ON"),
    // The kernel at EL1 keeps the virtual timer for itself, so the physical one is the user's.
    ("EXPORT_PTMR_USER", true, "-DKernelArmExportPTMRUser=ON"),
];

/// A number, its bounds, and how the kernel's build is told.
const NUMBERS: &[(&str, u64, u64, &str)] = &[
    ("MAX_NUM_NODES", 1, 4, "-DKernelMaxNumNodes"),
    ("ROOT_CNODE_SIZE_BITS", 12, 20, "-DKernelRootCNodeSizeBits"),
    ("MAX_NUM_BOOTINFO_UNTYPED_CAPS", 16, 230, "-DKernelMaxNumBootinfoUntypedCaps"),
];

impl Config {
    /// Reads the JSON object that the kernel's build writes.
    ///
    /// # Errors
    /// If it is not an object of flags, numbers and words.
    pub fn parse(json: &str) -> Result<Self, Refusal> {
        let object: BTreeMap<String, serde_json::Value> =
            serde_json::from_str(json).map_err(|e| Refusal(format!("not a kernel configuration: {e}")))?;
        let mut options = BTreeMap::new();
        for (name, value) in object {
            let text = match value {
                serde_json::Value::Bool(false) => continue,
                serde_json::Value::Bool(true) => "1".to_owned(),
                serde_json::Value::Number(n) => n.to_string(),
                serde_json::Value::String(s) => s,
                other => return Err(Refusal(format!("option {name} has an unknown kind of value: {other}"))),
            };
            options.insert(name, text);
        }
        Ok(Self { options })
    }

    /// Whether `CONFIG_<name>` is defined.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.options.contains_key(name)
    }

    /// The option's number, if it has one.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<i128> {
        self.options.get(name)?.parse().ok()
    }

    /// Every option that is a number or a flag that is on, in order.
    pub fn numbers(&self) -> impl Iterator<Item = (&str, i128)> {
        self.options.iter().filter_map(|(name, value)| Some((name.as_str(), value.parse().ok()?)))
    }

    /// Whether this system can run on a kernel built so.
    ///
    /// # Errors
    /// The first option that does not fit, with the argument that mends it.
    pub fn check(&self) -> Result<(), Refusal> {
        for &(name, wanted, argument) in FLAGS {
            if self.has(name) != wanted {
                let (is, must) = if wanted { ("off", "on") } else { ("on", "off") };
                return Err(Refusal(format!(
                    "{name} is {is} and must be {must}: build the kernel with {argument}"
                )));
            }
        }
        for &(name, least, most, argument) in NUMBERS {
            let value = self.number(name).unwrap_or(-1);
            if value < i128::from(least) || value > i128::from(most) {
                return Err(Refusal(format!(
                    "{name} is {value} and must be {least} to {most}: build the kernel with {argument}={least}"
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const GOOD: &str = r#"{ "ARCH_AARCH64": true, "PLAT_QEMU_ARM_VIRT": true, "KERNEL_MCS": false,
        "ARM_HYPERVISOR_SUPPORT": false, "EXPORT_PCNT_USER": true, "EXPORT_VCNT_USER": true,
        "EXPORT_PTMR_USER": true, "MAX_NUM_NODES": "4", "ROOT_CNODE_SIZE_BITS": "12",
        "MAX_NUM_BOOTINFO_UNTYPED_CAPS": "230", "PRINTING": true, "PLAT": "qemu-arm-virt" }"#;

    #[test]
    fn a_fitting_kernel_is_accepted() {
        assert_eq!(Config::parse(GOOD).unwrap().check(), Ok(()));
    }

    #[test]
    fn each_flag_that_does_not_fit_is_named_with_its_remedy() {
        for (name, wanted, argument) in FLAGS {
            let turned = GOOD.replace(&format!("\"{name}\": {wanted}"), &format!("\"{name}\": {}", !wanted));
            let said = Config::parse(&turned).unwrap().check().unwrap_err().to_string();
            assert!(said.starts_with(name) && said.ends_with(argument), "{said}");
        }
    }

    #[test]
    fn five_cores_are_refused() {
        let many = GOOD.replace("\"4\"", "\"5\"");
        let said = Config::parse(&many).unwrap().check().unwrap_err().to_string();
        assert_eq!(
            said,
            "MAX_NUM_NODES is 5 and must be 1 to 4: build the kernel with -DKernelMaxNumNodes=1"
        );
    }

    #[test]
    fn a_flag_that_is_off_is_not_defined() {
        let config = Config::parse(GOOD).unwrap();
        assert!(!config.has("KERNEL_MCS") && config.has("PRINTING"));
        assert_eq!(config.number("MAX_NUM_NODES"), Some(4));
    }
}
