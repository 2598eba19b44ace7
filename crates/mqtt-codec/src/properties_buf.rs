//! Properties that own their block.

use crate::properties::Properties;
use crate::properties_builder::PropertiesBuilder;
use crate::wire::share;
use alloc::boxed::Box;
use bytes::Bytes;
use core::fmt;

/// A block of so many bytes lies in place: enough for a few numbers, a subscription identifier above all.
const SHORT: usize = 14;

/// Properties that own their block, in wire form. Empty ones cost nothing, a few numbers next to nothing; larger blocks share
/// their memory.
#[derive(Clone, Default)]
pub struct PropertiesBuf(Block);

/// Small, because each message and each outcome carries one. A block that fits lies in place.
#[derive(Clone, Default)]
enum Block {
    #[default]
    Empty,
    Short {
        len: u8,
        bytes: [u8; SHORT],
    },
    Shared(Box<Bytes>),
}

impl PropertiesBuf {
    /// No properties.
    #[inline]
    pub const fn new() -> Self {
        Self(Block::Empty)
    }

    /// Builds a block property by property.
    pub fn builder() -> PropertiesBuilder {
        PropertiesBuilder::default()
    }

    /// Wraps a block that was checked.
    pub(crate) fn from_checked(block: Bytes) -> Self {
        Self::short(&block).unwrap_or_else(|| Self(Block::Shared(Box::new(block))))
    }

    /// Wraps a part of a frame that was checked.
    #[inline]
    pub(crate) fn part_of(frame: &Bytes, block: &[u8]) -> Self {
        Self::short(block).unwrap_or_else(|| Self(Block::Shared(Box::new(share(frame, block)))))
    }

    #[inline]
    fn short(block: &[u8]) -> Option<Self> {
        if block.is_empty() {
            return Some(Self::new());
        }
        let mut bytes = [0; SHORT];
        bytes.get_mut(..block.len())?.copy_from_slice(block);
        Some(Self(Block::Short { len: block.len() as u8, bytes }))
    }

    /// The properties, to be read.
    #[inline]
    pub fn view(&self) -> Properties<'_> {
        Properties::from_checked(match &self.0 {
            Block::Empty => &[],
            Block::Short { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Block::Shared(block) => block,
        })
    }

    /// Bytes of the block, without its length.
    #[inline]
    pub fn len(&self) -> usize {
        match &self.0 {
            Block::Empty => 0,
            Block::Short { len, .. } => usize::from(*len),
            Block::Shared(block) => block.len(),
        }
    }

    /// Whether there are none.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        matches!(self.0, Block::Empty)
    }
}

impl PartialEq for PropertiesBuf {
    fn eq(&self, other: &Self) -> bool {
        self.view() == other.view()
    }
}

impl Eq for PropertiesBuf {}

impl fmt::Debug for PropertiesBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_take_little_room() {
        assert_eq!((size_of::<PropertiesBuf>(), size_of::<Option<PropertiesBuf>>()), (16, 16));
    }

    /// However a block lies, it says the same.
    #[test]
    fn short_and_shared_blocks_are_alike() {
        for len in [0, 1, SHORT - 5, SHORT - 4, 100] {
            let value = "x".repeat(len);
            let built = PropertiesBuf::builder().user_property("", &value).build().unwrap();
            assert_eq!(built.len(), 5 + len);
            assert_eq!(matches!(built.0, Block::Short { .. }), 5 + len <= SHORT);
            assert!(built.view().user_properties().eq([("", value.as_str())]));
            let PropertiesBuf(block) = &built;
            let frame = Bytes::copy_from_slice(match block {
                Block::Empty => &[],
                Block::Short { len, bytes } => &bytes[..usize::from(*len)],
                Block::Shared(block) => block,
            });
            assert_eq!((&PropertiesBuf::part_of(&frame, &frame), built.is_empty()), (&built, false));
            assert_eq!(PropertiesBuf(Block::Shared(Box::new(frame))), built);
        }
        assert_eq!(PropertiesBuf::from_checked(Bytes::new()), PropertiesBuf::new());
    }
}
