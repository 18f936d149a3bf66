//! The queries that look at each bid alone.

use processor::Raw;

use super::Job;
use crate::nexmark::model::Bid;
use crate::rows::{Columns, rows};

rows! {
    /// A result of Q0, and of Q1: there, the price is in thousandths.
    Passed<'a> as Passes { auction: u64, bidder: u64, price: u64, date_time: i64, extra: &'a str }
    /// A result of Q13.
    Enriched<'a> as Enrichments { auction: u64, bidder: u64, price: u64, date_time: i64, value: &'a str }
    /// A result of Q21.
    Channel<'a> as Channels { auction: u64, bidder: u64, price: u64, channel: &'a str, channel_id: &'a str }
    /// A result of Q22.
    Directories<'a> as Directory {
        auction: u64,
        bidder: u64,
        price: u64,
        channel: &'a str,
        first: &'a str,
        second: &'a str,
        third: &'a str,
    }
}

/// Pass through.
pub(super) fn q0(job: &mut Job<'_>) {
    let bids = job.bids().flat_map(Passes, |bid, out| {
        let Bid { auction, bidder, price, date_time, extra, .. } = bid.value;
        out.push(Passed { auction, bidder, price, date_time, extra });
    });
    bids.to(job.output, Raw, Passes);
}

/// Currency conversion.
pub(super) fn q1(job: &mut Job<'_>) {
    let bids = job.bids().flat_map(Passes, |bid, out| {
        let Bid { auction, bidder, price, date_time, extra, .. } = bid.value;
        out.push(Passed { auction, bidder, price: price * 908, date_time, extra });
    });
    bids.to(job.output, Raw, Passes);
}

/// Selection.
pub(super) fn q2(job: &mut Job<'_>) {
    let bids = job.bids().filter(|bid| bid.value.auction.is_multiple_of(123));
    bids.map(|bid| (bid.value.auction, bid.value.price)).to(job.output, Raw, Columns::new());
}

/// Bounded side input join: the table is read before the job starts.
pub(super) fn q13(job: &mut Job<'_>) {
    let side_input: Vec<String> = (0..10_000).map(|key: u64| key.to_string()).collect();
    let bids = job.bids().flat_map(Enrichments, move |bid, out| {
        let Bid { auction, bidder, price, date_time, .. } = bid.value;
        let value = &side_input[(auction % 10_000) as usize];
        out.push(Enriched { auction, bidder, price, date_time, value });
    });
    bids.to(job.output, Raw, Enrichments);
}

/// Add channel id.
pub(super) fn q21(job: &mut Job<'_>) {
    let bids = job.bids().flat_map(Channels, |bid, out| {
        let Bid { auction, bidder, price, channel, url, .. } = bid.value;
        if let Some(channel_id) = channel_id(channel, url) {
            out.push(Channel { auction, bidder, price, channel, channel_id });
        }
    });
    bids.to(job.output, Raw, Channels);
}

fn channel_id<'u>(channel: &str, url: &'u str) -> Option<&'u str> {
    let known = ["apple", "google", "facebook", "baidu"].iter().position(|name| channel.eq_ignore_ascii_case(name));
    if let Some(index) = known {
        return Some(["0", "1", "2", "3"][index]);
    }
    let (_, id) = url.split_once("&channel_id=")?;
    id.split('&').next()
}

/// Get URL directories.
pub(super) fn q22(job: &mut Job<'_>) {
    let bids = job.bids().flat_map(Directory, |bid, out| {
        let Bid { auction, bidder, price, channel, url, .. } = bid.value;
        let mut parts = url.split('/').skip(3);
        let [first, second, third] = std::array::from_fn(|_| parts.next().unwrap_or_default());
        out.push(Directories { auction, bidder, price, channel, first, second, third });
    });
    bids.to(job.output, Raw, Directory);
}
