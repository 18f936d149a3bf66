//! Scripts for one task, and a property of three stages in any order of reading.

use kafka_wire::rng::Rng;

use super::*;

fn source() -> InputKind {
    InputKind::Source(Watermark::bounded(Duration::ZERO).idle_after(IDLE_AFTER))
}

const IDLE_AFTER: Duration = Duration::from_millis(10);

fn mark(upstream: i32, watermark: i64) -> Mark {
    let (upstream, watermark) = (PartitionId(upstream), TimestampMs(watermark));
    Mark { upstream, upstream_count: 2, watermark, idle: None, ended: None }
}

fn idle(upstream: i32, watermark: i64, own: i64) -> Mark {
    Mark { idle: Some(IdleAt { own, above: 0 }), ..mark(upstream, watermark) }
}

/// A task downstream of a shuffle that has received these marks.
fn heard(marks: &[Mark]) -> TaskTime {
    let mut time = TaskTime::new([InputKind::Repartition]);
    for mark in marks {
        assert!(time.hear(0, &[*mark]));
    }
    time.advance();
    time
}

fn upstream(partition: i32) -> Contributor {
    Contributor::Upstream { input: 0, upstream: PartitionId(partition) }
}

#[test]
fn the_unheard_hold_and_the_least_is_certain() {
    assert_eq!(heard(&[]).watermark(), NO_WATERMARK);
    assert_eq!(heard(&[mark(0, 5)]).watermark(), NO_WATERMARK);
    let time = heard(&[mark(0, 5), mark(1, 7)]);
    assert_eq!((time.watermark(), time.doubts()), (TimestampMs(5), vec![]));
    assert_eq!(time.held_by(), Some((upstream(0), Some(TimestampMs(5)))));
    assert_eq!(heard(&[mark(1, 7)]).held_by(), Some((upstream(0), None)));
}

#[test]
fn an_idle_upstream_is_passed_by_only_where_its_source_ends() {
    let mut time = heard(&[idle(0, 5, 40), mark(1, 7)]);
    assert_eq!((time.watermark(), time.doubts()), (TimestampMs(5), vec![upstream(0)]));
    assert!(!time.settle(Moment::ZERO, |_, at| at.own == 41), "something new is in its source");
    assert_eq!((time.watermark(), time.doubts()), (TimestampMs(5), vec![]));
    time.tick(Moment::ZERO + LOOK_AGAIN_AFTER);
    assert_eq!(time.doubts(), [upstream(0)], "after a while another look is taken");
    assert!(time.settle(Moment::ZERO, |_, at| at.own == 40));
    assert_eq!((time.watermark(), time.doubts()), (TimestampMs(7), vec![]));
    assert_eq!(time.next_timeout(), None);
}

#[test]
fn when_all_are_idle_the_greatest_counts_and_nothing_is_left_to_look_for() {
    let mut time = heard(&[idle(0, 5, 40), idle(1, 9, 3)]);
    assert_eq!(time.idle_at(), None, "not before the watermark is as far as it can come");
    assert!(time.settle(Moment::ZERO, |_, _| true));
    assert_eq!((time.watermark(), time.doubts(), time.next_timeout()), (TimestampMs(9), vec![], None));
    assert_eq!(time.idle_at(), Some(IdleAt { own: 0, above: 43 }));
}

#[test]
fn a_task_with_several_sources_waits_for_each_of_them() {
    let mut time = TaskTime::new([source(), source()]);
    time.tick(Moment::ZERO);
    time.observe(0, TimestampMs(100), Moment::ZERO);
    time.set_position(0, Offset(1));
    time.advance();
    assert_eq!((time.watermark(), time.held_by()), (NO_WATERMARK, Some((Contributor::Input(1), Some(NO_WATERMARK)))));
    time.tick(Moment::from_millis(10));
    time.observe(0, TimestampMs(120), Moment::from_millis(10));
    assert_eq!(time.doubts(), [Contributor::Input(1)]);
    assert!(time.settle(Moment::ZERO, |_, at| at == IdleAt { own: 0, above: 0 }));
    assert_eq!((time.watermark(), time.idle_at()), (TimestampMs(120), None));
}

#[test]
fn what_is_left_when_an_input_has_ended_may_be_idle() {
    let quiet = Moment::from_millis(10);
    for ends_first in [true, false] {
        let mut time = TaskTime::new([source(), source()]);
        time.tick(Moment::ZERO);
        time.observe(0, TimestampMs(100), Moment::ZERO);
        time.observe(1, TimestampMs(50), Moment::ZERO);
        time.advance();
        assert_eq!(time.watermark(), TimestampMs(50));
        time.set_ended(0, ends_first);
        time.advance();
        assert_eq!(time.watermark(), TimestampMs(50), "the other input may have earlier records");
        time.tick(quiet);
        time.settle(quiet, |_, _| true);
        time.set_ended(0, true);
        time.settle(quiet, |_, _| true);
        assert_eq!((time.watermark(), time.doubts()), (TimestampMs(100), vec![]), "in either order");
        assert_eq!((time.idle_at(), time.next_timeout()), (Some(IdleAt { own: 0, above: 0 }), None));
    }
}

/// A record in a source: its place, and its event time.
#[derive(Clone, Copy, Debug)]
struct Item {
    partition: usize,
    index: usize,
    at: i64,
}

/// An entry of a repartition topic.
#[derive(Clone, Copy)]
enum Entry {
    Item(Item),
    Mark(Mark),
}

/// A task of any stage that passes on what it reads.
struct Relay {
    time: TaskTime,
    /// Next entry to read.
    position: usize,
    /// The items read since its last commit.
    pending: Vec<Item>,
    sent: Option<Mark>,
    /// The moves of its watermark: the new value, and the ends of the sources at that time.
    moves: Vec<(TimestampMs, Vec<usize>)>,
}

impl Relay {
    fn new(kind: InputKind) -> Self {
        Self { time: TaskTime::new([kind]), position: 0, pending: Vec::new(), sent: None, moves: Vec::new() }
    }

    /// Advances, after a look-up of the sources' ends if one is needed.
    fn advance(&mut self, sources: &[Vec<i64>], now: Moment, end: impl Fn(Contributor) -> IdleAt) {
        let before = self.time.watermark();
        self.time.tick(now);
        self.time.advance();
        if !self.time.doubts().is_empty() {
            self.time.settle(now, |contributor, at| at == end(contributor));
        }
        if self.time.watermark() > before {
            self.moves.push((self.time.watermark(), sources.iter().map(Vec::len).collect()));
        }
    }

    /// Whether an item came into the log after this task had closed its window.
    fn had_passed(&self, item: Item) -> bool {
        let closed = self.moves.iter().find(|(watermark, _)| watermark.0 > item.at);
        closed.is_some_and(|(_, ends)| ends[item.partition] <= item.index)
    }

    /// Writes the output of one transaction: its items, and its mark into every partition, if it differs from the last.
    fn commit(&mut self, (partition, count): (usize, usize), to: &mut [Vec<Entry>]) {
        for item in self.pending.drain(..) {
            let target = item.index % to.len();
            to[target].push(Entry::Item(item));
        }
        let (upstream, upstream_count) = (PartitionId(partition as i32), count as i32);
        let (watermark, idle) = (self.time.watermark(), self.time.idle_at());
        let mark = Mark { upstream, upstream_count, watermark, idle, ended: None };
        if (watermark > NO_WATERMARK || idle.is_some()) && self.sent != Some(mark) {
            to.iter_mut().for_each(|log| log.push(Entry::Mark(mark)));
            self.sent = Some(mark);
        }
    }
}

const SOURCES: usize = 3;

/// Three source tasks, two downstream of a shuffle, and one downstream of another.
struct World {
    sources: Vec<Vec<i64>>,
    first: Vec<Relay>,
    middle_logs: Vec<Vec<Entry>>,
    middle: Vec<Relay>,
    last_log: Vec<Vec<Entry>>,
    last: Relay,
    now: Moment,
}

impl World {
    fn new() -> Self {
        let relay = |_| Relay::new(InputKind::Repartition);
        Self {
            sources: vec![Vec::new(); SOURCES],
            first: (0..SOURCES).map(|_| Relay::new(source())).collect(),
            middle_logs: vec![Vec::new(); 2],
            middle: (0..2).map(relay).collect(),
            last_log: vec![Vec::new(); 1],
            last: relay(0),
            now: Moment::ZERO,
        }
    }

    fn step(&mut self, rng: &mut Rng) -> Result<(), String> {
        match rng.below(12) {
            0 => self.now = self.now + Duration::from_millis(rng.below(25)),
            // A burst into some of the sources, at the time of the clock.
            1 => {
                let base = i64::try_from(self.now.as_millis()).expect("a short run");
                for source in &mut self.sources {
                    let count = rng.below(4) * rng.below(2);
                    source.extend((0..count).map(|_| base + i64::try_from(rng.below(10)).expect("small")));
                }
            }
            2..6 => self.run_first(rng.below(SOURCES as u64) as usize, rng.below(5)),
            6..9 => self.run_middle(rng.below(2) as usize, rng.below(6)),
            _ => return self.run_last(rng.below(6)),
        }
        Ok(())
    }

    fn run_first(&mut self, partition: usize, count: u64) {
        let relay = &mut self.first[partition];
        for _ in 0..count {
            let Some(&at) = self.sources[partition].get(relay.position) else { break };
            relay.pending.push(Item { partition, index: relay.position, at });
            relay.position += 1;
            relay.time.observe(0, TimestampMs(at), self.now);
        }
        relay.time.set_position(0, Offset(relay.position as i64));
        relay.advance(&self.sources, self.now, |_| unreachable!("one source is all there is"));
        relay.commit((partition, SOURCES), &mut self.middle_logs);
    }

    fn run_middle(&mut self, partition: usize, count: u64) {
        let relay = &mut self.middle[partition];
        let entries = self.middle_logs[partition].iter().skip(relay.position).take(count as usize);
        for entry in entries {
            relay.position += 1;
            match entry {
                Entry::Item(item) => relay.pending.push(*item),
                Entry::Mark(mark) => assert!(relay.time.hear(0, &[*mark])),
            }
        }
        let sources = &self.sources;
        relay.advance(sources, self.now, |contributor| {
            let Contributor::Upstream { upstream, .. } = contributor else { unreachable!("no source is read here") };
            IdleAt { own: sources[upstream.0 as usize].len() as i64, above: 0 }
        });
        relay.commit((partition, 2), &mut self.last_log);
    }

    fn run_last(&mut self, count: u64) -> Result<(), String> {
        let entries: Vec<_> = self.last_log[0].iter().skip(self.last.position).take(count as usize).copied().collect();
        for entry in entries {
            self.last.position += 1;
            match entry {
                Entry::Item(item) => self.check(item)?,
                Entry::Mark(mark) => assert!(self.last.time.hear(0, &[mark])),
            }
        }
        let ends = self.sources.iter().map(|source| source.len() as i64).sum();
        self.last.advance(&self.sources, self.now, |_| IdleAt { own: 0, above: ends });
        Ok(())
    }

    /// Checks the rule: an item is late only behind records that moved the watermark of its own partition past it,
    /// or if it came after the window was closed, here or in the task that it has passed through.
    fn check(&self, item: Item) -> Result<(), String> {
        if item.at >= self.last.time.watermark().0 {
            return Ok(());
        }
        let before = &self.sources[item.partition][..item.index];
        let is_behind_its_own = before.iter().any(|at| *at > item.at);
        let middle = &self.middle[item.index % self.middle.len()];
        if is_behind_its_own || self.last.had_passed(item) || middle.had_passed(item) {
            return Ok(());
        }
        Err(format!("{item:?} was in the log, and is late at {:?}", self.last.time.watermark()))
    }

    /// Reads everything and lets all become idle: the last watermark then reaches the greatest event time.
    fn drain(&mut self) -> Result<(), String> {
        for _ in 0..6 {
            for _ in 0..2 {
                (0..SOURCES).for_each(|partition| self.run_first(partition, u64::MAX));
                (0..2).for_each(|partition| self.run_middle(partition, u64::MAX));
                self.run_last(u64::MAX)?;
            }
            self.now = self.now + LOOK_AGAIN_AFTER;
        }
        let greatest = self.sources.iter().flatten().max();
        match greatest.is_none_or(|greatest| self.last.time.watermark() == TimestampMs(*greatest)) {
            true => Ok(()),
            false => Err(format!("event time stands at {:?} of {greatest:?}", self.last.time.watermark())),
        }
    }
}

#[test]
fn an_input_that_has_ended_is_waited_for_no_longer() {
    let mut time = TaskTime::new([source(), source(), InputKind::Repartition]);
    time.observe(0, TimestampMs(5), Moment::ZERO);
    time.observe(1, TimestampMs(9), Moment::ZERO);
    assert!(time.hear(2, &[mark(0, 7), mark(1, 7)]));
    assert!(time.advance());
    assert_eq!(time.watermark(), TimestampMs(5));
    time.set_ended(0, true);
    assert!(time.advance());
    assert_eq!(time.watermark(), TimestampMs(7));
    time.set_ended(2, true);
    assert!(time.advance());
    assert_eq!((time.watermark(), time.held_by()), (TimestampMs(9), None));
    // It goes on after all.
    time.set_ended(0, false);
    time.observe(1, TimestampMs(20), Moment::ZERO);
    assert!(!time.advance(), "the first input is at 5");
    // When all have ended, the least of all is certain.
    (0..3).for_each(|input| time.set_ended(input, true));
    assert!(!time.advance());
    assert_eq!(time.watermark(), TimestampMs(9));
}

#[test]
fn a_record_that_was_there_is_late_in_no_order_of_reading() {
    for seed in 0..20_000 {
        let mut rng = Rng::from_seed(seed);
        let mut world = World::new();
        let steps = rng.below(300);
        let run = (0..steps).try_for_each(|_| world.step(&mut rng)).and_then(|()| world.drain());
        assert_eq!(run, Ok(()), "seed {seed}");
    }
}
