//! The last step of a sticky assignment: with loads as even as they are, members keep as many partitions as possible.
//!
//! Handing partitions on in a circle leaves every load as it is, and so does a way from a member to one with one
//! partition fewer, which swaps their loads. A step costs 1 if a partition leaves its former owner, gains 1 if one
//! returns to it, and is free otherwise. As long as there is a circle that gains, we take it. When there is none,
//! no assignment that is as even keeps more (minimum cost flow by cancelling negative cycles, which are found by
//! the algorithm of Bellman and Ford). Where racks matter, a step that takes a partition away from a replica's rack
//! costs more than all partitions that change their owners.

use super::problem::{Owners, Problem};

pub(super) fn refine(problem: &Problem<'_>, owners: &mut Owners) {
    // Where racks matter there may be a circle for every partition.
    let steps = problem.member_count() * problem.claims.iter().map(Vec::len).sum::<usize>();
    let circles_max = if problem.has_racks() { STEPS_MAX / steps.max(1) } else { usize::MAX };
    for _ in 0..circles_max {
        let Some(circle) = Graph::new(problem, owners).gaining_circle() else { return };
        let chosen: Vec<_> = circle
            .into_iter()
            .filter_map(|edge| Some((edge, chosen(problem, owners, edge.from, edge.to, edge.topic?)?)))
            .collect();
        for (edge, (topic, index)) in chosen {
            owners[topic][index] = Some(edge.to);
        }
    }
}

/// Returns the partition of the topic that goes: if possible one that returns to its former owner, and otherwise one
/// that is not with its former owner.
fn chosen(problem: &Problem<'_>, owners: &Owners, from: usize, to: usize, topic: usize) -> Option<(usize, usize)> {
    let own = (0..owners[topic].len()).filter(|index| owners[topic][*index] == Some(from));
    own.min_by_key(|index| cost(problem, topic, *index, from, to)).map(|index| (topic, index))
}

fn cost(problem: &Problem<'_>, topic: usize, index: usize, from: usize, to: usize) -> i64 {
    problem.price(topic, index, to) - problem.price(topic, index, from)
}

#[derive(Clone, Copy)]
struct Edge {
    from: usize,
    to: usize,
    /// `None` for a swap of loads.
    topic: Option<usize>,
    cost: i64,
}

struct Graph {
    member_count: usize,
    edges: Vec<Edge>,
}

impl Graph {
    fn new(problem: &Problem<'_>, owners: &Owners) -> Self {
        let member_count = problem.member_count();
        let mut loads = vec![0_usize; member_count];
        for member in owners.iter().flatten().flatten() {
            loads[*member] += 1;
        }
        let mut best: Vec<Option<Edge>> = vec![None; member_count * member_count];
        for (topic, owners) in owners.iter().enumerate() {
            for (index, from) in owners.iter().enumerate().filter_map(|(index, owner)| Some((index, (*owner)?))) {
                for &to in problem.subscribers[topic].iter().filter(|to| **to != from) {
                    let edge = Edge { from, to, topic: Some(topic), cost: cost(problem, topic, index, from, to) };
                    let slot = &mut best[from * member_count + to];
                    if slot.is_none_or(|slot| edge.cost < slot.cost) {
                        *slot = Some(edge);
                    }
                }
            }
        }
        let mut edges: Vec<Edge> = best.into_iter().flatten().collect();
        for from in 0..member_count {
            // A way that ends at `from` may also begin at a member that has one partition more:
            // their loads are swapped.
            let with_one_more = (0..member_count).filter(|to| loads[*to] == loads[from] + 1);
            edges.extend(with_one_more.map(|to| Edge { from, to, topic: None, cost: 0 }));
        }
        Self { member_count, edges }
    }

    /// Returns a circle of steps that gains, if there is one.
    fn gaining_circle(&self) -> Option<Vec<Edge>> {
        let mut distances = vec![0_i64; self.member_count];
        let mut last: Vec<Option<Edge>> = vec![None; self.member_count];
        let mut relaxed = None;
        for _ in 0..=self.member_count {
            relaxed = None;
            for edge in &self.edges {
                let distance = distances[edge.from] + edge.cost;
                if distance < distances[edge.to] {
                    distances[edge.to] = distance;
                    last[edge.to] = Some(*edge);
                    relaxed = Some(edge.to);
                }
            }
            relaxed?;
        }
        // A member whose cost still changes depends on a circle: go back into it, then once around.
        let mut member = relaxed?;
        for _ in 0..self.member_count {
            member = last[member]?.from;
        }
        let mut circle = Vec::new();
        let start = member;
        loop {
            let edge = last[member]?;
            circle.push(edge);
            member = edge.from;
            if member == start {
                return Some(circle);
            }
        }
    }
}

/// Bound of the search where racks matter, in looks at a partition for a member: about half a second. It ends the
/// search in groups such as 100 members of 4,000 partitions; what it has found by then counts.
const STEPS_MAX: usize = 40_000_000;
