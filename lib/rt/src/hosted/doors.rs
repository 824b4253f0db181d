//! Several doors as one peer: what a server asks of `door` goes to every one of them, and their answers
//! come back as one. Pure: requests and answers in, requests and answers out.

use crate::peers::Answer;
use ninep::refusal::{Refusal, Word};
use ninep::srv::Request;
use slab::Slab;

/// The ids of requests that were spread.
const SPREAD: u64 = 1 << 61;

/// The doors of a hive, as one of its servers sees them.
pub(crate) struct Doors {
    /// Their processes' names; empty where there is one, or where they are told apart.
    names: Vec<&'static str>,
    asked: Slab<Asked>,
}

/// A request that every door was asked.
struct Asked {
    id: u64,
    left: usize,
    answer: Answered,
}

type Answered = Option<Result<Vec<u8>, Refusal>>;

impl Doors {
    pub(crate) fn new(names: Vec<&'static str>) -> Doors {
        let names = if names.len() > 1 { names } else { Vec::new() };
        Doors { names, asked: Slab::new() }
    }

    /// Requests to the door become requests to each.
    pub(crate) fn spread(&mut self, requests: Vec<Request>) -> Vec<Request> {
        if self.names.is_empty() || requests.iter().all(|request| request.server != "door") {
            return requests;
        }
        let mut out = Vec::with_capacity(requests.len() + self.names.len());
        for request in requests {
            if request.server != "door" {
                out.push(request);
                continue;
            }
            let id = match request.id {
                0 => 0,
                id => SPREAD | self.asked.insert(Asked { id, left: self.names.len(), answer: None }) as u64,
            };
            out.extend(self.names.iter().map(|server| Request { id, server, ..request.clone() }));
        }
        out
    }

    /// The answers of doors become one, when the last is here.
    pub(crate) fn collect(&mut self, answers: Vec<Answer>) -> Vec<Answer> {
        if self.asked.is_empty() {
            return answers;
        }
        answers.into_iter().filter_map(|(id, answer)| self.one(id, answer)).collect()
    }

    fn one(&mut self, id: u64, answer: Result<Vec<u8>, Refusal>) -> Option<Answer> {
        // An id that is not ours has the bit that a state's own never have.
        let at = (id & !SPREAD) as usize;
        let Some(asked) = self.asked.get_mut(at).filter(|_| id == SPREAD | at as u64) else {
            return Some((id, answer));
        };
        asked.left -= 1;
        asked.answer = Some(match asked.answer.take() {
            None => answer,
            Some(before) => both(before, answer),
        });
        if asked.left > 0 {
            return None;
        }
        let asked = self.asked.remove(at);
        Some((asked.id, asked.answer?))
    }
}

/// Two doors' answers as one. What one of them did is done: an order about a session is for the door that
/// has it, and a door that is away asks for what it has missed when it starts. Where all refuse, the door
/// that knows more is heard.
fn both(a: Result<Vec<u8>, Refusal>, b: Result<Vec<u8>, Refusal>) -> Result<Vec<u8>, Refusal> {
    match (a, b) {
        (Ok(mut a), Ok(b)) => {
            a.extend_from_slice(&b);
            Ok(a)
        }
        (Ok(done), Err(_)) | (Err(_), Ok(done)) => Ok(done),
        (Err(a), Err(b)) => Err(if a.word == Word::NotFound { b } else { a }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ninep::srv::Op;

    fn ask(id: u64, server: &'static str) -> Request {
        Request { id, server, root: "ctl", path: "ctl".into(), op: Op::Read }
    }

    fn no(word: Word) -> Result<Vec<u8>, Refusal> {
        Err(word.into())
    }

    #[test]
    fn one_door_is_asked_as_it_is() {
        let mut doors = Doors::new(vec!["door"]);
        assert_eq!(doors.spread(vec![ask(7, "door")]), [ask(7, "door")]);
        assert_eq!(doors.collect(vec![(7, no(Word::Busy))]), [(7, no(Word::Busy))]);
    }

    #[test]
    fn every_door_is_asked_and_the_answers_are_one() {
        let mut doors = Doors::new(vec!["door", "door.1", "door.2"]);
        let asked = doors.spread(vec![ask(7, "log"), ask(8, "door"), ask(0, "door")]);
        let names: Vec<_> = asked.iter().map(|request| request.server).collect();
        assert_eq!(names, ["log", "door", "door.1", "door.2", "door", "door.1", "door.2"]);
        let id = asked[1].id;
        assert!(asked[4..].iter().all(|request| request.id == 0));
        let some = |text: &str| Ok(text.as_bytes().to_vec());
        assert_eq!(doors.collect(vec![(7, some("x")), (id, some("a"))]), [(7, some("x"))]);
        assert_eq!(doors.collect(vec![(id, no(Word::Busy))]), []);
        assert_eq!(doors.collect(vec![(id, some("b"))]), [(8, some("ab"))]);
        assert!(doors.asked.is_empty());
    }

    #[test]
    fn where_all_refuse_the_one_that_has_the_session_is_heard() {
        for order in [[Word::NotFound, Word::Invalid], [Word::Invalid, Word::NotFound]] {
            let mut doors = Doors::new(vec!["door", "door.1"]);
            let id = doors.spread(vec![ask(3, "door")])[0].id;
            let answers = order.map(|word| (id, no(word))).to_vec();
            assert_eq!(doors.collect(answers), [(3, no(Word::Invalid))]);
        }
    }
}
