//! What the consoles tell `queen.log`.

use ninep::srv::{Dir, Request, Service, Tree};
use shell::Event;

/// Lines that wait for the log.
const LINES_MAX: usize = 256;

/// The lines that have not gone out yet. There are no files.
#[derive(Default)]
pub(crate) struct Report {
    lines: Vec<String>,
}

impl Service for Report {
    fn outbox(&mut self) -> Vec<Request> {
        self.lines.drain(..).map(Request::log).collect()
    }
}

impl Report {
    pub(crate) fn tree() -> Tree<Report> {
        Tree::new(Report::default(), Dir::new())
    }

    pub(crate) fn event(&mut self, peer: &str, event: &Event) {
        self.line(match event {
            Event::Denied { verb, lock_ms: None } => format!("console denied verb={verb} peer={peer}"),
            Event::Denied { verb, lock_ms: Some(ms) } => {
                format!("console denied verb={verb} peer={peer} locked_s={}", ms / 1000)
            }
            Event::Attached { uname } => format!("console attached peer={peer} as={uname}"),
            Event::Detached => format!("console detached peer={peer}"),
        });
    }

    pub(crate) fn line(&mut self, line: String) {
        if self.lines.len() < LINES_MAX {
            self.lines.push(line);
        }
    }
}
