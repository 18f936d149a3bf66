//! The inputs of a feed.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;

use super::files::Files;
use super::item::{Item, trim_end};

/// An input: splits, each a sequence of records with positions.
pub(super) enum Input {
    Files(Files),
    Generator(Generator),
    Tcp(TcpLines),
}

impl Input {
    /// The names of the splits that are there, in the order in which they are read.
    pub(super) fn splits(&self) -> io::Result<Vec<String>> {
        match self {
            Self::Files(files) => files.list(),
            Self::Generator(_) => Ok(vec!["numbers".to_owned()]),
            Self::Tcp(lines) => Ok(vec![lines.address.clone()]),
        }
    }

    /// Opens a split at a position; the beginning is 0.
    pub(super) async fn open(&mut self, split: &str, position: u64) -> io::Result<()> {
        match self {
            Self::Files(files) => files.open(split, position),
            Self::Generator(generator) => {
                generator.next = position;
                Ok(())
            }
            Self::Tcp(lines) => lines.open(position).await,
        }
    }

    /// Reads the next record of the split that is open into `value`.
    pub(super) async fn next(&mut self, value: &mut Vec<u8>) -> io::Result<Item> {
        match self {
            Self::Files(files) => files.next(value),
            Self::Generator(generator) => Ok(generator.next(value)),
            Self::Tcp(lines) => lines.next(value).await,
        }
    }
}

/// Makes records of numbers.
pub(super) struct Generator {
    count: u64,
    next: u64,
    make: Box<dyn FnMut(u64) -> Vec<u8> + Send>,
}

impl Generator {
    pub(super) fn new(count: u64, make: Box<dyn FnMut(u64) -> Vec<u8> + Send>) -> Self {
        Self { count, next: 0, make }
    }

    fn next(&mut self, value: &mut Vec<u8>) -> Item {
        if self.next >= self.count {
            return Item::End;
        }
        *value = (self.make)(self.next);
        self.next += 1;
        Item::Record { behind: self.next }
    }
}

/// The lines of a TCP connection. The position counts the lines of all connections.
pub(super) struct TcpLines {
    address: String,
    connection: Option<BufReader<TcpStream>>,
    /// The beginning of a line whose end has not come.
    begun: Vec<u8>,
    position: u64,
}

impl TcpLines {
    pub(super) const fn new(address: String) -> Self {
        Self { address, connection: None, begun: Vec::new(), position: 0 }
    }

    async fn open(&mut self, position: u64) -> io::Result<()> {
        self.position = position;
        self.begun.clear();
        // A feed that starts over goes on with the connection that it has.
        if self.connection.is_none() {
            self.connection = Some(BufReader::new(TcpStream::connect(&self.address).await?));
        }
        Ok(())
    }

    async fn next(&mut self, value: &mut Vec<u8>) -> io::Result<Item> {
        let Some(connection) = &mut self.connection else { return Ok(Item::End) };
        // A line that was cut off by the timeout is in `begun`.
        let read = tokio::time::timeout(LINE_TIMEOUT, connection.read_until(b'\n', &mut self.begun)).await;
        match read {
            Err(_) => return Ok(Item::NoneYet),
            Ok(read) => drop(read?),
        }
        if self.begun.is_empty() {
            self.connection = None;
            return Ok(Item::End);
        }
        std::mem::swap(value, &mut self.begun);
        self.begun.clear();
        trim_end(value);
        self.position += 1;
        Ok(Item::Record { behind: self.position })
    }
}

/// Time after which lines that have come are fed although no further one comes.
const LINE_TIMEOUT: Duration = Duration::from_millis(50);
