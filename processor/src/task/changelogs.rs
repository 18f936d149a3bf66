//! The changelogs of a task: the changes of its stores, the progress of event time, and the versions of both.
//!
//! Each changelog remembers the version in which its store is written, and the first one also that of the records in
//! the task's repartition topics. So a job that was changed under the same names finds another version there,
//! and stops before it misreads bytes.

use std::collections::{BTreeMap, BTreeSet};

use kafka_wire::cluster::TopicPartition;
use kafka_wire::record::RawHeaders;
use kafka_wire::types::{PartitionId, TimestampMs};

use super::progress_log::ProgressLog;
use crate::error::ProcessError;
use crate::output::{OutRecord, Output, Route, SinkId, StoreId};
use crate::state::{AHEAD, Changelog, ChangelogKey, RestoreError, Stores};
use crate::topology::{SourceKind, SubTopology, Topology};
use crate::watermark::{Mark, TaskTime, decode_marks};

/// The changelogs of a task.
pub(super) struct Changelogs {
    stores: Vec<StoreLog>,
    /// Progress of event time, in the first changelog.
    progress: Option<ProgressLog>,
    buffers: (Vec<u8>, Vec<u8>),
}

/// The changelog of a store.
struct StoreLog {
    id: StoreId,
    name: String,
    sink: SinkId,
    /// The versions of the store and of the task's repartition topics, by their names.
    versions: BTreeMap<String, String>,
    /// The names of those that the changelog has not yet, of those that it is to have.
    missing: BTreeSet<String>,
    /// Whether the open transaction has written what is missing.
    is_version_written: bool,
    has_restored: bool,
}

impl Changelogs {
    pub(super) fn new(topology: &Topology, sub_topology: &SubTopology) -> Self {
        let log = |id: &StoreId| Some(StoreLog::new(topology, *id, topology.stores()[id.0].own_changelog()?));
        let mut stores: Vec<StoreLog> = sub_topology.stores().iter().filter_map(log).collect();
        let internal = sub_topology.sources().iter().filter(|source| source.kind != SourceKind::External);
        let sources: Vec<_> = internal.map(|source| (source.topic.clone(), source.version.clone())).collect();
        if let Some(first) = stores.first_mut() {
            first.missing.extend(sources.iter().map(|(topic, _)| topic.clone()));
        }
        // Another store may have been the first before.
        stores.iter_mut().for_each(|log| log.versions.extend(sources.iter().cloned()));
        let progress = stores.first().map(|first| ProgressLog::new(first.sink));
        Self { stores, progress, buffers: <_>::default() }
    }

    /// The name of a store.
    pub(super) fn name(&self, store: StoreId) -> String {
        let known = self.stores.iter().find(|known| known.id == store);
        known.map_or_else(String::new, |known| known.name.clone())
    }

    pub(super) fn heard(&mut self, input: usize, marks: &[Mark]) {
        if let Some(progress) = &mut self.progress {
            progress.heard(input, marks);
        }
    }

    /// Writes the changes of the open transaction. `time` is the task's, with the names of its inputs.
    pub(super) fn write(
        &mut self,
        stores: &Stores,
        time: (&TaskTime, &[TopicPartition]),
        (partition, timestamp): (PartitionId, TimestampMs),
        output: &mut dyn Output,
    ) -> Result<(), ProcessError> {
        for log in &mut self.stores {
            let sink = log.sink;
            let mut write = |key: &[u8], value: Option<&[u8]>| {
                let (route, headers) = (Route::Partition(partition), RawHeaders::EMPTY);
                output.emit(OutRecord { sink, route, timestamp, key: Some(key), value, headers });
            };
            log.write_versions(&mut self.buffers.0, &mut write);
            let Some(store) = stores.get(log.id).filter(|store| store.is_dirty()) else { continue };
            let (key, value) = &mut self.buffers;
            let mut changelog = Changelog::new(ChangelogKey::ENTRY, (key, value), &mut write);
            let written = store.write_changes(&mut changelog);
            written.map_err(|cause| ProcessError::Encode { to: log.name.clone(), cause })?;
        }
        if let Some(progress) = &mut self.progress {
            progress.write(time, (partition, timestamp), output);
        }
        Ok(())
    }

    pub(super) fn committed(&mut self) {
        for log in self.stores.iter_mut().filter(|log| log.is_version_written) {
            log.missing.clear();
        }
        if let Some(progress) = &mut self.progress {
            progress.committed();
        }
    }

    pub(super) fn rolled_back(&mut self) {
        self.stores.iter_mut().for_each(|log| log.is_version_written = false);
        if let Some(progress) = &mut self.progress {
            progress.rolled_back();
        }
    }

    /// Restores one record of a changelog. If it is about event time, returns its content, and the topic that it
    /// is about.
    pub(super) fn restore<'k>(
        &mut self,
        stores: &mut Stores,
        store: StoreId,
        key: &'k [u8],
        value: Option<&[u8]>,
    ) -> Result<Option<(&'k [u8], Vec<Mark>)>, ProcessError> {
        let Some(log) = self.stores.iter_mut().find(|log| log.id == store) else {
            return Err(ProcessError::BadChangelog { store: String::new(), cause: None });
        };
        let bad = || ProcessError::BadChangelog { store: log.name.clone(), cause: None };
        match ChangelogKey::decode(key).ok_or_else(bad)? {
            ChangelogKey::Entry(key) => {
                log.has_restored = true;
                let restored = stores.get_dyn_mut(store).ok_or_else(bad)?.restore(key, value);
                restored.map(|()| None).map_err(|error| match error {
                    RestoreError::Key => bad(),
                    RestoreError::Value(cause) => {
                        ProcessError::BadChangelog { store: log.name.clone(), cause: Some(cause) }
                    }
                })
            }
            ChangelogKey::Progress { topic, .. } => {
                log.has_restored = true;
                let Some(value) = value else { return Ok(None) };
                let marks = decode_marks(value).ok_or_else(bad)?;
                let is_latest = self.progress.as_mut().is_none_or(|progress| progress.takes(log.sink, key));
                Ok(is_latest.then_some((topic, marks)))
            }
            ChangelogKey::Version { of } => log.check_version(of, value).map(|()| None),
            ChangelogKey::Unversioned => Err(log.other_version(&log.name, None)),
        }
    }

    /// Checks that every changelog with records also has the versions.
    pub(super) fn check_versions(&self) -> Result<(), ProcessError> {
        let unversioned = self.stores.iter().find(|log| log.has_restored && log.missing.contains(&log.name));
        unversioned.map_or(Ok(()), |log| Err(log.other_version(&log.name, None)))
    }
}

/// Announces to a store which of its entries are restored next, by the keys of its changelog.
pub(super) fn expect_restored<'k>(stores: &Stores, store: StoreId, keys: impl Iterator<Item = &'k [u8]>) {
    let Some(store) = stores.get(store) else { return };
    let entry = |key| match ChangelogKey::decode(key) {
        Some(ChangelogKey::Entry(key)) => Some(key),
        Some(_) | None => None,
    };
    let mut entries = [&[][..]; AHEAD];
    let count = entries.iter_mut().zip(keys.filter_map(entry)).map(|(place, key)| *place = key).count();
    store.expect_restored(&entries[..count]);
}

impl StoreLog {
    fn new(topology: &Topology, id: StoreId, sink: SinkId) -> Self {
        let spec = &topology.stores()[id.0];
        Self {
            id,
            name: spec.name.clone(),
            sink,
            versions: BTreeMap::from([(spec.name.clone(), spec.version.clone())]),
            missing: BTreeSet::from([spec.name.clone()]),
            is_version_written: false,
            has_restored: false,
        }
    }

    fn write_versions(&mut self, key: &mut Vec<u8>, write: &mut dyn FnMut(&[u8], Option<&[u8]>)) {
        if std::mem::replace(&mut self.is_version_written, true) {
            return;
        }
        for (of, version) in self.versions.iter().filter(|(of, _)| self.missing.contains(*of)) {
            ChangelogKey::Version { of: of.as_bytes() }.encode_into(key);
            write(key, Some(version.as_bytes()));
        }
    }

    fn check_version(&mut self, of: &[u8], value: Option<&[u8]>) -> Result<(), ProcessError> {
        let of = String::from_utf8_lossy(of);
        let found = value.map(String::from_utf8_lossy);
        match (self.versions.get(of.as_ref()), found) {
            (Some(expected), Some(found)) if found != expected.as_str() => {
                return Err(self.other_version(&of, Some(found.into_owned())));
            }
            // The topic is not read any more, or is read by another task.
            (None, _) | (_, None) => return Ok(()),
            (Some(_), Some(_)) => {}
        }
        self.missing.remove(of.as_ref());
        Ok(())
    }

    fn other_version(&self, of: &str, found: Option<String>) -> ProcessError {
        let (of, expected) = (of.to_owned(), self.versions.get(of).cloned().unwrap_or_default());
        ProcessError::OtherVersion { of, found, expected }
    }
}
