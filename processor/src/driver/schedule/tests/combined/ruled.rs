//! Sessions, to which rules are applied.

use std::collections::BTreeMap;

use super::{Inputs, Job, Line, Results, THREE, gathered, millis, part};
use crate::operator::{BroadcastProcess, BroadcastState, Emit, RuleScope, Scope, ValueState};
use crate::serde::{I64, Text, Utf8};
use crate::topology::Builder;
use crate::types::{Owned, Rec};
use crate::window::SessionWindow;

pub(super) const JOB: Job = Job::new("broadcast", declare, expected);

const GAP_MS: i64 = 800;

fn declare(_: &mut Builder, inputs: Inputs) {
    let Inputs { a, b, .. } = inputs;
    let rules = b.broadcast("rules", THREE, (Utf8, Utf8), |line| (part(line.value, 1), line.value));
    a.key_by("by-key", THREE, (Utf8, ()), |line| (part(line.value, 0), ()))
        .window(SessionWindow::gap(millis(GAP_MS)))
        .count("sessions", Emit::OnClose)
        .map(|session| format!("{} {}", session.window.start, session.value))
        .with_rules(rules)
        .process("ruled", |uses| Ruled { rules: uses.broadcast("rules", Utf8, Text), count: uses.value("count", I64) })
        .to("out", Utf8, Text);
}

/// Puts results out unchanged. A rule comes once, and visits each key once.
#[derive(Clone)]
struct Ruled {
    rules: BroadcastState<Utf8, String>,
    count: ValueState<i64>,
}

impl BroadcastProcess<Utf8, Owned<String>, Utf8, Utf8> for Ruled {
    type Out = String;

    fn record(&mut self, session: &Rec<'_, Utf8, Owned<String>>, scope: &mut Scope<'_, Utf8, String>) {
        if self.count.get(scope).is_none() {
            let rules = i64::try_from(self.rules.iter(scope).count()).expect("few");
            self.count.put(scope, rules);
        }
        scope.emit(session.value.clone());
    }

    fn rule(&mut self, rule: &Rec<'_, Utf8, Utf8>, scope: &mut RuleScope<'_, Utf8, String>) {
        assert_eq!(self.rules.get(scope, &rule.key), None, "a rule comes once");
        self.rules.put(scope, &rule.key, rule.value.to_owned());
        let rules = i64::try_from(self.rules.iter(scope).count()).expect("few");
        scope.each_key(&self.count, |_, scope| {
            let count = self.count.get(scope).copied().unwrap_or_default() + 1;
            assert_eq!(count, rules, "a rule visits each key once");
            self.count.put(scope, count);
        });
    }
}

fn expected(lines: &[Line]) -> Results {
    let mut times = BTreeMap::<_, Vec<_>>::new();
    lines.iter().filter(|line| line.topic == 0).for_each(|line| times.entry(&line.key).or_default().push(line.at));
    let mut results = Vec::new();
    for (key, mut times) in times {
        times.sort_unstable();
        let sessions = times.chunk_by(|one, next| next - one <= GAP_MS);
        results.extend(sessions.map(|session| (key, format!("{} {}", session[0], session.len()))));
    }
    gathered(results)
}
