//! OAUTHBEARER with tokens from an issuer over HTTPS (KIP-768), on Apache Kafka, which checks what a token claims.
//! The embedded broker does not have this mechanism.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use conformance::reader::create_topic;
use conformance::{client_config, kafka_version, skip, within};
use kafka_wire::client::{Client, ClientCredentials, Pem, Properties, Sasl, TlsConfig};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use testkit::real::{RealConfig, RealKafka};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

macro_rules! pem {
    ($name:literal) => {
        include_str!(concat!("../../kafka-wire/tests/tls/", $name))
    };
}

/// The reason why the set-up of the tests cannot fail.
const SOUND: &str = "certificates of ours and the loopback work";

/// An issuer that gives tokens to the client `billing` with the secret `s3cret`.
struct Issuer {
    url: String,
    /// Number of tokens that it gave.
    given: Arc<AtomicUsize>,
}

async fn issuer(lifetime: Duration) -> Issuer {
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls_graviola::default_provider()))
        .with_safe_default_protocol_versions()
        .expect(SOUND)
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(pem!("broker.pem").as_bytes()).expect(SOUND)],
            PrivateKeyDer::from_pem_slice(pem!("broker.key").as_bytes()).expect(SOUND),
        )
        .expect(SOUND);
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect(SOUND);
    let url = format!("https://localhost:{}/oauth2/token", listener.local_addr().expect(SOUND).port());
    let given = Arc::new(AtomicUsize::new(0));
    let issuer = Issuer { url, given: Arc::clone(&given) };
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that does not trust this certificate ends the handshake.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = Vec::new();
            while !request.ends_with(b"grant_type=client_credentials&scope=kafka") {
                if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            let (status, body) = answer(&String::from_utf8_lossy(&request), lifetime);
            given.fetch_add(usize::from(status == 200), Ordering::Relaxed);
            let answer = format!(
                "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            // A client may have gone away.
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    issuer
}

fn answer(request: &str, lifetime: Duration) -> (u16, String) {
    let is_form = request.contains("Content-Type: application/x-www-form-urlencoded\r\n");
    // billing:s3cret
    if !request.starts_with("POST /oauth2/token HTTP/1.1\r\n")
        || !is_form
        || !request.contains("Basic YmlsbGluZzpzM2NyZXQ=\r\n")
    {
        return (401, r#"{"error":"invalid_client"}"#.to_owned());
    }
    let seconds = lifetime.as_secs();
    (200, format!(r#"{{"access_token":"{}","token_type":"bearer","expires_in":{seconds}}}"#, token(lifetime)))
}

/// Returns a JWT without a signature, which brokers without a validator of their own accept.
fn token(lifetime: Duration) -> String {
    #[expect(clippy::disallowed_methods, reason = "brokers compare the times in a token with the wall clock")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    // Rounded up: a token is valid for at least as long as `expires_in` says.
    let claims = format!(r#"{{"sub":"billing","iat":{now},"exp":{}}}"#, now + lifetime.as_secs() + 1);
    format!("{}.{}.", base64url(br#"{"alg":"none"}"#), base64url(claims.as_bytes()))
}

fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digits = |chunk: &[u8]| {
        let bits =
            chunk.iter().enumerate().fold(0u32, |bits, (index, byte)| bits | u32::from(*byte) << (16 - 8 * index));
        let digit = move |index| char::from(ALPHABET[(bits >> (18 - 6 * index) & 63) as usize]);
        (0..=chunk.len()).map(digit).collect::<String>()
    };
    bytes.chunks(3).map(digits).collect()
}

fn credentials(issuer: &Issuer, secret: &str) -> ClientCredentials {
    let mut credentials = ClientCredentials::new(&issuer.url, "billing", secret);
    credentials.scope = Some("kafka".to_owned());
    credentials.tls = TlsConfig::new(Pem::Bytes(pem!("authority.pem").into()));
    credentials
}

/// Starts a node that takes tokens without a signature.
async fn kafka() -> Option<RealKafka> {
    let plain = "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"admin\" \
                 password=\"admin\" user_admin=\"admin\";";
    let token = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required \
                 unsecuredLoginStringClaim_sub=\"admin\";";
    let of_listener = "listener.name.plaintext";
    let properties = [
        ("listener.security.protocol.map", "CONTROLLER:PLAINTEXT,PLAINTEXT:SASL_PLAINTEXT"),
        ("inter.broker.listener.name", "PLAINTEXT"),
        ("sasl.mechanism.inter.broker.protocol", "PLAIN"),
        (&format!("{of_listener}.sasl.enabled.mechanisms"), "PLAIN,OAUTHBEARER"),
        (&format!("{of_listener}.plain.sasl.jaas.config"), plain),
        (&format!("{of_listener}.oauthbearer.sasl.jaas.config"), token),
        ("super.users", "User:ANONYMOUS;User:admin;User:billing"),
    ];
    let properties = properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    match RealKafka::start(RealConfig { version: kafka_version(), properties, ..RealConfig::default() }).await {
        Ok(kafka) => Some(kafka),
        Err(unavailable) => {
            skip("OAUTHBEARER with Apache Kafka", &unavailable.to_string());
            None
        }
    }
}

async fn connect(bootstrap: &str, credentials: ClientCredentials) -> Result<Client, String> {
    let mut config = client_config(bootstrap);
    config.sasl = Some(Sasl::client_credentials(credentials).expect("the URL is one of HTTPS"));
    Client::connect(config).await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_token_from_an_issuer_lets_the_client_in_and_is_renewed() {
    let Some(kafka) = kafka().await else { return };
    let lasting = issuer(Duration::from_secs(60)).await;
    let client = connect(kafka.bootstrap(), credentials(&lasting, "s3cret")).await.expect("the broker takes the token");
    create_topic(&client, "t", 1).await;
    assert_eq!(lasting.given.load(Ordering::Relaxed), 1, "connections share it");
    // The client asks for a new token after 80 % of this, and renews its session after 85 to 95 %: the rest is what the
    // broker may stand still.
    let issuer = issuer(Duration::from_secs(10)).await;
    let client = connect(kafka.bootstrap(), credentials(&issuer, "s3cret")).await.expect("the broker takes the token");
    // The session ends with the token, so the connection authenticates again with a new one.
    within("a third token", Duration::from_secs(60), async {
        while issuer.given.load(Ordering::Relaxed) < 3 {
            client.list_topics().await.expect("the connection stays");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;

    // The same by Java's names.
    let authorities = concat!(env!("CARGO_MANIFEST_DIR"), "/../kafka-wire/tests/tls/authority.pem");
    let text = format!(
        "bootstrap.servers={}\nsecurity.protocol=SASL_PLAINTEXT\nsasl.mechanism=OAUTHBEARER\n\
         sasl.oauthbearer.token.endpoint.url={}\nsasl.oauthbearer.scope=kafka\n\
         sasl.oauthbearer.client.credentials.client.id=billing\n\
         sasl.oauthbearer.client.credentials.client.secret=s3cret\nhttps.ca.location={authorities}\n",
        kafka.bootstrap(),
        issuer.url
    );
    let config = Properties::parse(&text).and_then(|properties| properties.client()).expect("it is complete");
    Client::connect(config).await.expect("the broker takes the token").list_topics().await.expect("an answer");
}

#[tokio::test]
async fn a_mistake_is_told_with_the_key_to_look_at() {
    let issuer = issuer(Duration::from_secs(60)).await;
    // Nobody has to listen there in earnest: the token comes first. But something has to speak Kafka's protocol.
    let Some(kafka) = kafka().await else { return };
    let said = connect(kafka.bootstrap(), credentials(&issuer, "guessed")).await.expect_err("it is wrong");
    for part in [&*issuer.url, "401", "invalid_client", "sasl.oauthbearer.client.credentials.client.secret"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("guessed"), "{said}");
    let mut stranger = credentials(&issuer, "s3cret");
    stranger.tls = TlsConfig::new(Pem::Bytes(pem!("stranger.pem").into()));
    let said = connect(kafka.bootstrap(), stranger).await.expect_err("the certificate is of another authority");
    assert!(said.contains("signed by no authority"), "{said}");
    assert_eq!(issuer.given.load(Ordering::Relaxed), 0);
}
