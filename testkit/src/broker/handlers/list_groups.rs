//! ListGroups: lists the groups, by state and type if the request says so.

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::list_groups::{ListGroupsRequest, ListGroupsResponse, ListedGroup};
use kafka_wire::wire::Str;

use super::{Client, Handled, Handler};
use crate::broker::groups::Group;
use crate::broker::state::State;

impl Handler for ListGroupsRequest {
    fn handle(self, state: &mut State, client: &Client) -> Handled<ListGroupsResponse> {
        let is_wanted = |filter: &[Str], value: &str| {
            filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(value))
        };
        let groups = state.groups.iter().filter(|(_, group)| {
            is_wanted(&self.states_filter, group.state()) && is_wanted(&self.types_filter, kind(group))
        });
        let version = client.context.version;
        let listed = groups.map(|(id, group)| ListedGroup {
            group_id: id.clone(),
            protocol_type: match group.consumer() {
                Some(_) => Str::from_static(CONSUMER),
                None => group.protocol_type.clone().unwrap_or_default(),
            },
            group_state: Str::from_static(if version >= FIRST_WITH_STATE { group.state() } else { "" }),
            group_type: Str::from_static(if version >= FIRST_WITH_TYPE { kind(group) } else { "" }),
            ..Default::default()
        });
        Handled::Now(ListGroupsResponse { groups: listed.collect(), ..ListGroupsResponse::default() })
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> ListGroupsResponse {
        ListGroupsResponse { error_code: error.0, ..ListGroupsResponse::default() }
    }
}

/// Kafka's name of the group's protocol.
fn kind(group: &Group) -> &'static str {
    if group.consumer().is_some() { CONSUMER } else { CLASSIC }
}

const CONSUMER: &str = "consumer";
const CLASSIC: &str = "classic";
const FIRST_WITH_STATE: i16 = 4;
const FIRST_WITH_TYPE: i16 = 5;
