//! The words themselves: entries, owners, blocks, and what is known of them.

use super::gone;
use crate::{Fault, Kind, Result};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

/// Tells words that were made into files from others, and the version of how.
const MAGIC: u64 = 0x0001_7365_6c69_6663;
/// Words of the header, of an entry, of a block.
const HEADER: usize = 8;
const ENTRY: usize = 16;
const BLOCK: usize = 128;
/// Bytes of a block, and of the longest name.
const BYTES: u64 = 8 * BLOCK as u64;
const NAME_MAX: usize = 8 * (ENTRY - NAME);
/// Where things are in an entry.
const SEQ: usize = 0;
const ID: usize = 1;
const LENGTH: usize = 2;
const NAME_BYTES: usize = 3;
const NAME: usize = 4;
/// Bits of an owner's word that count a file's blocks.
const NUMBER_BITS: u32 = 24;
/// Seqs are below this, and so are ids, which share an owner's word with a number.
const SEQS: u64 = 1 << (64 - NUMBER_BITS);
/// So many blocks have one entry; there are never fewer than the least.
const BLOCKS_AN_ENTRY: usize = 4;
const ENTRIES_MIN: usize = 8;

/// A file, under whatever name: the seq that it was made with.
pub(super) type Id = u64;

/// What is known of a file.
#[derive(Debug)]
struct Node {
    name: String,
    entry: usize,
    len: u64,
    /// Where its bytes are, as many blocks as they take.
    blocks: Vec<u32>,
    /// Changes in this life.
    version: u64,
}

#[derive(Debug)]
pub(super) struct Disk {
    words: &'static [AtomicU64],
    entries: usize,
    blocks: usize,
    nodes: BTreeMap<Id, Node>,
    names: BTreeMap<String, Id>,
    free_entries: Vec<usize>,
    free_blocks: Vec<u32>,
    next_seq: u64,
    refused: u64,
    /// Stores until the process dies, in tests.
    #[cfg(test)]
    pub(super) left: core::cell::Cell<u64>,
}

fn owner(id: Id, number: usize) -> u64 {
    id << NUMBER_BITS | number as u64
}

fn blocks_of(len: u64) -> usize {
    usize::try_from(len.div_ceil(BYTES)).unwrap_or(usize::MAX)
}

impl Disk {
    pub(super) fn open(words: &'static [AtomicU64]) -> Result<Disk> {
        let room = words.len().saturating_sub(HEADER + ENTRIES_MIN * ENTRY);
        let blocks = (room / (1 + BLOCK + ENTRY / BLOCKS_AN_ENTRY)).min(1 << NUMBER_BITS);
        let entries = (blocks / BLOCKS_AN_ENTRY).max(ENTRIES_MIN);
        if blocks == 0 {
            return Err(Fault::new(format!("{} bytes are too few for files", 8 * words.len())));
        }
        let mut disk = Disk {
            words,
            entries,
            blocks,
            nodes: BTreeMap::new(),
            names: BTreeMap::new(),
            free_entries: Vec::new(),
            free_blocks: Vec::new(),
            next_seq: 1,
            refused: 0,
            #[cfg(test)]
            left: core::cell::Cell::new(u64::MAX),
        };
        if disk.get(0) != MAGIC || disk.get(1) != blocks as u64 {
            disk.clear();
        }
        disk.read_entries();
        disk.read_owners();
        Ok(disk)
    }

    fn get(&self, at: usize) -> u64 {
        self.words[at].load(Ordering::Relaxed)
    }

    /// Stores a word that makes nothing so by itself.
    fn put(&self, at: usize, word: u64) {
        #[cfg(test)]
        if !self.lives() {
            return;
        }
        self.words[at].store(word, Ordering::Relaxed);
    }

    /// Stores a word, after all that were stored before.
    fn commit(&self, at: usize, word: u64) {
        #[cfg(test)]
        if !self.lives() {
            return;
        }
        self.words[at].store(word, Ordering::Release);
    }

    #[cfg(test)]
    fn lives(&self) -> bool {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        left > 0
    }

    fn entry(&self, entry: usize) -> usize {
        HEADER + entry * ENTRY
    }

    fn owner_at(&self, block: usize) -> usize {
        HEADER + self.entries * ENTRY + block
    }

    fn block(&self, block: u32) -> usize {
        self.owner_at(self.blocks) + block as usize * BLOCK
    }

    fn clear(&self) {
        self.commit(0, 0);
        (0..self.entries).for_each(|entry| self.put(self.entry(entry) + SEQ, 0));
        (0..self.blocks).for_each(|block| self.put(self.owner_at(block), 0));
        self.put(1, self.blocks as u64);
        self.commit(0, MAGIC);
    }

    /// Its seq and all that it says, where it says it rightly.
    fn read_entry(&self, entry: usize) -> Option<(u64, Id, Node)> {
        let at = self.entry(entry);
        let word = |of: usize| self.get(at + of);
        let (seq, id, len) = (word(SEQ), word(ID), word(LENGTH));
        let name_bytes = usize::try_from(word(NAME_BYTES)).ok().filter(|n| (1..=NAME_MAX).contains(n))?;
        let mut name = Vec::new();
        (NAME..ENTRY).for_each(|of| name.extend(word(of).to_le_bytes()));
        name.truncate(name_bytes);
        let name = String::from_utf8(name).ok()?;
        let is_one = [seq, id].iter().all(|n| (1..SEQS).contains(n));
        is_one.then_some((seq, id, Node { name, entry, len, blocks: Vec::new(), version: 0 }))
    }

    fn read_entries(&mut self) {
        let mut found = Vec::new();
        for entry in (0..self.entries).rev() {
            match self.read_entry(entry) {
                Some(one) => found.push(one),
                None => {
                    self.commit(self.entry(entry) + SEQ, 0);
                    self.free_entries.push(entry);
                }
            }
        }
        found.sort_unstable_by_key(|(seq, ..)| *seq);
        for (seq, id, node) in found {
            self.next_seq = self.next_seq.max(seq.saturating_add(1)).max(id + 1);
            if let Some(other) = self.names.remove(&node.name) {
                self.drop_entry(other);
            }
            if let Some(before) = self.drop_entry(id) {
                self.names.remove(&before);
            }
            self.names.insert(node.name.clone(), id);
            self.nodes.insert(id, node);
        }
    }

    /// A newer entry stands for this one; its name.
    fn drop_entry(&mut self, id: Id) -> Option<String> {
        let node = self.nodes.remove(&id)?;
        self.commit(self.entry(node.entry) + SEQ, 0);
        self.free_entries.push(node.entry);
        Some(node.name)
    }

    fn read_owners(&mut self) {
        let mut owned: Vec<(u64, u32)> = Vec::new();
        for block in 0..self.blocks {
            owned.push((self.get(self.owner_at(block)), block as u32));
        }
        owned.sort_unstable();
        for (word, block) in owned {
            let (id, number) = (word >> NUMBER_BITS, word as usize & ((1 << NUMBER_BITS) - 1));
            let node = self.nodes.get_mut(&id);
            match node.filter(|node| number == node.blocks.len() && number < blocks_of(node.len)) {
                Some(node) => node.blocks.push(block),
                None => {
                    if word != 0 {
                        self.commit(self.owner_at(block as usize), 0);
                    }
                    self.free_blocks.push(block);
                }
            }
        }
        let lost: Vec<Id> =
            self.nodes.iter().filter(|(_, n)| n.blocks.len() < blocks_of(n.len)).map(|(id, _)| *id).collect();
        for id in lost {
            // Cannot be, as long as nobody else writes here.
            if let Some(node) = self.nodes.get_mut(&id) {
                node.len = node.blocks.len() as u64 * BYTES;
                let (entry, len) = (node.entry, node.len);
                self.commit(self.entry(entry) + LENGTH, len);
            }
        }
    }

    pub(super) fn free(&self) -> u64 {
        self.free_blocks.len() as u64 * BYTES
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    fn full(&mut self) -> Fault {
        self.refused += 1;
        let kib = (self.blocks as u64 * BYTES) >> 10;
        Fault { kind: Kind::NoSpace, said: format!("no space left in the {kib} KiB that are kept") }
    }

    pub(super) fn find(&self, name: &str) -> Option<Id> {
        self.names.get(name).copied()
    }

    /// What is behind `prefix` in the names that begin with it.
    pub(super) fn below<'d>(&'d self, prefix: &'d str) -> impl Iterator<Item = &'d str> {
        let from =
            self.names.range::<str, _>((core::ops::Bound::Included(prefix), core::ops::Bound::Unbounded));
        from.map_while(move |(name, _)| name.strip_prefix(prefix))
    }

    pub(super) fn len(&self, id: Id) -> Option<u64> {
        self.nodes.get(&id).map(|node| node.len)
    }

    pub(super) fn version(&self, id: Id) -> Option<u64> {
        self.nodes.get(&id).map(|node| node.version)
    }

    /// Writes an entry, which is there with its last store.
    fn enter(&mut self, name: &str, id: Option<Id>, len: u64) -> Result<(Id, usize)> {
        if !(1..=NAME_MAX).contains(&name.len()) {
            return Err(Fault::new(format!("a name of {} bytes; 1..{NAME_MAX} allowed", name.len())));
        }
        let seq = self.next_seq;
        let id = id.unwrap_or(seq);
        let entry = if seq < SEQS { self.free_entries.pop() } else { None };
        let Some(entry) = entry else { return Err(self.full()) };
        self.next_seq += 1;
        let at = self.entry(entry);
        self.put(at + ID, id);
        self.put(at + LENGTH, len);
        self.put(at + NAME_BYTES, name.len() as u64);
        for (of, chunk) in name.as_bytes().chunks(8).enumerate() {
            self.put(at + NAME + of, word_of(chunk));
        }
        self.commit(at + SEQ, seq);
        Ok((id, entry))
    }

    pub(super) fn make(&mut self, name: &str) -> Result<Id> {
        let (id, entry) = self.enter(name, None, 0)?;
        self.names.insert(name.into(), id);
        self.nodes.insert(id, Node { name: name.into(), entry, len: 0, blocks: Vec::new(), version: 0 });
        Ok(id)
    }

    pub(super) fn remove(&mut self, name: &str) {
        let Some(id) = self.names.remove(name) else { return };
        let Some(node) = self.nodes.remove(&id) else { return };
        self.commit(self.entry(node.entry) + SEQ, 0);
        self.free_entries.push(node.entry);
        self.give_back(node.blocks);
    }

    fn give_back(&mut self, blocks: Vec<u32>) {
        for block in blocks {
            self.commit(self.owner_at(block as usize), 0);
            self.free_blocks.push(block);
        }
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        let id = self.find(from).ok_or_else(gone)?;
        if from == to {
            return Ok(());
        }
        let len = self.len(id).unwrap_or(0);
        let (_, entry) = self.enter(to, Some(id), len)?;
        self.remove(to);
        self.names.remove(from);
        self.names.insert(to.into(), id);
        if let Some(node) = self.nodes.get_mut(&id) {
            let before = core::mem::replace(&mut node.entry, entry);
            node.name = to.into();
            self.commit(self.entry(before) + SEQ, 0);
            self.free_entries.push(before);
        }
        Ok(())
    }

    pub(super) fn read(&self, id: Id, out: &mut [u8], at: u64) -> Option<usize> {
        let node = self.nodes.get(&id)?;
        let n = out.len().min(usize::try_from(node.len.saturating_sub(at)).unwrap_or(usize::MAX));
        let (mut done, mut at) = (0, at);
        while done < n {
            let block = self.block(*node.blocks.get((at / BYTES) as usize)?);
            let within = (at % BYTES) as usize;
            let piece = (BYTES as usize - within).min(n - done);
            self.copy_out(block, within, &mut out[done..done + piece]);
            (done, at) = (done + piece, at + piece as u64);
        }
        Some(n)
    }

    fn copy_out(&self, block: usize, mut within: usize, mut out: &mut [u8]) {
        while !out.is_empty() {
            let bytes = self.get(block + within / 8).to_le_bytes();
            let bytes = &bytes[within % 8..];
            let n = bytes.len().min(out.len());
            out[..n].copy_from_slice(&bytes[..n]);
            out = &mut out[n..];
            within += n;
        }
    }

    fn copy_in(&self, block: usize, mut within: usize, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (at, of) = (block + within / 8, within % 8);
            let n = (8 - of).min(bytes.len());
            let word = if n == 8 {
                word_of(&bytes[..8])
            } else {
                let mut word = self.get(at).to_le_bytes();
                word[of..of + n].copy_from_slice(&bytes[..n]);
                u64::from_le_bytes(word)
            };
            self.put(at, word);
            bytes = &bytes[n..];
            within += n;
        }
    }

    /// Makes sure that a file has blocks for its first `len` bytes, all of them or nothing.
    fn grow(&mut self, id: Id, len: u64) -> Result<()> {
        let node = self.nodes.get(&id).ok_or_else(gone)?;
        let (have, want) = (node.blocks.len(), blocks_of(len));
        if want.saturating_sub(have) > self.free_blocks.len() || want > 1 << NUMBER_BITS {
            return Err(self.full());
        }
        for number in have..want {
            let Some(block) = self.free_blocks.pop() else { break };
            self.commit(self.owner_at(block as usize), owner(id, number));
            if let Some(node) = self.nodes.get_mut(&id) {
                node.blocks.push(block);
            }
        }
        Ok(())
    }

    pub(super) fn write(&mut self, id: Id, bytes: &[u8], at: u64) -> Result<()> {
        let len = self.len(id).ok_or_else(gone)?;
        if bytes.is_empty() {
            return Ok(());
        }
        let end = at.checked_add(bytes.len() as u64).ok_or_else(|| Fault::new("beyond any file"))?;
        self.grow(id, end.max(len))?;
        if at > len {
            self.blank(id, len, at);
        }
        self.fill(id, bytes, at);
        self.set_len(id, end.max(len));
        Ok(())
    }

    /// Copies `bytes` to where the file has blocks for them.
    fn fill(&self, id: Id, mut bytes: &[u8], mut at: u64) {
        let Some(node) = self.nodes.get(&id) else { return };
        while let Some(block) = node.blocks.get((at / BYTES) as usize).filter(|_| !bytes.is_empty()) {
            let within = (at % BYTES) as usize;
            let n = (BYTES as usize - within).min(bytes.len());
            self.copy_in(self.block(*block), within, &bytes[..n]);
            bytes = &bytes[n..];
            at += n as u64;
        }
    }

    /// Zeros from `from` to `to`.
    fn blank(&self, id: Id, mut from: u64, to: u64) {
        const ZEROS: [u8; BYTES as usize] = [0; BYTES as usize];
        while from < to {
            let n = (to - from).min(BYTES - from % BYTES);
            self.fill(id, &ZEROS[..n as usize], from);
            from += n;
        }
    }

    fn set_len(&mut self, id: Id, len: u64) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        node.version += 1;
        node.len = len;
        let entry = node.entry;
        self.commit(self.entry(entry) + LENGTH, len);
    }

    pub(super) fn truncate(&mut self, id: Id, len: u64) -> Result<()> {
        let before = self.len(id).ok_or_else(gone)?;
        if len > before {
            self.grow(id, len)?;
            self.blank(id, before, len);
        }
        self.set_len(id, len);
        if let Some(node) = self.nodes.get_mut(&id) {
            let spare = node.blocks.split_off(blocks_of(len).min(node.blocks.len()));
            self.give_back(spare);
        }
        Ok(())
    }
}

/// Eight bytes at most as a word.
fn word_of(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}
