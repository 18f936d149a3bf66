//! Equality with the Java client, and the laws that every assignor keeps.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// Made by `tests/java/AssignorVectors.java` with Kafka 4.3.1.
const JAVA: &str = include_str!("../../../tests/vectors/assignor/groups.txt");

const ALL: [Assignor; 2] = [Assignor::Range, Assignor::RoundRobin];

#[derive(Default)]
struct Group {
    counts: PartitionCounts,
    members: Vec<Subscriber>,
    /// By assignor and member.
    expected: BTreeMap<&'static str, Vec<Vec<String>>>,
}

fn java_groups() -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for line in JAVA.lines() {
        let mut words = line.split_whitespace();
        match words.next().unwrap() {
            "topics" => {
                let counts = words.map(|word| word.split_once(':').unwrap());
                let counts = counts.map(|(topic, count)| (Str::from(topic), count.parse().unwrap())).collect();
                groups.push(Group { counts, ..Group::default() });
            }
            "member" => {
                let (member_id, instance_id) = (Str::from(words.next().unwrap()), words.next().unwrap());
                let instance_id = (instance_id != "-").then(|| Str::from(instance_id));
                let topics = words.map(Str::from).collect();
                groups.last_mut().unwrap().members.push(Subscriber { member_id, instance_id, topics });
            }
            name => {
                let name = Assignor::from_name(name).unwrap().name();
                let partitions = words.map(str::to_owned).collect();
                groups.last_mut().unwrap().expected.entry(name).or_default().push(partitions);
            }
        }
    }
    groups
}

fn shown(assigned: &[Vec<TopicPartition>]) -> Vec<Vec<String>> {
    assigned.iter().map(|partitions| partitions.iter().map(ToString::to_string).collect()).collect()
}

#[test]
fn assignments_equal_those_of_the_java_client() {
    let groups = java_groups();
    assert_eq!(groups.len(), 160);
    for (index, group) in groups.iter().enumerate() {
        for assignor in ALL {
            let assigned = assignor.assign(&group.members, &group.counts);
            assert_eq!(shown(&assigned), group.expected[assignor.name()], "group {index}, {}", assignor.name());
        }
    }
}

#[test]
fn names_lead_back_to_their_assignors() {
    for assignor in ALL {
        assert_eq!(Assignor::from_name(assignor.name()), Some(assignor));
    }
    assert_eq!(Assignor::from_name("sticky"), None);
}

#[test]
fn a_group_without_members_or_topics_assigns_nothing() {
    for assignor in ALL {
        assert_eq!(assignor.assign(&[], &PartitionCounts::new()), Vec::<Vec<TopicPartition>>::new());
        let member = Subscriber { member_id: Str::from("m"), instance_id: None, topics: vec![Str::from("gone")] };
        assert_eq!(assignor.assign(&[member], &PartitionCounts::new()), vec![Vec::new()]);
    }
}

fn groups() -> impl Strategy<Value = (PartitionCounts, Vec<Subscriber>)> {
    let counts = prop::collection::btree_map("t[0-5]".prop_map(Str::from), 0..20u32, 0..5);
    let member = (any::<bool>(), prop::collection::vec("t[0-6]".prop_map(Str::from), 0..6));
    (counts, prop::collection::vec(member, 0..8)).prop_map(|(counts, members)| {
        let subscriber = |(index, (is_static, topics)): (usize, (bool, Vec<Str>))| Subscriber {
            member_id: Str::from(format!("m{index}")),
            instance_id: is_static.then(|| Str::from(format!("i{}", 100 - index))),
            topics,
        };
        (counts, (0..).zip(members).map(subscriber).collect())
    })
}

proptest! {
    #[test]
    fn each_partition_with_a_subscriber_is_owned_once_and_by_a_subscriber((counts, members) in groups()) {
        for assignor in ALL {
            let assigned = assignor.assign(&members, &counts);
            prop_assert_eq!(assigned.len(), members.len());
            let mut owned = Vec::new();
            for (member, partitions) in members.iter().zip(assigned) {
                prop_assert!(partitions.is_sorted());
                prop_assert!(partitions.iter().all(|partition| member.topics.contains(&partition.topic)));
                owned.extend(partitions);
            }
            owned.sort();
            let is_wanted = |topic: &Str| members.iter().any(|member| member.topics.contains(topic));
            let mut expected = Vec::new();
            for (topic, &count) in counts.iter().filter(|(topic, _)| is_wanted(topic)) {
                expected.extend((0..count).map(|index| partition(topic, index)));
            }
            prop_assert_eq!(owned, expected, "{}", assignor.name());
        }
    }

    #[test]
    fn the_order_of_members_does_not_matter((counts, members) in groups(), rotation in 0..8usize) {
        for assignor in ALL {
            let assigned = assignor.assign(&members, &counts);
            let mut moved: Vec<_> = members.iter().cloned().zip(assigned).collect();
            let rotation = rotation % moved.len().max(1);
            moved.rotate_left(rotation);
            let (members, expected): (Vec<_>, Vec<_>) = moved.into_iter().unzip();
            prop_assert_eq!(assignor.assign(&members, &counts), expected);
        }
    }

    #[test]
    fn equal_subscriptions_are_balanced_to_one_partition(counts in prop::collection::vec(0..20u32, 1..4), size in 1..8usize) {
        let counts: PartitionCounts = (0..).zip(counts).map(|(index, count): (u32, u32)| (Str::from(format!("t{index}")), count)).collect();
        let topics: Vec<Str> = counts.keys().cloned().collect();
        let members: Vec<Subscriber> = (0..size)
            .map(|index| Subscriber { member_id: Str::from(format!("m{index}")), instance_id: None, topics: topics.clone() })
            .collect();
        let spread = |sizes: Vec<usize>| sizes.iter().max().unwrap() - sizes.iter().min().unwrap();
        let dealt = Assignor::RoundRobin.assign(&members, &counts);
        prop_assert!(spread(dealt.iter().map(Vec::len).collect()) <= 1);
        // Range balances each topic by itself.
        let cut = Assignor::Range.assign(&members, &counts);
        for topic in &topics {
            let of_topic = |owned: &Vec<TopicPartition>| owned.iter().filter(|partition| partition.topic == *topic).count();
            prop_assert!(spread(cut.iter().map(of_topic).collect()) <= 1);
        }
    }
}

fn topics(names: &[&str]) -> Vec<Str> {
    names.iter().copied().map(Str::from).collect()
}

#[test]
fn what_belongs_together_goes_to_one_member() {
    let counts = PartitionCounts::from([(Str::from("a"), 5), (Str::from("b"), 3), (Str::from("c"), 2)]);
    let member =
        |id: &str| Subscriber { member_id: Str::from(id), instance_id: None, topics: topics(&["a", "b", "c"]) };
    let assigned = Assignor::RoundRobin.assign_together(
        &[member("m1"), member("m2")],
        &counts,
        &[topics(&["b", "a"]), topics(&["gone"])],
    );
    let expected = [["a-0", "a-2", "a-4", "b-0", "b-2", "c-1"].as_slice(), &["a-1", "a-3", "b-1", "c-0"]];
    assert_eq!(shown(&assigned), expected);
}

proptest! {
    #[test]
    fn partitions_of_equal_numbers_stay_together(
        counts in prop::collection::btree_map("t[0-5]".prop_map(Str::from), 0..20_u32, 0..6),
        member_count in 1..6_usize,
        first in prop::collection::btree_set("t[0-2]".prop_map(Str::from), 0..3),
        second in prop::collection::btree_set("t[3-5]".prop_map(Str::from), 0..3),
    ) {
        let together: Vec<Vec<Str>> = [first, second].map(|group| group.into_iter().collect()).to_vec();
        // Members subscribe to topics that do not exist, too.
        let all: BTreeSet<Str> = counts.keys().chain(together.iter().flatten()).cloned().collect();
        let all: Vec<Str> = all.into_iter().collect();
        let member = |index| Subscriber { member_id: Str::from(format!("m{index}")), instance_id: None, topics: all.clone() };
        let members: Vec<_> = (0..member_count).map(member).collect();
        for assignor in ALL {
            let alone = assignor.assign(&members, &counts);
            prop_assert_eq!(&assignor.assign_together(&members, &counts, &[]), &alone);
            let assigned = assignor.assign_together(&members, &counts, &together);
            let mut owners = BTreeMap::new();
            for (member, partitions) in assigned.iter().enumerate() {
                for own in partitions {
                    prop_assert_eq!(owners.insert(own.clone(), member), None, "one owner");
                }
            }
            prop_assert_eq!(owners.len(), counts.values().map(|count| *count as usize).sum::<usize>(), "all are owned");
            for group in &together {
                for (own, member) in owners.iter().filter(|(own, _)| group.contains(&own.topic)) {
                    for other in group {
                        let other = TopicPartition { topic: other.clone(), partition: own.partition };
                        prop_assert!(owners.get(&other).is_none_or(|its| its == member));
                    }
                }
            }
        }
    }
}
