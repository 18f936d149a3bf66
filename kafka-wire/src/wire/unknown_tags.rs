//! Tagged fields that a message does not know, kept beside it.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

/// Tagged fields that were met and not known, to be written back where they were found.
///
/// A proxy that decodes a message and sends it on loses nothing this way: see
/// [`Reader::keep_unknown_tags`](super::Reader::keep_unknown_tags) and [`Writer::put_back`](super::Writer::put_back). Each field is
/// kept by its place in the message, so the message may change in between, but not the number and order of its structs.
///
/// Source: KIP-482; `_unknownTaggedFields` of Java's messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnknownTags {
    fields: BTreeMap<Place, Vec<(u32, Bytes)>>,
}

/// Which struct of a message: in the order in which structs end, as that is where tagged fields stand.
///
/// A struct inside of a known tagged field is counted from 0 in that field, behind the place of the struct that holds
/// the field and its tag. So a tagged field that is left out because it has its default moves no other place.
type Place = Vec<u32>;

/// Memory that the first field of a struct takes at most: a list with room for four, and its entry in a map whose nodes
/// are half full.
const FIRST_FIELD_BYTES: usize = 320;

/// Memory that another field takes at most: one place in a list, three times, as a list that grows is there twice.
const NEXT_FIELD_BYTES: usize = 120;

impl UnknownTags {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// How many fields there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.values().map(Vec::len).sum()
    }

    /// Whether a struct inside of this place has some.
    fn has_below(&self, place: &[u32]) -> bool {
        let below = (Bound::Excluded(place), Bound::Unbounded);
        self.fields.range::<[u32], _>(below).next().is_some_and(|(next, _)| next.starts_with(place))
    }
}

/// Follows the places of a message while it is read or written.
#[derive(Clone, Debug)]
pub(super) struct Keeper {
    /// The struct that ends next, counted at each depth.
    place: Place,
    /// Fields of the struct that is at its tags; one list for each depth.
    open: Vec<Vec<(u32, Bytes)>>,
    tags: UnknownTags,
}

impl Default for Keeper {
    fn default() -> Self {
        Self::of(UnknownTags::default())
    }
}

impl Keeper {
    pub(super) fn of(tags: UnknownTags) -> Self {
        Self { place: vec![0], open: vec![Vec::new()], tags }
    }

    pub(super) fn finish(self) -> UnknownTags {
        self.tags
    }

    /// Goes into the value of a tagged field. When it comes twice the last one counts, and so does what is inside of it.
    pub(super) fn reenter(&mut self, tag: u32) {
        if self.is_needed(tag) {
            let depth = self.place.len();
            let is_inside = |place: &Place| place.starts_with(&self.place) && place.get(depth) == Some(&tag);
            self.tags.fields.retain(|place, _| !is_inside(place));
        }
        self.enter(tag);
    }

    /// Goes into the value of a tagged field.
    pub(super) fn enter(&mut self, tag: u32) {
        self.place.extend([tag, 0]);
        self.open.push(Vec::new());
    }

    /// Comes out of it; `unknown` is the value, if nobody could read it. Returns the memory that keeping it takes.
    pub(super) fn leave(&mut self, tag: u32, unknown: Option<Bytes>) -> usize {
        self.place.truncate(self.place.len().saturating_sub(2));
        self.open.pop();
        let (Some(value), Some(fields)) = (unknown, self.open.last_mut()) else { return 0 };
        fields.push((tag, value));
        if fields.len() == 1 { FIRST_FIELD_BYTES } else { NEXT_FIELD_BYTES }
    }

    /// Ends the struct at this place.
    pub(super) fn end_struct(&mut self) {
        if let Some(fields) = self.open.last_mut().filter(|fields| !fields.is_empty()) {
            self.tags.fields.insert(self.place.clone(), std::mem::take(fields));
        }
        self.next_struct();
    }

    /// Takes what was kept for the struct that ends at this place.
    pub(super) fn take(&mut self) -> Vec<(u32, Bytes)> {
        self.tags.fields.remove(&self.place).unwrap_or_default()
    }

    /// Whether something was kept inside of the field `tag` of this struct, so that it has to be written.
    pub(super) fn is_needed(&self, tag: u32) -> bool {
        let mut place = self.place.clone();
        place.push(tag);
        self.tags.has_below(&place)
    }

    pub(super) fn next_struct(&mut self) {
        if let Some(ordinal) = self.place.last_mut() {
            *ordinal = ordinal.wrapping_add(1);
        }
    }
}
