//! The results of each query, computed from the events in memory, without the processor: to compare with.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::model::{Auction, Bid, Event, Person};
use super::queries::Query;
use crate::check::{Expected, fingerprint};
use crate::rows::{Column, bytes_of, whole};

/// Events in memory.
#[derive(Default)]
pub(crate) struct Recorded {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Recorded {
    pub(crate) fn push(&mut self, event: &Event<'_>) {
        event.write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// The bytes of each event.
    pub(crate) fn each(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }

    fn events(&self) -> impl Iterator<Item = Event<'_>> {
        self.each().map(|bytes| whole(bytes).expect("written above"))
    }

    fn bids(&self) -> impl Iterator<Item = Bid<'_>> {
        self.events().filter_map(|event| if let Event::Bid(bid) = event { Some(bid) } else { None })
    }

    fn auctions(&self) -> impl Iterator<Item = Auction<'_>> {
        self.events().filter_map(|event| if let Event::Auction(auction) = event { Some(auction) } else { None })
    }

    fn persons(&self) -> impl Iterator<Item = Person<'_>> {
        self.events().filter_map(|event| if let Event::Person(person) = event { Some(person) } else { None })
    }
}

/// Results that come out once each, in any order.
#[derive(Default)]
struct Rows {
    records: u64,
    fingerprints: u64,
}

impl Rows {
    fn add(&mut self, key: &[u8], value: &[u8]) {
        self.records += 1;
        self.fingerprints = self.fingerprints.wrapping_add(fingerprint(key, value));
    }

    fn of(rows: impl Iterator<Item = (Vec<u8>, Vec<u8>)>) -> Expected {
        let mut all = Self::default();
        rows.for_each(|(key, value)| all.add(&key, &value));
        Expected::Each { records: all.records, fingerprints: all.fingerprints }
    }
}

/// A record without a key.
fn keyless(value: Vec<u8>) -> (Vec<u8>, Vec<u8>) {
    (Vec::new(), value)
}

/// A record with a number as its key.
fn keyed(key: u64, value: Vec<u8>) -> (Vec<u8>, Vec<u8>) {
    (bytes_of(&key), value)
}

/// The bytes of several columns, one after the other.
macro_rules! row {
    ($($column:expr),* $(,)?) => {{
        let mut row = Vec::new();
        $($column.write(&mut row);)*
        row
    }};
}

/// The results of a query.
pub(crate) fn expected(query: Query, events: &Recorded) -> Expected {
    match query {
        Query::Q0 => Rows::of(events.bids().map(|b| keyless(row!(b.auction, b.bidder, b.price, b.date_time, b.extra)))),
        Query::Q1 => {
            Rows::of(events.bids().map(|b| keyless(row!(b.auction, b.bidder, b.price * 908, b.date_time, b.extra))))
        }
        Query::Q2 => {
            let bids = events.bids().filter(|b| b.auction % 123 == 0);
            Rows::of(bids.map(|b| keyless(row!(b.auction, b.price))))
        }
        Query::Q3 => local_items(events),
        Query::Q4 => average_prices(events),
        Query::Q5 => hot_items(events),
        Query::Q7 => highest_bids(events),
        Query::Q8 => new_users(events),
        Query::Q9 => {
            Rows::of(winning_bids(events).into_iter().map(|(auction, bid)| {
                keyed(auction.id, row!(bytes_of(&auction).as_slice(), bytes_of(&bid).as_slice()))
            }))
        }
        Query::Q11 => sessions(events),
        Query::Q12 => {
            let mut counts = HashMap::new();
            events.bids().for_each(|b| *counts.entry(bytes_of(&b.bidder)).or_default() += 1);
            Expected::Sums(counts)
        }
        Query::Q13 => Rows::of(events.bids().map(|b| {
            let value = format!("{}", b.auction % 10_000);
            keyless(row!(b.auction, b.bidder, b.price, b.date_time, value))
        })),
        Query::Q15 => reports(events, |bid| bytes_of(&days(bid))),
        Query::Q16 => reports(events, |bid| row!(bid.channel, days(bid))),
        Query::Q17 => auction_statistics(events),
        Query::Q18 => last_bids(events),
        Query::Q20 => expanded_bids(events),
        Query::Q21 => Rows::of(events.bids().filter_map(|b| {
            let id = channel_id(&b)?;
            Some(keyless(row!(b.auction, b.bidder, b.price, b.channel, id)))
        })),
        Query::Q22 => Rows::of(events.bids().map(|b| {
            let parts: Vec<&str> = b.url.split('/').collect();
            keyless(row!(b.auction, b.bidder, b.price, b.channel, parts[3], parts[4], parts[5]))
        })),
    }
}

fn local_items(events: &Recorded) -> Expected {
    let people: HashMap<u64, Person<'_>> = events.persons().map(|person| (person.id, person)).collect();
    Rows::of(events.auctions().filter(|auction| auction.category == 10).filter_map(|auction| {
        let seller = people.get(&auction.seller)?;
        let is_local = ["OR", "ID", "CA"].contains(&seller.state);
        is_local.then(|| keyed(seller.id, row!(seller.name, seller.city, seller.state, auction.id)))
    }))
}

/// Each auction with a bid in its time, and the best of these.
fn winning_bids(events: &Recorded) -> Vec<(Auction<'_>, Bid<'_>)> {
    let mut bids: HashMap<u64, Vec<Bid<'_>>> = HashMap::new();
    events.bids().for_each(|bid| bids.entry(bid.auction).or_default().push(bid));
    let best = |auction: Auction<'_>| {
        let mut in_time: Vec<_> = bids.get(&auction.id)?.clone();
        in_time.retain(|bid| auction.date_time <= bid.date_time && bid.date_time <= auction.expires);
        in_time.sort_by(|one, other| {
            other.price.cmp(&one.price).then(one.date_time.cmp(&other.date_time)).then(other.cmp(one))
        });
        in_time.first().copied()
    };
    events.auctions().filter_map(|auction| best(auction).map(|bid| (auction, bid))).collect()
}

fn average_prices(events: &Recorded) -> Expected {
    let mut prices: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    winning_bids(events).iter().for_each(|(auction, bid)| prices.entry(auction.category).or_default().push(bid.price));
    let average = |prices: &Vec<u64>| prices.iter().sum::<u64>() / prices.len() as u64;
    Expected::Latest(prices.iter().map(|(category, prices)| keyed(*category, bytes_of(&average(prices)))).collect())
}

fn hot_items(events: &Recorded) -> Expected {
    let mut counts: BTreeMap<i64, HashMap<u64, u64>> = BTreeMap::new();
    for bid in events.bids() {
        let first_end = (bid.date_time / 2_000 + 1) * 2_000;
        for end in (0..5).map(|step| first_end + step * 2_000) {
            *counts.entry(end).or_default().entry(bid.auction).or_default() += 1;
        }
    }
    Rows::of(counts.into_iter().flat_map(|(end, counts)| {
        let most = counts.values().copied().max().unwrap_or_default();
        let hot: Vec<_> = counts.into_iter().filter(|(_, count)| *count == most).collect();
        hot.into_iter().map(move |(auction, count)| (bytes_of(&end), row!(auction, count)))
    }))
}

fn highest_bids(events: &Recorded) -> Expected {
    let mut windows: BTreeMap<i64, Vec<Bid<'_>>> = BTreeMap::new();
    events.bids().for_each(|bid| windows.entry(bid.date_time / 10_000).or_default().push(bid));
    Rows::of(windows.into_values().flat_map(|bids| {
        let highest = bids.iter().map(|bid| bid.price).max();
        let bids: Vec<_> = bids.into_iter().filter(|bid| Some(bid.price) == highest).collect();
        bids.into_iter().map(|b| keyed(0, row!(b.auction, b.price, b.bidder, b.date_time, b.extra)))
    }))
}

fn new_users(events: &Recorded) -> Expected {
    let sellers: BTreeSet<(i64, u64)> =
        events.auctions().map(|auction| (auction.date_time / 10_000, auction.seller)).collect();
    let new = events.persons().filter(|person| sellers.contains(&(person.date_time / 10_000, person.id)));
    Rows::of(new.map(|person| keyed(person.id, row!(person.id, person.name, person.date_time / 10_000 * 10_000))))
}

fn sessions(events: &Recorded) -> Expected {
    let mut times: BTreeMap<u64, Vec<i64>> = BTreeMap::new();
    events.bids().for_each(|bid| times.entry(bid.bidder).or_default().push(bid.date_time));
    let mut rows = Vec::new();
    for (bidder, mut times) in times {
        times.sort_unstable();
        for session in times.chunk_by(|one, next| next - one <= 10_000) {
            let (first, last) = (session[0], session[session.len() - 1]);
            rows.push(keyed(bidder, row!(bidder, session.len() as u64, first, last + 10_000)));
        }
    }
    Rows::of(rows.into_iter())
}

/// The day of a bid.
fn days(bid: &Bid<'_>) -> i64 {
    bid.date_time / 86_400_000
}

/// In all, and by the rank of the price.
fn ranks(price: u64) -> [bool; 4] {
    [true, price < 10_000, (10_000..1_000_000).contains(&price), price >= 1_000_000]
}

fn reports(events: &Recorded, key: impl Fn(&Bid<'_>) -> Vec<u8>) -> Expected {
    let mut by_key: HashMap<Vec<u8>, Vec<Bid<'_>>> = HashMap::new();
    events.bids().for_each(|bid| by_key.entry(key(&bid)).or_default().push(bid));
    let report = |bids: Vec<Bid<'_>>| {
        let minute = bids.iter().map(|bid| bid.date_time % 86_400_000 / 60_000).max().unwrap_or_default();
        let of_rank = |rank: usize| bids.iter().filter(move |bid| ranks(bid.price)[rank]);
        let numbers = |of: fn(&Bid<'_>) -> u64| {
            [0, 1, 2, 3].map(|rank| of_rank(rank).map(of).collect::<BTreeSet<_>>().len() as u64)
        };
        let all = [0, 1, 2, 3].map(|rank| of_rank(rank).count() as u64);
        row!(minute, all, numbers(|bid| bid.bidder), numbers(|bid| bid.auction))
    };
    Expected::Latest(by_key.into_iter().map(|(key, bids)| (key, report(bids))).collect())
}

fn auction_statistics(events: &Recorded) -> Expected {
    let mut prices: HashMap<(u64, i64), Vec<u64>> = HashMap::new();
    events.bids().for_each(|bid| prices.entry((bid.auction, days(&bid))).or_default().push(bid.price));
    let statistics = |((auction, day), mut prices): ((u64, i64), Vec<u64>)| {
        prices.sort_unstable();
        let bids = [0, 1, 2, 3].map(|rank| prices.iter().filter(|price| ranks(**price)[rank]).count() as u64);
        let sum: u64 = prices.iter().sum();
        let (least, greatest) = (prices[0], prices[prices.len() - 1]);
        (row!(auction, day), row!(auction, day, bids, least, greatest, sum / prices.len() as u64, sum))
    };
    Expected::Latest(prices.into_iter().map(statistics).collect())
}

fn last_bids(events: &Recorded) -> Expected {
    let mut last: HashMap<(u64, u64), Bid<'_>> = HashMap::new();
    for bid in events.bids() {
        let of_pair = last.entry((bid.bidder, bid.auction)).or_insert(bid);
        *of_pair = bid.max(*of_pair);
    }
    let row = |(key, bid): ((u64, u64), Bid<'_>)| (bytes_of(&key), row!(bytes_of(&bid).as_slice()));
    Expected::Latest(last.into_iter().map(row).collect())
}

fn expanded_bids(events: &Recorded) -> Expected {
    let auctions: HashMap<u64, Auction<'_>> = events.auctions().map(|auction| (auction.id, auction)).collect();
    Rows::of(events.bids().filter_map(|bid| {
        let auction = auctions.get(&bid.auction).filter(|auction| auction.category == 10)?;
        Some(keyed(auction.id, row!(bytes_of(&bid).as_slice(), bytes_of(auction).as_slice())))
    }))
}

fn channel_id<'b>(bid: &Bid<'b>) -> Option<&'b str> {
    match bid.channel.to_lowercase().as_str() {
        "apple" => Some("0"),
        "google" => Some("1"),
        "facebook" => Some("2"),
        "baidu" => Some("3"),
        _ => bid.url.split('&').find_map(|part| part.strip_prefix("channel_id=")),
    }
}
