//! The generator of events, by the rules of Beam's and Flink's: of 50 events, 1 is a person, 3 are auctions and 46 are
//! bids. Half of the bids are for the auction that is hot at the time, three quarters of them are by a person that is
//! hot, and three quarters of the auctions are by a seller that is hot; the other ids are drawn from the last thousand
//! people and the last hundred auctions, and from a few that come only later. Prices are spread evenly by their
//! logarithms. Event time has no disorder. The names of people and the random letters are our own.

use kafka_wire::rng::Rng;

use super::model::{Auction, Bid, Event, Person};

/// Makes events in the order of their times; the same ones each time, but for the time of the first.
pub(crate) struct Generator {
    /// The time of the first event.
    base_ms: i64,
    events_per_second: i64,
    /// Number of events so far.
    number: i64,
    rng: Rng,
    /// The letters that `extra` is cut from.
    letters: String,
    channels: Vec<Channel>,
    hot_urls: Vec<String>,
    /// Buffers for the texts of the event at hand.
    texts: [String; 3],
}

/// A channel, in one text because channels are picked at random and no cache has them all.
struct Channel {
    name_and_url: String,
    name_length: usize,
}

impl Channel {
    fn new(name: &str, url: &str) -> Self {
        Self { name_and_url: [name, url].concat(), name_length: name.len() }
    }

    fn name_and_url(&self) -> (&str, &str) {
        self.name_and_url.split_at(self.name_length)
    }
}

impl Generator {
    /// The rate of events is that of Flink's benchmark.
    pub(crate) fn new(base_ms: i64) -> Self {
        Self::with_rate(base_ms, 100_000)
    }

    pub(crate) fn with_rate(base_ms: i64, events_per_second: i64) -> Self {
        let mut rng = Rng::from_seed(1);
        let letters = (0..LETTERS).map(|_| letter(&mut rng)).collect();
        let hot_urls = HOT_CHANNELS.iter().map(|_| url(&mut rng)).collect();
        let channels = (0..CHANNELS).map(|index: u32| {
            let mut url = url(&mut rng);
            if rng.below(10) > 0 {
                url.push_str(&format!("&channel_id={}", index.reverse_bits().cast_signed().unsigned_abs()));
            }
            Channel::new(&format!("channel-{index}"), &url)
        });
        let channels = channels.collect();
        let texts = <_>::default();
        Self { base_ms, events_per_second, number: 0, rng, letters, channels, hot_urls, texts }
    }

    /// Makes the next event.
    pub(crate) fn next(&mut self) -> Event<'_> {
        let number = self.number;
        self.number += 1;
        match number % EVENTS {
            0 => Event::Person(self.person(number)),
            1..=AUCTIONS => Event::Auction(self.auction(number)),
            _ => Event::Bid(self.bid(number)),
        }
    }

    /// The event time of an event.
    const fn time(&self, number: i64) -> i64 {
        self.base_ms + number * 1_000 / self.events_per_second
    }

    fn person(&mut self, number: i64) -> Person<'_> {
        let date_time = self.time(number);
        let Self { rng, texts: [name, email, credit_card], letters, .. } = self;
        *name = format!("{} {}", pick(rng, &FIRST_NAMES), pick(rng, &LAST_NAMES));
        email.clear();
        push_text(rng, 7, ' ', email);
        email.push('@');
        push_text(rng, 5, ' ', email);
        email.push_str(".com");
        let [one, two, three, four] = std::array::from_fn(|_| rng.below(10_000));
        *credit_card = format!("{one:04} {two:04} {three:04} {four:04}");
        let (city, state) = (pick(rng, &CITIES), pick(rng, &STATES));
        let size = 8 + name.len() + email.len() + credit_card.len() + city.len() + state.len();
        let extra = extra(rng, letters, size, 200);
        Person { id: id(last_person(number)), name, email, credit_card, city, state, date_time, extra }
    }

    fn auction(&mut self, number: i64) -> Auction<'_> {
        let date_time = self.time(number);
        let until = self.time(number + IN_FLIGHT * EVENTS / AUCTIONS) - date_time;
        let Self { rng, texts: [item_name, description, _], letters, .. } = self;
        let seller = match rng.below(4) {
            0 => any_person(rng, number),
            _ => last_person(number) / HOT * HOT,
        };
        let category = FIRST_CATEGORY + rng.below(5);
        let initial_bid = price(rng);
        let expires = date_time + 1 + rng.below((until * 2).max(1).unsigned_abs()).cast_signed();
        item_name.clear();
        push_text(rng, 20, ' ', item_name);
        description.clear();
        push_text(rng, 100, ' ', description);
        let reserve = initial_bid + price(rng);
        let extra = extra(rng, letters, 48 + item_name.len() + description.len(), 500);
        Auction {
            id: id(last_auction(number)),
            item_name,
            description,
            initial_bid,
            reserve,
            date_time,
            expires,
            seller: id(seller),
            category,
            extra,
        }
    }

    fn bid(&mut self, number: i64) -> Bid<'_> {
        let date_time = self.time(number);
        let Self { rng, letters, channels, hot_urls, .. } = self;
        let auction = match rng.below(2) {
            0 => any_auction(rng, number),
            _ => last_auction(number) / HOT * HOT,
        };
        let bidder = match rng.below(4) {
            0 => any_person(rng, number),
            // The second of a hundred, so that the hot bidder is not the hot seller.
            _ => last_person(number) / HOT * HOT + 1,
        };
        let price = price(rng);
        let (channel, url) = match rng.below(2) {
            0 => channels[rng.below(CHANNELS.into()) as usize].name_and_url(),
            _ => {
                let hot = rng.below(HOT_CHANNELS.len() as u64) as usize;
                (HOT_CHANNELS[hot], hot_urls[hot].as_str())
            }
        };
        let extra = extra(rng, letters, 32, 100);
        Bid { date_time, price, auction: id(auction), bidder: id(bidder), channel, url, extra }
    }
}

/// The number of the last auction before an event, or of the event itself if it is one.
const fn last_auction(number: i64) -> i64 {
    let (round, place) = (number / EVENTS, number % EVENTS);
    let begun = if place < AUCTIONS { place } else { AUCTIONS };
    round * AUCTIONS + begun - 1
}

/// The number of the last person before an event, or of the event itself if it is one.
const fn last_person(number: i64) -> i64 {
    number / EVENTS
}

/// One of the auctions that are probably open, or of the next few.
fn any_auction(rng: &mut Rng, number: i64) -> i64 {
    let last = last_auction(number);
    let first = (last - IN_FLIGHT).max(0);
    first + rng.below((last - first + 1 + AHEAD).unsigned_abs()).cast_signed()
}

/// One of the people who are active, or of the next few.
fn any_person(rng: &mut Rng, number: i64) -> i64 {
    let people = last_person(number) + 1;
    let active = people.min(ACTIVE);
    people - active + rng.below((active + AHEAD).unsigned_abs()).cast_signed()
}

/// The id of a person or auction. Ids do not begin at zero, so that conditions on ids find something in short runs.
const fn id(number: i64) -> u64 {
    number.cast_unsigned() + FIRST_ID
}

/// A price in cents, from 100 to 100,000,000.
fn price(rng: &mut Rng) -> u64 {
    let share = (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    ((share * 6.0 * std::f64::consts::LN_10).exp() * 100.0 + 0.5) as u64
}

fn pick(rng: &mut Rng, of: &[&'static str]) -> &'static str {
    of[rng.below(of.len() as u64) as usize]
}

fn letter(rng: &mut Rng) -> char {
    char::from(b'a' + rng.below(26) as u8)
}

/// Adds a text of at least 3 characters and less than `length_max`, one in 13 of which is `special`. It may be shorter,
/// because spaces at its ends are cut off.
fn push_text(rng: &mut Rng, length_max: u64, special: char, out: &mut String) {
    let (begin, mut bits) = (out.len(), 0);
    for place in 0..3 + rng.below(length_max - 3) {
        // A letter takes 16 bits.
        bits = if place % 4 == 0 { rng.next_u64() } else { bits >> 16 };
        let drawn = bits as u16;
        let (is_special, number) = (drawn.is_multiple_of(13), drawn / 13 % 26);
        if !is_special {
            out.push(char::from(b'a' + number as u8));
        } else if special != ' ' || out.len() > begin {
            out.push(special);
        }
    }
    out.truncate(begin + out[begin..].trim_end().len());
}

fn url(rng: &mut Rng) -> String {
    let mut url = "https://www.nexmark.com/".to_owned();
    for _ in 0..3 {
        push_text(rng, 5, '_', &mut url);
        url.push('/');
    }
    url + "item.htm?query=1"
}

/// Letters that fill an event up to its desired size, plus or minus a fifth of what is missing.
fn extra<'l>(rng: &mut Rng, letters: &'l str, size: usize, desired: usize) -> &'l str {
    let missing = desired.saturating_sub(size);
    let most = (missing + 2) / 5;
    let length = missing - most + rng.below(2 * most as u64) as usize;
    let start = rng.below((letters.len() - length) as u64) as usize;
    &letters[start..start + length]
}

/// Events of a round.
const EVENTS: i64 = 50;
/// Auctions of a round, which follow its person.
const AUCTIONS: i64 = 3;
/// Number of auctions, and of people, among which one is hot.
const HOT: i64 = 100;
/// Number of auctions that are open at a time.
const IN_FLIGHT: i64 = 100;
/// Number of people who are active at a time.
const ACTIVE: i64 = 1_000;
/// How far ids may be ahead.
const AHEAD: i64 = 10;
const FIRST_ID: u64 = 1_000;
const FIRST_CATEGORY: u64 = 10;
const CHANNELS: u32 = 10_000;
const LETTERS: usize = 1 << 16;
const HOT_CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];
const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];
const CITIES: [&str; 10] =
    ["Tucson", "Oakland", "Fresno", "Nampa", "Salem", "Eugene", "Tacoma", "Spokane", "Renton", "Casper"];
const FIRST_NAMES: [&str; 11] =
    ["Ada", "Alan", "Barbara", "Claude", "Donald", "Edsger", "Frances", "Grace", "John", "Ken", "Tony"];
const LAST_NAMES: [&str; 9] =
    ["Allen", "Dijkstra", "Hoare", "Hopper", "Knuth", "Liskov", "Lovelace", "Shannon", "Thompson"];

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn kinds_hot_ids_and_sizes_are_as_the_rules_say() {
        let mut generator = Generator::new(5_000);
        let (mut persons, mut auctions, mut bids, mut hot, mut cheap, mut bytes) = (0, 0, 0, 0, 0, 0);
        let mut bidders = HashMap::<u64, u64>::new();
        for number in 0..500_000_i64 {
            let event = generator.next();
            assert_eq!(event.date_time(), 5_000 + number / 100);
            match event {
                Event::Person(person) => {
                    assert_eq!(person.id, 1_000 + persons);
                    persons += 1;
                }
                Event::Auction(auction) => {
                    assert_eq!(auction.id, 1_000 + auctions);
                    assert!((10..15).contains(&auction.category) && auction.reserve > auction.initial_bid);
                    assert!((1..=34).contains(&(auction.expires - auction.date_time)));
                    auctions += 1;
                }
                Event::Bid(bid) => {
                    assert!(bid.auction < 1_000 + auctions + 10 && bid.bidder < 1_000 + persons + 10);
                    assert!((100..=100_000_000).contains(&bid.price));
                    bids += 1;
                    hot += u64::from(bid.auction == 1_000 + (auctions - 1) / 100 * 100);
                    cheap += u64::from(bid.price < 10_000);
                    bytes += 32 + bid.extra.len();
                    *bidders.entry(bid.bidder).or_default() += 1;
                }
            }
        }
        assert_eq!((persons, auctions, bids), (10_000, 30_000, 460_000));
        let share = |count: u64| count as f64 / bids as f64;
        assert!((share(hot) - 0.5).abs() < 0.01, "{hot} bids for hot auctions");
        assert!((share(cheap) - 1.0 / 3.0).abs() < 0.01, "a third of the prices has three digits or four");
        assert!((bytes as f64 / bids as f64 - 100.0).abs() < 2.0, "a bid is idealized to 100 bytes");
        let by_hot = bidders.iter().filter(|(id, _)| **id % 100 == 1).map(|(_, count)| count).sum();
        assert!((share(by_hot) - 0.75).abs() < 0.02, "{by_hot} bids by hot bidders");
    }
}
