//! TLS to brokers, for their SSL listeners: rustls, with cryptography that needs no C compiler.
//!
//! A broker has to show a certificate that an authority of the configuration has signed for the name that was dialled;
//! neither check can be turned off, and the system's own authorities are not asked.

use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::{fmt, fs};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

use super::{BoxFuture, Connector, DialError, TcpConnector, TlsProblem, Transport};
use crate::wire::Str;

/// Whom to trust and who to be. Start from [`TlsConfig::new`] and change what differs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsConfig {
    /// `ssl.truststore.certificates`: the authorities that may have signed the brokers' certificates, one or more.
    pub truststore_certificates: Pem,
    /// The client's own certificate, for brokers with `ssl.client.auth=required`. Default: none.
    pub keystore: Option<Keystore>,
    /// The DNS name or IP address that the certificate of every broker has to be for. Default: the one that is dialled.
    pub server_name: Option<String>,
}

/// The client's certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keystore {
    /// `ssl.keystore.certificate.chain`: the client's certificate, then those that lead to an authority of the broker.
    pub certificate_chain: Pem,
    /// `ssl.keystore.key`: the private key of the first certificate, not encrypted: PKCS#8, SEC1 or PKCS#1; RSA, ECDSA on
    /// P-256 or P-384, or Ed25519.
    pub key: Pem,
}

/// Text with `-----BEGIN ...-----` sections. What is not asked for, such as a certificate beside a key, is passed over.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// The text itself.
    Bytes(Vec<u8>),
    /// A file that is read once, when the connector is made.
    File(PathBuf),
}

/// Why there is no [`TlsConnector`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsConfigError {
    /// A file cannot be read.
    File {
        /// Kafka's name of the setting.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system answered.
        kind: io::ErrorKind,
    },
    /// There is no PEM section of the kind that is needed, or a broken one.
    Pem {
        /// Kafka's name of the setting.
        setting: &'static str,
        /// What is needed and what was found.
        reason: String,
    },
    /// A certificate that cannot be an authority.
    Authority {
        /// In the words of the TLS library.
        reason: String,
    },
    /// The private key cannot be used, or is not that of the certificate.
    Key {
        /// In the words of the TLS library.
        reason: String,
    },
    /// The configured server name is neither a DNS name nor an IP address.
    ServerName {
        /// As it was given.
        name: String,
    },
    /// This processor lacks instructions that the cryptography is written with.
    Processor {
        /// The first that it lacks.
        instructions: &'static str,
    },
}

/// TLS 1.3 or 1.2 over TCP. Use it with [`Client::connect_with`](super::Client::connect_with).
///
/// ```no_run
/// # async fn connect() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
///
/// use kafka_wire::client::{Client, ClientConfig, Pem, TlsConfig, TlsConnector};
///
/// let tls = TlsConfig::new(Pem::File("ca.pem".into()));
/// let connector = Arc::new(TlsConnector::new(&tls)?);
/// let client = Client::connect_with(ClientConfig::new("kafka.example:9093"), connector).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TlsConnector {
    connector: tokio_rustls::TlsConnector,
    server_name: Option<ServerName<'static>>,
    has_certificate: bool,
}

impl TlsConfig {
    /// Trusts the authorities in `truststore_certificates`, and shows no certificate to brokers.
    #[must_use]
    pub const fn new(truststore_certificates: Pem) -> Self {
        Self { truststore_certificates, keystore: None, server_name: None }
    }
}

impl TlsConnector {
    /// Reads the files and checks all that can be checked without a broker. It blocks as long as reading files does.
    ///
    /// # Errors
    /// See [`TlsConfigError`]: a file is missing, or holds no certificate or key, or one that cannot be used.
    pub fn new(config: &TlsConfig) -> Result<Self, TlsConfigError> {
        if let Some(instructions) = missing_instructions() {
            return Err(TlsConfigError::Processor { instructions });
        }
        let mut authorities = RootCertStore::empty();
        for authority in certificates(&config.truststore_certificates, TRUSTSTORE)? {
            let reason = |error: rustls::Error| TlsConfigError::Authority { reason: error.to_string() };
            authorities.add(authority).map_err(reason)?;
        }
        let unusable = |error: rustls::Error| TlsConfigError::Key { reason: error.to_string() };
        let builder = rustls::ClientConfig::builder_with_provider(Arc::new(rustls_graviola::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for TLS 1.2 and 1.3")
            .with_root_certificates(authorities);
        let client = match &config.keystore {
            None => builder.with_no_client_auth(),
            Some(Keystore { certificate_chain, key }) => builder
                .with_client_auth_cert(certificates(certificate_chain, CHAIN)?, private_key(key)?)
                .map_err(unusable)?,
        };
        let bad_name = |name: &String| TlsConfigError::ServerName { name: name.clone() };
        let parse = |name: &String| ServerName::try_from(name.clone()).map_err(|_| bad_name(name));
        Ok(Self {
            connector: Arc::new(client).into(),
            server_name: config.server_name.as_ref().map(parse).transpose()?,
            has_certificate: config.keystore.is_some(),
        })
    }
}

impl Connector for TlsConnector {
    fn connect(&self, host: Str, port: u16) -> BoxFuture<Result<Box<dyn Transport>, DialError>> {
        let Self { connector, server_name, has_certificate } = self.clone();
        Box::pin(async move {
            let bad_name = |error: rustls::pki_types::InvalidDnsNameError| DialError::Tls {
                problem: TlsProblem::BadName,
                reason: error.to_string(),
            };
            let name = server_name.map_or_else(|| ServerName::try_from(host.to_string()), Ok).map_err(bad_name)?;
            let tcp = TcpConnector.connect(host, port).await?;
            let handshake = connector.connect(name, tcp).await;
            let stream = handshake.map_err(|error| refusal(&error, has_certificate))?;
            Ok(Box::new(Encrypted { stream, has_certificate }) as Box<dyn Transport>)
        })
    }
}

impl fmt::Debug for TlsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connector: _, server_name, has_certificate } = self;
        f.debug_struct("TlsConnector")
            .field("server_name", server_name)
            .field("has_certificate", has_certificate)
            .finish_non_exhaustive()
    }
}

/// Shows no text: it may be a private key.
impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

impl fmt::Display for TlsConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { setting, path, kind } => write!(f, "{setting}: cannot read {}: {kind}", path.display()),
            Self::Pem { setting, reason } => write!(f, "{setting}: {reason}"),
            Self::Authority { reason } => write!(f, "{TRUSTSTORE}: a certificate cannot be an authority: {reason}"),
            Self::Key { reason } => write!(f, "{KEY} cannot be used with {CHAIN}: {reason}"),
            Self::ServerName { name } => write!(f, "server name {name:?} is neither a DNS name nor an IP address"),
            Self::Processor { instructions } => {
                write!(f, "TLS needs a processor with {instructions} instructions, which this one does not have")
            }
        }
    }
}

impl std::error::Error for TlsConfigError {}

/// A stream after its handshake. Its errors say what a broker still has against the client.
struct Encrypted {
    stream: TlsStream<Box<dyn Transport>>,
    has_certificate: bool,
}

impl AsyncRead for Encrypted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let has_certificate = self.has_certificate;
        Pin::new(&mut self.stream).poll_read(cx, buffer).map_err(|error| match tls_error(&error) {
            Some(rustls::Error::AlertReceived(_)) => io::Error::new(error.kind(), refusal(&error, has_certificate)),
            _ => error,
        })
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn refusal(error: &io::Error, has_certificate: bool) -> DialError {
    // Without an error of TLS it is one of the connection: the peer hung up on the handshake.
    let problem = tls_error(error).map_or(TlsProblem::NotTls, |error| problem(error, has_certificate));
    DialError::Tls { problem, reason: error.to_string() }
}

fn problem(error: &rustls::Error, has_certificate: bool) -> TlsProblem {
    use CertificateError as Bad;
    match error {
        rustls::Error::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => TlsProblem::UnknownAuthority,
        rustls::Error::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => {
            TlsProblem::NameMismatch
        }
        rustls::Error::InvalidCertificate(
            Bad::Expired | Bad::ExpiredContext { .. } | Bad::NotValidYet | Bad::NotValidYetContext { .. },
        ) => TlsProblem::Expired,
        rustls::Error::InvalidCertificate(_) => TlsProblem::BadCertificate,
        rustls::Error::InvalidMessage(_) => TlsProblem::NotTls,
        rustls::Error::PeerIncompatible(_) => TlsProblem::Incompatible,
        rustls::Error::AlertReceived(alert) => told_by_alert(*alert, has_certificate),
        _ => TlsProblem::Other,
    }
}

/// What an alert of a broker means. Older JDKs answer a missing certificate as they do a bad one.
const fn told_by_alert(alert: AlertDescription, has_certificate: bool) -> TlsProblem {
    match alert {
        AlertDescription::CertificateRequired => TlsProblem::CertificateRequired,
        AlertDescription::BadCertificate if !has_certificate => TlsProblem::CertificateRequired,
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied => TlsProblem::CertificateRefused,
        AlertDescription::HandshakeFailure
        | AlertDescription::ProtocolVersion
        | AlertDescription::InsufficientSecurity => TlsProblem::Incompatible,
        _ => TlsProblem::Other,
    }
}

/// The certificates in `pem`, one at least.
fn certificates(pem: &Pem, setting: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
    let text = read(pem, setting)?;
    let broken = |reason: String| TlsConfigError::Pem { setting, reason };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| broken(format!("not PEM: {error}")))?;
    if found.is_empty() {
        return Err(broken("there is no section -----BEGIN CERTIFICATE-----".to_owned()));
    }
    Ok(found)
}

fn private_key(pem: &Pem) -> Result<PrivateKeyDer<'static>, TlsConfigError> {
    let text = read(pem, KEY)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        let is_encrypted = text.windows(ENCRYPTED.len()).any(|window| window == ENCRYPTED);
        let reason = match error {
            _ if is_encrypted => "the key is encrypted: decrypt it with `openssl pkey`".to_owned(),
            rustls::pki_types::pem::Error::NoItemsFound => "there is no section -----BEGIN PRIVATE KEY-----".to_owned(),
            error => format!("not PEM: {error}"),
        };
        TlsConfigError::Pem { setting: KEY, reason }
    })
}

fn read(pem: &Pem, setting: &'static str) -> Result<Vec<u8>, TlsConfigError> {
    match pem {
        Pem::Bytes(bytes) => Ok(bytes.clone()),
        Pem::File(path) => {
            fs::read(path).map_err(|error| TlsConfigError::File { setting, path: path.clone(), kind: error.kind() })
        }
    }
}

/// Instructions that the cryptography is written with and this processor lacks; it would panic on its first use.
fn missing_instructions() -> Option<&'static str> {
    #[cfg(target_arch = "x86_64")]
    let needed = [
        ("aes", is_x86_feature_detected!("aes")),
        ("pclmulqdq", is_x86_feature_detected!("pclmulqdq")),
        ("bmi1", is_x86_feature_detected!("bmi1")),
        ("bmi2", is_x86_feature_detected!("bmi2")),
        ("adx", is_x86_feature_detected!("adx")),
        ("avx2", is_x86_feature_detected!("avx2")),
    ];
    #[cfg(target_arch = "aarch64")]
    let needed = [
        ("aes", std::arch::is_aarch64_feature_detected!("aes")),
        ("pmull", std::arch::is_aarch64_feature_detected!("pmull")),
        ("sha2", std::arch::is_aarch64_feature_detected!("sha2")),
    ];
    needed.iter().find(|(_, has)| !has).map(|(name, _)| *name)
}

const TRUSTSTORE: &str = "ssl.truststore.certificates";
const CHAIN: &str = "ssl.keystore.certificate.chain";
const KEY: &str = "ssl.keystore.key";
const ENCRYPTED: &[u8] = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
