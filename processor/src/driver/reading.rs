//! Reads stores as the program that runs the job does.

use std::sync::Arc;

use super::{StoreEntry, TestDriver};
use crate::output::StoreId;
use crate::worker::Reading;

impl TestDriver {
    /// The entries of a store as [`Running::reader`](crate::Running::reader) finds them: as of the last commit, by
    /// partition. `None` while a worker would let it wait, because the store is restored, or changed by the open
    /// transaction, or no task is there yet. [`TestDriver::store`] has the present state instead.
    ///
    /// # Panics
    /// As [`TestDriver::store`].
    #[must_use]
    pub fn read_store(&self, name: &str) -> Option<Vec<StoreEntry>> {
        let topology = Arc::clone(&self.topology);
        let store = topology.stores().iter().position(|store| store.name == name);
        let store = StoreId(store.unwrap_or_else(|| panic!("no store `{name}` in this topology")));
        let mut entries = Vec::new();
        let mut is_there = false;
        for member in self.slots.iter().filter_map(|slot| slot.member.as_ref()) {
            let mut visit = |partition, window, key: &[u8], value: &[u8]| {
                entries.push(StoreEntry { partition, window, key: key.to_vec(), value: value.to_vec() });
            };
            let read = member.worker.read_store(store, None, &mut visit);
            match read.expect("what is in a store can be encoded") {
                Reading::NotYet => return None,
                Reading::NoTask => {}
                Reading::Done => is_there = true,
            }
        }
        entries.sort_by_key(|entry| entry.partition);
        is_there.then_some(entries)
    }

    /// The rows of the global table of a topic, as the first worker has them: key and value. `None` until it has read
    /// the table, and if there is no worker.
    ///
    /// # Panics
    /// If the job has no global table of that topic.
    #[must_use]
    pub fn read_global(&self, topic: &str) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
        let table = self.topology.globals().iter().position(|global| global.topic == topic);
        let table = table.unwrap_or_else(|| panic!("no global table of `{topic}` in this topology"));
        let member = self.slots.iter().find_map(|slot| slot.member.as_ref())?;
        let mut rows = Vec::new();
        let mut visit = |key: &[u8], row: &[u8]| rows.push((key.to_vec(), row.to_vec()));
        let read = member.worker.read_global(table, None, &mut visit).expect("what is in a table can be encoded");
        (read == Reading::Done).then_some(rows)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::driver::CommitPoint;
    use crate::operator::Emit;
    use crate::serde::{U64, Utf8};
    use crate::topology::Topology;
    use crate::window::Tumbling;

    fn counts() -> TestDriver {
        let mut job = Topology::builder("app");
        job.keyed_stream("in", Utf8, Utf8).count("counts", Emit::OnUpdate).to("out", Utf8, U64);
        TestDriver::new(job.build().expect("a valid job"))
    }

    fn count(driver: &TestDriver) -> Option<Vec<u64>> {
        let count = |entry: StoreEntry| u64::from_be_bytes(entry.value.try_into().expect("8 bytes"));
        Some(driver.read_store("counts")?.into_iter().map(count).collect())
    }

    #[test]
    fn a_store_is_read_as_the_last_commit_left_it() {
        let mut driver = counts();
        assert_eq!(count(&driver), Some(Vec::new()));
        driver.pipe("in", Some("a"), "", 1);
        assert_eq!((driver.store("counts").len(), count(&driver)), (1, None), "the transaction is open");
        driver.commit();
        assert_eq!(count(&driver), Some(vec![1]));
        driver.pipe("in", Some("a"), "", 2);
        driver.pipe("in", Some("b"), "", 3);
        assert_eq!(count(&driver), None);
        driver.settle();
        assert_eq!(count(&driver), Some(vec![2, 1]));
    }

    #[test]
    fn a_store_of_windows_is_read_after_a_restart_without_a_record() {
        let mut job = Topology::builder("app");
        job.keyed_stream("in", Utf8, Utf8)
            .window(Tumbling::of(Duration::from_millis(10)))
            .count("counts", Emit::OnClose)
            .map(|count| *count.value)
            .to("out", Utf8, U64);
        let mut driver = TestDriver::new(job.build().expect("a valid job"));
        for at in [1, 25] {
            driver.pipe("in", Some("a"), "", at);
            driver.commit();
        }
        driver.crash();
        driver.advance_wall(Duration::from_millis(200));
        driver.settle();
        assert_eq!(count(&driver), Some(vec![1]), "the window of the record at 25");
    }

    #[test]
    fn what_a_crash_undoes_was_never_read() {
        for point in CommitPoint::ALL {
            let mut driver = counts();
            for read in 1..=5 {
                driver.pipe("in", Some("a"), "", 1);
                assert_eq!(count(&driver), None);
                driver.crash_at(point);
                driver.commit();
                let found = count(&driver);
                assert!(found.is_none() || found == Some(vec![read]), "{point:?}: {found:?}");
                driver.settle();
                assert_eq!(count(&driver), Some(vec![read]), "{point:?}");
            }
        }
    }
}
