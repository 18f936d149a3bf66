//! The keys of `security.protocol`, TLS and SASL, and the configuration that they make together.

use super::PropertiesError;
use super::jaas::Jaas;
use super::oauth::OAuth;
use super::row::{Row, boolean, put, text};
#[cfg(feature = "tls")]
use crate::client::{Keystore, Pem, TlsConfig, Truststore};
use crate::client::{Sasl, Secret};

/// The values of the keys as they were given.
#[derive(Default)]
pub(super) struct Security {
    protocol: Option<Protocol>,
    mechanism: Option<String>,
    jaas: Option<Secret>,
    username: Option<String>,
    password: Option<Secret>,
    truststore_location: Option<String>,
    truststore_certificates: Option<String>,
    keystore_location: Option<String>,
    certificate_chain: Option<String>,
    certificate_location: Option<String>,
    key: Option<Secret>,
    key_location: Option<String>,
    key_password: Option<Secret>,
    skips_name: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

impl Protocol {
    fn read(value: &str) -> Option<Self> {
        match value.to_ascii_uppercase().as_str() {
            "PLAINTEXT" => Some(Self::Plaintext),
            "SSL" => Some(Self::Ssl),
            "SASL_PLAINTEXT" => Some(Self::SaslPlaintext),
            "SASL_SSL" => Some(Self::SaslSsl),
            _ => None,
        }
    }

    const fn is_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }

    const fn is_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }
}

impl Security {
    /// Returns the credentials, if the listener asks for them.
    pub(super) fn sasl(&self, oauth: OAuth) -> Result<Option<Sasl>, PropertiesError> {
        let Some(protocol) = self.protocol else {
            let is_meant = self.mechanism.is_some() || self.jaas.is_some() || self.username.is_some();
            let why =
                "keys of SASL are set, and without it they have no effect: SASL_SSL, or SASL_PLAINTEXT without TLS";
            return if is_meant { Err(PropertiesError::Missing { key: "security.protocol", why }) } else { Ok(None) };
        };
        if !protocol.is_sasl() {
            return Ok(None);
        }
        let why = "security.protocol asks for it: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER";
        let mechanism = self.mechanism.as_deref().ok_or(PropertiesError::Missing { key: "sasl.mechanism", why })?;
        match mechanism {
            "OAUTHBEARER" => oauth.sasl(self.jaas.as_ref()).map(Some),
            _ => self.with_password(mechanism).map(Some),
        }
    }

    fn with_password(&self, mechanism: &str) -> Result<Sasl, PropertiesError> {
        let (username, password) = self.credentials(mechanism)?;
        match mechanism {
            "PLAIN" => Ok(Sasl::plain(username, password)),
            #[cfg(feature = "sasl")]
            "SCRAM-SHA-256" => Ok(Sasl::scram_sha_256(username, password)),
            #[cfg(feature = "sasl")]
            "SCRAM-SHA-512" => Ok(Sasl::scram_sha_512(username, password)),
            _ => {
                let why = "this build of kafka-wire is without its feature `sasl`, which SCRAM needs";
                Err(PropertiesError::Unusable { key: "sasl.mechanism", why })
            }
        }
    }

    /// Returns the name and the password, from our keys or from Java's.
    fn credentials(&self, mechanism: &str) -> Result<(String, String), PropertiesError> {
        const JAAS: &str = "sasl.jaas.config";
        let wrong = |why| PropertiesError::Unusable { key: JAAS, why };
        let (username, password) = match (&self.username, &self.password, &self.jaas) {
            (None, None, Some(jaas)) => {
                let jaas = Jaas::read(jaas.reveal()).map_err(wrong)?;
                match (jaas.module.as_str(), mechanism) {
                    ("PlainLoginModule", "PLAIN") => {}
                    ("ScramLoginModule", "SCRAM-SHA-256" | "SCRAM-SHA-512") => {}
                    ("PlainLoginModule" | "ScramLoginModule", _) => {
                        return Err(wrong("its login module is not that of sasl.mechanism"));
                    }
                    ("Krb5LoginModule", _) => return Err(wrong("Kerberos (GSSAPI) is not supported")),
                    _ => return Err(wrong("its login module is neither PlainLoginModule nor ScramLoginModule")),
                }
                (jaas.option("username").map(str::to_owned), jaas.option("password").map(str::to_owned))
            }
            (username, password, _) => (username.clone(), password.as_ref().map(|secret| secret.reveal().to_owned())),
        };
        let missing =
            |key| PropertiesError::Missing { key, why: "sasl.mechanism needs it, here or in sasl.jaas.config" };
        Ok((username.ok_or(missing("sasl.username"))?, password.ok_or(missing("sasl.password"))?))
    }

    /// Returns the TLS configuration, if the listener uses TLS.
    #[cfg(feature = "tls")]
    pub(super) fn tls(&self) -> Result<Option<TlsConfig>, PropertiesError> {
        if !self.protocol.is_some_and(Protocol::is_tls) {
            return Ok(None);
        }
        let text = |text: &String| Pem::Bytes(text.clone().into_bytes());
        let file = |path: &String| Pem::File(path.into());
        let mut config = TlsConfig::default();
        let truststore = self.truststore_certificates.as_ref().map(text);
        if let Some(pem) = truststore.or_else(|| self.truststore_location.as_ref().map(file)) {
            config.truststore = Truststore::Certificates(pem);
        }
        let whole = self.keystore_location.as_ref().map(file);
        let chain = self.certificate_chain.as_ref().map(text);
        let chain = chain.or_else(|| self.certificate_location.as_ref().map(file)).or_else(|| whole.clone());
        let key = self.key.as_ref().map(|key| Pem::Bytes(key.reveal().into()));
        let key = key.or_else(|| self.key_location.as_ref().map(file)).or(whole);
        config.keystore = match (chain, key) {
            (None, None) => None,
            (Some(chain), Some(key)) => Some(Keystore::new(chain, key)),
            (None, Some(_)) => {
                let why = "a key is set without its certificate";
                return Err(PropertiesError::Missing { key: "ssl.keystore.certificate.chain", why });
            }
            (Some(_), None) => {
                let why = "a certificate is set without its key";
                return Err(PropertiesError::Missing { key: "ssl.keystore.key", why });
            }
        };
        if let Some(keystore) = &mut config.keystore {
            keystore.key_password = self.key_password.clone();
        }
        config.checks_name = !self.skips_name;
        Ok(Some(config))
    }

    #[cfg(not(feature = "tls"))]
    pub(super) fn tls(&self) -> Result<Option<()>, PropertiesError> {
        let why = "this build of kafka-wire is without its feature `tls`";
        match self.protocol.is_some_and(Protocol::is_tls) {
            true => Err(PropertiesError::Unusable { key: "security.protocol", why }),
            false => Ok(None),
        }
    }
}

/// The keys of security.
pub(super) const SECURITY: &[Row<Security>] = &[
    Row {
        name: "security.protocol",
        aliases: &[],
        default: "PLAINTEXT",
        takes: "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL",
        doc: "The kind of the brokers' listener.",
        is_secret: false,
        set: |security, value| put(&mut security.protocol, Protocol::read(value).map(Some)),
    },
    Row {
        name: "sasl.mechanism",
        aliases: &["sasl.mechanisms"],
        default: "",
        takes: "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER",
        doc: "How the client says who it is. Tokens for OAUTHBEARER come from `sasl.oauthbearer.token.endpoint.url`, or from the \
              program.",
        is_secret: false,
        set: |security, value| {
            let is_known = matches!(value, "PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512" | "OAUTHBEARER");
            security.mechanism = is_known.then(|| value.to_owned());
            is_known
        },
    },
    text!(username, "sasl.username", [], "a name", "User of PLAIN and SCRAM."),
    text!(secret password, "sasl.password", [], "a password", "Password of PLAIN and SCRAM."),
    text!(
        secret jaas,
        "sasl.jaas.config",
        [],
        "Java's form of name and password",
        "Instead of `sasl.username` and `sasl.password`: an entry of PlainLoginModule, ScramLoginModule or \
         OAuthBearerLoginModule."
    ),
    text!(
        truststore_location,
        "ssl.truststore.location",
        ["ssl.ca.location"],
        "a file",
        "PEM file with the authorities that may have signed the brokers' certificates. Without it those that this machine \
         trusts count."
    ),
    text!(
        truststore_certificates,
        "ssl.truststore.certificates",
        ["ssl.ca.pem"],
        "PEM",
        "The authorities themselves, instead of a file."
    ),
    text!(
        keystore_location,
        "ssl.keystore.location",
        [],
        "a file",
        "PEM file with the client's certificate and its key, for brokers that want one."
    ),
    text!(
        certificate_chain,
        "ssl.keystore.certificate.chain",
        ["ssl.certificate.pem"],
        "PEM",
        "The client's certificate itself."
    ),
    text!(
        certificate_location,
        "ssl.certificate.location",
        [],
        "a file",
        "PEM file with the client's certificate; librdkafka's name."
    ),
    text!(secret key, "ssl.keystore.key", ["ssl.key.pem"], "PEM", "The key of the client's certificate itself."),
    text!(key_location, "ssl.key.location", [], "a file", "PEM file with the key; librdkafka's name."),
    text!(secret key_password, "ssl.key.password", [], "a password", "Password of a key that is encrypted."),
    Row {
        name: "ssl.endpoint.identification.algorithm",
        aliases: &[],
        default: "https",
        takes: "`https`, or nothing to take a certificate of any name",
        doc: "Whether the name in a broker's certificate has to be the one that is dialled.",
        is_secret: false,
        set: |security, value| {
            let value = value.to_ascii_lowercase();
            security.skips_name = matches!(&*value, "" | "none");
            security.skips_name || value == "https"
        },
    },
    Row {
        name: "enable.ssl.certificate.verification",
        aliases: &[],
        default: "true",
        takes: "`true`: it cannot be turned off; add the broker's certificate to ssl.truststore.certificates",
        doc: "librdkafka's name; only `true` is taken.",
        is_secret: false,
        set: |_, value| boolean(value) == Some(true),
    },
    store_type("ssl.truststore.type"),
    store_type("ssl.keystore.type"),
];

/// Makes the row of Java's type of a store. Only PEM can be read here; the error for a file of another type appears
/// when it is read, and says what to do.
const fn store_type(name: &'static str) -> Row<Security> {
    Row {
        name,
        aliases: &[],
        default: "PEM",
        takes: "`PEM`: convert a keystore of Java by `keytool -importkeystore` and `openssl pkcs12`",
        doc: "Java's name; only PEM is read.",
        is_secret: false,
        set: |_, value| value.eq_ignore_ascii_case("PEM"),
    }
}
