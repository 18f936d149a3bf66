//! Waits that end: each names what it waits for, and fails the test with that name when it does not come.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// Asks until the answer is `Some`, at most for `limit`.
///
/// # Panics
/// When there is no answer in time, with `what` was waited for.
pub async fn eventually<T, F>(what: &str, limit: Duration, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let started = Instant::now();
    let answer = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            sleep(PAUSE).await;
        }
    };
    match timeout(limit, answer).await {
        Ok(answer) => answer,
        Err(_) => panic!("waited {:.1?} in vain for {what}", started.elapsed()),
    }
}

/// The output of `future`, if it ends within `limit`.
///
/// # Panics
/// When it does not, with `what` was waited for.
pub async fn within<T>(what: &str, limit: Duration, future: impl Future<Output = T>) -> T {
    match timeout(limit, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited {limit:.1?} in vain for {what}"),
    }
}

/// Between two questions: short beside what is waited for, long beside a request on loopback.
const PAUSE: Duration = Duration::from_millis(20);

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

    #[tokio::test]
    #[should_panic(expected = "in vain for a miracle")]
    async fn a_wait_in_vain_says_for_what() {
        eventually("a miracle", Duration::from_millis(1), || async { None::<()> }).await;
    }
}
