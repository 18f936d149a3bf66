//! A stage: the built operators of one sub-topology for one task, as a graph.
//!
//! A chain from a source to a sink is one type, and a record passes it without an indirect call. Types are erased in
//! three places: at the head, once per batch; where a stream is used more than once, because each use is a chain of its
//! own that the types before it cannot name; and where streams merge, because the next operator belongs to several
//! chains. The alternatives cost more: boxing every operator makes the chain two to four times slower, and a separate
//! chain for each use of a stream would decode and process everything before the fork again, with state of its own.
//!
//! An operator after a merge, or after the second output of a step, is kept beside the chains in a list of [`Joint`]s;
//! a chain that pushes into one knows its index in the list.
//!
//! A stream that is used once is never erased, whatever the rest of the job does: whether it forks is checked when
//! the stage is built, not when it runs.

use std::any::Any;
use std::collections::BTreeMap;

use kafka_wire::record::{Record, Records};
use kafka_wire::types::TimestampMs;

use super::calls::Calls;
use super::context::{Context, Expected, Input, Joint, Joints, Operator, Signals};
use super::step::{NodeId, Step};
use crate::error::ProcessError;
use crate::state::Stores;
use crate::types::{Reborrow, Rec, View};

/// A chain of operators, declared; at its end, records of these types come out.
pub trait Chain: Clone + Send + Sync + 'static {
    /// Key of the records that come out.
    type Key: View;
    /// Value of the records that come out.
    type Value: View;

    /// Builds the chain for one task; `next` follows it.
    fn build<N: Operator<Self::Key, Self::Value>>(&self, next: N, stage: &mut StageBuilder<'_>);
}

/// The built operators of a stage: bytes go in, and output goes to an [`Output`](crate::output::Output).
#[derive(Default)]
pub struct Stage {
    heads: Vec<(NodeId, Box<dyn Head>)>,
    joints: Joints,
    /// The steps that have joints, in the order of their declaration, with the indexes of the joints.
    joint_order: Vec<(NodeId, usize)>,
    /// Whether a step cares for the order between the inputs of the task.
    orders_inputs: bool,
    /// Whether a step makes calls to the outside.
    makes_calls: bool,
}

/// The head of a chain: takes the records of a batch.
pub trait Head: Signals {
    /// Takes records until their end, or until one that is not for the operators.
    ///
    /// # Errors
    /// If the job has to stop; the records up to then have had their effect, which a rollback has to undo.
    fn run<'r>(
        &mut self,
        records: &mut Records<'r>,
        input: &Input,
        context: &mut Context<'_>,
    ) -> Result<Stop<'r>, ProcessError>;

    /// The event time of a record that waits for its turn; the timestamp that it was written with, if it cannot be
    /// decoded.
    fn event_time(&mut self, record: &Record<'_>) -> TimestampMs;
}

/// The place at which a head stops to take records.
#[derive(Clone, Copy, Debug)]
pub enum Stop<'r> {
    /// The end of the records.
    End,
    /// A record without a key in a repartition topic, which is a mark for the task.
    Mark(Record<'r>),
    /// The record at [`Input::excluded`].
    Excluded(Record<'r>),
}

impl Stage {
    /// The sources, in the order of their declaration; [`Stage::run`] takes an index of it.
    pub fn heads(&self) -> impl Iterator<Item = NodeId> {
        self.heads.iter().map(|(node, _)| *node)
    }

    /// See [`Head::run`].
    ///
    /// # Errors
    /// As [`Head::run`].
    pub fn run<'r>(
        &mut self,
        head: usize,
        records: &mut Records<'r>,
        input: &Input,
        context: &mut Context<'_>,
    ) -> Result<Stop<'r>, ProcessError> {
        let Self { heads, joints, .. } = self;
        let at_work = AtWork::new(joints, context);
        heads[head].1.run(records, input, at_work.context)
    }

    /// Whether a step cares for the order between the inputs of the task.
    #[must_use]
    pub const fn orders_inputs(&self) -> bool {
        self.orders_inputs
    }

    /// Whether a step makes calls to the outside.
    #[must_use]
    pub const fn makes_calls(&self) -> bool {
        self.makes_calls
    }

    /// See [`Signals::forget_calls`].
    pub fn forget_calls(&mut self) {
        self.heads.iter_mut().for_each(|(_, head)| head.forget_calls());
        self.joints.slots.iter_mut().flatten().for_each(|joint| joint.forget_calls());
    }

    /// See [`Signals::committed`].
    pub fn committed(&mut self, stores: &mut Stores) {
        self.heads.iter_mut().for_each(|(_, head)| head.committed(stores));
        self.joints.slots.iter_mut().flatten().for_each(|joint| joint.committed(stores));
    }

    /// See [`Head::event_time`].
    pub fn event_time(&mut self, head: usize, record: &Record<'_>) -> TimestampMs {
        self.heads[head].1.event_time(record)
    }

    /// Passes a signal to each operator once, to those before a merge first.
    ///
    /// # Errors
    /// The first error of an operator; the remaining operators do not get the signal then.
    pub fn signal(&mut self, context: &mut Context<'_>, signal: Signal) -> Result<(), ProcessError> {
        self.pass(context, signal, |_| true)
    }

    /// Passes [`Signals::watermark`] to the operators; as long as results of calls to the outside are awaited, not to
    /// those that such a result may still reach through a merge.
    ///
    /// # Errors
    /// As [`Stage::signal`].
    pub fn watermark(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        self.pass(context, |stage, context| stage.watermark(context), |calls| calls.awaited == 0)
    }

    fn pass(
        &mut self,
        context: &mut Context<'_>,
        signal: Signal,
        passes_merges: fn(&Calls) -> bool,
    ) -> Result<(), ProcessError> {
        let Self { heads, joints, joint_order, .. } = self;
        let at_work = AtWork::new(joints, context);
        heads.iter_mut().try_for_each(|(_, head)| signal(&mut **head, at_work.context))?;
        // Steps are declared from the sources on: every operator that pushes into a joint has had the signal by then.
        for (_, index) in &*joint_order {
            if !passes_merges(at_work.context.calls) {
                break;
            }
            at_work.context.with_joint(*index, |joint, context| signal(joint, context))?;
        }
        Ok(())
    }
}

/// A method of [`Signals`].
pub type Signal = fn(&mut dyn Signals, &mut Context<'_>) -> Result<(), ProcessError>;

/// Lends the joints of a stage to the context, until its drop: also when the code of the user panics.
struct AtWork<'s, 'c, 'a> {
    joints: &'s mut Joints,
    context: &'c mut Context<'a>,
}

impl<'s, 'c, 'a> AtWork<'s, 'c, 'a> {
    fn new(joints: &'s mut Joints, context: &'c mut Context<'a>) -> Self {
        std::mem::swap(&mut context.joints, joints);
        Self { joints, context }
    }
}

impl Drop for AtWork<'_, '_, '_> {
    fn drop(&mut self) {
        std::mem::swap(&mut self.context.joints, self.joints);
    }
}

/// Collects the built operators of a stage.
pub struct StageBuilder<'t> {
    uses: &'t dyn Fn(NodeId) -> usize,
    tees: &'t BTreeMap<NodeId, TeeMaker>,
    /// The arms of forks that are not complete yet, with their first steps: a `Vec<(NodeId, Arm<K, V>)>` each.
    forks: BTreeMap<NodeId, Box<dyn Any>>,
    stage: Stage,
}

impl<'t> StageBuilder<'t> {
    /// `uses` returns the number of steps that follow a step, `tees` joins those of a step that has several.
    pub fn new(uses: &'t dyn Fn(NodeId) -> usize, tees: &'t BTreeMap<NodeId, TeeMaker>) -> Self {
        Self { uses, tees, forks: BTreeMap::new(), stage: Stage::default() }
    }

    /// Adds the head of a chain.
    pub fn head(&mut self, node: NodeId, head: Box<dyn Head>) {
        self.stage.heads.push((node, head));
    }

    /// Says that a step cares for the order between the inputs of the task: records of all inputs are then processed in
    /// the order of their event time, as far as it is known.
    pub fn order_inputs(&mut self) {
        self.stage.orders_inputs = true;
    }

    /// Says that a step makes calls to the outside, which commits wait for.
    pub fn make_calls(&mut self) {
        self.stage.makes_calls = true;
    }

    /// Adds the operator after a merge at the step `node`. Returns its index.
    pub fn joint(&mut self, node: NodeId, joint: Box<dyn Joint>) -> usize {
        let place = self.place(node);
        self.stage.joints.slots[place] = Some(joint);
        place
    }

    /// The index of the joint after the second output of a step, which is the stream `node`; `None` if no step follows.
    pub(super) fn side(&mut self, node: NodeId) -> Option<usize> {
        ((self.uses)(node) > 0).then(|| self.place(node))
    }

    /// The number of steps that follow a step.
    #[must_use]
    pub fn uses(&self, node: NodeId) -> usize {
        (self.uses)(node)
    }

    /// The index of the joint of a step, which may be filled later.
    fn place(&mut self, node: NodeId) -> usize {
        let known = self.stage.joint_order.iter().find(|(known, _)| *known == node);
        known.map(|(_, place)| *place).unwrap_or_else(|| {
            self.stage.joints.slots.push(None);
            let place = self.stage.joints.slots.len() - 1;
            self.stage.joint_order.push((node, place));
            place
        })
    }

    /// The stage, after every chain has been built.
    #[must_use]
    pub fn finish(mut self) -> Stage {
        debug_assert!(self.forks.is_empty(), "every use of a stream ends in a sink");
        debug_assert!(self.stage.joints.slots.iter().all(Option::is_some), "every stream that is used is built");
        self.stage.heads.sort_by_key(|(node, _)| *node);
        self.stage.joint_order.sort_unstable();
        self.stage
    }

    /// Adds an arm to a fork; returns the joined arms when they are complete.
    fn arm<K: View, V: View>(&mut self, node: NodeId, count: usize, arm: Numbered<Arm<K, V>>) -> Option<Arm<K, V>> {
        let arms = self.forks.entry(node).or_insert_with(|| Box::new(Vec::<Numbered<Arm<K, V>>>::new()));
        let arms = arms.downcast_mut::<Vec<Numbered<Arm<K, V>>>>().expect("the steps after a step take what it gives");
        arms.push(arm);
        if arms.len() < count {
            return None;
        }
        let mut arms = std::mem::take(arms);
        // In the order of their declaration: a look-up finds what a step before it has made of the same record.
        arms.sort_by_key(|(first, _)| *first);
        let arms = arms.into_iter().map(|(_, arm)| arm).collect();
        self.forks.remove(&node);
        let TeeMaker(maker) = self.tees.get(&node).expect("a stream that is used twice was cloned");
        let maker = maker.downcast_ref::<fn(Vec<Arm<K, V>>) -> Arm<K, V>>();
        Some(maker.expect("made for the types of this step")(arms))
    }
}

/// Something that belongs to a step.
type Numbered<T> = (NodeId, T);

/// Any operator that takes records of these types.
pub type Arm<K, V> = Box<dyn Operator<K, V>>;

impl<K: View, V: View> Signals for Arm<K, V> {
    fn next(&mut self) -> Option<&mut dyn Signals> {
        (**self).next()
    }

    fn looks_ahead(&mut self) -> bool {
        (**self).looks_ahead()
    }

    fn expect(&mut self, ahead: &[Expected<'_>], context: &mut Context<'_>) {
        (**self).expect(ahead, context);
    }

    fn watermark(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        (**self).watermark(context)
    }

    fn tick(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        (**self).tick(context)
    }

    fn resume(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        (**self).resume(context)
    }

    fn forget_calls(&mut self) {
        (**self).forget_calls();
    }

    fn committed(&mut self, stores: &mut Stores) {
        (**self).committed(stores);
    }

    fn run_ended(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        (**self).run_ended(context)
    }

    fn before_commit(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        (**self).before_commit(context)
    }
}

impl<K: View, V: View> Operator<K, V> for Arm<K, V> {
    fn push(&mut self, record: Rec<'_, K, V>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        (**self).push(record, context)
    }
}

/// The end of a chain at a step of the job, which any number of other steps may follow.
#[derive(Clone)]
pub struct Junction<C> {
    pub(crate) chain: C,
    pub(crate) node: NodeId,
    /// The step that follows.
    pub(crate) before: NodeId,
}

impl<C: Chain> Chain for Junction<C> {
    type Key = C::Key;
    type Value = C::Value;

    fn build<N: Operator<C::Key, C::Value>>(&self, next: N, stage: &mut StageBuilder<'_>) {
        let next = Step { node: self.before, next };
        match (stage.uses)(self.node) {
            0 | 1 => self.chain.build(next, stage),
            count => {
                if let Some(all) = stage.arm(self.node, count, (self.before, Box::new(next))) {
                    self.chain.build(all, stage);
                }
            }
        }
    }
}

/// Joins the arms of a fork whose types it knows: a `fn(Vec<Arm<K, V>>) -> Arm<K, V>`. It is made where a stream is
/// cloned, because only there the record types are known to allow that each arm gets the records.
pub struct TeeMaker(Box<dyn Any + Send + Sync>);

/// Makes the joiner for a fork of a stream of records of these types.
#[must_use]
pub fn tee<K: Reborrow, V: Reborrow>() -> TeeMaker {
    let make: fn(Vec<Arm<K, V>>) -> Arm<K, V> = |arms| Box::new(Tee { arms });
    TeeMaker(Box::new(make))
}

/// Passes each record to each of its arms.
struct Tee<K: View, V: View> {
    arms: Vec<Arm<K, V>>,
}

impl<K: View, V: View> Tee<K, V> {
    fn signal(
        &mut self,
        mut signal: impl FnMut(&mut Arm<K, V>) -> Result<(), ProcessError>,
    ) -> Result<(), ProcessError> {
        self.arms.iter_mut().try_for_each(&mut signal)
    }
}

impl<K: View, V: View> Signals for Tee<K, V> {
    fn next(&mut self) -> Option<&mut dyn Signals> {
        None
    }

    fn looks_ahead(&mut self) -> bool {
        self.arms.iter_mut().any(Signals::looks_ahead)
    }

    fn expect(&mut self, ahead: &[Expected<'_>], context: &mut Context<'_>) {
        self.arms.iter_mut().for_each(|arm| arm.expect(ahead, context));
    }

    fn watermark(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        self.signal(|arm| arm.watermark(context))
    }

    fn tick(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        self.signal(|arm| arm.tick(context))
    }

    fn resume(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        self.signal(|arm| arm.resume(context))
    }

    fn forget_calls(&mut self) {
        self.arms.iter_mut().for_each(Signals::forget_calls);
    }

    fn committed(&mut self, stores: &mut Stores) {
        self.arms.iter_mut().for_each(|arm| arm.committed(stores));
    }

    fn run_ended(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        self.signal(|arm| arm.run_ended(context))
    }

    fn before_commit(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        self.signal(|arm| arm.before_commit(context))
    }
}

impl<K: Reborrow, V: Reborrow> Operator<K, V> for Tee<K, V> {
    fn push(&mut self, record: Rec<'_, K, V>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        self.arms.iter_mut().try_for_each(|arm| arm.push(record.reborrow(), context))
    }
}
