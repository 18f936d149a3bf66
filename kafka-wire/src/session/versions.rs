//! The versions that a broker supports: ranges per API and finalized features, from its ApiVersions response.

use std::fmt;
use std::ops::RangeInclusive;

use crate::protocol::api_versions::ApiVersionsResponse;
use crate::protocol::{ApiKey, ErrorCode};
use crate::wire::Str;

/// The versions and features that one broker announced on one connection.
///
/// Brokers are upgraded one by one, so this holds for the connection that it came from, not for a broker's name.
/// Source: KIP-35, KIP-584.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerVersions {
    /// Ranges sorted by API key; APIs that this crate does not know are kept as numbers.
    ranges: Vec<(i16, RangeInclusive<i16>)>,
    /// Finalized features and their level, sorted by name.
    features: Vec<(Str, i16)>,
    features_epoch: i64,
}

impl BrokerVersions {
    /// The announcement in a broker's response.
    #[must_use]
    pub fn from_response(response: &ApiVersionsResponse) -> Self {
        let mut ranges: Vec<_> =
            response.api_keys.iter().map(|api| (api.api_key, api.min_version..=api.max_version)).collect();
        ranges.sort_unstable_by_key(|(key, _)| *key);
        let mut features: Vec<_> = response
            .finalized_features
            .iter()
            .map(|feature| (feature.name.clone(), feature.max_version_level))
            .collect();
        features.sort_unstable();
        Self { ranges, features, features_epoch: response.finalized_features_epoch }
    }

    /// Versions of `api` that the broker accepts; `None` if it does not serve the API.
    #[must_use]
    pub fn range(&self, api: ApiKey) -> Option<RangeInclusive<i16>> {
        let key = api as i16;
        let index = self.ranges.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        self.ranges.get(index).map(|(_, range)| range.clone())
    }

    /// The highest version of `api` that both sides have and that is not above `max_version`.
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

    /// Level of a feature that the cluster has finalized; `None` if it has not, or the broker does not report it
    /// (before ApiVersions v3).
    #[must_use]
    pub fn feature(&self, name: &str) -> Option<i16> {
        let index = self.features.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        self.features.get(index).map(|(_, level)| *level)
    }

    /// Epoch of the finalized features, which grows with every change of them; -1 if the broker does not know them yet.
    #[must_use]
    pub fn features_epoch(&self) -> i64 {
        self.features_epoch
    }
}

/// The error that both sides have no version of an API in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsupportedVersion {
    /// The API.
    pub api: ApiKey,
    /// Versions that this crate could have sent, with the caller's limit applied.
    pub ours: RangeInclusive<i16>,
    /// Versions that the broker accepts; `None` if it does not serve the API at all.
    pub theirs: Option<RangeInclusive<i16>>,
}

impl fmt::Display for UnsupportedVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (api, ours) = (self.api.name(), show(&self.ours));
        match &self.theirs {
            Some(theirs) => {
                write!(f, "{api}: the broker speaks {}, this client {ours}", show(theirs))?;
                // Kafka 4 dropped the versions that no broker since 2.1 needs (KIP-896), and so does this crate.
                let is_older = theirs.end() < self.api.versions().start();
                f.write_str(if is_older { "; it takes Kafka 2.1 or later" } else { "" })
            }
            None => write!(f, "{api}: the broker does not serve this API (this client speaks {ours})"),
        }
    }
}

impl std::error::Error for UnsupportedVersion {}

fn show(range: &RangeInclusive<i16>) -> String {
    format!("v{} to v{}", range.start(), range.end())
}

/// The version to try next after a broker refused ApiVersions `tried` with `UNSUPPORTED_VERSION`;
/// `None` if there is none.
///
/// Such a refusal has the body of v0 and since Kafka 2.4 lists the range of ApiVersions itself; older brokers send
/// nothing, which leaves v0. Only a strictly lower version counts, or both sides could go on for ever. Source: KIP-511.
pub(super) fn lower_version(refusal: &ApiVersionsResponse, tried: i16) -> Option<i16> {
    debug_assert_eq!(ErrorCode(refusal.error_code), ErrorCode::UNSUPPORTED_VERSION);
    let listed = BrokerVersions::from_response(refusal).range(ApiKey::ApiVersions);
    let next = listed.map_or(0, |range| *range.end()).max(0);
    (next < tried).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::api_versions::ApiVersion;

    fn speaks(api: ApiKey, range: RangeInclusive<i16>) -> BrokerVersions {
        let api = ApiVersion { api_key: api as i16, min_version: *range.start(), max_version: *range.end() };
        BrokerVersions::from_response(&ApiVersionsResponse { api_keys: vec![api], ..Default::default() })
    }

    #[test]
    fn the_picked_version_is_the_highest_common_one() {
        let ours = *ApiKey::Metadata.versions().end();
        assert_eq!(speaks(ApiKey::Metadata, 0..=500).pick(ApiKey::Metadata, None), Ok(ours));
        assert_eq!(speaks(ApiKey::Metadata, 0..=4).pick(ApiKey::Metadata, None), Ok(4));
        assert_eq!(speaks(ApiKey::Metadata, 0..=500).pick(ApiKey::Metadata, Some(5)), Ok(5));
        assert_eq!(speaks(ApiKey::Metadata, 0..=3).pick(ApiKey::Metadata, Some(5)), Ok(3));
    }

    #[test]
    fn no_common_version_names_both_ranges() {
        let error = speaks(ApiKey::Metadata, 300..=301).pick(ApiKey::Metadata, Some(5)).unwrap_err();
        assert_eq!(error, UnsupportedVersion { api: ApiKey::Metadata, ours: 0..=5, theirs: Some(300..=301) });
        let error = speaks(ApiKey::Metadata, 0..=9).pick(ApiKey::Fetch, None).unwrap_err();
        assert_eq!(error.theirs, None);
        let error = speaks(ApiKey::Fetch, 0..=3).pick(ApiKey::Fetch, None).unwrap_err().to_string();
        assert!(error.ends_with("it takes Kafka 2.1 or later"), "{error}");
    }

    #[test]
    fn a_refusal_leads_to_a_strictly_lower_version() {
        let refusal = |api_keys| ApiVersionsResponse { error_code: 35, api_keys, ..Default::default() };
        let listed = ApiVersion { api_key: 18, min_version: 0, max_version: 3 };
        assert_eq!(lower_version(&refusal(vec![listed.clone()]), 4), Some(3));
        assert_eq!(lower_version(&refusal(vec![listed]), 3), None);
        assert_eq!(lower_version(&refusal(vec![]), 4), Some(0));
        assert_eq!(lower_version(&refusal(vec![]), 0), None);
    }
}
