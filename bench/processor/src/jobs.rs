//! The jobs on Waterwheel, run in the process that is measured.

use std::error::Error;
use std::io::Read;
use std::time::Duration;

use processor::serde::{SerdeError, Text};
use processor::topology::SinkKind;
use processor::{
    App, BuildErrors, Config, Emit, I64, Nullable, Owned, Partitions, Raw, Serde, Topology, Tumbling, Utf8, Watermark,
};
use tokio::sync::watch;

use crate::input::{Job, OPEN_WINDOW_MS, WINDOW_MS};
use crate::kafka::PARTITIONS;
use crate::operators;

/// The job to run, and its topics and broker.
pub(crate) struct Place {
    job: Job,
    bootstrap: String,
    application: String,
    input: String,
    output: String,
    state: String,
}

impl Place {
    /// Reads the arguments as `systems` passes them.
    pub(crate) fn parse(mut given: impl Iterator<Item = String>) -> Option<Self> {
        Some(Self {
            job: Job::from_name(&given.next()?)?,
            bootstrap: given.next()?,
            application: given.next()?,
            input: given.next()?,
            output: given.next()?,
            state: given.next()?,
        })
    }
}

/// Runs the job until stdin closes. The process of a bounded job stays there as well, so that its CPU time can be read.
pub(crate) async fn run(place: &Place) -> Result<(), Box<dyn Error>> {
    let mut config = Config::new(&place.bootstrap);
    config.set("state.dir", &place.state)?;
    let (close, mut closed) = watch::channel(false);
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = close.send(true);
    });
    let Place { job, application, input, output, .. } = place;
    let app = App::new(topology(*job, application, (input, output))?, config);
    let app = if job.is_bounded() { app.bounded() } else { app };
    let mut stop = closed.clone();
    app.run_until(async move { _ = stop.wait_for(|is_closed| *is_closed).await }).await?;
    closed.wait_for(|is_closed| *is_closed).await?;
    Ok(())
}

/// The topics of a job besides its input and output.
pub(crate) fn internal_topics(job: Job, application: &str) -> Result<Vec<String>, BuildErrors> {
    let topology = topology(job, application, ("input", "output"))?;
    let internal = topology.sinks().iter().filter(|sink| sink.kind != SinkKind::External);
    Ok(internal.map(|sink| sink.topic.clone()).collect())
}

fn topology(job: Job, application: &str, (input, output): (&str, &str)) -> Result<Topology, BuildErrors> {
    let mut builder = Topology::builder(application);
    match job {
        Job::Nexmark(query) => return Ok(query.topology(application, (input, output), PARTITIONS)),
        Job::UpperCase => {
            builder.stream(input, Utf8).map(|record| record.value.to_ascii_uppercase()).to(output, Nullable(Raw), Text)
        }
        Job::Count => builder
            .keyed_stream(input, Raw, Raw)
            .window(all_of_time())
            .count("counts", Emit::OnUpdate)
            .map(|result| *result.value as i64)
            .to(output, Raw, I64),
        Job::CountEach => builder
            .keyed_stream(input, Raw, Raw)
            .count("counts", Emit::EveryUpdate)
            .map(|count| count.value as i64)
            .to(output, Raw, I64),
        Job::Operator(operator) => operators::declare(operator, &mut builder, (input, output)),
        Job::CountBehindShuffle => builder
            .stream(input, Raw)
            .key_by("by-key", Partitions(PARTITIONS), (Raw, ()), |record| (record.value, ()))
            .window(all_of_time())
            .count("counts", Emit::OnUpdate)
            .map(|result| *result.value as i64)
            .to(output, Raw, I64),
        Job::WordCount => builder
            .stream(input, Utf8)
            .flat_map(Utf8, |line, out| line.value.split(' ').for_each(|word| out.push(word)))
            .key_by("by-word", Partitions(PARTITIONS), (Utf8, ()), |word| (word.value, ()))
            .window(all_of_time())
            .count("counts", Emit::OnUpdate)
            .map(|result| *result.value as i64)
            .to(output, Utf8, I64),
        Job::OpenWindows(_) => builder
            .keyed_stream(input, Raw, I64)
            .watermark(Watermark::bounded(Duration::from_secs(100 * 24 * 3_600)))
            .window(Tumbling::of(Duration::from_millis(OPEN_WINDOW_MS.unsigned_abs())))
            .aggregate("sums", I64, Emit::OnClose, || 0, |sum, record| *sum += record.value)
            .map(|result| (result.window.start, *result.value))
            .to(output, Raw, StartAndSum),
        Job::WindowedSum => builder
            .keyed_stream(input, Raw, I64)
            .watermark(Watermark::bounded(Duration::ZERO))
            .window(Tumbling::of(Duration::from_millis(WINDOW_MS.unsigned_abs())))
            .aggregate("sums", I64, Emit::OnClose, || 0, |sum, record| *sum += record.value)
            .map(|result| (result.window.start, *result.value))
            .to(output, Raw, StartAndSum),
    }
    builder.build()
}

/// One window for all records, from 1970 to 2069.
fn all_of_time() -> Tumbling {
    Tumbling::of(Duration::from_secs(100 * 365 * 24 * 3_600))
}

/// Serialises the result of job D to 16 bytes: the window's start and the sum.
#[derive(Clone)]
struct StartAndSum;

impl Serde for StartAndSum {
    type View = Owned<(i64, i64)>;

    fn decode(&self, bytes: &[u8]) -> Result<(i64, i64), SerdeError> {
        let (start, sum) = bytes.split_at(bytes.len().min(8));
        Ok((I64.decode(start)?, I64.decode(sum)?))
    }

    fn encode(&self, (start, sum): &(i64, i64), out: &mut Vec<u8>) -> Result<(), SerdeError> {
        I64.encode(start, out)?;
        I64.encode(sum, out)
    }
}
