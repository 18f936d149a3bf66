//! The places at which the inputs of a job start, where the group has no committed offset.
//!
//! An input starts where its stream says, or else where `auto.offset.reset` says. A partition that has appeared while
//! the job was there already starts at its first record, whatever the input's place is: all of its records came after
//! the start of the job. Two things tell that a partition is such a one, see [`Starts::known`].
//!
//! A place that depends on when it was looked up, such as the end of a log, is committed at once. Otherwise a worker
//! that died before its first record would start behind the records that came meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kafka_wire::admin::OffsetSpec;
use kafka_wire::cluster::TopicPartition;
use kafka_wire::types::{Offset, TimestampMs};

use super::end::Fatal;
use crate::topology::{ResetPolicy, SourceKind, SourceSpec, StartingOffsets};

/// The settings for the places at which inputs start.
#[derive(Clone, Debug)]
pub struct Starts {
    /// `auto.offset.reset`: the place for inputs that name none. [`ResetPolicy::None`] is an error that names the
    /// partition.
    pub policy: ResetPolicy,
    /// The partitions that start where their inputs say; all others start at their first records. They are those that
    /// were there at the start of the process, but for those of an input of which the group had offsets by then, though
    /// not of these: they were added while no process was there. `None`: every partition.
    pub known: Option<Arc<BTreeSet<TopicPartition>>>,
}

/// Every partition starts at its first record, if its input does not say otherwise.
impl Default for Starts {
    fn default() -> Self {
        Self { policy: ResetPolicy::Earliest, known: None }
    }
}

/// The place at which an input starts.
#[derive(Clone, Debug)]
pub(super) struct Start {
    place: StartingOffsets,
    group: String,
}

impl Starts {
    /// The place at which a partition of a source starts.
    pub(super) fn of(&self, source: Option<&SourceSpec>, input: &TopicPartition, group: &str) -> Start {
        let declared = || {
            let source = source.filter(|source| source.kind == SourceKind::External)?;
            let is_new = self.known.as_ref().is_some_and(|known| !known.contains(input));
            let by_policy = || StartingOffsets::Committed(self.policy);
            (!is_new).then(|| source.extent.start.clone().unwrap_or_else(by_policy))
        };
        Start { place: declared().unwrap_or(StartingOffsets::Earliest), group: group.to_owned() }
    }
}

impl Start {
    /// The queries that tell the place. `wall` is the time of day.
    pub(super) fn queries(&self, wall: TimestampMs) -> Vec<OffsetSpec> {
        match &self.place {
            StartingOffsets::Timestamp(timestamp) => vec![OffsetSpec::Timestamp(*timestamp), OffsetSpec::Latest],
            StartingOffsets::Offsets(_, policy) => {
                [vec![OffsetSpec::Earliest, OffsetSpec::Latest], by_policy(*policy, wall)].concat()
            }
            place => place.policy().map_or_else(Vec::new, |policy| by_policy(policy, wall)),
        }
    }

    /// The offset of the place, by the results of the queries in their order, and whether a later look may find
    /// another one.
    ///
    /// # Errors
    /// A person has to say where to start.
    pub(super) fn offset(&self, input: &TopicPartition, listed: &[Option<Offset>]) -> Result<(Offset, bool), Fatal> {
        let group = || self.group.clone();
        let first_known = |listed: &[Option<Offset>]| listed.iter().copied().flatten().next();
        let offset = match &self.place {
            StartingOffsets::Offsets(offsets, _) => {
                let (bounds, by_policy) = listed.split_at_checked(2).unwrap_or((listed, &[]));
                let [first, end] = [0, 1].map(|index| bounds.get(index).copied().flatten().unwrap_or_default());
                let wanted = offsets.get(input).copied();
                match wanted.filter(|offset| (first..=end).contains(offset)).or_else(|| first_known(by_policy)) {
                    Some(offset) => offset,
                    None => {
                        let (group, partition) = (group(), input.clone());
                        return Err(match wanted {
                            Some(offset) => Fatal::StartOutsideLog { partition, offset, first, end },
                            None => Fatal::NoStart { group, partition },
                        });
                    }
                }
            }
            _ => first_known(listed).ok_or_else(|| Fatal::NoStart { group: group(), partition: input.clone() })?,
        };
        Ok((offset, !self.place.is_lasting()))
    }
}

fn by_policy(policy: ResetPolicy, wall: TimestampMs) -> Vec<OffsetSpec> {
    match policy {
        ResetPolicy::None => Vec::new(),
        ResetPolicy::Earliest => vec![OffsetSpec::Earliest],
        ResetPolicy::Latest => vec![OffsetSpec::Latest],
        ResetPolicy::ByDuration(age) => vec![OffsetSpec::Timestamp(before(wall, age)), OffsetSpec::Latest],
    }
}

/// The time that is `age` before `wall`, not before 1970, because brokers take no earlier one.
fn before(wall: TimestampMs, age: Duration) -> TimestampMs {
    let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    TimestampMs(wall.0.saturating_sub(age).max(0))
}

#[cfg(test)]
mod tests {
    use kafka_wire::types::PartitionId;

    use super::*;
    use crate::watermark::Watermark;

    fn source(start: StartingOffsets) -> SourceSpec {
        let mut source = SourceSpec::external("t", Watermark::default());
        source.extent.start = Some(start);
        source
    }

    fn input() -> TopicPartition {
        TopicPartition::new("t", PartitionId(0))
    }

    #[track_caller]
    fn check(start: StartingOffsets, queries: &[OffsetSpec], listed: &[Option<i64>], expected: Result<i64, &str>) {
        let start = Starts::default().of(Some(&source(start)), &input(), "group");
        assert_eq!(start.queries(TimestampMs(5_000)), queries);
        let listed: Vec<_> = listed.iter().map(|offset| offset.map(Offset)).collect();
        match (start.offset(&input(), &listed), expected) {
            (Ok((offset, _)), Ok(expected)) => assert_eq!(offset, Offset(expected)),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (found, expected) => panic!("{found:?} is not {expected:?}"),
        }
    }

    #[test]
    fn each_place_is_found_by_its_queries() {
        use OffsetSpec::{Earliest, Latest, Timestamp};
        check(StartingOffsets::Earliest, &[Earliest], &[Some(3)], Ok(3));
        check(StartingOffsets::Latest, &[Latest], &[Some(9)], Ok(9));
        let at = StartingOffsets::Timestamp(TimestampMs(7));
        check(at.clone(), &[Timestamp(TimestampMs(7)), Latest], &[Some(4), Some(9)], Ok(4));
        check(at, &[Timestamp(TimestampMs(7)), Latest], &[None, Some(9)], Ok(9));
        let by_age = StartingOffsets::Committed(ResetPolicy::ByDuration(Duration::from_secs(2)));
        check(by_age, &[Timestamp(TimestampMs(3_000)), Latest], &[Some(5), Some(9)], Ok(5));
        let long_ago = StartingOffsets::Committed(ResetPolicy::ByDuration(Duration::MAX));
        check(long_ago, &[Timestamp(TimestampMs(0)), Latest], &[None, Some(9)], Ok(9));
        check(StartingOffsets::Committed(ResetPolicy::None), &[], &[], Err("group group has no offset"));
    }

    #[test]
    fn an_exact_offset_outside_of_the_log_is_an_error_or_goes_by_the_policy() {
        use OffsetSpec::{Earliest, Latest};
        let exact = |offset, policy| StartingOffsets::offsets([("t", 0, offset)], policy);
        let strict = ResetPolicy::None;
        let bounds = [Some(3), Some(9)];
        for offset in [3, 5, 9] {
            check(exact(offset, strict), &[Earliest, Latest], &bounds, Ok(offset));
        }
        for offset in [2, 10] {
            check(exact(offset, strict), &[Earliest, Latest], &bounds, Err("from 3 to 9"));
        }
        let lenient = exact(2, ResetPolicy::Earliest);
        check(lenient, &[Earliest, Latest, Earliest], &[Some(3), Some(9), Some(3)], Ok(3));
        let of_another = StartingOffsets::offsets([("t", 1, 5)], strict);
        check(of_another, &[Earliest, Latest], &bounds, Err("has no offset"));
    }

    #[test]
    fn a_partition_that_came_later_starts_at_its_first_record() {
        let known = Some(Arc::new(BTreeSet::from([TopicPartition::new("t", PartitionId(1))])));
        let starts = Starts { policy: ResetPolicy::Latest, known };
        let of = |source: Option<&SourceSpec>| starts.of(source, &input(), "group").queries(TimestampMs(0));
        assert_eq!(of(Some(&source(StartingOffsets::Latest))), [OffsetSpec::Earliest]);
        let starts = Starts { policy: ResetPolicy::Latest, known: None };
        let by_policy = SourceSpec::external("t", Watermark::default());
        assert_eq!(starts.of(Some(&by_policy), &input(), "group").queries(TimestampMs(0)), [OffsetSpec::Latest]);
        assert_eq!(starts.of(None, &input(), "group").queries(TimestampMs(0)), [OffsetSpec::Earliest]);
    }
}
