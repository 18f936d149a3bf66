//! Our answers to the questions of `processor/tests/java/CepOracle.java`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use processor::cep::{Events, Found, Matcher, Outcome, Pattern, PatternError, Program, Skip, SoFar};

/// An event of a case.
#[derive(Clone, Debug)]
struct Event {
    letter: char,
    number: u32,
    index: usize,
}

/// An answer, in the words of the oracle; or the reason why the pattern is refused.
pub(crate) fn answer(line: &str) -> Result<String, Vec<PatternError>> {
    let (pattern, events) = line.split_once(" | ").expect("a pattern and its input");
    let mut words: VecDeque<&str> = pattern.split(' ').collect();
    let skip = skip(pop(&mut words));
    let within = pop(&mut words);
    let mut pattern = parse(&mut words).skip(skip);
    if within != "-" {
        pattern = pattern.within(Duration::from_millis(within.parse().expect("milliseconds")));
    }
    pattern.compile().map(|program| run(&Arc::new(program), events))
}

fn run(program: &Arc<Program<Event>>, events: &str) -> String {
    let mut matcher = Matcher::new(Arc::clone(program));
    let mut partial = program.begin();
    let mut answer = Vec::new();
    for (index, word) in events.split(' ').enumerate() {
        let (event, time) = word.split_once('@').expect("an event and its time");
        let (letter, number) = (event.chars().next().expect("a letter"), event[1..].parse().expect("a number"));
        let time = time.parse().expect("a time");
        matcher.advance(&mut partial, time);
        matcher.process(&mut partial, Arc::new(Event { letter, number, index }), time);
        answer.extend(matcher.found().map(|found| show(&found, program)));
        // Each step is followed by a restart, which must change nothing.
        let kept: Events<Event> =
            partial.events().map(|(number, time, event)| (number, (time, event.clone()))).collect();
        let mut bytes = Vec::new();
        partial.encode(&mut bytes);
        partial = program.decode(&bytes, &kept).expect("what was written");
    }
    matcher.advance(&mut partial, 1_000_000_000);
    answer.extend(matcher.found().map(|found| show(&found, program)));
    if answer.is_empty() { "nothing".to_owned() } else { answer.join(" ") }
}

/// A match by stages, in the order in which these took their first events.
fn show(found: &Found<Event>, program: &Program<Event>) -> String {
    let events = found.events(program);
    let mut stages: Vec<(&str, Vec<String>)> = Vec::new();
    for (stage, event) in events.iter() {
        match stages.iter_mut().find(|(known, _)| *known == stage) {
            Some((_, indexes)) => indexes.push(event.index.to_string()),
            None => stages.push((stage, vec![event.index.to_string()])),
        }
    }
    let stages: Vec<_> = stages.iter().map(|(stage, indexes)| format!("{stage}={}", indexes.join(","))).collect();
    match found.outcome {
        Outcome::Match => format!("m:{}", stages.join(";")),
        Outcome::TimedOut { at } => format!("t:{}@{at}", stages.join(";")),
    }
}

fn skip(word: &str) -> Skip {
    match word.split_once(':') {
        Some(("first", stage)) => Skip::ToFirst(stage.to_owned()),
        Some(("last", stage)) => Skip::ToLast(stage.to_owned()),
        _ if word == "next" => Skip::ToNext,
        _ if word == "past" => Skip::PastLastEvent,
        _ => Skip::NoSkip,
    }
}

fn pop<'w>(words: &mut VecDeque<&'w str>) -> &'w str {
    words.pop_front().expect("one more word")
}

/// Reads stages up to the end of the group.
fn parse(words: &mut VecDeque<&str>) -> Pattern<Event> {
    let mut pattern = None;
    // Conditions are joined by `and`; of a stage without one, anything is taken until the first comes.
    let mut is_bare = true;
    while let Some(word) = words.pop_front() {
        let known = pattern.take();
        pattern = Some(match (word, known) {
            (")", Some(known)) => return known,
            ("where", Some(known)) => {
                is_bare = false;
                condition(pop(words), known, Pattern::and, Pattern::and_given)
            }
            ("or", Some(known)) if is_bare => {
                // The first condition of a stage is its condition, however it is added.
                is_bare = false;
                condition(pop(words), known, Pattern::and, Pattern::and_given)
            }
            ("or", Some(known)) => condition(pop(words), known, Pattern::or, Pattern::or_given),
            ("until", Some(known)) => condition(pop(words), known, Pattern::until, Pattern::until_given),
            ("times", Some(known)) => known.times(number(words)..=number(words)),
            ("timesOrMore", Some(known)) => known.times(number(words)..),
            ("optional", Some(known)) => known.optional(),
            ("greedy", Some(known)) => known.greedy(),
            ("consecutive", Some(known)) => known.consecutive(),
            ("allowCombinations", Some(known)) => known.allow_combinations(),
            (link, known) => {
                is_bare = true;
                stage(link, known, words)
            }
        });
    }
    pattern.expect("a stage")
}

fn stage(link: &str, pattern: Option<Pattern<Event>>, words: &mut VecDeque<&str>) -> Pattern<Event> {
    let name = pop(words);
    let group = (name == "(").then(|| parse(words));
    let any = |_: &Event| true;
    match (link, pattern, group) {
        ("begin", None, Some(group)) => Pattern::begin_group(group),
        ("begin", None, None) => Pattern::begin(name, any),
        ("next", Some(pattern), Some(group)) => pattern.next_group(group),
        ("next", Some(pattern), None) => pattern.next(name, any),
        ("followedBy", Some(pattern), Some(group)) => pattern.followed_by_group(group),
        ("followedBy", Some(pattern), None) => pattern.followed_by(name, any),
        ("followedByAny", Some(pattern), Some(group)) => pattern.followed_by_any_group(group),
        ("followedByAny", Some(pattern), None) => pattern.followed_by_any(name, any),
        ("notNext", Some(pattern), None) => pattern.not_next(name, any),
        ("notFollowedBy", Some(pattern), None) => pattern.not_followed_by(name, any),
        _ => panic!("no stage: {link} {name}"),
    }
}

fn number(words: &mut VecDeque<&str>) -> u32 {
    pop(words).parse().expect("a number")
}

/// Adds a condition by one of two calls: the first for one on the event alone, the second for one on the events so far.
fn condition(
    word: &str,
    pattern: Pattern<Event>,
    plain: fn(Pattern<Event>, Box<dyn Fn(&Event) -> bool + Send + Sync>) -> Pattern<Event>,
    given: fn(Pattern<Event>, Box<Given>) -> Pattern<Event>,
) -> Pattern<Event> {
    let parts: Vec<String> = word.split(':').map(str::to_owned).collect();
    let bound = parts.last().and_then(|bound| bound.parse().ok()).unwrap_or(0);
    match parts[0].as_str() {
        "in" => plain(pattern, Box::new(move |event| parts[1].contains(event.letter))),
        "below" => plain(pattern, Box::new(move |event| event.number < bound)),
        "sum" => given(
            pattern,
            Box::new(move |event, so_far| {
                let sum: u32 = so_far.events(&parts[1]).map(|earlier| earlier.number).sum();
                sum + event.number < bound
            }),
        ),
        "rises" => given(
            pattern,
            Box::new(move |event, so_far| {
                so_far.events(&parts[1]).next_back().is_none_or(|earlier| event.number > earlier.number)
            }),
        ),
        other => panic!("no condition: {other}"),
    }
}

type Given = dyn for<'a> Fn(&Event, &SoFar<'a, Event>) -> bool + Send + Sync;
