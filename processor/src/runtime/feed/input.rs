//! The inputs of a feed.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpStream;

use super::files::Files;
use super::item::{Item, RECORD_BYTES_MAX, too_long, trim_end};

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
        // A feed that starts over goes on with the connection that it has, and with the line that has begun there.
        if self.connection.is_none() {
            self.begun.clear();
            self.connection = Some(BufReader::new(TcpStream::connect(&self.address).await?));
        }
        Ok(())
    }

    async fn next(&mut self, value: &mut Vec<u8>) -> io::Result<Item> {
        let Some(connection) = &mut self.connection else { return Ok(Item::End) };
        // A line that was cut off by the timeout is in `begun`.
        let mut left = connection.take(RECORD_BYTES_MAX.saturating_sub(self.begun.len() as u64) + 1);
        let read = tokio::time::timeout(LINE_TIMEOUT, left.read_until(b'\n', &mut self.begun)).await;
        match read {
            Err(_) => return Ok(Item::NoneYet),
            Ok(read) => drop(read?),
        }
        if self.begun.len() as u64 > RECORD_BYTES_MAX {
            return Err(too_long());
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

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    fn run(test: impl Future<Output = io::Result<()>>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(test).expect("the machine has a network of its own");
    }

    async fn connected() -> io::Result<(TcpLines, TcpStream)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut lines = TcpLines::new(listener.local_addr()?.to_string());
        lines.open(0).await?;
        Ok((lines, listener.accept().await?.0))
    }

    /// The next record, or the end, as text.
    async fn next(lines: &mut TcpLines) -> io::Result<Option<String>> {
        let mut value = Vec::new();
        loop {
            match lines.next(&mut value).await? {
                Item::Record { .. } => return Ok(Some(String::from_utf8_lossy(&value).into_owned())),
                Item::NoneYet => {}
                Item::End => return Ok(None),
            }
        }
    }

    #[test]
    fn a_feed_that_starts_over_goes_on_with_the_line_that_has_begun() {
        run(async {
            let (mut lines, mut server) = connected().await?;
            server.write_all(b"ab").await?;
            while lines.begun.is_empty() {
                assert_eq!(lines.next(&mut Vec::new()).await?, Item::NoneYet);
            }
            lines.open(0).await?;
            server.write_all(b"c\nd\r\ne").await?;
            drop(server);
            for line in [Some("abc"), Some("d"), Some("e"), None] {
                assert_eq!(next(&mut lines).await?.as_deref(), line);
            }
            Ok(())
        });
    }

    #[test]
    fn a_line_without_an_end_is_refused() {
        run(async {
            let (mut lines, mut server) = connected().await?;
            let longest = "x".repeat(RECORD_BYTES_MAX as usize - 1);
            let sent = format!("{longest}\n{longest}xx");
            let send = async { server.write_all(sent.as_bytes()).await };
            let read = async {
                let first = next(&mut lines).await?;
                Ok::<_, io::Error>((first, next(&mut lines).await))
            };
            let (sent, read) = tokio::join!(send, read);
            let (first, second) = read?;
            sent?;
            assert_eq!(first, Some(longest));
            let error = second.expect_err("it has no end").to_string();
            assert_eq!(error, "a record of more than 1 MiB");
            Ok(())
        });
    }
}
