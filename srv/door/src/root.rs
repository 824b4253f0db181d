//! Is the queen to be reached (spec 4.2)? She says so herself of all but one reason: that no way leads to
//! her is for the door to tell, which then answers in her stead, and has nobody exercise what is hers.

use crate::door::Door;
use crate::facts::{Facts, State};
use crate::files::Own;
use authority::{Cut, Phase};
use core::fmt::Write;
use ninep::refusal::{Refusal, Word};
use ninep::srv::{Call, Dir, Op, Request};
use rt::prelude::*;

/// Whose server it is about, and the root of hers that the door stands in for.
pub(crate) const QUEEN: &str = "queen";
const ROOT: &str = "root";

impl Door {
    /// The first reason that holds why the queen is not to be reached, as far as can be seen now.
    pub(crate) fn cut_now(&mut self) -> Option<Cut> {
        let told = self.cut.or((self.phase == Phase::Offline).then_some(Cut::LifecycleOffline));
        let cut = match told {
            Some(cut) => Some(cut),
            None => (!self.reaches_queen()).then_some(Cut::NetworkUnreachable),
        };
        let now_ms = self.now.wall_ms;
        let seen = &mut self.facts.borrow_mut().root;
        *seen = cut.map(|cut| (cut, seen.map_or(now_ms, |(_, since_ms)| since_ms)));
        cut
    }

    fn reaches_queen(&mut self) -> bool {
        let Some(channel) = self.channel_of(QUEEN) else { return true };
        self.connect(channel);
        self.channels[channel as usize].is_up
    }

    /// Who answers for a mount of `server`: the door where it is about a queen whom no way leads to.
    pub(crate) fn stands_in(&mut self, server: &str, spec: &str) -> bool {
        server == QUEEN && spec == ROOT && {
            // Who still holds the door's own files of then sees it too.
            self.cut_now();
            !self.reaches_queen()
        }
    }

    /// The queen has said what cuts her off. That all her sessions were revoked is over with the next.
    pub(crate) fn cut(&mut self, cut: Option<Cut>) {
        self.cut = cut;
        if cut == Some(Cut::SessionRevoked) && self.has_queen() {
            self.tell_queen(false);
        }
    }

    /// Is there a session with her authority?
    pub(crate) fn has_queen(&self) -> bool {
        let is_hers = |state| matches!(state, State::Active | State::Draining);
        self.sessions.iter().any(|(_, session)| session.is_queen() && is_hers(session.state))
    }

    /// A session of hers has begun.
    pub(crate) fn queen_came(&mut self) {
        if self.cut == Some(Cut::SessionRevoked) {
            self.tell_queen(false);
        }
    }

    /// Sessions of hers were revoked: was the last among them?
    pub(crate) fn queens_revoked(&mut self) {
        if !self.has_queen() {
            self.tell_queen(true);
        }
    }

    fn tell_queen(&self, holds: bool) {
        let line = format!("{{\"cut\":{{\"reason\":\"session_revoked\",\"holds\":{holds}}}}}\n");
        let op = Op::Write(line.into_bytes());
        let event = Request { id: 0, server: QUEEN, root: "in", path: "events".into(), op };
        self.facts.borrow_mut().outbox.push(event);
    }
}

/// `/proc/root` while the queen cannot answer for herself.
pub(crate) fn dir() -> Dir<Own> {
    Dir::new()
        .text("reachable", |own: &Own, _, out| {
            say(own, out, |facts, out| {
                writeln!(out, "reachable={}", if facts.root.is_none() { "yes" } else { "no" })
            })
        })
        .text("last_seen_ms", |own: &Own, call: &Call, out| {
            let now_ms = call.now.wall_ms;
            say(own, out, |facts, out| {
                writeln!(out, "last_seen_ms={}", facts.root.map_or(now_ms, |(_, since_ms)| since_ms))
            })
        })
        .text("cut_reason", |own: &Own, _, out| {
            say(own, out, |facts, out| {
                writeln!(out, "cut_reason={}", facts.root.map_or("none", |(cut, _)| cut.word()))
            })
        })
}

fn say(
    own: &Own,
    out: &mut String,
    line: impl FnOnce(&Facts, &mut String) -> core::fmt::Result,
) -> Result<(), Refusal> {
    line(&own.facts.borrow(), out).map_err(|_| Word::Invalid.into())
}
