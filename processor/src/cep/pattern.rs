//! Patterns as they are declared.

use std::fmt;
use std::ops::{RangeFrom, RangeInclusive};
use std::time::Duration;

use super::expr::Test;
use super::matched::SoFar;

/// A sequence of stages that events of one key have to go through.
///
/// ```
/// use std::time::Duration;
///
/// use processor::cep::Pattern;
///
/// struct Payment {
///     amount: u64,
/// }
///
/// // Small payments, at least two of them, and then a large one.
/// let pattern = Pattern::begin("probes", |payment: &Payment| payment.amount < 10)
///     .times(2..)
///     .followed_by("theft", |payment| payment.amount > 500)
///     .and_given(|payment, so_far| so_far.events("probes").all(|probe| payment.amount > 100 * probe.amount))
///     .within(Duration::from_secs(60));
/// assert!(pattern.compile().is_ok());
/// ```
///
/// A stage takes one event for which its condition holds, unless a quantifier says otherwise. The call that adds a
/// stage says which events may lie between what the stage before took and what this one takes:
///
/// | call | between the two |
/// |---|---|
/// | [`next`](Self::next) | nothing |
/// | [`followed_by`](Self::followed_by) | events for which the condition of this stage does not hold |
/// | [`followed_by_any`](Self::followed_by_any) | any events: each that fits makes a match of its own |
/// | [`not_next`](Self::not_next) | the event right after is not such a one |
/// | [`not_followed_by`](Self::not_followed_by) | no such event before the next stage; at the end, none in time |
///
/// The calls after it, such as [`times`](Self::times) or [`optional`](Self::optional), are about the stage that was
/// added last. What the pattern cannot mean is an error of [`compile`](Self::compile).
pub struct Pattern<E> {
    pub(super) stages: Vec<Stage<E>>,
    pub(super) within: Option<Duration>,
    pub(super) skip: Skip,
    pub(super) faults: Vec<PatternError>,
}

pub(super) struct Stage<E> {
    pub(super) what: What<E>,
    pub(super) link: Link,
    pub(super) until: Option<Condition<E>>,
    pub(super) times: Option<Times>,
    pub(super) is_optional: bool,
    pub(super) is_greedy: bool,
    pub(super) inner: Inner,
}

/// The events that a stage takes: one, or those of a group.
pub(super) enum What<E> {
    Event(String, Condition<E>),
    Group(Vec<Stage<E>>),
}

/// The relation of a stage to the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Next,
    FollowedBy,
    FollowedByAny,
    NotNext,
    NotFollowedBy,
}

impl Link {
    pub(super) const fn is_not(self) -> bool {
        matches!(self, Self::NotNext | Self::NotFollowedBy)
    }
}

/// The relation of the events that a stage takes to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inner {
    Relaxed,
    Consecutive,
    Combinations,
}

pub(super) enum Condition<E> {
    Test(Test<E>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
}

/// The number of events that a stage takes: `3`, `2..=4`, or `2..` for two or more. Zero as the least number is the
/// same as [`Pattern::optional`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    pub(super) least: u32,
    /// `None` without a limit.
    pub(super) most: Option<u32>,
}

impl From<u32> for Times {
    fn from(times: u32) -> Self {
        Self { least: times, most: Some(times) }
    }
}

impl From<RangeInclusive<u32>> for Times {
    fn from(times: RangeInclusive<u32>) -> Self {
        Self { least: *times.start(), most: Some(*times.end()) }
    }
}

impl From<RangeFrom<u32>> for Times {
    fn from(times: RangeFrom<u32>) -> Self {
        Self { least: times.start, most: None }
    }
}

/// The matches and partial matches that a match discards. Of matches that began at the same event, the one that ended
/// first comes out first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Skip {
    /// None: every possible match comes out.
    #[default]
    NoSkip,
    /// Those that began at the event at which the match began.
    ToNext,
    /// Those that began within the match.
    PastLastEvent,
    /// Those that began before the first event of the stage. None, if the stage took no event.
    ToFirst(String),
    /// Those that began before the last event of the stage. None, if the stage took no event.
    ToLast(String),
}

/// The reason why a pattern has no meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PatternError {
    /// A stage has no name.
    NoName,
    /// Two stages have this name.
    DuplicateName(String),
    /// A `within` of less than a millisecond, which is the unit of event time.
    WithinNothing,
    /// The pattern ends with `not_followed_by` and has no `within`; or a group ends with it.
    EndsWithNot(String),
    /// `not_next` or `not_followed_by` comes after a stage that is optional.
    NotAfterOptional(String),
    /// A stage is optional and comes after a greedy one.
    OptionalAfterGreedy(String),
    /// A call that does not go with the stage.
    Inapplicable {
        /// The stage; `a group` for a group.
        stage: String,
        /// The call.
        call: &'static str,
        /// The reason.
        why: &'static str,
    },
    /// The group repeats, but each of its stages is optional, so that it might repeat nothing without end.
    RepeatsNothing,
    /// The skip strategy names a stage that the pattern does not have, or that is inside of a group.
    UnknownStage(String),
    /// The stages are repeated so often that the pattern has more than 10,000 states.
    TooLarge,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoName => f.write_str("a stage has no name"),
            Self::DuplicateName(name) => write!(f, "two stages are named `{name}`"),
            Self::WithinNothing => f.write_str("a match ends within less than a millisecond"),
            Self::EndsWithNot(name) => write!(f, "`{name}` forbids events at the end, without a time within which"),
            Self::NotAfterOptional(name) => write!(f, "`{name}` forbids events behind an optional stage"),
            Self::OptionalAfterGreedy(name) => write!(f, "`{name}` is optional behind a greedy stage"),
            Self::Inapplicable { stage, call, why } => write!(f, "{call} does not go with `{stage}`: {why}"),
            Self::RepeatsNothing => f.write_str("a group of optional stages alone repeats"),
            Self::UnknownStage(name) => {
                write!(f, "the skip strategy names `{name}`, which is no stage outside of groups")
            }
            Self::TooLarge => f.write_str("more than 10000 states"),
        }
    }
}

impl std::error::Error for PatternError {}

impl<E> Pattern<E> {
    /// Starts a pattern: its first stage takes an event for which `condition` holds.
    pub fn begin(name: &str, condition: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        Self::empty().stage(name, Link::Next, condition)
    }

    /// Starts a pattern with a group: a pattern as a stage, which may have quantifiers. Its time and its skip strategy
    /// have no effect.
    #[must_use]
    pub fn begin_group(group: Self) -> Self {
        Self::empty().group(Link::Next, group)
    }

    /// Adds a stage that takes the event right behind.
    #[must_use]
    pub fn next(self, name: &str, condition: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        self.stage(name, Link::Next, condition)
    }

    /// Adds a group that begins with the event right behind.
    #[must_use]
    pub fn next_group(self, group: Self) -> Self {
        self.group(Link::Next, group)
    }

    /// Adds a stage that takes the first event behind for which the condition holds.
    #[must_use]
    pub fn followed_by(self, name: &str, condition: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        self.stage(name, Link::FollowedBy, condition)
    }

    /// Adds a group that begins with the first event behind for which the condition of its first stage holds.
    #[must_use]
    pub fn followed_by_group(self, group: Self) -> Self {
        self.group(Link::FollowedBy, group)
    }

    /// Adds a stage that takes any event behind for which the condition holds: each makes a match of its own.
    #[must_use]
    pub fn followed_by_any(self, name: &str, condition: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        self.stage(name, Link::FollowedByAny, condition)
    }

    /// Adds a group that begins with any event behind for which the condition of its first stage holds.
    #[must_use]
    pub fn followed_by_any_group(self, group: Self) -> Self {
        self.group(Link::FollowedByAny, group)
    }

    /// Forbids that the event right behind is one for which the condition holds.
    #[must_use]
    pub fn not_next(self, name: &str, condition: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        self.forbidden(name, Link::NotNext, condition)
    }

    /// Forbids an event for which the condition holds before the next stage; as the last stage, until the pattern's
    /// time is over.
    #[must_use]
    pub fn not_followed_by(self, name: &str, condition: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        self.forbidden(name, Link::NotFollowedBy, condition)
    }

    /// Narrows the condition of the stage: this must hold as well.
    #[must_use]
    pub fn and(self, condition: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        self.combine("and", Condition::plain(condition), Condition::And)
    }

    /// As [`Pattern::and`], with a condition that also looks at the events taken so far. It must depend on nothing
    /// else, and is asked again for each run.
    #[must_use]
    pub fn and_given(self, condition: impl Fn(&E, &SoFar<'_, E>) -> bool + Send + Sync + 'static) -> Self {
        self.combine("and_given", Condition::Test(Test::Given(Box::new(condition))), Condition::And)
    }

    /// Widens the condition of the stage: it holds as well if this does.
    #[must_use]
    pub fn or(self, condition: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        self.combine("or", Condition::plain(condition), Condition::Or)
    }

    /// As [`Pattern::or`], with a condition that also looks at the events taken so far.
    #[must_use]
    pub fn or_given(self, condition: impl Fn(&E, &SoFar<'_, E>) -> bool + Send + Sync + 'static) -> Self {
        self.combine("or_given", Condition::Test(Test::Given(Box::new(condition))), Condition::Or)
    }

    /// Ends the repetitions of a stage or group without an upper limit: it takes no event for which this holds, and
    /// none after it.
    #[must_use]
    pub fn until(self, condition: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        self.set_until("until", Condition::plain(condition))
    }

    /// As [`Pattern::until`], with a condition that also looks at the events taken so far.
    #[must_use]
    pub fn until_given(self, condition: impl Fn(&E, &SoFar<'_, E>) -> bool + Send + Sync + 'static) -> Self {
        self.set_until("until_given", Condition::Test(Test::Given(Box::new(condition))))
    }

    /// Repeats the stage: `3`, `2..=4`, `2..`. Between its events there may be others for which its condition does not
    /// hold. Each number of repetitions makes a match of its own.
    #[must_use]
    pub fn times(mut self, times: impl Into<Times>) -> Self {
        let times = times.into();
        self.refuse_if("times", Stage::is_not, "it takes no event");
        self.refuse_if("times", |stage| stage.times.is_some(), "it has a number already");
        self.refuse_if("times", |_| times.most.is_some_and(|most| most < times.least.max(1)), "the range is empty");
        self.last(|stage| {
            stage.is_optional |= times.least == 0;
            stage.times = Some(Times { least: times.least.max(1), ..times });
        })
    }

    /// Repeats the stage once or more often: the same as `times(1..)`.
    #[must_use]
    pub fn one_or_more(self) -> Self {
        self.times(1..)
    }

    /// Lets a match do without the stage.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.refuse_if("optional", Stage::is_not, "it takes no event");
        self.last(|stage| stage.is_optional = true)
    }

    /// Lets the stage take as many events as it can, where it would otherwise make a match of each number of them.
    #[must_use]
    pub fn greedy(mut self) -> Self {
        self.refuse_if("greedy", Stage::is_group, "it is a group");
        self.refuse_if("greedy", |stage| stage.times.is_none(), "it does not repeat");
        self.refuse_if("greedy", |stage| stage.inner == Inner::Combinations, "it has `allow_combinations`");
        self.last(|stage| stage.is_greedy = true)
    }

    /// Forbids other events between those of the stage.
    #[must_use]
    pub fn consecutive(mut self) -> Self {
        self.refuse_if("consecutive", |stage| stage.times.is_none(), "it does not repeat");
        self.refuse_if("consecutive", |stage| stage.inner != Inner::Relaxed, "it has a rule for that already");
        self.last(|stage| stage.inner = Inner::Consecutive)
    }

    /// Allows any events between those of the stage, also such that it could take: each selection makes a match.
    #[must_use]
    pub fn allow_combinations(mut self) -> Self {
        self.refuse_if("allow_combinations", |stage| stage.times.is_none(), "it does not repeat");
        self.refuse_if("allow_combinations", |stage| stage.inner != Inner::Relaxed, "it has a rule for that already");
        self.last(|stage| stage.inner = Inner::Combinations)
    }

    /// Sets the time within which a match ends, counted from its first event: the last event is less than that later.
    /// Of several times, the shortest holds. Without one, partial matches are kept for good.
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.within = Some(self.within.map_or(time, |known| known.min(time)));
        self
    }

    /// Sets what a match discards.
    #[must_use]
    pub fn skip(self, skip: Skip) -> Self {
        Self { skip, ..self }
    }

    const fn empty() -> Self {
        Self { stages: Vec::new(), within: None, skip: Skip::NoSkip, faults: Vec::new() }
    }

    fn stage(mut self, name: &str, link: Link, condition: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        self.stages.push(Stage::new(What::Event(name.to_owned(), Condition::plain(condition)), link));
        self
    }

    fn forbidden(mut self, name: &str, link: Link, condition: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        if self.stages.last().is_some_and(|stage| stage.is_optional) {
            self.faults.push(PatternError::NotAfterOptional(name.to_owned()));
        }
        self.stage(name, link, condition)
    }

    fn group(mut self, link: Link, group: Self) -> Self {
        if let Some(Stage { what: What::Event(name, _), link: Link::NotFollowedBy, .. }) = group.stages.last() {
            self.faults.push(PatternError::EndsWithNot(name.clone()));
        }
        self.faults.extend(group.faults);
        self.stages.push(Stage::new(What::Group(group.stages), link));
        self
    }

    fn combine(mut self, call: &'static str, condition: Condition<E>, how: Combine<E>) -> Self {
        self.refuse_if(call, Stage::is_group, "it is a group");
        let Some(stage) = self.stages.pop() else { return self };
        let what = match stage.what {
            What::Event(name, known) => What::Event(name, how(Box::new(known), Box::new(condition))),
            What::Group(group) => What::Group(group),
        };
        self.stages.push(Stage { what, ..stage });
        self
    }

    fn set_until(mut self, call: &'static str, condition: Condition<E>) -> Self {
        let is_endless = |stage: &Stage<E>| stage.times.is_some_and(|times| times.most.is_none());
        self.refuse_if(call, |stage| !is_endless(stage), "it has no repetitions without a limit");
        self.refuse_if(call, |stage| stage.until.is_some(), "it has one already");
        self.last(|stage| stage.until = Some(condition))
    }

    fn refuse_if(&mut self, call: &'static str, is_wrong: impl Fn(&Stage<E>) -> bool, why: &'static str) {
        if let Some(stage) = self.stages.last().filter(|stage| is_wrong(stage)) {
            self.faults.push(PatternError::Inapplicable { stage: stage.name().to_owned(), call, why });
        }
    }

    fn last(mut self, change: impl FnOnce(&mut Stage<E>)) -> Self {
        if let Some(stage) = self.stages.last_mut() {
            change(stage);
        }
        self
    }
}

/// Joins two conditions to one.
type Combine<E> = fn(Box<Condition<E>>, Box<Condition<E>>) -> Condition<E>;

impl<E> Condition<E> {
    fn plain(condition: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        Self::Test(Test::Plain(Box::new(condition)))
    }
}

impl<E> Stage<E> {
    fn new(what: What<E>, link: Link) -> Self {
        let (until, times, inner) = (None, None, Inner::Relaxed);
        Self { what, link, until, times, is_optional: false, is_greedy: false, inner }
    }

    pub(super) fn name(&self) -> &str {
        match &self.what {
            What::Event(name, _) => name,
            What::Group(_) => "a group",
        }
    }

    const fn is_not(&self) -> bool {
        self.link.is_not()
    }

    const fn is_group(&self) -> bool {
        matches!(self.what, What::Group(_))
    }
}
