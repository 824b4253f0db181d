//! A copy of this repository's sys/hive.toml and bind/, to be spoilt.
#![allow(clippy::expect_used)] // A test that has no house fails, and says where.

use std::fs;
use std::path::{Path, PathBuf};

use manifest::{Additions, Compiled, compile_with};

pub(crate) struct House(tempfile::TempDir);

/// A public key (RFC 8032, test 1).
pub(crate) const KEY: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

/// The minimum: every other key has its default.
pub(crate) const SMALL: &str = "schema = 1
[servers.door]
[servers.log]
[servers.queen]
[roles]
queen = \"queen\"
[[listeners]]
kind = \"unix\"
addr = \"door\"
";

impl House {
    pub(crate) fn new() -> House {
        let house = House(tempfile::tempdir().expect("a temporary directory"));
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for dir in ["sys", "bind"] {
            fs::create_dir(house.path(dir)).expect("mkdir");
        }
        fs::copy(repository.join("sys/hive.toml"), house.path("sys/hive.toml")).expect("hive.toml");
        for file in fs::read_dir(repository.join("bind")).expect("bind/") {
            let file = file.expect("bind/");
            fs::copy(file.path(), house.path("bind").join(file.file_name())).expect("a bind file");
        }
        house
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect(name)
    }

    pub(crate) fn write(self, name: &str, text: &str) -> House {
        fs::write(self.path(name), text).expect(name);
        self
    }

    pub(crate) fn append(self, name: &str, text: &str) -> House {
        let whole = self.read(name) + text;
        self.write(name, &whole)
    }

    /// hive.toml with `old` replaced by `new`; `old` must be there.
    pub(crate) fn edit(self, old: &str, new: &str) -> House {
        let text = self.read("sys/hive.toml");
        assert!(text.contains(old), "{old} is not in hive.toml");
        self.write("sys/hive.toml", &text.replacen(old, new, 1))
    }

    pub(crate) fn compile(&self) -> Result<Compiled, String> {
        self.with(&Additions::default())
    }

    pub(crate) fn with(&self, additions: &Additions) -> Result<Compiled, String> {
        compile_with(&self.path("sys/hive.toml"), additions).map_err(|problems| {
            let root = format!("{}/", self.0.path().display());
            let lines: Vec<String> =
                problems.iter().map(|problem| problem.to_string().replace(&root, "")).collect();
            lines.join("\n")
        })
    }

    /// What is said, with the line number of hive.toml as `N`, since the file will grow.
    pub(crate) fn says(&self) -> String {
        let said = self.compile().map(|compiled| compiled.fingerprint).expect_err("it is refused");
        let lines: Vec<String> = said
            .lines()
            .map(|line| match line.strip_prefix("sys/hive.toml:").and_then(|rest| rest.split_once(':')) {
                Some((number, rest)) if number.parse::<u32>().is_ok() => format!("sys/hive.toml:N:{rest}"),
                _ => line.to_string(),
            })
            .collect();
        lines.join("\n")
    }
}
