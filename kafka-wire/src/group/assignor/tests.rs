//! Equality with the Java client, and the rules that every assignor keeps.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// Made by `tests/java/AssignorVectors.java` with Kafka 4.3.1.
const JAVA: &str = include_str!("../../../tests/vectors/assignor/groups.txt");

const ALL: [Assignor; 4] = [Assignor::Range, Assignor::RoundRobin, Assignor::Sticky, Assignor::CooperativeSticky];
const EQUAL_TO_JAVA: [Assignor; 2] = [Assignor::Range, Assignor::RoundRobin];

#[derive(Default)]
struct Group {
    counts: PartitionCounts,
    members: Vec<Subscriber>,
    /// Expected assignments, by assignor and member.
    expected: BTreeMap<String, Vec<Vec<String>>>,
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
                groups.last_mut().unwrap().members.push(Subscriber::new(member_id, instance_id, topics));
            }
            name => {
                let name = Assignor::from_name(name).unwrap().name().to_owned();
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
        for assignor in EQUAL_TO_JAVA {
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
    assert_eq!(Assignor::from_name("stickier"), None);
}

#[test]
fn a_group_without_members_or_topics_assigns_nothing() {
    for assignor in ALL {
        assert_eq!(assignor.assign(&[], &PartitionCounts::new()), Vec::<Vec<TopicPartition>>::new());
        let member = Subscriber::new(Str::from("m"), None, vec![Str::from("gone")]);
        assert_eq!(assignor.assign(&[member], &PartitionCounts::new()), vec![Vec::new()]);
    }
}

fn groups() -> impl Strategy<Value = (PartitionCounts, Vec<Subscriber>)> {
    let counts = prop::collection::btree_map("t[0-5]".prop_map(Str::from), 0..20u32, 0..5);
    let member = (any::<bool>(), prop::collection::vec("t[0-6]".prop_map(Str::from), 0..6));
    (counts, prop::collection::vec(member, 0..8)).prop_map(|(counts, members)| {
        let subscriber = |(index, (is_static, topics)): (usize, (bool, Vec<Str>))| {
            let instance_id = is_static.then(|| Str::from(format!("i{}", 100 - index)));
            Subscriber::new(Str::from(format!("m{index}")), instance_id, topics)
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
            .map(|index| Subscriber::new(Str::from(format!("m{index}")), None, topics.clone()))
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
    let member = |id: &str| Subscriber::new(Str::from(id), None, topics(&["a", "b", "c"]));
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
        // Members also subscribe to topics that do not exist.
        let all: BTreeSet<Str> = counts.keys().chain(together.iter().flatten()).cloned().collect();
        let all: Vec<Str> = all.into_iter().collect();
        let member = |index| Subscriber::new(Str::from(format!("m{index}")), None, all.clone());
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

fn own(topic: &'static str, index: i32) -> TopicPartition {
    TopicPartition::new(topic, PartitionId(index))
}

/// Makes a cooperative member that has these partitions.
fn owner(id: &'static str, read: &[&str], owned: Vec<TopicPartition>, generation: i32) -> Subscriber {
    Subscriber { owned, generation, ..Subscriber::new(Str::from(id), None, topics(read)) }
}

#[test]
fn a_sticky_member_keeps_its_share_and_a_newcomer_gets_what_is_too_much() {
    let counts = PartitionCounts::from([(Str::from("t"), 5)]);
    let all = |id| owner(id, &["t"], (0..5).map(|index| own("t", index)).collect(), 3);
    let members = [all("old"), owner("new", &["t"], Vec::new(), -1)];
    let at_once = sticky::assign(&members, &counts, &PartitionRacks::new());
    assert_eq!(shown(&at_once), [["t-0", "t-1", "t-2"].as_slice(), &["t-3", "t-4"]]);
    // In a cooperative assignment nothing moves before its owner has given it up.
    let first = Assignor::CooperativeSticky.assign(&members, &counts);
    assert_eq!(shown(&first), [["t-0", "t-1", "t-2"].as_slice(), &[]]);
    let members = [owner("old", &["t"], first[0].clone(), 4), owner("new", &["t"], Vec::new(), 4)];
    assert_eq!(Assignor::CooperativeSticky.assign(&members, &counts), at_once);
}

#[test]
fn the_claim_of_a_later_generation_counts_and_equal_ones_cancel_out() {
    let counts = PartitionCounts::from([(Str::from("t"), 2)]);
    let members = |generation| {
        let (one, two) = (vec![own("t", 0), own("t", 1)], vec![own("t", 0)]);
        [owner("a", &["t"], one, 3), owner("b", &["t"], two, generation)]
    };
    assert_eq!(shown(&Assignor::CooperativeSticky.assign(&members(4), &counts)), [["t-1"], ["t-0"]]);
    // Both members may be reading it, so neither gets it before both have given it up.
    let contested = Assignor::CooperativeSticky.assign(&members(3), &counts);
    assert_eq!(shown(&contested).concat(), ["t-1"]);
}

#[test]
fn a_partition_whose_owner_has_unsubscribed_is_withheld_until_it_is_given_up() {
    let counts = PartitionCounts::from([(Str::from("t"), 1), (Str::from("u"), 1)]);
    let assigned = |has: Vec<TopicPartition>, generation| {
        let members = [owner("a", &["u"], has, generation), owner("b", &["t", "u"], Vec::new(), 3)];
        Assignor::CooperativeSticky.assign(&members, &counts)
    };
    assert!(!assigned(vec![own("t", 0)], 3)[1].contains(&own("t", 0)), "a still has it");
    assert!(assigned(Vec::new(), 3)[1].contains(&own("t", 0)));
    // A claim of a later generation counts, whoever comes first.
    for (of_a, of_b, keeps) in [(3, 4, true), (4, 3, false), (3, 3, false)] {
        let a = owner("a", &["u"], vec![own("t", 0)], of_a);
        let b = owner("b", &["t"], vec![own("t", 0)], of_b);
        for members in [[a.clone(), b.clone()], [Subscriber { member_id: Str::from("c"), ..a }, b]] {
            let assigned = Assignor::CooperativeSticky.assign(&members, &counts);
            assert_eq!(assigned[1].contains(&own("t", 0)), keeps, "{of_a} {of_b}");
        }
    }
    // Members of the eager variant have given up everything.
    let eager = [owner("a", &["u"], vec![own("t", 0)], 3), owner("b", &["t"], Vec::new(), 3)];
    assert_eq!(shown(&sticky::assign(&eager, &counts, &PartitionRacks::new())), [["u-0"], ["t-0"]]);
}

#[test]
fn a_sticky_member_tells_what_it_had_as_java_does() {
    let had = [own("t", 0), own("t", 2), own("u", 1)];
    let data = Assignor::Sticky.user_data(&[], Previous { partitions: &had, generation: 7 });
    let mut member = Subscriber::new(Str::from("m"), None, topics(&["t"]));
    member.user_data = data.clone();
    let told = user_data::with_sticky(&[member.clone()]);
    assert_eq!((told[0].owned.as_slice(), told[0].generation), (&had[..], 7));
    // User data without the generation, as clients before 2.3 wrote it; then no bytes, and bytes in another format.
    member.user_data = data.slice(..data.len() - 4);
    assert_eq!(user_data::with_sticky(&[member.clone()])[0].owned, had);
    for data in [Bytes::new(), Bytes::from_static(b"who knows")] {
        member.user_data = data;
        assert!(user_data::with_sticky(&[member.clone()])[0].owned.is_empty());
    }
    let data = Assignor::CooperativeSticky.user_data(&[], Previous { partitions: &had, generation: 7 });
    assert_eq!(&*data, [0, 0, 0, 7]);
}

/// Makes members with former partitions: an assignment from which some members, partitions and subscriptions have gone
/// since.
fn groups_with_a_past() -> impl Strategy<Value = (PartitionCounts, Vec<Subscriber>)> {
    let fates = prop::collection::vec((0..3u8, any::<bool>()), 8);
    (groups(), fates, 0..20u32).prop_map(|((mut counts, mut members), fates, less)| {
        let had = sticky::assign(&members, &counts, &PartitionRacks::new());
        for ((member, had), (generation, unsubscribes)) in members.iter_mut().zip(had).zip(fates) {
            if let Some(topic) = had.first().map(|own| own.topic.clone()).filter(|_| unsubscribes) {
                member.topics.retain(|other| *other != topic);
            }
            if generation > 0 {
                (member.owned, member.generation) = (had, i32::from(generation));
            }
        }
        if let Some(count) = counts.values_mut().next() {
            *count = less;
        }
        members.pop();
        (counts, members)
    })
}

/// A measure of uneven loads: a move of one partition to a member with fewer that reads its topic makes it less.
fn squares(assigned: &[Vec<TopicPartition>]) -> usize {
    assigned.iter().map(|own| own.len() * own.len()).sum()
}

proptest! {
    #[test]
    fn no_single_move_makes_a_sticky_assignment_more_even((counts, members) in groups_with_a_past()) {
        let assigned = sticky::assign(&members, &counts, &PartitionRacks::new());
        let best = squares(&assigned);
        for from in 0..members.len() {
            for to in (0..members.len()).filter(|to| *to != from) {
                let movable = assigned[from].iter().position(|own| members[to].topics.contains(&own.topic));
                if let Some(index) = movable {
                    let mut moved = assigned.clone();
                    let own = moved[from].remove(index);
                    moved[to].push(own);
                    prop_assert!(squares(&moved) >= best);
                }
            }
        }
    }

    #[test]
    fn cooperative_members_get_nothing_that_another_one_has_and_end_where_sticky_does((counts, members) in groups_with_a_past()) {
        let first = Assignor::CooperativeSticky.assign(&members, &counts);
        for (member, assigned) in first.iter().enumerate() {
            for (other, has) in members.iter().enumerate().filter(|(other, _)| *other != member) {
                let taken = assigned.iter().find(|own| has.owned.contains(own));
                let is_stale = has.generation < members[member].generation && taken.is_some_and(|own| members[member].owned.contains(own));
                prop_assert!(taken.is_none() || is_stale, "{member} gets {taken:?} of {other}");
            }
        }
        // In the next round all members have what the first round gave them, and nothing is withheld any more.
        let again = members.iter().zip(first).map(|(member, owned)| Subscriber { owned, generation: 9, ..member.clone() });
        let again: Vec<_> = again.collect();
        let second = Assignor::CooperativeSticky.assign(&again, &counts);
        prop_assert_eq!(&second, &sticky::assign(&again, &counts, &PartitionRacks::new()));
        let third = second.iter().zip(&again).map(|(owned, member)| Subscriber { owned: owned.clone(), ..member.clone() });
        prop_assert_eq!(Assignor::CooperativeSticky.assign(&third.collect::<Vec<_>>(), &counts), second);
    }
}
