//! A program of the bundle: an ELF file, checked against the place that programs have.

use heapless::Vec;
use object::Endianness;
use object::elf::{EM_AARCH64, ET_EXEC, FileHeader64, PF_W, PF_X, PT_LOAD};
use object::read::elf::{FileHeader as _, ProgramHeader as _};
use task::place::{IMAGE, IMAGE_END, PAGE};

/// Most segments of a program.
const SEGMENTS_MAX: usize = 8;

/// What is to be mapped.
#[derive(Debug, Clone)]
pub struct Program<'a> {
    /// Where it starts.
    pub entry: u64,
    /// Its memory, in the order of addresses, no two on one page.
    pub segments: Vec<Segment<'a>, SEGMENTS_MAX>,
}

/// A run of memory with one kind of access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Its first address.
    pub address: u64,
    /// Bytes in memory; those past `bytes` are zero.
    pub size: u64,
    /// Its content.
    pub bytes: &'a [u8],
    /// Whether the program may write it.
    pub is_writable: bool,
    /// Whether the program may run it.
    pub is_code: bool,
}

/// Why a file is not a program of this image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotProgram {
    /// It is not a linked ELF file for aarch64, or is cut off.
    Format,
    /// A segment lies outside the place of programs, or on another's page.
    Place,
    /// A segment is both written and run.
    Access,
}

impl Segment<'_> {
    /// The pages that it touches: the first one's address, and the end of the last.
    #[must_use]
    pub fn pages(&self) -> (u64, u64) {
        (self.address & !(PAGE - 1), (self.address + self.size).next_multiple_of(PAGE))
    }

    /// What belongs on the page at `page`: where in the page, and the bytes.
    #[must_use]
    pub fn on_page(&self, page: u64) -> (usize, &[u8]) {
        let start = page.max(self.address);
        let from = usize::try_from(start - self.address).unwrap_or(usize::MAX).min(self.bytes.len());
        let room = usize::try_from(page + PAGE - start).unwrap_or(0);
        let to = from.saturating_add(room).min(self.bytes.len());
        ((start - page) as usize, &self.bytes[from..to])
    }
}

impl<'a> Program<'a> {
    /// Reads a file.
    ///
    /// # Errors
    /// If it is not a program of this image.
    pub fn read(file: &'a [u8]) -> Result<Self, NotProgram> {
        let format = |_| NotProgram::Format;
        let header = FileHeader64::<Endianness>::parse(file).map_err(format)?;
        let endian = header.endian().map_err(format)?;
        if header.e_machine(endian) != EM_AARCH64 || header.e_type(endian) != ET_EXEC {
            return Err(NotProgram::Format);
        }
        let mut segments: Vec<Segment<'a>, SEGMENTS_MAX> = Vec::new();
        for segment in header.program_headers(endian, file).map_err(format)? {
            if segment.p_type(endian) != PT_LOAD || segment.p_memsz(endian) == 0 {
                continue;
            }
            let (address, size) = (segment.p_vaddr(endian), segment.p_memsz(endian));
            let bytes = segment.data(endian, file).map_err(|()| NotProgram::Format)?;
            let least = segments.last().map_or(IMAGE, |last| last.pages().1);
            let end = address.checked_add(size).filter(|end| *end <= IMAGE_END).ok_or(NotProgram::Place)?;
            if address < least || end - address < bytes.len() as u64 {
                return Err(NotProgram::Place);
            }
            let flags = segment.p_flags(endian);
            let (is_writable, is_code) = (flags & PF_W != 0, flags & PF_X != 0);
            if is_writable && is_code {
                return Err(NotProgram::Access);
            }
            segments
                .push(Segment { address, size, bytes, is_writable, is_code })
                .map_err(|_| NotProgram::Format)?;
        }
        let entry = header.e_entry(endian);
        let is_inside =
            |s: &Segment| s.is_code && entry >= s.address && entry - s.address < s.bytes.len() as u64;
        if segments.iter().any(is_inside) { Ok(Self { entry, segments }) } else { Err(NotProgram::Place) }
    }

    /// Bytes of the pages that it takes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|s| s.pages().1 - s.pages().0).sum()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// An ELF file with these segments: address, bytes, size in memory, flags. 5 is code, 6 is data.
    fn elf(entry: u64, segments: &[(u64, &[u8], u64, u32)]) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
        out.extend([2, 0, 183, 0, 1, 0, 0, 0]);
        out.extend(entry.to_le_bytes());
        out.extend(64u64.to_le_bytes());
        out.extend([0; 12]);
        out.extend([64, 0, 56, 0, segments.len() as u8, 0, 64, 0, 0, 0, 0, 0]);
        let mut offset = 64 + 56 * segments.len() as u64;
        for (address, bytes, size, flags) in segments {
            out.extend(1u32.to_le_bytes());
            out.extend(flags.to_le_bytes());
            for word in [offset, *address, *address, bytes.len() as u64, *size, 8] {
                out.extend(word.to_le_bytes());
            }
            offset += bytes.len() as u64;
        }
        segments.iter().for_each(|(_, bytes, ..)| out.extend_from_slice(bytes));
        out
    }

    #[test]
    fn segments_are_cut_into_pages() {
        let data = [9; 5000];
        let file = elf(IMAGE + 4, &[(IMAGE, &[1; 8], 8, 5), (IMAGE + 0x1010, &data, 9000, 6)]);
        let program = Program::read(&file).unwrap();
        assert_eq!((program.entry, program.bytes()), (IMAGE + 4, 4 * PAGE));
        let segment = program.segments[1];
        assert!(segment.is_writable && !segment.is_code);
        assert_eq!(segment.pages(), (IMAGE + 0x1000, IMAGE + 0x4000));
        assert_eq!(segment.on_page(IMAGE + 0x1000), (0x10, &data[..4080]));
        assert_eq!(segment.on_page(IMAGE + 0x2000), (0, &data[4080..]));
        assert_eq!(segment.on_page(IMAGE + 0x3000), (0, &[][..]));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let read = |entry, segments: &[(u64, &[u8], u64, u32)]| Program::read(&elf(entry, segments)).err();
        let code: (u64, &[u8], u64, u32) = (IMAGE, &[1; 8], 8, 5);
        assert_eq!(read(IMAGE, &[code]), None);
        assert_eq!(read(IMAGE, &[(IMAGE, &[1; 8], 8, 7)]), Some(NotProgram::Access));
        assert_eq!(read(IMAGE, &[code, (IMAGE + 8, &[1; 8], 8, 6)]), Some(NotProgram::Place));
        assert_eq!(read(IMAGE, &[code, (IMAGE_END, &[], 8, 6)]), Some(NotProgram::Place));
        assert_eq!(read(IMAGE, &[code, (IMAGE + PAGE, &[], u64::MAX, 6)]), Some(NotProgram::Place));
        assert_eq!(read(IMAGE, &[(IMAGE, &[1; 8], 4, 5)]), Some(NotProgram::Place));
        assert_eq!(read(IMAGE + 8, &[code]), Some(NotProgram::Place));
        assert_eq!(Program::read(b"\x7fELF").err(), Some(NotProgram::Format));
    }

    proptest! {
        #[test]
        fn any_change_is_survived(at in 0usize..190, value in any::<u8>()) {
            let mut file = elf(IMAGE, &[(IMAGE, &[1; 8], 8, 5), (IMAGE + PAGE, &[2; 8], 100, 6)]);
            if let Some(byte) = file.get_mut(at) {
                *byte = value;
            }
            if let Ok(program) = Program::read(&file) {
                for segment in &program.segments {
                    let (from, to) = segment.pages();
                    prop_assert!(from >= IMAGE && to <= IMAGE_END);
                    let (offset, bytes) = segment.on_page(from);
                    prop_assert!(offset + bytes.len() <= PAGE as usize);
                }
            }
        }
    }
}
