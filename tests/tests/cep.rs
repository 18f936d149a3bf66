//! Our patterns against Flink's library for complex event processing, with random patterns and inputs from a new seed
//! in every run: the same matches and the same partial matches that time out, in the same order, and the same patterns
//! refused.
//!
//! `processor/tests/java/CepOracle.java` feeds Flink's automaton; [`cases`] makes questions, and [`ours`] answers them.
//! A run prints its seed. `WATERWHEEL_ORACLE_SEED` repeats it, `WATERWHEEL_ORACLE_COUNT` sets the number of patterns.

#[path = "cep/cases.rs"]
mod cases;
#[path = "cep/ours.rs"]
mod ours;
#[path = "oracle/report.rs"]
#[expect(dead_code, reason = "made for the oracle of messages")]
mod report;

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::Stdio;

use conformance::skip;
use kafka_wire::rng::Rng;
use processor::cep::PatternError;
use report::{Report, seed};
use testkit::real::java_source;

/// Number of patterns. About half of them match something; a tenth have no meaning.
const COUNT: u64 = 3_000;

/// Flink's answers to all questions; the reason why there are none.
fn flink(questions: &[String]) -> Result<Vec<String>, String> {
    let java = Path::new(env!("CARGO_MANIFEST_DIR")).join("../processor/tests/java");
    let pom = std::fs::read_to_string(java.join("cep.xml")).expect("the project is there");
    let command = java_source("flink-cep-2.2.1", &pom, &java.join("CepOracle.java"));
    let mut command = command.map_err(|unavailable| unavailable.to_string())?;
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| format!("`java`: {error}"))?;
    let mut pipe = BufWriter::new(child.stdin.take().expect("stdin was asked to be a pipe"));
    let answers = BufReader::new(child.stdout.take().expect("stdout was asked to be a pipe"));
    // Writing and reading run at the same time, so that no pipe is full for good.
    let answers = std::thread::scope(|scope| {
        scope.spawn(move || {
            questions.iter().for_each(|question| writeln!(pipe, "{question}").expect("Java listens"));
            pipe.flush().expect("Java listens");
        });
        answers.lines().collect::<Result<Vec<_>, _>>().expect("Java speaks UTF-8")
    });
    let status = child.wait().expect("Java is ours");
    assert!(status.success() && answers.len() == questions.len(), "Java failed: {status}");
    Ok(answers)
}

#[test]
fn flink_finds_what_we_find() {
    let seed = seed();
    let count = std::env::var("WATERWHEEL_ORACLE_COUNT").ok().map_or(COUNT, |count| count.parse().expect("a number"));
    let mut rng = Rng::from_seed(seed);
    let (mut questions, mut ours) = (Vec::new(), Vec::new());
    while (questions.len() as u64) < count {
        let question = cases::random(&mut rng);
        match ours::answer(&question) {
            Ok(answer) => ours.push(answer),
            Err(errors) if errors.iter().any(is_our_own) => continue,
            Err(_) => ours.push("refused".to_owned()),
        }
        questions.push(question);
    }
    let flink = match flink(&questions) {
        Ok(answers) => answers,
        Err(why) => return skip("the oracle of patterns", &why),
    };
    let mut report = Report::new("patterns", seed);
    let (mut failed, mut matched) = (0, 0);
    for ((question, ours), flink) in questions.iter().zip(&ours).zip(&flink) {
        matched += u64::from(flink.contains("m:"));
        if flink.starts_with("failed") {
            // A null pointer or an endless recursion of Flink's: see `flink_fails_on_patterns_that_work_here`.
            failed += 1;
            continue;
        }
        report.check(ours == flink, || format!("{question}\n  ours:  {ours}\n  Flink: {flink}"));
    }
    report.say(&format!("{matched} of {count} patterns match something; Flink failed on {failed}"));
    assert!(failed <= 5 + count / 100, "Flink failed on {failed} of {count}");
    assert!(matched >= count / 3, "only {matched} of {count} patterns match something");
    report.end(count - failed);
}

/// Whether Flink takes the pattern and does something else with it than we could: it forgets what a group forbids at
/// its end, and goes round forever in a group that may repeat nothing.
fn is_our_own(error: &PatternError) -> bool {
    matches!(error, PatternError::RepeatsNothing | PatternError::EndsWithNot(_))
}

#[test]
fn flink_fails_on_patterns_that_work_here() {
    // An optional group before what is forbidden; and an optional, greedy stage with an end, behind what is forbidden.
    let cases = [
        ("no - begin ( begin a where in:a optional ) notNext b where in:b next c where in:c | b1@0 c1@1", "m:c=1"),
        (
            "no - begin a where in:a notFollowedBy n where in:n next b where in:b timesOrMore 2 optional greedy until in:c \
             next d where in:cd | a1@0 c1@1",
            "m:a=0;d=1",
        ),
    ];
    let questions = cases.map(|(question, _)| question.to_owned());
    let answers = match flink(&questions) {
        Ok(answers) => answers,
        Err(why) => return skip("the oracle of patterns", &why),
    };
    for ((question, expected), answer) in cases.iter().zip(answers) {
        assert!(answer.starts_with("failed"), "{question}: {answer}");
        assert_eq!(ours::answer(question).as_deref(), Ok(*expected));
    }
}
