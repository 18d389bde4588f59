//! The bytes of a match. Most matches are a few dozen bytes, and there may be hundreds of thousands:
//! they have no memory of their own beside the flow that they are in.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

/// How many bytes of terms lie in place: as many as the pointers to others would take.
const SHORT: usize = 38;

/// Terms on fields that are known, and those on others as they came.
#[derive(Clone)]
pub(super) enum Packed {
    /// Few of the former and none of the latter.
    Short {
        /// How many bytes count; zeros follow.
        len: u8,
        bytes: [u8; SHORT],
    },
    /// Anything else.
    Long { terms: Box<[u8]>, foreign: Box<[u8]> },
}

impl Packed {
    fn new(terms: &[&[u8]], foreign: &[u8]) -> Self {
        let len: usize = terms.iter().map(|part| part.len()).sum();
        match u8::try_from(len) {
            Ok(short) if len <= SHORT && foreign.is_empty() => {
                let mut bytes = [0; SHORT];
                let terms = terms.iter().copied().flatten();
                bytes.iter_mut().zip(terms).for_each(|(to, from)| *to = *from);
                Self::Short { len: short, bytes }
            }
            _ => Self::Long { terms: terms.concat().into(), foreign: foreign.into() },
        }
    }

    /// The bytes from `start` to `end` become these.
    pub(super) fn splice(&mut self, start: usize, end: usize, term: &[u8]) {
        let before = self.terms().get(..start).unwrap_or_default();
        let after = self.terms().get(end..).unwrap_or_default();
        *self = Self::new(&[before, term, after], self.foreign());
    }

    /// A term on a field that is not known comes last.
    pub(super) fn add_foreign(&mut self, term: &[u8]) {
        *self = Self::new(&[self.terms()], &[self.foreign(), term].concat());
    }

    pub(super) fn terms(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or(bytes),
            Self::Long { terms, .. } => terms,
        }
    }

    pub(super) fn foreign(&self) -> &[u8] {
        match self {
            Self::Short { .. } => &[],
            Self::Long { foreign, .. } => foreign,
        }
    }

    fn all(&self) -> (&[u8], &[u8]) {
        (self.terms(), self.foreign())
    }
}

impl Default for Packed {
    fn default() -> Self {
        Self::Short { len: 0, bytes: [0; SHORT] }
    }
}

/// By hand, as below: where the bytes lie does not count.
impl PartialEq for Packed {
    fn eq(&self, other: &Self) -> bool {
        self.all() == other.all()
    }
}

impl Eq for Packed {}

impl PartialOrd for Packed {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Packed {
    fn cmp(&self, other: &Self) -> Ordering {
        self.all().cmp(&other.all())
    }
}

impl Hash for Packed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.all().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_has_room_for_it() {
        assert_eq!(size_of::<Packed>(), 40, "what a vector and a slice take");
    }

    #[test]
    fn where_it_lies_does_not_count() {
        let mut one = Packed::default();
        one.splice(0, 0, &[7; SHORT]);
        let short = one.clone();
        one.splice(SHORT, SHORT, &[1]);
        assert!(matches!(one, Packed::Long { .. }) && short < one);
        assert_eq!(one.terms(), [&[7; SHORT][..], &[1]].concat());
        one.splice(SHORT, SHORT + 1, &[]);
        assert!(matches!(one, Packed::Short { .. }));
        assert!(one == short);

        one.add_foreign(&[1, 2]);
        one.add_foreign(&[3]);
        assert_eq!(one.all(), (&[7; SHORT][..], &[1, 2, 3][..]));
        one.splice(1, SHORT, &[]);
        assert_eq!(one.all(), (&[7][..], &[1, 2, 3][..]));
    }
}
