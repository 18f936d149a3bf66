//! A cluster that cannot be reached: the error lists what was tried, in time, and says what to do.

use std::net::TcpListener;
use std::time::Duration;

use conformance::{reserve_port, skip, within};
use kafka_wire::client::{Client, ClientConfig};
use testkit::real::{RealConfig, RealKafka};

#[tokio::test]
async fn without_a_broker_the_error_names_the_address() {
    // Nobody else gets the port, and nothing listens on it.
    let (_reserved, port) = reserve_port();
    let address = format!("127.0.0.1:{port}");
    let error = error_of(&address, SHORT).await;
    assert!(error.contains(&address) && error.contains("connection refused"), "{error}");
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_named() {
    // RFC 6761 reserves this name, so it never exists; a resolver may take its time to say so.
    let error = error_of("kafka.invalid:9092", SHORT).await;
    assert!(error.contains("kafka.invalid:9092"), "{error}");
}

#[tokio::test]
async fn a_broker_that_does_not_answer_is_named_too() {
    // The system accepts the connection, but no program does: it opens and stays silent.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = silent.local_addr().expect("a listener has an address").to_string();
    let error = error_of(&address, SHORT).await;
    assert!(error.contains(&address) && error.contains("ApiVersions was not answered"), "{error}");
}

#[tokio::test]
async fn an_advertised_name_that_does_not_resolve_is_named_with_its_source() {
    let advertised_address = Some("broker.invalid:9092".to_owned());
    let kafka = match RealKafka::start(RealConfig { advertised_address, ..RealConfig::default() }).await {
        Ok(kafka) => kafka,
        Err(unavailable) => return skip("the test of a wrong advertised.listeners", &unavailable.to_string()),
    };
    // A node that has just started may take its time.
    let error = error_of(kafka.bootstrap(), Duration::from_secs(10)).await;
    for part in ["broker.invalid", kafka.bootstrap(), "advertised.listeners"] {
        assert!(error.contains(part), "{part} is missing in: {error}");
    }
}

#[test]
fn nobody_waits_for_more_than_five_seconds_by_default() {
    assert!(ClientConfig::new("localhost:9092").bootstrap_timeout < Duration::from_secs(5));
}

const SHORT: Duration = Duration::from_secs(2);
/// Far less than a request has, and more than a machine stands still.
const LEEWAY: Duration = Duration::from_secs(15);

async fn error_of(bootstrap: &str, timeout: Duration) -> String {
    let mut config = ClientConfig::new(bootstrap);
    config.bootstrap_timeout = timeout;
    match within("the end of an attempt to connect", timeout + LEEWAY, Client::connect(config)).await {
        Ok(_) => panic!("connected to {bootstrap}"),
        Err(error) => error.to_string(),
    }
}
