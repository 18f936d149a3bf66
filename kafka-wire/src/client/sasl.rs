//! Authentication of a client: the mechanisms of SASL, with the credentials that each needs.

use std::fmt;
use std::sync::Arc;

use super::BoxFuture;
use crate::sasl::{Exchange, OAuthBearer, OAuthToken, Plain, SaslError};
#[cfg(feature = "sasl")]
use crate::sasl::{Scram, ScramHash};
use crate::wire::Str;

/// A way to authenticate: the trait by which a program adds mechanisms that this crate does not have.
///
/// The client asks it for an [`Exchange`] at the start of each connection, and again on connections whose
/// session ends (KIP-368).
pub trait Mechanism: Send + Sync + 'static {
    /// Returns the name that brokers know, as in `sasl.enabled.mechanisms`.
    fn name(&self) -> Str;

    /// Does what may take longer than a connection has, such as fetching a first token. A client that connects waits
    /// for it before `bootstrap_timeout` begins. Nothing by default.
    fn prepare(&self) -> BoxFuture<Result<(), SaslError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Begins an exchange with the broker at `host`. It may take some time, for example to fetch a token;
    /// the connection fails after `connect_timeout`.
    fn begin(&self, host: &str) -> BoxFuture<Result<Box<dyn Exchange>, SaslError>>;
}

/// `sasl.mechanism`, and the credentials for it. Clones share them.
///
/// ```
/// use kafka_wire::client::{ClientConfig, Sasl};
///
/// let mut config = ClientConfig::new("kafka.example:9092");
/// config.sasl = Some(Sasl::plain("alice", "her password"));
/// assert!(!format!("{config:?}").contains("her password"));
/// ```
#[derive(Clone)]
pub struct Sasl {
    mechanism: Arc<dyn Mechanism>,
}

impl Sasl {
    /// PLAIN: sends the password itself. Use it only with TLS: without it, anybody on the way can read the password.
    #[must_use]
    pub fn plain(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self::custom(PlainLogin { username: username.into(), password: password.into() })
    }

    /// SCRAM-SHA-256: proves that the client knows the password, and has the broker prove the same.
    #[cfg(feature = "sasl")]
    #[must_use]
    pub fn scram_sha_256(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self::custom(ScramLogin { hash: ScramHash::Sha256, username: username.into(), password: password.into() })
    }

    /// SCRAM-SHA-512, as [`Sasl::scram_sha_256`].
    #[cfg(feature = "sasl")]
    #[must_use]
    pub fn scram_sha_512(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self::custom(ScramLogin { hash: ScramHash::Sha512, username: username.into(), password: password.into() })
    }

    /// OAUTHBEARER: `token` is asked for a valid token, once for each connection and each renewal of its session.
    /// It should keep a token as long as it is valid.
    ///
    /// ```
    /// use kafka_wire::client::Sasl;
    /// use kafka_wire::sasl::OAuthToken;
    ///
    /// let sasl = Sasl::oauthbearer(|| async {
    ///     let token = std::fs::read_to_string("token.jwt").map_err(|error| error.to_string())?;
    ///     Ok(OAuthToken::new(token.trim()))
    /// });
    /// ```
    #[must_use]
    pub fn oauthbearer<F, T>(token: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output = Result<OAuthToken, String>> + Send + 'static,
    {
        Self::custom(TokenLogin { token })
    }

    /// Any other mechanism.
    #[must_use]
    pub fn custom(mechanism: impl Mechanism) -> Self {
        Self { mechanism: Arc::new(mechanism) }
    }

    /// Returns the name of the mechanism.
    #[must_use]
    pub fn mechanism(&self) -> Str {
        self.mechanism.name()
    }

    pub(super) fn prepare(&self) -> BoxFuture<Result<(), SaslError>> {
        self.mechanism.prepare()
    }

    pub(super) fn begin(&self, host: &str) -> BoxFuture<Result<Box<dyn Exchange>, SaslError>> {
        self.mechanism.begin(host)
    }
}

/// Shows only the mechanism.
impl fmt::Debug for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sasl").field(&self.mechanism()).finish()
    }
}

struct PlainLogin {
    username: String,
    password: String,
}

impl Mechanism for PlainLogin {
    fn name(&self) -> Str {
        Str::from_static(Plain::MECHANISM)
    }

    fn begin(&self, _host: &str) -> BoxFuture<Result<Box<dyn Exchange>, SaslError>> {
        ready(Ok(Box::new(Plain::new(&self.username, &self.password)) as Box<dyn Exchange>))
    }
}

#[cfg(feature = "sasl")]
struct ScramLogin {
    hash: ScramHash,
    username: String,
    password: String,
}

#[cfg(feature = "sasl")]
impl Mechanism for ScramLogin {
    fn name(&self) -> Str {
        Str::from_static(self.hash.mechanism())
    }

    fn begin(&self, _host: &str) -> BoxFuture<Result<Box<dyn Exchange>, SaslError>> {
        ready(
            nonce()
                .map(|nonce| {
                    Box::new(Scram::new(self.hash, &self.username, &self.password, &nonce)) as Box<dyn Exchange>
                })
                .map_err(|reason| SaslError::NoCredentials { mechanism: self.name(), reason }),
        )
    }
}

struct TokenLogin<F> {
    token: F,
}

impl<F, T> Mechanism for TokenLogin<F>
where
    F: Fn() -> T + Send + Sync + 'static,
    T: Future<Output = Result<OAuthToken, String>> + Send + 'static,
{
    fn name(&self) -> Str {
        Str::from_static(OAuthBearer::MECHANISM)
    }

    fn begin(&self, _host: &str) -> BoxFuture<Result<Box<dyn Exchange>, SaslError>> {
        let token = (self.token)();
        let mechanism = self.name();
        Box::pin(async move {
            let token = token.await.map_err(|reason| SaslError::NoCredentials { mechanism, reason })?;
            Ok(Box::new(OAuthBearer::new(&token)?) as Box<dyn Exchange>)
        })
    }
}

fn ready(exchange: Result<Box<dyn Exchange>, SaslError>) -> BoxFuture<Result<Box<dyn Exchange>, SaslError>> {
    Box::pin(std::future::ready(exchange))
}

/// Makes a random text that nobody can guess.
#[cfg(feature = "sasl")]
fn nonce() -> Result<String, String> {
    use base64::Engine as _;

    let mut bytes = [0; NONCE_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| format!("this machine gives no random numbers: {error}"))?;
    Ok(base64::engine::general_purpose::STANDARD.encode(bytes))
}

#[cfg(feature = "sasl")]
const NONCE_BYTES: usize = 24;
