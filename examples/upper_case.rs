//! From a topic to a topic, in upper case: the simplest job there is.
//!
//! ```text
//! cargo run --release -p examples --bin upper-case -- 127.0.0.1:9092 lines upper
//! ```
//! Both topics must exist. Keys, timestamps and headers stay unchanged. SIGTERM or Ctrl-C commits and leaves the group.

use processor::{App, Config, Raw, Topology, Utf8, terminated};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [brokers, from, to] = <[String; 3]>::try_from(std::env::args().skip(1).collect::<Vec<_>>())
        .map_err(|_| "usage: upper-case BROKERS FROM TO")?;
    let mut job = Topology::builder("upper-case");
    job.stream(&from, Utf8).map(|line| line.value.to_uppercase()).to(&to, Raw, Utf8);
    App::new(job.build()?, Config::new(&brokers)).run_until(terminated()).await?;
    Ok(())
}
