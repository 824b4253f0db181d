//! A wire with a card at each end.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use hal::{Fault, Nic};

/// Frames that a direction of the wire holds.
const HOLDS: usize = 256;

type Frames = Rc<RefCell<VecDeque<Vec<u8>>>>;

/// One end.
pub(crate) struct Card {
    mac: [u8; 6],
    pub(crate) incoming: Frames,
    pub(crate) outgoing: Frames,
    /// What it says at the next question.
    pub(crate) fault: Rc<RefCell<Option<Fault>>>,
}

pub(crate) fn pair() -> (Card, Card) {
    let (there, back) = (Frames::default(), Frames::default());
    let card = |last, incoming: &Frames, outgoing: &Frames| Card {
        mac: [2, 0, 0, 0, 0, last],
        incoming: incoming.clone(),
        outgoing: outgoing.clone(),
        fault: Rc::default(),
    };
    (card(1, &back, &there), card(2, &there, &back))
}

impl Nic for Card {
    fn mac(&self) -> [u8; 6] {
        self.mac
    }

    fn has_link(&self) -> bool {
        true
    }

    fn receive(&mut self, out: &mut [u8]) -> Result<Option<usize>, Fault> {
        if let Some(fault) = *self.fault.borrow() {
            return Err(fault);
        }
        let Some(frame) = self.incoming.borrow_mut().pop_front() else { return Ok(None) };
        out[..frame.len()].copy_from_slice(&frame);
        Ok(Some(frame.len()))
    }

    fn can_send(&mut self) -> Result<bool, Fault> {
        Ok(self.outgoing.borrow().len() < HOLDS)
    }

    fn send(&mut self, frame: &[u8]) -> Result<bool, Fault> {
        self.outgoing.borrow_mut().push_back(frame.to_vec());
        Ok(true)
    }

    fn acknowledge(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn reset(&mut self) -> Result<(), Fault> {
        *self.fault.borrow_mut() = None;
        self.incoming.borrow_mut().clear();
        Ok(())
    }
}
