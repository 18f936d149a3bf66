//! The contributor for which event time waits.

use kafka_wire::types::TimestampMs;

use super::{HeldBack, SourcePartitions, Task};
use crate::watermark::NO_WATERMARK;

impl Task {
    /// Returns the contributor that holds the watermark back most; `None` if all contributors have the same watermark.
    #[must_use]
    pub fn held_back(&self) -> Option<HeldBack> {
        let (contributor, watermark) = self.state.time.held_by()?;
        let by = self.sources.name(contributor, &self.inputs);
        Some(HeldBack { by, watermark: watermark.filter(|watermark| *watermark > NO_WATERMARK) })
    }

    /// The cause that holds event time back, in words: the source partitions that hold it back most, or the lack
    /// of any later record.
    #[must_use]
    pub fn waits_for(&self) -> String {
        let Some((contributor, watermark)) = self.state.time.held_by() else {
            return "a record with a later event time in any partition of its sources".to_owned();
        };
        let (own, above) = self.sources.of(contributor);
        let names: Vec<_> = own.iter().chain(&above).map(SourcePartitions::to_string).collect();
        let names = names.join(", ");
        match watermark.filter(|watermark| *watermark > NO_WATERMARK) {
            Some(TimestampMs(at)) => format!("a record of {names} later than {at}, or until that counts as idle"),
            None => format!("the first record of {names}, or until that counts as idle"),
        }
    }
}
