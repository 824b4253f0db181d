//! What a console says: OK, ERR, END and PONG lines (spec 4.5, 10.1), written without allocation.

use core::fmt::{self, Write};
use heapless::String;

/// The longest OK, ERR or END line.
pub const ANSWER_MAX: usize = 256;
/// What closes a stream.
pub const END: &str = "END";
/// What answers a ping.
pub const PONG: &str = "PONG";

/// What stands where a value was cut, to be seen.
const CUT: &str = "...";

/// One OK, ERR or END line, without a line end.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    line: String<ANSWER_MAX>,
}

impl Answer {
    /// `OK VERB`.
    pub fn ok(verb: &str) -> Answer {
        Answer::new(&["OK ", verb])
    }

    /// `ERR VERB reason=…`.
    pub fn err(verb: &str, reason: &str) -> Answer {
        Answer::new(&["ERR ", verb, " reason=", reason])
    }

    /// `END`.
    pub fn end() -> Answer {
        Answer::new(&[END])
    }

    /// `PONG`.
    pub fn pong() -> Answer {
        Answer::new(&[PONG])
    }

    /// A line that somebody else has written in this form, such as a control file's acknowledgement; what
    /// is too long is cut, and control characters become spaces.
    pub fn relay(line: &str) -> Answer {
        let mut answer = Answer { line: String::new() };
        for c in line.chars() {
            let c = if c.is_control() { ' ' } else { c };
            if answer.line.len() + c.len_utf8() + CUT.len() > ANSWER_MAX {
                // There is room for it: that is what was kept free.
                let _ = answer.line.push_str(CUT);
                break;
            }
            let _ = answer.line.push(c);
        }
        answer
    }

    fn new(parts: &[&str]) -> Answer {
        let mut line = String::new();
        for part in parts {
            for c in part.chars() {
                // Verbs and reasons are short; one that is not is cut.
                let _ = line.push(c);
            }
        }
        Answer { line }
    }

    /// Adds ` key=value`, the value in quotes where it holds anything but plain characters. A value that
    /// does not fit is cut, and ends with `...`; a key that does not fit is left out.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Answer {
        let is_plain = !value.is_empty() && value.chars().all(is_plain);
        let quotes = if is_plain { "" } else { "\"" };
        let around = " =".len() + key.len() + 2 * quotes.len();
        let room = ANSWER_MAX.saturating_sub(self.line.len() + around);
        let len: usize = value.chars().map(|c| escaped(c).len()).sum();
        let limit = if len <= room { room } else { room.saturating_sub(CUT.len()) };
        if len > limit && limit == 0 {
            return self;
        }
        // None of these writes fails: all of it was counted.
        let _ = write!(self.line, " {key}={quotes}");
        let begin = self.line.len();
        for c in value.chars() {
            let piece = escaped(c);
            if self.line.len() - begin + piece.len() > limit {
                let _ = self.line.push_str(CUT);
                break;
            }
            let _ = self.line.push_str(&piece);
        }
        let _ = self.line.push_str(quotes);
        self
    }

    /// The same with a number.
    #[must_use]
    pub fn with_number(self, key: &str, value: u64) -> Answer {
        let mut text = String::<20>::new();
        // The largest has twenty digits.
        let _ = write!(text, "{value}");
        self.with(key, &text)
    }

    /// The line.
    pub fn as_str(&self) -> &str {
        &self.line
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

fn is_plain(c: char) -> bool {
    !(c.is_control() || c.is_whitespace() || matches!(c, '"' | '\\'))
}

/// A character as it stands in an answer.
fn escaped(c: char) -> String<12> {
    let mut piece = String::new();
    // The longest is ten bytes.
    let _ = match c {
        '"' | '\\' => write!(piece, "\\{c}"),
        c if c.is_control() => write!(piece, "\\u{{{:x}}}", u32::from(c)),
        c => piece.push(c).map_err(|_| fmt::Error),
    };
    piece
}

/// What a line that a console has sent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Response {
    /// `OK …`
    Ok,
    /// `ERR …`
    Err,
    /// `END`, or `END reason=…` of a stream that broke off.
    End,
    /// `PONG`
    Pong,
    /// A line of a stream.
    Data,
}

impl Response {
    /// Reads a line. Only behind the OK of a stream may it be data: [`crate::write_data`] sees to it that
    /// no data is taken for END or PONG.
    pub fn of(line: &str, is_stream: bool) -> Response {
        let word = line.split(' ').next().unwrap_or(line);
        match word {
            END => Response::End,
            PONG if line == PONG => Response::Pong,
            "OK" if !is_stream => Response::Ok,
            "ERR" if !is_stream => Response::Err,
            _ => Response::Data,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_where_they_must_be() {
        let answer = Answer::err("CAT", "notfound").with("path", "/a").with("detail", "no such \"file\"\n");
        assert_eq!(answer.as_str(), r#"ERR CAT reason=notfound path=/a detail="no such \"file\"\u{a}""#);
        assert_eq!(Answer::ok("X").with("a", "").with_number("n", 7).as_str(), r#"OK X a="" n=7"#);
    }

    #[test]
    fn no_answer_is_longer_than_it_may_be_and_a_cut_shows() {
        let long = "äö ".repeated();
        let answer = Answer::err("CAT", "invalid").with("detail", &long);
        assert!(answer.as_str().len() <= ANSWER_MAX && answer.as_str().ends_with("...\""), "{answer}");
        let answer = Answer::ok("CAT").with("path", &long.spaceless()).with("x", "y").with("z", "a b");
        assert!(answer.as_str().len() <= ANSWER_MAX, "{answer}");
        assert!(answer.as_str().ends_with("..."), "{answer}");
    }

    #[test]
    fn a_value_that_just_fits_is_whole() {
        for n in 200..260 {
            let value = &LONG[..n];
            let line = Answer::ok("CAT").with("p", value);
            let is_whole = line.as_str().ends_with(value);
            assert_eq!(is_whole, "OK CAT p=".len() + n <= ANSWER_MAX, "{n}");
            assert!(is_whole || line.as_str().len() == ANSWER_MAX);
        }
    }

    const LONG: &str = match core::str::from_utf8(&[b'x'; 300]) {
        Ok(text) => text,
        Err(_) => "",
    };

    #[test]
    fn what_others_wrote_is_bounded_and_printable() {
        assert_eq!(Answer::relay("OK SPAWN id=worker-3 seq=9").as_str(), "OK SPAWN id=worker-3 seq=9");
        assert_eq!(Answer::relay("OK\u{1b}[2J\nERR").as_str(), "OK [2J ERR");
        assert_eq!(Answer::relay(LONG).as_str().len(), ANSWER_MAX);
    }

    #[test]
    fn lines_are_known_by_their_first_word() {
        assert_eq!(Response::of("OK CAT path=/x", false), Response::Ok);
        assert_eq!(Response::of("ERR CAT reason=busy", false), Response::Err);
        assert_eq!(Response::of("ERR CAT reason=busy", true), Response::Data);
        assert_eq!(Response::of("END", true), Response::End);
        assert_eq!(Response::of("END reason=busy", true), Response::End);
        assert_eq!(Response::of("ENDED", true), Response::Data);
        assert_eq!(Response::of("PONG", true), Response::Pong);
        assert_eq!(Response::of("", true), Response::Data);
    }

    extern crate std;
    use std::string::String as Text;

    trait Long {
        fn repeated(&self) -> Text;
        fn spaceless(&self) -> Text;
    }

    impl Long for str {
        fn repeated(&self) -> Text {
            self.repeat(100)
        }
        fn spaceless(&self) -> Text {
            self.replace(' ', "")
        }
    }
}
