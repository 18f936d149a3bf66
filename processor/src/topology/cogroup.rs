//! Streams of different types that are gathered into one value a key, as methods.

use std::marker::PhantomData;

use super::{Stream, WindowedBy};
use crate::operator::{Chain, Contribute, Emit, Junction, Merge, Update, Windowing};
use crate::serde::Serde;
use crate::types::{Owned, Reborrow, Rec};

/// Streams whose records change one value a key, each in its own way. Made by [`Stream::cogroup`].
#[must_use = "nothing is gathered before .aggregate(..)"]
pub struct Cogrouped<KS, C> {
    updates: Stream<KS, C>,
}

impl<KS: Serde<View: Reborrow>, C: Chain<Key = KS::View>> Stream<KS, C> {
    /// Begins to gather the records of several streams into one value a key; `add` changes the value by a record of
    /// this stream. [`Cogrouped::and`] adds further streams, of any type, and [`Cogrouped::aggregate`] the value.
    ///
    /// ```
    /// use processor::driver::TestDriver;
    /// use processor::{Emit, Json, Topology, Utf8};
    ///
    /// #[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
    /// struct Profile {
    ///     clicks: u64,
    ///     orders: Vec<String>,
    /// }
    ///
    /// let mut job = Topology::builder("profiles");
    /// let (clicks, orders) = (job.keyed_stream("clicks", Utf8, ()), job.keyed_stream("orders", Utf8, Utf8));
    /// clicks
    ///     .cogroup(|profile: &mut Profile, _| profile.clicks += 1)
    ///     .and(orders, |profile, order| profile.orders.push(order.value.to_owned()))
    ///     .aggregate("profiles", Json::new(), Emit::EveryUpdate, Profile::default)
    ///     .to("out", Utf8, Json::new());
    ///
    /// let mut driver = TestDriver::new(job.build().expect("a sound job"));
    /// driver.pipe("clicks", Some("ann"), "", 1);
    /// driver.pipe("orders", Some("ann"), "book", 2);
    /// driver.settle();
    /// assert_eq!(driver.read("out")[1].value_str(), r#"{"clicks":1,"orders":["book"]}"#);
    /// ```
    pub fn cogroup<A, F>(self, add: F) -> Cogrouped<KS, Contribute<Junction<C>, A, F>>
    where
        A: Clone + Send + 'static,
        F: FnMut(&mut A, &Rec<'_, KS::View, C::Value>) + Clone + Send + Sync + 'static,
    {
        let updates = self.stateless("cogroup", |previous| Contribute { previous, add, value: PhantomData });
        Cogrouped { updates }
    }
}

/// The streams of `C` and another one, whose records change a value of type `A`.
type With<C, D, A, F> = Merge<Junction<C>, Junction<Contribute<Junction<D>, A, F>>>;

impl<KS, A, C> Cogrouped<KS, C>
where
    KS: Serde<View: Reborrow>,
    A: Clone + Send + 'static,
    C: Chain<Key = KS::View, Value = Update<A>>,
{
    /// Adds a stream, which must be partitioned like the others; `add` changes the value by one of its records.
    /// Records of a stream keep their order; between streams there is none.
    pub fn and<D, F>(self, other: Stream<KS, D>, add: F) -> Cogrouped<KS, With<C, D, A, F>>
    where
        D: Chain<Key = KS::View>,
        F: FnMut(&mut A, &Rec<'_, KS::View, D::Value>) + Clone + Send + Sync + 'static,
    {
        Cogrouped { updates: self.updates.merge(other.cogroup(add).updates) }
    }

    /// Gathers the records of all streams: `init` makes the value of a key, and `value_serde` writes it into the
    /// changelog. Otherwise as [`Stream::aggregate`].
    pub fn aggregate<S, I>(
        self,
        name: &str,
        value_serde: S,
        emit: Emit,
        init: I,
    ) -> Stream<KS, impl Chain<Key = KS::View, Value = Owned<A>> + use<KS, A, C, S, I>>
    where
        S: Serde<View = Owned<A>>,
        I: FnMut() -> A + Clone + Send + Sync + 'static,
    {
        let add = |value: &mut A, record: &Rec<'_, KS::View, Update<A>>| Update::apply(value, record);
        self.updates.aggregate(name, value_serde, emit, init, add)
    }

    /// Divides the records of all streams into windows, to be aggregated with [`Update::apply`] as the closure that
    /// changes the value.
    pub fn window<W: Windowing>(self, windows: W) -> WindowedBy<KS, C, W> {
        self.updates.window(windows)
    }
}
