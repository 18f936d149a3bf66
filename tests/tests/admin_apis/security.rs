//! Access control entries, quotas and credentials are stored and listed. On Apache Kafka every client is a superuser
//! here, so that entries deny nothing, as on the embedded broker.

use std::time::Duration;

use bytes::Bytes;
use conformance::{TestBroker, on_both_brokers};
use kafka_wire::client::{CallOptions, Lane, Node};
use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::alter_client_quotas::{self, AlterClientQuotasRequest, OpData};
use kafka_wire::protocol::alter_user_scram_credentials::{
    AlterUserScramCredentialsRequest, ScramCredentialDeletion, ScramCredentialUpsertion,
};
use kafka_wire::protocol::create_acls::{AclCreation, CreateAclsRequest};
use kafka_wire::protocol::delete_acls::{DeleteAclsFilter, DeleteAclsRequest};
use kafka_wire::protocol::describe_acls::DescribeAclsRequest;
use kafka_wire::protocol::describe_client_quotas::{ComponentData, DescribeClientQuotasRequest};
use kafka_wire::protocol::describe_user_scram_credentials::{DescribeUserScramCredentialsRequest, UserName};
use kafka_wire::wire::Str;

use crate::{NONE, Wire, until};

on_both_brokers!(
    entries_are_created_and_deleted,
    entries_are_found_by_filters,
    entries_are_checked,
    numbers_without_a_meaning_close_the_connection,
    quotas_are_set_and_taken_away,
    quotas_are_checked,
    quotas_are_found_by_filters,
    credentials_are_set_and_deleted,
    credentials_are_checked,
);

const INVALID: ErrorCode = ErrorCode::INVALID_REQUEST;

const ANY: i8 = 1;
const TOPIC: i8 = 2;
const GROUP: i8 = 3;
const CLUSTER: i8 = 4;
const MATCH: i8 = 2;
const LITERAL: i8 = 3;
const PREFIXED: i8 = 4;
const READ: i8 = 3;
const WRITE: i8 = 4;
const DENY: i8 = 2;
const ALLOW: i8 = 3;

fn entry(name: &str, principal: &str) -> AclCreation {
    AclCreation {
        resource_type: TOPIC,
        resource_name: Str::from(name),
        resource_pattern_type: LITERAL,
        principal: Str::from(principal),
        host: Str::from_static("*"),
        operation: READ,
        permission_type: ALLOW,
        ..Default::default()
    }
}

async fn create(wire: &Wire, creations: Vec<AclCreation>) -> Vec<ErrorCode> {
    let response = wire.ask(CreateAclsRequest { creations, ..Default::default() }).await;
    response.results.iter().map(|result| ErrorCode(result.error_code)).collect()
}

/// A filter for all entries of a principal.
fn of(principal: &str) -> DescribeAclsRequest {
    DescribeAclsRequest {
        resource_type_filter: ANY,
        resource_name_filter: None,
        pattern_type_filter: ANY,
        principal_filter: Some(Str::from(principal)),
        host_filter: None,
        operation: ANY,
        permission_type: ANY,
        ..Default::default()
    }
}

/// The same filter for a deletion.
fn deletion(filter: DescribeAclsRequest) -> DeleteAclsFilter {
    DeleteAclsFilter {
        resource_type_filter: filter.resource_type_filter,
        resource_name_filter: filter.resource_name_filter,
        pattern_type_filter: filter.pattern_type_filter,
        principal_filter: filter.principal_filter,
        host_filter: filter.host_filter,
        operation: filter.operation,
        permission_type: filter.permission_type,
        ..Default::default()
    }
}

/// Kind, name, pattern, host, operation and permission of each entry found.
type Found = (i8, String, i8, String, i8, i8);

async fn find(wire: &Wire, filter: DescribeAclsRequest) -> Vec<Found> {
    let response = wire.ask(filter).await;
    assert_eq!(ErrorCode(response.error_code), NONE);
    let mut found = Vec::new();
    for resource in &response.resources {
        assert!(!resource.acls.is_empty());
        for acl in &resource.acls {
            let (name, host) = (resource.resource_name.to_string(), acl.host.to_string());
            found.push((resource.resource_type, name, resource.pattern_type, host, acl.operation, acl.permission_type));
        }
    }
    found.sort_unstable();
    found
}

fn found(entry: &AclCreation) -> Found {
    let (name, host) = (entry.resource_name.to_string(), entry.host.to_string());
    (entry.resource_type, name, entry.resource_pattern_type, host, entry.operation, entry.permission_type)
}

async fn entries_are_created_and_deleted(broker: TestBroker) {
    let wire = Wire::open(broker).await;
    let principal = format!("User:{}", wire.unique("alice"));
    let topic = wire.unique("topic");
    let one = entry(&topic, &principal);
    let two = AclCreation { host: Str::from_static("10.0.0.1"), permission_type: DENY, ..one.clone() };
    assert_eq!(create(&wire, vec![one.clone(), two.clone()]).await, [NONE, NONE]);
    assert_eq!(create(&wire, vec![one.clone()]).await, [NONE], "again");
    until(vec![found(&two), found(&one)].into_iter().collect::<std::collections::BTreeSet<_>>(), async || {
        find(&wire, of(&principal)).await.into_iter().collect()
    })
    .await;
    // Two filters that match the same entry, and one that matches none.
    let none = DescribeAclsRequest { operation: WRITE, ..of(&principal) };
    let denied = DescribeAclsRequest { permission_type: DENY, ..of(&principal) };
    let filters = [denied.clone(), denied, none].into_iter().map(deletion).collect();
    let response = wire.ask(DeleteAclsRequest { filters, ..Default::default() }).await;
    let sizes = response.filter_results.iter().map(|one| (ErrorCode(one.error_code), one.matching_acls.len()));
    let sizes: Vec<_> = sizes.collect();
    assert_eq!(sizes, [(NONE, 1), (NONE, 1), (NONE, 0)]);
    let deleted = &response.filter_results[0].matching_acls[0];
    assert_eq!((&deleted.resource_name, &deleted.principal), (&topic, &Str::from(principal.as_str())));
    assert_eq!((deleted.resource_type, deleted.pattern_type, deleted.operation), (TOPIC, LITERAL, READ));
    until(vec![found(&one)], async || find(&wire, of(&principal)).await).await;
    for version in 1..=3 {
        let request = DeleteAclsRequest { filters: vec![deletion(of(&principal))], ..Default::default() };
        let count = wire.ask_at(version, request).await.filter_results[0].matching_acls.len();
        assert_eq!(count, usize::from(version == 1), "v{version}");
        until(Vec::new(), async || find(&wire, of(&principal)).await).await;
        assert_eq!(wire.ask_at(version, of(&principal)).await.resources.len(), 0);
    }
}

async fn entries_are_found_by_filters(broker: TestBroker) {
    let wire = Wire::open(broker).await;
    let principal = format!("User:{}", wire.unique("bob"));
    let topic = wire.unique("topic");
    let longer = format!("{topic}-and-more");
    let literal = entry(&topic, &principal);
    let prefixed = AclCreation { resource_pattern_type: PREFIXED, operation: WRITE, ..literal.clone() };
    let everything = entry("*", &principal);
    let group = AclCreation { resource_type: GROUP, host: Str::from_static("10.0.0.1"), ..literal.clone() };
    let all = [&literal, &prefixed, &everything, &group];
    let codes = create(&wire, all.iter().map(|&one| one.clone()).collect()).await;
    assert_eq!(codes, [NONE; 4]);
    let filter = |resource_type_filter, name: Option<&str>, pattern_type_filter| DescribeAclsRequest {
        resource_type_filter,
        resource_name_filter: name.map(Str::from),
        pattern_type_filter,
        ..of(&principal)
    };
    let base = of(&principal);
    let cases: [(&str, DescribeAclsRequest, &[&AclCreation]); 18] = [
        ("all", base.clone(), &all),
        ("all topics", filter(TOPIC, None, ANY), &[&literal, &prefixed, &everything]),
        ("of the name, any pattern", filter(TOPIC, Some(&topic), ANY), &[&literal, &prefixed]),
        ("of the name, literal", filter(TOPIC, Some(&topic), LITERAL), &[&literal]),
        ("of the name, prefixed", filter(TOPIC, Some(&topic), PREFIXED), &[&prefixed]),
        ("for the name", filter(TOPIC, Some(&topic), MATCH), &[&literal, &prefixed, &everything]),
        ("for a longer name", filter(TOPIC, Some(&longer), MATCH), &[&prefixed, &everything]),
        ("of a longer name", filter(TOPIC, Some(&longer), ANY), &[]),
        ("for a name, any kind", filter(ANY, Some(&topic), MATCH), &all),
        ("of every name", filter(TOPIC, Some("*"), LITERAL), &[&everything]),
        ("prefixed, any name", filter(ANY, None, PREFIXED), &[&prefixed]),
        ("match, any name", filter(TOPIC, None, MATCH), &[&literal, &prefixed, &everything]),
        ("host", DescribeAclsRequest { host_filter: Some(Str::from_static("10.0.0.1")), ..base.clone() }, &[&group]),
        ("operation", DescribeAclsRequest { operation: WRITE, ..base.clone() }, &[&prefixed]),
        ("permission", DescribeAclsRequest { permission_type: DENY, ..base.clone() }, &[]),
        ("numbers of the future", DescribeAclsRequest { operation: 99, ..base.clone() }, &[]),
        ("kinds of the future", filter(99, None, ANY), &[]),
        ("patterns of the future", filter(ANY, None, 99), &[]),
    ];
    until(4, async || find(&wire, base.clone()).await.len()).await;
    for (what, filter, expected) in cases {
        let mut expected: Vec<_> = expected.iter().map(|&one| found(one)).collect();
        expected.sort_unstable();
        assert_eq!(find(&wire, filter).await, expected, "{what}");
    }
}

async fn entries_are_checked(broker: TestBroker) {
    let wire = Wire::open(broker).await;
    let principal = format!("User:{}", wire.unique("carol"));
    let good = entry("topic", &principal);
    let cluster =
        AclCreation { resource_type: CLUSTER, resource_name: Str::from_static("kafka-cluster"), ..good.clone() };
    let other = AclCreation { resource_name: Str::from_static("other"), ..cluster.clone() };
    let cases = [
        ("good", good.clone(), NONE),
        ("cluster", cluster, NONE),
        ("another cluster", other, INVALID),
        ("no name", entry("", &principal), INVALID),
        ("any kind", AclCreation { resource_type: ANY, ..good.clone() }, ErrorCode(-1)),
        ("kind of the future", AclCreation { resource_type: 99, ..good.clone() }, INVALID),
        ("user", AclCreation { resource_type: 7, ..good.clone() }, NONE),
        ("any pattern", AclCreation { resource_pattern_type: ANY, ..good.clone() }, ErrorCode(-1)),
        ("matching pattern", AclCreation { resource_pattern_type: MATCH, ..good.clone() }, ErrorCode(-1)),
        ("pattern of the future", AclCreation { resource_pattern_type: 99, ..good.clone() }, INVALID),
        ("any operation", AclCreation { operation: ANY, ..good.clone() }, ErrorCode(-1)),
        ("two-phase commit", AclCreation { operation: 15, ..good.clone() }, NONE),
        ("operation of the future", AclCreation { operation: 99, ..good.clone() }, INVALID),
        ("any permission", AclCreation { permission_type: ANY, ..good.clone() }, ErrorCode(-1)),
        ("permission of the future", AclCreation { permission_type: 99, ..good.clone() }, INVALID),
        ("no type of principal", entry("topic", "carol"), INVALID),
    ];
    let mut wrong = Vec::new();
    for (what, entry, expected) in &cases {
        let answer = create(&wire, vec![entry.clone()]).await;
        if answer != [*expected] {
            wrong.push(format!("{what}: {answer:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let sound = cases.iter().filter(|(.., expected)| expected.0 >= 0);
    let codes: Vec<_> = sound.clone().map(|(.., expected)| *expected).collect();
    assert_eq!(create(&wire, sound.map(|(_, entry, _)| entry.clone()).collect()).await, codes, "each by itself");
    let failing = AclCreation { operation: ANY, ..good.clone() };
    assert_eq!(create(&wire, vec![good, failing]).await, [ErrorCode(-1); 2], "all together");
    for filter in [
        DescribeAclsRequest { resource_type_filter: 99, ..of(&principal) },
        DescribeAclsRequest { pattern_type_filter: 99, ..of(&principal) },
        DescribeAclsRequest { operation: 99, ..of(&principal) },
        DescribeAclsRequest { permission_type: 99, ..of(&principal) },
    ] {
        let request = DeleteAclsRequest { filters: vec![deletion(filter)], ..Default::default() };
        let result = &wire.ask(request).await.filter_results[0];
        assert_eq!((ErrorCode(result.error_code), result.matching_acls.len()), (INVALID, 0));
    }
}

async fn numbers_without_a_meaning_close_the_connection(broker: TestBroker) {
    let wire = Wire::open(broker).await;
    let options = || CallOptions { max_version: None, timeout: Some(Duration::from_secs(5)) };
    let filter = DescribeAclsRequest { operation: 0, ..of("User:mallory") };
    let answer = wire.client.request(Node::Any, Lane::General, filter.clone(), options()).await;
    assert!(answer.is_err(), "{answer:?}");
    let filters = vec![deletion(filter)];
    let request = DeleteAclsRequest { filters, ..Default::default() };
    let answer = wire.client.request(Node::Any, Lane::General, request, options()).await;
    assert!(answer.is_err(), "{answer:?}");
    let creations = vec![AclCreation { resource_type: 0, ..entry("topic", "User:mallory") }];
    let request = CreateAclsRequest { creations, ..Default::default() };
    let answer = wire.client.request(Node::Any, Lane::General, request, options()).await;
    assert!(answer.is_err(), "{answer:?}");
}

/// Kinds and names of an entity; no name is the default.
type Entity<'a> = &'a [(&'static str, Option<&'a str>)];

/// Names and values of quotas; no value removes a quota.
type Ops<'a> = &'a [(&'static str, Option<f64>)];

/// Kinds, Kafka's numbers of how to match, and names.
type Conditions<'a> = &'a [(&'static str, i8, Option<&'a str>)];

fn quotas(entity: Entity<'_>, ops: Ops<'_>) -> alter_client_quotas::EntryData {
    let part = |&(entity_type, entity_name): &(&'static str, Option<&str>)| alter_client_quotas::EntityData {
        entity_type: Str::from_static(entity_type),
        entity_name: entity_name.map(Str::from),
        ..Default::default()
    };
    let op = |&(key, value): &(&'static str, Option<f64>)| OpData {
        key: Str::from_static(key),
        value: value.unwrap_or_default(),
        remove: value.is_none(),
        ..Default::default()
    };
    alter_client_quotas::EntryData {
        entity: entity.iter().map(part).collect(),
        ops: ops.iter().map(op).collect(),
        ..Default::default()
    }
}

async fn alter(wire: &Wire, entries: Vec<alter_client_quotas::EntryData>, validate_only: bool) -> Vec<ErrorCode> {
    let response = wire.ask(AlterClientQuotasRequest { entries, validate_only, ..Default::default() }).await;
    response.entries.iter().map(|entry| ErrorCode(entry.error_code)).collect()
}

/// The error code, and a line for each entity that meets the conditions.
async fn described(wire: &Wire, conditions: Conditions<'_>, strict: bool) -> (ErrorCode, String) {
    let component = |&(entity_type, match_type, name): &(&'static str, i8, Option<&str>)| ComponentData {
        entity_type: Str::from_static(entity_type),
        match_type,
        match_: name.map(Str::from),
        ..Default::default()
    };
    let components = conditions.iter().map(component).collect();
    let response = wire.ask(DescribeClientQuotasRequest { components, strict, ..Default::default() }).await;
    assert_eq!(response.entries.is_none(), response.error_code != 0);
    let mut lines = Vec::new();
    for entry in response.entries.unwrap_or_default() {
        let mut parts: Vec<_> = entry
            .entity
            .iter()
            .map(|part| format!("{}={}", part.entity_type, part.entity_name.as_deref().unwrap_or("<default>")))
            .collect();
        parts.sort_unstable();
        let mut values: Vec<_> = entry.values.iter().map(|value| format!("{}={}", value.key, value.value)).collect();
        values.sort_unstable();
        lines.push(format!("{}: {}", parts.join(","), values.join(",")));
    }
    lines.sort_unstable();
    (ErrorCode(response.error_code), lines.join("\n"))
}

const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const SPECIFIED: i8 = 2;

async fn quotas_are_set_and_taken_away(broker: TestBroker) {
    let wire = Wire::open(broker).await;
    let user = wire.unique("dave");
    let entity: Entity<'_> = &[("user", Some(&user))];
    let own = [("user", EXACT, Some(user.as_str()))];
    let both = [("producer_byte_rate", Some(1024.0)), ("request_percentage", Some(12.5))];
    assert_eq!(alter(&wire, vec![quotas(entity, &both)], true).await, [NONE]);
    assert_eq!(described(&wire, &own, true).await, (NONE, String::new()), "only validated");
    assert_eq!(alter(&wire, vec![quotas(entity, &both)], false).await, [NONE]);
    let line = format!("user={user}: producer_byte_rate=1024,request_percentage=12.5");
    until((NONE, line), async || described(&wire, &own, true).await).await;
    let changes = [("producer_byte_rate", None), ("consumer_byte_rate", Some(7.0)), ("no_such_quota", None)];
    assert_eq!(alter(&wire, vec![quotas(entity, &changes)], false).await, [NONE]);
    let line = format!("user={user}: consumer_byte_rate=7,request_percentage=12.5");
    until((NONE, line), async || described(&wire, &own, true).await).await;
    let rest = [("consumer_byte_rate", None), ("request_percentage", None)];
    assert_eq!(alter(&wire, vec![quotas(entity, &rest)], false).await, [NONE]);
    until((NONE, String::new()), async || described(&wire, &own, true).await).await;
    for version in 0..=1 {
        let entries = vec![quotas(entity, &[("producer_byte_rate", Some(-1.0))])];
        let response = wire.ask_at(version, AlterClientQuotasRequest { entries, ..Default::default() }).await;
        let answer = &response.entries[0];
        assert_eq!((ErrorCode(answer.error_code), answer.entity[0].entity_name.as_ref()), (INVALID, Some(&user)));
    }
}

async fn quotas_are_checked(broker: TestBroker) {
    let wire = Wire::open(broker).await;
    let user = wire.unique("erin");
    let name = Some(user.as_str());
    let rate: Ops<'_> = &[("producer_byte_rate", Some(1.0))];
    let connections: Ops<'_> = &[("connection_creation_rate", Some(1.0))];
    let cases: &[(&str, Entity<'_>, Ops<'_>, ErrorCode)] = &[
        ("user", &[("user", name)], rate, NONE),
        ("default user", &[("user", None)], rate, NONE),
        ("client", &[("client-id", name)], rate, NONE),
        ("user and client", &[("user", name), ("client-id", name)], rate, NONE),
        ("address", &[("ip", Some("10.1.2.3"))], connections, NONE),
        ("IPv6 address", &[("ip", Some("::1"))], connections, NONE),
        ("default address", &[("ip", None)], connections, NONE),
        ("nobody", &[], rate, INVALID),
        ("unknown kind", &[("planet", name)], rate, INVALID),
        ("empty kind", &[("", name)], rate, INVALID),
        ("empty name", &[("user", Some(""))], rate, INVALID),
        ("address and user", &[("ip", Some("10.1.2.3")), ("user", name)], rate, INVALID),
        ("no address", &[("ip", Some("not an address"))], connections, INVALID),
        ("of an address", &[("user", name)], connections, INVALID),
        ("of a user", &[("ip", Some("10.1.2.3"))], rate, INVALID),
        ("unknown quota", &[("user", name)], &[("naps", Some(1.0))], INVALID),
        ("zero", &[("user", name)], &[("producer_byte_rate", Some(0.0))], INVALID),
        ("fraction", &[("user", name)], &[("consumer_byte_rate", Some(1.5))], INVALID),
        ("small fraction", &[("user", name)], &[("request_percentage", Some(0.001))], NONE),
        ("mutations", &[("user", name)], &[("controller_mutation_rate", Some(0.5))], NONE),
        ("large", &[("user", name)], &[("producer_byte_rate", Some(1e18))], NONE),
        ("too large", &[("user", name)], &[("producer_byte_rate", Some(1e19))], INVALID),
        ("too many", &[("ip", Some("10.1.2.3"))], &[("connection_creation_rate", Some(3e9))], INVALID),
        ("twice", &[("user", name)], &[rate[0], rate[0]], INVALID),
        ("nothing", &[("user", name)], &[], NONE),
    ];
    let mut wrong = Vec::new();
    for &(what, entity, ops, expected) in cases {
        let answer = alter(&wire, vec![quotas(entity, ops)], true).await;
        if answer != [expected] {
            wrong.push(format!("{what}: {answer:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let one = quotas(&[("user", name)], rate);
    let other = quotas(&[("user", name)], &[("consumer_byte_rate", Some(5.0))]);
    assert_eq!(alter(&wire, vec![one, other], false).await, [INVALID], "an entity twice");
    // The operations before the error have taken effect.
    let line = format!("user={user}: producer_byte_rate=1");
    until((NONE, line), async || described(&wire, &[("user", EXACT, name)], true).await).await;
}

async fn quotas_are_found_by_filters(broker: TestBroker) {
    let wire = Wire::open(broker).await;
    let (user, client) = (wire.unique("frank"), wire.unique("client"));
    let (user, client) = (Some(user.as_str()), Some(client.as_str()));
    let rate = [("producer_byte_rate", Some(5.0))];
    let entities: [Entity<'_>; 3] =
        [&[("user", user)], &[("user", user), ("client-id", client)], &[("user", user), ("client-id", None)]];
    assert_eq!(alter(&wire, entities.iter().map(|entity| quotas(entity, &rate)).collect(), false).await, [NONE; 3]);
    let name = user.unwrap_or_default();
    let alone = format!("user={name}: producer_byte_rate=5");
    let paired = format!("client-id={},user={name}: producer_byte_rate=5", client.unwrap_or_default());
    let by_default = format!("client-id=<default>,user={name}: producer_byte_rate=5");
    let all = format!("{by_default}\n{paired}\n{alone}");
    until((NONE, all), async || described(&wire, &[("user", EXACT, user)], false).await).await;
    let of_user = ("user", EXACT, user);
    let both = format!("{by_default}\n{paired}");
    let cases: &[(Conditions<'_>, bool, &str)] = &[
        (&[of_user], true, &alone),
        (&[of_user, ("client-id", EXACT, client)], true, &paired),
        (&[of_user, ("client-id", DEFAULT, None)], true, &by_default),
        (&[of_user, ("client-id", SPECIFIED, None)], true, &both),
        (&[("user", SPECIFIED, None), ("client-id", EXACT, client)], false, &paired),
        (&[("client-id", EXACT, client)], true, ""),
        (&[("client-id", EXACT, client)], false, &paired),
        (&[("user", EXACT, Some("nobody of this name"))], false, ""),
        (&[], true, ""),
    ];
    for &(conditions, strict, expected) in cases {
        let answer = described(&wire, conditions, strict).await;
        assert_eq!(answer, (NONE, expected.to_owned()), "{conditions:?} {strict}");
    }
    let (_, everything) = described(&wire, &[], false).await;
    assert!(everything.contains(&alone) && everything.contains(&paired), "{everything}");
    let unsupported = ErrorCode::UNSUPPORTED_VERSION;
    let refused: &[(Conditions<'_>, ErrorCode)] = &[
        (&[("user", EXACT, None)], INVALID),
        (&[("user", DEFAULT, user)], INVALID),
        (&[("user", SPECIFIED, user)], INVALID),
        (&[("user", 7, None)], INVALID),
        (&[("", EXACT, user)], INVALID),
        (&[("planet", EXACT, user)], unsupported),
        (&[of_user, of_user], INVALID),
        (&[of_user, ("ip", SPECIFIED, None)], INVALID),
    ];
    let mut wrong = Vec::new();
    for &(conditions, expected) in refused {
        let (answer, entities) = described(&wire, conditions, false).await;
        if (answer, entities.as_str()) != (expected, "") {
            wrong.push(format!("{conditions:?}: {answer:?} {entities}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn upsertion(name: &str, mechanism: i8, iterations: i32) -> ScramCredentialUpsertion {
    ScramCredentialUpsertion {
        name: Str::from(name),
        mechanism,
        iterations,
        salt: Bytes::from_static(b"salt"),
        salted_password: Bytes::from_static(b"a password with salt on it, ....."),
        ..Default::default()
    }
}

fn removal(name: &str, mechanism: i8) -> ScramCredentialDeletion {
    ScramCredentialDeletion { name: Str::from(name), mechanism, ..Default::default() }
}

async fn change(
    wire: &Wire,
    deletions: Vec<ScramCredentialDeletion>,
    upsertions: Vec<ScramCredentialUpsertion>,
) -> Vec<(String, ErrorCode)> {
    let request = AlterUserScramCredentialsRequest { deletions, upsertions, ..Default::default() };
    let response = wire.ask(request).await;
    let results = response.results.iter().map(|result| (result.user.to_string(), ErrorCode(result.error_code)));
    let mut results: Vec<_> = results.collect();
    results.sort_unstable();
    results
}

/// The error code, and mechanism with iterations of each credential.
type Credentials = (ErrorCode, Vec<(i8, i32)>);

async fn credentials(wire: &Wire, users: &[&str]) -> Vec<Credentials> {
    let user = |name: &&str| UserName { name: Str::from(*name), ..Default::default() };
    let request =
        DescribeUserScramCredentialsRequest { users: Some(users.iter().map(user).collect()), ..Default::default() };
    let response = wire.ask(request).await;
    assert_eq!(ErrorCode(response.error_code), NONE);
    let results = response.results.iter().map(|result| {
        let mut infos: Vec<_> = result.credential_infos.iter().map(|info| (info.mechanism, info.iterations)).collect();
        infos.sort_unstable();
        (ErrorCode(result.error_code), infos)
    });
    results.collect()
}

async fn credentials_are_set_and_deleted(broker: TestBroker) {
    let wire = Wire::open(broker).await;
    let user = wire.unique("grace");
    let own = |code| vec![(user.to_string(), code)];
    assert_eq!(change(&wire, vec![], vec![upsertion(&user, 1, 4096)]).await, own(NONE));
    assert_eq!(change(&wire, vec![], vec![upsertion(&user, 2, 8192)]).await, own(NONE));
    until(vec![(NONE, vec![(1, 4096), (2, 8192)])], async || credentials(&wire, &[&user]).await).await;
    assert_eq!(change(&wire, vec![], vec![upsertion(&user, 1, 5000)]).await, own(NONE), "replaced");
    until(vec![(NONE, vec![(1, 5000), (2, 8192)])], async || credentials(&wire, &[&user]).await).await;
    let all = wire.ask(DescribeUserScramCredentialsRequest { users: None, ..Default::default() }).await;
    assert!(all.results.iter().any(|result| result.user == user));
    let all = wire.ask(DescribeUserScramCredentialsRequest { users: Some(vec![]), ..Default::default() }).await;
    assert!(all.results.iter().any(|result| result.user == user));
    assert_eq!(change(&wire, vec![removal(&user, 1)], vec![]).await, own(NONE));
    until(vec![(NONE, vec![(2, 8192)])], async || credentials(&wire, &[&user]).await).await;
    assert_eq!(change(&wire, vec![removal(&user, 1)], vec![]).await, own(ErrorCode::RESOURCE_NOT_FOUND));
    assert_eq!(change(&wire, vec![removal(&user, 2)], vec![]).await, own(NONE));
    until(vec![(ErrorCode::RESOURCE_NOT_FOUND, vec![])], async || credentials(&wire, &[&user]).await).await;
    assert_eq!(change(&wire, vec![], vec![]).await, []);
}

async fn credentials_are_checked(broker: TestBroker) {
    let wire = Wire::open(broker).await;
    let user = wire.unique("heidi");
    let unacceptable = ErrorCode::UNACCEPTABLE_CREDENTIAL;
    let mechanism = ErrorCode::UNSUPPORTED_SASL_MECHANISM;
    let own = |code| vec![(user.to_string(), code)];
    let mut wrong = Vec::new();
    for (given, expected) in [
        (upsertion(&user, 1, 4095), unacceptable),
        (upsertion(&user, 1, 16_385), unacceptable),
        (upsertion(&user, 2, 4095), unacceptable),
        (upsertion(&user, 0, 4096), mechanism),
        (upsertion(&user, 3, 4096), mechanism),
        (ScramCredentialUpsertion { salted_password: Bytes::new(), ..upsertion(&user, 1, 4096) }, ErrorCode(-1)),
        (ScramCredentialUpsertion { salt: Bytes::new(), ..upsertion(&user, 1, 4096) }, NONE),
    ] {
        let answer = change(&wire, vec![], vec![given.clone()]).await;
        if answer != own(expected) {
            wrong.push(format!("{given:?}: {answer:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(change(&wire, vec![], vec![upsertion("", 1, 4096)]).await, [(String::new(), unacceptable)]);
    assert_eq!(change(&wire, vec![removal("", 1)], vec![]).await, [(String::new(), unacceptable)]);
    assert_eq!(change(&wire, vec![removal(&user, 9)], vec![]).await, own(mechanism));
    let duplicate = ErrorCode::DUPLICATE_RESOURCE;
    let twice = vec![upsertion(&user, 1, 4096), upsertion(&user, 2, 4096)];
    assert_eq!(change(&wire, vec![], twice).await, own(duplicate), "two mechanisms of one user");
    until(vec![(NONE, vec![(1, 4096)])], async || credentials(&wire, &[&user]).await).await;
    let both = change(&wire, vec![removal(&user, 1)], vec![upsertion(&user, 2, 4096)]).await;
    assert_eq!(both, own(duplicate), "deleted and set");
    assert_eq!(credentials(&wire, &[&user]).await, [(NONE, vec![(1, 4096)])], "nothing was done");
    assert_eq!(credentials(&wire, &[&user, &user]).await, [(duplicate, vec![])], "asked for twice");
    let other = wire.unique("ivan");
    let mixed = change(&wire, vec![removal(&other, 1)], vec![upsertion(&user, 2, 4096)]).await;
    assert_eq!(mixed, [(user.to_string(), NONE), (other.to_string(), ErrorCode::RESOURCE_NOT_FOUND)], "each by itself");
}
