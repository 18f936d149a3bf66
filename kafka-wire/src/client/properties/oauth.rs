//! The keys of OAUTHBEARER: where its tokens come from.

use std::time::Duration;

use super::PropertiesError;
use super::jaas::Jaas;
use super::row::{Row, boolean, millis, put, text};
#[cfg(feature = "oauth")]
use crate::client::{ClientCredentials, Pem, TlsConfig, Truststore};
use crate::client::{Sasl, Secret};

/// The values of the keys as they were given.
#[cfg_attr(not(feature = "oauth"), allow(dead_code, reason = "they are checked, and of no use without the feature"))]
pub(super) struct OAuth {
    url: Option<String>,
    client_id: Option<String>,
    client_secret: Option<Secret>,
    scope: Option<String>,
    extensions: Vec<(String, String)>,
    urlencodes_header: bool,
    authorities_location: Option<String>,
    authorities: Option<String>,
    connect_timeout: Duration,
    read_timeout: Duration,
    retry_backoff: Duration,
    retry_backoff_max: Duration,
}

impl Default for OAuth {
    fn default() -> Self {
        Self {
            url: None,
            client_id: None,
            client_secret: None,
            scope: None,
            extensions: Vec::new(),
            urlencodes_header: false,
            authorities_location: None,
            authorities: None,
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(10),
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(10),
        }
    }
}

impl OAuth {
    /// Returns the source of tokens that the keys describe; those of Java's older form are in its login entry.
    pub(super) fn sasl(mut self, jaas: Option<&Secret>) -> Result<Sasl, PropertiesError> {
        if let Some(jaas) = jaas {
            self.add(jaas)?;
        }
        let why = "sasl.mechanism=OAUTHBEARER takes its tokens from there; a program can give them itself by \
                   Sasl::oauthbearer";
        let url = self.url.take().ok_or(PropertiesError::Missing { key: URL, why })?;
        let why = "the endpoint of sasl.oauthbearer.token.endpoint.url asks for it";
        let id = self.client_id.take().ok_or(PropertiesError::Missing { key: CLIENT_ID, why })?;
        let secret = self.client_secret.take().ok_or(PropertiesError::Missing { key: CLIENT_SECRET, why })?;
        self.credentials(url, id, secret)
    }

    /// Takes the options of Java's login entry for whatever is not given by a key of its own.
    fn add(&mut self, jaas: &Secret) -> Result<(), PropertiesError> {
        let wrong = |why| PropertiesError::Unusable { key: "sasl.jaas.config", why };
        let jaas = Jaas::read(jaas.reveal()).map_err(wrong)?;
        if jaas.module != "OAuthBearerLoginModule" {
            return Err(wrong("its login module is not that of sasl.mechanism"));
        }
        let option = |name| jaas.option(name).map(str::to_owned);
        self.client_id = self.client_id.take().or_else(|| option("clientId"));
        self.client_secret = self.client_secret.take().or_else(|| option("clientSecret").map(Secret::from));
        self.scope = self.scope.take().or_else(|| option("scope"));
        self.authorities_location = self.authorities_location.take().or_else(|| option("ssl.truststore.location"));
        self.authorities = self.authorities.take().or_else(|| option("ssl.truststore.certificates"));
        for (name, value) in jaas.options() {
            if let Some(extension) = name.strip_prefix("extension_") {
                self.extensions.push((extension.to_owned(), value.to_owned()));
            }
        }
        Ok(())
    }

    #[cfg(feature = "oauth")]
    fn credentials(self, url: String, id: String, secret: Secret) -> Result<Sasl, PropertiesError> {
        let mut credentials = ClientCredentials::new(url, id, secret);
        credentials.scope = self.scope;
        credentials.extensions = self.extensions;
        credentials.urlencodes_header = self.urlencodes_header;
        credentials.timeout = self.connect_timeout + self.read_timeout;
        credentials.retry_backoff = self.retry_backoff;
        credentials.retry_backoff_max = self.retry_backoff_max;
        let authorities = self.authorities.map(|text| Pem::Bytes(text.into_bytes()));
        let authorities = authorities.or_else(|| self.authorities_location.map(|path| Pem::File(path.into())));
        if let Some(pem) = authorities {
            credentials.tls = TlsConfig { truststore: Truststore::Certificates(pem), ..TlsConfig::default() };
        }
        Sasl::client_credentials(credentials).map_err(|error| PropertiesError::OAuth(Box::new(error)))
    }

    #[cfg(not(feature = "oauth"))]
    fn credentials(self, _url: String, _id: String, _secret: Secret) -> Result<Sasl, PropertiesError> {
        let why = "this build of kafka-wire is without its feature `oauth`";
        Err(PropertiesError::Unusable { key: URL, why })
    }
}

/// Makes a row of a time.
macro_rules! time {
    ($field:ident, $name:literal, $default:literal, $doc:literal) => {
        Row {
            name: $name,
            aliases: &[],
            default: $default,
            takes: "a whole number of milliseconds, 1 or more",
            doc: $doc,
            is_secret: false,
            set: |oauth, value| put(&mut oauth.$field, millis(value, 1..)),
        }
    };
}

/// The keys.
pub(super) const OAUTH: &[Row<OAuth>] = &[
    text!(
        url,
        URL,
        [],
        "a URL of HTTPS",
        "Endpoint that gives tokens for OAUTHBEARER, by the grant of client credentials. A program may give tokens instead."
    ),
    text!(
        client_id,
        CLIENT_ID,
        ["sasl.oauthbearer.client.id"],
        "a name",
        "Id of this client at the endpoint; in Java's older form `clientId` in `sasl.jaas.config`."
    ),
    Row {
        is_secret: true,
        ..text!(
            client_secret,
            CLIENT_SECRET,
            ["sasl.oauthbearer.client.secret"],
            "a password",
            "Secret of this client at the endpoint; in Java's older form `clientSecret` in `sasl.jaas.config`."
        )
    },
    text!(scope, "sasl.oauthbearer.scope", [], "names", "The scope to ask for."),
    Row {
        name: "sasl.oauthbearer.extensions",
        aliases: &[],
        default: "",
        takes: "`KEY=VALUE` pairs, separated by commas",
        doc: "Extensions for the broker's validator; librdkafka's name. In Java's form `extension_KEY` in `sasl.jaas.config`.",
        is_secret: false,
        set: |oauth, value| {
            let pairs = value.split(',').map(|pair| pair.trim().split_once('='));
            let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
            put(&mut oauth.extensions, pairs.map(|pair| pair.map(owned)).collect())
        },
    },
    Row {
        name: "sasl.oauthbearer.header.urlencode",
        aliases: &[],
        default: "false",
        takes: "`true` or `false`",
        doc: "Whether id and secret are URL-encoded in the request's header.",
        is_secret: false,
        set: |oauth, value| put(&mut oauth.urlencodes_header, boolean(value)),
    },
    text!(
        authorities_location,
        "https.ca.location",
        [],
        "a file",
        "PEM file with the authorities that may have signed the endpoint's certificate; librdkafka's name. Without it \
         those that this machine trusts count."
    ),
    text!(authorities, "https.ca.pem", [], "PEM", "Those authorities themselves, instead of a file."),
    time!(
        connect_timeout,
        "sasl.login.connect.timeout.ms",
        "10000",
        "For connecting to the endpoint; added to `sasl.login.read.timeout.ms` for one attempt."
    ),
    time!(read_timeout, "sasl.login.read.timeout.ms", "10000", "For the endpoint's answer."),
    time!(
        retry_backoff,
        "sasl.login.retry.backoff.ms",
        "100",
        "First pause before the endpoint is asked again; it doubles."
    ),
    time!(
        retry_backoff_max,
        "sasl.login.retry.backoff.max.ms",
        "10000",
        "Longest pause before the endpoint is asked again."
    ),
    Row {
        name: "sasl.oauthbearer.method",
        aliases: &[],
        default: "oidc",
        takes: "`oidc`",
        doc: "librdkafka's name of the grant of client credentials.",
        is_secret: false,
        set: |_, value| value == "oidc",
    },
    Row {
        name: "sasl.login.callback.handler.class",
        aliases: &[],
        default: "",
        takes: "Java's OAuthBearerLoginCallbackHandler",
        doc: "Java's name of what gets tokens from the endpoint; no other is taken.",
        is_secret: false,
        set: |_, value| value.rsplit('.').next() == Some("OAuthBearerLoginCallbackHandler"),
    },
];

const URL: &str = "sasl.oauthbearer.token.endpoint.url";
const CLIENT_ID: &str = "sasl.oauthbearer.client.credentials.client.id";
const CLIENT_SECRET: &str = "sasl.oauthbearer.client.credentials.client.secret";
