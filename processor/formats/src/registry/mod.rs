//! A client of a schema registry that speaks Confluent's REST interface, and the formats whose schemas are in it.
//!
//! A record begins with a zero byte and the number of its schema as four bytes, high byte first; then comes the value.
//! The registry tells the schema of a number, and the number of a schema under a *subject*, by habit `<topic>-key` or
//! `<topic>-value`.
//!
//! ```no_run
//! use processor_formats::SchemaRegistry;
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Serialize, Deserialize)]
//! # struct Order { id: u32 }
//!
//! let registry = SchemaRegistry::at("http://localhost:8081");
//! let orders = registry.json::<Order>("orders-value", r#"{"type": "object"}"#);
//! let mut job = processor::Topology::builder("orders");
//! job.stream("orders", orders.clone()).to("copies", processor::Raw, orders);
//! ```
//!
//! # When the registry is asked
//! Once for each schema that comes in a topic, and once before the first record is written; the answers are kept for
//! as long as the program runs, since a number never gets another schema. The worker waits for the answer, at most
//! [`RegistryConfig::timeout`] for each address.
//! A registry that does not answer, or refuses, is [`SerdeError::Unavailable`], never an undecodable record:
//! the worker starts over, and no record is passed over because of it.
//!
//! Tested against recorded exchanges and a double of the documented interface, not against a registry server.

mod client;
mod formats;
#[cfg(test)]
mod tests;
mod wire;

use std::time::Duration;

#[cfg(doc)]
use processor::SerdeError;

pub use client::{RegisteredSchema, RegistryError, SchemaReference, SchemaRegistry, SchemaType};
#[cfg(feature = "avro")]
pub use formats::RegisteredAvro;
pub use formats::RegisteredJson;
#[cfg(feature = "protobuf")]
pub use formats::RegisteredProtobuf;

/// How to reach a schema registry.
#[derive(Clone)]
pub struct RegistryConfig {
    /// `schema.registry.url`: addresses of its servers, `http://` or `https://`. They are tried in this order.
    pub urls: Vec<String>,
    /// `basic.auth.user.info`: user name and password.
    pub credentials: Option<(String, String)>,
    /// The certificates, in PEM, that the server's must be signed by. Default: the authorities that Mozilla trusts.
    pub ca_pem: Option<String>,
    /// Longest time for one request to one server. Default 5 s: keep all addresses together below the
    /// session timeout of the job, because the worker waits.
    pub timeout: Duration,
    /// `auto.register.schemas`: a schema that the subject does not have is registered. Default true; otherwise it is an
    /// error to write with such a schema.
    pub auto_register: bool,
}

impl RegistryConfig {
    /// The defaults, for the servers at these addresses: one, or several with commas between them.
    #[must_use]
    pub fn new(urls: &str) -> Self {
        let urls = urls.split(',').map(|url| url.trim().trim_end_matches('/').to_owned()).filter(|url| !url.is_empty());
        Self {
            urls: urls.collect(),
            credentials: None,
            ca_pem: None,
            timeout: Duration::from_secs(5),
            auto_register: true,
        }
    }
}

impl std::fmt::Debug for RegistryConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the password.
        f.debug_struct("RegistryConfig")
            .field("urls", &self.urls)
            .field("user", &self.credentials.as_ref().map(|(user, _)| user))
            .field("timeout", &self.timeout)
            .field("auto_register", &self.auto_register)
            .finish_non_exhaustive()
    }
}
