//! A self test's commands, and what is said of them.

use super::{Job, Shell};
use crate::prelude::*;
use crate::selftest::Test;
use crate::write::changes;
use console::{Answer, END, PONG, TestArgs, Verb};

impl Shell {
    pub(super) fn carry_out_for_test(&mut self, line: &str, now_ms: u64) {
        let verb = match Verb::of(Ok(line)) {
            Ok(verb) => verb,
            Err(refused) => return self.say(refused.answer().as_str()),
        };
        let is_read_only = self.test.as_ref().is_some_and(|test| test.is_read_only());
        match verb {
            Verb::Ping => self.say(PONG),
            verb if is_read_only && changes(&verb) => {
                if let Some(test) = &mut self.test {
                    test.skip();
                }
            }
            Verb::Auth { .. } | Verb::Attach { .. } | Verb::Detach | Verb::Quit | Verb::Test(_) => {
                let answer = Answer::err(verb.name(), "unsupported").with("detail", "not in a self test");
                self.say(answer.as_str());
            }
            verb => self.begin(&verb, now_ms),
        }
    }

    pub(super) fn begin_test(&mut self, args: TestArgs, text: Vec<u8>, now_ms: u64) {
        match Test::new(args, text, now_ms) {
            Ok(test) => {
                self.say(test.ok().as_str());
                self.test = Some(Box::new(test));
            }
            Err(why) => self.say(Answer::err("TEST", "invalid").with("detail", &why).as_str()),
        }
    }

    pub(super) fn end_test(&mut self, now_ms: u64) {
        if let Some(test) = self.test.take() {
            // A verb of the test that is still waited for is nobody's any more.
            if !matches!(self.job, Job::Idle) {
                self.hang_up();
                self.job = Job::Idle;
            }
            for line in test.report(now_ms) {
                let mut shown = String::new();
                // A string takes everything.
                let _ = console::write_data(line.as_bytes(), &mut shown);
                self.say(&shown);
            }
            self.say(END);
        }
    }
}
