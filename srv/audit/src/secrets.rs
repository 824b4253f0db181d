//! Which commands the journal keeps as their sha256 only.

use rt::prelude::*;
/// Paths, `*` for one component.
#[derive(Debug, Clone, Default)]
pub(crate) struct Secrets(Vec<String>);

impl Secrets {
    pub(crate) fn new(patterns: &[String]) -> Secrets {
        Secrets(patterns.to_vec())
    }

    /// Is what is written to `path` secret?
    pub(crate) fn has(&self, path: &str) -> bool {
        self.0.iter().any(|pattern| {
            let (mut wanted, mut found) = (pattern.split('/'), path.split('/'));
            loop {
                match (wanted.next(), found.next()) {
                    (None, None) => return true,
                    (Some(wanted), Some(found)) if wanted == "*" || wanted == found => {}
                    _ => return false,
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_one_component() {
        let secrets = Secrets::new(&["/host/*/secret".into(), "/bus/x/ctl".into()]);
        for (path, is_secret) in [
            ("/host/vault/secret", true),
            ("/host/a/b/secret", false),
            ("/host/secret", false),
            ("/bus/x/ctl", true),
            ("/bus/x/ctl/more", false),
            ("/queen/ctl", false),
        ] {
            assert_eq!(secrets.has(path), is_secret, "{path}");
        }
    }
}
