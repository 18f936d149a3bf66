//! TLS to brokers, for their SSL listeners: rustls, with cryptography that needs no C compiler.
//!
//! A broker has to show a trusted certificate for the name that was dialled. `pem` reads the forms of PEM in use,
//! `key` identifies private keys, and `trust` decides about brokers' certificates.

mod der;
mod form;
mod key;
mod pem;
mod trust;

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::SystemTime;
use std::{env, fmt, fs};

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::KeyProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, CertificateError, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;
use tracing::{info, warn};

use super::lock::lock;
use super::{BoxFuture, Connector, DialError, Secret, TcpConnector, TlsProblem, Transport};
use crate::wire::Str;
use form::{is_pem, other_form};
use trust::Trust;

/// The certificates that the client trusts, and its own. Start from [`TlsConfig::new`] or [`TlsConfig::default`] and
/// change what differs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsConfig {
    /// The authorities that decide about the certificates of brokers. Default: [`Truststore::System`].
    pub truststore: Truststore,
    /// The client's own certificate, for brokers with `ssl.client.auth=required`. Default: none.
    pub keystore: Option<Keystore>,
    /// The DNS name or IP address that the certificate of every broker has to be for. Default: the dialled one.
    pub server_name: Option<String>,
    /// Whether the name in a broker's certificate is checked (`ssl.endpoint.identification.algorithm`).
    /// Default: true. Without this check, anybody who has a certificate of a trusted authority can pose as the broker.
    pub checks_name: bool,
}

/// The authorities that decide about the certificates of brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Truststore {
    /// `ssl.truststore.certificates`: authorities that may have signed the brokers' certificates, or these certificates
    /// themselves; one or more.
    Certificates(Pem),
    /// The authorities that this machine trusts: the file that `SSL_CERT_FILE` names, or the usual one of the platform.
    /// If there is none, as in an empty container, those of [`Truststore::BuiltIn`].
    System,
    /// The authorities that Mozilla trusted at the time of the build.
    BuiltIn,
}

/// The client's certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Keystore {
    /// `ssl.keystore.certificate.chain`: the client's certificate, then the ones that lead to an authority of
    /// the broker.
    pub certificate_chain: Pem,
    /// `ssl.keystore.key`: the private key of the first certificate: PKCS#8, SEC1 or PKCS#1; RSA of 2048 bits or
    /// more, EC on P-256 or P-384, or Ed25519.
    pub key: Pem,
    /// `ssl.key.password`, for a key that is encrypted (PKCS#8 with PBES2: PBKDF2 and AES). Default: none.
    pub key_password: Option<Secret>,
}

impl Keystore {
    /// Makes a keystore of a certificate and its key, which is not encrypted. Both may be the same file.
    #[must_use]
    pub const fn new(certificate_chain: Pem, key: Pem) -> Self {
        Self { certificate_chain, key, key_password: None }
    }
}

/// Text with `-----BEGIN ...-----` sections, with line breaks, or with spaces, `\n` or nothing in their place.
/// Sections of other kinds, such as a certificate beside a key, are ignored.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// The text itself.
    Bytes(Vec<u8>),
    /// A file. When it changes, the connections that are made from then on use the new content.
    File(PathBuf),
}

/// The reason why a [`TlsConnector`] could not be made.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsConfigError {
    /// A file cannot be read.
    File {
        /// Kafka's name of the setting.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the system.
        kind: io::ErrorKind,
    },
    /// There is no PEM section of the required kind, or it is damaged.
    Pem {
        /// Kafka's name of the setting.
        setting: &'static str,
        /// The required kind, and the kinds that were found.
        reason: String,
    },
    /// A certificate cannot be an authority.
    Authority {
        /// The reason, in the words of the TLS library.
        reason: String,
    },
    /// The private key cannot be used, or does not belong to the certificate.
    Key {
        /// The mistake, with nothing of the key itself.
        reason: String,
    },
    /// The configured server name is neither a DNS name nor an IP address.
    ServerName {
        /// The name as it was given.
        name: String,
    },
    /// This processor lacks instructions that the cryptography uses.
    Processor {
        /// The first missing one.
        instructions: &'static str,
    },
}

/// TLS 1.3 or 1.2 over TCP. [`Client::connect`](super::Client::connect) uses it if `ClientConfig::tls` is set.
///
/// ```no_run
/// # async fn connect() -> Result<(), Box<dyn std::error::Error>> {
/// use kafka_wire::client::{Client, ClientConfig, Pem, TlsConfig};
///
/// let mut config = ClientConfig::new("kafka.example:9093");
/// config.tls = Some(TlsConfig::new(Pem::File("ca.pem".into())));
/// let client = Client::connect(config).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TlsConnector {
    shared: Arc<Shared>,
}

struct Shared {
    config: TlsConfig,
    server_name: Option<ServerName<'static>>,
    loaded: Mutex<Loaded>,
}

/// The configuration made of the files, and the state of the files at that time.
struct Loaded {
    connector: tokio_rustls::TlsConnector,
    stamps: Vec<Stamp>,
}

/// A file, with the time and size of its last change.
type Stamp = (PathBuf, Option<(SystemTime, u64)>);

impl TlsConfig {
    /// Makes a configuration that trusts these certificates and shows none to brokers.
    #[must_use]
    pub const fn new(truststore_certificates: Pem) -> Self {
        Self {
            truststore: Truststore::Certificates(truststore_certificates),
            keystore: None,
            server_name: None,
            checks_name: true,
        }
    }

    fn stamps(&self) -> Vec<Stamp> {
        let truststore = match &self.truststore {
            Truststore::Certificates(pem) => pem.path().map(Path::to_owned),
            Truststore::System => system_authorities(),
            Truststore::BuiltIn => None,
        };
        let keystore = self.keystore.iter().flat_map(|keystore| [&keystore.certificate_chain, &keystore.key]);
        let files = truststore.into_iter().chain(keystore.filter_map(Pem::path).map(Path::to_owned));
        files
            .map(|path| {
                let written = fs::metadata(&path).and_then(|meta| Ok((meta.modified()?, meta.len()))).ok();
                (path, written)
            })
            .collect()
    }
}

/// Trusts the authorities that this machine trusts, and shows no certificate.
impl Default for TlsConfig {
    fn default() -> Self {
        Self { truststore: Truststore::System, keystore: None, server_name: None, checks_name: true }
    }
}

impl TlsConnector {
    /// Reads the files and checks everything that can be checked without a broker. It blocks while it reads files.
    ///
    /// The files are looked at for each connection. If one has changed, all are read anew. If they do not fit together,
    /// as between the writing of a new certificate and of its key, the earlier ones stay in use, with a warning.
    ///
    /// # Errors
    /// See [`TlsConfigError`]: a file is missing, has no certificate or key, or has one that cannot be used.
    pub fn new(config: &TlsConfig) -> Result<Self, TlsConfigError> {
        if let Some(instructions) = missing_instructions() {
            return Err(TlsConfigError::Processor { instructions });
        }
        let bad_name = |name: &String| TlsConfigError::ServerName { name: name.clone() };
        let parse = |name: &String| ServerName::try_from(name.clone()).map_err(|_| bad_name(name));
        let server_name = config.server_name.as_ref().map(parse).transpose()?;
        let stamps = config.stamps();
        let connector = load(config)?;
        let shared = Shared { config: config.clone(), server_name, loaded: Mutex::new(Loaded { connector, stamps }) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Returns the connector for the current files.
    fn current(&self) -> tokio_rustls::TlsConnector {
        let mut loaded = lock(&self.shared.loaded);
        let stamps = self.shared.config.stamps();
        if stamps != loaded.stamps {
            match load(&self.shared.config) {
                Ok(connector) => {
                    info!("certificates and keys were read anew, because their files have changed");
                    *loaded = Loaded { connector, stamps };
                }
                Err(error) => warn!(%error, "changed certificates or keys cannot be used; the ones before stay in use"),
            }
        }
        loaded.connector.clone()
    }

    fn has_certificate(&self) -> bool {
        self.shared.config.keystore.is_some()
    }
}

fn load(config: &TlsConfig) -> Result<tokio_rustls::TlsConnector, TlsConfigError> {
    let provider = Arc::new(rustls_graviola::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for TLS 1.2 and 1.3");
    let (roots, pinned) = authorities(&config.truststore)?;
    let reason = |error: rustls::client::VerifierBuilderError| TlsConfigError::Authority { reason: error.to_string() };
    let provider_of_keys = provider.key_provider;
    let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().map_err(reason)?;
    let trust = Trust { authorities, pinned, checks_name: config.checks_name };
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(trust));
    let client = match &config.keystore {
        None => builder.with_no_client_auth(),
        Some(keystore) => {
            let (chain, key) = (certificates(&keystore.certificate_chain, CHAIN)?, private_key(keystore)?);
            let place = place_of_own(&chain, &key, provider_of_keys);
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| TlsConfigError::Key { reason: unusable(&error, place) })?
        }
    };
    Ok(Arc::new(client).into())
}

/// Returns the authorities, and the certificates of a truststore of the user's own.
fn authorities(truststore: &Truststore) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), TlsConfigError> {
    let mut roots = RootCertStore::empty();
    match truststore {
        Truststore::Certificates(pem) => {
            let pinned = certificates(pem, TRUSTSTORE)?;
            for certificate in pinned.iter().filter(|certificate| trust::may_sign(certificate)) {
                let reason = |error: rustls::Error| TlsConfigError::Authority { reason: error.to_string() };
                roots.add(certificate.clone()).map_err(reason)?;
            }
            if roots.is_empty() {
                roots.roots.push(trust::no_authority());
            }
            return Ok((roots, pinned));
        }
        Truststore::System => {
            if let Some(path) = system_authorities() {
                // One that cannot be used is no reason to distrust the others.
                roots.add_parsable_certificates(certificates(&Pem::File(path), TRUSTSTORE)?);
            }
        }
        Truststore::BuiltIn => {}
    }
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    Ok((roots, Vec::new()))
}

/// Returns the file with the authorities that this machine trusts.
fn system_authorities() -> Option<PathBuf> {
    let given = env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty()).map(PathBuf::from);
    given.or_else(|| BUNDLES.iter().map(PathBuf::from).find(|path| path.exists()))
}

/// Returns the objection of the TLS library against a key, in words that quote nothing. `place` is the number of the
/// certificate that the key belongs to.
fn unusable(error: &rustls::Error, place: Option<usize>) -> String {
    let reason = match (error, place) {
        (rustls::Error::InconsistentKeys(_), Some(place)) => {
            return format!(
                "it is not the key of the first certificate but of number {place}: the client's own certificate has to stand \
                 first, then the one that signed it, and so on"
            );
        }
        (rustls::Error::InconsistentKeys(_), None) => "it is not the key of the first certificate",
        (rustls::Error::InvalidCertificate(_), _) => "the first certificate cannot be read",
        _ => "it is broken, or of a kind that this client does not have",
    };
    reason.to_owned()
}

/// Returns the place in the chain, from 1, of the certificate that the key belongs to.
fn place_of_own(
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
    keys: &'static dyn KeyProvider,
) -> Option<usize> {
    let key = keys.load_private_key(key.clone_key()).ok()?;
    let is_own = |certificate: &CertificateDer<'static>| {
        CertifiedKey::new(vec![certificate.clone()], Arc::clone(&key)).keys_match().is_ok()
    };
    chain.iter().position(is_own).map(|place| place + 1)
}

impl Connector for TlsConnector {
    fn connect(&self, host: Str, port: u16) -> BoxFuture<Result<Box<dyn Transport>, DialError>> {
        let (connector, has_certificate) = (self.current(), self.has_certificate());
        let server_name = self.shared.server_name.clone();
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
        f.debug_struct("TlsConnector").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

/// The text is not shown, because it may be a private key.
impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
            Self::File(path) if is_pem(path) => write!(f, "File(PEM of {} bytes)", path.as_os_str().len()),
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

debug_as_text!(TlsConfigError);

impl std::error::Error for TlsConfigError {}

/// A stream after its handshake. Its errors tell why a broker rejects the client after that.
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
    // Without a TLS error it is an error of the connection: the peer closed it during the handshake.
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

/// The meaning of a broker's alert. Older JDKs send the same alert for a missing certificate and for a bad one.
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

/// The certificates in `pem`, at least one.
fn certificates(pem: &Pem, setting: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
    let sections = sections(pem, setting)?.into_iter();
    let found = sections.filter_map(|section| match &*section.label {
        "CERTIFICATE" | "X509 CERTIFICATE" => Some(section.der),
        // Behind the certificate, OpenSSL says what it is trusted for.
        "TRUSTED CERTIFICATE" => Some(der::first_element(&section.der)?.to_vec()),
        _ => None,
    });
    let found: Vec<_> = found.map(CertificateDer::from).collect();
    if found.is_empty() {
        let reason = "there is no section -----BEGIN CERTIFICATE-----".to_owned();
        return Err(TlsConfigError::Pem { setting, reason });
    }
    Ok(found)
}

fn private_key(keystore: &Keystore) -> Result<PrivateKeyDer<'static>, TlsConfigError> {
    let password = keystore.key_password.as_ref().map(Secret::reveal);
    key::private_key(sections(&keystore.key, KEY)?, password)
        .map_err(|reason| TlsConfigError::Pem { setting: KEY, reason })
}

fn sections(pem: &Pem, setting: &'static str) -> Result<Vec<pem::Section>, TlsConfigError> {
    let text = match pem {
        Pem::Bytes(bytes) => bytes.clone(),
        // The path is not named: it holds a key.
        Pem::File(path) if is_pem(path) => {
            let reason = format!("it is to name a file, and was given the PEM itself: that belongs in {setting}");
            return Err(TlsConfigError::Pem { setting, reason });
        }
        Pem::File(path) => {
            fs::read(path).map_err(|error| TlsConfigError::File { setting, path: path.clone(), kind: error.kind() })?
        }
    };
    let wrong = |reason: String| TlsConfigError::Pem { setting, reason };
    match other_form(&text, pem.path()) {
        Some(reason) => Err(wrong(reason)),
        None => pem::sections(&text).map_err(wrong),
    }
}

impl Pem {
    fn path(&self) -> Option<&Path> {
        match self {
            Self::Bytes(_) => None,
            Self::File(path) => Some(path),
        }
    }
}

/// Instructions that the cryptography uses and this processor lacks; it would panic on its first use.
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
/// The places of that file on Debian and Alpine, Fedora, openSUSE, OpenBSD and macOS, and FreeBSD.
const BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
];
