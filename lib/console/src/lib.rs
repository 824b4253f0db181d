//! The console's grammar, the same on a serial line, over TCP and in cohsh (console(5), coh(5)): bytes
//! become lines, lines become verbs, and what is answered is written in one form.
//! Guarantees: any bytes give, line by line, one verb or one ERR; nothing here allocates, panics, reads
//! a clock or does input and output. What a verb does is not known here.
//!
//! ```
//! use console::{Editor, Verb};
//! let mut editor = Editor::new();
//! let bytes = b"cat /proc/bot\x08ot\r";
//! let ended = bytes.iter().filter(|byte| editor.feed(**byte)).count();
//! assert_eq!(ended, 1);
//! assert_eq!(Verb::parse(editor.line().unwrap()), Ok(Verb::Cat { path: "/proc/boot" }));
//! ```
#![no_std]
#![forbid(unsafe_code)]

mod answer;
mod data;
mod editor;
mod frame;
mod root;
mod script;
mod session;
mod throttle;
mod verb;
mod words;

pub use answer::{ANSWER_MAX, Answer, END, PONG, Response};
pub use data::{DATA_MAX, Data, write_data};
pub use editor::{Editor, Fault, LINE_MAX, check_line};
pub use frame::{FRAME_MAX, Framed, Framer, header};
pub use root::RootVerb;
pub use script::{Expect, Failed, LINES_MAX, Next, Script, ScriptError, WAIT_MAX_MS};
pub use session::{AUTH_WITHIN_MS, IDLE_MS, PING_AFTER_MS, Session, Step};
pub use throttle::{FAILURES, LOCK_MAX_MS, LOCK_MS, Throttle, WITHIN_MS};
pub use verb::{FIELDS_MAX, Fields, HELP, Mode, Refused, TestArgs, Verb};
