//! Lines of text with event times, spread over partitions: the input of a word count.
//!
//! Words follow a skewed distribution, so that a few keys are hot and many are rare. Event time runs forward at a
//! steady rate over all partitions together; within a partition a line may be late by a bounded time.

use kafka_wire::rng::Rng;
use kafka_wire::types::{PartitionId, TimestampMs};

/// The parameters of the lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinesConfig {
    /// Seed of every word, partition and time.
    pub seed: u64,
    /// Number of partitions; lines go to `0..partitions`.
    pub partitions: u32,
    /// Words per line.
    pub words_per_line: u32,
    /// Number of different words.
    pub vocabulary_size: u64,
    /// Event time of the first line.
    pub start: TimestampMs,
    /// Step of event time between two consecutive lines, over all partitions, in milliseconds.
    pub step_ms: i64,
    /// Most milliseconds by which the event time of a line lies before its turn; 0 keeps each partition in order.
    pub disorder_max_ms: u64,
}

impl Default for LinesConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            partitions: 1,
            words_per_line: 10,
            vocabulary_size: 1_000,
            start: TimestampMs(1_700_000_000_000),
            step_ms: 5,
            disorder_max_ms: 0,
        }
    }
}

/// A record of the input topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The partition that it is for.
    pub partition: PartitionId,
    /// Its event time.
    pub timestamp: TimestampMs,
    /// Words separated by blanks and punctuation, some capitalised.
    pub text: String,
}

/// Generates [`Line`]s without end.
#[derive(Clone, Debug)]
pub struct Lines {
    config: LinesConfig,
    rng: Rng,
    turn: i64,
}

impl Lines {
    /// Makes a generator whose first line has the event time `config.start`.
    #[must_use]
    pub fn new(config: LinesConfig) -> Self {
        let rng = Rng::from_seed(config.seed);
        Self { config, rng, turn: 0 }
    }

    fn word(&mut self) -> String {
        // The bound is drawn first and the word below it: word k is then drawn with a frequency that falls with k.
        let bound = self.rng.below(self.config.vocabulary_size) + 1;
        let number = self.rng.below(bound);
        match self.rng.below(8) {
            0 => format!("Word{number}"),
            _ => format!("word{number}"),
        }
    }

    fn separator(&mut self) -> &'static str {
        match self.rng.below(12) {
            0 => ", ",
            1 => ". ",
            2 => " - ",
            _ => " ",
        }
    }
}

impl Iterator for Lines {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        let partition = i32::try_from(self.rng.below(u64::from(self.config.partitions))).expect("partitions are few");
        let late = i64::try_from(self.rng.below(self.config.disorder_max_ms + 1)).expect("disorder is milliseconds");
        let timestamp = self.config.start.0 + self.turn * self.config.step_ms - late;
        self.turn += 1;

        let mut text = self.word();
        for _ in 1..self.config.words_per_line {
            text.push_str(self.separator());
            text.push_str(&self.word());
        }
        Some(Line { partition: PartitionId(partition), timestamp: TimestampMs(timestamp), text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_lines() {
        let config = LinesConfig { seed: 7, partitions: 4, disorder_max_ms: 50, ..LinesConfig::default() };
        let lines: Vec<Line> = Lines::new(config.clone()).take(100).collect();
        assert_eq!(lines, Lines::new(config).take(100).collect::<Vec<_>>());
        assert_ne!(lines, Lines::new(LinesConfig::default()).take(100).collect::<Vec<_>>());
    }

    #[test]
    fn every_partition_gets_lines_and_none_is_later_than_the_bound() {
        let config = LinesConfig { partitions: 4, disorder_max_ms: 50, ..LinesConfig::default() };
        let lines: Vec<Line> = Lines::new(config.clone()).take(200).collect();
        for partition in 0..4 {
            assert!(lines.iter().any(|line| line.partition == PartitionId(partition)));
        }
        for (turn, line) in (0..).zip(&lines) {
            let due = config.start.0 + turn * config.step_ms;
            assert!((due - 50..=due).contains(&line.timestamp.0));
            assert!(line.text.split_whitespace().count() >= 10);
        }
    }
}
