//! CPU time: of this process, and of everything on the machine that does not belong to the benchmark.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// User and system time of this process so far, over all threads, those that have ended included.
pub(crate) fn used() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(used.tv_sec.unsigned_abs(), u32::try_from(used.tv_nsec).unwrap_or(0))
}

/// The load that other programs put on the machine, measured from a moment on.
pub(crate) struct Others {
    since: Instant,
    ticks: u64,
}

impl Others {
    pub(crate) fn watch() -> Self {
        Self { since: Instant::now(), ticks: ticks_of_others() }
    }

    /// The number of cores that others have kept busy since then, on average.
    pub(crate) fn cores(&self) -> f64 {
        let ticks = ticks_of_others().saturating_sub(self.ticks);
        ticks as f64 / TICKS_PER_SECOND / self.since.elapsed().as_secs_f64()
    }
}

/// Busy ticks of all processors, without those of this process and its descendants.
///
/// Source: proc_stat(5), proc_pid_stat(5).
fn ticks_of_others() -> u64 {
    let stat = fs::read_to_string("/proc/stat").expect("Linux has /proc");
    // user, nice, system, idle, iowait, irq, softirq
    let fields: Vec<u64> = stat.split_ascii_whitespace().skip(1).map_while(|field| field.parse().ok()).collect();
    let busy: u64 = [0, 1, 2, 5, 6].iter().filter_map(|field| fields.get(*field)).sum();
    busy.saturating_sub(own_ticks())
}

fn own_ticks() -> u64 {
    let entries = fs::read_dir("/proc").expect("Linux has /proc").flatten();
    let processes: BTreeMap<u32, Process> = entries
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, Process::read(&entry.path())?)))
        .collect();
    let own = std::process::id();
    let is_own = |process: &u32| {
        std::iter::successors(Some(*process), |process| Some(processes.get(process)?.parent)).any(|it| it == own)
    };
    processes.iter().filter(|(process, _)| is_own(process)).map(|(_, process)| process.ticks).sum()
}

struct Process {
    parent: u32,
    /// Its own, and those of its children that it has waited for.
    ticks: u64,
}

impl Process {
    fn read(directory: &std::path::Path) -> Option<Self> {
        let stat = fs::read_to_string(directory.join("stat")).ok()?;
        // The name of the program, in parentheses, may contain anything.
        let (_, behind_name) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = behind_name.split_ascii_whitespace().collect();
        let ticks = fields.get(11..15)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
        Some(Self { parent: fields.get(1)?.parse().ok()?, ticks })
    }
}

/// On every Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;
