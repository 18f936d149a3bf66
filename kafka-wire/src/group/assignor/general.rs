//! The sticky assignment when members subscribe to different topics.
//!
//! Every member keeps the partitions that it had, and partitions without an owner go to the subscriber that has
//! the fewest, those with the smallest choice first. Then loads are evened out. From a member with many partitions we
//! look for a member with at least two fewer that can be reached by handing partitions on (A gives one to B, who gives
//! one to C), and hand them on along that way. When no member has such a way, no other assignment is more even,
//! by any measure that prefers even ones (optimal semi-matchings: Harvey, Ladner, Lovasz, Tamir, 2003). Of several ways
//! we take one that ends at the member with the fewest, and on which the fewest partitions leave their former owner.

use std::collections::VecDeque;

use super::problem::{Owners, Problem};

pub(super) fn solve(problem: &Problem<'_>) -> Owners {
    let mut group = Group::new(problem);
    group.place();
    group.even_out();
    group.owners
}

/// The assignment while it is being made.
struct Group<'p, 'a> {
    problem: &'p Problem<'a>,
    owners: Owners,
    loads: Vec<usize>,
    /// The topics of which each member has partitions, and the number of those partitions.
    held: Vec<Vec<(usize, usize)>>,
}

/// A step: a partition of a topic goes from one member to another.
#[derive(Clone, Copy)]
struct Step {
    from: usize,
    topic: usize,
    to: usize,
    /// Number of partitions that leave their former owner on the way up to here.
    cost: usize,
}

impl<'p, 'a> Group<'p, 'a> {
    fn new(problem: &'p Problem<'a>) -> Self {
        let member_count = problem.member_count();
        let held = vec![Vec::new(); member_count];
        let owners = problem.nothing_owned();
        let mut group = Self { problem, owners, loads: vec![0; member_count], held };
        for topic in 0..problem.claims.len() {
            for index in 0..problem.claims[topic].len() {
                if let Some(member) = problem.claims[topic][index].member() {
                    group.give(topic, index, member);
                }
            }
        }
        group
    }

    fn give(&mut self, topic: usize, index: usize, member: usize) {
        if let Some(former) = self.owners[topic][index].replace(member) {
            self.loads[former] -= 1;
            if let Some((_, count)) = self.held[former].iter_mut().find(|(held, _)| *held == topic) {
                *count -= 1;
            }
            self.held[former].retain(|(_, count)| *count > 0);
        }
        self.loads[member] += 1;
        match self.held[member].iter_mut().find(|(held, _)| *held == topic) {
            Some((_, count)) => *count += 1,
            None => self.held[member].push((topic, 1)),
        }
    }

    fn place(&mut self) {
        let mut topics: Vec<usize> = (0..self.owners.len()).collect();
        topics.sort_by_key(|&topic| self.problem.subscribers[topic].len());
        for topic in topics {
            for index in 0..self.owners[topic].len() {
                let key = |member: &usize| (self.loads[*member], !self.problem.is_near(topic, index, *member));
                let lightest = self.problem.subscribers[topic].iter().copied().min_by_key(key);
                if let Some(member) = lightest.filter(|_| self.owners[topic][index].is_none()) {
                    self.give(topic, index, member);
                }
            }
        }
    }

    fn even_out(&mut self) {
        let mut order: Vec<usize> = (0..self.loads.len()).collect();
        loop {
            let mut is_even = true;
            order.sort_by_key(|&member| std::cmp::Reverse(self.loads[member]));
            for &member in &order {
                while let Some(way) = self.way_from(member) {
                    self.hand_on(&way);
                    is_even = false;
                }
            }
            if is_even {
                return;
            }
        }
    }

    /// Returns a way from `start` to a member that has at least two partitions fewer, last step first.
    fn way_from(&self, start: usize) -> Option<Vec<Step>> {
        let least = self.loads.iter().copied().min()?;
        if self.loads[start] < least + 2 {
            return None;
        }
        self.step_from(start, least).map(|step| vec![step]).or_else(|| self.search_from(start, least))
    }

    /// Returns a way of one step to a member with the fewest partitions of all, if no longer way can be cheaper.
    fn step_from(&self, start: usize, least: usize) -> Option<Step> {
        let mut found: Option<Step> = None;
        let mut cost_min = 1;
        for &(topic, _) in &self.held[start] {
            let cost = usize::from(self.is_at_home(topic, start));
            cost_min = cost_min.min(cost);
            if found.is_none_or(|found| cost < found.cost)
                && let Some(&to) = self.problem.subscribers[topic].iter().find(|&&to| self.loads[to] == least)
            {
                found = Some(Step { from: start, topic, to, cost });
            }
            if found.is_some_and(|found| found.cost == 0) {
                break;
            }
        }
        found.filter(|found| found.cost == cost_min)
    }

    /// Returns the best way of any length.
    fn search_from(&self, start: usize, least: usize) -> Option<Vec<Step>> {
        let mut steps: Vec<Option<Step>> = vec![None; self.loads.len()];
        let mut costs = vec![usize::MAX; self.loads.len()];
        costs[start] = 0;
        let mut is_expanded = vec![[false; 2]; self.owners.len()];
        let mut queue = VecDeque::from([start]);
        let mut lightest = None;
        while let Some(from) = queue.pop_front() {
            if self.loads[from] == least {
                // No other member has fewer partitions, and none with as few is nearer.
                lightest = steps[from];
                break;
            }
            for &(topic, _) in &self.held[from] {
                let step_cost = usize::from(self.is_at_home(topic, from));
                // The first way to reach a topic reaches its subscribers at the lowest cost, apart from the
                // cost of its last step.
                if std::mem::replace(&mut is_expanded[topic][step_cost], true) {
                    continue;
                }
                let cost = costs[from] + step_cost;
                for &to in &self.problem.subscribers[topic] {
                    if cost < costs[to] {
                        costs[to] = cost;
                        steps[to] = Some(Step { from, topic, to, cost });
                        if step_cost == 0 { queue.push_front(to) } else { queue.push_back(to) }
                    }
                }
            }
        }
        let reached =
            steps.iter().flatten().filter(|step| step.to != start && self.loads[step.to] + 2 <= self.loads[start]);
        let end = lightest.or_else(|| reached.min_by_key(|step| (self.loads[step.to], step.cost)).copied())?;
        Some(std::iter::successors(Some(end), |step| steps[step.from]).collect())
    }

    /// Returns whether the member was the former owner of all the partitions that it has of the topic.
    fn is_at_home(&self, topic: usize, member: usize) -> bool {
        self.leaving(topic, member).is_some_and(|index| self.problem.claims[topic][index].member() == Some(member))
    }

    /// Returns the partition of the topic that the member gives up first: one of which it was not the former owner.
    fn leaving(&self, topic: usize, member: usize) -> Option<usize> {
        let mut own = None;
        for (index, owner) in self.owners[topic].iter().enumerate().rev() {
            if *owner == Some(member) {
                if self.problem.claims[topic][index].member() != Some(member) {
                    return Some(index);
                }
                own = own.or(Some(index));
            }
        }
        own
    }

    fn hand_on(&mut self, way: &[Step]) {
        for &Step { from, topic, to, .. } in way {
            let back = self.owners[topic].iter().zip(&self.problem.claims[topic]).position(|(owner, claim)| {
                // A partition that returns to its former owner is best.
                *owner == Some(from) && claim.member() == Some(to)
            });
            let index = back.or_else(|| self.leaving(topic, from));
            self.give(topic, index.expect("a step leads from a member that has a partition of its topic"), to);
        }
    }
}
