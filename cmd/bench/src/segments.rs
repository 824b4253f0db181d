//! Segment data: records into the segments of a device, one segment after the other; at other servers, into
//! a file, again and again from its beginning.

use crate::measure::{Clock, Count, Phase};
use crate::session::{FILE, Session, Target, frame};
use cohcmd::Trouble;
use ninep::refusal::Word;
use ninep::wire::{Rmsg, Tmsg, WRITE_OVERHEAD, kind};
use std::time::{Duration, Instant};

/// Bytes of one segment: less than the manifest's default allows.
const SEGMENT_BYTES: u64 = 48 << 20;
/// Segments of one device, likewise.
const SEGMENTS: u64 = 16;
const WRITE_ONLY: u32 = 1;
const READ_WRITE: u32 = 2;
/// Where a Twrite's fid and offset stand.
const FID_AT: usize = 7;
const OFFSET_AT: usize = 11;

/// A new segment's path.
fn new_segment(session: &mut Session, fid: u32, number: u64) -> Result<String, Trouble> {
    let device = format!("/queen/telemetry/bench-{}-{}", std::process::id(), number / SEGMENTS);
    let ctl = format!("{device}/ctl");
    session.walk(&ctl, fid)?;
    session.open(&ctl, fid, READ_WRITE)?;
    let line = b"{\"new\":\"segment\",\"mime\":\"application/octet-stream\"}\n";
    session.call(0, &Tmsg::Write { fid, offset: 0, data: line }, &ctl, |_| Ok(()))?;
    let said = session.call(0, &Tmsg::Read { fid, offset: 0, count: 256 }, &ctl, |reply| match reply {
        Rmsg::Read { data } => Ok(String::from_utf8_lossy(data).into_owned()),
        _ => Err(Trouble::failed("Rread expected")),
    })?;
    session.call(0, &Tmsg::Clunk { fid }, &ctl, |_| Ok(()))?;
    let segment = said.split_whitespace().find_map(|field| field.strip_prefix("seg="));
    let segment = segment.ok_or_else(|| Trouble::refused(&ctl, Word::Invalid, said.trim()))?;
    Ok(format!("{device}/seg/{segment}"))
}

/// Records of `record` bytes, `window` in flight; where a `path` is given, into that file.
pub(crate) fn segments(
    target: &Target,
    path: Option<&str>,
    record: usize,
    window: u16,
    time: Duration,
) -> Result<Count, Trouble> {
    if record == 0 || record > (target.msize - WRITE_OVERHEAD) as usize {
        return Err(Trouble::Usage(format!("a record of {record} bytes does not fit a write")));
    }
    let mut session = Session::attach(target)?;
    let data = vec![b'x'; record];
    let mut frame = frame(&Tmsg::Write { fid: FILE, offset: 0, data: &data });
    let each = SEGMENT_BYTES / record as u64;
    let (mut clock, mut done, mut fid) = (Clock::new(time), 0_u64, FILE);
    for number in 0.. {
        let path = match path {
            Some(path) => path.to_owned(),
            None => {
                fid += 1;
                new_segment(&mut session, fid, number)?
            }
        };
        fid += 1;
        session.walk(&path, fid)?;
        session.open(&path, fid, WRITE_ONLY)?;
        frame[FID_AT..FID_AT + 4].copy_from_slice(&fid.to_le_bytes());
        let (mut sent, mut taken, mut is_over) = (0_u64, 0_u64, None);
        let mut tags: Vec<u16> = (0..window).collect();
        while taken < sent || (is_over.is_none() && sent < each) {
            while is_over.is_none() && sent < each {
                let Some(tag) = tags.pop() else { break };
                let offset = sent * record as u64;
                frame[OFFSET_AT..OFFSET_AT + 8].copy_from_slice(&offset.to_le_bytes());
                session.push(&frame, tag);
                sent += 1;
            }
            if !session.out.is_empty() {
                session.send()?;
            }
            session.receive()?;
            while let Some(reply) = session.next(&[kind::RWRITE])? {
                tags.push(reply.tag);
                taken += 1;
                done += 1;
            }
            let now = Instant::now();
            if let (Phase::Over(start, before), None) = (clock.at(now, done), is_over) {
                is_over = Some((now - start, done - before));
            }
        }
        session.call(0, &Tmsg::Clunk { fid }, &path, |_| Ok(()))?;
        if let Some((elapsed, count)) = is_over {
            return Ok(Count {
                count,
                all: count,
                bytes: count * record as u64,
                seconds: elapsed.as_secs_f64(),
            });
        }
    }
    Err(Trouble::failed("the hive has run out of segments"))
}
