//! Entries that are forgotten two seconds of event time after they were last written, by the times of the records.

use std::collections::BTreeMap;

use super::{Inputs, Job, Line, Results, SECOND, gathered, ids_by_key, part};
use crate::operator::{Process, Scope, ValueState};
use crate::serde::{Text, Utf8};
use crate::state::Ttl;
use crate::topology::Builder;
use crate::types::{Owned, Rec};

pub(super) const JOB: Job = Job { gather, ..Job::new("ttl", declare, expected) };

const LIVES_MS: i64 = 2_000;

fn declare(job: &mut Builder, inputs: Inputs) {
    let (a, b) = (ids_by_key(inputs.a, "a"), ids_by_key(inputs.b, "b"));
    let seen = a.merge(b).process("seen", |uses| Seen { last: uses.value("last", Text) });
    job.ttl("seen-last", Ttl::event(2 * SECOND));
    seen.select_key(Text, |_| "all".to_owned()).to("out", Text, Text);
}

/// Puts out for each record: id, key, time, and the last record of the key if that is known.
#[derive(Clone)]
struct Seen {
    last: ValueState<String>,
}

impl Process<Utf8, Owned<String>> for Seen {
    type Out = String;

    fn record(&mut self, id: &Rec<'_, Utf8, Owned<String>>, scope: &mut Scope<'_, Utf8, String>) {
        let last = self.last.get(scope).map_or("-", String::as_str).to_owned();
        self.last.put(scope, id.value.clone());
        scope.emit(format!("{} {} {} {last}", id.value, id.key, id.timestamp.0));
    }
}

/// The ids; and what is wrong with them.
fn gather(values: Vec<String>) -> Vec<String> {
    // The last record of each key, and the time from which on it is forgotten.
    let mut last_of_key = BTreeMap::new();
    let mut results = Vec::new();
    for value in &values {
        let [id, key, at, found] = [0, 1, 2, 3].map(|index| part(value, index));
        let at: i64 = at.parse().expect("a number");
        let known = last_of_key.get(key).copied().filter(|(_, end)| at < *end);
        let (last, end) = known.unwrap_or(("-", at));
        // A record that is earlier than the one before it does not shorten the life of the entry.
        last_of_key.insert(key, (id, end.max(at + LIVES_MS)));
        results.push(if found == last { id.to_owned() } else { format!("{value}, and not {last}") });
    }
    results.sort();
    results
}

fn expected(lines: &[Line]) -> Results {
    gathered(lines.iter().map(|line| ("all", line.id.clone())))
}
