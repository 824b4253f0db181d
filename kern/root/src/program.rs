//! A program of the bundle: an ELF file, checked against the place that programs have.

use heapless::Vec;
use object::Endianness;
use object::elf::{EM_AARCH64, ET_EXEC, FileHeader64, PF_W, PF_X, PT_LOAD};
use object::read::elf::{FileHeader as _, ProgramHeader as _};
use task::place::{DATA, DATA_MAX, LARGE, STACK_END, TEXT, TEXT_MAX};

/// Most segments of a program.
const SEGMENTS_MAX: usize = 8;

/// What is to be mapped.
#[derive(Debug, Clone)]
pub struct Program<'a> {
    /// Where it starts.
    pub entry: u64,
    /// Its memory, in the order of addresses.
    pub segments: Vec<Segment<'a>, SEGMENTS_MAX>,
}

/// A run of memory, in the place of its kind of access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Its first address.
    pub address: u64,
    /// Bytes in memory; those past `bytes` are zero.
    pub size: u64,
    /// Its content.
    pub bytes: &'a [u8],
    /// What the program may do with it.
    pub access: Access,
}

/// What a program may do with its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Run it.
    Run,
    /// Read it.
    Read,
    /// Read and write it.
    Write,
}

impl Access {
    /// Where such memory lies: its first address, and past its last.
    fn place(self) -> (u64, u64) {
        match self {
            Self::Run | Self::Read => (TEXT, TEXT + TEXT_MAX),
            Self::Write => (STACK_END, DATA + DATA_MAX),
        }
    }
}

/// Why a file is not a program of this image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotProgram {
    /// It is not a linked ELF file for aarch64, or is cut off.
    Format,
    /// A segment lies outside the place of its kind, or on another.
    Place,
    /// A segment is both written and run.
    Access,
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
            let flags = segment.p_flags(endian);
            let access = match (flags & PF_X != 0, flags & PF_W != 0) {
                (true, true) => return Err(NotProgram::Access),
                (true, false) => Access::Run,
                (false, true) => Access::Write,
                (false, false) => Access::Read,
            };
            let (least, most) = access.place();
            let least = segments.last().map_or(least, |last| least.max(last.address + last.size));
            let end = address.checked_add(size).filter(|end| *end <= most).ok_or(NotProgram::Place)?;
            if address < least || end - address < bytes.len() as u64 {
                return Err(NotProgram::Place);
            }
            segments.push(Segment { address, size, bytes, access }).map_err(|_| NotProgram::Format)?;
        }
        let entry = header.e_entry(endian);
        let is_inside = |s: &Segment| {
            s.access == Access::Run && entry >= s.address && entry - s.address < s.bytes.len() as u64
        };
        if segments.iter().any(is_inside) { Ok(Self { entry, segments }) } else { Err(NotProgram::Place) }
    }

    /// Bytes of its code, and of what it only reads.
    #[must_use]
    pub fn text_bytes(&self) -> u64 {
        let text = self.segments.iter().filter(|segment| segment.access != Access::Write);
        text.map(|segment| segment.address + segment.size - TEXT).max().unwrap_or(0)
    }

    /// Large pages of them.
    #[must_use]
    pub fn text_pages(&self) -> u64 {
        self.text_bytes().div_ceil(LARGE)
    }

    /// Where its heap may begin.
    #[must_use]
    pub fn end(&self) -> u64 {
        let data = self.segments.iter().filter(|segment| segment.access == Access::Write);
        let end = data.map(|segment| segment.address + segment.size).max().unwrap_or(STACK_END);
        end.next_multiple_of(64)
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
    fn segments_lie_where_their_kind_does() {
        let data = [9; 5000];
        let file =
            elf(TEXT + 4, &[(TEXT, &[1; 8], 8, 5), (TEXT + 64, &[2; 8], 8, 4), (STACK_END, &data, 9001, 6)]);
        let program = Program::read(&file).unwrap();
        assert_eq!((program.entry, program.end()), (TEXT + 4, STACK_END + 9024));
        assert_eq!((program.text_bytes(), program.text_pages()), (72, 1));
        let access: Vec<Access> = program.segments.iter().map(|segment| segment.access).collect();
        assert_eq!(access, [Access::Run, Access::Read, Access::Write]);
        assert_eq!(program.segments[2].bytes, data);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let read = |entry, segments: &[(u64, &[u8], u64, u32)]| Program::read(&elf(entry, segments)).err();
        let code: (u64, &[u8], u64, u32) = (TEXT, &[1; 8], 8, 5);
        assert_eq!(read(TEXT, &[code]), None);
        assert_eq!(read(TEXT, &[(TEXT, &[1; 8], 8, 7)]), Some(NotProgram::Access));
        assert_eq!(read(TEXT, &[code, (DATA, &[1; 8], 8, 6)]), Some(NotProgram::Place));
        assert_eq!(read(TEXT, &[code, (TEXT + 4, &[1; 8], 8, 5)]), Some(NotProgram::Place));
        assert_eq!(read(TEXT, &[code, (DATA + DATA_MAX, &[], 8, 6)]), Some(NotProgram::Place));
        assert_eq!(read(TEXT, &[code, (STACK_END, &[], u64::MAX, 6)]), Some(NotProgram::Place));
        assert_eq!(read(TEXT, &[(TEXT, &[1; 8], 4, 5)]), Some(NotProgram::Place));
        assert_eq!(read(TEXT + 8, &[code]), Some(NotProgram::Place));
        assert_eq!(Program::read(b"\x7fELF").err(), Some(NotProgram::Format));
    }

    proptest! {
        #[test]
        fn any_change_is_survived(at in 0usize..190, value in any::<u8>()) {
            let mut file = elf(TEXT, &[(TEXT, &[1; 8], 8, 5), (STACK_END, &[2; 8], 100, 6)]);
            if let Some(byte) = file.get_mut(at) {
                *byte = value;
            }
            if let Ok(program) = Program::read(&file) {
                for segment in &program.segments {
                    let (from, to) = segment.access.place();
                    prop_assert!(segment.address >= from && segment.address + segment.size <= to);
                    prop_assert!(segment.bytes.len() as u64 <= segment.size);
                }
            }
        }
    }
}
