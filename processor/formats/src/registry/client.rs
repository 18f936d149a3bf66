//! The registry's REST interface, and a memory of its answers.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use processor::SerdeError;
use serde::{Deserialize, Serialize};
use tracing::info;
use ureq::tls::{Certificate, RootCerts, TlsConfig, parse_pem};

use super::RegistryConfig;

/// Longest answer that is read, in bytes.
const ANSWER_MAX_BYTES: u64 = 4 << 20;
/// Schemas that refer to each other: how many are read for one.
const REFERENCES_MAX: usize = 256;
/// How many references to them are looked at.
const MENTIONS_MAX: usize = 16 * REFERENCES_MAX;
/// Most text of a schema and of all that it refers to, in bytes. A registry keeps a schema in a record of Kafka, which
/// is no larger by default.
const TEXTS_MAX_BYTES: usize = 1 << 20;
const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";
/// Error codes of the interface: there is no such subject, version, schema.
const NOT_FOUND: [i64; 4] = [404, 40_401, 40_402, SCHEMA_NOT_FOUND];
/// The one of them that says that the registry has been asked, and has no such schema.
pub(super) const SCHEMA_NOT_FOUND: i64 = 40_403;
/// Those that say, of a question that counts deleted schemas, that a subject or a version is gone for good.
pub(super) const GONE: [i64; 2] = [40_401, 40_402];

/// A schema registry. Clones share the connections and what was learned.
#[derive(Clone)]
pub struct SchemaRegistry {
    inner: Arc<Inner>,
}

struct Inner {
    config: RegistryConfig,
    agent: Result<ureq::Agent, String>,
    schemas: Mutex<HashMap<i32, Arc<RegisteredSchema>>>,
    ids: Mutex<HashMap<(String, String), i32>>,
}

/// A schema as the registry has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RegisteredSchema {
    /// Its text: JSON for Avro and JSON Schema, a `.proto` file for Protobuf.
    pub schema: String,
    /// Its language.
    #[serde(rename = "schemaType", default)]
    pub schema_type: SchemaType,
    /// The schemas that it uses and that are registered by themselves.
    #[serde(default)]
    pub references: Vec<SchemaReference>,
}

/// The language of a schema.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[non_exhaustive]
pub enum SchemaType {
    /// Avro, if the registry does not say.
    #[default]
    Avro,
    /// JSON Schema.
    Json,
    /// Protobuf.
    Protobuf,
    /// Any other.
    #[serde(untagged)]
    Other(String),
}

/// A schema that another one uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaReference {
    /// The name by which it is used: of a type in Avro, of a file in Protobuf.
    pub name: String,
    /// The subject under which it is registered.
    pub subject: String,
    /// Its version there.
    pub version: i32,
}

/// The reason why the registry gave no schema or number.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegistryError {
    /// It answered with an error.
    Refused {
        /// The address that was asked.
        url: String,
        /// `error_code` of the answer, or the HTTP status: 40401 no such subject, 40403 no such schema,
        /// 409 not compatible with the versions before, 401 wrong credentials.
        code: i64,
        /// Its message.
        message: String,
    },
    /// None of its servers answered, or not in the way of a registry: what each of them failed with.
    Unavailable(String),
    /// A schema is larger than schemas are, or refers to too many others.
    TooLarge(String),
}

impl RegistryError {
    /// Whether the registry answered that it does not have what was asked for.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if NOT_FOUND.contains(code))
    }
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { url, code, message } => {
                write!(f, "the schema registry answered {url} with {code}: {message}")
            }
            Self::Unavailable(reason) => write!(f, "the schema registry cannot be asked: {reason}"),
            Self::TooLarge(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for RegistryError {}

impl From<RegistryError> for SerdeError {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::TooLarge(what) => Self::Custom(what),
            error => Self::Unavailable(error.to_string()),
        }
    }
}

impl SchemaRegistry {
    /// Makes a client of the registry at `urls`, with the defaults of [`RegistryConfig::new`]. Nothing is sent yet.
    #[must_use]
    pub fn at(urls: &str) -> Self {
        Self::new(RegistryConfig::new(urls))
    }

    /// Makes a client. Nothing is sent yet; a configuration that cannot work is the error of the first request.
    #[must_use]
    pub fn new(config: RegistryConfig) -> Self {
        let agent = agent(&config);
        Self { inner: Arc::new(Inner { config, agent, schemas: Mutex::default(), ids: Mutex::default() }) }
    }

    /// The schema with this number.
    ///
    /// # Errors
    /// If there is none, or the registry cannot be asked.
    pub fn schema(&self, id: i32) -> Result<Arc<RegisteredSchema>, RegistryError> {
        if let Some(known) = lock(&self.inner.schemas).get(&id) {
            return Ok(Arc::clone(known));
        }
        let schema: RegisteredSchema = self.inner.ask(&format!("/schemas/ids/{id}"), None)?;
        info!(id, schema_type = ?schema.schema_type, "the schema registry told a schema");
        let schema = Arc::new(schema);
        lock(&self.inner.schemas).insert(id, Arc::clone(&schema));
        Ok(schema)
    }

    /// The schema of a version of a subject.
    ///
    /// # Errors
    /// As for [`Self::schema`].
    pub fn version(&self, subject: &str, version: i32) -> Result<RegisteredSchema, RegistryError> {
        self.inner.ask(&path_of(subject, version), None)
    }

    /// The texts of all schemas that a schema refers to, and of those that they refer to, each behind those that it
    /// refers to itself. Of two versions of a type, the one counts that is met first, and schemas count that were
    /// deleted under their subject: both as in Java's client, which has written the records so.
    ///
    /// # Errors
    /// As for [`Self::schema`]; and if there are more than 256, or they are larger than 1 MiB together with the schema.
    pub fn references(&self, schema: &RegisteredSchema) -> Result<Vec<String>, RegistryError> {
        enum Next {
            LookUp(SchemaReference),
            Take(String),
        }
        let last_first = |references: Vec<SchemaReference>| references.into_iter().rev().map(Next::LookUp);
        let (mut texts, mut names, mut bytes) = (Vec::new(), HashSet::new(), schema.schema.len());
        let mut open: Vec<Next> = last_first(schema.references.clone()).collect();
        while let Some(next) = open.pop() {
            let reference = match next {
                Next::Take(text) => {
                    texts.push(text);
                    continue;
                }
                Next::LookUp(reference) => reference,
            };
            if !names.insert(reference.name) {
                continue;
            }
            if names.len() > REFERENCES_MAX || open.len() > MENTIONS_MAX {
                return Err(RegistryError::TooLarge(format!("a schema refers to more than {REFERENCES_MAX} others")));
            }
            let path = format!("{}?deleted=true", path_of(&reference.subject, reference.version));
            let other: RegisteredSchema = self.inner.ask(&path, None)?;
            bytes += other.schema.len();
            if bytes > TEXTS_MAX_BYTES {
                let limit = TEXTS_MAX_BYTES >> 20;
                let what = format!("a schema and those that it refers to are larger than {limit} MiB");
                return Err(RegistryError::TooLarge(what));
            }
            open.push(Next::Take(other.schema));
            open.extend(last_first(other.references));
        }
        Ok(texts)
    }

    /// The number of a schema under a subject. With [`RegistryConfig::auto_register`], it gets one if it has none.
    ///
    /// # Errors
    /// If it has none, is not compatible with the subject's versions (409), is not a schema (42201), or the registry
    /// cannot be asked.
    pub fn id(&self, subject: &str, schema_type: &SchemaType, schema: &str) -> Result<i32, RegistryError> {
        let key = (subject.to_owned(), schema.to_owned());
        if let Some(id) = lock(&self.inner.ids).get(&key) {
            return Ok(*id);
        }
        let registers = self.inner.config.auto_register;
        let versions = if registers { "/versions" } else { "" };
        let path = format!("/subjects/{}{versions}", escaped(subject));
        // The registry takes a schema without a type for Avro, and its oldest versions know no other.
        let schema_type = Some(schema_type).filter(|schema_type| **schema_type != SchemaType::Avro);
        let body = serde_json::to_string(&Question { schema, schema_type })
            .map_err(|error| RegistryError::Unavailable(error.to_string()))?;
        let Number { id } = self.inner.ask(&path, Some(&body))?;
        info!(subject, id, registers, "the schema registry told the number of a schema");
        lock(&self.inner.ids).insert(key, id);
        Ok(id)
    }
}

fn path_of(subject: &str, version: i32) -> String {
    format!("/subjects/{}/versions/{version}", escaped(subject))
}

impl fmt::Debug for SchemaRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SchemaRegistry").field(&self.inner.config).finish()
    }
}

#[derive(Serialize)]
struct Question<'a> {
    schema: &'a str,
    #[serde(rename = "schemaType", skip_serializing_if = "Option::is_none")]
    schema_type: Option<&'a SchemaType>,
}

#[derive(Deserialize)]
struct Number {
    id: i32,
}

#[derive(Deserialize)]
struct Refusal {
    error_code: i64,
    message: String,
}

impl Inner {
    /// Asks the servers in turn until one answers. An error of the server itself (5xx) counts as no answer.
    fn ask<A: for<'de> Deserialize<'de>>(&self, path: &str, body: Option<&str>) -> Result<A, RegistryError> {
        let agent = self.agent.as_ref().map_err(|reason| RegistryError::Unavailable(reason.clone()))?;
        let mut reasons = Vec::new();
        for base in &self.config.urls {
            let url = format!("{base}{path}");
            match self.ask_one(agent, &url, body) {
                Ok((200..=299, text)) => {
                    return serde_json::from_str(&text).map_err(|error| {
                        RegistryError::Unavailable(format!("{url} gave no answer of a schema registry: {error}"))
                    });
                }
                Ok((status @ 300..=499, text)) => {
                    let refusal = serde_json::from_str(&text).unwrap_or_else(|_| Refusal {
                        error_code: i64::from(status),
                        message: text.chars().take(200).collect(),
                    });
                    return Err(RegistryError::Refused { url, code: refusal.error_code, message: refusal.message });
                }
                Ok((status, text)) => {
                    reasons.push(format!("{url}: {status} {}", text.chars().take(200).collect::<String>()))
                }
                Err(ureq::Error::BodyExceedsLimit(limit)) => {
                    return Err(RegistryError::TooLarge(format!("{url} gave more than {limit} bytes")));
                }
                Err(error) => reasons.push(format!("{url}: {error}")),
            }
        }
        if reasons.is_empty() {
            reasons.push("no address is configured".to_owned());
        }
        Err(RegistryError::Unavailable(reasons.join("; ")))
    }

    fn ask_one(&self, agent: &ureq::Agent, url: &str, body: Option<&str>) -> Result<(u16, String), ureq::Error> {
        let authorization = self
            .config
            .credentials
            .as_ref()
            .map(|(user, password)| format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))));
        let mut answer = match body {
            Some(body) => {
                let mut request = agent.post(url).header("Accept", CONTENT_TYPE).header("Content-Type", CONTENT_TYPE);
                if let Some(authorization) = authorization {
                    request = request.header("Authorization", authorization);
                }
                request.send(body)?
            }
            None => {
                let mut request = agent.get(url).header("Accept", CONTENT_TYPE);
                if let Some(authorization) = authorization {
                    request = request.header("Authorization", authorization);
                }
                request.call()?
            }
        };
        let text = answer.body_mut().with_config().limit(ANSWER_MAX_BYTES).read_to_string()?;
        Ok((answer.status().as_u16(), text))
    }
}

fn agent(config: &RegistryConfig) -> Result<ureq::Agent, String> {
    let roots = match &config.ca_pem {
        None => RootCerts::WebPki,
        Some(pem) => {
            let certificates: Vec<Certificate<'static>> = parse_pem(pem.as_bytes())
                .filter_map(|item| match item {
                    Ok(ureq::tls::PemItem::Certificate(certificate)) => Some(certificate),
                    _ => None,
                })
                .collect();
            if certificates.is_empty() {
                return Err("ca_pem has no certificate in it".to_owned());
            }
            RootCerts::new_with_certs(&certificates)
        }
    };
    let tls = TlsConfig::builder()
        .root_certs(roots)
        .unversioned_rustls_crypto_provider(Arc::new(rustls_graviola::default_provider()))
        .build();
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(config.timeout))
        .http_status_as_error(false)
        .max_redirects(0)
        .tls_config(tls)
        .build();
    Ok(ureq::Agent::new_with_config(config))
}

/// A subject as part of a path: every byte that is not a letter, a digit or one of `-._~` is escaped.
fn escaped(subject: &str) -> String {
    let mut path = String::new();
    for byte in subject.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    path
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
