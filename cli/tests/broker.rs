//! `waterwheel broker` as an operator runs it: its address, its output, and its end.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStderr, Command, Stdio};

use kafka_wire::client::{Client, ClientConfig, Sasl};

/// A running broker; it is killed if the test fails.
struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
    /// The output up to the line with its address.
    said: String,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waterwheel"));
        command.arg("broker").args(arguments).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let mut stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut said = String::new();
        while !said.contains("\nbroker  ") && !said.starts_with("broker  ") {
            assert_ne!(stderr.read_line(&mut said).expect("UTF-8"), 0, "it ended: {said}");
        }
        Self { child, stderr, said }
    }

    /// The address that clients are told to connect to.
    fn address(&self) -> &str {
        let (_, line) = self.said.rsplit_once("broker  ").expect("it was waited for");
        line.split_once(' ').expect("the address is a word").0
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.expect("there is a kill").success());
    }

    /// Waits for its end; returns the exit code and the rest of its output.
    fn end(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).expect("UTF-8");
        (self.child.wait().expect("it was started").code(), said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended, unless the test failed.
        let _ = self.child.kill();
    }
}

/// The answer to ApiVersions v0 with correlation id 7, without its length prefix.
fn ask(address: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("the broker listens");
    stream.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff]).expect("the broker reads");
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("the broker answers");
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame).expect("the frame is whole");
    frame
}

#[test]
fn ctrl_c_and_sigterm_end_it_in_order() {
    for (signal, name) in [("TERM", "SIGTERM"), ("INT", "SIGINT")] {
        let broker = Running::start(&["--port", "0"]);
        let address = broker.address().to_owned();
        assert_eq!(ask(&address)[..4], [0, 0, 0, 7]);
        broker.signal(signal);
        let (code, said) = broker.end();
        assert_eq!((code, &*said), (Some(0), &*format!("broker  stopped by {name}\n")));
        TcpListener::bind(&address).expect("the port is free again");
    }
}

#[test]
fn whoever_can_reach_it_is_said_unless_it_is_this_machine_alone() {
    for (listen, warns) in [("127.0.0.1:0", false), ("localhost:0", false), ("0.0.0.0:0", true)] {
        let broker = Running::start(&["--listen", listen]);
        assert_eq!(broker.said.contains("WARN"), warns, "{}", broker.said);
        assert_eq!(ask(broker.address())[..4], [0, 0, 0, 7]);
    }
}

#[test]
fn users_of_a_file_are_asked_for_their_passwords() {
    let file = std::env::temp_dir().join(format!("waterwheel-users-{}", std::process::id()));
    std::fs::write(&file, "alice=secret\n").expect("the folder is there");
    let users = file.to_str().expect("UTF-8");
    let broker = Running::start(&["--port", "0", "--sasl-users", users, "--sasl-mechanisms", "PLAIN"]);
    let address = broker.address().to_owned();
    assert!(broker.said.contains("SASL_PLAINTEXT") && !broker.said.contains("secret"), "{}", broker.said);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let connect = |sasl| {
        let mut config = ClientConfig::new(&address);
        config.sasl = sasl;
        runtime.block_on(Client::connect(config)).map(drop)
    };
    connect(Some(Sasl::plain("alice", "secret"))).expect("she knows her password");
    let mechanism = connect(Some(Sasl::scram_sha_256("alice", "secret"))).expect_err("it was not allowed");
    assert!(mechanism.to_string().contains("PLAIN"), "{mechanism}");
    connect(Some(Sasl::plain("alice", "guessed"))).expect_err("that is not it");
    connect(None).expect_err("it asks");
    std::fs::remove_file(&file).expect("it was written");
}

#[test]
fn it_says_what_it_advertises() {
    let broker = Running::start(&["--listen", "127.0.0.1:0", "--advertise", "kafka.example:9093"]);
    assert_eq!(broker.address(), "kafka.example:9093");
}

#[test]
fn addresses_that_cannot_be_are_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let taken = taken.local_addr().expect("it listens").to_string();
    for (arguments, code, why) in [
        (&["--listen", "9092"][..], 2, "HOST:PORT"),
        (&["--listen", "127.0.0.1:0", "--port", "1"], 2, "cannot be used with"),
        (&["--advertise", "0.0.0.0:9092"], 2, "nobody can connect"),
        (&["--sasl-mechanisms", "PLAIN"], 2, "--sasl-users"),
        (&["--sasl-users", "/no/such/file", "--sasl-mechanisms", "GSSAPI"], 2, "none of PLAIN"),
        (&["--port", "0", "--sasl-users", "/no/such/file"], 1, "--sasl-users /no/such/file"),
        (&["--listen", &taken], 1, "choose another --listen"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_waterwheel")).arg("broker").args(arguments).output();
        let output = output.expect("the binary runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(code) && said.contains(why), "{arguments:?}: {said}");
    }
}
