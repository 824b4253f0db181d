//! Completion: of verbs, and of the paths that the session sees now.

use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};
use std::sync::{Arc, Mutex, PoisonError};
use talk::Talk;

/// Entries that are offered at once.
const OFFERED_MAX: usize = 256;

/// The conversation, where there is one.
pub(crate) type Shared = Arc<Mutex<Option<Talk>>>;

/// Completes what stands before the cursor.
pub(crate) struct Completion {
    pub(crate) talk: Shared,
}

impl Completion {
    /// The names in a directory of the hive, as `ls` shows them.
    fn names(&self, dir: &str) -> Vec<String> {
        let mut names = Vec::new();
        let mut talk = self.talk.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(talk) = talk.as_mut().filter(|talk| !talk.is_following()) {
            // What cannot be listed has nothing to offer; a lost connection shows at the next line.
            let _ = talk.send(&format!("ls {dir}"), &mut |line| names.push(line.to_owned()));
        }
        match names.first() {
            Some(first) if first.starts_with("OK ") => {
                names.drain(1..).filter(|name| !talk::is_end(name)).take(OFFERED_MAX).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// Where the word before the cursor begins, the directory that is to be listed for it, and how the names
/// begin that are wanted; None where it is no path.
fn path_of(line: &str) -> Option<(usize, &str, &str)> {
    let begin = line.rfind(' ').map(|at| at + 1)?;
    let word = &line[begin..];
    let slash = word.rfind('/').filter(|_| word.starts_with('/'))?;
    let dir = if slash == 0 { "/" } else { &word[..slash] };
    Some((begin + slash + 1, dir, &word[slash + 1..]))
}

/// The verbs that begin so.
fn verbs(line: &str) -> Vec<Pair> {
    let words = console::HELP.iter().filter_map(|line| line.split(' ').next());
    let fitting = words.filter(|word| word.starts_with(line));
    fitting.map(|word| Pair { display: word.to_owned(), replacement: format!("{word} ") }).collect()
}

impl Completer for Completion {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let before = line.get(..pos).unwrap_or(line);
        if let Some((at, dir, begin)) = path_of(before) {
            let names = self.names(dir).into_iter().filter(|name| name.starts_with(begin));
            return Ok((at, names.map(|name| Pair { display: name.clone(), replacement: name }).collect()));
        }
        Ok(if before.contains(' ') { (pos, Vec::new()) } else { (0, verbs(before)) })
    }
}

impl Hinter for Completion {
    type Hint = String;
}
impl Highlighter for Completion {}
impl Validator for Completion {}
impl Helper for Completion {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_before_the_cursor_says_what_to_list() {
        assert_eq!(path_of("cat /proc/bo"), Some((10, "/proc", "bo")));
        assert_eq!(path_of("cat /"), Some((5, "/", "")));
        assert_eq!(path_of("echo a > /log/"), Some((14, "/log", "")));
        assert_eq!(path_of("cat proc"), None);
        assert_eq!(path_of("/proc"), None);
    }

    #[test]
    fn verbs_are_those_of_help() {
        let words: Vec<_> = verbs("l").into_iter().map(|pair| pair.replacement).collect();
        assert_eq!(words, ["lifecycle ", "log ", "ls "]);
    }
}
