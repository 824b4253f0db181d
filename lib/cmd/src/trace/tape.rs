//! A conversation on its way into a file.

use super::{locked, said};
use crate::trouble::Trouble;
use ninep::dial::{Credentials, Stream, Transport};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use trace::file::{Head, Kind, Mask, Recorder};

/// What was recorded so far.
pub(crate) struct Tape {
    /// Until it is written.
    file: Option<fs::File>,
    path: PathBuf,
    recorder: Recorder,
    mask: Mask,
    uname: String,
    ticket_len: usize,
    bytes_max: usize,
    began: Instant,
    /// The fingerprint of the hive's manifest.
    pub(super) manifest: String,
}

impl Tape {
    pub(super) fn new(path: &Path, who: &Credentials, bytes_max: usize) -> Result<Tape, Trouble> {
        // What the hive has said is for who was allowed to ask.
        let options = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
        let mut mask = Mask::default();
        mask.add(&who.ticket);
        Ok(Tape {
            file: Some(options.map_err(|e| said(path, e))?),
            path: path.to_owned(),
            recorder: Recorder::new(bytes_max),
            mask,
            uname: who.uname(),
            ticket_len: who.ticket.len(),
            bytes_max,
            began: Instant::now(),
            manifest: String::new(),
        })
    }

    fn add(&mut self, kind: Kind, bytes: &[u8]) {
        let ms = u32::try_from(self.began.elapsed().as_millis()).unwrap_or(u32::MAX);
        self.recorder.add(kind, ms, &self.mask.masked(bytes));
    }

    /// Writes the file, once; a remark where it is not all.
    pub(super) fn keep(&mut self) -> Result<Option<String>, Trouble> {
        let Some(mut file) = self.file.take() else { return Ok(None) };
        let Tape { manifest, uname, ticket_len, .. } = self;
        let head = Head { manifest: manifest.clone(), uname: uname.clone(), ticket_len: *ticket_len };
        let bytes = self.recorder.file(&head);
        file.write_all(&bytes).map_err(|e| said(&self.path, e))?;
        let is_full = self.recorder.is_full();
        Ok(is_full
            .then(|| format!("{}: the recording ends at {} bytes", self.path.display(), self.bytes_max)))
    }
}

/// Keeps what was recorded when the user ends a command that would go on.
pub(super) fn keep_at_signals(tape: Arc<Mutex<Tape>>) -> Result<(), Trouble> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(|e| Trouble::failed(e.to_string()))?;
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            // Held until the process has ended: nothing is added behind the file's back.
            let mut tape = locked(&tape);
            if let Err(trouble) = tape.keep() {
                let _ = writeln!(io::stderr(), "{trouble}");
            }
            let _ = signal_hook::low_level::emulate_default_handler(signal);
        }
    });
    Ok(())
}

/// A stream whose bytes are recorded.
pub(super) struct Recorded {
    stream: Stream,
    tape: Arc<Mutex<Tape>>,
}

impl Recorded {
    pub(super) fn new(stream: Stream, tape: Arc<Mutex<Tape>>) -> Recorded {
        locked(&tape).add(Kind::Dialled, b"");
        Recorded { stream, tape }
    }
}

impl Read for Recorded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.stream.read(buffer)?;
        if n > 0 {
            locked(&self.tape).add(Kind::Came, &buffer[..n]);
        }
        Ok(n)
    }
}

impl Write for Recorded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // All of it at once, so that a secret is never in two records.
        self.stream.write_all(bytes)?;
        locked(&self.tape).add(Kind::Sent, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl Transport for Recorded {
    fn set_deadline(&self, deadline: Option<Duration>) -> io::Result<()> {
        self.stream.set_deadline(deadline)
    }
}
