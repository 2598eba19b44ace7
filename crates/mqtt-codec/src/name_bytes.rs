//! What a topic name is made of: most names are short, and those need no memory of their own.

use crate::wire::share;
use bytes::Bytes;
use core::hash::{Hash, Hasher};
use core::ops::Deref;

/// So many bytes lie in place. With them a name takes no more room than a [`Bytes`].
const SHORT: usize = 23;

/// A short name lies in place, any other shares a buffer; equal if they say the same.
#[derive(Clone)]
pub(crate) enum NameBytes {
    Short { len: u8, bytes: [u8; SHORT] },
    Shared(Bytes),
}

impl NameBytes {
    #[inline]
    pub(crate) fn copy_from_slice(name: &[u8]) -> Self {
        Self::short_or(name, || Bytes::copy_from_slice(name))
    }

    /// A part of a frame: copied if it is short, which costs less than sharing.
    #[inline]
    pub(crate) fn part_of(frame: &Bytes, name: &[u8]) -> Self {
        Self::short_or(name, || share(frame, name))
    }

    #[inline(always)]
    fn short_or(name: &[u8], share: impl FnOnce() -> Bytes) -> Self {
        let mut bytes = [0; SHORT];
        match bytes.get_mut(..name.len()) {
            Some(place) => {
                place.copy_from_slice(name);
                Self::Short { len: name.len() as u8, bytes }
            }
            None => Self::Shared(share()),
        }
    }
}

impl Deref for NameBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes } => bytes.get(..usize::from(*len).min(SHORT)).unwrap_or_default(),
            Self::Shared(bytes) => bytes,
        }
    }
}

impl From<Bytes> for NameBytes {
    fn from(bytes: Bytes) -> Self {
        Self::Shared(bytes)
    }
}

impl From<NameBytes> for Bytes {
    fn from(name: NameBytes) -> Self {
        match name {
            NameBytes::Short { .. } => Self::copy_from_slice(&name),
            NameBytes::Shared(bytes) => bytes,
        }
    }
}

impl PartialEq for NameBytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for NameBytes {}

impl PartialOrd for NameBytes {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for NameBytes {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (**self).cmp(&**other)
    }
}

impl Hash for NameBytes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::TopicName;
    use alloc::string::String;

    #[test]
    fn a_name_takes_no_more_room_than_its_bytes() {
        assert_eq!(size_of::<NameBytes>(), size_of::<Bytes>());
    }

    /// However a name was made, it is the same.
    #[test]
    fn short_and_shared_names_are_alike() {
        for len in [1, SHORT - 1, SHORT, SHORT + 1, 100] {
            let text = "x".repeat(len);
            let copied = TopicName::try_from(text.as_str()).unwrap();
            let shared = TopicName::try_from(String::from(text.as_str())).unwrap();
            assert_eq!((&copied, copied.len(), copied.as_str()), (&shared, len, text.as_str()));
            assert!(copied.cmp(&shared).is_eq());
            let hash = |name: &TopicName| {
                let mut hasher = std::hash::DefaultHasher::new();
                name.hash(&mut hasher);
                hasher.finish()
            };
            assert_eq!(hash(&copied), hash(&shared));
            assert_eq!(copied.into_bytes(), text.as_bytes());
        }
    }
}
