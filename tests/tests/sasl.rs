//! SASL: our client on the embedded SASL listener and on that of Apache Kafka, and clients by others
//! on the embedded one.

#[path = "../../kafka-wire/examples/tls_sasl.rs"]
mod example;

use std::time::Duration;

use conformance::foreign;
use conformance::reader::{Arrival, Tail, create_topic, read_to_end};
use conformance::writer::write;
use conformance::{client_config, eventually, kafka_version, skip, within};
use kafka_wire::client::{CallOptions, Client, ConnectError, Keystore, Lane, Node, Pem, Producer, Sasl, TlsConfig};
use kafka_wire::cluster::TopicPartition;
use kafka_wire::consumer::IsolationLevel;
use kafka_wire::producer::{ProducerConfig, ProducerRecord};
use kafka_wire::protocol::ApiKey;
use kafka_wire::protocol::alter_user_scram_credentials::{AlterUserScramCredentialsRequest, ScramCredentialUpsertion};
use kafka_wire::protocol::metadata::MetadataRequest;
use kafka_wire::sasl::{ITERATIONS_MIN, OAuthToken, ScramHash};
use kafka_wire::types::PartitionId;
use testkit::broker::{Broker, BrokerConfig, SaslConfig, SaslMechanism};
use testkit::proxy::Proxy;
use testkit::real::{RealConfig, RealKafka, Unavailable};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

const USER: &str = "alice";
const PASSWORD: &str = "pass, with = signs";
const WAIT: Duration = Duration::from_secs(60);

async fn embedded(sasl: SaslConfig) -> Broker {
    Broker::start(BrokerConfig { sasl: Some(sasl), ..BrokerConfig::default() }).await.expect("a port is free")
}

async fn connect(bootstrap: &str, sasl: Option<Sasl>) -> Result<Client, ConnectError> {
    let mut config = client_config(bootstrap);
    config.sasl = sasl;
    Client::connect(config).await
}

/// Returns the client's error when it cannot connect, which must never contain a password.
async fn in_vain(bootstrap: &str, sasl: Option<Sasl>) -> String {
    let error = connect(bootstrap, sasl).await.expect_err("the broker does not let it in");
    assert!(!format!("{error} {error:?}").contains("wrong"), "{error}");
    error.to_string()
}

async fn assert_works(client: &Client, topic: &str) {
    create_topic(client, topic, 1).await;
    write(client, &TopicPartition::new(topic, PartitionId(0)), &["first", "last"]).await;
    let records = read_to_end(client, topic, IsolationLevel::ReadUncommitted).await;
    assert_eq!(records.len(), 2);
}

/// Asserts that every mechanism accepts the right password, and that the error for every mistake names what to look at.
async fn assert_judges(bootstrap: &str) {
    for (topic, sasl) in [
        ("by-plain", Sasl::plain(USER, PASSWORD)),
        ("by-scram-256", Sasl::scram_sha_256(USER, PASSWORD)),
        ("by-scram-512", Sasl::scram_sha_512(USER, PASSWORD)),
    ] {
        assert_works(&connect(bootstrap, Some(sasl)).await.expect("she knows her password"), topic).await;
    }
    for sasl in [
        Sasl::plain(USER, "wrong"),
        Sasl::scram_sha_256(USER, "wrong"),
        Sasl::scram_sha_512("bob", "wrong"),
        Sasl::plain("", "wrong"),
    ] {
        let text = in_vain(bootstrap, Some(sasl)).await;
        assert!(text.contains("SASL_AUTHENTICATION_FAILED") && text.contains("sasl.password"), "{text}");
        assert!(!text.contains("advertised.listeners"), "{text}");
    }
    let text = in_vain(bootstrap, None).await;
    assert!(text.contains("security.protocol") && text.contains("sasl.mechanism"), "{text}");
}

/// Writes and reads for longer than two sessions last, with many requests on their way: each connection is renewed
/// again and again, none is closed, and no record is lost or doubled.
///
/// A session may end while this process or the broker stands still: what fails then says nothing, and is done again.
async fn assert_renewed(bootstrap: &str, topic: &str, sasl: Sasl, duration: Duration) {
    for attempt in 1..=ATTEMPTS {
        let (address, topic, sasl) = (bootstrap.to_owned(), format!("{topic}-{attempt}"), sasl.clone());
        let mut writing = tokio::spawn(async move { write_and_read(&address, &topic, sasl, duration).await });
        let mut longest_pause = Duration::ZERO;
        let failure = loop {
            let before = Instant::now();
            let written = tokio::select! {
                written = &mut writing => Some(written),
                () = answered(bootstrap) => None,
            };
            longest_pause = longest_pause.max(before.elapsed());
            match written {
                Some(Ok(())) => return,
                Some(Err(failure)) => break failure,
                None => {}
            }
        };
        assert!(
            longest_pause > PAUSE_MIN && attempt < ATTEMPTS,
            "{failure}, see above; pauses up to {longest_pause:?}"
        );
    }
}

/// Takes little more than 20 ms, unless this process or the broker stands still.
async fn answered(bootstrap: &str) {
    tokio::time::sleep(Duration::from_millis(20)).await;
    // Brokers answer ApiVersions v0 before any login.
    let api_versions = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];
    if let Ok(mut stream) = TcpStream::connect(bootstrap).await
        && stream.write_all(&api_versions).await.is_ok()
    {
        let _ = stream.read_u8().await;
    }
}

/// Time between the renewal of a session and its end: at least 5 % of 8 s.
const PAUSE_MIN: Duration = Duration::from_millis(400);
const ATTEMPTS: usize = 3;

async fn write_and_read(bootstrap: &str, topic: &str, sasl: Sasl, duration: Duration) {
    let proxy = Proxy::default();
    let mut config = client_config(bootstrap);
    config.sasl = Some(sasl);
    let client = Client::connect_with(config, proxy.connector()).await.expect("the password is right");
    let partition = TopicPartition::new(topic, PartitionId(0));
    create_topic(&client, &partition.topic, 1).await;
    // Batches of a few records each, sent at once: five are on their way nearly always.
    let small = ProducerConfig { batch_size_bytes: 100, linger: Duration::ZERO, ..ProducerConfig::default() };
    let producer = Producer::open(&client, small).await.expect("a producer id");
    let broker = client.cluster().brokers().next().expect("the cluster has a broker").id;
    let start = Instant::now();
    let ask = async || {
        while start.elapsed() < duration {
            let request = MetadataRequest { topics: Some(Vec::new()), ..Default::default() };
            let asked = client.request(Node::Broker(broker), Lane::General, request, CallOptions::default());
            within("an answer", WAIT, asked).await.expect("an answer");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let produce = async {
        let mut deliveries = Vec::new();
        while start.elapsed() < duration {
            let value = deliveries.len().to_string();
            deliveries.push(producer.send(ProducerRecord::to(&partition.topic).value(&value)).await.expect("room"));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let count = deliveries.len();
        for delivery in deliveries {
            within("an acknowledgement", WAIT, delivery).await.expect("it is written");
        }
        count
    };
    let mut tail = None;
    let begin = async {
        let tail = &*tail.insert(Tail::start(&client, &partition.topic, IsolationLevel::ReadUncommitted).await);
        // Every connection is open when something that was written has been read.
        eventually("a record", WAIT, async || tail.look(|arrived| (!arrived.is_empty()).then_some(()))).await;
        (proxy.connections(), proxy.requests(ApiKey::SaslAuthenticate))
    };
    let ((), (), count, (connections, logins)) = tokio::join!(ask(), ask(), produce, begin);
    let tail = tail.expect("it has begun");
    eventually("every record", WAIT, async || (tail.look(<[_]>::len) >= count).then_some(())).await;
    let text = |it: &Arrival| String::from_utf8(it.record.value.clone().unwrap_or_default()).expect("text");
    let expected: Vec<String> = (0..count).map(|number| number.to_string()).collect();
    assert!(tail.look(|arrived| arrived.iter().map(text).collect::<Vec<_>>()) == expected, "each once, in order");
    assert_eq!(proxy.connections(), connections, "a connection was closed instead of being renewed");
    let renewals = proxy.requests(ApiKey::SaslAuthenticate) - logins;
    assert!(renewals >= 2 * connections, "{renewals} for {connections} connections");
}

/// A broker that lies in an exchange of SCRAM is asked nothing: something else may answer in its place.
async fn assert_lies_are_found_out(bootstrap: &str) {
    // The first answer has the nonce of both, the salt and the number of iterations; the second one the proof.
    for (nth, field, why) in [(1, "r=", "nonce"), (1, ",i=", "iterations"), (2, "v=", "could not prove")] {
        let proxy = Proxy::default();
        proxy.edit(ApiKey::SaslAuthenticate, nth, move |mut frame| {
            let at = frame.windows(field.len()).position(|window| window == field.as_bytes());
            let first = &mut frame[at.expect("it is there") + field.len()];
            *first = if *first == b'A' { b'B' } else { b'A' };
            frame
        });
        let mut config = client_config(bootstrap);
        config.sasl = Some(Sasl::scram_sha_256(USER, PASSWORD));
        let error = Client::connect_with(config, proxy.connector()).await.expect_err("the broker lies").to_string();
        assert!(error.contains(why), "{error}");
        assert!(proxy.is_spent());
        let login = [ApiKey::ApiVersions, ApiKey::SaslHandshake, ApiKey::SaslAuthenticate];
        let asked: u64 = login.into_iter().map(|api| proxy.requests(api)).sum();
        assert_eq!(proxy.all_requests(), asked, "something was asked all the same");
    }
}

#[tokio::test]
async fn the_embedded_listener_lets_in_who_knows_the_password() {
    let broker = embedded(SaslConfig::new(USER, PASSWORD)).await;
    assert_judges(&broker.address()).await;
    let text = in_vain(&broker.address(), Some(Sasl::oauthbearer(|| async { Ok(OAuthToken::new("wrong")) }))).await;
    assert_lies_are_found_out(&broker.address()).await;
    assert!(text.contains("sasl.mechanism=OAUTHBEARER; it takes PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"), "{text}");
}

#[tokio::test]
async fn credentials_that_a_client_makes_let_their_user_in() {
    let broker = embedded(SaslConfig::new("admin", "admin")).await;
    let admin = connect(&broker.address(), Some(Sasl::plain("admin", "admin"))).await.expect("the administrator");
    set_password(&admin).await;
    connect(&broker.address(), Some(Sasl::scram_sha_512(USER, PASSWORD))).await.expect("a new user");
}

#[tokio::test]
async fn a_plaintext_listener_says_that_it_asks_for_no_password() {
    let broker = Broker::start(BrokerConfig::default()).await.expect("a port is free");
    let text = in_vain(&broker.address(), Some(Sasl::plain(USER, "wrong"))).await;
    assert!(text.contains("ILLEGAL_SASL_STATE") && text.contains("PLAINTEXT or SSL"), "{text}");
}

#[tokio::test]
async fn a_token_that_cannot_be_had_is_told_in_the_words_of_its_source() {
    let broker = embedded(SaslConfig::new(USER, PASSWORD)).await;
    let sasl = Sasl::oauthbearer(|| async { Err("the issuer is down".to_owned()) });
    let text = in_vain(&broker.address(), Some(sasl)).await;
    assert!(text.contains("no credentials for OAUTHBEARER: the issuer is down"), "{text}");
}

#[tokio::test]
async fn a_session_is_renewed_on_the_embedded_listener() {
    let mut sasl = SaslConfig::new(USER, PASSWORD);
    sasl.session_lifetime = Some(Duration::from_secs(8));
    let broker = embedded(sasl).await;
    assert_renewed(&broker.address(), "renewed", Sasl::scram_sha_256(USER, PASSWORD), Duration::from_secs(18)).await;
}

/// kcat and Java's console tools, each with the mechanisms that it supports.
#[tokio::test]
async fn clients_of_others_log_in_to_the_embedded_listener() {
    let mut sasl = SaslConfig::new(USER, PASSWORD);
    sasl.mechanisms = vec![SaslMechanism::Plain, SaslMechanism::ScramSha256, SaslMechanism::ScramSha512];
    let broker = embedded(sasl).await;
    let client = connect(&broker.address(), Some(Sasl::plain(USER, PASSWORD))).await.expect("let in");
    create_topic(&client, "t", 1).await;
    let mut written = Vec::new();
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        if kcat(&broker, mechanism, &["-P", "-t", "t"], &format!("kcat {mechanism}\n")).await.is_some() {
            written.push(format!("kcat {mechanism}"));
        }
        if java(&broker, mechanism, &format!("java {mechanism}\n")).await.is_some() {
            written.push(format!("java {mechanism}"));
        }
    }
    if !written.is_empty() {
        let read = read_to_end(&client, "t", IsolationLevel::ReadUncommitted).await;
        let values = read.iter().map(|record| String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()));
        assert_eq!(values.collect::<Vec<_>>(), written);
    }
}

async fn kcat(broker: &Broker, mechanism: &str, args: &[&str], stdin: &str) -> Option<String> {
    let mechanism = format!("sasl.mechanism={mechanism}");
    let (user, password) = (format!("sasl.username={USER}"), format!("sasl.password={PASSWORD}"));
    let security = ["-X", "security.protocol=SASL_PLAINTEXT", "-X", &mechanism, "-X", &user, "-X", &password];
    foreign::kcat_at(&broker.address(), &[&security, args].concat(), stdin).await
}

async fn java(broker: &Broker, mechanism: &str, stdin: &str) -> Option<String> {
    let module = if mechanism == "PLAIN" { "plain.PlainLoginModule" } else { "scram.ScramLoginModule" };
    let module = format!("org.apache.kafka.common.security.{module}");
    let jaas = format!("{module} required username=\"{USER}\" password=\"{PASSWORD}\";");
    let properties = [
        "security.protocol=SASL_PLAINTEXT".to_owned(),
        format!("sasl.mechanism={mechanism}"),
        format!("sasl.jaas.config={jaas}"),
    ];
    let address = broker.address();
    let mut args = vec!["--bootstrap-server", &address, "--topic", "t"];
    properties.iter().for_each(|property| args.extend(["--command-property", property]));
    foreign::java("org.apache.kafka.tools.ConsoleProducer", &args, stdin).await
}

macro_rules! pem {
    ($name:literal) => {
        include_str!(concat!("../../kafka-wire/tests/tls/", $name))
    };
}

/// Starts a node whose only listener, for clients and for itself, asks for authentication.
async fn start(protocol: &str, more: &[(&str, &str)]) -> Result<RealKafka, Unavailable> {
    let plain = format!(
        "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"admin\" password=\"admin\" \
         user_admin=\"admin\" user_{USER}=\"{PASSWORD}\";"
    );
    let token = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required \
                 unsecuredLoginStringClaim_sub=\"admin\";";
    let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
    let map = format!("CONTROLLER:PLAINTEXT,PLAINTEXT:{protocol}");
    let of_listener = "listener.name.plaintext";
    let mut properties = vec![
        ("listener.security.protocol.map".to_owned(), map),
        ("inter.broker.listener.name".to_owned(), "PLAINTEXT".to_owned()),
        ("sasl.mechanism.inter.broker.protocol".to_owned(), "PLAIN".to_owned()),
        (format!("{of_listener}.sasl.enabled.mechanisms"), "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER".to_owned()),
        (format!("{of_listener}.plain.sasl.jaas.config"), plain),
        (format!("{of_listener}.scram-sha-256.sasl.jaas.config"), scram.to_owned()),
        (format!("{of_listener}.scram-sha-512.sasl.jaas.config"), scram.to_owned()),
        (format!("{of_listener}.oauthbearer.sasl.jaas.config"), token.to_owned()),
        ("super.users".to_owned(), "User:ANONYMOUS;User:admin".to_owned()),
    ];
    properties.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    RealKafka::start(RealConfig { version: kafka_version(), properties, ..RealConfig::default() }).await
}

/// Sets credentials of both SCRAM mechanisms for the user, as Kafka's tool does.
async fn set_password(admin: &Client) {
    let credential = |hash: ScramHash, mechanism| ScramCredentialUpsertion {
        name: USER.into(),
        mechanism,
        iterations: ITERATIONS_MIN.cast_signed(),
        salt: b"some salt".as_slice().into(),
        salted_password: hash.salted_password(PASSWORD, b"some salt", ITERATIONS_MIN).into(),
        ..Default::default()
    };
    for upsertion in [credential(ScramHash::Sha256, 1), credential(ScramHash::Sha512, 2)] {
        let request = AlterUserScramCredentialsRequest { upsertions: vec![upsertion], ..Default::default() };
        let controller = admin.cluster().controller().map_or(Node::Any, Node::Broker);
        let answer =
            admin.request(controller, Lane::General, request, CallOptions::default()).await.expect("an answer");
        assert_eq!(answer.results[0].error_code, 0, "{answer:?}");
    }
}

#[tokio::test]
async fn a_sasl_listener_of_kafka_lets_in_who_knows_the_password() {
    let kafka = match start("SASL_PLAINTEXT", &[("connections.max.reauth.ms", "8000")]).await {
        Ok(kafka) => kafka,
        Err(unavailable) => return skip("SASL with Apache Kafka", &unavailable.to_string()),
    };
    let admin = connect(kafka.bootstrap(), Some(Sasl::plain("admin", "admin"))).await.expect("the administrator");
    set_password(&admin).await;
    // The broker gets the new credentials a moment later.
    within("the new user", Duration::from_secs(30), async {
        while connect(kafka.bootstrap(), Some(Sasl::scram_sha_512(USER, PASSWORD))).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    assert_judges(kafka.bootstrap()).await;
    assert_lies_are_found_out(kafka.bootstrap()).await;
    let renewed = |topic, sasl| assert_renewed(kafka.bootstrap(), topic, sasl, Duration::from_secs(18));
    let (plain, scram) = (Sasl::plain(USER, PASSWORD), Sasl::scram_sha_512(USER, PASSWORD));
    tokio::join!(renewed("renewed-by-plain", plain), renewed("renewed-by-scram", scram));
    let token = || async { Ok(OAuthToken::new(unsecured_token())) };
    assert_works(&connect(kafka.bootstrap(), Some(Sasl::oauthbearer(token))).await.expect("a token"), "by-token").await;
    let text = in_vain(kafka.bootstrap(), Some(Sasl::oauthbearer(|| async { Ok(OAuthToken::new("wrong")) }))).await;
    assert!(text.contains("OAUTHBEARER") && text.contains("token"), "{text}");
}

#[tokio::test]
async fn sasl_goes_over_tls() {
    let pem = |text: &str| text.replace('\n', "\\n");
    let (chain, key, authority) = (pem(pem!("broker.pem")), pem(pem!("broker.key")), pem(pem!("authority.pem")));
    let tls = [
        ("ssl.keystore.type", "PEM"),
        ("ssl.keystore.certificate.chain", &chain),
        ("ssl.keystore.key", &key),
        ("ssl.truststore.type", "PEM"),
        ("ssl.truststore.certificates", &authority),
    ];
    let kafka = match start("SASL_SSL", &tls).await {
        Ok(kafka) => kafka,
        Err(unavailable) => return skip("SASL over TLS with Apache Kafka", &unavailable.to_string()),
    };
    let mut config = client_config(kafka.bootstrap());
    let mut tls = TlsConfig::new(Pem::Bytes(pem!("authority.pem").into()));
    let pem = |text: &str| Pem::Bytes(text.into());
    tls.keystore = Some(Keystore::new(pem(pem!("client.pem")), pem(pem!("client.key"))));
    config.tls = Some(tls);
    config.sasl = Some(Sasl::plain(USER, PASSWORD));
    assert_works(&Client::connect(config.clone()).await.expect("let in"), "t").await;
    let authorities = concat!(env!("CARGO_MANIFEST_DIR"), "/../kafka-wire/tests/tls/authority.pem");
    example::tls_sasl(kafka.bootstrap(), authorities, USER, PASSWORD).await.expect("the example runs");
    config.sasl = Some(Sasl::plain(USER, "wrong"));
    let text = Client::connect(config).await.expect_err("a wrong password").to_string();
    assert!(text.contains("SASL_AUTHENTICATION_FAILED"), "{text}");
    let text = in_vain(kafka.bootstrap(), Some(Sasl::plain(USER, "wrong"))).await;
    assert!(text.contains("the peer speaks TLS") && text.contains("SASL_SSL"), "{text}");
}

/// Returns a JWT without a signature, which brokers without a validator of their own accept.
fn unsecured_token() -> String {
    // {"alg":"none"} and {"sub":"alice","iat":1600000000,"exp":4000000000}
    "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSIsImlhdCI6MTYwMDAwMDAwMCwiZXhwIjo0MDAwMDAwMDAwfQ.".to_owned()
}
