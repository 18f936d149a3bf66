//! The events of Nexmark: people register, offer things at auctions, and bid. The columns are those of Beam's and
//! Flink's generators.

use processor::SerdeError;

use crate::rows::{Column, rows, viewed};

rows! {
    /// A person who registers.
    Person<'a> as Persons {
        id: u64,
        name: &'a str,
        email: &'a str,
        credit_card: &'a str,
        city: &'a str,
        state: &'a str,
        date_time: i64,
        extra: &'a str,
    }
    /// An auction that opens.
    Auction<'a> as Auctions {
        id: u64,
        item_name: &'a str,
        description: &'a str,
        initial_bid: u64,
        reserve: u64,
        date_time: i64,
        expires: i64,
        seller: u64,
        category: u64,
        extra: &'a str,
    }
    /// A bid for an auction, by a person. The time comes first, so that the order of bids is that of their times.
    Bid<'a> as Bids {
        date_time: i64,
        price: u64,
        auction: u64,
        bidder: u64,
        channel: &'a str,
        url: &'a str,
        extra: &'a str,
    }
}

/// An event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    Person(Person<'a>),
    Auction(Auction<'a>),
    Bid(Bid<'a>),
}

impl Event<'_> {
    pub(crate) const fn date_time(&self) -> i64 {
        match self {
            Self::Person(person) => person.date_time,
            Self::Auction(auction) => auction.date_time,
            Self::Bid(bid) => bid.date_time,
        }
    }
}

impl<'a> Column<'a> for Event<'a> {
    #[inline]
    fn read(bytes: &mut &'a [u8]) -> Result<Self, SerdeError> {
        Ok(match u8::read(bytes)? {
            0 => Self::Person(Column::read(bytes)?),
            1 => Self::Auction(Column::read(bytes)?),
            2 => Self::Bid(Column::read(bytes)?),
            kind => return Err(SerdeError::Custom(format!("no event is of kind {kind}"))),
        })
    }

    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Person(person) => {
                out.push(0);
                person.write(out);
            }
            Self::Auction(auction) => {
                out.push(1);
                auction.write(out);
            }
            Self::Bid(bid) => {
                out.push(2);
                bid.write(out);
            }
        }
    }
}

viewed! { Event as Events }

#[cfg(test)]
mod tests {
    use processor::Serde;

    use super::*;
    use crate::nexmark::generator::Generator;

    #[test]
    fn events_are_read_as_they_were_written_and_no_beginning_of_them_is_one() {
        let mut generator = Generator::new(0);
        for _ in 0..60 {
            let (event, mut bytes) = (generator.next(), Vec::new());
            Events.encode(&event, &mut bytes).expect("every event can be written");
            assert_eq!(Events.decode(&bytes), Ok(event));
            assert!((0..bytes.len()).all(|end| Events.decode(&bytes[..end]).is_err()));
            bytes.push(0);
            assert!(Events.decode(&bytes).is_err());
        }
    }
}
