//! What is on: a level and a set of categories, in one word that every event looks at.

use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing.
    Off = 0,
    /// What went wrong.
    Error = 1,
    /// What happened.
    Info = 2,
    /// How.
    Debug = 3,
}

impl Level {
    const ALL: [Level; 4] = [Level::Off, Level::Error, Level::Info, Level::Debug];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Level::Off => "off",
            Level::Error => "error",
            Level::Info => "info",
            Level::Debug => "debug",
        }
    }
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cat {
    /// Starts, ends, restarts.
    Boot,
    /// Requests and replies.
    Ninep,
    /// Sessions and their name spaces.
    Session,
    /// Commands on their way.
    Control,
    /// Requests between servers.
    Peer,
}

impl Cat {
    const ALL: [Cat; 5] = [Cat::Boot, Cat::Ninep, Cat::Session, Cat::Control, Cat::Peer];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Cat::Boot => "boot",
            Cat::Ninep => "ninep",
            Cat::Session => "session",
            Cat::Control => "control",
            Cat::Peer => "peer",
        }
    }

    /// The one bit that an event of this category and level looks at.
    const fn bit(self, level: Level) -> u32 {
        1 << (8 + 4 * self as u32 + level as u32)
    }
}

/// A level and categories: the level in the lowest byte, and a bit for each kind of event that it lets
/// through, so that an event tests one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Filter(u32);

impl Filter {
    /// From words; None where one is not known.
    pub fn parse(level: &str, cats: &[&str]) -> Option<Filter> {
        let level = Level::ALL.into_iter().find(|known| known.word() == level)?;
        let bits = cats.iter().try_fold(0, |bits, cat| {
            Cat::ALL.into_iter().find(|known| known.word() == *cat).map(|known| {
                let passing = Level::ALL.into_iter().filter(|it| *it != Level::Off && *it <= level);
                passing.fold(bits, |bits, level| bits | known.bit(level))
            })
        })?;
        Some(if level == Level::Off { Filter(0) } else { Filter(bits | level as u32) })
    }

    /// Does it let such an event through?
    pub fn passes(self, cat: Cat, level: Level) -> bool {
        self.0 & cat.bit(level) != 0
    }
}

impl fmt::Display for Filter {
    /// `level=debug cats=boot,ninep`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = Level::ALL.into_iter().find(|level| *level as u32 == self.0 & 0xff);
        write!(f, "level={} cats=", level.map_or("off", Level::word))?;
        let mut comma = "";
        for cat in Cat::ALL.into_iter().filter(|cat| self.passes(*cat, Level::Error)) {
            write!(f, "{comma}{}", cat.word())?;
            comma = ",";
        }
        Ok(())
    }
}

static FILTER: AtomicU32 = AtomicU32::new(0);

/// Is such an event wanted?
#[inline]
pub fn is_on(cat: Cat, level: Level) -> bool {
    Filter(FILTER.load(Ordering::Relaxed)).passes(cat, level)
}

/// What is wanted from now on.
pub fn set(filter: Filter) {
    FILTER.store(filter.0, Ordering::Relaxed);
}

/// What is wanted.
pub fn filter() -> Filter {
    Filter(FILTER.load(Ordering::Relaxed))
}
