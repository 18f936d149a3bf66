//! The costs of a row, as programs print them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::counted::{Allocations, start_counting, stop_counting};
use crate::cpu;

/// The costs of some records.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    pub(crate) records: u64,
    pub(crate) cpu_ns: u64,
    pub(crate) wall_ns: u64,
    /// Number and bytes, where they are counted.
    pub(crate) allocations: Option<(u64, u64)>,
    /// 50th and 99th percentile, where something is timed.
    pub(crate) percentiles_us: Option<(u64, u64)>,
    /// Of the library, if the program tells.
    pub(crate) version: Option<String>,
}

impl Measured {
    /// Reads the line that a program has printed: NAME=VALUE, with spaces between them.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let fields: BTreeMap<&str, &str> = line.split_ascii_whitespace().filter_map(|it| it.split_once('=')).collect();
        let number = |name: &str| fields.get(name)?.parse().ok();
        Some(Self {
            records: number("records")?,
            cpu_ns: number("cpu_ns")?,
            wall_ns: number("wall_ns")?,
            allocations: number("allocations").zip(number("allocated_bytes")),
            percentiles_us: number("p50_us").zip(number("p99_us")),
            version: fields.get("version").map(|&version| version.to_owned()),
        })
    }

    /// The line that [`Self::parse`] reads.
    pub(crate) fn line(&self) -> String {
        let mut line = format!("records={} cpu_ns={} wall_ns={}", self.records, self.cpu_ns, self.wall_ns);
        if let Some((count, bytes)) = self.allocations {
            line += &format!(" allocations={count} allocated_bytes={bytes}");
        }
        if let Some((p50, p99)) = self.percentiles_us {
            line += &format!(" p50_us={p50} p99_us={p99}");
        }
        line
    }

    pub(crate) fn cpu_ns_a_record(&self) -> f64 {
        self.cpu_ns as f64 / self.records as f64
    }

    pub(crate) fn records_a_second(&self) -> f64 {
        self.records as f64 / self.wall_ns as f64 * 1e9
    }
}

/// Counts from its start on.
pub(crate) struct Counter {
    cpu: Duration,
    wall: Instant,
}

impl Counter {
    pub(crate) fn start() -> Self {
        start_counting();
        Self { cpu: cpu::used(), wall: Instant::now() }
    }

    pub(crate) fn stop(self, records: u64) -> Measured {
        let (cpu, wall) = (cpu::used() - self.cpu, self.wall.elapsed());
        let Allocations { count, bytes } = stop_counting();
        let ns = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let allocations = Some((count, bytes));
        Measured { records, cpu_ns: ns(cpu), wall_ns: ns(wall), allocations, ..Measured::default() }
    }
}

/// The 50th and the 99th percentile, in microseconds.
pub(crate) fn percentiles_us(mut took: Vec<Duration>) -> Option<(u64, u64)> {
    took.sort_unstable();
    let at = |percent: usize| {
        let place = took.len().checked_sub(1)? * percent / 100;
        took.get(place).map(|took| took.as_micros().try_into().unwrap_or(u64::MAX))
    };
    at(50).zip(at(99))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_printed() {
        let (allocations, percentiles_us) = (Some((3, 400)), Some((5, 60)));
        let line = Measured { records: 10, cpu_ns: 20, wall_ns: 40, allocations, percentiles_us, version: None }.line();
        let read = Measured::parse(&format!("{line} version=1.2")).unwrap();
        assert_eq!(read.line(), line);
        assert_eq!((read.version.as_deref(), read.cpu_ns_a_record()), (Some("1.2"), 2.0));
        assert!(Measured::parse("records=10 cpu_ns=20").is_none());
    }

    #[test]
    fn percentiles_are_those_of_a_sorted_list() {
        let took = (1..=200).rev().map(Duration::from_micros).collect();
        assert_eq!(percentiles_us(took), Some((100, 198)));
        assert_eq!(percentiles_us(Vec::new()), None);
    }
}
