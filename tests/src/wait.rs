//! Waits with a limit: each has a name, and fails the test with that name if its time runs out.

use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// Calls `ask` until it returns `Some`, for at most `limit`; for up to three times as long while it was called rarely,
/// as on a machine that stood still.
///
/// # Panics
/// If the time runs out; the message has `what` was waited for.
pub async fn eventually<T, F>(what: &str, limit: Duration, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let (started, calls) = (Instant::now(), AtomicU32::new(0));
    let mut answer = pin!(async {
        loop {
            calls.fetch_add(1, Ordering::Relaxed);
            if let Some(answer) = ask().await {
                return answer;
            }
            sleep(PAUSE).await;
        }
    });
    for _ in 0..3 {
        if let Ok(answer) = timeout(limit, &mut answer).await {
            return answer;
        }
        if calls.load(Ordering::Relaxed) >= CALLS_MIN {
            break;
        }
    }
    panic!("waited {:.1?} in vain for {what}", started.elapsed());
}

/// The output of `future`, which has to end within `limit`.
///
/// # Panics
/// If it does not; the message has `what` was waited for.
pub async fn within<T>(what: &str, limit: Duration, future: impl Future<Output = T>) -> T {
    match timeout(limit, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited {limit:.1?} in vain for {what}"),
    }
}

/// Pause between two calls: short compared with the waits, long compared with a request on loopback.
const PAUSE: Duration = Duration::from_millis(20);
/// Calls after which the time was used.
const CALLS_MIN: u32 = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_answer_ends_the_wait() {
        let mut left = 3;
        let ask = || {
            left -= 1;
            let answer = (left == 0).then_some("here");
            async move { answer }
        };
        assert_eq!(eventually("the third question", Duration::from_secs(5), ask).await, "here");
    }

    #[tokio::test(start_paused = true)]
    async fn a_machine_that_stood_still_gets_more_time() {
        let mut left = 3;
        let ask = || {
            left -= 1;
            let answer = (left == 0).then_some("here");
            async move {
                tokio::time::advance(Duration::from_secs(4)).await;
                answer
            }
        };
        assert_eq!(eventually("the third question", Duration::from_secs(5), ask).await, "here");
    }

    #[tokio::test]
    #[should_panic(expected = "in vain for a miracle")]
    async fn a_wait_in_vain_says_for_what() {
        eventually("a miracle", Duration::from_millis(1), || async { None::<()> }).await;
    }
}
