//! The queries with windows.

use std::time::Duration;

use processor::operator::{Process, Scope, ValueState};
use processor::{Clock, Emit, I64, Owned, ProcessingTime, Rec, SessionWindow, Sliding, TimestampMs, Tumbling, U64};

use super::Job;
use crate::nexmark::model::{Bid, Bids, Event};
use crate::rows::{Columns, Packed, columns, rows};

const SIZE: Duration = Duration::from_secs(10);

/// Hot items: the auctions with the most bids in 10 s, every 2 s.
pub(super) fn q5(job: &mut Job<'_>) {
    job.bids()
        .key_by("by-auction", job.tasks, (U64, ()), |bid| (bid.value.auction, ()))
        .window(Sliding::of(SIZE).every(Duration::from_secs(2)))
        .count("counts", Emit::OnClose)
        .map(|auction| (auction.window.end, (auction.key, *auction.value)))
        .key_by("by-window", job.tasks, (I64, Columns::new()), |auction| auction.value)
        .process("most", |uses| Most { most: uses.value("most", Columns::new()) })
        .to(job.output, I64, Columns::new());
}

/// The auctions with the greatest number of a window, which is the key, by its end.
#[derive(Clone)]
struct Most {
    /// The number, and the auctions that have it.
    most: ValueState<(u64, Vec<u64>)>,
}

impl Process<Owned<i64>, Owned<(u64, u64)>> for Most {
    type Out = (u64, u64);

    fn record(
        &mut self,
        record: &Rec<'_, Owned<i64>, Owned<(u64, u64)>>,
        scope: &mut Scope<'_, Owned<i64>, Self::Out>,
    ) {
        let (auction, count) = record.value;
        let most = self.most.get(scope).map(|(most, _)| *most);
        if most.is_none() {
            scope.set_timer(Clock::Event, TimestampMs(record.key));
        }
        if most.is_none_or(|most| most < count) {
            self.most.put(scope, (count, vec![auction]));
        } else if most == Some(count) {
            self.most.update(scope, <_>::default, |(_, auctions)| auctions.push(auction));
        }
    }

    fn timer(&mut self, _end: &i64, _: Clock, at: TimestampMs, scope: &mut Scope<'_, Owned<i64>, Self::Out>) {
        let (most, auctions) = self.most.get(scope).cloned().unwrap_or_default();
        self.most.clear(scope);
        for auction in auctions {
            scope.emit_at((auction, most), TimestampMs(at.0 - 1));
        }
    }
}

rows! {
    /// A result of Q7.
    Highest<'a> as Highests { auction: u64, price: u64, bidder: u64, date_time: i64, extra: &'a str }
}

/// Highest bid: all bids of 10 s that have the highest price.
pub(super) fn q7(job: &mut Job<'_>) {
    job.bids()
        .key_by("all", job.tasks, (U64, Bids), |bid| (0, bid.value))
        .window(Tumbling::of(SIZE))
        .aggregate(
            "highest",
            Columns::<(u64, Vec<Packed<Bids>>)>::new(),
            Emit::OnClose,
            <_>::default,
            |highest, bid| {
                if bid.value.price > highest.0 {
                    *highest = (bid.value.price, vec![Packed::of(&bid.value)]);
                } else if bid.value.price == highest.0 {
                    highest.1.push(Packed::of(&bid.value));
                }
            },
        )
        .map(|highest| highest.value.1.clone())
        .flat_map(Highests, |highest, out| {
            for bid in &highest.value {
                let Bid { auction, price, bidder, date_time, extra, .. } = bid.row();
                out.push(Highest { auction, price, bidder, date_time, extra });
            }
        })
        .to(job.output, U64, Highests);
}

rows! {
    /// A person who registers, with a name, or one who opens an auction, without.
    Registered<'a> as Registrations { name: Option<&'a str> }
}

columns! {
    /// The knowledge of a person in a window.
    Newcomer { name: Option<String>, sells: u8 }
    /// A result of Q8.
    Seller { id: u64, name: String, start: i64 }
}

/// Monitor new users: people who have registered and opened an auction in the same 10 s.
pub(super) fn q8(job: &mut Job<'_>) {
    job.events()
        .filter(|event| !matches!(event.value, Event::Bid(_)))
        .key_by("by-person", job.tasks, (U64, Registrations), |event| match event.value {
            Event::Person(person) => (person.id, Registered { name: Some(person.name) }),
            Event::Auction(auction) => (auction.seller, Registered { name: None }),
            Event::Bid(bid) => unreachable!("{bid:?} is left out"),
        })
        .window(Tumbling::of(SIZE))
        .aggregate("newcomers", Columns::new(), Emit::OnClose, Newcomer::default, |newcomer, event| {
            match event.value.name {
                Some(name) => newcomer.name = Some(name.to_owned()),
                None => newcomer.sells = 1,
            }
        })
        .filter(|newcomer| newcomer.value.name.is_some() && newcomer.value.sells > 0)
        .map(|newcomer| Seller {
            id: newcomer.key,
            name: newcomer.value.name.clone().unwrap_or_default(),
            start: newcomer.window.start,
        })
        .to(job.output, U64, Columns::new());
}

/// User sessions: the bids of a person that are at most 10 s apart.
pub(super) fn q11(job: &mut Job<'_>) {
    job.bids()
        .key_by("by-bidder", job.tasks, (U64, ()), |bid| (bid.value.bidder, ()))
        .window(SessionWindow::gap(SIZE))
        .count("sessions", Emit::OnClose)
        .map(|bidder| (bidder.key, *bidder.value, bidder.window.start, bidder.window.end))
        .to(job.output, U64, Columns::new());
}

/// Processing time windows: the bids of a person in 10 s of the time of day.
pub(super) fn q12(job: &mut Job<'_>) {
    job.bids()
        .key_by("by-bidder", job.tasks, (U64, ()), |bid| (bid.value.bidder, ()))
        .window(ProcessingTime(Tumbling::of(SIZE)))
        .count("counts", Emit::OnClose)
        .map(|bidder| (bidder.key, *bidder.value, bidder.window.start, bidder.window.end))
        .to(job.output, U64, Columns::new());
}
