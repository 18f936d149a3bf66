//! One process of the application of Kafka Streams' smoke test: `streams-smoke BROKERS APPLICATION_ID`.

use std::process::ExitCode;

use conformance::streams_smoke::{Mistake, application};
use processor::{App, Config, terminated};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [brokers, application_id] = arguments.as_slice() else {
        eprintln!("usage: streams-smoke BROKERS APPLICATION_ID");
        return ExitCode::from(2);
    };
    let job = application(application_id, Mistake::None);
    match App::new(job, Config::new(brokers)).run_until(terminated()).await {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
