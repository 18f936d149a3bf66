//! The application of Kafka Streams' own smoke test (`SmokeTestClient`), written with this library. The driver of that
//! test writes the input and judges the output: `tests/tests/streams_smoke.rs` runs it.
//!
//! | topic | content |
//! |---|---|
//! | `data` | the input: a key `LEAST-GREATEST`, and each number between these two once |
//! | `echo` | the same |
//! | `min-raw`, `min-suppressed`, `min` | least number of a key in a day: updates, finals, updates without the day |
//! | `max`, `sum`, `cnt` | of a key, in two days: updates |
//! | `sws-raw`, `sws-suppressed` | sum of a key in 2 s that begin every second: updates, finals |
//! | `dif`, `avg` | joins of tables: `max` less `min`, `sum` by `cnt` |
//! | `tagg` | the number of keys that have each count: a table that is grouped anew |
//! | `fk` | written by the driver; its own application does not read it either |

use std::time::Duration;

use processor::operator::{Chain, Emit};
use processor::topology::WindowedStream;
use processor::types::InWindow;
use processor::{F64, I32, I64, Nullable, Partitions, Sliding, Text, TimeWindowed, Topology, Tumbling, U64, Utf8};

/// The topics that must exist.
pub const TOPICS: [&str; 14] = [
    "data",
    "echo",
    "max",
    "min",
    "min-suppressed",
    "min-raw",
    "dif",
    "sum",
    "sws-raw",
    "sws-suppressed",
    "cnt",
    "avg",
    "tagg",
    "fk",
];

/// A mistake in the application, which the verifier has to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// None.
    None,
    /// The sum of each key is greater by one.
    SumOffByOne,
}

/// The key of the records that end all windows, at the end of the input.
const FLUSH: &str = "flush";
/// The value that ends the input of other smoke tests.
const END: i32 = i32::MAX;
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Declares the application.
///
/// # Panics
/// Never: the declaration is sound.
#[must_use]
pub fn application(application_id: &str, mistake: Mistake) -> Topology {
    let mut job = Topology::builder(application_id);
    let source = job.keyed_stream("data", Utf8, I32);
    source.clone().filter(|number| number.key != FLUSH).to("echo", Utf8, I32);
    let data = source.filter(|number| number.value != END);

    let min = data.clone().window(Tumbling::of(DAY)).lateness(60 * SECOND);
    let min = min.min("uwin-min", Emit::OnUpdate, |number| number.value);
    with_windows(min.finals(), DAY, "min-suppressed");
    with_windows(min.clone(), DAY, "min-raw");
    min.filter(|min| min.key != FLUSH).map(|min| *min.value).to("min", Utf8, I32);

    let sums = data.clone().window(Sliding::of(2 * SECOND).every(SECOND)).lateness(30 * SECOND);
    let sums = sums.sum("sws", Emit::OnUpdate, |number| number.value);
    with_windows(sums.finals(), 2 * SECOND, "sws-suppressed");
    with_windows(sums, 2 * SECOND, "sws-raw");

    let two_days = || Tumbling::of(2 * DAY);
    let max = data.clone().window(two_days()).max("uwin-max", Emit::OnUpdate, |number| number.value);
    max.filter(|max| max.key != FLUSH).map(|max| *max.value).to("max", Utf8, I32);
    let sum = data.clone().window(two_days()).sum("win-sum", Emit::OnUpdate, |number| i64::from(number.value));
    let error = i64::from(mistake == Mistake::SumOffByOne);
    sum.filter(|sum| sum.key != FLUSH).map(move |sum| *sum.value + error).to("sum", Utf8, I64);
    let count = data.window(two_days()).count("uwin-cnt", Emit::OnUpdate);
    count.filter(|count| count.key != FLUSH).map(|count| *count.value).to("cnt", Utf8, U64);

    let min = job.table("min", "min-table", Utf8, I32);
    let max = job.table("max", "max-table", Utf8, I32);
    max.join(&min, |max, min| max - min).to("dif", Utf8, Nullable(I32));
    let sum = job.table("sum", "sum-table", Utf8, I64);
    let count = job.table("cnt", "cnt-table", Utf8, I64);
    #[expect(clippy::cast_precision_loss, reason = "as Java casts")]
    sum.join(&count, |sum, count| *sum as f64 / *count as f64).to("avg", Utf8, Nullable(F64));

    count
        .changes()
        .flat_map_values(|change| {
            let (left, joined) = (change.value.old.map(|count| (count, -1)), change.value.new.map(|count| (count, 1)));
            left.into_iter().chain(joined).collect::<Vec<(i64, i64)>>()
        })
        .key_by("cnt-by-cnt", Partitions(2), (Text, I64), |key| (key.value.0.to_string(), key.value.1))
        .sum("keys-of-cnt", Emit::OnUpdate, |key| key.value)
        .to("tagg", Text, I64);
    job.build().expect("a sound job")
}

/// Writes results with the text that Kafka Streams makes of a key and its window.
fn with_windows<C>(results: WindowedStream<Utf8, C>, size: Duration, topic: &str)
where
    C: Chain<Key = Utf8, Value = InWindow<i32>>,
{
    results
        .filter(|result| result.key != FLUSH)
        .windowed_keys(TimeWindowed::new(Utf8, size))
        .select_key(Text, |result| {
            let (key, window) = result.key;
            format!("[{key}@{}/{}]", window.start, window.end)
        })
        .to(topic, Text, I32);
}
