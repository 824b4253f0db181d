//! Text between quotes, as JSON writes it: the one spelling that what is hashed can stand on.

const DIGITS: &str = "0123456789abcdef";

/// Hands over the pieces of `text` as a JSON string, its quotes first and last. Nothing is escaped that
/// need not be, and what has a short form has it.
pub fn quote(text: &str, mut push: impl FnMut(&str)) {
    push("\"");
    let mut done = 0;
    for (i, byte) in text.bytes().enumerate() {
        let short = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            0x08 => "\\b",
            0x0c => "\\f",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x00..0x20 => "\\u00",
            _ => continue,
        };
        push(&text[done..i]);
        push(short);
        if short == "\\u00" {
            let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
            push(&DIGITS[high..=high]);
            push(&DIGITS[low..=low]);
        }
        done = i + 1;
    }
    push(&text[done..]);
    push("\"");
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use proptest::prelude::*;

    fn quoted(text: &str) -> String {
        let mut out = String::new();
        quote(text, |piece| out.push_str(piece));
        out
    }

    #[test]
    fn what_must_be_escaped_is_and_nothing_else() {
        assert_eq!(quoted(""), "\"\"");
        assert_eq!(quoted("a\"b\\c/\u{7f}é"), "\"a\\\"b\\\\c/\u{7f}é\"");
        assert_eq!(quoted("\u{8}\u{c}\n\r\t\0\u{1f}"), "\"\\b\\f\\n\\r\\t\\u0000\\u001f\"");
    }

    proptest! {
        #[test]
        fn any_text_is_spelled_as_another_writer_does(text in any::<String>()) {
            prop_assert_eq!(quoted(&text), serde_json::to_string(&text).unwrap());
        }
    }
}
