//! From a topic into a table of PostgreSQL, each record once.
//!
//! ```text
//! cargo run --release -p examples --bin to-postgres -- \
//!     127.0.0.1:9092 archive lines postgresql://me@127.0.0.1/shop archived_lines
//! ```
//! The arguments are the brokers, the application id, the topic, the database, and the table, which is created if it is
//! not there. A row has the place of its record, which is its primary key, the timestamp, and the value as text.
//! SIGTERM or Ctrl-C commits and leaves the group.

use std::process::ExitCode;
use std::sync::Arc;

use processor::{App, BatchOptions, Config, Outgoing, SinkError, Topology, Utf8, terminated};
use tokio::sync::Mutex;
use tokio_postgres::{Client, NoTls};

/// Rows of a batch. One statement inserts them all.
const ROWS_MAX: usize = 1_000;

/// A table, and a connection to it.
struct Table {
    database: String,
    /// A name in double quotes.
    name: String,
    connection: Arc<Mutex<Option<Client>>>,
}

/// Each task has a clone of the table, with a connection of its own.
impl Clone for Table {
    fn clone(&self) -> Self {
        Self::new(&self.database, self.name.clone())
    }
}

impl Table {
    fn new(database: &str, name: String) -> Self {
        Self { database: database.to_owned(), name, connection: Arc::default() }
    }

    /// Inserts the rows that are not there yet.
    fn insert(&self, batch: Arc<[Outgoing<String>]>) -> impl Future<Output = Result<(), SinkError>> + Send + use<> {
        let (database, name, connection) = (self.database.clone(), self.name.clone(), Arc::clone(&self.connection));
        async move {
            let mut connection = connection.lock().await;
            // If it fails, or takes too long, the next attempt has a new connection.
            let client = match connection.take().filter(|client| !client.is_closed()) {
                Some(client) => client,
                // Another task may create the table at the same moment, which is an error of one of them.
                None => connect(&database, &name).await?,
            };
            insert(&client, &name, &batch).await.map_err(sink_error)?;
            *connection = Some(client);
            Ok(())
        }
    }
}

async fn connect(database: &str, table: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(database, NoTls).await?;
    // It ends with the client, and with the connection.
    tokio::spawn(connection);
    // Even `IF NOT EXISTS` asks for the right to create tables, and who inserts need not have it.
    if client.query_one("SELECT to_regclass($1) IS NULL", &[&table]).await?.get(0) {
        let create = format!(
            "CREATE TABLE IF NOT EXISTS {table} (topic text, \"partition\" int, \"offset\" bigint, number bigint, \
             timestamp_ms bigint, line text, PRIMARY KEY (topic, \"partition\", \"offset\", number))"
        );
        client.batch_execute(&create).await?;
    }
    Ok(client)
}

/// Inserts a batch with one statement, which is a transaction by itself: a list of values for each column.
async fn insert(client: &Client, table: &str, batch: &[Outgoing<String>]) -> Result<(), tokio_postgres::Error> {
    let named: Vec<_> = batch.iter().filter_map(|row| Some((row.id.as_ref()?, row))).collect();
    let topics: Vec<&str> = named.iter().map(|(id, _)| &*id.topic).collect();
    let partitions: Vec<i32> = named.iter().map(|(id, _)| id.partition.0).collect();
    let offsets: Vec<i64> = named.iter().map(|(id, _)| id.offset.0).collect();
    let numbers: Vec<i64> = named.iter().map(|(id, _)| i64::from(id.number)).collect();
    let timestamps: Vec<i64> = named.iter().map(|(_, row)| row.timestamp.0).collect();
    let lines: Vec<&str> = named.iter().map(|(_, row)| row.value.as_str()).collect();
    let insert = format!(
        "INSERT INTO {table} SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[], $5::bigint[], \
         $6::text[]) ON CONFLICT DO NOTHING"
    );
    client.execute(&insert, &[&topics, &partitions, &offsets, &numbers, &timestamps, &lines]).await?;
    Ok(())
}

/// Errors of the classes 22 (data) and 23 (constraints) are about the rows themselves: no attempt mends them.
fn sink_error(error: tokio_postgres::Error) -> SinkError {
    let class = error.code().map(|code| code.code().get(..2).unwrap_or_default().to_owned());
    match class.as_deref() {
        Some("22" | "23") => SinkError::refused(&error),
        Some(_) | None => SinkError::from(error),
    }
}

fn job(application_id: &str, topic: &str, table: Table) -> Topology {
    let mut job = Topology::builder(application_id);
    job.stream(topic, Utf8).map(|line| line.value.to_owned()).to_outside(
        "rows",
        BatchOptions::of(ROWS_MAX),
        move |batch| table.insert(batch),
    );
    job.build().expect("a sound job")
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let [brokers, application_id, topic, database, table] =
        <[String; 5]>::try_from(std::env::args().skip(1).collect::<Vec<_>>())
            .map_err(|_| "usage: to-postgres BROKERS APPLICATION_ID TOPIC DATABASE TABLE")?;
    let table = Table::new(&database, format!("\"{}\"", table.replace('"', "\"\"")));
    App::new(job(&application_id, &topic, table), Config::new(&brokers)).run_until(terminated()).await?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
