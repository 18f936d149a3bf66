//! Members of groups that come, close and die while the group rebalances, by both protocols: no partition has two
//! owners, no record is left out, nothing is committed that nobody was given, and who closes is not waited for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use conformance::reader::create_topic;
use conformance::writer::write;
use conformance::{TestBroker, client_config, on_both_brokers, within};
use kafka_wire::client::{
    AssignmentChange, Assignor, Client, GroupConsumer, GroupConsumerBuilder, GroupProtocol, Polled, ResetPolicy,
    fetch_unstable_offsets,
};
use kafka_wire::cluster::TopicPartition;
use kafka_wire::protocol::ApiKey;
use kafka_wire::types::PartitionId;
use testkit::fault::{Action, Rule};
use testkit::proxy::Proxy;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

on_both_brokers!(
    a_storm_of_joins_and_deaths_loses_nothing_and_shares_nothing_twice,
    a_consumer_that_closes_in_a_rebalance_is_not_waited_for,
    a_consumer_that_is_dropped_in_a_rebalance_is_replaced,
);

const WAIT: Duration = Duration::from_secs(90);
const PARTITIONS: i32 = 12;

/// A way to share partitions: the name, for messages, and what a consumer has to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sharing {
    Eager,
    Cooperative,
    ByCoordinator,
}

const ALL: [Sharing; 3] = [Sharing::Eager, Sharing::Cooperative, Sharing::ByCoordinator];

impl Sharing {
    fn apply(self, builder: GroupConsumerBuilder) -> GroupConsumerBuilder {
        match self {
            Self::Eager => builder.assignors([Assignor::Range]),
            Self::Cooperative => builder.assignors([Assignor::CooperativeSticky]),
            Self::ByCoordinator => builder.group_protocol(GroupProtocol::Consumer),
        }
    }
}

async fn connect(broker: &TestBroker) -> Client {
    Client::connect(client_config(broker.bootstrap())).await.expect("the broker listens")
}

/// The partitions and the records that the members of a group were given, each member by its number.
#[derive(Debug, Default)]
struct Book {
    owners: BTreeMap<TopicPartition, u32>,
    /// The partitions that each member was given and has not given up.
    held: BTreeMap<u32, BTreeSet<TopicPartition>>,
    /// The generation, or the member epoch, of each member at its last poll.
    generations: BTreeMap<u32, i32>,
    /// How often each offset of a partition was handed to a member.
    delivered: BTreeMap<TopicPartition, Vec<u32>>,
}

impl Book {
    /// A member whose session is over may not know yet that its partitions have another owner, which is then of a later
    /// generation.
    fn assigned(&mut self, member: u32, partition: TopicPartition) {
        let generation = self.generations[&member];
        if let Some(other) = self.owners.get(&partition) {
            let their = self.generations[other];
            assert!(their < generation, "{partition} of member {other} in {their} is {member}'s in {generation}");
        }
        self.owners.insert(partition.clone(), member);
        assert!(self.held.entry(member).or_default().insert(partition), "member {member} was given it before");
    }

    /// Every partition is given up, or lost, once.
    fn given_up(&mut self, member: u32, partition: &TopicPartition) {
        let was_held = self.held.get_mut(&member).is_some_and(|held| held.remove(partition));
        assert!(was_held, "member {member} is told twice that {partition} is gone");
        if self.owners.get(partition) == Some(&member) {
            self.owners.remove(partition);
        }
    }

    fn read(&mut self, member: u32, partition: TopicPartition, offsets: &[i64]) {
        assert!(self.held[&member].contains(&partition), "member {member} reads {partition}");
        let counts = self.delivered.entry(partition).or_default();
        for offset in offsets {
            let offset = usize::try_from(*offset).expect("not negative");
            counts.resize(counts.len().max(offset + 1), 0);
            counts[offset] += 1;
        }
    }

    /// Notes that a member is about to close, or has died.
    fn forget(&mut self, member: u32) {
        self.owners.retain(|_, owner| *owner != member);
        self.held.remove(&member);
    }

    /// Number of records from the beginning of a partition that were handed to members without a gap.
    fn delivered_up_to(&self, partition: &TopicPartition) -> i64 {
        let counts = self.delivered.get(partition).map_or(&[][..], Vec::as_slice);
        let count = counts.iter().position(|count| *count == 0).unwrap_or(counts.len());
        i64::try_from(count).expect("few")
    }

    /// Whether these members have all partitions, and each has some.
    fn is_shared(&self, partitions: usize, members: &BTreeSet<u32>) -> bool {
        self.owners.len() == partitions && self.owners.values().copied().collect::<BTreeSet<u32>>() == *members
    }
}

type Books = Arc<Mutex<Book>>;

fn open(book: &Books) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Polls once, and enters the outcome. Nothing is awaited in between, so no record is handed out without an entry.
async fn poll(member: u32, consumer: &mut GroupConsumer, book: &Books) {
    let mut read = None;
    let mut changed = None;
    match consumer.poll().await.expect("the group works") {
        Polled::Batch(batch) => {
            let partition = batch.topic_partition().clone();
            let offsets: Vec<i64> = batch.map(|record| record.expect("a whole record").offset).collect();
            read = Some((partition, offsets));
        }
        Polled::Assignment(change) => changed = Some(change),
    }
    let generation = consumer.group_metadata().generation;
    let mut book = open(book);
    book.generations.insert(member, generation);
    if let Some((partition, offsets)) = read {
        book.read(member, partition, &offsets);
    }
    match changed {
        None | Some(AssignmentChange::Revoked(_)) => {}
        Some(AssignmentChange::Assigned(partitions)) => {
            partitions.into_iter().for_each(|partition| book.assigned(member, partition));
        }
        Some(AssignmentChange::Revoking(partitions) | AssignmentChange::Lost { partitions, .. }) => {
            partitions.iter().for_each(|partition| book.given_up(member, partition));
        }
        Some(change) => panic!("{change:?}"),
    }
}

/// A group, its members, and somebody who writes to its topic.
struct Group {
    sharing: Sharing,
    topic: String,
    group_id: String,
    builder: GroupConsumerBuilder,
    bootstrap: String,
    outside: Client,
    book: Books,
    members: BTreeMap<u32, Member>,
    next_member: u32,
    committed: BTreeMap<TopicPartition, i64>,
}

struct Member {
    close: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Group {
    async fn new(broker: &TestBroker, sharing: Sharing) -> Self {
        let (topic, group_id, outside) = (broker.unique("t"), broker.unique("g"), connect(broker).await);
        create_topic(&outside, &topic, PARTITIONS).await;
        let builder = GroupConsumer::builder(group_id.clone())
            .topics([topic.clone()])
            .auto_offset_reset(ResetPolicy::Earliest)
            .auto_commit_interval(Duration::from_millis(100))
            .session_timeout(Duration::from_secs(6), Duration::from_millis(200));
        Self {
            sharing,
            topic,
            group_id,
            builder: sharing.apply(builder),
            bootstrap: broker.bootstrap().to_owned(),
            outside,
            book: Books::default(),
            members: BTreeMap::new(),
            next_member: 0,
            committed: BTreeMap::new(),
        }
    }

    fn partitions(&self) -> Vec<TopicPartition> {
        (0..PARTITIONS).map(|index| TopicPartition::new(self.topic.as_str(), PartitionId(index))).collect()
    }

    /// Starts members, each with connections of its own as in another process, until there are so many.
    fn grow(&mut self, count: usize) {
        while self.members.len() < count {
            let (member, (close, closed)) = (self.next_member, watch::channel(false));
            self.next_member += 1;
            let (bootstrap, builder, book) = (self.bootstrap.clone(), self.builder.clone(), Arc::clone(&self.book));
            let task = tokio::spawn(async move {
                let client = Client::connect(client_config(&bootstrap)).await.expect("the broker listens");
                let consumer = builder.build(client).await.expect("the configuration is sound");
                live(member, consumer, &book, closed).await;
            });
            self.members.insert(member, Member { close, task });
        }
    }

    /// Ends the oldest members until there are so many: two of three abruptly, as a process that is killed.
    async fn shrink(&mut self, count: usize) {
        while self.members.len() > count {
            let (number, member) = self.members.pop_first().expect("there is one");
            if number % 3 == 2 {
                member.close.send_replace(true);
                within("the end of a member", WAIT, member.task).await.expect("it closes in order");
            } else {
                member.task.abort();
                let ended = member.task.await.expect_err("it lives until it is told to close");
                assert!(ended.is_cancelled(), "{:?}: member {number} failed, see above", self.sharing);
            }
            open(&self.book).forget(number);
        }
    }

    /// Lets the storm blow for a while, and looks at what is committed.
    async fn pass(&mut self, time: Duration) {
        let start = Instant::now();
        while start.elapsed() < time {
            self.look_at_commits().await;
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// A committed offset never goes back, and every record before it was handed to a member.
    async fn look_at_commits(&mut self) {
        let committed = fetch_unstable_offsets(&self.outside, &self.group_id, &self.partitions()).await;
        for (partition, committed) in committed.expect("the coordinator answers") {
            let Some(committed) = committed.map(|committed| committed.offset.0) else { continue };
            let delivered = open(&self.book).delivered_up_to(&partition);
            let what = format!("{:?}: {partition} at {committed}", self.sharing);
            assert!(committed <= delivered, "{what}, of which only {delivered} were handed out");
            let before = self.committed.insert(partition, committed).unwrap_or(0);
            assert!(before <= committed, "{what}, which was at {before}");
        }
    }

    /// Waits until the members have all partitions, have read up to `ends`, and committed it.
    async fn come_to_rest(&mut self, ends: &BTreeMap<TopicPartition, i64>) {
        let members: BTreeSet<u32> = self.members.keys().copied().collect();
        let start = Instant::now();
        while self.committed != *ends || !open(&self.book).is_shared(ends.len(), &members) {
            let failed = self.members.values().filter(|member| member.task.is_finished()).count();
            assert_eq!(failed, 0, "{:?}: members have failed, see above", self.sharing);
            assert!(start.elapsed() < WAIT, "{:?}: {:?} of {ends:?}", self.sharing, self.committed);
            self.pass(Duration::from_millis(100)).await;
        }
    }
}

/// Polls until it is told to close.
async fn live(member: u32, mut consumer: GroupConsumer, book: &Books, mut closed: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => break,
            () = poll(member, &mut consumer, book) => {}
        }
    }
    open(book).forget(member);
    // The last commit may be refused between two generations; what it had is read again then.
    drop(consumer.close().await);
}

/// Writes to all partitions until it is stopped; returns their ends.
fn write_on(group: &Group, mut stop: watch::Receiver<bool>) -> JoinHandle<BTreeMap<TopicPartition, i64>> {
    let (client, partitions) = (group.outside.clone(), group.partitions());
    tokio::spawn(async move {
        let mut ends = BTreeMap::new();
        while !*stop.borrow_and_update() {
            for partition in &partitions {
                let last = write(&client, partition, &["one", "two"]).await;
                ends.insert(partition.clone(), last.0 + 2);
            }
            sleep(Duration::from_millis(5)).await;
        }
        ends
    })
}

async fn a_storm_of_joins_and_deaths_loses_nothing_and_shares_nothing_twice(broker: TestBroker) {
    let mut groups = JoinSet::new();
    for sharing in ALL {
        groups.spawn(storm(Group::new(&broker, sharing).await));
    }
    while let Some(group) = groups.join_next().await {
        group.expect("the group comes through, see above");
    }
}

async fn storm(mut group: Group) {
    let (stop, stopped) = watch::channel(false);
    let writer = write_on(&group, stopped);
    group.grow(1);
    group.pass(Duration::from_secs(1)).await;
    for _ in 0..2 {
        for (count, millis) in [(8, 1_500), (3, 1_000), (5, 1_000)] {
            group.shrink(count).await;
            group.grow(count);
            group.pass(Duration::from_millis(millis)).await;
        }
    }
    stop.send_replace(true);
    let ends = writer.await.expect("the partitions can be written to");
    group.come_to_rest(&ends).await;
    group.shrink(0).await;
}

/// The moment of a rebalance at which a member ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Its first request is on its way; in a classic group it has no member id yet.
    FirstRequest,
    /// In a classic group it has asked to join, and the others have not.
    Join,
    /// In a classic group it has joined, and waits for its partitions.
    Sync,
    /// It has been told to give partitions up, and has not done that yet.
    Revocation,
}

const MOMENTS: [At; 4] = [At::FirstRequest, At::Join, At::Sync, At::Revocation];

/// Number of partitions of a group whose member ends: a third member gets some of both others.
const FEW: usize = 6;

/// A member that stays, one that is about to end in a rebalance, and perhaps a third one, which began the rebalance.
struct Ending {
    outside: Client,
    topic: String,
    builder: GroupConsumerBuilder,
    book: Books,
    stays: GroupConsumer,
    ends: Option<GroupConsumer>,
    third: Option<GroupConsumer>,
}

impl Ending {
    /// The member that ends is at this moment of a rebalance; it has the number 1.
    async fn new(case: &Case, session_timeout: Duration) -> Self {
        let Case { broker, sharing, at, topic } = case;
        let (sharing, at, topic, outside) = (*sharing, *at, topic.clone(), connect(broker).await);
        let builder = GroupConsumer::builder(broker.unique("g"))
            .topics([topic.clone()])
            .auto_offset_reset(ResetPolicy::Earliest)
            .session_timeout(session_timeout, Duration::from_millis(200));
        let builder = sharing.apply(builder);
        let mut stays = builder.clone().build(connect(broker).await).await.expect("the configuration is sound");
        let book = Books::default();
        while open(&book).owners.len() < FEW {
            within("all partitions", WAIT, poll(0, &mut stays, &book)).await;
        }
        let proxy = Proxy::default();
        let first = if sharing == Sharing::ByCoordinator { ApiKey::ConsumerGroupHeartbeat } else { ApiKey::JoinGroup };
        // The request is sent and not answered when the member ends.
        let delayed = match at {
            At::FirstRequest => Some(first),
            At::Sync => Some(ApiKey::SyncGroup),
            At::Join | At::Revocation => None,
        };
        if let Some(api) = delayed {
            proxy.inject(Rule { api_key: api.into(), nth: 1, action: Action::Delay(Duration::from_millis(150)) });
        }
        let client = Client::connect_with(client_config(broker.bootstrap()), proxy.connector()).await;
        let ends = builder.clone().build(client.expect("the broker listens")).await.expect("a sound configuration");
        let mut ending = Self { outside, topic, builder, book, stays, ends: Some(ends), third: None };
        match at {
            At::FirstRequest => ending.poll_until(|_| proxy.requests(first) >= 1).await,
            // The other member does not poll, and so does not join.
            At::Join => {
                let ends = ending.ends.as_mut().expect("it is there");
                within("the second JoinGroup", WAIT, async {
                    while proxy.requests(ApiKey::JoinGroup) < 2 {
                        drop(tokio::time::timeout(Duration::from_millis(5), ends.poll()).await);
                    }
                })
                .await;
            }
            At::Sync => ending.poll_until(|_| proxy.requests(ApiKey::SyncGroup) >= 1).await,
            At::Revocation => {
                ending.poll_until(|book| book.is_shared(FEW, &BTreeSet::from([0, 1]))).await;
                ending.start_third().await;
                let held = |book: &Book| book.held.get(&1).map_or(0, BTreeSet::len);
                let before = held(&open(&ending.book));
                ending.poll_until(|book| held(book) < before).await;
            }
        }
        ending
    }

    async fn start_third(&mut self) {
        if self.third.is_none() {
            let servers = self.outside.config().bootstrap_servers.join(",");
            let client = Client::connect(client_config(&servers)).await.expect("the broker listens");
            self.third = Some(self.builder.clone().build(client).await.expect("the configuration is sound"));
        }
    }

    /// Polls all members. A poll that is cancelled loses nothing.
    async fn poll_until(&mut self, done: impl Fn(&Book) -> bool) {
        let Self { book, stays, ends, third, .. } = self;
        let start = Instant::now();
        while !done(&open(book)) {
            assert!(start.elapsed() < WAIT, "{:?}", open(book));
            let other = async |number, consumer: &mut Option<GroupConsumer>| match consumer {
                Some(consumer) => poll(number, consumer, book).await,
                None => std::future::pending().await,
            };
            tokio::select! {
                () = poll(0, stays, book) => {}
                () = other(1, ends) => {}
                () = other(2, third) => {}
                () = sleep(Duration::from_millis(5)) => {}
            }
        }
    }

    /// The members that are left share the partitions, and read what is written then.
    async fn share_and_read(&mut self) {
        self.start_third().await;
        self.poll_until(|book| book.is_shared(FEW, &BTreeSet::from([0, 2]))).await;
        let all = (0..FEW).map(|index| PartitionId(i32::try_from(index).expect("few")));
        let all: Vec<_> = all.map(|index| TopicPartition::new(self.topic.as_str(), index)).collect();
        for partition in &all {
            write(&self.outside, partition, &["last"]).await;
        }
        self.poll_until(|book| all.iter().all(|partition| book.delivered_up_to(partition) == 1)).await;
    }
}

/// A way to share, a moment, and a topic of its own.
struct Case {
    broker: Arc<TestBroker>,
    sharing: Sharing,
    at: At,
    topic: String,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, {:?}", self.sharing, self.at)
    }
}

/// Calls `end` for each way to share and each moment, all at the same time.
async fn at_each_moment<F>(broker: TestBroker, end: impl Fn(Case) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (outside, broker, mut endings) = (connect(&broker).await, Arc::new(broker), JoinSet::new());
    for sharing in ALL {
        let is_there = |at: &At| sharing != Sharing::ByCoordinator || !matches!(at, At::Join | At::Sync);
        for at in MOMENTS.into_iter().filter(is_there) {
            let topic = broker.unique("t");
            create_topic(&outside, &topic, i32::try_from(FEW).expect("few")).await;
            endings.spawn(end(Case { broker: Arc::clone(&broker), sharing, at, topic }));
        }
    }
    while let Some(ending) = endings.join_next().await {
        ending.expect("the others go on, see above");
    }
}

async fn a_consumer_that_closes_in_a_rebalance_is_not_waited_for(broker: TestBroker) {
    at_each_moment(broker, |case| async move {
        // Long after a group that does not wait; members of the consumer protocol have the session timeout of the
        // suite's brokers, 20 s.
        let (session_timeout, limit) = match case.sharing {
            Sharing::ByCoordinator => (Duration::from_secs(20), Duration::from_secs(15)),
            Sharing::Eager | Sharing::Cooperative => (Duration::from_secs(90), Duration::from_secs(60)),
        };
        let mut ending = Ending::new(&case, session_timeout).await;
        let ends = ending.ends.take().expect("it is there");
        open(&ending.book).forget(1);
        let closed = Instant::now();
        // The commit of a member without a position does nothing.
        within(&format!("the end of close: {case}"), limit, ends.close()).await.expect("nothing was read");
        within(&format!("the others' shares: {case}"), limit, ending.share_and_read()).await;
        assert!(closed.elapsed() < limit, "{case}: {:?}", closed.elapsed());
    })
    .await;
}

async fn a_consumer_that_is_dropped_in_a_rebalance_is_replaced(broker: TestBroker) {
    at_each_moment(broker, |case| async move {
        let mut ending = Ending::new(&case, Duration::from_secs(6)).await;
        // As when its process dies: the coordinator waits for its session timeout.
        drop(ending.ends.take());
        open(&ending.book).forget(1);
        within(&format!("the others' shares: {case}"), WAIT, ending.share_and_read()).await;
    })
    .await;
}
