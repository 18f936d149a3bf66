//! Our messages against Kafka's own classes, with random messages from a new seed in every run.
//!
//! `kafka-wire/tests/java/Oracle.java` makes messages and judges ours; [`messages`] makes ours from the schemas,
//! and [`damage`] damages Java's. Where we read bytes differently from Java on purpose, [`differences`] has the rule
//! and `kafka-wire/tests/DIFFERENCES.md` the reason.
//!
//! A run prints its seed. `WATERWHEEL_ORACLE_SEED` repeats it, `WATERWHEEL_ORACLE_COUNT` sets the number of
//! messages of each test.

#[path = "oracle/damage.rs"]
mod damage;
#[path = "oracle/differences.rs"]
mod differences;
#[path = "oracle/java.rs"]
mod java;
#[path = "oracle/messages.rs"]
mod messages;
#[path = "oracle/ours.rs"]
mod ours;
#[path = "oracle/report.rs"]
mod report;
#[path = "oracle/schemas.rs"]
mod schemas;
#[path = "oracle/views.rs"]
mod views;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use conformance::skip;
use kafka_wire::protocol::{ApiKey, ErrorCode};
use kafka_wire::rng::Rng;
use proptest::collection::vec;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use differences::{Case, RULES};
use java::{Java, Judgement};
use messages::Frame;
use ours::{Message, Reading};
use report::{Report, count, seed};

/// Messages that are written to a pipe before the answers are read.
const BATCH: usize = 64;

/// Starts Java in a mode; reports why if that is impossible.
fn start(mode: &[&str]) -> Option<Java> {
    Java::start(mode).map_err(|why| skip("the oracle", &why)).ok()
}

#[test]
fn what_java_writes_comes_out_of_our_codec_unchanged() {
    let (seed, count) = (seed(), count());
    let Some(java) = start(&["gen", &seed.to_string(), &count.to_string()]) else { return };
    let mut report = Report::new("Java's messages through our codec", seed);
    let mut met = BTreeSet::new();
    for line in java.lines() {
        let (message, rest) = Message::parse(&line);
        let (hex, json) = rest.split_once(' ').expect("bytes and JSON");
        let frame = ours::unhex(hex);
        let ours = message.read(&frame);
        let java = Judgement::Read { hex: hex.to_owned(), json: json.to_owned() };
        let case = Case { ours: &ours, java: &java };
        let is_fine = case.agrees() || case.differs_in_json_alone();
        report.check(is_fine, || format!("{message} {hex}\n  Java: {json}\n  ours: {}", ours.line()));
        met.insert(message.to_string());
    }
    report.end(count);
    let all = Message::all().iter().map(Message::to_string).collect::<BTreeSet<_>>();
    assert!(count < all.len() as u64 || met == all, "messages differ: {:?}", met.symmetric_difference(&all));
}

#[test]
fn java_reads_what_we_write() {
    let (seed, count) = (seed(), count());
    let Some(java) = start(&["judge"]).map(RefCell::new) else { return };
    let mut report = Report::new("our messages through Java", seed);
    let all = Message::all();
    let each = usize::try_from(count).expect("fits in memory").div_ceil(all.len());
    let batch = each.min(BATCH);
    for (index, message) in all.iter().enumerate() {
        let cases = u32::try_from(each.div_ceil(batch)).expect("a count of batches");
        let mut runner = runner(seed.wrapping_add(index as u64), cases);
        let outcome = runner.run(&vec(messages::of(message), batch), |frames| {
            judged(&mut java.borrow_mut(), message, &frames).map_err(TestCaseError::fail)
        });
        report.count(u64::from(cases) * batch as u64);
        match outcome {
            Ok(()) => {}
            // The reason names the one frame that matters.
            Err(TestError::Fail(reason, _)) => report.fail(format!("{message} {reason}")),
            Err(error) => report.fail(format!("{message}: {error}")),
        }
    }
    report.end(count);
}

fn runner(seed: u64, cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    let mut seeds = Rng::from_seed(seed);
    let bytes = std::array::from_fn::<_, 4, _>(|_| seeds.next_u64().to_le_bytes()).concat();
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// Lets Java read our encoding of the frames; the error is about the first frame that Java reads differently.
fn judged(java: &mut Java, message: &Message, frames: &[Frame]) -> Result<(), String> {
    let readings = frames.iter().map(|frame| message.read(&frame.0)).collect::<Vec<_>>();
    let questions = readings.iter().zip(frames).map(|(reading, frame)| match reading {
        Reading::Read { hex, .. } => Ok(format!("{message} {hex}")),
        refused => Err(format!("{frame:?} {refused:?}")),
    });
    let answers = java.ask(&questions.collect::<Result<Vec<_>, _>>()?);
    for ((ours, frame), answer) in readings.iter().zip(frames).zip(answers) {
        let case = Case { ours, java: &Judgement::parse(&answer) };
        if !case.agrees() && !case.differs_in_json_alone() {
            return Err(format!("{frame:?}\n  Java: {answer}\n  ours: {}", ours.line()));
        }
    }
    Ok(())
}

#[test]
fn damaged_bytes_mean_to_us_what_they_mean_to_java() {
    let (seed, count) = (seed(), count());
    let Some(source) = start(&["gen", &seed.to_string(), &count.to_string()]) else { return };
    let Some(mut java) = start(&["judge"]) else { return };
    let mut report = Report::new("damaged messages", seed);
    let mut rng = Rng::from_seed(seed);
    let mut by_rule = BTreeMap::<&str, u64>::new();
    let mut accepted = 0u64;
    let mut lines = source.lines().peekable();
    while lines.peek().is_some() {
        let cases = lines.by_ref().take(BATCH).map(|line| {
            let (message, rest) = Message::parse(&line);
            let hex = rest.split(' ').next().expect("bytes");
            let bytes = damage::damaged(&mut rng, &ours::unhex(hex));
            (message, bytes)
        });
        let cases = cases.collect::<Vec<_>>();
        let questions = cases.iter().map(|(message, bytes)| format!("{message} {}", ours::hex(bytes)));
        let answers = java.ask(&questions.collect::<Vec<_>>());
        for ((message, bytes), answer) in cases.iter().zip(answers) {
            let ours = message.read(bytes);
            let java = Judgement::parse(&answer);
            accepted += u64::from(matches!((&ours, &java), (Reading::Read { .. }, Judgement::Read { .. })));
            let case = Case { ours: &ours, java: &java };
            let rule = if case.agrees() { None } else { case.rule() };
            if let Some(rule) = rule {
                *by_rule.entry(rule.name).or_default() += 1;
            }
            let is_fine = case.agrees() || rule.is_some();
            let ours = || format!("{message} {}\n  Java: {answer}\n  ours: {ours:?}", ours::hex(bytes));
            report.check(is_fine, ours);
        }
    }
    report.say(&format!("both read {accepted}, both refused the others but for {by_rule:?}"));
    report.end(count);
}

#[test]
fn messages_cross_to_other_versions_as_in_java() {
    let (seed, count) = (seed(), count());
    let Some(source) = start(&["gen", &seed.to_string(), &count.to_string(), "known"]) else { return };
    let Some(mut java) = start(&["cross"]) else { return };
    let mut report = Report::new("messages written at another version", seed);
    let mut rng = Rng::from_seed(seed);
    let mut written = 0u64;
    // Java's user data of assignors is not a message with known versions.
    let mut lines = source.lines().filter(|line| !line.starts_with("StickyAssignorUserData ")).peekable();
    while lines.peek().is_some() {
        let cases = lines.by_ref().take(BATCH).map(|line| {
            let (message, rest) = Message::parse(&line);
            let hex = rest.split(' ').next().expect("bytes").to_owned();
            // Any version would do, its own too: the message is then written unchanged.
            let versions = message.versions().collect::<Vec<_>>();
            let other = versions[usize::try_from(rng.below(versions.len() as u64)).expect("an index")];
            (message, hex, other)
        });
        let cases = cases.collect::<Vec<_>>();
        let questions = cases.iter().map(|(message, hex, other)| format!("{message} {other} {hex}"));
        let answers = java.ask(&questions.collect::<Vec<_>>());
        for ((message, hex, other), answer) in cases.iter().zip(answers) {
            let ours = message.cross(&ours::unhex(hex), *other);
            let is_fine = match Judgement::parse(&answer) {
                Judgement::Read { hex, .. } => {
                    written += 1;
                    ours.as_ref() == Ok(&hex)
                }
                Judgement::Refused { .. } => ours.is_err(),
            };
            report.check(is_fine, || format!("{message} to v{other} {hex}\n  Java: {answer}\n  ours: {ours:?}"));
        }
    }
    report.say(&format!("both wrote {written}, both refused the others"));
    report.end(count - count.div_ceil(100));
}

#[test]
fn views_read_what_their_messages_read() {
    const DAMAGED: u64 = 8;
    let (seed, count) = (seed(), count());
    let Some(java) = start(&["gen", &seed.to_string(), &count.to_string()]) else { return };
    let mut report = Report::new("messages and their views", seed);
    let mut rng = Rng::from_seed(seed);
    let names = views::names();
    for line in java.lines() {
        let (message, rest) = Message::parse(&line);
        if !names.contains(message.name()) {
            continue;
        }
        let whole = ours::unhex(rest.split(' ').next().expect("bytes"));
        let damaged = (0..DAMAGED).map(|_| damage::damaged(&mut rng, &whole)).collect::<Vec<_>>();
        for frame in [whole].iter().chain(&damaged) {
            let difference = views::difference(&message, frame);
            let told = || format!("{message} {}\n  {}", ours::hex(frame), difference.as_deref().unwrap_or_default());
            report.check(difference.is_none(), told);
        }
    }
    report.end(count / 100);
}

#[test]
fn the_schemas_are_those_in_the_jars() {
    let Some(java) = start(&["schemas"]) else { return };
    let java = schemas::of_java(java.lines());
    let ours = schemas::ours();
    let found = schemas::differences(&ours, &java);
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}

#[test]
fn headers_have_the_versions_that_java_gives_them() {
    let Some(java) = start(&["headers"]) else { return };
    let with_headers = |key: &ApiKey| {
        let versions = key.layout().into_iter().flat_map(|of| of.versions());
        let headers = |version| (key.request_header_version(version), key.response_header_version(version));
        let line = |version| format!("{} {version} {} {}", i16::from(*key), headers(version).0, headers(version).1);
        versions.map(line).collect::<Vec<_>>()
    };
    let ours = ApiKey::ALL.iter().flat_map(with_headers).collect::<BTreeSet<_>>();
    assert_eq!(ours, java.lines().collect());
}

#[test]
fn error_codes_are_those_of_java() {
    let Some(java) = start(&["errors"]) else { return };
    let all = (-1..1000).map(ErrorCode).filter(|code| code.name() != "UNKNOWN_CODE");
    let ours = all.map(|code| format!("{} {} {}", code.0, code.name(), code.is_retriable()));
    assert_eq!(ours.collect::<BTreeSet<_>>(), java.lines().collect());
}

/// `WATERWHEEL_BLESS=1` writes them: `WATERWHEEL_BLESS=1 cargo test -p conformance --test oracle vectors`.
#[test]
fn the_committed_vectors_are_what_java_writes() {
    let Some(java) = start(&["vectors"]) else { return };
    let mut files = BTreeMap::<String, String>::new();
    for line in java.lines() {
        let (file, line) = line.split_once(' ').expect("a file and its line");
        *files.entry(format!("{file}.txt")).or_default() += &format!("{line}\n");
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kafka-wire/tests/vectors");
    let entries = fs::read_dir(&folder).expect("the vectors are there").map(|entry| entry.expect("an entry").path());
    let texts = entries.filter(|path| path.extension().is_some_and(|extension| extension == "txt"));
    let old = texts.map(|path| {
        let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
        (name, fs::read_to_string(&path).expect("a text"))
    });
    let old = old.collect::<BTreeMap<_, _>>();
    if std::env::var_os("WATERWHEEL_BLESS").is_some_and(|value| value == "1") {
        old.keys().filter(|name| !files.contains_key(*name)).for_each(|name| drop(fs::remove_file(folder.join(name))));
        return files.iter().for_each(|(name, text)| fs::write(folder.join(name), text).expect("the folder is ours"));
    }
    let names = files.keys().chain(old.keys()).collect::<BTreeSet<_>>();
    let stale = names.into_iter().filter(|name| files.get(*name) != old.get(*name)).collect::<Vec<_>>();
    assert!(stale.is_empty(), "write them again, with WATERWHEEL_BLESS=1: {stale:?}");
}

#[test]
fn every_difference_shows_in_an_example() {
    let Some(mut java) = start(&["judge"]) else { return };
    let examples = differences::examples();
    let questions = examples.iter().map(|(_, message, hex)| format!("{message} {hex}")).collect::<Vec<_>>();
    for ((name, message, hex), answer) in examples.iter().zip(java.ask(&questions)) {
        let (message, frame) = (Message::parse(&format!("{message} ")).0, ours::unhex(hex));
        let case = Case { ours: &message.read(&frame), java: &Judgement::parse(&answer) };
        // Later versions of Java print doubles as we do.
        let agrees = case.agrees() && *name == "JSON of doubles";
        let rule = case.rule().map(|rule| rule.name);
        assert!(agrees || rule == Some(*name), "{name}: {rule:?}\n  Java: {answer}\n  ours: {}", case.ours.line());
    }
    let shown = examples.iter().map(|(name, ..)| *name).collect::<BTreeSet<_>>();
    assert_eq!(shown, RULES.iter().map(|rule| rule.name).collect());
}

#[test]
fn every_difference_has_its_row_and_its_rule() {
    let told = differences::told();
    let rules = RULES.iter().map(|rule| rule.name.to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(told, rules, "rows of kafka-wire/tests/DIFFERENCES.md and rules in tests/tests/oracle/differences.rs");
}
