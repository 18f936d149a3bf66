//! Who a client is, for brokers that ask: the mechanisms of SASL with what each needs.

use std::fmt;
use std::sync::Arc;

use super::BoxFuture;
use crate::sasl::{Exchange, OAuthBearer, OAuthToken, Plain, SaslError};
#[cfg(feature = "sasl")]
use crate::sasl::{Scram, ScramHash};
use crate::wire::Str;

/// A way to say who a client is: the seam for mechanisms that this crate does not have.
///
/// It is asked for an [`Exchange`] at the start of each connection, and again on connections whose session ends
/// (KIP-368).
pub trait Mechanism: Send + Sync + 'static {
    /// Name that brokers know it by, as in `sasl.enabled.mechanisms`.
    fn name(&self) -> Str;

    /// Begins an exchange with the broker at `host`. It may take its time, to fetch a token for example; the
    /// connection gives up on it after `connect_timeout`.
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
    /// PLAIN: the password as it is. Use it with TLS: without it, whoever listens on the way reads the password.
    #[must_use]
    pub fn plain(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self::custom(PlainLogin { username: username.into(), password: password.into() })
    }

    /// SCRAM-SHA-256: proves to know the password, and has the broker prove it as well.
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

    /// OAUTHBEARER: `token` is asked for a token that is still valid, once for each connection and each renewal of
    /// its session. It should keep one while it is valid.
    ///
    /// ```
    /// use kafka_wire::client::Sasl;
    /// use kafka_wire::sasl::OAuthToken;
    ///
    /// let sasl = Sasl::oauthbearer(|| async { Ok(OAuthToken::new(std::fs::read_to_string("token.jwt").map_err(|error| error.to_string())?.trim())) });
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

    /// Name of the mechanism.
    #[must_use]
    pub fn mechanism(&self) -> Str {
        self.mechanism.name()
    }

    pub(super) fn begin(&self, host: &str) -> BoxFuture<Result<Box<dyn Exchange>, SaslError>> {
        self.mechanism.begin(host)
    }
}

/// Shows the mechanism alone.
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

/// Random text that nobody can guess.
#[cfg(feature = "sasl")]
fn nonce() -> Result<String, String> {
    use base64::Engine as _;

    let mut bytes = [0; NONCE_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| format!("this machine gives no random numbers: {error}"))?;
    Ok(base64::engine::general_purpose::STANDARD.encode(bytes))
}

#[cfg(feature = "sasl")]
const NONCE_BYTES: usize = 24;
