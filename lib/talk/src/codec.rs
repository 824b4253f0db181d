//! Lines out of a console's bytes: as they are on a Unix socket, in frames over TCP, and between prompts
//! and echoes on a serial line.

use crate::error::TalkError;
use console::{DATA_MAX, Framed, Framer, Response, header};

/// Room for the longest line with all of it escaped.
const LINE_MAX: usize = 5 * DATA_MAX;
/// What the serial root console asks with.
const PROMPT: &str = "cohesix> ";
/// Takes back what somebody has begun to type: ^U.
const KILL: u8 = 0x15;

/// How lines travel.
pub(crate) enum Codec {
    /// A newline ends each.
    Lines(Vec<u8>),
    /// A length stands before each.
    Frames(Box<Framer<LINE_MAX>>),
    /// A carriage return ends ours; theirs come with a prompt, and with the echo of what was sent.
    Serial { partial: Vec<u8>, sent: Option<String> },
}

impl Codec {
    /// For a serial line.
    pub(crate) fn serial() -> Codec {
        Codec::Serial { partial: Vec::new(), sent: None }
    }

    /// A line's bytes.
    pub(crate) fn encode(&mut self, line: &str) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(line.len() + 4);
        match self {
            Codec::Lines(_) => {
                bytes.extend_from_slice(line.as_bytes());
                bytes.push(b'\n');
            }
            Codec::Frames(_) => {
                bytes.extend_from_slice(&header(line.len()));
                bytes.extend_from_slice(line.as_bytes());
            }
            Codec::Serial { sent, .. } => {
                bytes.push(KILL);
                bytes.extend_from_slice(line.as_bytes());
                bytes.push(b'\r');
                *sent = Some(line.to_owned());
            }
        }
        bytes
    }

    /// Takes a byte that came; gives the line that it ends.
    pub(crate) fn feed(&mut self, byte: u8) -> Result<Option<String>, TalkError> {
        let bytes = match self {
            Codec::Lines(partial) => {
                if !add(partial, byte)? {
                    return Ok(None);
                }
                std::mem::take(partial)
            }
            Codec::Frames(framer) => match framer.feed(byte) {
                None => return Ok(None),
                Some(Framed::Line) => framer.line().to_vec(),
                Some(Framed::BadLength) => return Err(TalkError::Protocol("a frame's length is wrong")),
            },
            Codec::Serial { partial, sent } => {
                if !add(partial, byte)? {
                    return Ok(None);
                }
                let bytes = std::mem::take(partial);
                // A line may be noisy; a console's own lines are UTF-8.
                return Ok(said(&String::from_utf8_lossy(&bytes), sent));
            }
        };
        let text = String::from_utf8(bytes).map_err(|_| TalkError::Protocol("a line is not UTF-8"))?;
        Ok(Some(text))
    }
}

/// Adds a byte to a line; says whether it ended it.
fn add(partial: &mut Vec<u8>, byte: u8) -> Result<bool, TalkError> {
    match byte {
        b'\n' => return Ok(true),
        _ if partial.len() >= LINE_MAX => return Err(TalkError::Protocol("a line without end")),
        _ => partial.push(byte),
    }
    Ok(false)
}

/// What a line on a serial line says, without prompts; nothing where it is the echo of what was sent.
fn said(line: &str, sent: &mut Option<String>) -> Option<String> {
    let mut line = line.trim_end_matches('\r');
    while let Some(rest) = line.strip_prefix(PROMPT) {
        line = rest;
    }
    // Only what can be printed is echoed.
    let printed = |text: &str| text.chars().filter(|c| matches!(c, ' '..='~')).collect::<String>();
    // The prompt came after we had begun: what was typed before stands behind it again.
    if let (Some(echo), Some((before, rest))) = (&*sent, line.split_once(PROMPT))
        && printed(echo).starts_with(&printed(before))
    {
        line = rest;
    }
    match sent {
        Some(echo) if printed(line) == printed(echo) => {
            *sent = None;
            return None;
        }
        // Its answer is here: nothing behind it is an echo.
        Some(_) if Response::of(line, false) != Response::Data => *sent = None,
        _ => {}
    }
    (!line.is_empty()).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(codec: &mut Codec, bytes: &[u8]) -> Vec<String> {
        bytes.iter().filter_map(|byte| codec.feed(*byte).unwrap()).collect()
    }

    #[test]
    fn each_way_has_its_own_ends_of_lines() {
        let mut unix = Codec::Lines(Vec::new());
        assert_eq!(unix.encode("ping"), b"ping\n");
        assert_eq!(lines(&mut unix, b"PONG\nOK"), ["PONG"]);
        let mut tcp = Codec::Frames(Box::default());
        assert_eq!(tcp.encode("ping"), b"\x08\0\0\0ping");
        assert_eq!(lines(&mut tcp, b"\x08\0\0\0PONG\x06\0\0\0OK"), ["PONG", "OK"]);
    }

    #[test]
    fn prompts_and_the_echo_of_a_serial_line_are_left_out() {
        let mut serial = Codec::serial();
        assert_eq!(serial.encode("ping"), b"\x15ping\r");
        assert_eq!(lines(&mut serial, b"cohesix> ping\r\nPONG\r\ncohesix> "), ["PONG"]);
        // Where nothing is echoed, and where something is said in between.
        serial.encode("echo a > /log/queen.log");
        let late = b"echo a > /locohesix> echo a > /log/queen.log\r\nOK ECHO path=/log/queen.log\r\n";
        assert_eq!(lines(&mut serial, late), ["OK ECHO path=/log/queen.log"], "a prompt between");
        serial.encode("cat /f");
        let text = b"cat /f\r\nOK CAT path=/f\r\ncohesix> and cohesix> more\r\nEND\r\n";
        assert_eq!(lines(&mut serial, text)[1], "and cohesix> more", "a file's text with a prompt in it");
        serial.encode("mem");
        assert_eq!(
            lines(&mut serial, b"[root] fault x\r\nOK MEM a=1\r\n\r\n"),
            ["[root] fault x", "OK MEM a=1"]
        );
        serial.encode("cat /mem");
        assert_eq!(lines(&mut serial, b"cat /mem\r\nOK CAT path=/mem\r\ncat /mem\r\nEND\r\n").len(), 3);
    }

    #[test]
    fn a_line_without_end_is_no_console_s() {
        let mut codec = Codec::Lines(Vec::new());
        assert!((0..=LINE_MAX).any(|_| codec.feed(b'x').is_err()));
    }
}
