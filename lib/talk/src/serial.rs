//! A serial line: raw bytes both ways, as the machine at its other end takes them.

use ninep::dial::Transport;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::termios::{
    ControlModes, InputModes, OptionalActions, QueueSelector, Termios, speed, tcflush, tcgetattr, tcsetattr,
};
use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

/// What UARTs are set to where nobody says otherwise.
const BAUD: u32 = speed::B115200;

/// An open line. It is as it was again when it is dropped.
pub(crate) struct Serial {
    file: File,
    before: Termios,
    wait: Cell<Option<Duration>>,
}

impl Serial {
    /// Opens a terminal's device: 115200 baud, eight bits, no parity, nothing translated.
    pub(crate) fn open(path: &Path) -> io::Result<Serial> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())?;
        let before = tcgetattr(&fd).map_err(|error| match error {
            rustix::io::Errno::NOTTY => io::Error::new(io::ErrorKind::InvalidInput, "no serial line"),
            other => other.into(),
        })?;
        let mut raw = before.clone();
        raw.make_raw();
        // Nobody's modem, and flow is not ours to stop.
        raw.control_modes |= ControlModes::CLOCAL | ControlModes::CREAD;
        raw.input_modes -= InputModes::IXOFF;
        raw.set_speed(BAUD)?;
        tcsetattr(&fd, OptionalActions::Now, &raw)?;
        // What was said before we came is no answer to us.
        tcflush(&fd, QueueSelector::IFlush)?;
        Ok(Serial { file: File::from(fd), before, wait: Cell::new(None) })
    }

    fn wait_for(&self, flags: PollFlags) -> io::Result<()> {
        let mut fds = [PollFd::new(&self.file, flags)];
        let timeout = self.wait.get().and_then(|wait| Timespec::try_from(wait).ok());
        match poll(&mut fds, timeout.as_ref()) {
            Ok(0) => Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Serial {
    fn drop(&mut self) {
        // A line that has gone needs no setting.
        let _ = tcsetattr(&self.file, OptionalActions::Now, &self.before);
    }
}

impl Read for Serial {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wait_for(PollFlags::IN)?;
        self.file.read(buffer)
    }
}

impl Write for Serial {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wait_for(PollFlags::OUT)?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Serial {
    fn set_deadline(&self, deadline: Option<Duration>) -> io::Result<()> {
        self.wait.set(deadline);
        Ok(())
    }
}
