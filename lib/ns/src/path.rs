//! What a path is (DESIGN 4): at most eight components, each 1..255 bytes of UTF-8 without NUL
//! or `/`, and neither `.` nor `..`. The one place where that is decided.

use core::fmt;
use core::ops::Deref;

/// Most components in a path.
pub const MAX_DEPTH: usize = 8;
/// Longest component, bytes.
pub const MAX_NAME: usize = 255;

/// Why a path or a name is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// It does not begin with `/`.
    Relative,
    /// A component is empty.
    Empty,
    /// A component is longer than [`MAX_NAME`].
    LongName,
    /// More than [`MAX_DEPTH`] components.
    TooDeep,
    /// A component is `.` or `..`.
    Dot,
    /// A component holds NUL or `/`.
    Forbidden,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PathError::Relative => "a path begins with /",
            PathError::Empty => "a path has no empty component and no / at its end",
            PathError::LongName => "a component has at most 255 bytes",
            PathError::TooDeep => "a path has at most 8 components",
            PathError::Dot => ". and .. are no names here",
            PathError::Forbidden => "a name has neither NUL nor /",
        })
    }
}

impl core::error::Error for PathError {}

/// Whether `name` may be a component.
pub fn check_name(name: &str) -> Result<(), PathError> {
    if name.is_empty() {
        Err(PathError::Empty)
    } else if name.len() > MAX_NAME {
        Err(PathError::LongName)
    } else if name == "." || name == ".." {
        Err(PathError::Dot)
    } else if name.bytes().any(|byte| byte == 0 || byte == b'/') {
        Err(PathError::Forbidden)
    } else {
        Ok(())
    }
}

/// The components of a valid path, borrowed from its text; no allocation. Reads as a slice of
/// names, which is what [`crate::Table::resolve`] takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path<'a> {
    names: [&'a str; MAX_DEPTH],
    len: usize,
}

impl<'a> Path<'a> {
    /// The root: no components.
    pub const ROOT: Path<'static> = Path { names: [""; MAX_DEPTH], len: 0 };

    /// An absolute path, `/` or `/a/b`.
    pub fn parse(text: &'a str) -> Result<Path<'a>, PathError> {
        let mut path = Path { names: [""; MAX_DEPTH], len: 0 };
        let text = text.strip_prefix('/').ok_or(PathError::Relative)?;
        if text.is_empty() {
            return Ok(path);
        }
        for name in text.split('/') {
            path.push(name)?;
        }
        Ok(path)
    }

    /// Adds a component; a refusal leaves the path as it was.
    pub fn push(&mut self, name: &'a str) -> Result<(), PathError> {
        check_name(name)?;
        *self.names.get_mut(self.len).ok_or(PathError::TooDeep)? = name;
        self.len += 1;
        Ok(())
    }

    /// Takes the last component away.
    pub fn pop(&mut self) -> Option<&'a str> {
        let last = self.len.checked_sub(1)?;
        self.len = last;
        Some(core::mem::take(&mut self.names[last]))
    }
}

impl<'a> Deref for Path<'a> {
    type Target = [&'a str];

    fn deref(&self) -> &[&'a str] {
        &self.names[..self.len]
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("/");
        }
        self.iter().try_for_each(|name| write!(f, "/{name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use std::format;

    #[test]
    fn a_path_prints_as_it_was_written() {
        for text in ["/", "/a", "/proc/9p/self", "/ä/ /'"] {
            assert_eq!(Path::parse(text).map(|p| p.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_is_no_path_is_refused_with_its_reason() {
        let long = format!("/{}", "x".repeat(256));
        for (text, why) in [
            ("", PathError::Relative),
            ("a", PathError::Relative),
            ("//", PathError::Empty),
            ("/a/", PathError::Empty),
            ("/a//b", PathError::Empty),
            ("/a/../b", PathError::Dot),
            ("/.", PathError::Dot),
            ("/a\0", PathError::Forbidden),
            ("/1/2/3/4/5/6/7/8/9", PathError::TooDeep),
            (&long, PathError::LongName),
        ] {
            assert_eq!(Path::parse(text), Err(why), "{text}");
        }
        assert_eq!(check_name("a/b"), Err(PathError::Forbidden));
        assert_eq!(check_name(&"x".repeat(255)), Ok(()));
    }

    #[test]
    fn a_refused_component_changes_nothing() {
        let mut path = Path::parse("/1/2/3/4/5/6/7/8").expect("eight fit");
        assert_eq!(path.push("9"), Err(PathError::TooDeep));
        assert_eq!((path.pop(), path.len()), (Some("8"), 7));
    }
}
