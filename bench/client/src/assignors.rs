//! The time that assignors take for 1,000 members of 1,000 topics with 4 partitions each.

use std::time::{Duration, Instant};

use kafka_wire::cluster::TopicPartition;
use kafka_wire::group::assignor::{Assignor, PartitionCounts, Previous, Subscriber};
use kafka_wire::wire::Str;

/// Prints the time of the first assignment of a group in which all read the same topics; of the next one, after a tenth
/// of the members have left and half of the others read half of the topics; and of the one after that.
pub(crate) fn measure() {
    println!("{:<20} {:>14} {:>14} {:>14}", "assignor", "first, ms", "ragged, ms", "again, ms");
    for assignor in [Assignor::Range, Assignor::RoundRobin, Assignor::Sticky, Assignor::CooperativeSticky] {
        let topics: Vec<Str> = (0..1_000).map(|index| Str::from(format!("topic-{index:04}"))).collect();
        let counts: PartitionCounts = topics.iter().map(|topic| (topic.clone(), 4)).collect();
        let member = |index: usize| Subscriber::new(Str::from(format!("member-{index:04}")), None, topics.clone());
        let all: Vec<Subscriber> = (0..1_000).map(member).collect();
        let (first, had) = timed(|| assignor.assign(&all, &counts));
        let half: Vec<Str> = topics.iter().step_by(2).cloned().collect();
        let mut left = next_round(&assignor, all.into_iter().zip(had).skip(100), 1);
        for member in left.iter_mut().step_by(2) {
            member.topics.clone_from(&half);
        }
        let (ragged, had) = timed(|| assignor.assign(&left, &counts));
        let left = next_round(&assignor, left.into_iter().zip(had), 2);
        let (again, _) = timed(|| assignor.assign(&left, &counts));
        let [first, ragged, again] = [first, ragged, again].map(|took: Duration| took.as_secs_f64() * 1e3);
        println!("{:<20} {first:>14.1} {ragged:>14.1} {again:>14.1}", assignor.name());
    }
}

/// The members as they join the next generation, with what they have.
fn next_round(
    assignor: &Assignor,
    members: impl Iterator<Item = (Subscriber, Vec<TopicPartition>)>,
    generation: i32,
) -> Vec<Subscriber> {
    members
        .map(|(member, owned)| {
            let previous = Previous { partitions: &owned, generation };
            let user_data = assignor.user_data(&member.topics, previous);
            Subscriber { owned, generation, user_data, ..member }
        })
        .collect()
}

fn timed<T>(run: impl FnOnce() -> T) -> (Duration, T) {
    let began = Instant::now();
    let made = run();
    (began.elapsed(), made)
}
