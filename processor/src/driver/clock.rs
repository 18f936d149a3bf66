//! Time for the futures of a test: it passes with the driver's clock.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use kafka_wire::time::Moment;

/// The clock of a [`TestDriver`](super::TestDriver), for the calls of a job:
/// see [`TestDriver::use_clock`](super::TestDriver::use_clock).
#[derive(Clone, Debug, Default)]
pub struct TestClock(Arc<Mutex<Sleepers>>);

#[derive(Debug)]
struct Sleepers {
    now: Moment,
    /// Those who sleep, by the time at which they wake and a number.
    sleeping: BTreeMap<(Moment, u64), Waker>,
    last: u64,
}

impl Default for Sleepers {
    fn default() -> Self {
        Self { now: Moment::ZERO, sleeping: BTreeMap::new(), last: 0 }
    }
}

impl TestClock {
    /// Completes when the driver's clock has advanced by `duration`.
    pub fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + use<> {
        let until = self.lock().now + duration;
        Sleep { clock: self.clone(), until, place: None }
    }

    /// Sets the time, and wakes those whose time has come.
    pub(super) fn set(&self, now: Moment) {
        let mut sleepers = self.lock();
        sleepers.now = now;
        let mut woken = Vec::new();
        while let Some(entry) = sleepers.sleeping.first_entry() {
            if entry.key().0 > now {
                break;
            }
            woken.push(entry.remove());
        }
        drop(sleepers);
        woken.into_iter().for_each(Waker::wake);
    }

    /// The next time at which anybody wakes.
    pub(super) fn next(&self) -> Option<Moment> {
        self.lock().sleeping.keys().next().map(|(at, _)| *at)
    }

    fn lock(&self) -> MutexGuard<'_, Sleepers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Sleep {
    clock: TestClock,
    until: Moment,
    /// The number of its place among the sleepers.
    place: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let clock = self.clock.clone();
        let mut sleepers = clock.lock();
        if sleepers.now >= self.until {
            return Poll::Ready(());
        }
        let place = self.place.unwrap_or_else(|| {
            sleepers.last += 1;
            sleepers.last
        });
        sleepers.sleeping.insert((self.until, place), context.waker().clone());
        self.place = Some(place);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.clock.lock().sleeping.remove(&(self.until, place));
        }
    }
}
