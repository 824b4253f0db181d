//! Commands for control files from the words of a command line.

use crate::trouble::Trouble;
use serde_json::{Map, Value};

/// An object of words, as [`json::object`] makes it; what is none is the user's mistake.
pub fn object(names: &[&str], words: &[String]) -> Result<Map<String, Value>, Trouble> {
    json::object(names, words.iter().map(String::as_str)).map_err(|error| Trouble::Usage(error.0))
}

/// The queen's command for a worker.
pub fn spawn(kind: &str, fields: &[String]) -> Result<String, Trouble> {
    json::spawn(kind, fields.iter().map(String::as_str)).map_err(|error| Trouble::Usage(error.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_field_is_a_usage_error() {
        let words = ["ticks".to_owned()];
        assert_eq!(object(&[], &words).unwrap_err().status(), 2);
        assert_eq!(spawn("heartbeat", &words).unwrap_err().status(), 2);
        assert_eq!(spawn("heartbeat", &[]).unwrap(), r#"{"spawn":"heartbeat"}"#);
    }
}
