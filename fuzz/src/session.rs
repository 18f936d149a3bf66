//! The state machine of a connection: the bytes are a list of events.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use kafka_wire::protocol::ApiKey;
use kafka_wire::protocol::heartbeat::HeartbeatRequest;
use kafka_wire::session::{Call, CloseCause, Session, SessionConfig, SessionEvent};
use kafka_wire::time::Moment;
use kafka_wire::wire::Str;

const LIMIT_BYTES: usize = 1 << 16;

/// Every call must end exactly once, answered calls in their order, and no call may be left when the session has
/// ended.
pub fn run(data: &[u8]) {
    let config = SessionConfig {
        client_id: Str::from("fuzz"),
        frame_limit: LIMIT_BYTES,
        api_versions_max: None,
        mechanism: None,
        reauthenticate_percent: 90,
    };
    let mut world = World { session: Session::new(config), now: Moment::ZERO, is_open: false, ended: Vec::new() };
    let mut script = data.iter().copied();
    while let Some(step) = script.next() {
        let argument = script.next().unwrap_or(0);
        world.step(step, argument, &mut script);
        world.collect();
    }
    world.session.close(CloseCause::Ended);
    world.collect();
    assert!(world.session.is_idle());
    assert!(world.ended.iter().all(|has_ended| *has_ended), "a call was lost");
}

struct World {
    session: Session<usize>,
    now: Moment,
    is_open: bool,
    /// For each call, whether it has ended.
    ended: Vec<bool>,
}

impl World {
    fn step(&mut self, step: u8, argument: u8, script: &mut impl Iterator<Item = u8>) {
        let pause = Duration::from_millis(u64::from(argument) * 100);
        match step % 8 {
            0 if !self.is_open && self.session.closed().is_none() => {
                self.is_open = true;
                self.session.handle_open(self.now + pause);
            }
            0 | 1 => self.call(argument),
            2 => drop(self.session.transmit(self.now, usize::from(argument), &mut VecDeque::new())),
            3 => self.receive(&script.take(usize::from(argument)).collect::<Vec<_>>()),
            4 => self.receive(&announcement(argument)),
            5 => self.receive(&[0, 0, 0, 11, 0, 0, 0, argument, 0, 0, 0, 0, 0, 0, 0]),
            6 => {
                self.now = self.now + pause;
                self.session.handle_timeout(self.now);
            }
            _ if argument == 0 => self.session.close(CloseCause::Transport(ErrorKind::ConnectionReset)),
            _ => self.session.handle_throttle(self.now, pause),
        }
        let next = self.session.next_timeout(self.now);
        assert!(self.session.closed().is_none() || next.is_none(), "an ended session waits for nothing");
    }

    fn call(&mut self, argument: u8) {
        let deadline = self.now + Duration::from_millis(u64::from(argument) * 100);
        let message = Arc::new(HeartbeatRequest::default());
        self.session.handle_call(Call { message, max_version: None, deadline, tag: self.ended.len() });
        self.ended.push(false);
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.session.read_buffer().extend_from_slice(bytes);
        self.session.handle_read();
    }

    fn collect(&mut self) {
        while let Some(event) = self.session.poll() {
            let (SessionEvent::Answered { tag, .. } | SessionEvent::Failed { tag, .. }) = &event else { continue };
            assert!(!std::mem::replace(&mut self.ended[*tag], true), "a call ended twice");
            if let SessionEvent::Answered { tag, .. } = event {
                assert!(self.ended[..tag].iter().all(|has_ended| *has_ended), "an answer overtook another");
            }
        }
    }
}

/// A response to ApiVersions v4 that allows Heartbeat v0 to v4, with this correlation id.
fn announcement(correlation_id: u8) -> Vec<u8> {
    let heartbeat = ApiKey::Heartbeat as u8;
    let body = [0, 0, 2, 0, heartbeat, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0];
    [&[0, 0, 0, 19, 0, 0, 0, correlation_id][..], &body].concat()
}
