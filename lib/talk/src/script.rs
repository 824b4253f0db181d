//! A `.coh` script, played over a conversation.

use crate::{Sink, Talk, TalkError};
use console::{Next, Script};
use std::time::Duration;

/// What became of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Played {
    /// All that was expected was so.
    Passed,
    /// The first thing that was not: its line, the command, the response.
    Failed(String),
}

/// Plays a script; each line that is sent and each that comes is handed over. A text that is no script
/// is refused before anything is sent.
pub fn play(text: &str, talk: &mut Talk, sent: Sink, came: Sink) -> Result<Played, TalkError> {
    let mut script = match Script::new(text) {
        Ok(script) => script,
        Err(error) => return Ok(Played::Failed(error.to_string())),
    };
    loop {
        match script.step(text) {
            Next::Send(line) => {
                sent(line);
                let mut was_following = talk.is_following();
                talk.send(line, &mut |line| {
                    came(line);
                    // What belongs to the tail before is no answer to this line.
                    if was_following {
                        was_following = !crate::is_end(line) && line != console::PONG;
                        if line != console::PONG {
                            return;
                        }
                    }
                    script.response(line);
                })?;
            }
            Next::Wait(ms) => talk.wait(Duration::from_millis(u64::from(ms)), &mut |line| {
                came(line);
                script.response(line);
            })?,
            Next::Done => return Ok(Played::Passed),
            Next::Failed => {
                let why = script.failed(text).map(|failed| failed.to_string());
                return Ok(Played::Failed(why.unwrap_or_default()));
            }
        }
    }
}
