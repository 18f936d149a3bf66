//! What a broker speaks: version ranges per API and finalized features, as its ApiVersions answer says.

use std::fmt;
use std::ops::RangeInclusive;

use crate::protocol::ApiKey;
use crate::wire::Str;

/// The versions and features that one broker announced on one connection.
///
/// Brokers are replaced one by one, so this holds for the connection it came from, not for a broker's name. Source: KIP-35, KIP-584.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerVersions {
    /// Sorted by API key; APIs that this crate does not know are kept, as numbers.
    ranges: Vec<(i16, RangeInclusive<i16>)>,
    /// Finalized features and their level, sorted by name.
    features: Vec<(Str, i16)>,
    features_epoch: i64,
}

impl BrokerVersions {
    /// Versions of `api` that the broker accepts; `None` when it does not serve it.
    #[must_use]
    pub fn range(&self, api: ApiKey) -> Option<RangeInclusive<i16>> {
        let key = api as i16;
        let index = self.ranges.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        self.ranges.get(index).map(|(_, range)| range.clone())
    }

    /// The highest version of `api` that both sides speak and that is not above `max_version`.
    ///
    /// # Errors
    /// There is no such version.
    pub fn pick(&self, api: ApiKey, max_version: Option<i16>) -> Result<i16, UnsupportedVersion> {
        let ours = api.versions();
        let cap = max_version.map_or(*ours.end(), |cap| cap.min(*ours.end()));
        let theirs = self.range(api);
        if let Some(theirs) = &theirs {
            let version = cap.min(*theirs.end());
            if version >= *ours.start() && version >= *theirs.start() {
                return Ok(version);
            }
        }
        Err(UnsupportedVersion { api, ours: *ours.start()..=cap, theirs })
    }

    /// Level of a feature that the cluster has finalized; `None` when it has not, or the broker does not tell (before ApiVersions v3).
    #[must_use]
    pub fn feature(&self, name: &str) -> Option<i16> {
        let index = self.features.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        self.features.get(index).map(|(_, level)| *level)
    }

    /// Grows with every change of the finalized features; -1 when the broker does not know them yet.
    #[must_use]
    pub fn features_epoch(&self) -> i64 {
        self.features_epoch
    }
}

/// No version of an API that both sides speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsupportedVersion {
    /// The API that was asked for.
    pub api: ApiKey,
    /// What this crate could have sent, the cap of the caller included.
    pub ours: RangeInclusive<i16>,
    /// What the broker accepts; `None` when it does not serve the API at all.
    pub theirs: Option<RangeInclusive<i16>>,
}

impl fmt::Display for UnsupportedVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (api, ours) = (self.api.name(), show(&self.ours));
        match &self.theirs {
            Some(theirs) => write!(f, "{api}: the broker speaks {}, this client {ours}", show(theirs)),
            None => write!(f, "{api}: the broker does not serve this API (this client speaks {ours})"),
        }
    }
}

impl std::error::Error for UnsupportedVersion {}

fn show(range: &RangeInclusive<i16>) -> String {
    format!("v{} to v{}", range.start(), range.end())
}
