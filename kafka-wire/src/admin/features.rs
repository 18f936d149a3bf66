//! Features of the cluster and their levels (KIP-584, KIP-778).

use super::{ItemError, Outcomes};
use crate::protocol::api_versions::ApiVersionsResponse;
use crate::protocol::update_features::{FeatureUpdateKey, UpdateFeaturesRequest, UpdateFeaturesResponse};
use crate::wire::Str;

/// The features of a cluster, as one broker tells them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features {
    /// Levels in force in the whole cluster: name, lowest and highest level, sorted by name.
    pub finalized: Vec<FeatureLevels>,
    /// Number that grows with each change of the levels in force; `None` if unknown.
    pub finalized_epoch: Option<i64>,
    /// Levels that the broker can work at, sorted by name.
    pub supported: Vec<FeatureLevels>,
}

/// A feature and a range of its levels, both ends inclusive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeatureLevels {
    /// Name, such as `metadata.version`.
    pub name: Str,
    /// Lowest level.
    pub min: i16,
    /// Highest level.
    pub max: i16,
}

/// The directions in which the level of a feature may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpgradeType {
    /// Up only.
    #[default]
    Upgrade,
    /// Also down, if that loses no metadata.
    SafeDowngrade,
    /// Also down if metadata is lost.
    UnsafeDowngrade,
}

/// A new level of a feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureUpdate {
    /// Name of the feature.
    pub name: Str,
    /// New level; 0 switches the feature off.
    pub level: i16,
    /// Allowed direction.
    pub upgrade_type: UpgradeType,
}

impl FeatureUpdate {
    /// Makes an update that raises a feature to this level.
    #[must_use]
    pub fn raise(name: impl Into<Str>, level: i16) -> Self {
        Self { name: name.into(), level, upgrade_type: UpgradeType::Upgrade }
    }
}

/// Returns the features that a broker has told with its versions.
///
/// # Errors
/// The broker's code.
pub fn read_described(response: ApiVersionsResponse) -> Result<Features, ItemError> {
    ItemError::check(response.error_code, None)?;
    let supported = response.supported_features.into_iter();
    let supported = supported.map(|one| FeatureLevels { name: one.name, min: one.min_version, max: one.max_version });
    let finalized = response.finalized_features.into_iter();
    let finalized =
        finalized.map(|one| FeatureLevels { name: one.name, min: one.min_version_level, max: one.max_version_level });
    let epoch = response.finalized_features_epoch;
    let mut features = Features {
        finalized: if epoch < 0 { Vec::new() } else { finalized.collect() },
        finalized_epoch: (epoch >= 0).then_some(epoch),
        supported: supported.collect(),
    };
    features.finalized.sort();
    features.supported.sort();
    Ok(features)
}

/// Makes a request for these updates, in the form of `version`. With `validate_only` nothing is changed;
/// version 0 cannot do that.
#[must_use]
pub fn update_request(
    updates: &[FeatureUpdate],
    validate_only: bool,
    timeout_ms: i32,
    version: i16,
) -> UpdateFeaturesRequest {
    let updates = updates.iter().map(|update| {
        let key =
            FeatureUpdateKey { feature: update.name.clone(), max_version_level: update.level, ..Default::default() };
        match (version, update.upgrade_type) {
            (0, direction) => FeatureUpdateKey { allow_downgrade: direction != UpgradeType::Upgrade, ..key },
            (_, UpgradeType::Upgrade) => FeatureUpdateKey { upgrade_type: 1, ..key },
            (_, UpgradeType::SafeDowngrade) => FeatureUpdateKey { upgrade_type: 2, ..key },
            (_, UpgradeType::UnsafeDowngrade) => FeatureUpdateKey { upgrade_type: 3, ..key },
        }
    });
    UpdateFeaturesRequest { feature_updates: updates.collect(), validate_only, timeout_ms, ..Default::default() }
}

/// Returns the outcome of each feature, in the order of `updates`.
///
/// From version 2 on all features of a request are changed or none, and the response has one error for all.
///
/// # Errors
/// The controller's error for the whole request.
pub fn read_updated(updates: &[FeatureUpdate], response: UpdateFeaturesResponse) -> Result<Outcomes<Str>, ItemError> {
    ItemError::check(response.error_code, response.error_message)?;
    let outcome = |update: &FeatureUpdate| {
        let found = response.results.iter().find(|result| result.feature == update.name);
        let outcome = found.map_or(Ok(()), |result| ItemError::check(result.error_code, result.error_message.clone()));
        (update.name.clone(), outcome)
    };
    Ok(updates.iter().map(outcome).collect())
}
