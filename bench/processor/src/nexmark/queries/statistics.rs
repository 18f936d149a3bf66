//! The queries with figures that grow for ever.

use processor::operator::{MapState, Process, Scope, ValueState};
use processor::types::View;
use processor::{Emit, I64, Owned, Rec, U64};

use super::{DAY_MS, Job};
use crate::nexmark::model::{Bid, Bids};
use crate::rows::{Columns, Packed, columns, rows};

columns! {
    /// The columns of a bid that the reports look at.
    Offer { auction: u64, bidder: u64, price: u64, date_time: i64 }
    /// Counts of something: in all, and of each rank of prices.
    Ranked { of_rank: [u64; 4] }
    /// A result of Q15, and of Q16 with the greatest minute of the day that had a bid.
    Report { minute: i64, bids: Ranked, bidders: Ranked, auctions: Ranked }
}

impl Offer {
    fn of(bid: &Bid<'_>) -> Self {
        Self { auction: bid.auction, bidder: bid.bidder, price: bid.price, date_time: bid.date_time }
    }

    /// The counts that a bid is part of, as bits: the whole, and the rank of its price.
    const fn ranks(&self) -> u8 {
        1 | 1 << rank(self.price)
    }
}

impl Ranked {
    fn count(&mut self, ranks: u8) {
        self.of_rank.iter_mut().enumerate().for_each(|(rank, count)| *count += u64::from(ranks >> rank & 1));
    }
}

/// The rank of a price, from 1.
const fn rank(price: u64) -> usize {
    match price {
        0..10_000 => 1,
        10_000..1_000_000 => 2,
        1_000_000.. => 3,
    }
}

/// Bidding statistics report, of each day.
pub(super) fn q15(job: &mut Job<'_>) {
    job.bids()
        .key_by("by-day", job.tasks, (I64, Columns::new()), |bid| (day(&bid.value), Offer::of(&bid.value)))
        .process("report", |uses| Reports {
            bidders: uses.map("bidders", U64, Columns::new()),
            auctions: uses.map("auctions", U64, Columns::new()),
            reports: uses.value("reports", Columns::new()),
        })
        .reduce("latest", Columns::new(), Emit::OnUpdate, Report::clone_from)
        .to(job.output, I64, Columns::new());
}

rows! {
    /// The key of a channel and day.
    ChannelDay<'a> as ChannelDays { channel: &'a str, day: i64 }
}

/// Channel statistics report, of each day.
pub(super) fn q16(job: &mut Job<'_>) {
    job.bids()
        .key_by("by-channel", job.tasks, (ChannelDays, Columns::new()), |bid| {
            (ChannelDay { channel: bid.value.channel, day: day(&bid.value) }, Offer::of(&bid.value))
        })
        .process("report", |uses| Reports {
            bidders: uses.map("bidders", U64, Columns::new()),
            auctions: uses.map("auctions", U64, Columns::new()),
            reports: uses.value("reports", Columns::new()),
        })
        .reduce("latest", Columns::new(), Emit::OnUpdate, Report::clone_from)
        .to(job.output, ChannelDays, Columns::new());
}

const fn day(bid: &Bid<'_>) -> i64 {
    bid.date_time.div_euclid(DAY_MS)
}

/// Counts bids, different bidders and different auctions.
#[derive(Clone)]
struct Reports {
    /// The ranks of the bids by each bidder so far, and of those for each auction.
    bidders: MapState<U64, u8>,
    auctions: MapState<U64, u8>,
    reports: ValueState<Report>,
}

impl Reports {
    /// Notes the ranks of a bid under an id. Returns those that are new there.
    fn news<K: View>(seen: &MapState<U64, u8>, id: u64, ranks: u8, scope: &mut Scope<'_, K, Report>) -> u8 {
        let before = seen.get(scope, &id).copied().unwrap_or(0);
        if before | ranks != before {
            seen.put(scope, &id, before | ranks);
        }
        ranks & !before
    }
}

impl<K: View> Process<K, Owned<Offer>> for Reports {
    type Out = Report;

    fn record(&mut self, record: &Rec<'_, K, Owned<Offer>>, scope: &mut Scope<'_, K, Report>) {
        let offer = &record.value;
        let ranks = offer.ranks();
        let bidder = Self::news(&self.bidders, offer.bidder, ranks, scope);
        let auction = Self::news(&self.auctions, offer.auction, ranks, scope);
        let report = self.reports.update(scope, Report::default, |report| {
            report.minute = report.minute.max(offer.date_time.rem_euclid(DAY_MS) / 60_000);
            report.bids.count(ranks);
            report.bidders.count(bidder);
            report.auctions.count(auction);
            report.clone()
        });
        scope.emit(report);
    }
}

columns! {
    /// The prices of an auction on a day.
    Prices { bids: Ranked, least: u64, greatest: u64, sum: u64 }
    /// A result of Q17.
    Statistics { auction: u64, day: i64, bids: Ranked, least: u64, greatest: u64, average: u64, sum: u64 }
}

/// Auction statistics report, of each day.
pub(super) fn q17(job: &mut Job<'_>) {
    job.bids()
        .key_by("by-auction", job.tasks, (Columns::<(u64, i64)>::new(), U64), |bid| {
            ((bid.value.auction, day(&bid.value)), bid.value.price)
        })
        .aggregate("prices", Columns::new(), Emit::OnUpdate, Prices::default, |prices, price| {
            let price = price.value;
            prices.least = if prices.bids.of_rank[0] == 0 { price } else { prices.least.min(price) };
            prices.greatest = prices.greatest.max(price);
            prices.sum += price;
            prices.bids.count(1 | 1 << rank(price));
        })
        .map(|prices| {
            let (auction, day) = prices.key;
            let Prices { bids, least, greatest, sum } = prices.value.clone();
            Statistics { auction, day, least, greatest, average: sum / bids.of_rank[0], sum, bids }
        })
        .to(job.output, Columns::new(), Columns::new());
}

/// Find last bid, of each person for each auction.
pub(super) fn q18(job: &mut Job<'_>) {
    job.bids()
        .key_by("by-bidder", job.tasks, (Columns::<(u64, u64)>::new(), Bids), |bid| {
            ((bid.value.bidder, bid.value.auction), bid.value)
        })
        .aggregate("last", Columns::new(), Emit::OnUpdate, Packed::<Bids>::default, |last, bid| {
            // Of bids at the same time, any one is the last, but always the same.
            if last.is_empty() || last.row() < bid.value {
                last.set(&bid.value);
            }
        })
        .to(job.output, Columns::new(), Columns::new());
}
