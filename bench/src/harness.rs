//! Measures the time of several ways to do one thing, in turns.
//!
//! A round gives every contender a burst of a few milliseconds, in an order that moves on by one from round
//! to round; the median of a burst's runs is the contender's time in that round. The report has the median over
//! the rounds, and as a ratio the median of the ratios within the rounds: other work on the machine disturbs
//! neighbours in a round alike.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// One of the ways, with the name of its column. Its result is dropped, but the compiler must assume that it is used.
pub(crate) struct Contender<'a> {
    pub(crate) name: &'static str,
    run: Box<dyn FnMut() -> u64 + 'a>,
}

impl Contender<'_> {
    pub(crate) fn run(&mut self) -> u64 {
        (self.run)()
    }
}

pub(crate) fn contender<'a>(name: &'static str, run: impl FnMut() -> u64 + 'a) -> Contender<'a> {
    Contender { name, run: Box::new(run) }
}

/// The column of our own code; every measure has it, and the one that its target names.
pub(crate) const OURS: &str = "ours";

/// The unit of a figure.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    /// Nanoseconds per item, of which a run has this many.
    NsEach(usize),
    /// Megabytes per second, of this many bytes in a run.
    MegabytesPerSecond(usize),
}

impl Unit {
    fn figure(self, run: Duration) -> f64 {
        match self {
            Self::NsEach(count) => run.as_secs_f64() * 1e9 / count as f64,
            Self::MegabytesPerSecond(bytes) => bytes as f64 / run.as_secs_f64() / 1e6,
        }
    }
}

/// The result to reach, relative to which column.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// Our time is at most the column's times this.
    TimeAtMost(f64, &'static str),
    /// Our speed is at least the column's times this.
    SpeedAtLeast(f64, &'static str),
}

impl Target {
    fn column(self) -> &'static str {
        match self {
            Self::TimeAtMost(_, column) | Self::SpeedAtLeast(_, column) => column,
        }
    }

    /// From our time divided by the column's: the ratio as the target puts it, and the judgement in words.
    fn judge(self, time_ratio: f64) -> (f64, String) {
        let verdict = |met: bool, sign: &str, limit: f64| {
            format!("{sign} {limit:.2} x {}: {}", self.column(), if met { "met" } else { "MISSED" })
        };
        match self {
            Self::TimeAtMost(limit, _) => (time_ratio, verdict(time_ratio <= limit, "time <=", limit)),
            Self::SpeedAtLeast(limit, _) => (1.0 / time_ratio, verdict(1.0 / time_ratio >= limit, "speed >=", limit)),
        }
    }
}

/// One row of a table.
pub(crate) struct Measure<'a> {
    pub(crate) name: String,
    pub(crate) unit: Unit,
    pub(crate) target: Target,
    pub(crate) contenders: Vec<Contender<'a>>,
}

/// Prints one table, measure by measure; measures whose name lacks `filter` are skipped.
pub(crate) struct Table<'a> {
    pub(crate) title: &'static str,
    pub(crate) columns: &'static [&'static str],
    pub(crate) filter: &'a str,
    pub(crate) rounds: usize,
    is_begun: bool,
}

impl<'a> Table<'a> {
    pub(crate) fn new(title: &'static str, columns: &'static [&'static str], filter: &'a str, rounds: usize) -> Self {
        Self { title, columns, filter, rounds, is_begun: false }
    }

    /// Whether a row of this name is wanted: ask before an expensive set-up.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.title.contains(self.filter) || name.contains(self.filter)
    }

    pub(crate) fn measure(&mut self, mut measure: Measure<'_>) {
        if !self.wants(&measure.name) {
            return;
        }
        let times = in_turns(&mut measure.contenders, self.rounds);
        let place = |name: &str| measure.contenders.iter().position(|contender| contender.name == name);
        let cells: Vec<String> = self
            .columns
            .iter()
            .map(|column| place(column).map_or("-".to_owned(), |at| cell(measure.unit.figure(median(&times[at])))))
            .collect();
        let ours = place(OURS).expect("every measure has ours");
        let other = place(measure.target.column()).expect("every measure has what its target names");
        let ratios: Vec<f64> = std::iter::zip(&times[ours], &times[other])
            .map(|(ours, other)| ours.as_secs_f64() / other.as_secs_f64())
            .collect();
        let (ratio, verdict) = measure.target.judge(median_of_ratios(ratios));
        self.row(&measure.name, &cells, &format!("{ratio:>6.2}  {verdict}"));
    }

    /// Prints a row that was measured in another way.
    pub(crate) fn row(&mut self, name: &str, cells: &[String], end: &str) {
        if !self.is_begun {
            self.is_begun = true;
            let columns: String = self.columns.iter().map(|column| format!("{column:>15}")).collect();
            println!("\n{:<46}{columns}   ratio  target", self.title);
        }
        let cells: String = cells.iter().map(|cell| format!("{cell:>15}")).collect();
        println!("{name:<46}{cells}  {end}");
    }
}

fn cell(figure: f64) -> String {
    if figure < 100.0 { format!("{figure:.1}") } else { format!("{figure:.0}") }
}

/// The times of each contender, round by round.
fn in_turns(contenders: &mut [Contender<'_>], rounds: usize) -> Vec<Vec<Duration>> {
    let repeats: Vec<u32> = contenders.iter_mut().map(repeats).collect();
    let mut times = vec![Vec::with_capacity(rounds); contenders.len()];
    for round in 0..rounds {
        for turn in 0..contenders.len() {
            let at = (round + turn) % contenders.len();
            times[at].push(burst(&mut contenders[at], repeats[at]));
        }
    }
    times
}

/// The number of runs between two readings of the clock that makes the cost of a reading negligible.
/// Warms up on the way.
fn repeats(contender: &mut Contender<'_>) -> u32 {
    const SAMPLE_MIN: Duration = Duration::from_micros(20);
    let mut repeats = 1;
    while sample(contender, repeats) * repeats < SAMPLE_MIN {
        repeats *= 2;
    }
    repeats
}

/// Takes samples until there are enough for a median. As many before them warm the caches up and are dropped:
/// after a contender that had allocated a hundred megabytes, one that reads ten was 1.3 times as slow when only
/// one sample was dropped.
fn burst(contender: &mut Contender<'_>, repeats: u32) -> Duration {
    samples(contender, repeats);
    median(&samples(contender, repeats))
}

fn samples(contender: &mut Contender<'_>, repeats: u32) -> Vec<Duration> {
    const BURST: Duration = Duration::from_millis(4);
    const SAMPLES_MIN: usize = 5;
    let mut samples = Vec::new();
    let mut spent = Duration::ZERO;
    while samples.len() < SAMPLES_MIN || spent < BURST {
        let time = sample(contender, repeats);
        spent += time * repeats;
        samples.push(time);
    }
    samples
}

/// The time of one run, from this many in a row.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn sample(contender: &mut Contender<'_>, repeats: u32) -> Duration {
    let start = Instant::now();
    for _ in 0..repeats {
        black_box(contender.run());
    }
    start.elapsed() / repeats
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times[times.len() / 2]
}

fn median_of_ratios(mut ratios: Vec<f64>) -> f64 {
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}
