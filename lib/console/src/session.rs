//! One console's session: AUTH where it is asked for, then attach, then verbs. It says what to do with
//! each line; the caller does it, and says how an attach went.

use crate::answer::Answer;
use crate::editor::Fault;
use crate::throttle::Throttle;
use crate::verb::Verb;
use subtle::ConstantTimeEq;

/// Who has not said AUTH by then is let go.
pub const AUTH_WITHIN_MS: u64 = 10_000;
/// A client that has said nothing for so long pings.
pub const PING_AFTER_MS: u64 = 15_000;
/// A peer on a network that has said nothing for so long is gone.
pub const IDLE_MS: u64 = 60_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Auth,
    Open,
    /// The session at the door has ended of itself.
    Lost,
    Attached,
}

/// What to do with a line.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Say this.
    Say(Answer),
    /// Say this, which answers a failed AUTH: it is to be audited, with the lock it has earned, if any.
    Denied(Answer, Option<u64>),
    /// Say PONG, and disturb nothing.
    Pong,
    /// Carry it out: help, attach (and say [`Session::attached`] or [`Session::refused`]), or, where
    /// attached, any other.
    Do(Verb<'a>),
    /// Say this and end the connection.
    Close(Answer),
}

/// A session.
#[derive(Debug, Clone)]
pub struct Session {
    stage: Stage,
    has_root_verbs: bool,
}

impl Session {
    /// Before the first line.
    pub const fn new(needs_auth: bool, has_root_verbs: bool) -> Session {
        Session { stage: if needs_auth { Stage::Auth } else { Stage::Open }, has_root_verbs }
    }

    /// Has it said who it is, as far as it is asked?
    pub fn is_authenticated(&self) -> bool {
        self.stage != Stage::Auth
    }

    /// Is it attached?
    pub fn is_attached(&self) -> bool {
        self.stage == Stage::Attached
    }

    /// An attach has succeeded.
    pub fn attached(&mut self) {
        self.stage = Stage::Attached;
    }

    /// The session at the door has been detached.
    pub fn detached(&mut self) {
        if self.stage == Stage::Attached {
            self.stage = Stage::Open;
        }
    }

    /// It has ended of itself.
    pub fn lost(&mut self) {
        if self.stage == Stage::Attached {
            self.stage = Stage::Lost;
        }
    }

    /// An attach was refused to this peer; for how long that locks it out, if it does.
    pub fn refused(&mut self, throttle: &mut Throttle, now_ms: u64) -> Option<u64> {
        throttle.fail(now_ms)
    }

    /// Decides on a line. `token` is what AUTH must say.
    pub fn line<'a>(
        &mut self,
        line: Result<&'a str, Fault>,
        token: &[u8],
        throttle: &mut Throttle,
        now_ms: u64,
    ) -> Step<'a> {
        let verb = match Verb::of(line) {
            Ok(verb) => verb,
            Err(refused) => return Step::Say(refused.answer()),
        };
        if matches!(verb, Verb::Auth { .. } | Verb::Attach { .. }) && throttle.locked_until(now_ms).is_some()
        {
            return Step::Say(Answer::err(verb.name(), "rate-limited"));
        }
        let no = |detail| Step::Say(Answer::err(verb.name(), "permission").with("detail", detail));
        match (self.stage, &verb) {
            (Stage::Auth, Verb::Auth { token: shown }) => {
                if bool::from(shown.as_bytes().ct_eq(token)) {
                    self.stage = Stage::Open;
                    return Step::Say(Answer::ok("AUTH"));
                }
                Step::Denied(Answer::err("AUTH", "permission"), throttle.fail(now_ms))
            }
            (Stage::Auth, Verb::Quit) => Step::Close(Answer::ok("QUIT")),
            (Stage::Auth, _) => no("AUTH first"),
            (_, Verb::Auth { .. }) => {
                Step::Say(Answer::err("AUTH", "invalid").with("detail", "nothing more to say here"))
            }
            (_, Verb::Ping) => Step::Pong,
            (_, Verb::Quit) => Step::Close(Answer::ok("QUIT")),
            (Stage::Attached, Verb::Attach { .. }) => {
                Step::Say(Answer::err("ATTACH", "busy").with("detail", "attached already; detach first"))
            }
            (_, Verb::Root(_)) if !self.has_root_verbs => Step::Say(
                Answer::err(verb.name(), "unsupported").with("detail", "on the serial root console only"),
            ),
            (_, Verb::Help | Verb::Attach { .. } | Verb::Root(_)) | (Stage::Attached, _) => Step::Do(verb),
            (Stage::Open, _) => no("attach first"),
            (Stage::Lost, _) => Step::Say(
                Answer::err(verb.name(), "closed").with("detail", "the session has ended; attach again"),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Peer {
        session: Session,
        throttle: Throttle,
        now_ms: u64,
    }

    impl Peer {
        fn new(needs_auth: bool) -> Peer {
            Peer { session: Session::new(needs_auth, false), throttle: Throttle::new(), now_ms: 0 }
        }

        fn says<'a>(&mut self, line: &'a str) -> Step<'a> {
            self.session.line(Ok(line), b"open sesame", &mut self.throttle, self.now_ms)
        }

        fn hears(&mut self, line: &str, answer: &str) {
            match self.says(line) {
                Step::Say(said) | Step::Denied(said, _) | Step::Close(said) => {
                    assert_eq!(said.as_str(), answer, "{line}");
                }
                other => panic!("{line}: {other:?}"),
            }
        }
    }

    #[test]
    fn auth_comes_first_then_attach_then_verbs() {
        let mut peer = Peer::new(true);
        peer.hears("ping", r#"ERR PING reason=permission detail="AUTH first""#);
        peer.hears("attach queen", r#"ERR ATTACH reason=permission detail="AUTH first""#);
        assert!(!peer.session.is_authenticated());
        peer.hears("AUTH open sesame", "OK AUTH");
        assert_eq!(peer.says("ping"), Step::Pong);
        assert_eq!(peer.says("help"), Step::Do(Verb::Help));
        peer.hears("cat /x", r#"ERR CAT reason=permission detail="attach first""#);
        assert_eq!(peer.says("attach queen"), Step::Do(Verb::Attach { role: "queen", ticket: None }));
        peer.session.attached();
        assert_eq!(peer.says("cat /x"), Step::Do(Verb::Cat { path: "/x" }));
        peer.hears("attach queen", r#"ERR ATTACH reason=busy detail="attached already; detach first""#);
        peer.session.detached();
        peer.hears("cat /x", r#"ERR CAT reason=permission detail="attach first""#);
        assert_eq!(peer.says("quit"), Step::Close(Answer::ok("QUIT")));
    }

    #[test]
    fn the_third_failure_locks_and_even_the_right_token_waits() {
        let mut peer = Peer::new(true);
        for lock in [None, None, Some(90_000)] {
            assert_eq!(peer.says("AUTH x"), Step::Denied(Answer::err("AUTH", "permission"), lock));
        }
        peer.now_ms = 89_999;
        peer.hears("AUTH open sesame", "ERR AUTH reason=rate-limited");
        peer.now_ms = 90_000;
        peer.hears("AUTH open sesame", "OK AUTH");
    }

    #[test]
    fn refused_attaches_lock_too() {
        let mut peer = Peer::new(false);
        for lock in [None, None, Some(90_000)] {
            assert!(matches!(peer.says("attach queen x"), Step::Do(_)));
            assert_eq!(peer.session.refused(&mut peer.throttle, 0), lock);
        }
        peer.hears("attach queen", "ERR ATTACH reason=rate-limited");
    }

    #[test]
    fn root_verbs_are_the_root_console_s() {
        let mut peer = Peer::new(false);
        peer.hears("reboot", r#"ERR REBOOT reason=unsupported detail="on the serial root console only""#);
        peer.session = Session::new(false, true);
        assert!(matches!(peer.says("reboot"), Step::Do(Verb::Root(_))));
    }
}
