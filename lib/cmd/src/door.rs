//! The hive at a door: stub.
use crate::args::HiveArgs;
use crate::hive::{Access, Entry, Stat};
use crate::trouble::Trouble;
pub(crate) struct Door;
pub(crate) struct Fid;
type R<T> = Result<T, Trouble>;
impl Door {
    pub(crate) fn dial(_: &str, _: &HiveArgs) -> R<Self> {
        Err(Trouble::failed("no doors yet"))
    }
    pub(crate) fn place(&self) -> &str {
        ""
    }
    pub(crate) fn stat(&mut self, _: &str) -> R<Stat> {
        Err(Trouble::Quiet)
    }
    pub(crate) fn stat_each(&mut self, _: &[String]) -> R<Vec<R<Stat>>> {
        Err(Trouble::Quiet)
    }
    pub(crate) fn list(&mut self, _: &str) -> R<Vec<Entry>> {
        Err(Trouble::Quiet)
    }
    pub(crate) fn open(&mut self, _: &str, _: Access) -> R<Fid> {
        Err(Trouble::Quiet)
    }
    pub(crate) fn read(&mut self, _: &str, _: &mut Fid, _: u64, _: u32, _: usize, _: &mut Vec<u8>) -> R<()> {
        Err(Trouble::Quiet)
    }
    pub(crate) fn write(&mut self, _: &str, _: &mut Fid, _: &[u8]) -> R<()> {
        Err(Trouble::Quiet)
    }
    pub(crate) fn size(&mut self, _: &str, _: &mut Fid) -> R<u64> {
        Err(Trouble::Quiet)
    }
    pub(crate) fn ping(&mut self, _: &str, _: u32, _: &mut dyn FnMut(std::time::Duration)) -> R<()> {
        Err(Trouble::Quiet)
    }
    pub(crate) fn close(&mut self, _: Fid) {}
}
