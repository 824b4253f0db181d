//! A connection on its way from the door that let it in to the door that will have its session: all that
//! is known of it before its attach, which is done over there. The descriptor goes beside these bytes.

use crate::door::Door;
use crate::session::{At, Fid, Rules};
use alloc::rc::Rc;
use manifest::{Fids, Overflow};
use ninep::refusal::Refusal;
use rt::prelude::*;

/// The longest of these messages: a session's afids, one read, and a queue of replies are far below it.
pub(crate) const LONGEST: usize = 4 << 20;

/// A connection that is handed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handover {
    pub(crate) rules: Rules,
    /// The descriptor is a TCP socket; else a Unix one.
    pub(crate) is_tcp: bool,
    pub(crate) peer: String,
    pub(crate) peer_uid: Option<u32>,
    /// What Tversion has agreed on.
    pub(crate) msize: Option<u32>,
    /// Fid numbers up to here are spent.
    pub(crate) highest: Option<u32>,
    /// Tickets that were written to afids.
    pub(crate) afids: Vec<(u32, Vec<u8>)>,
    /// Replies that the client has not taken yet.
    pub(crate) out: Vec<u8>,
    /// What has come from it, its Tattach first.
    pub(crate) input: Vec<u8>,
}

impl Handover {
    /// As it is sent: its length, then its parts.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![0; 4];
        let flags = [
            self.rules.fids == Fids::Strict,
            self.rules.overflow == Overflow::Wait,
            self.rules.local_queen,
            self.is_tcp,
        ];
        out.push(flags.iter().rev().fold(0, |bits, flag| bits << 1 | u8::from(*flag)));
        put_bytes(&mut out, self.peer.as_bytes());
        [self.peer_uid, self.msize, self.highest].iter().for_each(|number| put_maybe(&mut out, *number));
        put(&mut out, self.afids.len() as u32);
        for (fid, written) in &self.afids {
            put(&mut out, *fid);
            put_bytes(&mut out, written);
        }
        put_bytes(&mut out, &self.out);
        put_bytes(&mut out, &self.input);
        let len = out.len() as u32;
        out[..4].copy_from_slice(&len.to_le_bytes());
        out
    }

    /// The first message in `bytes` and its length; `Ok(None)` where it is not whole yet, `Err` where these
    /// are no such messages.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Option<(usize, Handover)>, ()> {
        let Some(len) = bytes.first_chunk::<4>() else { return Ok(None) };
        let len = u32::from_le_bytes(*len) as usize;
        if !(4..=LONGEST).contains(&len) {
            return Err(());
        }
        let Some(body) = bytes.get(4..len) else { return Ok(None) };
        let mut take = Take(body);
        let handover = take.handover().filter(|_| take.0.is_empty()).ok_or(())?;
        Ok(Some((len, handover)))
    }
}

fn put(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u32);
    out.extend_from_slice(bytes);
}

fn put_maybe(out: &mut Vec<u8>, number: Option<u32>) {
    out.push(u8::from(number.is_some()));
    put(out, number.unwrap_or(0));
}

/// What is left of a message.
struct Take<'a>(&'a [u8]);

impl Take<'_> {
    fn some(&mut self, n: usize) -> Option<&[u8]> {
        let (some, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(some)
    }

    fn byte(&mut self) -> Option<u8> {
        self.some(1).map(|byte| byte[0])
    }

    fn number(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(*self.some(4)?.first_chunk()?))
    }

    fn maybe(&mut self) -> Option<Option<u32>> {
        let (is_some, number) = (self.byte()? == 1, self.number()?);
        Some(is_some.then_some(number))
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        let n = self.number()? as usize;
        self.some(n).map(<[u8]>::to_vec)
    }

    fn handover(&mut self) -> Option<Handover> {
        let flags = self.byte()?;
        let is = |bit: u8| flags >> bit & 1 == 1;
        let rules = Rules {
            fids: if is(0) { Fids::Strict } else { Fids::Reuse },
            overflow: if is(1) { Overflow::Wait } else { Overflow::Busy },
            local_queen: is(2),
        };
        Some(Handover {
            rules,
            is_tcp: is(3),
            peer: String::from_utf8(self.bytes()?).ok()?,
            peer_uid: self.maybe()?,
            msize: self.maybe()?,
            highest: self.maybe()?,
            afids: {
                let n = self.number()?;
                (0..n).map(|_| Some((self.number()?, self.bytes()?))).collect::<Option<_>>()?
            },
            out: self.bytes()?,
            input: self.bytes()?,
        })
    }
}

impl Door {
    /// Gives up a session that is to live at another door.
    pub fn hand_over(&mut self, slot: usize, is_tcp: bool) -> Handover {
        let session = &mut self.sessions[slot];
        let highest = session.fids.highest();
        let afids = session.fids.reset().filter_map(|(fid, it)| match it.at {
            At::Auth(written) => Some((fid, written)),
            // Without an attach there are no others.
            At::Synthetic | At::Server { .. } => None,
        });
        let mut afids: Vec<(u32, Vec<u8>)> = afids.collect();
        // Where numbers only rise, they are taken over in their order.
        afids.sort_unstable_by_key(|(fid, _)| *fid);
        let handover = Handover {
            afids,
            rules: session.rules.clone(),
            is_tcp,
            peer: session.peer.clone(),
            peer_uid: session.peer_uid,
            msize: session.has_version.then_some(session.framer.msize),
            highest,
            out: session.out.split_off(session.sent),
            input: core::mem::take(&mut session.input),
        };
        self.disconnect(slot);
        handover
    }

    /// Takes on a session of another door's client; Busy where there are too many.
    pub fn take_over(&mut self, handover: Handover) -> Result<usize, Refusal> {
        let slot = self.accept(handover.rules, handover.peer, handover.peer_uid)?;
        let session = &mut self.sessions[slot];
        if let Some(msize) = handover.msize {
            session.has_version = true;
            session.framer.msize = msize.min(self.limits.msize);
        }
        for (fid, written) in handover.afids {
            let it = Fid { at: At::Auth(written), ..Fid::synthetic(Rc::from("")) };
            // The bound is every door's: what fitted there fits here.
            let _ = session.fids.insert(fid, it);
        }
        session.fids.spend(handover.highest);
        session.out = handover.out;
        session.input = handover.input;
        self.dirty(slot);
        Ok(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Handover {
        Handover {
            rules: Rules { fids: Fids::Reuse, overflow: Overflow::Wait, local_queen: true },
            is_tcp: true,
            peer: "10.0.0.7".into(),
            peer_uid: None,
            msize: Some(8192),
            highest: Some(9),
            afids: vec![(7, b"coh1.x".to_vec()), (9, Vec::new())],
            out: b"replies".to_vec(),
            input: b"requests".to_vec(),
        }
    }

    #[test]
    fn what_is_sent_is_what_comes() {
        let plain = Handover {
            rules: Rules { fids: Fids::Strict, overflow: Overflow::Busy, local_queen: false },
            is_tcp: false,
            peer_uid: Some(1000),
            msize: None,
            highest: None,
            afids: Vec::new(),
            ..some()
        };
        let mut bytes = Vec::new();
        for it in [&some(), &plain] {
            bytes.extend(it.encode());
        }
        let (n, first) = Handover::decode(&bytes).unwrap().unwrap();
        assert_eq!(first, some());
        assert_eq!(Handover::decode(&bytes[n..]), Ok(Some((bytes.len() - n, plain))));
    }

    #[test]
    fn a_part_is_not_a_message_and_garbage_is_none() {
        let bytes = some().encode();
        for n in 0..bytes.len() {
            assert_eq!(Handover::decode(&bytes[..n]), Ok(None));
        }
        assert_eq!(Handover::decode(&[0xff; 64]), Err(()));
        for n in 5..bytes.len() {
            let mut cut = bytes[..n].to_vec();
            cut[..4].copy_from_slice(&(n as u32).to_le_bytes());
            assert_eq!(Handover::decode(&cut), Err(()), "{n}");
        }
    }
}
