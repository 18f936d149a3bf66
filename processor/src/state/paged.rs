//! A list in pages: growing copies nothing, and leaves at most a page unused.
//!
//! It is for the undo log of a table with many changes in a transaction. A list in one piece takes up to three times
//! the memory of its content while it grows.

/// Values in the order in which they were added.
#[derive(Debug)]
pub(super) struct Paged<T> {
    /// Full pages, the first one in front.
    full: Vec<Vec<T>>,
    /// The last page. It is the only one that grows, because the lists of most tables are short.
    open: Vec<T>,
    /// Empty pages, for later.
    spare: Vec<Vec<T>>,
}

/// Values in a page.
const PAGE: usize = 1 << 11;

impl<T> Paged<T> {
    pub(super) const fn new() -> Self {
        Self { full: Vec::new(), open: Vec::new(), spare: Vec::new() }
    }

    pub(super) const fn is_empty(&self) -> bool {
        // A page is opened with its first value.
        self.open.is_empty()
    }

    #[inline]
    pub(super) fn push(&mut self, value: T) {
        if self.open.len() == PAGE {
            self.turn_page();
        }
        self.open.push(value);
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let value = self.open.pop();
        if self.open.is_empty()
            && let Some(page) = self.full.pop()
        {
            self.spare.push(std::mem::replace(&mut self.open, page));
        }
        value
    }

    /// The pages, each with consecutive values.
    pub(super) fn pages(&self) -> impl Iterator<Item = &[T]> {
        self.full.iter().chain([&self.open]).map(Vec::as_slice)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages().flatten()
    }

    /// Removes all values. As many pages are kept as they took: a list of the same length then needs no other memory.
    pub(super) fn clear(&mut self) {
        self.spare.truncate(self.full.len());
        let room = self.full.len() - self.spare.len();
        self.spare.extend(self.full.drain(..).take(room).map(|mut page| {
            page.clear();
            page
        }));
        self.open.clear();
    }

    /// Memory of the pages in bytes.
    pub(super) fn bytes(&self) -> usize {
        let pages = self.full.iter().chain(&self.spare).chain([&self.open]);
        pages.map(Vec::capacity).sum::<usize>() * size_of::<T>()
    }

    #[cold]
    fn turn_page(&mut self) {
        let page = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(PAGE));
        self.full.push(std::mem::replace(&mut self.open, page));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_list(steps in prop::collection::vec((0..3_u8, 0..3 * PAGE), 0..20)) {
            let (mut paged, mut model) = (Paged::new(), Vec::new());
            for (step, count) in steps {
                match step {
                    0 => (0..count).for_each(|value| {
                        paged.push(value);
                        model.push(value);
                    }),
                    1 => (0..count).for_each(|_| assert_eq!(paged.pop(), model.pop())),
                    _ => {
                        paged.clear();
                        model.clear();
                    }
                }
                prop_assert_eq!(paged.is_empty(), model.is_empty());
                prop_assert!(paged.iter().eq(&model));
            }
        }
    }

    #[test]
    fn as_much_memory_is_kept_as_the_last_list_took() {
        let mut paged = Paged::new();
        let mut bytes_of = |count| {
            (0..count).for_each(|value: u64| paged.push(value));
            let bytes = paged.bytes();
            paged.clear();
            (bytes / size_of::<u64>(), paged.bytes() / size_of::<u64>())
        };
        assert_eq!(bytes_of(10 * PAGE as u64), (10 * PAGE, 10 * PAGE));
        assert_eq!(bytes_of(9 * PAGE as u64 + 1), (10 * PAGE, 10 * PAGE));
        assert_eq!(bytes_of(1), (10 * PAGE, PAGE), "the next list is short");
    }
}
