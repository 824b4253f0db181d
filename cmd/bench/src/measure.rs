//! One connection's measurements: round trips, windows, cycles, sequential reads, appends, starts.

use crate::session::{FILE, ROOT, Session, Target, frame};
use cohcmd::Trouble;
use ninep::wire::{Names, Tmsg, WRITE_OVERHEAD, kind};
use std::time::{Duration, Instant};

/// O_WRONLY of fcntl.h.
const WRITE_ONLY: u32 = 1;
/// O_APPEND of fcntl.h.
const APPEND: u32 = 0o2000;
/// `P9_GETATTR_BASIC` of 9P2000.L.
const BASIC: u64 = 0x7ff;
/// Where in Tread and Twrite the offset is: size[4] type[1] tag[2] fid[4].
const OFFSET_AT: usize = 11;

/// Which request is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Request {
    /// Tgetattr
    Getattr,
    /// Tread at 0
    Read,
}

/// How much was done in how long.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Count {
    pub(crate) count: u64,
    /// With those of the first tenth, which is not counted, and of the end.
    pub(crate) all: u64,
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
}

/// How long single things took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) count: usize,
    pub(crate) mean_us: f64,
    pub(crate) min_us: f64,
    pub(crate) median_us: f64,
    pub(crate) p99_us: f64,
}

impl Times {
    pub(crate) fn of(mut ns: Vec<u64>) -> Result<Self, Trouble> {
        if ns.is_empty() {
            return Err(Trouble::failed("not one answer in the time given"));
        }
        ns.sort_unstable();
        let us = |ns: u64| ns as f64 / 1e3;
        let at = |q: f64| us(ns[((ns.len() - 1) as f64 * q).round() as usize]);
        let mean_us = us(ns.iter().sum::<u64>()) / ns.len() as f64;
        Ok(Times { count: ns.len(), mean_us, min_us: at(0.0), median_us: at(0.5), p99_us: at(0.99) })
    }
}

/// Divides a measurement: a tenth more to warm up, while caches and the processor's clock settle, then
/// the time itself, from when the first tenth was seen to be over.
pub(crate) struct Clock {
    warm: Instant,
    time: Duration,
    from: Option<(Instant, u64)>,
}

/// Where a measurement stands. What counts began at an instant, with a number already done.
pub(crate) enum Phase {
    Warming,
    Counting(Instant),
    Over(Instant, u64),
}

impl Clock {
    pub(crate) fn new(time: Duration) -> Self {
        Clock { warm: Instant::now() + time / 10, time, from: None }
    }

    pub(crate) fn at(&mut self, now: Instant, done: u64) -> Phase {
        if self.from.is_none() && now < self.warm {
            return Phase::Warming;
        }
        let (start, before) = *self.from.get_or_insert((now, done));
        if now - start > self.time { Phase::Over(start, before) } else { Phase::Counting(start) }
    }
}

/// The frame of a request on the file, and the type of its reply.
fn request(of: Request, session: &Session) -> (Vec<u8>, u8) {
    match of {
        Request::Getattr => (frame(&Tmsg::Getattr { fid: FILE, mask: BASIC }), kind::RGETATTR),
        Request::Read => (frame(&Tmsg::Read { fid: FILE, offset: 0, count: session.piece }), kind::RREAD),
    }
}

/// A session with the file open.
pub(crate) fn with_file(target: &Target, path: &str, flags: u32) -> Result<Session, Trouble> {
    let mut session = Session::attach(target)?;
    if !target.is_bare {
        session.walk(path, FILE)?;
        session.open(path, FILE, flags)?;
    }
    Ok(session)
}

/// One request at a time.
pub(crate) fn rtt(target: &Target, path: &str, of: Request, time: Duration) -> Result<Times, Trouble> {
    let mut session = with_file(target, path, 0)?;
    let (frame, expected) = request(of, &session);
    let mut ns = Vec::with_capacity(1 << 20);
    let mut clock = Clock::new(time);
    loop {
        let start = Instant::now();
        session.push(&frame, 1);
        session.send()?;
        while session.next(&[expected])?.is_none() {
            session.receive()?;
        }
        let now = Instant::now();
        match clock.at(now, 0) {
            Phase::Warming => {}
            Phase::Counting(..) => ns.push((now - start).as_nanos() as u64),
            Phase::Over(..) => return Times::of(ns),
        }
    }
}

/// A window of requests in flight; each reply sends the next, all that arrived together in one write.
fn pump(
    session: &mut Session,
    frame: &[u8],
    window: u16,
    expected: u8,
    time: Duration,
    mut patch: impl FnMut(&mut [u8]),
) -> Result<Count, Trouble> {
    let mut push = |session: &mut Session, tag: u16| {
        let at = session.out.len();
        session.push(frame, tag);
        patch(&mut session.out[at..]);
    };
    let mut clock = Clock::new(time);
    let mut total = Count::default();
    let mut bytes_before = 0;
    let mut in_flight = u64::from(window);
    (0..window).for_each(|tag| push(session, tag));
    session.send()?;
    let mut tags = Vec::with_capacity(window.into());
    loop {
        session.receive()?;
        while let Some(reply) = session.next(&[expected])? {
            tags.push(reply.tag);
            total.count += 1;
            // Rread's data follows its count; of other replies nobody asks.
            total.bytes += reply.body.len().saturating_sub(4) as u64;
        }
        let now = Instant::now();
        match clock.at(now, total.count) {
            Phase::Over(start, before) => {
                in_flight -= tags.drain(..).count() as u64;
                if in_flight == 0 {
                    return Ok(Count {
                        count: total.count - before,
                        all: total.count,
                        bytes: total.bytes - bytes_before,
                        seconds: (now - start).as_secs_f64(),
                    });
                }
                continue;
            }
            Phase::Counting(start) if start == now => bytes_before = total.bytes,
            _ => {}
        }
        if !tags.is_empty() {
            tags.drain(..).for_each(|tag| push(session, tag));
            session.send()?;
        }
    }
}

/// `window` requests in flight.
pub(crate) fn pipe(
    target: &Target,
    path: &str,
    of: Request,
    window: u16,
    time: Duration,
) -> Result<Count, Trouble> {
    let mut session = with_file(target, path, 0)?;
    let (frame, expected) = request(of, &session);
    pump(&mut session, &frame, window, expected, time, |_| {})
}

/// A file from its beginning to its end, again and again, with `window` reads in flight.
pub(crate) fn seq(target: &Target, path: &str, window: u16, time: Duration) -> Result<Count, Trouble> {
    let mut session = with_file(target, path, 0)?;
    let piece = session.piece;
    let mut size = 0;
    loop {
        let read = Tmsg::Read { fid: FILE, offset: size, count: piece };
        let n = session.call(0, &read, path, |reply| match reply {
            ninep::wire::Rmsg::Read { data } => Ok(data.len() as u64),
            _ => Err(Trouble::failed("Rread expected")),
        })?;
        if n == 0 {
            break;
        }
        size += n;
    }
    if size < u64::from(piece) {
        return Err(Trouble::failed(format!(
            "{path}: {size} bytes; a sequential read needs more: name a longer file with --path"
        )));
    }
    let frame = frame(&Tmsg::Read { fid: FILE, offset: 0, count: piece });
    let mut offset = 0u64;
    pump(&mut session, &frame, window, kind::RREAD, time, |frame| {
        frame[OFFSET_AT..OFFSET_AT + 8].copy_from_slice(&offset.to_le_bytes());
        offset += u64::from(piece);
        if offset >= size {
            offset = 0;
        }
    })
}

/// Records appended to a file, `window` in flight.
pub(crate) fn append(
    target: &Target,
    path: &str,
    record: usize,
    window: u16,
    time: Duration,
) -> Result<Count, Trouble> {
    let mut session = with_file(target, path, WRITE_ONLY | APPEND)?;
    if record == 0 || record > (target.msize - WRITE_OVERHEAD) as usize {
        return Err(Trouble::Usage(format!("a record of {record} bytes does not fit a write")));
    }
    let mut data = vec![b'x'; record];
    data[record - 1] = b'\n';
    // Our own append-only files take any write for one at the end where it says u64::MAX; elsewhere O_APPEND
    // has it there, and that offset is none.
    let mut write = Tmsg::Write { fid: FILE, offset: u64::MAX, data: &data };
    if session.call(0, &write, path, |_| Ok(())).is_err() {
        write = Tmsg::Write { fid: FILE, offset: 0, data: &data };
        session.call(0, &write, path, |_| Ok(()))?;
    }
    let frame = frame(&write);
    let count = pump(&mut session, &frame, window, kind::RWRITE, time, |_| {})?;
    Ok(Count { bytes: count.count * record as u64, all: count.all + 1, ..count })
}

/// Walk, open, read, clunk: `window` such cycles at a time, each cycle's four frames sent together; or,
/// where `is_serial`, one message at a time.
pub(crate) fn cycle(
    target: &Target,
    path: &str,
    window: u16,
    is_serial: bool,
    time: Duration,
) -> Result<Count, Trouble> {
    let mut session = Session::attach(target)?;
    session.walk(path, FILE)?;
    session.open(path, FILE, 0)?;
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
    let mut frames = [
        frame(&Tmsg::Walk { fid: ROOT, newfid: FILE, names: Names::from(&names[..]) }),
        frame(&Tmsg::Lopen { fid: FILE, flags: 0 }),
        frame(&Tmsg::Read { fid: FILE, offset: 0, count: session.piece }),
        frame(&Tmsg::Clunk { fid: FILE }),
    ];
    // Where the new fid stands: behind the header, in a walk behind the old fid too.
    const FID_AT: [usize; 4] = [11, 7, 7, 7];
    const REPLIES: [u8; 4] = [kind::RWALK, kind::RLOPEN, kind::RREAD, kind::RCLUNK];
    let mut fid = FILE;
    // A clunked number does not come back at a strict door: every cycle has a new one.
    let mut renumber = |frames: &mut [Vec<u8>; 4]| {
        fid += 1;
        for (frame, at) in frames.iter_mut().zip(FID_AT) {
            frame[at..at + 4].copy_from_slice(&fid.to_le_bytes());
        }
    };
    let mut clock = Clock::new(time);
    let mut done = 0u64;
    if is_serial {
        loop {
            renumber(&mut frames);
            for (frame, expected) in frames.iter().zip(REPLIES) {
                session.push(frame, 1);
                session.send()?;
                while session.next(&[expected])?.is_none() {
                    session.receive()?;
                }
            }
            done += 1;
            let now = Instant::now();
            if let Phase::Over(start, before) = clock.at(now, done) {
                let seconds = (now - start).as_secs_f64();
                return Ok(Count { count: done - before, all: done, bytes: 0, seconds });
            }
        }
    }
    let mut left = vec![0u8; window.into()];
    let mut ready: Vec<u16> = (0..window).collect();
    loop {
        for slot in ready.drain(..) {
            renumber(&mut frames);
            for (i, frame) in frames.iter().enumerate() {
                session.push(frame, slot * 4 + i as u16);
            }
            left[usize::from(slot)] = 4;
        }
        session.send()?;
        while ready.is_empty() {
            session.receive()?;
            while let Some(reply) = session.next(&REPLIES)? {
                let slot = reply.tag / 4;
                if REPLIES[usize::from(reply.tag % 4)] != reply.kind {
                    return Err(Trouble::failed("a reply of another type than its request"));
                }
                left[usize::from(slot)] -= 1;
                if left[usize::from(slot)] == 0 {
                    ready.push(slot);
                    done += 1;
                }
            }
        }
        let now = Instant::now();
        if let Phase::Over(start, before) = clock.at(now, done) {
            return Ok(Count {
                count: done - before,
                all: done,
                bytes: 0,
                seconds: (now - start).as_secs_f64(),
            });
        }
    }
}

/// Connect, version, attach, walk, open, one after the other; then the connection is dropped.
pub(crate) fn start(target: &Target, path: &str, time: Duration) -> Result<Times, Trouble> {
    let mut clock = Clock::new(time);
    let mut ns = Vec::new();
    loop {
        let start = Instant::now();
        let session = with_file(target, path, 0)?;
        let now = Instant::now();
        drop(session);
        match clock.at(now, 0) {
            Phase::Warming => {}
            Phase::Counting(..) => ns.push((now - start).as_nanos() as u64),
            Phase::Over(..) => return Times::of(ns),
        }
    }
}
