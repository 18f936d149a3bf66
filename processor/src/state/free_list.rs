//! The numbers of free slots.

/// The slots of a list that are free, by their numbers.
#[derive(Debug, Default)]
pub(super) struct FreeList(Vec<u32>);

impl FreeList {
    /// Puts an entry into a free slot, or behind all others if there is none. Returns the number of its slot.
    pub(super) fn place<T>(&mut self, slots: &mut Vec<T>, entry: T) -> u32 {
        if let Some(slot) = self.0.pop() {
            slots[slot as usize] = entry;
            return slot;
        }
        slots.push(entry);
        u32::try_from(slots.len() - 1).expect("a store holds less than 4 billion keys")
    }

    /// Notes that a slot is free.
    pub(super) fn release(&mut self, slot: u32) {
        self.0.push(slot);
    }
}
