//! The words of namespace text: rc's, cut down to what names need. Blanks separate words; `#`
//! begins a comment where a word could begin; `'…'` quotes, `''` is a quote in it; `$name`
//! outside quotes stands for a variable.

use crate::table::Refused;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

/// Where namespace text is wrong, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The file's name, as it was given or included.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// A sentence.
    pub what: String,
    /// The entry that the line would have made, and why there is none; None: the line is malformed.
    pub refused: Option<Refused>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

impl core::error::Error for Error {}

/// A variable of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Var {
    Subject,
    Shard,
}

impl Var {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Var::Subject => "subject",
            Var::Shard => "shard",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(String),
    Var(Var),
}

/// A word before its variables are expanded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Word(pub(crate) Vec<Piece>);

impl Word {
    /// The word's text, if no variable is in it.
    pub(crate) fn plain(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("''");
        }
        let mut pieces = self.0.iter().peekable();
        while let Some(piece) = pieces.next() {
            match (piece, pieces.peek()) {
                (Piece::Text(text), _) => write!(f, "{}", Quoted(text))?,
                // `$subject` would take a letter that follows into its name: quote the letter.
                (Piece::Var(var), Some(Piece::Text(text))) if text.starts_with(is_var_char) => {
                    let _ = pieces.next();
                    write!(f, "${}{}", var.name(), Always(text))?;
                }
                (Piece::Var(var), _) => write!(f, "${}", var.name())?,
            }
        }
        Ok(())
    }
}

/// Prints text as one word, in quotes where it needs them.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

struct Always<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| {
            c.is_ascii_alphanumeric()
                || "/._-:+@%,".contains(c)
                || (!c.is_ascii() && !c.is_whitespace() && !c.is_control())
        };
        // `-r` is only a flag where a flag may be; a word that looks like one is quoted everywhere.
        if !self.0.is_empty() && !self.0.starts_with('-') && self.0.chars().all(plain) {
            f.write_str(self.0)
        } else {
            Always(self.0).fmt(f)
        }
    }
}

impl fmt::Display for Always<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('\'')?;
        for c in self.0.chars() {
            if c == '\'' {
                f.write_char('\'')?;
            }
            f.write_char(c)?;
        }
        f.write_char('\'')
    }
}

fn is_var_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The words of one line; the error is a sentence.
pub(crate) fn words(line: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut chars = line.chars().peekable();
    loop {
        while chars.next_if(|&c| c == ' ' || c == '\t' || c == '\r').is_some() {}
        match chars.peek() {
            None | Some('#') => return Ok(words),
            Some(_) => {}
        }
        let mut word = Word::default();
        let mut text = String::new();
        while let Some(c) = chars.next_if(|&c| c != ' ' && c != '\t' && c != '\r') {
            match c {
                '\'' => loop {
                    match chars.next() {
                        None => return Err("a quote is not closed".to_string()),
                        Some('\'') if chars.next_if_eq(&'\'').is_some() => text.push('\''),
                        Some('\'') => break,
                        Some(c) => text.push(c),
                    }
                },
                '$' => {
                    let mut name = String::new();
                    while let Some(c) = chars.next_if(|&c| is_var_char(c)) {
                        name.push(c);
                    }
                    let var = match name.as_str() {
                        "subject" => Var::Subject,
                        "shard" => Var::Shard,
                        _ => return Err(alloc::format!("${name} found; $subject and $shard allowed")),
                    };
                    if !text.is_empty() {
                        word.0.push(Piece::Text(core::mem::take(&mut text)));
                    }
                    word.0.push(Piece::Var(var));
                }
                c => text.push(c),
            }
        }
        if !text.is_empty() {
            word.0.push(Piece::Text(text));
        }
        words.push(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    fn print(line: &str) -> Vec<String> {
        words(line).expect(line).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn words_are_rcs() {
        assert_eq!(print("mount -r proc /proc\t# facts"), ["mount", "'-r'", "proc", "/proc"]);
        assert_eq!(print("a'b c'd ''"), ["'ab cd'", "''"]);
        assert_eq!(print("'it''s' #x"), ["'it''s'"]);
        assert_eq!(print("a#b \r"), ["'a#b'"]);
        assert_eq!(print("  # nothing"), [""; 0]);
    }

    #[test]
    fn a_variable_ends_where_its_name_does() {
        assert_eq!(print("/shard/$shard/worker/$subject"), ["/shard/$shard/worker/$subject"]);
        assert_eq!(print("$subject'x' '$subject'"), ["$subject'x'", "'$subject'"]);
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said() {
        assert_eq!(words("a 'b").unwrap_err(), "a quote is not closed");
        assert_eq!(words("/$who").unwrap_err(), "$who found; $subject and $shard allowed");
    }
}
