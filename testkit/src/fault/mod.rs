//! Faults that a test injects into the broker: the request that each hits, and the effect on it.
//!
//! The most telling one is [`Action::ApplyThenDisconnect`]: the request took effect and its answer is lost, so the
//! client does not know the outcome. Requests are counted in the order of arrival; the same script gives the same run.

use std::time::Duration;

/// The effect on a request that a [`Rule`] hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The broker applies the request, then closes the connection instead of answering: the client does not know
    /// the outcome. A request that would wait (a long poll) is applied as far as possible at once.
    ApplyThenDisconnect,
    /// The broker never sees the request, and the connection stays open and silent: nothing sent on it later is
    /// handled or answered either, as when the route to a peer is gone.
    DropRequest,
    /// The broker does nothing and answers with this error code (Kafka's number) in every place that the
    /// answer has for an error.
    Error(i16),
    /// The broker handles the request this much later, even if the client has disconnected by then.
    /// Later requests on the same connection wait behind it.
    Delay(Duration),
}

/// One fault: the `nth` request of an API, counted from the moment at which the rule was given to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Kafka's number of the API, as in `ApiKey::Produce as i16`.
    pub api_key: i16,
    /// Number of the matching request that is hit, from 1. A rule hits once and is then spent.
    pub nth: u32,
    /// The effect on that request.
    pub action: Action,
}

/// The rules that a broker still has to apply.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    rules: Vec<Rule>,
}

impl Plan {
    /// Adds a rule, which counts requests from now on.
    pub fn add(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    /// Counts one request of `api_key` against every rule for it. Returns the action of the first rule that it
    /// completes, and spends that rule; a second rule completed by the same request hits the next one instead.
    pub fn draw(&mut self, api_key: i16) -> Option<Action> {
        let mut hit = None;
        for (index, rule) in self.rules.iter_mut().enumerate().filter(|(_, rule)| rule.api_key == api_key) {
            rule.nth = rule.nth.saturating_sub(1);
            if rule.nth == 0 && hit.is_none() {
                hit = Some(index);
            }
        }
        hit.map(|index| self.rules.remove(index).action)
    }

    /// Whether every rule has been applied.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.rules.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_hits_the_nth_request_of_its_api_once() {
        let mut plan = Plan::default();
        plan.add(Rule { api_key: 0, nth: 2, action: Action::DropRequest });
        plan.add(Rule { api_key: 26, nth: 1, action: Action::Error(51) });
        assert_eq!(plan.draw(0), None);
        assert_eq!(plan.draw(26), Some(Action::Error(51)));
        assert_eq!(plan.draw(0), Some(Action::DropRequest));
        assert_eq!(plan.draw(0), None);
        assert!(plan.is_spent());
    }

    #[test]
    fn two_rules_for_one_request_hit_two_in_a_row() {
        let mut plan = Plan::default();
        plan.add(Rule { api_key: 0, nth: 1, action: Action::Error(6) });
        plan.add(Rule { api_key: 0, nth: 1, action: Action::Error(7) });
        assert_eq!(plan.draw(0), Some(Action::Error(6)));
        assert_eq!(plan.draw(0), Some(Action::Error(7)));
    }
}
