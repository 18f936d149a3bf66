//! Nexmark: the queries of Beam's and Flink's benchmark of stream processors, about auctions.
//!
//! The events, their columns and their proportions are those of Flink's generator. The queries are those of its 23 that
//! a program on its DataStream API can express without files. [`alone`] runs them without brokers, which is the rule of
//! Flink's results: from the generator to a sink that drops the results. As jobs `q0` to `q22` they run from Kafka to
//! Kafka. In both cases the results are compared with a plain computation over the events in memory.

mod alone;
mod generator;
mod load;
mod model;
mod plain;
mod queries;

#[cfg(test)]
mod tests;

use std::error::Error;

pub(crate) use load::load;
pub(crate) use queries::Query;

/// The queries to run in the processor alone.
pub(crate) struct Alone {
    pub(crate) events: u64,
    pub(crate) queries: Vec<Query>,
}

impl Alone {
    /// Checks each query with some events, and measures it with many.
    pub(crate) fn measure(&self) -> Result<(), Box<dyn Error>> {
        println!("{:56} {:>10} {:>10} {:>14} {:>14}", "", "generator", "processor", "events/s", "without the");
        println!("{:56} {:>10} {:>10} {:>14} {:>14}", "", "ns/event", "ns/event", "a core", "generator");
        for &query in &self.queries {
            alone::check(query, CHECKED)?;
            let speed = alone::measure(query, self.events);
            if speed.results == 0 {
                return Err(format!("{}: no results of {} events", query.name(), self.events).into());
            }
            println!(
                "{:56} {:>10.0} {:>10.0} {:>14.0} {:>14.0}   {} results",
                query.title(),
                speed.generating,
                speed.processing,
                1e9 / (speed.generating + speed.processing),
                1e9 / speed.processing,
                speed.results,
            );
        }
        Ok(())
    }
}

/// Events of a check.
const CHECKED: u64 = 20_000;
