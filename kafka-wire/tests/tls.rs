//! TLS against a server in this process: the certificates that the client accepts and shows, and its errors.
//!
//! The certificates were made by `tls/make.sh`: of the two authorities, `authority` signed all the others.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use kafka_wire::client::{
    Client, ClientConfig, ConnectError, ConnectFailure, Connector, DialError, Keystore, NotSentCause, Pem,
    RequestError, TlsConfig, TlsConfigError, TlsConnector, TlsProblem, Transport,
};
use kafka_wire::wire::Str;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

macro_rules! pem {
    ($name:literal) => {
        include_bytes!(concat!("tls/", $name))
    };
}

const AUTHORITY: &[u8] = pem!("authority.pem");
const STRANGER: &[u8] = pem!("stranger.pem");
const BROKER: Identity = (pem!("broker.pem"), pem!("broker.key"));
const ELSEWHERE: Identity = (pem!("elsewhere.pem"), pem!("elsewhere.key"));
const EXPIRED: Identity = (pem!("expired.pem"), pem!("expired.key"));
const CLIENT: Identity = (pem!("client.pem"), pem!("client.key"));

/// The reason why the set-up of the tests cannot fail.
const SOUND: &str = "certificates of ours and the loopback work";

/// A certificate and its key.
type Identity = (&'static [u8], &'static [u8]);

/// A server that echoes its input; it may require clients to have a certificate signed by `authority`.
struct Server {
    identity: Identity,
    wants_certificate: bool,
    version: &'static SupportedProtocolVersion,
}

impl Server {
    const fn new(identity: Identity) -> Self {
        Self { identity, wants_certificate: false, version: &rustls::version::TLS13 }
    }

    fn acceptor(&self) -> tokio_rustls::TlsAcceptor {
        let provider = Arc::new(rustls_graviola::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(AUTHORITY).expect(SOUND)).expect(SOUND);
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let verifier = if self.wants_certificate {
            verifier.build().expect(SOUND)
        } else {
            WebPkiClientVerifier::no_client_auth()
        };
        let chain = vec![CertificateDer::from_pem_slice(self.identity.0).expect(SOUND)];
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[self.version])
            .expect(SOUND)
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, PrivateKeyDer::from_pem_slice(self.identity.1).expect(SOUND))
            .expect(SOUND);
        Arc::new(config).into()
    }

    /// Serves until the test ends; returns the port.
    async fn start(self) -> u16 {
        let acceptor = self.acceptor();
        serve(move |tcp| {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                match acceptor.accept(tcp).into_fallible().await {
                    Ok(mut stream) => drop(echo(&mut stream).await),
                    // Closing a connection with unread bytes resets it, and the alert would be lost.
                    Err((_, mut tcp)) => drop(tcp.read_to_end(&mut Vec::new()).await),
                }
            })
        })
        .await
    }
}

async fn echo(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin)) -> io::Result<()> {
    let mut heard = [0; 1024];
    loop {
        let count = stream.read(&mut heard).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&heard[..count]).await?;
        stream.flush().await?;
    }
}

async fn serve(handle: impl Fn(TcpStream) -> JoinHandle<()> + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect(SOUND);
    let port = listener.local_addr().expect(SOUND).port();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            handle(tcp);
        }
    });
    port
}

fn bytes(pem: &[u8]) -> Pem {
    Pem::Bytes(pem.to_vec())
}

fn trusting(authority: &[u8]) -> TlsConfig {
    TlsConfig::new(bytes(authority))
}

/// Expects the certificates of all brokers to be for `name`.
fn expecting(name: &str) -> TlsConfig {
    let mut config = trusting(AUTHORITY);
    config.server_name = Some(name.to_owned());
    config
}

/// Shows a certificate to the server.
fn known_as((chain, key): (&[u8], &[u8])) -> TlsConfig {
    let mut config = trusting(AUTHORITY);
    config.keystore = Some(Keystore::new(bytes(chain), bytes(key)));
    config
}

async fn dial(config: &TlsConfig, host: &str, port: u16) -> Result<Box<dyn Transport>, DialError> {
    TlsConnector::new(config).expect(SOUND).connect(Str::from(host), port).await
}

/// Sends more than a TLS record holds and expects it back.
async fn assert_echo(mut stream: Box<dyn Transport>) {
    let said: Vec<u8> = (0..100_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    let (mut from, mut to) = tokio::io::split(&mut stream);
    let mut heard = vec![0; said.len()];
    let write = async {
        to.write_all(&said).await.expect(SOUND);
        to.flush().await.expect(SOUND);
    };
    tokio::join!(write, async { from.read_exact(&mut heard).await.expect(SOUND) });
    assert!(said == heard);
}

/// Dials and expects to fail; returns the client's problem and its text.
async fn in_vain(config: &TlsConfig, host: &str, port: u16) -> (TlsProblem, String) {
    let error = dial(config, host, port).await.err().expect("this handshake fails");
    let DialError::Tls { problem, .. } = &error else { panic!("{error:?}") };
    (*problem, error.to_string())
}

#[tokio::test]
async fn a_broker_is_known_by_its_name_and_by_its_address() {
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let port = Server { version, ..Server::new(BROKER) }.start().await;
        for host in ["localhost", "127.0.0.1"] {
            assert_echo(dial(&trusting(AUTHORITY), host, port).await.unwrap()).await;
        }
    }
}

#[tokio::test]
async fn a_broker_of_another_authority_is_not_trusted() {
    let port = Server::new(BROKER).start().await;
    let (problem, text) = in_vain(&trusting(STRANGER), "localhost", port).await;
    assert_eq!(problem, TlsProblem::UnknownAuthority);
    assert!(text.contains("(invalid peer certificate: UnknownIssuer). Add the certificate of the authority"), "{text}");
    let both = [STRANGER, AUTHORITY].concat();
    assert_echo(dial(&trusting(&both), "localhost", port).await.unwrap()).await;
}

#[tokio::test]
async fn a_broker_of_another_name_is_refused_unless_that_name_is_expected() {
    let port = Server::new(ELSEWHERE).start().await;
    for host in ["localhost", "127.0.0.1"] {
        let (problem, text) = in_vain(&trusting(AUTHORITY), host, port).await;
        assert_eq!(problem, TlsProblem::NameMismatch);
        assert!(text.contains(host) && text.contains("broker.elsewhere.test"), "{text}");
    }
    assert_echo(dial(&expecting("broker.elsewhere.test"), "127.0.0.1", port).await.unwrap()).await;
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_refused() {
    let port = Server::new(EXPIRED).start().await;
    let (problem, text) = in_vain(&trusting(AUTHORITY), "localhost", port).await;
    assert_eq!(problem, TlsProblem::Expired, "{text}");
}

#[tokio::test]
async fn a_certificate_for_clients_is_no_brokers() {
    let port = Server::new(CLIENT).start().await;
    assert_eq!(in_vain(&expecting("client.test"), "localhost", port).await.0, TlsProblem::BadCertificate);
}

#[tokio::test]
async fn a_name_that_no_certificate_has_is_not_dialled() {
    assert_eq!(in_vain(&trusting(AUTHORITY), "no name", 1).await.0, TlsProblem::BadName);
}

#[tokio::test]
async fn a_peer_without_tls_is_named() {
    let closes = serve(|tcp| tokio::spawn(async move { drop(tcp) })).await;
    let talks = serve(|mut tcp| tokio::spawn(async move { drop(tcp.write_all(b"220 ready\r\n").await) })).await;
    for port in [closes, talks] {
        let (problem, text) = in_vain(&trusting(AUTHORITY), "localhost", port).await;
        assert_eq!(problem, TlsProblem::NotTls, "{text}");
        assert!(text.contains("SSL listener"), "{text}");
    }
}

#[tokio::test]
async fn a_client_shows_its_certificate() {
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let server = Server { wants_certificate: true, version, ..Server::new(BROKER) };
        assert_echo(dial(&known_as(CLIENT), "localhost", server.start().await).await.unwrap()).await;
    }
}

/// The client's problem, and its text, with a broker that verifies client certificates.
async fn judged(config: &TlsConfig) -> (TlsProblem, String) {
    let server = Server { wants_certificate: true, ..Server::new(BROKER) };
    let port = server.start().await;
    let connector = TlsConnector::new(config).expect(SOUND);
    let config = ClientConfig::new(&format!("localhost:{port}"));
    let error = Client::connect_with(config, Arc::new(connector)).await.expect_err("the broker does not let it in");
    let text = error.to_string();
    let ConnectError::Unreachable { attempts } = error else { panic!("{text}") };
    let [RequestError::NotSent { cause: NotSentCause::Connect(ConnectFailure::Dial(dial)), .. }] = &attempts[..] else {
        panic!("{text}")
    };
    let DialError::Tls { problem, .. } = dial else { panic!("{text}") };
    (*problem, text)
}

/// In TLS 1.3 the server reports it only after the handshake, to the first read.
#[tokio::test]
async fn a_certificate_that_is_missing_or_not_accepted_is_why_a_client_cannot_connect() {
    let (problem, text) = judged(&trusting(AUTHORITY)).await;
    assert_eq!(problem, TlsProblem::CertificateRequired, "{text}");
    assert!(text.ends_with("Set ssl.keystore.certificate.chain and ssl.keystore.key"), "{text}");
    let (problem, text) = judged(&known_as(EXPIRED)).await;
    assert_eq!(problem, TlsProblem::CertificateRefused, "{text}");
}

#[tokio::test]
async fn tls_1_2_tells_of_a_missing_certificate_in_the_handshake() {
    let server = Server { wants_certificate: true, version: &rustls::version::TLS12, ..Server::new(BROKER) };
    let (problem, text) = in_vain(&trusting(AUTHORITY), "localhost", server.start().await).await;
    assert!(text.contains("certificate of the client"), "{problem:?} {text}");
}

fn unusable(config: &TlsConfig) -> TlsConfigError {
    TlsConnector::new(config).expect_err("the configuration cannot be used")
}

#[test]
fn files_are_read_and_named_when_they_are_missing() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls");
    let file = |name: &str| Pem::File(format!("{directory}/{name}").into());
    let mut config = TlsConfig::new(file("authority.pem"));
    config.keystore = Some(Keystore::new(file("client.pem"), file("client.key")));
    TlsConnector::new(&config).unwrap();

    let error = unusable(&TlsConfig::new(file("none.pem")));
    assert!(matches!(&error, TlsConfigError::File { kind: ErrorKind::NotFound, .. }), "{error}");
    assert!(error.to_string().contains("ssl.truststore.certificates: cannot read "), "{error}");
}

#[test]
fn a_text_without_what_it_should_hold_is_refused() {
    let broken = AUTHORITY.strip_suffix(b"-----END CERTIFICATE-----\n").unwrap();
    let encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    for (config, expected) in [
        (trusting(b""), "ssl.truststore.certificates: it is empty"),
        (trusting(CLIENT.1), "ssl.truststore.certificates: there is no section -----BEGIN CERTIFICATE-----"),
        (trusting(broken), "ssl.truststore.certificates: there is a -----BEGIN CERTIFICATE----- without its"),
        (known_as((b"", CLIENT.1)), "ssl.keystore.certificate.chain: it is empty"),
        (known_as((CLIENT.0, CLIENT.0)), "ssl.keystore.key: there is no section -----BEGIN PRIVATE KEY-----"),
        (known_as((CLIENT.0, encrypted)), "ssl.keystore.key: the key is encrypted"),
    ] {
        let error = unusable(&config);
        assert!(matches!(error, TlsConfigError::Pem { .. }), "{error:?}");
        assert!(error.to_string().starts_with(expected), "{error}");
    }
    let no_certificate = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(unusable(&trusting(no_certificate)), TlsConfigError::Authority { .. }));
    let error = unusable(&known_as((CLIENT.0, BROKER.1)));
    assert!(matches!(error, TlsConfigError::Key { .. }), "{error:?}");
    let no_key = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert!(matches!(unusable(&known_as((CLIENT.0, no_key))), TlsConfigError::Key { .. }));
    assert_eq!(unusable(&expecting("no name")), TlsConfigError::ServerName { name: "no name".to_owned() });
}

#[test]
fn a_private_key_is_not_shown() {
    let shown = format!("{:?}", known_as(CLIENT));
    assert!(shown.contains("key: Bytes(241 bytes)") && !shown.contains("BEGIN"), "{shown}");
}
