//! Administration of the cluster itself: brokers, features, the quorum, quotas, and resources with settings.

use super::at_controller::{Repetition, code_of};
use super::{AdminError, Client, RequestError};
use crate::admin::{
    BrokerDescription, ClusterDescription, ConfigResource, ConfigResourceKind, EntityQuotas, FeatureUpdate, Features,
    ItemError, Outcomes, QuorumDescription, QuotaChange, QuotaEntity, QuotaFilter, Voter, VoterEndpoint,
};
use crate::admin::{client_quotas, describe_cluster, features, list_config_resources, quorum};
use crate::cluster::Cluster;
use crate::protocol::ErrorCode;
use crate::protocol::api_versions::ApiVersionsRequest;
use crate::protocol::unregister_broker::UnregisterBrokerRequest;
use crate::protocol::update_features::UpdateFeaturesResponse;
use crate::types::BrokerId;
use crate::wire::Str;

impl Client {
    /// Returns the brokers of the cluster with their racks, and which operations on it this client may do.
    ///
    /// Before Kafka 2.8 only the brokers are known. Cancel safe.
    ///
    /// ```no_run
    /// # async fn run(client: kafka_wire::client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// for broker in client.describe_cluster().await?.brokers {
    ///     println!("{} at {}:{}, rack {:?}", broker.id, broker.host, broker.port, broker.rack);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If no broker answers, or the broker refuses.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription, AdminError> {
        let build = describe_cluster::request;
        match self.ask_any(build).await {
            Ok((response, _)) => Ok(describe_cluster::read(response)?),
            Err(RequestError::UnsupportedVersion { .. }) => Ok(plain_description(&*self.metadata(&[]).await?)),
            Err(error) => Err(error.into()),
        }
    }

    /// Has the controller forget a broker that is gone for good.
    ///
    /// # Errors
    /// If no broker answers, or the controller refuses: `BROKER_ID_NOT_REGISTERED` if it does not know the broker.
    pub async fn unregister_broker(&self, broker: BrokerId) -> Result<(), AdminError> {
        let request = UnregisterBrokerRequest { broker_id: broker.0, ..Default::default() };
        let response = self.at_controller(Repetition::Visible, request, |one| ErrorCode(one.error_code)).await?;
        Ok(ItemError::check(response.error_code, response.error_message)?)
    }

    /// Returns the features of the cluster: the levels in force, and those that the answering broker can work at.
    ///
    /// # Errors
    /// If no broker answers, or the broker refuses.
    pub async fn describe_features(&self) -> Result<Features, AdminError> {
        let request = ApiVersionsRequest {
            client_software_name: Str::from_static("waterwheel"),
            client_software_version: Str::from_static(env!("CARGO_PKG_VERSION")),
            ..Default::default()
        };
        let response = self.ask(request).await?;
        Ok(features::read_described(response)?)
    }

    /// Changes the levels of features. Returns the outcome of each, in the order of `updates`. Since Kafka 4.0 all of
    /// them are changed, or none.
    ///
    /// # Errors
    /// If no broker answers, or the controller refuses all.
    pub async fn update_features(&self, updates: &[FeatureUpdate]) -> Result<Outcomes<Str>, AdminError> {
        self.features(updates, false).await
    }

    /// Checks whether [`Client::update_features`] would change the levels, and changes nothing. From Kafka 3.3 on.
    ///
    /// # Errors
    /// As for [`Client::update_features`].
    pub async fn validate_features(&self, updates: &[FeatureUpdate]) -> Result<Outcomes<Str>, AdminError> {
        self.features(updates, true).await
    }

    async fn features(&self, updates: &[FeatureUpdate], validate_only: bool) -> Result<Outcomes<Str>, AdminError> {
        let (broker_ms, _) = self.slow_options();
        let asked = updates.to_vec();
        let build = move |version| features::update_request(&asked, validate_only, broker_ms, version);
        let code = |response: &UpdateFeaturesResponse| ErrorCode(response.error_code);
        let response = self.at_controller_by_version(Repetition::Visible, build, code).await?;
        Ok(features::read_updated(updates, response)?)
    }

    /// Returns the state of the KRaft quorum: leader, voters and observers, and how far each is.
    ///
    /// ```no_run
    /// # async fn run(client: kafka_wire::client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let quorum = client.describe_quorum().await?;
    /// for voter in &quorum.voters {
    ///     println!("{} is {} behind", voter.id, quorum.high_watermark.0 - voter.log_end_offset.0);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If no broker answers, or the controller refuses.
    pub async fn describe_quorum(&self) -> Result<QuorumDescription, AdminError> {
        let response = self.at_controller(Repetition::Harmless, quorum::describe_request(), quorum::code).await?;
        Ok(quorum::read_described(response)?)
    }

    /// Adds a voter to the quorum, and waits until it is committed. The controller has to run already, as an observer.
    /// Source: KIP-853.
    ///
    /// # Errors
    /// If no broker answers, or the controller refuses: `DUPLICATE_VOTER`, or `UNSUPPORTED_VERSION` for a quorum
    /// whose voters stand in its configuration (`kraft.version` 0).
    pub async fn add_voter(&self, voter: Voter, endpoints: &[VoterEndpoint]) -> Result<(), AdminError> {
        let cluster = self.cluster();
        let (broker_ms, _) = self.slow_options();
        let request = quorum::add_request(cluster.cluster_id(), voter, endpoints, broker_ms);
        let response = self.at_controller(Repetition::Visible, request, |one| ErrorCode(one.error_code)).await?;
        Ok(ItemError::check(response.error_code, response.error_message)?)
    }

    /// Removes a voter from the quorum. Source: KIP-853.
    ///
    /// # Errors
    /// As for [`Client::add_voter`]; `VOTER_NOT_FOUND` if there is no such voter.
    pub async fn remove_voter(&self, voter: Voter) -> Result<(), AdminError> {
        let cluster = self.cluster();
        let request = quorum::remove_request(cluster.cluster_id(), voter);
        let response = self.at_controller(Repetition::Visible, request, |one| ErrorCode(one.error_code)).await?;
        Ok(ItemError::check(response.error_code, response.error_message)?)
    }

    /// Returns the entities that match a filter, with their quotas.
    ///
    /// ```no_run
    /// use kafka_wire::admin::{QuotaChange, QuotaEntity, QuotaFilter};
    ///
    /// # async fn run(client: kafka_wire::client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let limit = QuotaChange::Set("producer_byte_rate".into(), 1_000_000.0);
    /// for (entity, outcome) in client.alter_client_quotas(&[(QuotaEntity::user("alice"), vec![limit])]).await? {
    ///     outcome.map_err(|error| format!("{entity}: {error}"))?;
    /// }
    /// for (entity, quotas) in client.describe_client_quotas(&QuotaFilter::default()).await? {
    ///     println!("{entity}: {quotas:?}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If no broker answers, or the broker refuses.
    pub async fn describe_client_quotas(&self, filter: &QuotaFilter) -> Result<Vec<EntityQuotas>, AdminError> {
        let request = client_quotas::describe_request(filter);
        let response = self.ask(request).await?;
        Ok(client_quotas::read_described(response)?)
    }

    /// Sets and removes quotas. Returns the outcome of each entity, in the order of `changes`; brokers follow
    /// a moment later.
    ///
    /// An entity is changed as a whole or not at all. Retried, because a repetition has no other effect.
    ///
    /// # Errors
    /// If no broker answers.
    pub async fn alter_client_quotas(
        &self,
        changes: &[(QuotaEntity, Vec<QuotaChange>)],
    ) -> Result<Outcomes<QuotaEntity>, AdminError> {
        type Altered = crate::protocol::alter_client_quotas::AlterClientQuotasResponse;

        let request = client_quotas::alter_request(changes);
        let code = |response: &Altered| code_of(response.entries.first().map(|entry| entry.error_code));
        let response = self.at_controller(Repetition::Harmless, request, code).await?;
        let entities: Vec<_> = changes.iter().map(|(entity, _)| entity.clone()).collect();
        Ok(client_quotas::read_altered(&entities, response))
    }

    /// Returns the resources of these kinds that have settings, or of all kinds if `kinds` is empty, sorted.
    ///
    /// Before Kafka 4.1 brokers know only subscriptions to client metrics, and refuse other kinds.
    ///
    /// # Errors
    /// If no broker answers, or the broker refuses.
    pub async fn list_config_resources(&self, kinds: &[ConfigResourceKind]) -> Result<Vec<ConfigResource>, AdminError> {
        let kinds = kinds.to_vec();
        let build = move |version| list_config_resources::request(&kinds, version);
        let (response, _) = self.ask_any(build).await?;
        Ok(list_config_resources::read(response)?)
    }
}

/// Returns the description of a cluster that cannot be asked for more than its metadata.
fn plain_description(cluster: &Cluster) -> ClusterDescription {
    let brokers = cluster.brokers().map(|broker| BrokerDescription {
        id: broker.id,
        host: broker.host.clone(),
        port: broker.port,
        rack: broker.rack.clone(),
        is_fenced: false,
    });
    ClusterDescription {
        cluster_id: cluster.cluster_id().cloned().unwrap_or_default(),
        controller: cluster.controller(),
        brokers: brokers.collect(),
        operations: None,
    }
}
