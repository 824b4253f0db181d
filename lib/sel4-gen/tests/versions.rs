//! The generator on two small kernels of our own making: the second has one invocation and one member more,
//! as a newer version would, and the numbers after them move.

// A helper that fails fails its test.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

const CONFIG: &str = r#"{ "ARCH_AARCH64": true, "PLAT_QEMU_ARM_VIRT": true, "EXPORT_PCNT_USER": true,
    "EXPORT_VCNT_USER": true, "EXPORT_PTMR_USER": true, "MAX_NUM_NODES": "2", "ROOT_CNODE_SIZE_BITS": "12",
    "MAX_NUM_BOOTINFO_UNTYPED_CAPS": "20", "PRINTING": false }"#;

/// Writes a kernel's files. `is_newer` adds what the newer one has.
fn install(prefix: &Path, is_newer: bool) {
    let put = |name: &str, text: &str| {
        let path = prefix.join("libsel4/include").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let newer = |text: &'static str| if is_newer { text } else { "" };
    put("kernel/gen_config.json", CONFIG);
    put("sel4/sel4_arch/constants.h", "#define seL4_TCBBits 11\n#define seL4_SlotBits 5\n");
    put("sel4/constants.h", "enum limits { seL4_MsgMaxLength = 16 };\n#define seL4_MsgMaxExtraCaps 3\n");
    put("sel4/errors.h", "enum errors { seL4_NoError, seL4_RangeError, seL4_DeleteFirst };\n");
    put("sel4/objecttype.h", "enum a { seL4_UntypedObject, seL4_TCBObject, last_a };\n");
    put("sel4/sel4_arch/objecttype.h", "enum b { seL4_ARM_VSpaceObject = last_a, last_b };\n");
    put("sel4/arch/objecttype.h", "enum c { seL4_ARM_SmallPageObject = last_b };\n");
    let members = format!("seL4_Word one; {} seL4_SlotRegion empty;", newer("seL4_Domain two;"));
    put("sel4/bootinfo_types.h", &format!("struct seL4_BootInfo {{ {members} }};\n"));
    put("sel4/sel4_arch/types_gen.h", "enum f { seL4_Fault_VMFault = 5 };\n");
    put(
        "sel4/shared_types.h",
        "struct seL4_IPCBuffer_ { seL4_Word tag; seL4_Word msg[seL4_MsgMaxLength]; };\n",
    );
    let packed = ["seL4_MessageInfo", "seL4_CapRights", "seL4_CNode_CapData"];
    let packed: String =
        packed.map(|name| format!("block {name} {{ field high 60 field low 4 }}\n")).concat();
    put("sel4/shared_types.pbf", &packed);
    let method = |id: &str| format!("<method id='{id}'><param dir='in' name='n' type='seL4_Word'/></method>");
    let middle = if is_newer { method("BoxPaint") } else { String::new() };
    put(
        "interfaces/object-api.xml",
        &format!("<api><interface name='Box'>{}{middle}</interface></api>", method("BoxOpen")),
    );
    put("interfaces/object-api-sel4-arch.xml", "<api/>");
    put(
        "interfaces/object-api-arch.xml",
        &format!("<api><interface name='Lid'>{}</interface></api>", method("LidShut")),
    );
    put(
        "api/syscall.xml",
        "<s><api-master><config><syscall name='Call'/></config></api-master><debug><config><condition>\
         <config var='CONFIG_PRINTING'/></condition><syscall name='Say'/></config><config><syscall name='Stop'/>\
         </config></debug></s>",
    );
}

fn module(is_newer: bool) -> String {
    let dir = tempfile::tempdir().unwrap();
    install(dir.path(), is_newer);
    let bindings = sel4_gen::bindings(dir.path()).unwrap();
    assert!(bindings.flags.is_empty());
    bindings.module
}

#[test]
fn an_older_kernel_gets_its_numbers() {
    let module = module(false);
    for line in [
        "pub const BOX_OPEN: u64 = 1;",
        "pub const LID_SHUT: u64 = 2;",
        "pub const EMPTY: u64 = 8;",
        "pub const ARM_SMALL_PAGE: u64 = 3;",
        "pub const STOP: i64 = -3;",
        "1 => Err(Self::RangeError),",
        "pub fn lid_shut(service: u64, n: u64) -> Result<(), Error> {",
    ] {
        assert!(module.contains(line), "no `{line}` in\n{module}");
    }
    assert!(!module.contains("BOX_PAINT") && !module.contains("SAY"));
}

#[test]
fn a_newer_kernel_gets_its_own() {
    let module = module(true);
    for line in
        ["pub const BOX_PAINT: u64 = 2;", "pub const LID_SHUT: u64 = 3;", "pub const EMPTY: u64 = 16;"]
    {
        assert!(module.contains(line), "no `{line}` in\n{module}");
    }
}

#[test]
fn refusals_name_the_file_and_the_option() {
    let dir = tempfile::tempdir().unwrap();
    let said = sel4_gen::bindings(dir.path()).unwrap_err().to_string();
    assert!(said.contains("gen_config.json") && said.ends_with("or set SEL4_PREFIX"), "{said}");

    install(dir.path(), false);
    let config = dir.path().join("libsel4/include/kernel/gen_config.json");
    fs::write(&config, CONFIG.replace("\"PRINTING\": false", "\"KERNEL_MCS\": true")).unwrap();
    let said = sel4_gen::bindings(dir.path()).unwrap_err().to_string();
    assert!(
        said.ends_with("KERNEL_MCS is on and must be off: build the kernel with -DKernelIsMCS=OFF"),
        "{said}"
    );

    install(dir.path(), false);
    fs::write(dir.path().join("libsel4/include/sel4/sel4_arch/objecttype.h"), "enum b { old };\n").unwrap();
    let said = sel4_gen::bindings(dir.path()).unwrap_err().to_string();
    assert!(said.contains("older than seL4 13"), "{said}");
}
