//! Why a command cannot go on.

use std::fmt;

/// A sentence that an operator can act on: what was attempted, on what, what was found, what to do.
#[derive(Debug)]
pub(crate) struct Trouble(pub(crate) String);

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Trouble {}

impl From<String> for Trouble {
    fn from(sentence: String) -> Self {
        Trouble(sentence)
    }
}

/// For `map_err`: puts the path in front of what the system said.
pub(crate) fn at<E: fmt::Display>(path: impl AsRef<std::path::Path>) -> impl FnOnce(E) -> Trouble {
    move |error| Trouble(format!("{}: {error}", path.as_ref().display()))
}
