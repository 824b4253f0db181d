//! Turns the kernel and the root task into flat pieces that the loader copies, so that the loader itself
//! knows nothing of ELF. What to load comes in the environment, from sys/sel4/build.

use std::path::{Path, PathBuf};
use std::{env, fs, process};

use object::{Endianness, elf, read::elf::FileHeader as _, read::elf::ProgramHeader as _};

/// Environment variable, and the piece's name in the loader.
const PROGRAMS: [(&str, &str); 2] = [("COHESIX_KERNEL", "kernel"), ("COHESIX_ROOT", "root")];

fn main() {
    println!("cargo::rerun-if-changed=link.ld");
    println!("cargo::rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return;
    }
    let here = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo::rustc-link-arg-bins=-T{here}/link.ld");
    println!("cargo::rustc-link-arg-bins=--oformat=binary");
    println!("cargo::rustc-link-arg-bins=-n");
    if let Err(why) = write_pieces() {
        println!("cargo::error={why}");
        process::exit(1);
    }
}

fn write_pieces() -> Result<(), String> {
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let mut constants = String::new();
    for (variable, name) in PROGRAMS {
        let path = input(variable)?;
        let piece = flatten(&path).map_err(|why| format!("{}: {why}", path.display()))?;
        let file = out.join(name);
        fs::write(&file, &piece.bytes).map_err(|e| format!("{}: {e}", file.display()))?;
        constants += &format!(
            "pub(crate) const {}: Piece = Piece {{ bytes: include_bytes!({file:?}), virt: {:#x}, phys: {:#x}, \
             size: {:#x}, entry: {:#x} }};\n",
            name.to_uppercase(),
            piece.virt,
            piece.phys,
            piece.size,
            piece.entry
        );
    }
    let bundle = input("COHESIX_BUNDLE")?;
    let bundle = fs::canonicalize(&bundle).map_err(|e| format!("{}: {e}", bundle.display()))?;
    constants += &format!("pub(crate) const BUNDLE: &[u8] = include_bytes!({bundle:?});\n");
    let file = out.join("pieces.rs");
    fs::write(&file, constants).map_err(|e| format!("{}: {e}", file.display()))?;
    println!("cargo::rerun-if-env-changed=COHESIX_MANIFEST");
    let manifest = env::var("COHESIX_MANIFEST").unwrap_or_else(|_| "none".to_owned());
    println!("cargo::rustc-env=COHESIX_MANIFEST={manifest}");
    Ok(())
}

fn input(variable: &str) -> Result<PathBuf, String> {
    println!("cargo::rerun-if-env-changed={variable}");
    let path = env::var_os(variable).map(PathBuf::from);
    let path = path.ok_or_else(|| format!("{variable} is not set: build the image with sys/sel4/build"))?;
    println!("cargo::rerun-if-changed={}", path.display());
    Ok(path)
}

/// A program as one run of memory.
struct Flat {
    /// What is in the file; the rest up to `size` is zero.
    bytes: Vec<u8>,
    virt: u64,
    phys: u64,
    size: u64,
    entry: u64,
}

fn flatten(path: &Path) -> Result<Flat, String> {
    let data = fs::read(path).map_err(|e| e.to_string())?;
    let data = data.as_slice();
    let header = elf::FileHeader64::<Endianness>::parse(data).map_err(|e| e.to_string())?;
    let endian = header.endian().map_err(|e| e.to_string())?;
    if header.e_machine(endian) != elf::EM_AARCH64 {
        return Err("not a program for aarch64".to_owned());
    }
    let segments = header.program_headers(endian, data).map_err(|e| e.to_string())?;
    let mut flat: Option<Flat> = None;
    for segment in segments.iter().filter(|s| s.p_type(endian) == elf::PT_LOAD && s.p_memsz(endian) > 0) {
        let (virt, phys) = (segment.p_vaddr(endian), segment.p_paddr(endian));
        let flat = flat.get_or_insert(Flat {
            bytes: Vec::new(),
            virt,
            phys,
            size: 0,
            entry: header.e_entry(endian),
        });
        let at = virt
            .checked_sub(flat.virt)
            .filter(|at| *at >= flat.size && phys.checked_sub(flat.phys) == Some(*at));
        let at = at.ok_or("its segments are not in one order of addresses")?;
        let bytes = segment.data(endian, data).map_err(|()| "a segment is cut off")?;
        if !bytes.is_empty() {
            flat.bytes.resize(usize::try_from(at).map_err(|e| e.to_string())?, 0);
            flat.bytes.extend_from_slice(bytes);
        }
        flat.size = at + segment.p_memsz(endian);
    }
    flat.ok_or_else(|| "nothing to load".to_owned())
}
