//! The queries that bring people, auctions and bids together.

use std::time::Duration;

use processor::operator::{Chain, Process, Scope, ValueState};
use processor::topology::Stream;
use processor::{Clock, Emit, JoinWindow, Owned, Rec, TimestampMs, U64};

use super::{Job, auctions, persons};
use crate::nexmark::model::{Auction, Auctions, Bid, Bids, Event, Events};
use crate::rows::{Columns, Packed, columns};

columns! {
    /// A person of Q3.
    Local { name: String, city: String, state: String }
    /// A result of Q3.
    Suggestion { name: String, city: String, state: String, auction: u64 }
}

/// Local item suggestion: who sells in Oregon, Idaho or California in category 10, and at which auctions?
pub(super) fn q3(job: &mut Job<'_>) {
    let events = job.events();
    let people = persons(events.clone()).filter(|person| matches!(person.value.state, "OR" | "ID" | "CA")).key_by(
        "by-id",
        job.tasks,
        (U64, Columns::new()),
        |person| {
            let [name, city, state] = [person.value.name, person.value.city, person.value.state].map(str::to_owned);
            (person.value.id, Local { name, city, state })
        },
    );
    auctions(events)
        .filter(|auction| auction.value.category == 10)
        .key_by("by-seller", job.tasks, (U64, U64), |auction| (auction.value.seller, auction.value.id))
        .join("local", people, JoinWindow::within(FOR_EVER), (U64, Columns::new()), |auction, person: &Local| {
            let Local { name, city, state } = person.clone();
            Suggestion { name, city, state, auction: *auction }
        })
        .to(job.output, U64, Columns::new());
}

const FOR_EVER: Duration = Duration::MAX;

/// Winning bids: the highest bid for each auction while it was open, the earlier one of two; when it is over.
pub(super) fn q9(job: &mut Job<'_>) {
    winners(job).to(job.output, U64, Columns::new());
}

/// Average price for a category: of the winning bids so far.
pub(super) fn q4(job: &mut Job<'_>) {
    winners(job)
        .key_by("by-category", job.tasks, (U64, U64), |winner| {
            let (auction, bid) = winner.value;
            (auction.row().category, bid.row().price)
        })
        .aggregate("averages", Columns::<(u64, u64)>::new(), Emit::OnUpdate, <_>::default, |(sum, count), price| {
            *sum += price.value;
            *count += 1;
        })
        .map(|average| average.value.0 / average.value.1)
        .to(job.output, U64, U64);
}

/// An auction that is over, and the bid that won.
type Winner = (Packed<Auctions>, Packed<Bids>);

fn winners(job: &mut Job<'_>) -> Stream<U64, impl Chain<Key = Owned<u64>, Value = Owned<Winner>> + use<>> {
    let events = auctions_and_bids(job);
    events.process("winners", |uses| Winners { lots: uses.value("lots", Columns::new()) })
}

/// Auctions and the bids for them, by auction.
fn auctions_and_bids(job: &mut Job<'_>) -> Stream<U64, impl Chain<Key = Owned<u64>, Value = Events> + use<>> {
    job.events().filter(|event| !matches!(event.value, Event::Person(_))).key_by(
        "by-auction",
        job.tasks,
        (U64, Events),
        |event| match event.value {
            Event::Auction(auction) => (auction.id, event.value),
            Event::Bid(bid) => (bid.auction, event.value),
            Event::Person(person) => unreachable!("{person:?} is left out"),
        },
    )
}

columns! {
    /// An auction with its best bid so far.
    Lot {
        auction: Option<Packed<Auctions>>,
        opens: i64,
        expires: i64,
        best: Option<Packed<Bids>>,
        /// Bids that came before the auction. They count if only the order of partitions was to blame.
        early: Vec<Packed<Bids>>,
    }
}

impl Lot {
    fn accepts(&self, bid: &Bid<'_>) -> bool {
        let is_open = (self.opens..=self.expires).contains(&bid.date_time);
        is_open && self.best.as_ref().is_none_or(|best| beats(bid, &best.row()))
    }

    fn open(&mut self, auction: &Auction<'_>) {
        (self.opens, self.expires) = (auction.date_time, auction.expires);
        self.auction = Some(Packed::of(auction));
        for bid in std::mem::take(&mut self.early) {
            if self.accepts(&bid.row()) {
                self.best = Some(bid);
            }
        }
    }
}

/// Whether a bid is higher, or as high and earlier. Of bids that are equal in both, any one wins, but always the same.
fn beats(bid: &Bid<'_>, other: &Bid<'_>) -> bool {
    let rank = |bid: &Bid<'_>| (bid.price, std::cmp::Reverse(bid.date_time));
    (rank(bid), bid) > (rank(other), other)
}

/// Finds the winning bid of each auction.
#[derive(Clone)]
struct Winners {
    lots: ValueState<Lot>,
}

impl Process<Owned<u64>, Events> for Winners {
    type Out = Winner;

    fn record(&mut self, record: &Rec<'_, Owned<u64>, Events>, scope: &mut Scope<'_, Owned<u64>, Winner>) {
        match &record.value {
            Event::Auction(auction) => {
                self.lots.update(scope, Lot::default, |lot| lot.open(auction));
                // A bid in the last millisecond counts.
                scope.set_timer(Clock::Event, TimestampMs(auction.expires + 1));
            }
            Event::Bid(bid) => match self.lots.get(scope) {
                Some(lot) if lot.auction.is_some() => {
                    if lot.accepts(bid) {
                        self.lots.update(scope, Lot::default, |lot| lot.best = Some(Packed::of(bid)));
                    }
                }
                _ => {
                    self.lots.update(scope, Lot::default, |lot| lot.early.push(Packed::of(bid)));
                    scope.set_timer(Clock::Event, TimestampMs(bid.date_time + 1));
                }
            },
            Event::Person(_) => {}
        }
    }

    fn timer(&mut self, _: &u64, _: Clock, at: TimestampMs, scope: &mut Scope<'_, Owned<u64>, Winner>) {
        let Some(lot) = self.lots.get(scope) else { return };
        if let Some(auction) = &lot.auction {
            if lot.expires < at.0 {
                let winner = lot.best.clone().map(|best| (auction.clone(), best));
                self.lots.clear(scope);
                winner.into_iter().for_each(|winner| scope.emit(winner));
            }
        } else if lot.early.iter().all(|bid| bid.row().date_time < at.0) {
            // An auction that was open at that time would have come by now.
            self.lots.clear(scope);
        }
    }
}

columns! {
    /// An auction of Q20, or the bids that came before it.
    Known {
        is_known: u8,
        /// The auction, if it is of the category that is asked for.
        auction: Option<Packed<Auctions>>,
        waiting: Vec<Packed<Bids>>,
    }
}

/// Expand bid with auction, in category 10. In Flink's SQL, the columns of the bid come first, too.
pub(super) fn q20(job: &mut Job<'_>) {
    auctions_and_bids(job).process("expand", |uses| Expand { auctions: uses.value("auctions", Columns::new()) }).to(
        job.output,
        U64,
        Columns::new(),
    );
}

/// Joins bids with their auction, whichever comes first.
#[derive(Clone)]
struct Expand {
    auctions: ValueState<Known>,
}

impl Process<Owned<u64>, Events> for Expand {
    type Out = (Packed<Bids>, Packed<Auctions>);

    fn record(&mut self, record: &Rec<'_, Owned<u64>, Events>, scope: &mut Scope<'_, Owned<u64>, Self::Out>) {
        match &record.value {
            Event::Auction(auction) => {
                let is_wanted = auction.category == 10;
                let waiting = self.auctions.update(scope, Known::default, |known| {
                    known.is_known = 1;
                    known.auction = is_wanted.then(|| Packed::of(auction));
                    std::mem::take(&mut known.waiting)
                });
                waiting.into_iter().filter(|_| is_wanted).for_each(|bid| scope.emit((bid, Packed::of(auction))));
            }
            Event::Bid(bid) => match self.auctions.get(scope) {
                Some(Known { is_known: 1.., auction, .. }) => {
                    if let Some(auction) = auction.clone() {
                        scope.emit((Packed::of(bid), auction));
                    }
                }
                _ => self.auctions.update(scope, Known::default, |known| known.waiting.push(Packed::of(bid))),
            },
            Event::Person(_) => {}
        }
    }
}
