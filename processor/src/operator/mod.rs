//! The operators of a stage, one file each.
//!
//! A stage is everything between two shuffles. Its operators push: each calls the next with a borrowed record,
//! and a chain of operators is one type, so that it compiles to one loop. Types are erased only where the graph makes
//! that necessary, see [`Stage`].
//!
//! A chain is declared from the source on and built from the sink on. [`Chain`] is the declared half (cheap to clone,
//! shared by all tasks), [`Operator`] the built half (one per task). State is in neither: it is in the stores of the
//! task, which operators reach by handles.

mod aggregate;
mod aggregation;
mod async_map;
mod broadcast;
mod calls;
mod co_process;
mod cogroup;
mod context;
mod dedup;
mod detect;
mod emit;
mod failures;
mod filter;
mod filter_map;
mod flat_map;
mod flat_map_values;
mod foreign;
mod global_state;
mod join;
mod join_global;
mod jump_guard;
mod key_by;
mod keyed_state;
mod latest;
mod map;
mod merge;
mod outside;
mod peek;
mod process;
mod select_key;
mod side;
mod source;
mod stage;
mod stamp;
mod step;
mod stream_time;
mod table;
mod to;
mod to_all;
mod to_chosen;
mod to_named;
mod trigger;
mod try_map;
mod two_phase;
mod two_sided;
mod versions;
mod windowed_keys;
mod windowing;

pub use aggregate::{Aggregate, AggregateSpec, WindowAggregate};
pub use aggregation::{
    Aggregation, Average, Count, Distinct, Fold, Greatest, Kept, Least, Maybe, NoMerge, Number, Reduce, Sum,
    SumAndCount, Top,
};
pub use async_map::{AsyncMap, CallOptions};
pub use broadcast::{BroadcastProcess, BroadcastProcessing, BroadcastState, KeyedState, RuleScope};
pub use calls::{CallHub, Calls};
pub use co_process::{CoProcess, CoProcessing};
pub use cogroup::{Contribute, Update, UpdateRef};
pub use context::{Context, Counters, Expected, Input, Joint, Joints, Operator, Place, Signals};
pub use dedup::{Dedup, Memory};
pub use detect::{Detect, DetectSpec};
pub use emit::{Emit, Intervals};
pub use failures::{Failure, Failures, RecordPlace};
pub use filter::{Filter, FilterOperator};
pub use filter_map::FilterMap;
pub use flat_map::{FlatMap, FlatMapOperator, Outputs};
pub use flat_map_values::FlatMapValues;
pub use foreign::{
    Answer, Answering, AnsweringSpec, Reveal, RevealSpec, Shown, Subscribe, SubscribeSpec, Subscriber, Subscription,
};
pub(crate) use foreign::{AnswerSerde, Crossing, ShownSerde, SubscriberSerde, SubscriptionSerde};
pub use global_state::GlobalState;
pub(crate) use join::WaitingSerde;
pub use join::{JoinSpec, Retention, StreamJoin, Waiting};
pub use join_global::JoinGlobal;
pub(crate) use jump_guard::ANY_JUMP;
pub use key_by::KeyBy;
pub use keyed_state::{ListState, MapState, TimelineState, ValueState};
pub use latest::{Latest, LatestChanges, LatestSpec};
pub use map::{Map, MapOperator};
pub use merge::{Inlet, Merge};
pub(crate) use outside::ToOutside;
pub use outside::{BatchOptions, Outgoing, ResultId};
pub use peek::Peek;
pub use process::{InTask, Output, Process, ProcessSpec, Processing, Scope};
pub use select_key::SelectKey;
pub use side::{Side, SideOutlet};
pub use source::{RecordTime, Source, SourceOperator, TimestampExtractor};
pub use stage::{Arm, Chain, Head, Junction, Signal, Stage, StageBuilder, Stop, TeeMaker, tee};
pub use stamp::{SetHeaders, SetTimestamp};
pub use step::NodeId;
pub(crate) use step::{catch, take_panicked};
pub use table::{Change, Drain, Lookup, Optional, Rows, Upsert};
pub use to::{ByKey, Partitioner, To, ToPartition};
pub use to_all::ToAll;
pub use to_chosen::ToChosen;
pub use to_named::ToNamed;
pub(crate) use trigger::Rule;
pub use trigger::{EmitRule, Trigger, TriggerResult, TriggerScope, When};
pub use try_map::{MapOrFail, TryMap};
pub use two_phase::{SinkPlace, SinkWriter, TwoPhaseSink};
pub(crate) use two_phase::{ToTwoPhase, TwoPhaseSpec};
pub use versions::{KeepVersions, Versions};
pub use windowed_keys::WindowedKeys;
pub use windowing::{
    Activity, ByCount, Counted, Gathering, Lenient, PaneTiming, SessionWindowTiming, Show, Unmerged, Windowing,
};
