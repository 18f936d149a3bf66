//! TLS with Apache Kafka: its SSL listener, with and without client certificates.
//!
//! The embedded broker has no TLS; the client's errors with peers that it rejects are tested
//! in `kafka-wire/tests/tls.rs`.

use std::sync::Arc;

use conformance::reader::{create_topic, read_to_end};
use conformance::writer::write;
use conformance::{client_config, skip};
use kafka_wire::client::{Client, ConnectError, Keystore, Pem, TlsConfig, TlsConnector};
use kafka_wire::cluster::TopicPartition;
use kafka_wire::consumer::IsolationLevel;
use kafka_wire::types::PartitionId;
use testkit::real::{RealConfig, RealKafka, Unavailable};

macro_rules! pem {
    ($name:literal) => {
        include_str!(concat!("../../kafka-wire/tests/tls/", $name))
    };
}

/// A node whose only listener for clients, and for itself, uses TLS.
async fn start(client_auth: &str) -> Result<RealKafka, Unavailable> {
    let pem = |text: &str| text.replace('\n', "\\n");
    let properties = [
        // The launcher gives the listener a port and this name; a listener's name need not be that of its protocol.
        ("listener.security.protocol.map", "CONTROLLER:PLAINTEXT,PLAINTEXT:SSL".to_owned()),
        ("inter.broker.listener.name", "PLAINTEXT".to_owned()),
        ("ssl.client.auth", client_auth.to_owned()),
        ("ssl.keystore.type", "PEM".to_owned()),
        ("ssl.keystore.certificate.chain", pem(pem!("broker.pem"))),
        ("ssl.keystore.key", pem(pem!("broker.key"))),
        ("ssl.truststore.type", "PEM".to_owned()),
        ("ssl.truststore.certificates", pem(pem!("authority.pem"))),
    ];
    let properties = properties.map(|(key, value)| (key.to_owned(), value)).to_vec();
    RealKafka::start(RealConfig { properties, ..RealConfig::default() }).await
}

fn bytes(text: &str) -> Pem {
    Pem::Bytes(text.into())
}

fn trusting(authority: &str) -> TlsConfig {
    TlsConfig::new(bytes(authority))
}

async fn connect(kafka: &RealKafka, tls: &TlsConfig) -> Result<Client, ConnectError> {
    let connector = TlsConnector::new(tls).expect("the certificates are sound");
    Client::connect_with(client_config(kafka.bootstrap()), Arc::new(connector)).await
}

/// Creates a topic, writes to it, and reads it; one record is longer than many TLS records.
async fn assert_works(client: &Client) {
    create_topic(client, "t", 1).await;
    let values = ["first", &"long ".repeat(100_000), "last"];
    write(client, &TopicPartition::new("t", PartitionId(0)), &values).await;
    let records = read_to_end(client, "t", IsolationLevel::ReadUncommitted).await;
    let read: Vec<_> = records.iter().map(|record| record.value.as_deref().expect("a value")).collect();
    assert!(read == values.map(str::as_bytes));
}

/// The client's error when it cannot connect.
async fn in_vain(kafka: &RealKafka, tls: &TlsConfig) -> String {
    connect(kafka, tls).await.expect_err("one side does not accept the other").to_string()
}

#[tokio::test]
async fn a_broker_with_a_certificate_is_trusted() {
    let kafka = match start("none").await {
        Ok(kafka) => kafka,
        Err(unavailable) => return skip("TLS with Apache Kafka", &unavailable.to_string()),
    };
    assert_works(&connect(&kafka, &trusting(pem!("authority.pem"))).await.expect("the broker is trusted")).await;

    let text = in_vain(&kafka, &trusting(pem!("stranger.pem"))).await;
    assert!(text.contains("signed by no authority that this client trusts"), "{text}");
    let plain = Client::connect(client_config(kafka.bootstrap())).await.expect_err("the broker speaks TLS");
    assert!(plain.to_string().contains("TLS"), "{plain}");
}

#[tokio::test]
async fn a_client_with_a_certificate_is_let_in() {
    let kafka = match start("required").await {
        Ok(kafka) => kafka,
        Err(unavailable) => return skip("certificates of clients with Apache Kafka", &unavailable.to_string()),
    };
    let mut tls = trusting(pem!("authority.pem"));
    let text = in_vain(&kafka, &tls).await;
    assert!(text.contains("requires a certificate of the client"), "{text}");
    let mut show = |chain: &str, key: &str| {
        tls.keystore = Some(Keystore::new(bytes(chain), bytes(key)));
        tls.clone()
    };
    let text = in_vain(&kafka, &show(pem!("expired.pem"), pem!("expired.key"))).await;
    assert!(text.contains("does not accept the certificate of this client"), "{text}");
    assert_works(&connect(&kafka, &show(pem!("client.pem"), pem!("client.key"))).await.expect("it is let in")).await;
}
