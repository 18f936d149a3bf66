//! Comparison of our assignors with the Java client's, on random groups: the same in every run of `.ci/run`, new ones
//! elsewhere.
//!
//! `kafka-wire/tests/java/Assignors.java` makes the groups: each once new, and once after members and partitions came
//! and went. `range` and `roundrobin` must give the same assignment. `sticky` must be as even; if it is not more even,
//! as many partitions must be near their members (KIP-881), and if not more are, it must be as sticky. There are many
//! such assignments, and which of them is chosen concerns only the leader. Two groups of three have racks.
//!
//! A run prints its seed. `WATERWHEEL_ASSIGNORS_SEED` replays it, and `WATERWHEEL_ASSIGNORS_COUNT` sets
//! the number of groups.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use conformance::skip;
use kafka_wire::cluster::TopicPartition;
use kafka_wire::group::Assignor;
use kafka_wire::group::assignor::{PartitionCounts, PartitionRacks, Subscriber};
use kafka_wire::types::PartitionId;
use kafka_wire::wire::Str;
use testkit::real::java_command;

/// A group, and the assignments of the Java client.
#[derive(Default)]
struct Group {
    counts: PartitionCounts,
    racks: PartitionRacks,
    members: Vec<Subscriber>,
    /// By assignor, then by member.
    java: BTreeMap<String, Vec<Vec<TopicPartition>>>,
}

#[test]
fn random_groups_get_what_java_gives_them() {
    let seed = number("WATERWHEEL_ASSIGNORS_SEED").unwrap_or_else(|| RandomState::new().hash_one("seed") >> 1);
    let count = number("WATERWHEEL_ASSIGNORS_COUNT").unwrap_or(2_000);
    println!("WATERWHEEL_ASSIGNORS_SEED={seed}");
    let Some(lines) = java(seed, count) else { return };
    let (mut group, mut seen, mut given_up) = (Group::default(), 0, 0);
    for line in lines {
        if group.read(&line) {
            given_up += u64::from(!group.check(seed, seen));
            (group, seen) = (Group::default(), seen + 1);
        }
    }
    println!("{seen} groups; Java's sticky assignor gave up on {given_up}");
    assert_eq!(seen, count.next_multiple_of(2), "Java ended early");
    assert!(given_up * 10 < seen, "too many to be Java's own fault");
}

impl Group {
    /// Takes one line. Returns whether it was the last one of the group.
    fn read(&mut self, line: &str) -> bool {
        let mut words = line.split(' ');
        match words.next().unwrap_or_default() {
            "end" => return true,
            "topics" => {
                let counts = words.map(|word| word.split_once(':').expect("name and count"));
                self.counts =
                    counts.map(|(topic, count)| (Str::from(topic), count.parse().expect("a number"))).collect();
            }
            "member" => {
                let (member_id, instance_id) =
                    (Str::from(words.next().expect("an id")), words.next().expect("an instance id"));
                let instance_id = (instance_id != "-").then(|| Str::from(instance_id));
                self.members.push(Subscriber::new(member_id, instance_id, words.map(Str::from).collect()));
            }
            "racks" => {
                let topic = Str::from(words.next().expect("a topic"));
                let racks = |word: &str| word.split(',').filter(|rack| *rack != "-").map(Str::from).collect();
                self.racks.insert(topic, words.map(racks).collect());
            }
            "rack" => self.member().rack = words.next().map(Str::from),
            "data" => self.member().user_data = unhex(words.next().unwrap_or_default()),
            "had" => {
                self.member().generation = words.next().expect("a generation").parse().expect("a number");
                self.member().owned = words.map(partition).collect();
            }
            assignor => self.java.entry(assignor.to_owned()).or_default().push(words.map(partition).collect()),
        }
        false
    }

    fn member(&mut self) -> &mut Subscriber {
        self.members.last_mut().expect("a member comes before what is said of it")
    }

    /// Returns whether Java's sticky assignor had an answer at all: it gives up on some groups.
    fn check(&self, seed: u64, number: u64) -> bool {
        for assignor in [Assignor::Range, Assignor::RoundRobin] {
            let shares = assignor.shares(&self.members, &self.counts, &self.racks);
            let ours: Vec<_> = shares.into_iter().map(|share| share.partitions).collect();
            assert_eq!(ours, self.java[assignor.name()], "{assignor:?}, group {number} of seed {seed}");
        }
        let Some(java) = self.java.get("sticky") else { return false };
        let had: Vec<Subscriber> = self.members.iter().map(had_by_user_data).collect();
        let shares = Assignor::Sticky.shares(&self.members, &self.counts, &self.racks);
        let ours: Vec<_> = shares.into_iter().map(|share| share.partitions).collect();
        let place =
            || format!("group {number} of seed {seed}:\n{:?}\n{:?}\nours {ours:?}\nJava {java:?}", self.counts, had);
        assert_eq!(count(&ours), count(java), "as many are assigned, {}", place());
        assert!(
            unevenness(&ours) <= unevenness(java),
            "{} against {}, {}",
            unevenness(&ours),
            unevenness(java),
            place()
        );
        if unevenness(&ours) != unevenness(java) {
            return true;
        }
        let (near, near_in_java) = (self.near(&ours), self.near(java));
        assert!(near >= near_in_java, "{near} are near, in Java {near_in_java}, racks {:?}, {}", self.racks, place());
        if near == near_in_java {
            let (stay, stay_in_java) = (kept(&had, &ours), kept(&had, java));
            assert!(stay >= stay_in_java, "{stay} stay, in Java {stay_in_java}, {}", place());
        }
        true
    }

    /// Returns the number of partitions that have a replica in the rack of their member, if it tells one; 0 if racks do
    /// not matter, because members and replicas share none, or all partitions have replicas in the same ones.
    fn near(&self, assigned: &[Vec<TopicPartition>]) -> usize {
        let is_read = |topic: &Str| self.members.iter().any(|member| member.topics.contains(topic));
        let of_partitions = self.racks.iter().filter(|(topic, _)| is_read(topic)).flat_map(|(_, racks)| racks);
        let of_partitions: Vec<BTreeSet<&Str>> = of_partitions.map(|racks| racks.iter().collect()).collect();
        let all: BTreeSet<&Str> = of_partitions.iter().flatten().copied().collect();
        let of_members: BTreeSet<&Str> = self.members.iter().filter_map(|member| member.rack.as_ref()).collect();
        if of_members.is_disjoint(&all) || of_partitions.iter().all(|racks| *racks == all) {
            return 0;
        }
        let is_near = |member: &Subscriber, own: &TopicPartition| {
            let racks = &self.racks[&own.topic][usize::try_from(own.partition.0).expect("not negative")];
            member.rack.as_ref().is_none_or(|rack| racks.contains(rack))
        };
        let near =
            |(member, own): (&Subscriber, &Vec<TopicPartition>)| own.iter().filter(|own| is_near(member, own)).count();
        self.members.iter().zip(assigned).map(near).sum()
    }
}

/// Returns the member with its former partitions by the user data that Java wrote for it.
fn had_by_user_data(member: &Subscriber) -> Subscriber {
    let mut owned = Vec::new();
    let mut data = member.user_data.clone();
    if data.is_empty() {
        return Subscriber { owned, ..member.clone() };
    }
    let mut take = |length: usize| data.split_to(length);
    let int = |bytes: Bytes| i32::from_be_bytes(bytes[..].try_into().expect("four bytes"));
    for _ in 0..int(take(4)) {
        let length = u16::from_be_bytes(take(2)[..].try_into().expect("two bytes"));
        let topic = String::from_utf8(take(usize::from(length)).to_vec()).expect("names are text");
        for _ in 0..int(take(4)) {
            owned.push(TopicPartition::new(topic.clone(), PartitionId(int(take(4)))));
        }
    }
    Subscriber { owned, ..member.clone() }
}

fn count(assigned: &[Vec<TopicPartition>]) -> usize {
    assigned.iter().map(Vec::len).sum()
}

/// Returns the sum of all differences between two members' loads, which is Java's own measure.
fn unevenness(assigned: &[Vec<TopicPartition>]) -> usize {
    let loads: Vec<usize> = assigned.iter().map(Vec::len).collect();
    loads.iter().enumerate().flat_map(|(at, one)| loads[at + 1..].iter().map(|other| one.abs_diff(*other))).sum()
}

/// Returns the number of partitions that stay where they were.
fn kept(had: &[Subscriber], assigned: &[Vec<TopicPartition>]) -> usize {
    let stays = |(member, own): (&Subscriber, &Vec<TopicPartition>)| {
        own.iter().filter(|own| member.owned.contains(own)).count()
    };
    had.iter().zip(assigned).map(stays).sum()
}

#[test]
fn a_thousand_members_of_a_thousand_topics_are_served_in_time() {
    let topics: Vec<Str> = (0..1_000).map(|index| Str::from(format!("topic-{index:04}"))).collect();
    let counts: PartitionCounts = topics.iter().map(|topic| (topic.clone(), 4)).collect();
    let member = |index: usize| Subscriber::new(Str::from(format!("member-{index:04}")), None, topics.clone());
    let all: Vec<Subscriber> = (0..1_000).map(member).collect();
    for assignor in [Assignor::Range, Assignor::RoundRobin, Assignor::Sticky, Assignor::CooperativeSticky] {
        let assigned = timed(&format!("{assignor:?}"), || assignor.assign(&all, &counts));
        assert_eq!(count(&assigned), 4_000);
    }
    // The second round of a group that a tenth of the members left, and of which half read half of the topics.
    let had = Assignor::CooperativeSticky.assign(&all, &counts);
    let left = all.iter().zip(had).skip(100).enumerate().map(|(index, (member, owned))| {
        let topics = if index % 2 == 0 { topics.clone() } else { topics.iter().step_by(2).cloned().collect() };
        Subscriber { owned, generation: 1, topics, ..member.clone() }
    });
    let left: Vec<Subscriber> = left.collect();
    let assigned = timed("CooperativeSticky, ragged", || Assignor::CooperativeSticky.assign(&left, &counts));
    let again: Vec<_> = left
        .iter()
        .zip(assigned)
        .map(|(member, owned)| Subscriber { owned, generation: 2, ..member.clone() })
        .collect();
    let assigned = timed("CooperativeSticky, settled", || Assignor::CooperativeSticky.assign(&again, &counts));
    assert_eq!(count(&assigned), 4_000);
    let loads: Vec<usize> = assigned.iter().map(Vec::len).collect();
    assert!(loads.iter().max().unwrap_or(&0) - loads.iter().min().unwrap_or(&0) <= 1, "{loads:?}");
}

#[test]
fn racks_are_looked_at_in_time() {
    let topics: Vec<Str> = (0..1_000).map(|index| Str::from(format!("topic-{index:04}"))).collect();
    let counts: PartitionCounts = topics.iter().map(|topic| (topic.clone(), 4)).collect();
    let rack = |index: usize| Str::from(format!("rack-{}", index % 3));
    let racks_of = |topic: usize| (0..4).map(|index| vec![rack(topic + index), rack(topic + 2 * index + 1)]).collect();
    let racks: PartitionRacks = topics.iter().cloned().enumerate().map(|(at, topic)| (topic, racks_of(at))).collect();
    for members in [100, 1_000] {
        // All read the same; in the next round a tenth of them reads half of it.
        let member = |index: usize| Subscriber {
            rack: Some(rack(index * index)),
            ..Subscriber::new(Str::from(format!("member-{index:04}")), None, topics.clone())
        };
        let all: Vec<Subscriber> = (0..members).map(member).collect();
        for assignor in [Assignor::Range, Assignor::Sticky, Assignor::CooperativeSticky] {
            let made = timed(&format!("{assignor:?}, {members} with racks"), || assignor.shares(&all, &counts, &racks));
            let group =
                Group { counts: counts.clone(), racks: racks.clone(), members: all.clone(), ..Group::default() };
            let made: Vec<_> = made.into_iter().map(|share| share.partitions).collect();
            eprintln!("{} of 4000 are near", group.near(&made));
            assert_eq!(count(&made), 4_000);
            // The next round: a tenth of the members is gone, and partitions have moved to other racks.
            let left = all.iter().zip(&made).skip(members / 10);
            let half = || topics.iter().step_by(2).cloned().collect();
            let left: Vec<Subscriber> = left
                .enumerate()
                .map(|(index, (member, owned))| Subscriber {
                    owned: owned.clone(),
                    generation: 1,
                    topics: if index % 10 == 0 { half() } else { member.topics.clone() },
                    ..member.clone()
                })
                .collect();
            let moved: PartitionRacks =
                topics.iter().cloned().enumerate().map(|(at, topic)| (topic, racks_of(at + at % 5))).collect();
            timed(&format!("{assignor:?}, {members} with racks, again"), || assignor.shares(&left, &counts, &moved));
        }
    }
}

/// Runs a closure, prints how long it took, and fails if that is too long. An optimised build has a tenth of the limit.
/// On Linux, the time that other threads take from this one does not count.
fn timed<T>(what: &str, run: impl FnOnce() -> T) -> T {
    #[expect(clippy::disallowed_methods, reason = "the time that an assignment takes is what is tested")]
    let start = Instant::now();
    let computed_before = computed();
    let made = run();
    let took = computed().zip(computed_before).map_or_else(|| start.elapsed(), |(after, before)| after - before);
    eprintln!("{what}: {took:?}");
    let limit = Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 1 });
    assert!(took < limit, "{what} took {took:?}");
    made
}

/// Time for which this thread has been on a processor, where the system tells.
fn computed() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

fn java(seed: u64, count: u64) -> Option<impl Iterator<Item = String>> {
    if Command::new("javac").arg("-version").output().is_err() {
        skip("the assignors' oracle", "`javac`, which `java` needs for sources, is not installed");
        return None;
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kafka-wire/tests/java/Assignors.java");
    let command = match java_command(&source.display().to_string()) {
        Ok(command) => command,
        Err(unavailable) => {
            skip("the assignors' oracle", &unavailable.to_string());
            return None;
        }
    };
    let mut command = command.into_std();
    let child = command.args([seed.to_string(), count.to_string()]).stdout(Stdio::piped()).spawn();
    let mut child = child.expect("java is there");
    let lines = BufReader::new(child.stdout.take().expect("stdout was asked to be a pipe")).lines();
    Some(lines.map(|line| line.expect("Java speaks UTF-8")).chain(std::iter::from_fn(move || {
        let status = child.wait().expect("Java is ours");
        assert!(status.success(), "Java failed: {status}");
        None
    })))
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

fn partition(word: &str) -> TopicPartition {
    let (topic, index) = word.rsplit_once('-').expect("topic and number");
    TopicPartition::new(topic, PartitionId(index.parse().expect("a number")))
}

fn unhex(hex: &str) -> Bytes {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex digits")).collect()
}
