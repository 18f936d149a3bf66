//! Tagged fields that a message does not know, kept beside it.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use bytes::Bytes;

/// Tagged fields that were unknown on decoding, to be written back at the same places.
///
/// With them, a proxy that decodes a message and sends it on loses nothing: see
/// [`Reader::keep_unknown_tags`](super::Reader::keep_unknown_tags) and [`Writer::put_back`](super::Writer::put_back).
/// Each field is kept by its place in the message, so the message may be changed in between, but not the number and
/// order of its structs.
///
/// Source: KIP-482; `_unknownTaggedFields` of Java's messages.
#[derive(Clone, Debug, Default)]
pub struct UnknownTags {
    /// Fields of structs that are in no tagged field, which are nearly all, in the order of decoding.
    outer: Vec<Field>,
    /// The bytes of which the outer fields are slices.
    frame: Bytes,
    /// Fields of structs inside a known tagged field.
    inner: BTreeMap<Place, VecDeque<(u32, Bytes)>>,
}

/// An unknown field of the struct that ends as the `ordinal`th. It is small, because each of many small
/// structs may have one.
#[derive(Clone, Copy, Debug)]
struct Field {
    ordinal: u32,
    tag: u32,
    at: u32,
    size: u32,
}

/// The place of a struct in a message: its number in the order in which structs end, because tagged fields stand at
/// the end.
///
/// A struct inside a known tagged field is counted from 0 in that field; before that number stand the place of the
/// struct that has the field, and its tag. So a tagged field that is left out because it has its default does not
/// change any other place.
type Place = Vec<u32>;

/// Most memory of an outer field: three times its size in the list, because a list that grows exists twice.
const OUTER_FIELD_BYTES: usize = 3 * size_of::<Field>();

/// Most memory of the first field of an inner struct: a list with room for four, and its entry in a map whose
/// nodes are half full.
const FIRST_INNER_FIELD_BYTES: usize = 320;

/// Most memory of each further field of it.
const NEXT_INNER_FIELD_BYTES: usize = 120;

impl UnknownTags {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.outer.is_empty() && self.inner.is_empty()
    }

    /// Number of fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.outer.len() + self.inner.values().map(VecDeque::len).sum::<usize>()
    }

    fn outer(&self) -> impl Iterator<Item = (u32, u32, Bytes)> {
        self.outer.iter().map(|field| (field.ordinal, field.tag, self.value(field)))
    }

    fn value(&self, field: &Field) -> Bytes {
        let at = field.at as usize;
        self.frame.slice(at..at + field.size as usize)
    }

    /// The first struct inside this place that has unknown fields.
    fn first_below(&self, place: &[u32]) -> Option<&Place> {
        let below = (Bound::Excluded(place), Bound::Unbounded);
        self.inner.range::<[u32], _>(below).next().map(|(next, _)| next).filter(|next| next.starts_with(place))
    }
}

/// Compares fields and places; where they lay in a frame does not matter.
impl PartialEq for UnknownTags {
    fn eq(&self, other: &Self) -> bool {
        self.outer().eq(other.outer()) && self.inner == other.inner
    }
}

impl Eq for UnknownTags {}

/// Follows the places of a message while it is decoded or encoded.
#[derive(Clone, Debug)]
pub(super) struct Keeper {
    /// The number of the struct that ends next, for each depth.
    place: Place,
    /// Fields of the inner structs whose tagged fields are being read or written; one list for each depth.
    open: Vec<VecDeque<(u32, Bytes)>>,
    tags: UnknownTags,
    /// Number of outer fields that are written.
    written: usize,
}

impl Default for Keeper {
    fn default() -> Self {
        Self::of(UnknownTags::default())
    }
}

impl Keeper {
    pub(super) fn of(tags: UnknownTags) -> Self {
        Self { place: vec![0], open: Vec::new(), tags, written: 0 }
    }

    pub(super) fn finish(self) -> UnknownTags {
        self.tags
    }

    /// Enters the value of a tagged field again. If a field occurs twice, the last one counts, and so do
    /// the fields inside it.
    pub(super) fn reenter(&mut self, tag: u32) {
        let inside = self.inside(tag);
        // They are removed one by one: a walk over all fields would let a hostile frame make each of its fields cost as
        // much as the frame is long.
        while let Some(place) = self.tags.first_below(&inside).cloned() {
            self.tags.inner.remove(&place);
        }
        self.enter(tag);
    }

    /// Enters the value of a tagged field.
    pub(super) fn enter(&mut self, tag: u32) {
        self.place.extend([tag, 0]);
        self.open.push(VecDeque::new());
    }

    /// Leaves the value of a tagged field.
    pub(super) fn leave(&mut self) {
        self.place.truncate(self.place.len().saturating_sub(2));
        self.open.pop();
    }

    /// Keeps a field of the struct at this place: `size` bytes at `at` of the frame. Returns the memory that
    /// this takes.
    pub(super) fn keep(&mut self, tag: u32, frame: &Bytes, at: usize, size: usize) -> usize {
        if let Some(fields) = self.open.last_mut() {
            fields.push_back((tag, frame.slice(at..at + size)));
            return if fields.len() == 1 { FIRST_INNER_FIELD_BYTES } else { NEXT_INNER_FIELD_BYTES };
        }
        let (Some(&ordinal), Ok(at), Ok(size)) = (self.place.first(), u32::try_from(at), u32::try_from(size)) else {
            // No frame has 4 GiB, because its length is an i32.
            return usize::MAX;
        };
        if self.tags.outer.is_empty() {
            self.tags.frame = frame.clone();
        }
        self.tags.outer.push(Field { ordinal, tag, at, size });
        OUTER_FIELD_BYTES
    }

    /// Ends the struct at this place.
    pub(super) fn end_struct(&mut self) {
        if let Some(fields) = self.open.last_mut().filter(|fields| !fields.is_empty()) {
            self.tags.inner.insert(self.place.clone(), std::mem::take(fields));
        }
        self.next_struct();
    }

    /// Takes the next field that was kept for the struct at this place, if its tag is lower than `below`.
    pub(super) fn next_field(&mut self, below: Option<u32>) -> Option<(u32, Bytes)> {
        let is_due = |tag: u32| below.is_none_or(|below| tag < below);
        let [ordinal] = self.place[..] else {
            let fields = self.tags.inner.get_mut(&self.place)?;
            return if fields.front().is_some_and(|(tag, _)| is_due(*tag)) { fields.pop_front() } else { None };
        };
        // Skips the fields of structs that no longer exist.
        while self.tags.outer.get(self.written).is_some_and(|field| field.ordinal < ordinal) {
            self.written += 1;
        }
        let field = self.tags.outer.get(self.written).filter(|field| field.ordinal == ordinal && is_due(field.tag))?;
        self.written += 1;
        Some((field.tag, self.tags.value(field)))
    }

    /// Whether an unknown field was kept inside the field `tag` of this struct, so that this has to be written.
    pub(super) fn is_needed(&self, tag: u32) -> bool {
        self.tags.first_below(&self.inside(tag)).is_some()
    }

    fn inside(&self, tag: u32) -> Place {
        let mut place = self.place.clone();
        place.push(tag);
        place
    }

    pub(super) fn next_struct(&mut self) {
        if let Some(ordinal) = self.place.last_mut() {
            *ordinal = ordinal.wrapping_add(1);
        }
    }
}
