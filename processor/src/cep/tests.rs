//! The examples of Flink's documentation, each with the results that it tells, and what the machine does besides.
//!
//! An event is a letter and a number; a stage named `b` takes the events of letter `b`. The comparison with Flink's
//! library itself is in `tests/tests/cep.rs`.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::*;

type Event = &'static str;

fn is(letter: char) -> impl Fn(&Event) -> bool + Send + Sync + 'static {
    move |event| event.starts_with(letter)
}

fn begin(letter: char) -> Pattern<Event> {
    Pattern::begin(&letter.to_string(), is(letter))
}

/// Shows events to a pattern, one second apart; returns the matches and the partial matches that timed out, in order.
fn run(pattern: Pattern<Event>, events: &'static str) -> (Vec<String>, Vec<String>) {
    let program = Arc::new(pattern.compile().expect("a pattern with a meaning"));
    let mut matcher = Matcher::new(Arc::clone(&program));
    let mut partial = program.begin();
    let (mut matches, mut timed_out) = (Vec::new(), Vec::new());
    let mut note = |matcher: &mut Matcher<Event>| {
        for found in matcher.found() {
            let events: Vec<&str> = found.events(&program).iter().map(|(_, event)| *event).collect();
            match found.outcome {
                Outcome::Match => matches.push(events.join(" ")),
                Outcome::TimedOut { at } => timed_out.push(format!("{} at {at}", events.join(" "))),
            }
        }
    };
    for (event, second) in events.split(' ').zip(0..) {
        matcher.advance(&mut partial, second * 1_000);
        note(&mut matcher);
        matcher.process(&mut partial, Arc::new(event), second * 1_000);
        note(&mut matcher);
        // A restart at any moment changes nothing.
        let kept: Events<Event> =
            partial.events().map(|(number, time, event)| (number, (time, event.clone()))).collect();
        let mut bytes = Vec::new();
        partial.encode(&mut bytes);
        partial = program.decode(&bytes, &kept).expect("what was written");
    }
    matcher.advance(&mut partial, 1_000_000);
    note(&mut matcher);
    (matches, timed_out)
}

fn matches(pattern: Pattern<Event>, events: &'static str) -> Vec<String> {
    run(pattern, events).0
}

/// Checks the matches whatever their order, as the documentation lists them.
#[track_caller]
fn check(pattern: Pattern<Event>, events: &'static str, expected: &[&str]) {
    let mut found = matches(pattern, events);
    found.sort();
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn the_contiguity_of_two_stages() {
    let events = "a c b1 b2";
    check(begin('a').next("b", is('b')), events, &[]);
    check(begin('a').followed_by("b", is('b')), events, &["a b1"]);
    check(begin('a').followed_by_any("b", is('b')), events, &["a b1", "a b2"]);
}

#[test]
fn the_contiguity_within_a_looping_stage() {
    let events = "a b1 d1 b2 d2 b3 c";
    let looping = || begin('a').followed_by_any("b", is('b')).one_or_more();
    check(looping().consecutive().next("c", is('c')), events, &["a b3 c"]);
    let relaxed = ["a b1 c", "a b1 b2 c", "a b1 b2 b3 c", "a b2 c", "a b2 b3 c", "a b3 c"];
    check(looping().followed_by("c", is('c')), events, &relaxed);
    let mut any = relaxed.to_vec();
    any.push("a b1 b3 c");
    check(looping().allow_combinations().followed_by("c", is('c')), events, &any);
}

#[test]
fn consecutive_and_combinations() {
    let events = "c d a1 a2 a3 d a4 b";
    let looping = || begin('c').followed_by("a", is('a')).one_or_more();
    check(looping().consecutive().followed_by("b", is('b')), events, &["c a1 b", "c a1 a2 b", "c a1 a2 a3 b"]);
    let relaxed = ["c a1 b", "c a1 a2 b", "c a1 a2 a3 b", "c a1 a2 a3 a4 b"];
    check(looping().followed_by("b", is('b')), events, &relaxed);
    // The documentation also lists those that begin with a later `a`, which its library does not find:
    // the stage before has to pass by the `a` that it could take, and only `followed_by_any` does.
    let combinations = [
        "c a1 b",
        "c a1 a2 b",
        "c a1 a3 b",
        "c a1 a4 b",
        "c a1 a2 a3 b",
        "c a1 a2 a4 b",
        "c a1 a3 a4 b",
        "c a1 a2 a3 a4 b",
    ];
    check(looping().allow_combinations().followed_by("b", is('b')), events, &combinations);
    let mut all = combinations.to_vec();
    all.extend(["c a2 b", "c a2 a3 b", "c a2 a4 b", "c a2 a3 a4 b", "c a3 b", "c a3 a4 b", "c a4 b"]);
    let any = begin('c').followed_by_any("a", is('a')).one_or_more().allow_combinations();
    check(any.followed_by("b", is('b')), events, &all);
}

#[test]
fn a_stop_condition() {
    check(begin('a').one_or_more().until(is('b')), "a1 c a2 b a3", &["a1 a2", "a1", "a2", "a3"]);
}

#[test]
fn quantifiers() {
    let expect = |quantified: fn(Pattern<Event>) -> Pattern<Event>, expected: &[&str]| {
        check(quantified(begin('s').next("a", is('a'))).next("e", is('e')), "s a1 a2 a3 a4 e", expected);
        let of_none = matches(quantified(begin('s').next("a", is('a'))).next("e", is('e')), "s e");
        assert_eq!(of_none.len(), usize::from(expected.contains(&"none")));
    };
    let all = "s a1 a2 a3 a4 e";
    expect(|a| a.times(4), &[all]);
    expect(|a| a.times(3), &[]);
    expect(|a| a.times(2..=4), &[all]);
    expect(|a| a.times(2..=4).greedy(), &[all]);
    expect(|a| a.one_or_more(), &[all]);
    expect(|a| a.one_or_more().greedy(), &[all]);
    expect(|a| a.times(2..), &[all]);
    expect(|a| a.times(2..).greedy(), &[all]);
    expect(|a| a.times(5..), &[]);
    // Each of these also does without the stage.
    for quantified in [
        (|a| a.times(4).optional()) as fn(Pattern<Event>) -> Pattern<Event>,
        |a| a.times(2..=4).optional(),
        |a| a.times(2..=4).optional().greedy(),
        |a| a.one_or_more().optional(),
        |a| a.one_or_more().optional().greedy(),
        |a| a.times(2..).optional(),
        |a| a.times(2..).optional().greedy(),
        |a| a.times(0..),
        |a| a.times(0..=4),
    ] {
        let whole = |events| matches(quantified(begin('s').next("a", is('a'))).next("e", is('e')), events);
        assert_eq!(whole("s a1 a2 a3 a4 e"), [all]);
        assert_eq!(whole("s e"), ["s e"]);
    }
}

#[test]
fn a_greedy_stage_takes_what_the_next_one_could_take() {
    let a_or_b = |event: &Event| event.starts_with('a') || event.starts_with('b');
    let pattern = |is_greedy: bool| {
        let a = begin('s').next("a", is('a')).one_or_more();
        let a = if is_greedy { a.greedy() } else { a };
        a.next("end", a_or_b)
    };
    check(pattern(false), "s a1 a2 b", &["s a1 a2", "s a1 a2 b"]);
    check(pattern(true), "s a1 a2 b", &["s a1 a2 b"]);
}

#[test]
fn the_first_example() {
    struct Step {
        id: u32,
        volume: f64,
        name: &'static str,
    }
    let pattern = Pattern::begin("start", |step: &Step| step.id == 42)
        .next("middle", |step| step.volume >= 10.0)
        .followed_by("end", |step| step.name == "end");
    let program = Arc::new(pattern.compile().expect("a pattern with a meaning"));
    let (mut matcher, mut partial) = (Matcher::new(Arc::clone(&program)), program.begin());
    let steps = [(42, 0.0, "a"), (42, 10.0, "b"), (1, 0.0, "c"), (2, 12.0, "end")];
    for ((id, volume, name), time) in steps.into_iter().zip(0..) {
        matcher.process(&mut partial, Arc::new(Step { id, volume, name }), time);
    }
    let found: Vec<_> = matcher.found().collect();
    assert_eq!(found.len(), 1);
    let events = found[0].events(&program);
    let name = |stage| events.first(stage).map(|step| step.name);
    assert_eq!((name("start"), name("middle"), name("end"), name("other")), (Some("a"), Some("b"), Some("end"), None));
    assert_eq!((events.start_time(), events.end_time()), (0, 3));
    assert!(partial.is_empty(), "the second start had the wrong middle");
}

#[test]
fn a_condition_may_look_at_the_events_so_far() {
    let price = |event: &Event| event[1..].parse::<u32>().expect("a number");
    let foo = begin('s').followed_by("f", is('f')).one_or_more();
    let pattern = foo.and_given(move |event, so_far| so_far.events("f").map(price).sum::<u32>() + price(event) < 5);
    check(pattern, "s0 f1 f2 f7 f1 f1", &["s0 f1", "s0 f1 f2", "s0 f1 f2 f1"]);
}

#[test]
fn forbidden_events() {
    check(begin('a').not_next("n", is('n')).followed_by("b", is('b')), "a n b", &[]);
    check(begin('a').not_next("n", is('n')).followed_by("b", is('b')), "a c n b", &["a b"]);
    check(begin('a').not_followed_by("n", is('n')).followed_by("b", is('b')), "a c n b", &[]);
    check(begin('a').not_followed_by("n", is('n')).followed_by("b", is('b')), "a c b n", &["a b"]);
    // An optional stage that took an event ends the prohibition before it.
    let pattern = || {
        let a = begin('a').not_followed_by("b", is('b'));
        a.followed_by_any("c", is('c')).optional().followed_by_any("d", is('d'))
    };
    check(pattern(), "a c b d", &["a c d"]);
    check(pattern(), "a b d", &[]);
}

#[test]
fn a_pattern_may_end_with_a_prohibition_for_a_time() {
    let pattern = || {
        let start = Pattern::begin("start", |_: &Event| true).next("a", is('a'));
        start.not_followed_by("b", is('b')).within(Duration::from_secs(10))
    };
    assert_eq!(matches(pattern(), "s a c d"), ["s a"]);
    assert_eq!(matches(pattern(), "s a c b"), Vec::<String>::new());
}

#[test]
fn partial_matches_time_out() {
    let error = || {
        let start = begin('s').next("e", is('e'));
        start.followed_by("c", is('c')).within(Duration::from_secs(3))
    };
    // The third second after the first event is too late.
    assert_eq!(run(error(), "s e c"), (vec!["s e c".to_owned()], vec![]));
    assert_eq!(run(error(), "s e x c"), (vec![], vec!["s e at 3000".to_owned()]));
    assert_eq!(run(error(), "s e"), (vec![], vec!["s e at 3000".to_owned()]));
}

#[test]
fn groups() {
    let group = || begin('a').followed_by("b", is('b'));
    check(Pattern::begin_group(group()).next("c", is('c')), "a1 x b1 c", &["a1 b1 c"]);
    let thrice = begin('s').next_group(group()).times(2).next("e", is('e'));
    check(thrice, "s a1 b1 a2 b2 e", &["s a1 b1 a2 b2 e"]);
    let looping = begin('s').followed_by_group(group()).one_or_more().followed_by("e", is('e'));
    // The group that has repeated once may have been left or go on when `e` comes, and both are a match.
    check(looping, "s a1 b1 x a2 b2 e", &["s a1 b1 e", "s a1 b1 e", "s a1 b1 a2 b2 e"]);
    let optional = begin('s').followed_by_any_group(group()).optional().followed_by("e", is('e'));
    check(optional, "s a1 b1 e", &["s a1 b1 e", "s e"]);
}

#[test]
fn skip_strategies() {
    let b_c = |skip| Pattern::begin("b", is('b')).one_or_more().followed_by("c", is('c')).skip(skip);
    let all = ["b1 b2 b3 c", "b2 b3 c", "b3 c"];
    let consecutive = |skip| {
        let b = Pattern::begin("b", is('b')).one_or_more().greedy().consecutive();
        b.next("c", is('c')).skip(skip)
    };
    assert_eq!(matches(consecutive(Skip::NoSkip), "b1 b2 b3 c"), all);
    assert_eq!(matches(consecutive(Skip::ToNext), "b1 b2 b3 c"), all);
    assert_eq!(matches(consecutive(Skip::PastLastEvent), "b1 b2 b3 c"), all[..1]);
    assert_eq!(matches(consecutive(Skip::ToFirst("b".to_owned())), "b1 b2 b3 c"), all);
    assert_eq!(matches(consecutive(Skip::ToLast("b".to_owned())), "b1 b2 b3 c"), ["b1 b2 b3 c", "b3 c"]);
    // Without `greedy`, a match of fewer events is one, too.
    check(b_c(Skip::NoSkip), "b1 b2 c", &["b1 b2 c", "b1 c", "b2 c"]);

    let to_first = |skip| {
        let first = Pattern::begin("a|b|c", |event: &Event| event.starts_with(['a', 'b', 'c']));
        let second = first.next("b|c", |event| event.starts_with(['b', 'c']));
        second.next("c", is('c')).one_or_more().greedy().consecutive().next("d", is('d')).skip(skip)
    };
    let events = "a b c1 c2 c3 d";
    assert_eq!(matches(to_first(Skip::NoSkip), events), [events, "b c1 c2 c3 d", "c1 c2 c3 d"]);
    assert_eq!(matches(to_first(Skip::ToFirst("c".to_owned())), events), [events, "c1 c2 c3 d"]);

    let to_next = |skip| begin('a').next("b", is('b')).one_or_more().skip(skip);
    assert_eq!(matches(to_next(Skip::NoSkip), "a b1 b2 b3"), ["a b1", "a b1 b2", "a b1 b2 b3"]);
    assert_eq!(matches(to_next(Skip::ToNext), "a b1 b2 b3"), ["a b1"]);
}

#[test]
fn what_a_pattern_cannot_mean_is_an_error() {
    let errors = |pattern: Pattern<Event>| pattern.compile().err().expect("errors");
    assert_eq!(errors(begin('a').next("a", is('b'))), [PatternError::DuplicateName("a".to_owned())]);
    assert_eq!(errors(Pattern::begin("", is('b'))), [PatternError::NoName]);
    assert_eq!(errors(begin('a').not_followed_by("b", is('b'))), [PatternError::EndsWithNot("b".to_owned())]);
    let optional = begin('a').next("b", is('b')).optional();
    assert_eq!(
        errors(optional.not_next("n", is('n')).next("c", is('c'))),
        [PatternError::NotAfterOptional("n".to_owned())]
    );
    let greedy = begin('a').one_or_more().greedy().next("b", is('b')).optional().next("c", is('c'));
    assert_eq!(errors(greedy), [PatternError::OptionalAfterGreedy("b".to_owned())]);
    let inapplicable = [
        begin('a').greedy(),
        begin('a').consecutive(),
        begin('a').until(is('b')),
        begin('a').times(2).until(is('b')),
        begin('a').times(2).times(3),
        begin('a').times(RangeInclusive::new(3, 2)),
        begin('a').times(0),
        begin('a').one_or_more().consecutive().allow_combinations(),
        Pattern::begin_group(begin('a')).and(is('b')),
        Pattern::begin_group(begin('a')).one_or_more().greedy(),
    ];
    for pattern in inapplicable {
        assert!(matches!(errors(pattern)[..], [PatternError::Inapplicable { .. }]));
    }
    let nothing = || Pattern::begin_group(begin('a').optional().next("b", is('b')).optional()).one_or_more();
    assert_eq!(errors(nothing().next("c", is('c'))), [PatternError::RepeatsNothing]);
    // Behind an optional stage behind one that is forbidden, where the states that follow are copied.
    let behind = begin('x').not_followed_by("n", is('n')).followed_by("o", is('o')).optional();
    assert_eq!(errors(behind.next_group(nothing()).next("c", is('c'))), [PatternError::RepeatsNothing]);
    assert_eq!(errors(begin('a').skip(Skip::ToLast("b".to_owned()))), [PatternError::UnknownStage("b".to_owned())]);
    assert_eq!(errors(begin('a').times(20_000)), [PatternError::TooLarge]);
}

#[test]
fn a_pattern_as_text() {
    let group = begin('x').followed_by("y", is('y'));
    let pattern = begin('a').next("b", is('b')).times(1..).until(is('u')).followed_by_any_group(group).times(2..=3);
    let pattern = pattern.followed_by("c", is('c')).optional().next("d", is('d')).times(2).greedy().consecutive();
    let pattern = pattern.not_next("n", is('n')).not_followed_by("m", is('m')).within(Duration::from_secs(1));
    let program = pattern.skip(Skip::ToFirst("a".to_owned())).compile().expect("a pattern with a meaning");
    let expected = "a -> b{1..} until *> (x ~> y){2..=3} ~> c? -> d{2} greedy consecutive -> !n ~> !m within 1000 ms, skip to first a";
    assert_eq!(program.describe(), expected);
}

#[test]
fn damaged_state_is_refused() {
    let program = Arc::new(begin('a').followed_by("b", is('b')).compile().expect("a pattern with a meaning"));
    let (mut matcher, mut partial) = (Matcher::new(Arc::clone(&program)), program.begin());
    matcher.process(&mut partial, Arc::new("a1"), 5);
    matcher.process(&mut partial, Arc::new("a2"), 6);
    let kept: Events<Event> = partial.events().map(|(number, time, event)| (number, (time, event.clone()))).collect();
    assert_eq!(kept.len(), 2);
    let mut bytes = Vec::new();
    partial.encode(&mut bytes);
    assert!(
        program.decode(&bytes, &kept).is_ok_and(|same| same.first_begin() == Some(5) && same.last_begin() == Some(6))
    );
    assert!((0..bytes.len()).all(|end| program.decode(&bytes[..end], &kept).is_err()), "each prefix");
    assert!(program.decode(&bytes, &Events::new()).is_err(), "events are missing");
    bytes[0] = 9;
    assert!(program.decode(&bytes, &kept).is_err(), "another format");
}

#[test]
fn memory_of_finished_runs_is_used_again() {
    let program = Arc::new(begin('a').followed_by("b", is('b')).compile().expect("a pattern with a meaning"));
    let (mut matcher, mut partial) = (Matcher::new(Arc::clone(&program)), program.begin());
    for round in 0..100 {
        for event in ["a", "x", "b"] {
            matcher.process(&mut partial, Arc::new(event), round);
        }
        assert_eq!(matcher.found().count(), 1);
        assert!(partial.is_empty() && partial.events().count() == 0);
    }
    assert!(partial.bytes() < 600, "{}", partial.bytes());
}
