//! The watermark of one source partition.

use std::time::Duration;

use kafka_wire::time::Moment;
use kafka_wire::types::TimestampMs;

use super::NO_WATERMARK;

/// The watermark policy of a source. It applies to each partition by itself, because each has its own order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermark {
    out_of_order_ms: i64,
    idle_after: Option<Duration>,
}

impl Watermark {
    /// The watermark trails the greatest timestamp seen by `out_of_order`: a record that comes at most that much after
    /// a later one is not late. A partition is idle after 30 s, unless set otherwise.
    #[must_use]
    pub fn bounded(out_of_order: Duration) -> Self {
        let out_of_order_ms = i64::try_from(out_of_order.as_millis()).unwrap_or(i64::MAX);
        Self { out_of_order_ms, idle_after: Some(Duration::from_secs(30)) }
    }

    /// A partition without records for this long (by the wall clock) no longer holds back the others, as long as
    /// nothing new is in its log: before a watermark passes the partition by, the end of its log is looked up.
    ///
    /// A record that comes into the log after the others went on without the partition may be late.
    #[must_use]
    pub const fn idle_after(self, idle_after: Duration) -> Self {
        Self { idle_after: Some(idle_after), ..self }
    }

    /// The watermark policy of a partition that two streams read: it trails by the greater disorder, and is idle
    /// after the longer time.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let out_of_order_ms = self.out_of_order_ms.max(other.out_of_order_ms);
        let idle_after = self.idle_after.zip(other.idle_after).map(|(one, other)| one.max(other));
        Self { out_of_order_ms, idle_after }
    }

    /// A partition without records holds back all windows until it has some.
    #[must_use]
    pub const fn never_idle(self) -> Self {
        Self { idle_after: None, ..self }
    }
}

/// No disorder within a partition, idle after 30 s.
impl Default for Watermark {
    fn default() -> Self {
        Self::bounded(Duration::ZERO)
    }
}

/// Watermark with bounded out-of-orderness over the timestamps of one partition.
#[derive(Clone, Debug)]
pub struct Generator {
    policy: Watermark,
    watermark: TimestampMs,
    is_idle: bool,
    /// Time of the last record; until one has come, the start of the generator.
    active_at: Option<Moment>,
}

impl Generator {
    /// Makes a generator without records.
    #[must_use]
    pub const fn new(policy: Watermark) -> Self {
        Self { policy, watermark: NO_WATERMARK, is_idle: false, active_at: None }
    }

    /// Goes on from the watermark of an earlier run.
    pub fn restore(&mut self, watermark: TimestampMs) {
        self.watermark = self.watermark.max(watermark);
    }

    /// Notes that records came, of which the greatest timestamp is `max_timestamp`.
    pub fn observe(&mut self, max_timestamp: TimestampMs, now: Moment) {
        let reached = TimestampMs(max_timestamp.0.saturating_sub(self.policy.out_of_order_ms));
        self.watermark = self.watermark.max(reached);
        self.is_idle = false;
        self.active_at = Some(now);
    }

    /// Starts the idle clock of a partition that has had no record, unless it runs.
    pub fn start(&mut self, now: Moment) {
        self.active_at.get_or_insert(now);
    }

    /// Lets time pass without records. The first call starts the idle clock of a partition that has had none.
    pub fn tick(&mut self, now: Moment) {
        let since = *self.active_at.get_or_insert(now);
        self.is_idle |= self.policy.idle_after.is_some_and(|idle_after| now.since(since) >= idle_after);
    }

    /// The time at which [`Generator::tick`] may next change something: at once, while the idle clock has not started.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Moment> {
        let idle_after = self.policy.idle_after.filter(|_| !self.is_idle)?;
        Some(self.active_at.map_or(Moment::ZERO, |active_at| active_at + idle_after))
    }

    /// The watermark.
    #[must_use]
    pub const fn watermark(&self) -> TimestampMs {
        self.watermark
    }

    /// Whether the partition is idle, so that it holds no other back.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.is_idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watermark_trails_and_never_goes_back() {
        let mut generator = Generator::new(Watermark::bounded(Duration::from_millis(5)));
        assert_eq!(generator.watermark(), NO_WATERMARK);
        generator.observe(TimestampMs(100), Moment::ZERO);
        generator.observe(TimestampMs(40), Moment::ZERO);
        assert_eq!(generator.watermark(), TimestampMs(95));
        generator.observe(TimestampMs(i64::MIN), Moment::ZERO);
        assert_eq!(generator.watermark(), TimestampMs(95));
    }

    #[test]
    fn silence_makes_idle_and_a_record_ends_it() {
        let policy = Watermark::default().idle_after(Duration::from_millis(10));
        let mut generator = Generator::new(policy);
        assert_eq!(
            generator.next_timeout(),
            Some(Moment::ZERO),
            "a partition that never has records must fall idle too"
        );
        generator.tick(Moment::from_millis(100));
        assert_eq!(generator.next_timeout(), Some(Moment::from_millis(110)));
        generator.tick(Moment::from_millis(109));
        assert!(!generator.is_idle());
        generator.tick(Moment::from_millis(110));
        assert!(generator.is_idle() && generator.next_timeout().is_none());
        generator.observe(TimestampMs(1), Moment::from_millis(200));
        assert!(!generator.is_idle());
        assert_eq!(generator.next_timeout(), Some(Moment::from_millis(210)));
    }

    #[test]
    fn never_idle_is_never_idle() {
        let mut generator = Generator::new(Watermark::default().never_idle());
        generator.tick(Moment::ZERO);
        generator.tick(Moment::from_millis(u64::MAX));
        assert!(!generator.is_idle() && generator.next_timeout().is_none());
    }
}
