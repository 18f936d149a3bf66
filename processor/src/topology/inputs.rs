//! The settings of an input: where it starts and ends, and which partitions it reads.

use kafka_wire::types::PartitionId;

use super::Stream;
use super::graph::{NodeKind, Reads};
use super::offsets::{Extent, StartingOffsets, StoppingOffsets};
use crate::operator::Source;
use crate::serde::Serde;

impl<KS: Serde, VS: Serde, T> Stream<KS, Source<KS, VS, T>> {
    /// Sets the place at which the job begins to read the partitions of this input; without it, it is the one of
    /// `auto.offset.reset`, by default the first record.
    ///
    /// It applies to an input for which the group, which is the application id, has no offset. The first process that
    /// starts looks up the places of all partitions and commits them before it works, however many processes start
    /// at once: a job that starts again goes on where it was, and a place such as the end of a log counts once. To
    /// begin anew, take another application id, or delete the group's offsets and the job's topics. A partition, or a
    /// topic that matches a pattern, that comes later starts at its first record. The place is that of the topic: other
    /// streams of the job that read it, and name none, start there too.
    ///
    /// ```
    /// use processor::{ResetPolicy, StartingOffsets, TimestampMs, Topology, Utf8};
    ///
    /// let mut job = Topology::builder("replay");
    /// // A replay from a time on, which goes over into live records by itself.
    /// job.stream("clicks", Utf8)
    ///     .starting_offsets(StartingOffsets::Timestamp(TimestampMs(1_700_000_000_000)))
    ///     .to("clicks-again", processor::Raw, Utf8);
    /// // From known offsets on; a partition that is not named starts at its end.
    /// let offsets = StartingOffsets::offsets([("orders", 0, 1_234), ("orders", 1, 987)], ResetPolicy::Latest);
    /// job.stream("orders", Utf8).starting_offsets(offsets).to("orders-again", processor::Raw, Utf8);
    /// # job.build().unwrap();
    /// ```
    ///
    /// Flink calls these places `OffsetsInitializer`, Kafka Streams `AutoOffsetReset`.
    pub fn starting_offsets(self, start: StartingOffsets) -> Self {
        self.with_extent(|extent| extent.start = Some(start))
    }

    /// Ends this input at a place: the records from there on are not read.
    ///
    /// An input that has ended holds event time back no longer. When all inputs of a task have ended, its windows
    /// close; when those of all tasks have, everything is committed and the job ends, as with
    /// [`App::bounded`](crate::App::bounded), which ends all inputs that have no bound of their own at the ends of
    /// their logs. Partitions that are added later are not read. A job that is killed goes on where it was when it is
    /// started again, and each result comes out once. Other streams of the job that read the same topic, and have no
    /// bound, end there too.
    ///
    /// [`StoppingOffsets::Latest`] is chosen once for the job, and kept with the offsets of its group: a process that
    /// starts later, or again, ends at the same place. So a job that has ended has nothing to do when it is started
    /// again; [`App::bounded`](crate::App::bounded) looks the ends up at each start. What a timestamp stands for is
    /// looked up by each process when it starts. It is the same for all as long as the log has a record of that time.
    pub fn bounded(self, stop: StoppingOffsets) -> Self {
        self.with_extent(|extent| extent.stop = Some(stop))
    }

    /// Reads only these partitions of its topics; those that do not exist count for nothing.
    ///
    /// All records of a key must reach the same step with state, so `build()` refuses it for an input that reaches
    /// state without a shuffle, and names the step.
    pub fn partitions(self, partitions: impl IntoIterator<Item = i32>) -> Self {
        let partitions = partitions.into_iter().map(PartitionId).collect();
        self.with_extent(|extent| extent.partitions = Some(partitions))
    }

    fn with_extent(self, set: impl FnOnce(&mut Extent)) -> Self {
        let this = self.alone();
        if let Some(NodeKind::Source(Reads { extent, .. })) =
            this.graph.borrow_mut().nodes.get_mut(this.node.0).map(|node| &mut node.kind)
        {
            set(extent);
        }
        this
    }
}
