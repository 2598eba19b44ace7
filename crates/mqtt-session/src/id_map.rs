//! A map from packet identifiers that the server chose, where they may lie anywhere in 1 to 65,535.

use alloc::vec::Vec;
use mqtt_codec::PacketId;

/// 2 to the power of 32, divided by the golden ratio.
const GOLDEN_RATIO: u32 = 0x9E37_79B9;

/// Open addressing with linear probing. Servers count up, and neighbours on neighbouring slots would be one long run for
/// [`remove`](Self::remove) to walk; multiplying by the golden ratio spreads them evenly. Allocates when it grows and
/// never while its size stays about the same.
#[derive(Debug)]
pub(crate) struct IdMap<V> {
    /// Empty, or a power of two, at most half full.
    slots: Vec<Option<(PacketId, V)>>,
    len: usize,
}

impl<V> IdMap<V> {
    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new(), len: 0 }
    }

    pub(crate) fn get_mut(&mut self, id: PacketId) -> Option<&mut V> {
        let place = self.find(id)?;
        self.slots.get_mut(place)?.as_mut().map(|(_, value)| value)
    }

    /// Puts a value in, in place of the one that was there.
    pub(crate) fn insert(&mut self, id: PacketId, value: V) {
        if let Some(present) = self.get_mut(id) {
            *present = value;
            return;
        }
        if self.len * 2 >= self.slots.len() {
            self.grow();
        }
        self.len += 1;
        self.place((id, value));
    }

    pub(crate) fn remove(&mut self, id: PacketId) -> Option<V> {
        let mut hole = self.find(id)?;
        let (_, value) = self.slots.get_mut(hole)?.take()?;
        self.len -= 1;
        // What was pushed past the hole moves back into it, so that probing never meets a gap.
        let mut next = self.after(hole);
        while let Some(&Some((id, _))) = self.slots.get(next) {
            let from_home = next.wrapping_sub(self.home(id)) & self.mask();
            let from_hole = next.wrapping_sub(hole) & self.mask();
            if from_home >= from_hole {
                self.slots.swap(hole, next);
                hole = next;
            }
            next = self.after(next);
        }
        Some(value)
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::new();
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (PacketId, &V)> {
        self.slots.iter().flatten().map(|(id, value)| (*id, value))
    }

    fn find(&self, id: PacketId) -> Option<usize> {
        let mut place = self.home(id);
        while let Some((there, _)) = self.slots.get(place)? {
            if *there == id {
                return Some(place);
            }
            place = self.after(place);
        }
        None
    }

    /// Puts an entry that is not there yet into the first free slot from its home on.
    fn place(&mut self, entry: (PacketId, V)) {
        let mut place = self.home(entry.0);
        while let Some(slot) = self.slots.get_mut(place) {
            if slot.is_none() {
                *slot = Some(entry);
                return;
            }
            place = self.after(place);
        }
    }

    fn grow(&mut self) {
        let capacity = (self.slots.len() * 2).max(16);
        let entries = core::mem::take(&mut self.slots);
        self.slots.resize_with(capacity, || None);
        for entry in entries.into_iter().flatten() {
            self.place(entry);
        }
    }

    const fn mask(&self) -> usize {
        self.slots.len().wrapping_sub(1)
    }

    /// The highest bits of the product: as many as the number of slots has.
    const fn home(&self, id: PacketId) -> usize {
        let product = (id.get() as u32).wrapping_mul(GOLDEN_RATIO);
        product.wrapping_shr(u32::BITS.wrapping_sub(self.slots.len().trailing_zeros())) as usize
    }

    const fn after(&self, place: usize) -> usize {
        (place + 1) & self.mask()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    fn id(number: u16) -> PacketId {
        PacketId::new(number.max(1)).unwrap_or(PacketId::MIN)
    }

    /// Removing walks to the end of a run of taken slots.
    #[test]
    fn neighbours_do_not_form_long_runs() {
        let mut map = IdMap::new();
        for number in 1..=10_000 {
            map.insert(id(number), ());
        }
        let longest = map.slots.split(Option::is_none).map(<[_]>::len).max();
        assert!(longest.unwrap_or_default() <= 8, "{longest:?}");
    }

    proptest! {
        #[test]
        fn behaves_like_a_tree_map(steps in prop::collection::vec((0..3_u8, 0..60_u16, any::<bool>()), 0..200)) {
            let mut map = IdMap::new();
            let mut model = BTreeMap::new();
            for (step, (what, number, far)) in steps.into_iter().enumerate() {
                // Neighbours, and identifiers from anywhere: some of them collide.
                let id = id(if far { number.wrapping_mul(1021) } else { number });
                match what {
                    0 | 1 => {
                        map.insert(id, step);
                        model.insert(id, step);
                    }
                    _ => prop_assert_eq!(map.remove(id), model.remove(&id)),
                }
                prop_assert_eq!(map.len, model.len());
                prop_assert!(model.iter().all(|(&id, value)| map.get_mut(id).as_deref() == Some(value)));
                prop_assert_eq!(map.iter().count(), model.len());
            }
        }
    }
}
