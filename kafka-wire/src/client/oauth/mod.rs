//! Tokens for OAUTHBEARER by the grant of client credentials: a request over HTTPS with the id and the secret of the
//! client (RFC 6749, 4.4; KIP-768).
//!
//! A token is kept for all connections of the client, and renewed when 80 % of its time are over and a connection
//! asks for it. Connections ask again before the broker's session ends, which is when the token expires (KIP-368).
//! While renewals fail, or are slow, a token that is still valid goes on being used. An attempt is a task of its own,
//! because a slow issuer takes longer than one connection waits for it; a later one finds the token.

mod http;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;

use super::clock::now_ms;
use super::{BoxFuture, Mechanism, Sasl, Secret, TlsConfig, TlsConfigError, TlsConnector};
use crate::rng::Rng;
use crate::sasl::{Exchange, OAuthBearer, OAuthToken, SaslError};
use crate::wire::Str;
use http::{Endpoint, Reply};

/// The endpoint that gives tokens, and the credentials for it. Start from [`ClientCredentials::new`] and change
/// what differs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientCredentials {
    /// `sasl.oauthbearer.token.endpoint.url`: `https://HOST[:PORT]/PATH`. `http` is accepted for this machine alone,
    /// because the secret is in the request.
    pub token_endpoint_url: String,
    /// `sasl.oauthbearer.client.credentials.client.id`.
    pub client_id: String,
    /// `sasl.oauthbearer.client.credentials.client.secret`.
    pub client_secret: Secret,
    /// `sasl.oauthbearer.scope`. Default: none.
    pub scope: Option<String>,
    /// `sasl.oauthbearer.header.urlencode`: whether id and secret are URL-encoded in the header, as RFC 6749 has it and
    /// most issuers do not expect. Default: false.
    pub urlencodes_header: bool,
    /// SASL extensions for the broker's validator (KIP-342). Default: none.
    pub extensions: Vec<(String, String)>,
    /// The authorities that may have signed the endpoint's certificate. Default: those that this machine trusts.
    pub tls: TlsConfig,
    /// `sasl.login.connect.timeout.ms` and `sasl.login.read.timeout.ms` together: the time of one attempt.
    /// Default: 10 s. A client that connects waits so long for its first token, before `bootstrap_timeout` begins.
    /// Later a connection waits no longer than `connect_timeout` for its token, and no longer than 2 s for a new one
    /// while the last one is valid. The attempt goes on, for the next connection.
    pub timeout: Duration,
    /// `sasl.login.retry.backoff.ms`. Default: 100 ms.
    pub retry_backoff: Duration,
    /// `sasl.login.retry.backoff.max.ms`. Default: 10 s.
    pub retry_backoff_max: Duration,
}

impl ClientCredentials {
    /// Makes credentials of a client for the endpoint at this URL.
    #[must_use]
    pub fn new(
        token_endpoint_url: impl Into<String>,
        client_id: impl Into<String>,
        client_secret: impl Into<Secret>,
    ) -> Self {
        Self {
            token_endpoint_url: token_endpoint_url.into(),
            client_id: client_id.into(),
            client_secret: client_secret.into(),
            scope: None,
            urlencodes_header: false,
            extensions: Vec::new(),
            tls: TlsConfig::default(),
            timeout: Duration::from_secs(10),
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(10),
        }
    }
}

/// The reason why credentials cannot be used.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OAuthConfigError {
    /// The URL of the endpoint is not of the form `https://HOST[:PORT]/PATH`.
    Url {
        /// The mistake.
        why: &'static str,
    },
    /// A certificate for the endpoint cannot be used.
    Tls(TlsConfigError),
}

impl fmt::Display for OAuthConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url { why } => write!(f, "sasl.oauthbearer.token.endpoint.url: {why}"),
            Self::Tls(error) => write!(f, "TLS with the endpoint of sasl.oauthbearer.token.endpoint.url: {error}"),
        }
    }
}

debug_as_text!(OAuthConfigError);

impl std::error::Error for OAuthConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Url { .. } => None,
            Self::Tls(error) => Some(error),
        }
    }
}

impl Sasl {
    /// OAUTHBEARER with tokens that an issuer gives for the credentials of this client. Clones share a token.
    ///
    /// ```no_run
    /// use kafka_wire::client::{ClientConfig, ClientCredentials, Sasl, TlsConfig};
    ///
    /// # fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let secret = std::env::var("CLIENT_SECRET")?;
    /// let mut credentials = ClientCredentials::new("https://issuer.example/oauth2/token", "billing", secret);
    /// credentials.scope = Some("kafka".to_owned());
    /// let mut config = ClientConfig::new("kafka.example:9093");
    /// config.tls = Some(TlsConfig::default());
    /// config.sasl = Some(Sasl::client_credentials(credentials)?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the URL is not one of HTTPS, or a certificate for the endpoint cannot be used.
    pub fn client_credentials(credentials: ClientCredentials) -> Result<Self, OAuthConfigError> {
        let endpoint = Endpoint::parse(&credentials.token_endpoint_url).map_err(|why| OAuthConfigError::Url { why })?;
        let tls = if endpoint.is_encrypted {
            Some(TlsConnector::new(&credentials.tls).map_err(OAuthConfigError::Tls)?)
        } else {
            None
        };
        let source = Source { credentials, endpoint, tls, state: Mutex::default() };
        Ok(Self::custom(Login { source: Arc::new(source) }))
    }
}

struct Login {
    source: Arc<Source>,
}

impl Mechanism for Login {
    fn name(&self) -> Str {
        Str::from_static(OAuthBearer::MECHANISM)
    }

    fn prepare(&self) -> BoxFuture<Result<(), SaslError>> {
        let source = Arc::clone(&self.source);
        let mechanism = self.name();
        Box::pin(async move {
            match tokio::time::timeout(source.credentials.timeout, source.token()).await {
                Ok(Err(reason)) => Err(SaslError::NoCredentials { mechanism, reason }),
                // A connection tells of an issuer that takes even longer.
                Ok(Ok(_)) | Err(_) => Ok(()),
            }
        })
    }

    fn begin(&self, _host: &str) -> BoxFuture<Result<Box<dyn Exchange>, SaslError>> {
        let source = Arc::clone(&self.source);
        let mechanism = self.name();
        Box::pin(async move {
            let token = source.token().await.map_err(|reason| SaslError::NoCredentials { mechanism, reason })?;
            Ok(Box::new(OAuthBearer::new(&token)?) as Box<dyn Exchange>)
        })
    }
}

/// The place that tokens come from, and the last one.
struct Source {
    credentials: ClientCredentials,
    endpoint: Endpoint,
    tls: Option<TlsConnector>,
    /// Locked while a token is fetched, so that many connections cause one request.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    kept: Option<Kept>,
    /// The attempt that is under way, or has ended. It goes on though nobody waits for it.
    attempt: Option<Attempt>,
}

struct Attempt {
    task: JoinHandle<Result<Kept, Failed>>,
    /// A time at which it has ended, unless nobody drives its runtime any more.
    deadline: Instant,
}

#[derive(Clone)]
struct Kept {
    token: OAuthToken,
    renew_at: Instant,
    end: Instant,
}

/// The reason why one attempt brought no token.
struct Failed {
    reason: String,
    /// Whether another attempt may help.
    is_temporary: bool,
}

impl Source {
    async fn token(self: &Arc<Self>) -> Result<OAuthToken, String> {
        let mut state = self.state.lock().await;
        if let Some(late) = late(&mut state.attempt).await
            && state.kept.as_ref().is_none_or(|kept| kept.end < late.end)
        {
            state.kept = Some(late);
        }
        let now = Instant::now();
        let valid = state.kept.clone().filter(|kept| kept.end > now);
        let fetched = match valid {
            Some(valid) if valid.renew_at > now => return Ok(valid.token),
            Some(valid) => match self.renew(&mut state.attempt).await {
                Ok(fetched) => fetched,
                Err(reason) => {
                    tracing::warn!(reason, "no new token; the one that is still valid is used");
                    // Those that wait for their turn, and those that come next, do not wait for the issuer as well.
                    let valid = Kept { renew_at: Instant::now() + RENEWAL_PAUSE, ..valid };
                    let token = valid.token.clone();
                    state.kept = Some(valid);
                    return Ok(token);
                }
            },
            None => self.obtain(&mut state.attempt).await?,
        };
        let token = fetched.token.clone();
        state.kept = Some(fetched);
        Ok(token)
    }

    /// Returns a new token, unless the issuer is slow: then one of the next calls finds it. One attempt is enough while
    /// there is a valid token.
    async fn renew(self: &Arc<Self>, attempt: &mut Option<Attempt>) -> Result<Kept, String> {
        let source = Arc::clone(self);
        let renewal = attempt.get_or_insert_with(|| Attempt {
            deadline: Instant::now() + source.patience(1),
            task: tokio::spawn(async move { source.fetch().await }),
        });
        let Ok(ended) = tokio::time::timeout(RENEWAL_TIMEOUT, &mut renewal.task).await else {
            return Err(format!("the issuer has not answered for {RENEWAL_TIMEOUT:?}"));
        };
        *attempt = None;
        outcome(ended).map_err(|Failed { reason, .. }| reason)
    }

    /// Returns a new token, however long the issuer takes. A caller that stops waiting leaves the attempt to the next.
    async fn obtain(self: &Arc<Self>, attempt: &mut Option<Attempt>) -> Result<Kept, String> {
        if let Some(earlier) = attempt {
            let ended = (&mut earlier.task).await;
            *attempt = None;
            match outcome(ended) {
                Ok(kept) if kept.end > Instant::now() => return Ok(kept),
                Err(Failed { reason, is_temporary: false }) => return Err(reason),
                // It was a renewal, which is a single attempt.
                Ok(_) | Err(_) => {}
            }
        }
        let source = Arc::clone(self);
        let new = attempt.insert(Attempt {
            deadline: Instant::now() + source.patience(ATTEMPTS),
            task: tokio::spawn(async move { source.fetch_patiently().await }),
        });
        let ended = (&mut new.task).await;
        *attempt = None;
        outcome(ended).map_err(|Failed { reason, .. }| reason)
    }

    /// More than this number of requests takes, with the pauses between them.
    fn patience(&self, requests: u32) -> Duration {
        let one = self.credentials.timeout.saturating_add(self.credentials.retry_backoff_max.saturating_mul(2));
        one.saturating_mul(requests).min(PATIENCE_MAX)
    }

    /// Tries until there is a token, or an answer that another attempt cannot change.
    async fn fetch_patiently(&self) -> Result<Kept, Failed> {
        let mut rng = Rng::from_seed(now_ms().unsigned_abs());
        let mut pause = self.credentials.retry_backoff;
        for attempt in 1.. {
            match self.fetch().await {
                Err(Failed { reason, is_temporary: true }) if attempt < ATTEMPTS => {
                    tracing::debug!(reason, attempt, "no token: trying again");
                }
                ended => return ended,
            }
            let jitter = u32::try_from(80 + rng.next_u64() % 41).unwrap_or(100);
            tokio::time::sleep(pause * jitter / 100).await;
            pause = (pause * 2).min(self.credentials.retry_backoff_max);
        }
        unreachable!("the last attempt returns")
    }

    async fn fetch(&self) -> Result<Kept, Failed> {
        let started = Instant::now();
        let (url, timeout) = (&self.credentials.token_endpoint_url, self.credentials.timeout);
        let request = self.endpoint.post(&self.authorization(), &self.body());
        let answered = tokio::time::timeout(timeout, self.endpoint.send(self.tls.as_ref(), &request)).await;
        let temporary = |reason| Failed { reason, is_temporary: true };
        let reply = match answered {
            Ok(Ok(reply)) => reply,
            Ok(Err(reason)) => return Err(temporary(format!("{url}: {reason}"))),
            Err(_) => return Err(temporary(format!("{url} did not answer for {timeout:?}"))),
        };
        self.read(&reply, started).map_err(|Failed { reason, is_temporary }| {
            let reason = format!("{url}: {reason}");
            Failed { reason, is_temporary }
        })
    }

    fn authorization(&self) -> String {
        let ClientCredentials { client_id, client_secret, .. } = &self.credentials;
        let pair = if self.credentials.urlencodes_header {
            format!("{}:{}", http::form(client_id), http::form(client_secret.reveal()))
        } else {
            format!("{client_id}:{}", client_secret.reveal())
        };
        STANDARD.encode(pair)
    }

    fn body(&self) -> String {
        let scope = self.credentials.scope.as_ref().map(|scope| format!("&scope={}", http::form(scope)));
        format!("grant_type=client_credentials{}", scope.unwrap_or_default())
    }

    fn read(&self, reply: &Reply, started: Instant) -> Result<Kept, Failed> {
        let body: Value = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
        let text = |name: &str| body.get(name).and_then(Value::as_str);
        if reply.status != 200 {
            let error = text("error").unwrap_or("without a reason");
            let description = text("error_description").map(|words| format!(": {words}")).unwrap_or_default();
            let advice = if matches!(reply.status, 400 | 401 | 403) { ADVICE } else { "" };
            return Err(Failed {
                reason: format!("answered {} ({error}{description}){advice}", reply.status),
                is_temporary: reply.status >= 500 || matches!(reply.status, 408 | 425 | 429),
            });
        }
        let unusable = |reason: &str| Failed { reason: reason.to_owned(), is_temporary: false };
        let value = text("access_token").ok_or_else(|| unusable("the answer has no access_token"))?;
        let lifetime = body.get("expires_in").and_then(seconds).or_else(|| lifetime_of(value));
        let lifetime = lifetime.ok_or_else(|| unusable("the answer does not tell when the token expires"))?;
        let mut token = OAuthToken::new(value);
        for (key, value) in &self.credentials.extensions {
            token = token.with_extension(key, value);
        }
        Ok(Kept { token, renew_at: started + lifetime.mul_f64(RENEWAL), end: started + lifetime })
    }
}

/// Takes the token of an attempt that has ended while nobody waited for it.
async fn late(attempt: &mut Option<Attempt>) -> Option<Kept> {
    let is_over = |attempt: &mut Attempt| attempt.task.is_finished() || attempt.deadline <= Instant::now();
    let Attempt { task, .. } = attempt.take_if(is_over)?;
    task.abort();
    let told = |Failed { reason, .. }: &Failed| tracing::warn!(reason, "the last attempt has brought no token");
    match task.is_finished() {
        true => outcome(task.await).inspect_err(told).ok(),
        false => None,
    }
}

/// The outcome of an attempt. One whose runtime has gone has failed.
fn outcome(ended: Result<Result<Kept, Failed>, JoinError>) -> Result<Kept, Failed> {
    ended.unwrap_or_else(|error| Err(Failed { reason: error.to_string(), is_temporary: true }))
}

/// Reads a number of seconds; some issuers send it as text.
fn seconds(value: &Value) -> Option<Duration> {
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    Some(Duration::from_secs(number.min(LIFETIME_MAX)))
}

/// Returns the time that a JWT is still valid, by its claim `exp`. Nothing else of it is looked at: that is for
/// the broker to do.
fn lifetime_of(token: &str) -> Option<Duration> {
    let payload = token.split('.').nth(1)?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    let end = claims.get("exp").and_then(Value::as_i64)?;
    let left = end.saturating_sub(now_ms() / 1_000);
    Some(Duration::from_secs(u64::try_from(left).ok()?.min(LIFETIME_MAX)))
}

/// Attempts for those that wait without a token.
const ATTEMPTS: u32 = 5;
/// Share of a token's time after which it is renewed: the default of `sasl.login.refresh.window.factor`.
const RENEWAL: f64 = 0.8;
/// Time that a caller waits for a renewal while there is a valid token: well below `connect_timeout`, in which a new
/// connection needs it.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause after a renewal that failed.
const RENEWAL_PAUSE: Duration = Duration::from_secs(5);
const PATIENCE_MAX: Duration = Duration::from_secs(86_400);
/// Longest time that is believed, in seconds: ten years.
const LIFETIME_MAX: u64 = 315_360_000;
const ADVICE: &str = ". Check sasl.oauthbearer.client.credentials.client.id, \
                      sasl.oauthbearer.client.credentials.client.secret and sasl.oauthbearer.scope";

#[cfg(test)]
mod tests;
