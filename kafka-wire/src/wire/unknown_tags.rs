//! Tagged fields that a message does not know, kept beside it.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use bytes::Bytes;

/// Tagged fields that were met and not known, to be written back where they were found.
///
/// A proxy that decodes a message and sends it on loses nothing this way: see
/// [`Reader::keep_unknown_tags`](super::Reader::keep_unknown_tags) and [`Writer::put_back`](super::Writer::put_back). Each field is
/// kept by its place in the message, so the message may change in between, but not the number and order of its structs.
///
/// Source: KIP-482; `_unknownTaggedFields` of Java's messages.
#[derive(Clone, Debug, Default)]
pub struct UnknownTags {
    /// Those of structs that are in no tagged field, which is nearly all, in the order in which they were met.
    outer: Vec<Field>,
    /// What these are slices of.
    frame: Bytes,
    /// Those of structs inside of a known tagged field.
    inner: BTreeMap<Place, VecDeque<(u32, Bytes)>>,
}

/// An unknown field of the struct that ends as the `ordinal`th; small, as each of many small structs may have one.
#[derive(Clone, Copy, Debug)]
struct Field {
    ordinal: u32,
    tag: u32,
    at: u32,
    size: u32,
}

/// Which struct of a message: in the order in which structs end, as that is where tagged fields stand.
///
/// A struct inside of a known tagged field is counted from 0 in that field, behind the place of the struct that holds
/// the field and its tag. So a tagged field that is left out because it has its default moves no other place.
type Place = Vec<u32>;

/// Memory that an outer field takes at most: one place in a list, three times, as a list that grows is there twice.
const OUTER_FIELD_BYTES: usize = 3 * size_of::<Field>();

/// Memory that the first field of an inner struct takes at most: a list with room for four, and its entry in a map whose
/// nodes are half full.
const FIRST_INNER_FIELD_BYTES: usize = 320;

/// Memory that another field of it takes at most.
const NEXT_INNER_FIELD_BYTES: usize = 120;

impl UnknownTags {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.outer.is_empty() && self.inner.is_empty()
    }

    /// How many fields there are.
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

    /// The first struct inside of this place that has some.
    fn first_below(&self, place: &[u32]) -> Option<&Place> {
        let below = (Bound::Excluded(place), Bound::Unbounded);
        self.inner.range::<[u32], _>(below).next().map(|(next, _)| next).filter(|next| next.starts_with(place))
    }
}

/// The same fields in the same places; where they lay in a frame does not matter.
impl PartialEq for UnknownTags {
    fn eq(&self, other: &Self) -> bool {
        self.outer().eq(other.outer()) && self.inner == other.inner
    }
}

impl Eq for UnknownTags {}

/// Follows the places of a message while it is read or written.
#[derive(Clone, Debug)]
pub(super) struct Keeper {
    /// The struct that ends next, counted at each depth.
    place: Place,
    /// Fields of the inner structs that are at their tags; one list for each depth.
    open: Vec<VecDeque<(u32, Bytes)>>,
    tags: UnknownTags,
    /// How many of the outer fields are written.
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

    /// Goes into the value of a tagged field. When it comes twice the last one counts, and so does what is inside of it.
    pub(super) fn reenter(&mut self, tag: u32) {
        let inside = self.inside(tag);
        // One by one: a walk over all would let a hostile frame make each of its fields as dear as the frame is long.
        while let Some(place) = self.tags.first_below(&inside).cloned() {
            self.tags.inner.remove(&place);
        }
        self.enter(tag);
    }

    /// Goes into the value of a tagged field.
    pub(super) fn enter(&mut self, tag: u32) {
        self.place.extend([tag, 0]);
        self.open.push(VecDeque::new());
    }

    /// Comes out of it.
    pub(super) fn leave(&mut self) {
        self.place.truncate(self.place.len().saturating_sub(2));
        self.open.pop();
    }

    /// Keeps a field of the struct at this place: `size` bytes at `at` of the frame. Returns the memory that this takes.
    pub(super) fn keep(&mut self, tag: u32, frame: &Bytes, at: usize, size: usize) -> usize {
        if let Some(fields) = self.open.last_mut() {
            fields.push_back((tag, frame.slice(at..at + size)));
            return if fields.len() == 1 { FIRST_INNER_FIELD_BYTES } else { NEXT_INNER_FIELD_BYTES };
        }
        let (Some(&ordinal), Ok(at), Ok(size)) = (self.place.first(), u32::try_from(at), u32::try_from(size)) else {
            // No frame has 4 GiB: its length is an i32.
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
        // Behind the fields of structs that are gone.
        while self.tags.outer.get(self.written).is_some_and(|field| field.ordinal < ordinal) {
            self.written += 1;
        }
        let field = self.tags.outer.get(self.written).filter(|field| field.ordinal == ordinal && is_due(field.tag))?;
        self.written += 1;
        Some((field.tag, self.tags.value(field)))
    }

    /// Whether something was kept inside of the field `tag` of this struct, so that it has to be written.
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
