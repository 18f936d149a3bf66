//! The stores alone: memory per entry, and CPU time of their operations.
//!
//! Each case runs several times, in a process of its own, because the next case could reuse memory that one has freed;
//! the least figures are shown. Time is CPU time of the thread. There are six stores, as in a worker with a job on six
//! partitions, and each gets its records in batches, as they are fetched.

use std::error::Error;
use std::fs;
use std::process::Command;

use kafka_wire::rng::Rng;
use kafka_wire::types::TimestampMs;
use processor::state::{AHEAD, Changelog, Store, WindowStore};
use processor::{U64, Window};

use crate::timers;

/// Runs every case in a process of its own, or in this process the one that is named.
pub(crate) fn run(case: Option<&str>) -> Result<(), Box<dyn Error>> {
    let Some(name) = case else { return run_all() };
    let (_, case) = CASES.iter().find(|(known, _)| *known == name).ok_or("no such case")?;
    for (what, figure) in case() {
        println!("{what}\t{figure:.1}");
    }
    Ok(())
}

fn run_all() -> Result<(), Box<dyn Error>> {
    for (name, _) in CASES {
        let mut least: Vec<(String, f64)> = Vec::new();
        for _ in 0..RUNS {
            let output = Command::new(std::env::current_exe()?).args(["state", name]).output()?;
            for line in String::from_utf8(output.stdout)?.lines() {
                let (what, figure) = line.split_once('\t').ok_or("a case prints what and how much")?;
                let figure: f64 = figure.parse()?;
                match least.iter_mut().find(|(known, _)| known == what) {
                    Some((_, known)) => *known = known.min(figure),
                    None => least.push((what.to_owned(), figure)),
                }
            }
        }
        least.iter().for_each(|(what, figure)| println!("{name:>14}  {figure:>8.1}  {what}"));
    }
    Ok(())
}

pub(crate) type Figures = Vec<(&'static str, f64)>;

/// Name and measurement of a case.
type Case = (&'static str, fn() -> Figures);

const CASES: &[Case] = &[
    ("count", count),
    ("10 s windows", sums),
    ("216 k windows", || open_windows(216_000)),
    ("2.16 M windows", || open_windows(2_160_000)),
    ("restore", restore),
    ("timers", timers::measure),
];

/// Job B1: a count of a million keys, and the commits that write each changed count.
fn count() -> Figures {
    let (mut stores, mut rng, before) = (stores(), Rng::from_seed(1), memory());
    let (mut updating, mut committing, mut dirty) = (0, 0, 0);
    for _ in 0..RECORDS / COMMIT {
        let keys: Vec<[u8; 8]> = (0..COMMIT).map(|_| rng.below(KEYS).to_be_bytes()).collect();
        updating += time(|| {
            for (index, batch) in keys.chunks(BATCH).enumerate() {
                update(&mut stores[index % STORES], batch.iter().map(|key| (ALL, key)));
            }
        });
        committing += time(|| dirty += commit(&mut stores));
    }
    let entries = entries(&stores);
    vec![
        ("ns a record", updating as f64 / RECORDS as f64),
        ("ns a changed entry in a commit", committing as f64 / dirty as f64),
        ("bytes an entry", (memory() - before) / entries as f64),
    ]
}

/// Job D: a sum for each of ten thousand keys in windows of 10 s that close one after another.
fn sums() -> Figures {
    let (mut stores, mut rng, before) = (stores(), Rng::from_seed(1), memory());
    let (mut updating, mut committing, mut dirty, mut closing, mut closed) = (0, 0, 0, 0, 0);
    for round in 0..RECORDS / COMMIT {
        let keys: Vec<[u8; 8]> = (0..COMMIT).map(|_| rng.below(10_000).to_be_bytes()).collect();
        let window = |index: usize| {
            let start = (round * COMMIT + index * BATCH) as i64 * 18 / 25 / 10_000 * 10_000;
            Window { start, end: start + 10_000 }
        };
        for (index, batch) in keys.chunks(BATCH).enumerate() {
            let store = &mut stores[index % STORES];
            updating += time(|| update(store, batch.iter().map(|key| (window(index), key))));
            closing += time(|| closed += close(store, window(index).start));
        }
        committing += time(|| dirty += commit(&mut stores));
    }
    drop(stores);
    let mut figures = vec![
        ("ns a record", updating as f64 / RECORDS as f64),
        ("ns a closed entry", closing as f64 / closed as f64),
        ("ns a changed entry in a commit", committing as f64 / dirty as f64),
    ];
    let mut stores = self::stores();
    for index in 0..1_200_000_u64 {
        let (store, key) = (index as usize % STORES, index / STORES as u64 % 10_000);
        let window = Window { start: (index / 60_000) as i64 * 10_000, end: (index / 60_000 + 1) as i64 * 10_000 };
        update(&mut stores[store], std::iter::once((window, &key.to_be_bytes())));
        if index % COMMIT as u64 == 0 {
            commit(&mut stores);
        }
    }
    figures.push(("bytes an entry", (memory() - before) / entries(&stores) as f64));
    figures
}

/// Windows with one entry each: opened in the order of time, changed in any order, closed.
fn open_windows(count: usize) -> Figures {
    let (mut stores, mut rng, before) = (stores(), Rng::from_seed(1), memory());
    let window = |number: usize| Window { start: number as i64 * 1_000, end: (number as i64 + 1) * 1_000 };
    let key = |number: usize| (number as u64 * 7).to_be_bytes();
    let per_store = count / STORES;
    let (mut opening, mut updating, mut closing, mut committing, mut dirty) = (0, 0, 0, 0, 0);
    for from in (0..per_store).step_by(COMMIT / STORES) {
        let numbers: Vec<_> =
            (from..(from + COMMIT / STORES).min(per_store)).map(|number| (window(number), key(number))).collect();
        opening += time(|| {
            stores.iter_mut().for_each(|store| update(store, numbers.iter().map(|(window, key)| (*window, key))))
        });
        commit(&mut stores);
    }
    let bytes = (memory() - before) / entries(&stores) as f64;
    for _ in 0..RECORDS / COMMIT {
        let numbers: Vec<_> = (0..COMMIT)
            .map(|_| rng.below(per_store as u64) as usize)
            .map(|number| (window(number), key(number)))
            .collect();
        updating += time(|| {
            for (index, batch) in numbers.chunks(BATCH).enumerate() {
                update(&mut stores[index % STORES], batch.iter().map(|(window, key)| (*window, key)));
            }
        });
        committing += time(|| dirty += commit(&mut stores));
    }
    for from in (0..per_store).step_by(COMMIT / STORES) {
        let watermark = window((from + COMMIT / STORES).min(per_store)).start;
        closing += time(|| {
            stores.iter_mut().for_each(|store| _ = close(store, watermark));
            commit(&mut stores);
        });
    }
    vec![
        ("ns a window to open", opening as f64 / count as f64),
        ("ns a record", updating as f64 / RECORDS as f64),
        ("ns a changed entry in a commit", committing as f64 / dirty as f64),
        ("ns a window to close, its commit included", closing as f64 / count as f64),
        ("bytes a window of one entry", bytes),
    ]
}

/// The changelog of job B1, restored by the next owner.
fn restore() -> Figures {
    let (mut stores, mut rng, mut restoring) = (stores(), Rng::from_seed(1), 0);
    let records = 8_700_000;
    for _ in 0..records / COMMIT {
        let keys: Vec<[u8; 24]> = (0..COMMIT).map(|_| in_changelog(ALL, &rng.below(KEYS).to_be_bytes())).collect();
        restoring += time(|| {
            for (index, batch) in keys.chunks(BATCH).enumerate() {
                take_back(&mut stores[index % STORES], batch);
            }
        });
    }
    vec![("ns a record", restoring as f64 / (records / COMMIT * COMMIT) as f64)]
}

fn take_back(store: &mut WindowStore<u64>, batch: &[[u8; 24]]) {
    for keys in batch.chunks(AHEAD) {
        store.expect_restored(&keys.iter().map(|key| &key[..]).collect::<Vec<_>>());
        for key in keys {
            store.restore(key, Some(&1_u64.to_be_bytes())).expect("the store's own format");
        }
    }
}

fn stores() -> [WindowStore<u64>; STORES] {
    std::array::from_fn(|_| WindowStore::new(U64))
}

fn entries(stores: &[WindowStore<u64>]) -> usize {
    stores.iter().map(|store| store.sizes().entries).sum()
}

fn update<'k>(store: &mut WindowStore<u64>, records: impl Iterator<Item = (Window, &'k [u8; 8])> + Clone) {
    let mut records = records.peekable();
    while records.peek().is_some() {
        store.expect(records.clone().take(AHEAD).map(|(window, key)| (window, &key[..])));
        for (window, key) in records.by_ref().take(AHEAD) {
            store.update(window, key, || 0, |count| *count += 1);
        }
    }
}

fn close(store: &mut WindowStore<u64>, watermark: i64) -> usize {
    let (mut sum, mut closed) = (0, 0);
    let mut close_next = || {
        store.close_next(TimestampMs(watermark), |_, _, value, _| {
            (sum, closed) = (sum + value, closed + 1);
            Ok::<(), ()>(())
        })
    };
    while close_next() == Ok(true) {}
    std::hint::black_box(sum);
    closed
}

/// Does the work of a commit with stores: results of the changes, the changelog, the end.
/// Returns the number of changes.
fn commit(stores: &mut [WindowStore<u64>]) -> usize {
    let (mut sum, mut changed, mut key, mut value) = (0, 0, Vec::new(), Vec::new());
    for store in stores {
        for (_, key, count) in store.changed() {
            (sum, changed) = (sum + count + u64::from(key[7]), changed + 1);
        }
        let mut write = |key: &[u8], value: Option<&[u8]>| sum += (key.len() + value.map_or(0, <[u8]>::len)) as u64;
        let mut changelog = Changelog::new(2, (&mut key, &mut value), &mut write);
        store.write_changes(&mut changelog).expect("numbers are encoded");
        store.commit();
    }
    std::hint::black_box(sum);
    changed
}

/// The key in the changelog, as the documentation of the store describes it.
fn in_changelog(window: Window, key: &[u8; 8]) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&(window.start ^ i64::MIN).to_be_bytes());
    bytes[8..16].copy_from_slice(&(window.end ^ i64::MIN).to_be_bytes());
    bytes[16..].copy_from_slice(key);
    bytes
}

/// The thread's CPU time for some work, in nanoseconds.
pub(crate) fn time(work: impl FnOnce()) -> u64 {
    let before = cpu_nanos();
    work();
    cpu_nanos() - before
}

/// The thread's CPU time in nanoseconds: the first number of the file, see the kernel's sched-stats. The kernel counts
/// at ticks, which are milliseconds apart, and whenever a thread yields.
pub(crate) fn cpu_nanos() -> u64 {
    std::thread::yield_now();
    let text = fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0)
}

/// Resident memory of the process, in bytes.
pub(crate) fn memory() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) * 1024.0
}

const ALL: Window = Window { start: 0, end: 100 * 365 * 24 * 3_600_000 };
const STORES: usize = 6;
const KEYS: u64 = 1_000_000;
const RECORDS: usize = 10_000_000;
/// Number of records of a transaction, and of a batch.
const COMMIT: usize = 200_000;
const BATCH: usize = 2_000;
const RUNS: usize = 5;
