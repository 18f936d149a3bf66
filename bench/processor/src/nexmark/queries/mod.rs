//! The queries, as a user of the processor writes them. Each reads the topic of events; the results have the columns of
//! Flink's SQL of the query.
//!
//! Where that SQL has results that change, these come out with the next commit, and replace the earlier ones of their
//! key. Q4 and Q9 wait for the end of an auction instead, as in Beam: their results are final. Q7 leaves out bids at
//! the very end of a window, which belong to the next one. Days are numbers of days since 1970, because the names of
//! days are not what is measured here.

mod joins;
mod stateless;
mod statistics;
mod windows;

use std::time::Duration;

use processor::operator::Chain;
use processor::topology::{Builder, Stream, ValueStream};
use processor::{Nullable, Partitions, Raw, Topology, Watermark};

use super::model::{Auctions, Bids, Event, Events, Persons};

/// A query of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Query {
    Q0,
    Q1,
    Q2,
    Q3,
    Q4,
    Q5,
    Q7,
    Q8,
    Q9,
    Q11,
    Q12,
    Q13,
    Q15,
    Q16,
    Q17,
    Q18,
    Q20,
    Q21,
    Q22,
}

impl Query {
    pub(crate) const ALL: [Self; 19] = [
        Self::Q0,
        Self::Q1,
        Self::Q2,
        Self::Q3,
        Self::Q4,
        Self::Q5,
        Self::Q7,
        Self::Q8,
        Self::Q9,
        Self::Q11,
        Self::Q12,
        Self::Q13,
        Self::Q15,
        Self::Q16,
        Self::Q17,
        Self::Q18,
        Self::Q20,
        Self::Q21,
        Self::Q22,
    ];

    pub(crate) const fn name(self) -> &'static str {
        self.describe().0
    }

    pub(crate) const fn title(self) -> &'static str {
        self.describe().1
    }

    const fn describe(self) -> (&'static str, &'static str) {
        match self {
            Self::Q0 => ("q0", "Nexmark Q0, bids pass through"),
            Self::Q1 => ("q1", "Nexmark Q1, prices in another currency"),
            Self::Q2 => ("q2", "Nexmark Q2, bids for some auctions"),
            Self::Q3 => ("q3", "Nexmark Q3, who sells in three states"),
            Self::Q4 => ("q4", "Nexmark Q4, average winning price of a category"),
            Self::Q5 => ("q5", "Nexmark Q5, auctions with the most bids in 10 s"),
            Self::Q7 => ("q7", "Nexmark Q7, highest bids in 10 s"),
            Self::Q8 => ("q8", "Nexmark Q8, people who sell at once"),
            Self::Q9 => ("q9", "Nexmark Q9, winning bids"),
            Self::Q11 => ("q11", "Nexmark Q11, sessions of bidders"),
            Self::Q12 => ("q12", "Nexmark Q12, bids of a person in 10 s of the time of day"),
            Self::Q13 => ("q13", "Nexmark Q13, bids beside a table of 10,000 rows"),
            Self::Q15 => ("q15", "Nexmark Q15, statistics of a day"),
            Self::Q16 => ("q16", "Nexmark Q16, statistics of a channel and day"),
            Self::Q17 => ("q17", "Nexmark Q17, statistics of an auction and day"),
            Self::Q18 => ("q18", "Nexmark Q18, last bid of a person for an auction"),
            Self::Q20 => ("q20", "Nexmark Q20, bids with their auctions"),
            Self::Q21 => ("q21", "Nexmark Q21, channel ids"),
            Self::Q22 => ("q22", "Nexmark Q22, directories of URLs"),
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|query| query.name() == name)
    }

    /// The job, which reads the events from the topic `input`, and has `tasks` tasks behind each shuffle.
    pub(crate) fn topology(self, application_id: &str, (input, output): (&str, &str), tasks: i32) -> Topology {
        let mut builder = Topology::builder(application_id);
        let mut job = Job { builder: &mut builder, input, output, tasks: Partitions(tasks) };
        match self {
            Self::Q0 => stateless::q0(&mut job),
            Self::Q1 => stateless::q1(&mut job),
            Self::Q2 => stateless::q2(&mut job),
            Self::Q3 => joins::q3(&mut job),
            Self::Q4 => joins::q4(&mut job),
            Self::Q5 => windows::q5(&mut job),
            Self::Q7 => windows::q7(&mut job),
            Self::Q8 => windows::q8(&mut job),
            Self::Q9 => joins::q9(&mut job),
            Self::Q11 => windows::q11(&mut job),
            Self::Q12 => windows::q12(&mut job),
            Self::Q13 => stateless::q13(&mut job),
            Self::Q15 => statistics::q15(&mut job),
            Self::Q16 => statistics::q16(&mut job),
            Self::Q17 => statistics::q17(&mut job),
            Self::Q18 => statistics::q18(&mut job),
            Self::Q20 => joins::q20(&mut job),
            Self::Q21 => stateless::q21(&mut job),
            Self::Q22 => stateless::q22(&mut job),
        }
        builder.build().expect("a sound job")
    }
}

/// A job under declaration.
struct Job<'b> {
    builder: &'b mut Builder,
    input: &'b str,
    output: &'b str,
    tasks: Partitions,
}

impl Job<'_> {
    /// All events. Flink's declaration of them allows for 4 s of disorder as well.
    fn events(&mut self) -> ValueStream<Events> {
        self.builder.stream(self.input, Events).watermark(Watermark::bounded(Duration::from_secs(4)))
    }

    fn bids(&mut self) -> Stream<Nullable<Raw>, impl Chain<Key = Nullable<Raw>, Value = Bids> + use<>> {
        self.events().flat_map(Bids, |event, out| {
            if let Event::Bid(bid) = event.value {
                out.push(bid);
            }
        })
    }
}

fn auctions(
    events: ValueStream<Events>,
) -> Stream<Nullable<Raw>, impl Chain<Key = Nullable<Raw>, Value = Auctions> + use<>> {
    events.flat_map(Auctions, |event, out| {
        if let Event::Auction(auction) = event.value {
            out.push(auction);
        }
    })
}

fn persons(
    events: ValueStream<Events>,
) -> Stream<Nullable<Raw>, impl Chain<Key = Nullable<Raw>, Value = Persons> + use<>> {
    events.flat_map(Persons, |event, out| {
        if let Event::Person(person) = event.value {
            out.push(person);
        }
    })
}

/// Milliseconds of a day.
pub(super) const DAY_MS: i64 = 24 * 3_600_000;
