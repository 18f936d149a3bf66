//! Damaged requests of every API: the broker answers or closes, and never panics.

use kafka_wire::rng::Rng;

use super::records::{batch, fetch, produce, seal, with_topic};
use super::*;

#[test]
fn damaged_requests_never_panic() {
    let mut frames = vec![
        encode(9, 1, &produce(None, batch(3, seal((5, 0), 0, false)))),
        encode(12, 1, &produce(Some("job"), batch(3, seal((5, 0), 0, true)))),
        encode(12, 1, &fetch(0, 100)),
    ];
    macro_rules! add {
        ($key:ident, $request:ty, $response:ty) => {
            frames.extend(ApiKey::$key.versions().map(|version| encode(version, 1, &<$request>::default())));
        };
    }
    kafka_wire::for_each_api!(add);
    let mut rng = Rng::from_seed(20);
    let below = |rng: &mut Rng, bound: usize| usize::try_from(rng.below(bound as u64)).unwrap();
    let (mut script, _) = with_topic(BrokerConfig { partitions_max: 100, ..BrokerConfig::default() });
    for frame in &frames {
        for _ in 0..60 {
            let mut damaged = frame.to_vec();
            for _ in 0..=below(&mut rng, 3) {
                // The damage is mostly after the API key and the version, so that the request reaches the handlers.
                let at = 4 + below(&mut rng, damaged.len() - 4);
                damaged[at] = [0, 1, 0x7f, 0x80, 0xff, 0xfe][below(&mut rng, 6)];
            }
            damaged.truncate(damaged.len() - below(&mut rng, 8) / 6 * below(&mut rng, damaged.len()));
            let connection = script.connect();
            script.core.handle_frame(script.now, connection, Bytes::from(damaged));
            while script.core.poll().is_some() {}
            script.pass(Duration::from_millis(10));
            script.core.disconnect(connection);
        }
    }
    let connection = script.connect();
    script.context(connection, 4, &ApiVersionsRequest::default());
}
