//! Many connections at once: what they get done in all, and what each costs the door in memory.

use crate::measure::{Clock, Count, Phase, with_file};
use crate::session::{FILE, Session, Target, frame};
use cohcmd::Trouble;
use ninep::wire::{Tmsg, kind};
use rustix::event::epoll;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// What many connections did, and the server's growth.
pub(crate) struct Many {
    pub(crate) done: Count,
    pub(crate) kib_each: Option<f64>,
}

/// What every connection does.
pub(crate) enum Work<'a> {
    /// Reads the beginning of the file.
    Reads,
    /// Writes a command, and waits until it is carried out.
    Commands(&'a str),
}

/// Opens `conns` connections with `path` open on each, keeps `window` requests in flight on each, and
/// counts. `pid` is the process whose memory is looked at.
pub(crate) fn conns(
    target: &Target,
    path: &str,
    work: &Work,
    conns: usize,
    window: u16,
    time: Duration,
    pid: Option<u32>,
) -> Result<Many, Trouble> {
    raise_file_limit();
    let failed = |e: rustix::io::Errno| Trouble::failed(format!("epoll: {e}"));
    // The first shows what a connection costs beyond what the server has once.
    let flags = if matches!(work, Work::Reads) { 0 } else { 1 };
    let first = with_file(target, path, flags)?;
    let pid = pid.or_else(|| listener_pid(&first));
    let before = pid.and_then(resident_kib);
    let epoll: OwnedFd = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(failed)?;
    let mut sessions = Vec::with_capacity(conns);
    for i in 0..conns {
        let session = with_file(target, path, flags)?;
        let data = epoll::EventData::new_u64(i as u64);
        let socket = session.fd().ok_or_else(|| Trouble::failed("a connection without a socket"))?;
        epoll::add(&epoll, socket, data, epoll::EventFlags::IN).map_err(failed)?;
        sessions.push(session);
    }
    let (request, reply) = match work {
        Work::Reads => (frame(&Tmsg::Read { fid: FILE, offset: 0, count: first.piece }), kind::RREAD),
        Work::Commands(line) => {
            let data = format!("{line}\n");
            (frame(&Tmsg::Write { fid: FILE, offset: u64::MAX, data: data.as_bytes() }), kind::RWRITE)
        }
    };
    for session in &mut sessions {
        (0..window).for_each(|tag| session.push(&request, tag));
        session.send()?;
    }
    let done = pump(&epoll, &mut sessions, &request, reply, time)?;
    let after = pid.and_then(resident_kib);
    let kib_each =
        before.zip(after).map(|(before, after)| after.saturating_sub(before) as f64 / conns as f64);
    drop(first);
    Ok(Many { done, kib_each })
}

fn pump(
    epoll: &OwnedFd,
    sessions: &mut [Session],
    request: &[u8],
    reply: u8,
    time: Duration,
) -> Result<Count, Trouble> {
    let mut clock = Clock::new(time);
    let mut count = 0u64;
    let mut events = Vec::with_capacity(1024);
    let mut tags = Vec::new();
    loop {
        events.clear();
        epoll::wait(epoll, rustix::buffer::spare_capacity(&mut events), None)
            .map_err(|e| Trouble::failed(format!("epoll: {e}")))?;
        for event in &events {
            let session = &mut sessions[event.data.u64() as usize];
            session.receive()?;
            while let Some(answer) = session.next(&[reply])? {
                tags.push(answer.tag);
            }
            count += tags.len() as u64;
            if !tags.is_empty() {
                tags.drain(..).for_each(|tag| session.push(request, tag));
                session.send()?;
            }
        }
        let now = Instant::now();
        if let Phase::Over(start, before) = clock.at(now, count) {
            return Ok(Count {
                count: count - before,
                all: count,
                bytes: 0,
                seconds: (now - start).as_secs_f64(),
            });
        }
    }
}

/// The process that listens at the other end of a Unix socket.
fn listener_pid(session: &Session) -> Option<u32> {
    let peer = rustix::net::sockopt::socket_peercred(session.fd()?).ok()?;
    u32::try_from(peer.pid.as_raw_pid()).ok()
}

/// Resident memory of a process.
fn resident_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// As many open files as the system lets us have.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Where it cannot be raised, connecting says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
