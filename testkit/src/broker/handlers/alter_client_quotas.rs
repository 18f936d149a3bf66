//! AlterClientQuotas: sets and removes quotas, which throttle no client here.

use std::collections::BTreeMap;

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::alter_client_quotas::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, AlterClientQuotasResponseEntryData, EntityData, EntryData,
};

use super::{Client, Handled, Handler, code_and_words};
use crate::broker::client_quotas::Entity;
use crate::broker::state::State;

impl Handler for AlterClientQuotasRequest {
    fn handle(self, state: &mut State, _client: &Client) -> Handled<AlterClientQuotasResponse> {
        // There is one result for each entity. An entity that occurs twice gets an error, but its first
        // changes hold, as in Kafka.
        let mut results: BTreeMap<Entity, Result<(), ErrorCode>> = BTreeMap::new();
        for entry in &self.entries {
            let entity = entity(entry);
            let result = if results.contains_key(&entity) {
                Err(ErrorCode::INVALID_REQUEST)
            } else {
                alter(state, &entity, entry, self.validate_only)
            };
            results.insert(entity, result);
        }
        Handled::Now(respond(results))
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> AlterClientQuotasResponse {
        respond(self.entries.iter().map(|entry| (entity(entry), Err(error))))
    }
}

/// The entity of an entry. Of two names for one kind, the last one holds.
fn entity(entry: &EntryData) -> Entity {
    entry.entity.iter().map(|part| (part.entity_type.clone(), part.entity_name.clone())).collect()
}

fn alter(state: &mut State, entity: &Entity, entry: &EntryData, is_trial: bool) -> Result<(), ErrorCode> {
    let mut changes = BTreeMap::new();
    for op in &entry.ops {
        let value = (!op.remove).then_some(op.value);
        if changes.insert(op.key.clone(), value).is_some() {
            return Err(ErrorCode::INVALID_REQUEST);
        }
    }
    state.quotas.alter(entity, &changes, is_trial)
}

fn respond(results: impl IntoIterator<Item = (Entity, Result<(), ErrorCode>)>) -> AlterClientQuotasResponse {
    let entries = results.into_iter().map(|(entity, result)| {
        let (error_code, error_message) = code_and_words(result);
        let entity = entity.into_iter();
        let entity =
            entity.map(|(entity_type, entity_name)| EntityData { entity_type, entity_name, ..Default::default() });
        AlterClientQuotasResponseEntryData { error_code, error_message, entity: entity.collect(), ..Default::default() }
    });
    AlterClientQuotasResponse { entries: entries.collect(), ..AlterClientQuotasResponse::default() }
}
