//! A line to words: a machine of three states that reads each byte once.

use heapless::Vec;

/// Most words in a line.
pub(crate) const WORDS_MAX: usize = 24;

/// The words of a line, and where the last ` > ` is.
#[derive(Debug)]
pub(crate) struct Words<'a> {
    words: Vec<&'a str, WORDS_MAX>,
    pub(crate) has_too_many: bool,
    line: &'a str,
    /// The byte of the last `>` that stands alone.
    redirect: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between words.
    Gap,
    /// In a word that begins with another character than `>`, or goes on behind it.
    Word { start: usize },
    /// Behind a `>` that began a word.
    Redirect { start: usize },
}

impl<'a> Words<'a> {
    pub(crate) fn of(line: &'a str) -> Words<'a> {
        let mut words = Words { words: Vec::new(), has_too_many: false, line, redirect: None };
        let mut state = State::Gap;
        for (at, byte) in line.bytes().enumerate() {
            state = match (state, byte) {
                (State::Gap, b' ') => State::Gap,
                (State::Gap, b'>') => State::Redirect { start: at },
                (State::Gap, _) => State::Word { start: at },
                (State::Redirect { start }, b' ') => {
                    words.redirect = Some(start);
                    words.end(start, at)
                }
                (State::Word { start }, b' ') => words.end(start, at),
                (State::Redirect { start } | State::Word { start }, _) => State::Word { start },
            };
        }
        if let State::Word { start } | State::Redirect { start } = state {
            words.end(start, line.len());
        }
        words
    }

    fn end(&mut self, start: usize, end: usize) -> State {
        // A word's ends are at spaces, so never within a character.
        let word = self.line.get(start..end).unwrap_or_default();
        self.has_too_many |= self.words.push(word).is_err();
        State::Gap
    }

    /// The first word.
    pub(crate) fn first(&self) -> &'a str {
        self.words.first().copied().unwrap_or_default()
    }

    /// The words behind the first.
    pub(crate) fn rest(&self) -> &[&'a str] {
        self.words.get(1..).unwrap_or_default()
    }

    /// What stands behind the first word, as it is but for the spaces around it.
    pub(crate) fn text(&self) -> &'a str {
        let text = self.line.trim_matches(' ');
        text.split_once(' ').map_or("", |(_, rest)| rest.trim_matches(' '))
    }

    /// The text between the first word and the last `>` that stands alone, and what is behind that.
    pub(crate) fn redirected(&self) -> Option<(&'a str, &'a str)> {
        let at = self.redirect?;
        let (before, behind) = (self.line.get(..at)?, self.line.get(at + 1..)?);
        let text = before.trim_start_matches(' ').strip_prefix(self.first())?;
        // One space on either side belongs to the grammar, the others to the text.
        let text = text.strip_prefix(' ').unwrap_or(text);
        Some((text.strip_suffix(' ').unwrap_or(text), behind.trim_matches(' ')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_spaces_part() {
        let words = Words::of("  bind  /a   /b ");
        assert_eq!((words.first(), words.rest()), ("bind", &["/a", "/b"][..]));
        assert_eq!(Words::of("").first(), "");
        assert_eq!(Words::of("AUTH a  b ").text(), "a  b");
    }

    #[test]
    fn the_last_lone_angle_redirects() {
        assert_eq!(Words::of("echo a > b > /c").redirected(), Some(("a > b", "/c")));
        assert_eq!(Words::of("echo a>b >c > /d").redirected(), Some(("a>b >c", "/d")));
        assert_eq!(Words::of("echo  two  > /d").redirected(), Some((" two ", "/d")));
        assert_eq!(Words::of("echo a>/d").redirected(), None);
        assert_eq!(Words::of("echo a >").redirected(), None);
        assert_eq!(Words::of("echo > /d").redirected(), Some(("", "/d")));
        assert_eq!(Words::of("> /d").redirected(), None);
    }

    #[test]
    fn a_line_of_many_words_is_bounded() {
        let words = Words::of(
            "a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a",
        );
        assert!(words.has_too_many);
        assert_eq!(words.rest().len(), WORDS_MAX - 1);
    }
}
