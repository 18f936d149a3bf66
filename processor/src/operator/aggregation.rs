//! Aggregations: how a value begins, what a record adds to it, how two values become one, and the result that
//! comes out.
//!
//! Each aggregation is a value that steps take, windowed or not: [`Count`], [`Sum`], [`Least`], [`Greatest`],
//! [`Average`], [`Top`], [`Distinct`], [`Reduce`], and [`Fold`] for closures of your own. The kept value is written by
//! a serde that the aggregation brings.

use std::collections::BTreeSet;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::serde::{F32, F64, I16, I32, I64, Json, Serde, SerdeError, U32, U64};
use crate::types::{Owned, Rec, View};

/// A way to gather the records of a key into one value.
pub trait Aggregation<K: View, V: View>: Clone + Send + Sync + 'static {
    /// The value that is kept between records.
    type Kept: Clone + Send + 'static;
    /// The result that comes out.
    type Out: Clone + 'static;

    /// The name of the aggregation, for `describe()` and to recognize state of another one.
    fn name(&self) -> &'static str;

    /// Makes the value that is kept before the first record.
    fn init(&mut self) -> Self::Kept;

    /// Adds a record to the kept value.
    fn add(&mut self, kept: &mut Self::Kept, record: &Rec<'_, K, V>);

    /// Adds the value that was kept of later records. Needed by windows that share their parts, and by sessions.
    fn merge(&mut self, kept: &mut Self::Kept, later: &Self::Kept);

    /// Calls `show` with the result.
    fn show<R>(&self, kept: &Self::Kept, show: impl FnOnce(&Self::Out) -> R) -> R;
}

/// An aggregation that brings the serde of its kept value.
pub trait Kept<K: View, V: View>: Aggregation<K, V> {
    /// The serde that writes the kept value into the changelog.
    type Serde: Serde<View = Owned<Self::Kept>>;

    /// Makes the serde.
    fn serde(&self) -> Self::Serde;
}

/// The number of records.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count;

impl<K: View, V: View> Aggregation<K, V> for Count {
    type Kept = u64;
    type Out = u64;

    fn name(&self) -> &'static str {
        "count"
    }

    fn init(&mut self) -> u64 {
        0
    }

    #[inline]
    fn add(&mut self, count: &mut u64, _record: &Rec<'_, K, V>) {
        *count += 1;
    }

    fn merge(&mut self, count: &mut u64, later: &u64) {
        *count += later;
    }

    fn show<R>(&self, count: &u64, show: impl FnOnce(&u64) -> R) -> R {
        show(count)
    }
}

impl<K: View, V: View> Kept<K, V> for Count {
    type Serde = U64;

    fn serde(&self) -> U64 {
        U64
    }
}

/// A number that can be added up, compared and written.
pub trait Number: Copy + PartialOrd + Send + Sync + 'static {
    /// The serde for Kafka's format of the number.
    type Serde: Serde<View = Owned<Self>> + Default;

    /// Nothing.
    const ZERO: Self;

    /// The sum. An integer that would overflow stays at its limit.
    #[must_use]
    fn plus(self, other: Self) -> Self;

    /// Returns the nearest `f64`.
    #[must_use]
    fn to_f64(self) -> f64;
}

macro_rules! number {
    ($($number:ty, $serde:ty, $zero:expr, $plus:expr;)*) => {
        $(impl Number for $number {
            type Serde = $serde;
            const ZERO: Self = $zero;

            #[inline]
            fn plus(self, other: Self) -> Self {
                let plus: fn(Self, Self) -> Self = $plus;
                plus(self, other)
            }

            #[inline]
            #[allow(clippy::cast_precision_loss, clippy::cast_lossless, clippy::unnecessary_cast, reason = "the nearest is meant")]
            fn to_f64(self) -> f64 {
                self as f64
            }
        })*
    };
}

number! {
    i64, I64, 0, Self::saturating_add;
    u64, U64, 0, Self::saturating_add;
    i32, I32, 0, Self::saturating_add;
    u32, U32, 0, Self::saturating_add;
    i16, I16, 0, Self::saturating_add;
    f64, F64, 0.0, |one, other| one + other;
    f32, F32, 0.0, |one, other| one + other;
}

/// The sum of a number of each record. An integer that would overflow stays at its limit. Windows that share their
/// parts add those up in another order after a restart, which may change the last bits of a sum of floats.
#[derive(Clone, Copy, Debug)]
pub struct Sum<F>(pub F);

impl<K: View, V: View, T: Number, F> Aggregation<K, V> for Sum<F>
where
    F: FnMut(&Rec<'_, K, V>) -> T + Clone + Send + Sync + 'static,
{
    type Kept = T;
    type Out = T;

    fn name(&self) -> &'static str {
        "sum"
    }

    fn init(&mut self) -> T {
        T::ZERO
    }

    #[inline]
    fn add(&mut self, sum: &mut T, record: &Rec<'_, K, V>) {
        *sum = sum.plus((self.0)(record));
    }

    fn merge(&mut self, sum: &mut T, later: &T) {
        *sum = sum.plus(*later);
    }

    fn show<R>(&self, sum: &T, show: impl FnOnce(&T) -> R) -> R {
        show(sum)
    }
}

impl<K: View, V: View, T: Number, F> Kept<K, V> for Sum<F>
where
    F: FnMut(&Rec<'_, K, V>) -> T + Clone + Send + Sync + 'static,
{
    type Serde = T::Serde;

    fn serde(&self) -> T::Serde {
        T::Serde::default()
    }
}

macro_rules! extreme {
    ($(#[$doc:meta])* $name:ident, $text:literal, $is_better:tt) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name<F>(pub F);

        impl<K: View, V: View, T: Number, F> Aggregation<K, V> for $name<F>
        where
            F: FnMut(&Rec<'_, K, V>) -> T + Clone + Send + Sync + 'static,
        {
            type Kept = Option<T>;
            type Out = T;

            fn name(&self) -> &'static str {
                $text
            }

            fn init(&mut self) -> Option<T> {
                None
            }

            #[inline]
            fn add(&mut self, kept: &mut Option<T>, record: &Rec<'_, K, V>) {
                let number = (self.0)(record);
                if kept.is_none_or(|kept| number $is_better kept || is_nan(kept)) {
                    *kept = Some(number);
                }
            }

            fn merge(&mut self, kept: &mut Option<T>, later: &Option<T>) {
                if let Some(number) = *later && kept.is_none_or(|kept| number $is_better kept || is_nan(kept)) {
                    *kept = Some(number);
                }
            }

            fn show<R>(&self, kept: &Option<T>, show: impl FnOnce(&T) -> R) -> R {
                // Before the first record there is no value.
                show(&kept.unwrap_or(T::ZERO))
            }
        }

        impl<K: View, V: View, T: Number, F> Kept<K, V> for $name<F>
        where
            F: FnMut(&Rec<'_, K, V>) -> T + Clone + Send + Sync + 'static,
        {
            type Serde = Maybe<T::Serde>;

            fn serde(&self) -> Self::Serde {
                Maybe(T::Serde::default())
            }
        }
    };
}

/// NaN is not even comparable with itself.
fn is_nan<T: Number>(number: T) -> bool {
    number.partial_cmp(&number).is_none()
}

extreme! {
    /// The least number of the records. NaN is the result only where there is nothing else.
    Least, "min", <
}
extreme! {
    /// The greatest number of the records. NaN is the result only where there is nothing else.
    Greatest, "max", >
}

/// A serde of an optional value: a byte and then the value, or no bytes for `None`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Maybe<S>(S);

impl<T: 'static, S: Serde<View = Owned<T>>> Serde for Maybe<S> {
    type View = Owned<Option<T>>;

    fn decode(&self, bytes: &[u8]) -> Result<Option<T>, SerdeError> {
        bytes.split_first().map(|(_, bytes)| self.0.decode(bytes)).transpose()
    }

    fn encode(&self, value: &Option<T>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        let Some(value) = value else { return Ok(()) };
        out.push(1);
        self.0.encode(value, out)
    }
}

/// The mean of a number of each record.
#[derive(Clone, Copy, Debug)]
pub struct Average<F>(pub F);

/// The serde of a sum and the count of its numbers, in 16 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct SumAndCount;

impl Serde for SumAndCount {
    type View = Owned<(f64, u64)>;

    fn decode(&self, bytes: &[u8]) -> Result<(f64, u64), SerdeError> {
        let length = SerdeError::Length { expected: 16, actual: bytes.len() };
        let (sum, count) = bytes.split_at_checked(8).ok_or(length)?;
        Ok((F64.decode(sum)?, U64.decode(count)?))
    }

    fn encode(&self, (sum, count): &(f64, u64), out: &mut Vec<u8>) -> Result<(), SerdeError> {
        F64.encode(sum, out)?;
        U64.encode(count, out)
    }
}

impl<K: View, V: View, T: Number, F> Aggregation<K, V> for Average<F>
where
    F: FnMut(&Rec<'_, K, V>) -> T + Clone + Send + Sync + 'static,
{
    type Kept = (f64, u64);
    type Out = f64;

    fn name(&self) -> &'static str {
        "avg"
    }

    fn init(&mut self) -> (f64, u64) {
        (0.0, 0)
    }

    #[inline]
    fn add(&mut self, (sum, count): &mut (f64, u64), record: &Rec<'_, K, V>) {
        *sum += (self.0)(record).to_f64();
        *count += 1;
    }

    fn merge(&mut self, (sum, count): &mut (f64, u64), later: &(f64, u64)) {
        *sum += later.0;
        *count += later.1;
    }

    fn show<R>(&self, (sum, count): &(f64, u64), show: impl FnOnce(&f64) -> R) -> R {
        show(&(sum / count.to_f64()))
    }
}

impl<K: View, V: View, T: Number, F> Kept<K, V> for Average<F>
where
    F: FnMut(&Rec<'_, K, V>) -> T + Clone + Send + Sync + 'static,
{
    type Serde = SumAndCount;

    fn serde(&self) -> SumAndCount {
        SumAndCount
    }
}

/// The greatest few of the values that a closure makes of the records, greatest first; equal ones in
/// the order of arrival.
#[derive(Clone, Copy, Debug)]
pub struct Top<F> {
    /// The number of values to keep.
    pub count: usize,
    /// Makes the value that is compared and kept: a tuple that begins with the score, for example.
    pub of: F,
}

impl<F> Top<F> {
    fn insert<T: Ord>(&self, kept: &mut Vec<T>, value: T) {
        let place = kept.partition_point(|other| *other >= value);
        if place < self.count {
            kept.insert(place, value);
            kept.truncate(self.count);
        }
    }
}

impl<K: View, V: View, T, F> Aggregation<K, V> for Top<F>
where
    T: Ord + Clone + Send + 'static,
    F: FnMut(&Rec<'_, K, V>) -> T + Clone + Send + Sync + 'static,
{
    type Kept = Vec<T>;
    type Out = Vec<T>;

    fn name(&self) -> &'static str {
        "top"
    }

    fn init(&mut self) -> Vec<T> {
        Vec::new()
    }

    fn add(&mut self, kept: &mut Vec<T>, record: &Rec<'_, K, V>) {
        let value = (self.of)(record);
        self.insert(kept, value);
    }

    fn merge(&mut self, kept: &mut Vec<T>, later: &Vec<T>) {
        later.iter().for_each(|value| self.insert(kept, value.clone()));
    }

    fn show<R>(&self, kept: &Vec<T>, show: impl FnOnce(&Vec<T>) -> R) -> R {
        show(kept)
    }
}

impl<K: View, V: View, T, F> Kept<K, V> for Top<F>
where
    T: Ord + Clone + Send + Serialize + DeserializeOwned + 'static,
    F: FnMut(&Rec<'_, K, V>) -> T + Clone + Send + Sync + 'static,
{
    type Serde = Json<Vec<T>>;

    fn serde(&self) -> Json<Vec<T>> {
        Json::new()
    }
}

/// The number of different values that a closure makes of the records. Exact, since all of them are kept.
#[derive(Clone, Copy, Debug)]
pub struct Distinct<F>(pub F);

impl<K: View, V: View, T, F> Aggregation<K, V> for Distinct<F>
where
    T: Ord + Clone + Send + 'static,
    F: FnMut(&Rec<'_, K, V>) -> T + Clone + Send + Sync + 'static,
{
    type Kept = BTreeSet<T>;
    type Out = u64;

    fn name(&self) -> &'static str {
        "count distinct"
    }

    fn init(&mut self) -> BTreeSet<T> {
        BTreeSet::new()
    }

    fn add(&mut self, kept: &mut BTreeSet<T>, record: &Rec<'_, K, V>) {
        kept.insert((self.0)(record));
    }

    fn merge(&mut self, kept: &mut BTreeSet<T>, later: &BTreeSet<T>) {
        kept.extend(later.iter().cloned());
    }

    fn show<R>(&self, kept: &BTreeSet<T>, show: impl FnOnce(&u64) -> R) -> R {
        show(&(kept.len() as u64))
    }
}

impl<K: View, V: View, T, F> Kept<K, V> for Distinct<F>
where
    T: Ord + Clone + Send + Serialize + DeserializeOwned + 'static,
    F: FnMut(&Rec<'_, K, V>) -> T + Clone + Send + Sync + 'static,
{
    type Serde = Json<BTreeSet<T>>;

    fn serde(&self) -> Json<BTreeSet<T>> {
        Json::new()
    }
}

/// One value made of all values by a closure: the first value as it is, each later one added to it.
#[derive(Clone, Copy, Debug)]
pub struct Reduce<S, F> {
    /// Serde of the value.
    pub serde: S,
    /// Adds a later value to the kept one.
    pub reduce: F,
}

impl<K: View, A, S, F> Aggregation<K, Owned<A>> for Reduce<S, F>
where
    A: Clone + Send + 'static,
    S: Serde<View = Owned<A>>,
    F: FnMut(&mut A, &A) + Clone + Send + Sync + 'static,
{
    type Kept = Option<A>;
    type Out = A;

    fn name(&self) -> &'static str {
        "reduce"
    }

    fn init(&mut self) -> Option<A> {
        None
    }

    fn add(&mut self, kept: &mut Option<A>, record: &Rec<'_, K, Owned<A>>) {
        match kept {
            Some(kept) => (self.reduce)(kept, &record.value),
            None => *kept = Some(record.value.clone()),
        }
    }

    fn merge(&mut self, kept: &mut Option<A>, later: &Option<A>) {
        match (kept, later) {
            (Some(kept), Some(later)) => (self.reduce)(kept, later),
            (kept @ None, Some(later)) => *kept = Some(later.clone()),
            (_, None) => {}
        }
    }

    fn show<R>(&self, kept: &Option<A>, show: impl FnOnce(&A) -> R) -> R {
        show(kept.as_ref().expect("kept from the first record on only"))
    }
}

impl<K: View, A, S, F> Kept<K, Owned<A>> for Reduce<S, F>
where
    A: Clone + Send + 'static,
    S: Serde<View = Owned<A>>,
    F: FnMut(&mut A, &A) + Clone + Send + Sync + 'static,
{
    type Serde = Maybe<S>;

    fn serde(&self) -> Maybe<S> {
        Maybe(self.serde.clone())
    }
}

/// An aggregation by the user's closures: how a value begins, what a record adds, how two values become one,
/// and how the value is written.
#[derive(Clone, Copy)]
pub struct Fold<S, I, F, M> {
    pub(crate) serde: S,
    pub(crate) init: I,
    pub(crate) add: F,
    pub(crate) merge: M,
}

impl<S, I, F, M> Fold<S, I, F, M> {
    /// Makes the aggregation; `merge` adds the value that was kept of later records.
    pub const fn new(serde: S, init: I, add: F, merge: M) -> Self {
        Self { serde, init, add, merge }
    }
}

impl<K, V, A, S, I, F, M> Aggregation<K, V> for Fold<S, I, F, M>
where
    K: View,
    V: View,
    A: Clone + Send + 'static,
    S: Serde<View = Owned<A>>,
    I: FnMut() -> A + Clone + Send + Sync + 'static,
    F: FnMut(&mut A, &Rec<'_, K, V>) + Clone + Send + Sync + 'static,
    M: FnMut(&mut A, &A) + Clone + Send + Sync + 'static,
{
    type Kept = A;
    type Out = A;

    fn name(&self) -> &'static str {
        "aggregate"
    }

    #[inline]
    fn init(&mut self) -> A {
        (self.init)()
    }

    #[inline]
    fn add(&mut self, kept: &mut A, record: &Rec<'_, K, V>) {
        (self.add)(kept, record);
    }

    fn merge(&mut self, kept: &mut A, later: &A) {
        (self.merge)(kept, later);
    }

    #[inline]
    fn show<R>(&self, kept: &A, show: impl FnOnce(&A) -> R) -> R {
        show(kept)
    }
}

impl<K, V, A, S, I, F, M> Kept<K, V> for Fold<S, I, F, M>
where
    K: View,
    V: View,
    A: Clone + Send + 'static,
    S: Serde<View = Owned<A>>,
    I: FnMut() -> A + Clone + Send + Sync + 'static,
    F: FnMut(&mut A, &Rec<'_, K, V>) + Clone + Send + Sync + 'static,
    M: FnMut(&mut A, &A) + Clone + Send + Sync + 'static,
{
    type Serde = S;

    fn serde(&self) -> S {
        self.serde.clone()
    }
}

/// The type of `merge` for windows that never merge two values.
pub type NoMerge<A> = fn(&mut A, &A);
