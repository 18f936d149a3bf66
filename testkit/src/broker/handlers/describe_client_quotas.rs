//! DescribeClientQuotas: lists the quotas of the entities that match a filter.

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::describe_client_quotas::{
    ComponentData, DescribeClientQuotasRequest, DescribeClientQuotasResponse, EntityData, EntryData, ValueData,
};

use super::{Client, Handled, Handler, code_and_words};
use crate::broker::client_quotas::{CLIENT_ID, Condition, Entity, IP, QuotaFilter, Quotas, USER};
use crate::broker::state::State;

impl Handler for DescribeClientQuotasRequest {
    fn handle(self, state: &mut State, client: &Client) -> Handled<DescribeClientQuotasResponse> {
        match filter(&self) {
            Ok(filter) => {
                let entries = state.quotas.find(&filter).map(describe).collect();
                Handled::Now(DescribeClientQuotasResponse { entries: Some(entries), ..Default::default() })
            }
            Err(error) => Handled::Now(self.refuse(error, client.context.version)),
        }
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> DescribeClientQuotasResponse {
        let (error_code, error_message) = code_and_words(Err(error));
        DescribeClientQuotasResponse { error_code, error_message, entries: None, ..Default::default() }
    }
}

fn filter(request: &DescribeClientQuotasRequest) -> Result<QuotaFilter, ErrorCode> {
    let mut filter = QuotaFilter { is_strict: request.strict, ..QuotaFilter::default() };
    for component in &request.components {
        let kind = &component.entity_type;
        if kind.is_empty() || filter.conditions.contains_key(kind) {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        if ![USER, CLIENT_ID, IP].contains(&kind.as_str()) {
            return Err(ErrorCode::UNSUPPORTED_VERSION);
        }
        filter.conditions.insert(kind.clone(), condition(component)?);
    }
    // A condition on an address cannot be combined with others.
    if filter.conditions.contains_key(IP) && filter.conditions.len() > 1 {
        return Err(ErrorCode::INVALID_REQUEST);
    }
    Ok(filter)
}

fn condition(component: &ComponentData) -> Result<Condition, ErrorCode> {
    match (component.match_type, &component.match_) {
        (EXACT, Some(name)) => Ok(Condition::Is(Some(name.clone()))),
        (DEFAULT, None) => Ok(Condition::Is(None)),
        (SPECIFIED, None) => Ok(Condition::Any),
        _ => Err(ErrorCode::INVALID_REQUEST),
    }
}

fn describe((entity, quotas): (&Entity, &Quotas)) -> EntryData {
    let entity = entity.iter().map(|(entity_type, entity_name)| EntityData {
        entity_type: entity_type.clone(),
        entity_name: entity_name.clone(),
        ..Default::default()
    });
    let values = quotas.iter().map(|(key, &value)| ValueData { key: key.clone(), value, ..Default::default() });
    EntryData { entity: entity.collect(), values: values.collect(), ..Default::default() }
}

const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const SPECIFIED: i8 = 2;
