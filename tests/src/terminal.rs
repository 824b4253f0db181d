//! A terminal for a program to run at: a pty, with what is typed and what is shown.

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Both ends of a terminal's line: the machine's, and where the other end is.
pub fn line() -> (File, PathBuf) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let path = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    tcsetwinsize(&master, Winsize { ws_row: 24, ws_col: 200, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    (File::from(master), path.into())
}

/// A program at a terminal of its own; it ends with it.
pub struct Terminal {
    child: Child,
    keys: File,
    came: Receiver<Vec<u8>>,
    shown: String,
}

impl Terminal {
    /// Starts a program with the terminal as its own, so that ^C reaches it.
    pub fn start(program: &Command) -> Terminal {
        let (master, path) = line();
        let open = || OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(program.get_program()).args(program.get_args());
        command.envs(program.get_envs().filter_map(|(key, value)| Some((key, value?)))).env("TERM", "xterm");
        command.stdin(open()).stdout(open()).stderr(open());
        let child = command.spawn().unwrap();
        let (send, came) = channel();
        let mut screen = master.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = screen.read(&mut bytes) {
                if send.send(bytes[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        Terminal { child, keys: master, came, shown: String::new() }
    }

    /// Types.
    pub fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until `text` is shown, behind what was waited for before; gives what was shown up to its end.
    #[track_caller]
    pub fn shows(&mut self, text: &str) -> String {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(at) = self.shown.find(text) {
                let rest = self.shown.split_off(at + text.len());
                return std::mem::replace(&mut self.shown, rest);
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.came.recv_timeout(left) {
                Ok(bytes) => self.shown.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => panic!("{text:?} is not shown, but: {:?}", self.shown),
            }
        }
    }

    /// Waits for its end; its status.
    pub fn ends(&mut self) -> Option<i32> {
        super::until("the program ends", || self.child.try_wait().unwrap().is_some());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
