//! Windows that records end and begin, beside those of Kafka Streams: the class `SlidingWindows` under Kafka's
//! `TopologyTestDriver`, on generated inputs.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use kafka_wire::rng::Rng;
use processor::driver::TestDriver;
use processor::{Emit, SlidingByRecord, Text, Topology, Utf8};

const INPUTS: usize = 400;
const RECORDS: usize = 30;

/// Records whose times are out of order within the grace period.
struct Input {
    difference: u64,
    grace: u64,
    /// Key, time and value of each record.
    records: Vec<(&'static str, i64, usize)>,
}

/// The values of the records in each window, by the text of its key, start and last millisecond.
type Windows = BTreeMap<String, Vec<usize>>;

impl Input {
    fn draw(rng: &mut Rng) -> Self {
        let difference = 1 + rng.below(30);
        let grace = rng.below(3 * difference);
        // The beginning of time is a case of its own, because no window begins before it.
        let mut now = if rng.below(2) == 0 { 0 } else { 1_000_000 };
        let mut step = || {
            now += rng.below(difference + 3);
            let at = now.saturating_sub(rng.below(grace + 1));
            (if rng.below(4) == 0 { "b" } else { "a" }, at.cast_signed())
        };
        let records = (0..RECORDS).map(|value| (step(), value)).map(|((key, at), value)| (key, at, value)).collect();
        Self { difference, grace, records }
    }

    /// The windows that this library finds.
    fn windows(&self, emit: Emit, rng: &mut Rng) -> Windows {
        let [difference, grace] = [self.difference, self.grace].map(Duration::from_millis);
        let mut job = Topology::builder("sliding");
        job.keyed_stream("in", Utf8, Utf8)
            .window(SlidingByRecord::within(difference))
            .lateness(grace)
            .aggregate_merged(
                "windows",
                Text,
                emit,
                String::new,
                |values, record| append(values, record.value),
                |values, later| append(values, later),
            )
            .map(|result| format!("{} {} {}", result.window.start, result.window.end - 1, result.value))
            .to("out", Utf8, Utf8);
        let mut driver = TestDriver::new(job.build().expect("a sound job"));
        for (key, at, value) in &self.records {
            driver.pipe("in", Some(key), &value.to_string(), *at);
            match rng.below(6) {
                0 => driver.crash(),
                1 | 2 => driver.commit(),
                _ => {}
            }
        }
        driver.end_of_input();
        assert_eq!(driver.fatal(), None);
        let late: u64 = driver.status().iter().map(|(_, status)| status.counters.late).sum();
        assert_eq!(late, 0, "all records are within the grace period");
        windows(driver.read("out").iter().map(|record| format!("{} {}", record.key_str(), record.value_str())))
    }

    fn show(&self) -> String {
        let lines = self.records.iter().map(|(key, at, value)| format!("{key} {at} {value}\n"));
        format!("{} {}\n{}\n", self.difference, self.grace, lines.collect::<String>())
    }
}

fn append(values: &mut String, value: &str) {
    if !values.is_empty() {
        values.push(',');
    }
    values.push_str(value);
}

/// The last result of each window. A line has the window, and the values in any order.
fn windows(lines: impl Iterator<Item = String>) -> Windows {
    let read = |line: String| {
        let (window, values) = line.rsplit_once(' ').expect("a window and values");
        let mut values: Vec<usize> = values.split(',').map(|value| value.parse().expect("a number")).collect();
        values.sort_unstable();
        (window.to_owned(), values)
    };
    lines.map(read).collect()
}

/// The windows that Kafka Streams finds in each input.
fn windows_of_kafka(mut command: Command, inputs: &[Input]) -> Vec<Windows> {
    command.arg("sliding").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("`java` was found");
    let mut pipe = child.stdin.take().expect("stdin was asked to be a pipe");
    let asked: String = inputs.iter().map(Input::show).collect();
    let writing = std::thread::spawn(move || pipe.write_all(asked.as_bytes()));
    let output = child.wait_with_output().expect("Java is ours");
    writing.join().expect("it does not panic").expect("Java listens");
    let answers = String::from_utf8(output.stdout).expect("Java speaks UTF-8");
    let each = answers.split("\n\n").filter(|answer| !answer.is_empty());
    each.map(|answer| windows(answer.lines().map(str::to_owned))).collect()
}

#[test]
fn sliding_windows_are_those_of_kafka() {
    let Some(command) = super::oracle() else { return };
    let seed = super::seed();
    let mut rng = Rng::from_seed(seed);
    let inputs: Vec<_> = (0..INPUTS).map(|_| Input::draw(&mut rng)).collect();
    let expected = windows_of_kafka(command, &inputs);
    assert_eq!(expected.len(), INPUTS, "an answer for each input");
    for (input, expected) in inputs.iter().zip(&expected) {
        for emit in [Emit::OnClose, Emit::OnUpdate, Emit::EveryUpdate] {
            let found = input.windows(emit, &mut rng);
            assert_eq!(found, *expected, "{emit:?}, seed {seed}, input:\n{}", input.show());
        }
    }
    // Written past the test harness, which hides the output of a test that passes.
    let count: usize = expected.iter().map(BTreeMap::len).sum();
    let _ = writeln!(std::io::stderr(), "{count} windows of {INPUTS} inputs are those of Kafka Streams, seed {seed}");
}
