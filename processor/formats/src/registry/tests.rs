//! The client and the formats against a double of the registry's documented REST interface.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use processor::{Serde, SerdeError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::*;

/// A registry in the process: subjects with their versions, and how it answers. It speaks HTTP/1.1, one request a
/// connection.
struct Double {
    url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// The schemas; their numbers are their places, from 1.
    schemas: Vec<Value>,
    /// Subject and number, in the order of registration.
    versions: Vec<(String, usize)>,
    /// The requests: method, path, `Authorization`.
    requests: Vec<(String, String, Option<String>)>,
    /// Subjects whose versions are deleted, and whether that is for good.
    deleted: Vec<(String, bool)>,
    /// Answers given in place of the right ones.
    failing: Option<(u16, String)>,
}

impl Double {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.expect("a connection"), &shared);
            }
        });
        Self { url, state }
    }

    fn registry(&self) -> SchemaRegistry {
        SchemaRegistry::at(&self.url)
    }

    fn requests(&self) -> Vec<String> {
        let state = self.state.lock().expect("no test panics with it");
        state.requests.iter().map(|(method, path, _)| format!("{method} {path}")).collect()
    }

    fn fail(&self, status: u16, body: &str) {
        self.state.lock().expect("no test panics with it").failing = Some((status, body.to_owned()));
    }

    /// Registers a schema as another program would.
    fn register(&self, subject: &str, schema: Value) -> i32 {
        let number = self.state.lock().expect("no test panics with it").register(subject, schema);
        i32::try_from(number).expect("few")
    }
}

impl State {
    fn register(&mut self, subject: &str, schema: Value) -> usize {
        let place = self.schemas.iter().position(|known| *known == schema).unwrap_or_else(|| {
            self.schemas.push(schema);
            self.schemas.len() - 1
        });
        self.versions.push((subject.to_owned(), place + 1));
        place + 1
    }

    fn answer(&mut self, method: &str, path: &str, body: &str) -> (u16, String) {
        if let Some(failing) = &self.failing {
            return failing.clone();
        }
        let (path, shows_deleted) = path.strip_suffix("?deleted=true").map_or((path, false), |path| (path, true));
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        match (method, parts.as_slice()) {
            ("GET", ["schemas", "ids", id]) => match id.parse::<usize>().ok().and_then(|id| self.schemas.get(id - 1)) {
                Some(schema) => (200, schema.to_string()),
                None => (404, r#"{"error_code":40403,"message":"Schema not found"}"#.to_owned()),
            },
            ("GET", ["subjects", subject, "versions", version]) => {
                let mut of_subject = self.versions.iter().filter(|(known, _)| known == subject);
                let version: usize = version.parse().expect("a number");
                let is_hidden =
                    self.deleted.iter().any(|(of, for_good)| of == subject && (*for_good || !shows_deleted));
                match of_subject.nth(version - 1).filter(|_| !is_hidden) {
                    Some((_, number)) => (200, self.schemas[number - 1].to_string()),
                    None => (404, r#"{"error_code":40402,"message":"Version not found."}"#.to_owned()),
                }
            }
            ("POST", ["subjects", subject, rest @ ..]) => {
                let schema: Value = serde_json::from_str(body).expect("JSON");
                if rest == ["versions"] {
                    let id = self.register(subject, schema);
                    return (200, json!({ "id": id }).to_string());
                }
                match self
                    .versions
                    .iter()
                    .find(|(known, number)| known == subject && self.schemas[number - 1] == schema)
                {
                    Some((_, id)) => (200, json!({ "subject": subject, "id": id, "version": 1 }).to_string()),
                    None => (404, r#"{"error_code":40403,"message":"Schema not found"}"#.to_owned()),
                }
            }
            _ => (404, r#"{"error_code":404,"message":"HTTP 404 Not Found"}"#.to_owned()),
        }
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
    let mut first = String::new();
    reader.read_line(&mut first).expect("a request");
    let mut words = first.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let (mut length, mut authorization) = (0, None);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a header");
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().expect("a number"),
            "authorization" => authorization = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("the body");
    let mut state = state.lock().expect("no test panics with it");
    state.requests.push((method.clone(), path.clone(), authorization));
    let (status, answer) = state.answer(&method, &path, &String::from_utf8_lossy(&body));
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/vnd.schemaregistry.v1+json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        answer.len()
    );
    stream.write_all(&[head.as_bytes(), answer.as_bytes()].concat()).expect("the answer");
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    id: i64,
    text: String,
}

const ORDER_V1: &str = r#"{"type":"record","name":"Order","fields":[{"name":"id","type":"long"}]}"#;
const ORDER: &str = r#"{"type":"record","name":"Order","fields":[
    {"name":"id","type":"long"},{"name":"text","type":"string","default":"none"}]}"#;

fn encoded<S: Serde<View = processor::Owned<T>>, T: 'static>(format: &S, value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    format.encode(value, &mut out).expect("encodes");
    out
}

#[test]
fn a_record_begins_with_the_number_of_its_schema() {
    let double = Double::start();
    double.register("other", json!({ "schema": "\"int\"" }));
    let format = double.registry().avro::<Order>("orders value", ORDER).expect("a schema");
    let order = Order { id: 1, text: "ab".to_owned() };
    let bytes = encoded(&format, &order);
    assert_eq!(bytes, [0, 0, 0, 0, 2, 2, 4, b'a', b'b']);
    assert_eq!(encoded(&format, &order), bytes);
    assert_eq!(format.decode(&bytes), Ok(order));
    // One question each, whatever the number of records.
    assert_eq!(double.requests(), ["POST /subjects/orders%20value/versions", "GET /schemas/ids/2"]);
}

#[test]
fn avro_of_another_version_becomes_a_value_of_ours() {
    let double = Double::start();
    let old = double.register("orders-value", json!({ "schema": ORDER_V1 }));
    let format = double.registry().avro::<Order>("orders-value", ORDER).expect("a schema");
    let bytes = [&[0][..], &old.to_be_bytes(), &[14]].concat();
    assert_eq!(format.decode(&bytes), Ok(Order { id: 7, text: "none".to_owned() }));
    let clone = format.clone();
    assert_eq!(clone.decode(&bytes), format.decode(&bytes));
    assert_eq!(double.requests().len(), 1);
}

#[test]
fn an_event_of_another_version_is_the_event_that_was_written() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Event {
        Created { id: i64 },
        Cancelled { id: i64, why: String },
    }

    let created = json!({ "type": "record", "name": "Created", "fields": [{ "name": "id", "type": "long" }] });
    let why = json!({ "name": "why", "type": "string", "default": "" });
    let cancelled = |more: &[Value]| {
        let fields = [&[json!({ "name": "id", "type": "long" }), why.clone()], more].concat();
        json!({ "type": "record", "name": "Cancelled", "fields": fields })
    };
    let double = Double::start();
    let schema = json!([created, cancelled(&[])]).to_string();
    let format = double.registry().avro::<Event>("events-value", &schema).expect("a schema");
    let expected = || Event::Cancelled { id: 7, why: "late".to_owned() };
    let value = [0x02, 0x0e, 0x08, b'l', b'a', b't', b'e'];

    let optional = json!({ "name": "by", "type": ["null", "string"], "default": null });
    let later =
        double.register("events-value", json!({ "schema": json!([created, cancelled(&[optional])]).to_string() }));
    let bytes = [&[0][..], &later.to_be_bytes(), &value, &[0]].concat();
    assert_eq!(format.decode(&bytes), Ok(expected()));
    for cut in 5..bytes.len() {
        assert!(format.decode(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    // Several types of a topic as Confluent has them: a union of references.
    for (subject, schema) in [("created", &created), ("cancelled", &cancelled(&[]))] {
        double.register(subject, json!({ "schema": schema.to_string() }));
    }
    let reference = |name, subject| json!({ "name": name, "subject": subject, "version": 1 });
    let by_name = double.register(
        "events-value",
        json!({
            "schema": json!(["Created", "Cancelled"]).to_string(),
            "references": [reference("Created", "created"), reference("Cancelled", "cancelled")],
        }),
    );
    let bytes = [&[0][..], &by_name.to_be_bytes(), &value].concat();
    assert_eq!(format.decode(&bytes), Ok(expected()));
    assert_eq!(encoded(&format, &expected())[5..], value);
}

#[test]
fn workers_do_not_wait_for_the_questions_of_others() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let registry = SchemaRegistry::at(&format!("http://{}", listener.local_addr().expect("bound")));
    let format = registry.avro::<Order>("orders-value", ORDER).expect("a schema");
    let questions: Vec<_> = [1, 2]
        .map(|id| {
            let format = format.clone();
            std::thread::spawn(move || format.decode(&[0, 0, 0, 0, id, 2, 0]).map(|order| order.id))
        })
        .into();
    // Both have asked before the first one is answered.
    let asked: Vec<_> = (0..2).map(|_| listener.accept().expect("a question").0).collect();
    let state = Mutex::new(State::default());
    for id in [1, 2] {
        state.lock().expect("new").register("orders-value", json!({ "schema": ORDER, "subject": id.to_string() }));
    }
    asked.into_iter().for_each(|stream| serve(stream, &state));
    for question in questions {
        assert_eq!(question.join().expect("it does not panic"), Ok(1));
    }
}

#[test]
fn schemas_that_a_schema_uses_are_looked_up() {
    let double = Double::start();
    let text = json!({ "schema": r#"{"type":"record","name":"Text","fields":[{"name":"of","type":"string"}]}"# });
    double.register("text", text);
    let using = json!({
        "schema": r#"{"type":"record","name":"Order","fields":[
            {"name":"id","type":"long"},{"name":"more","type":"Text"}]}"#,
        "references": [{ "name": "Text", "subject": "text", "version": 1 }],
    });
    let id = double.register("orders-value", using);
    let format = double.registry().avro::<Order>("orders-value", ORDER).expect("a schema");
    let bytes = [&[0][..], &id.to_be_bytes(), &[14, 2, b'x']].concat();
    assert_eq!(format.decode(&bytes), Ok(Order { id: 7, text: "none".to_owned() }));
    assert_eq!(double.requests(), ["GET /schemas/ids/2", "GET /subjects/text/versions/1?deleted=true"]);

    for (for_good, is_read) in [(false, true), (true, false)] {
        double.state.lock().expect("no test panics with it").deleted = vec![("text".to_owned(), for_good)];
        let format = double.registry().avro::<Order>("orders-value", ORDER).expect("a schema");
        match format.decode(&bytes) {
            Ok(_) if is_read => {}
            // That is up to the policy for what cannot be decoded: the registry would say so for ever.
            Err(SerdeError::Custom(message)) if !is_read => assert!(message.contains("40402"), "{message}"),
            other => panic!("{other:?}"),
        }
    }
}

/// Types that several topics share have versions; what Java's client reads is the first one that it meets.
#[test]
fn of_two_versions_of_a_type_the_first_one_counts() {
    let double = Double::start();
    let record = |name: &str, fields: &str| format!(r#"{{"type":"record","name":"{name}","fields":[{fields}]}}"#);
    let reference =
        |name: &str, subject: &str, version: i32| json!({ "name": name, "subject": subject, "version": version });
    let old = record("Money", r#"{"name":"of","type":"long"}"#);
    let new = record("Money", r#"{"name":"of","type":"long"},{"name":"in","type":"string","default":""}"#);
    double.register("money", json!({ "schema": old }));
    double.register("money", json!({ "schema": new }));
    let using = |name: &str, version| {
        let schema = record(name, r#"{"name":"id","type":"long"},{"name":"sum","type":"Money"}"#);
        json!({ "schema": schema, "references": [reference("Money", "money", version)] })
    };
    double.register("invoice", using("Invoice", 1));
    double.register("refund", using("Refund", 2));
    let both = record("Order", r#"{"name":"id","type":"long"},{"name":"of","type":["Invoice","Refund"]}"#);
    let references = [reference("Invoice", "invoice", 1), reference("Refund", "refund", 1)];
    let id = double.register("orders-value", json!({ "schema": both, "references": references }));
    let format = double.registry().avro::<Order>("orders-value", ORDER).expect("a schema");
    // The second of the two types: its number, and a sum without a currency.
    let bytes = [&[0][..], &id.to_be_bytes(), &[14, 2, 2, 4]].concat();
    assert_eq!(format.decode(&bytes), Ok(Order { id: 7, text: "none".to_owned() }));
    let asked: Vec<_> = double.requests().into_iter().filter(|request| request.contains("money")).collect();
    assert_eq!(asked, ["GET /subjects/money/versions/1?deleted=true"]);
}

#[test]
fn no_worker_starts_over_for_a_schema_that_is_too_large() {
    let double = Double::start();
    let large = |doc: usize| format!(r#"{{"type":"record","name":"Large","doc":"{}","fields":[]}}"#, "x".repeat(doc));
    double.register("large", json!({ "schema": large(1 << 20) }));
    let name = |version: i32| format!("Large{version}");
    let reference = |version| json!({ "name": name(version), "subject": "large", "version": version });
    let using = |references: Vec<Value>| json!({ "schema": ORDER, "references": references });
    let id = double.register("orders-value", using(vec![reference(1)]));
    let many = double.register("orders-value", using((1..10_000).map(reference).collect()));
    let format = double.registry().avro::<Order>("orders-value", ORDER).expect("a schema");
    let message = |id: i32| match format.decode(&[&[0][..], &id.to_be_bytes(), &[2, 0]].concat()) {
        Err(SerdeError::Custom(message)) => message,
        other => panic!("{other:?}"),
    };
    assert!(message(id).contains("larger than 1 MiB"));
    assert!(message(many).contains("more than 256 others"));
    double.fail(200, &json!({ "schema": large(4 << 20) }).to_string());
    assert!(message(9).contains("more than 4194304 bytes"));
}

#[test]
fn json_and_protobuf_are_read_without_a_question() {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Proto {
        #[prost(int64, tag = "1")]
        id: i64,
    }

    let double = Double::start();
    let registry = double.registry();
    let json = registry.json::<Order>("j", r#"{"type":"object"}"#);
    let order = Order { id: 1, text: "a".to_owned() };
    let bytes = encoded(&json, &order);
    assert_eq!(bytes, [&[0, 0, 0, 0, 1][..], br#"{"id":1,"text":"a"}"#].concat());
    assert_eq!(json.decode(&bytes), Ok(order));

    let first = registry.protobuf::<Proto>("p", "syntax = \"proto3\";", &[0]);
    let nested = registry.protobuf::<Proto>("p", "syntax = \"proto3\";", &[1, 0]);
    // The example of the documentation: [1, 0] is the count 2 and the two indexes, in zigzag 4, 2, 0.
    assert_eq!(encoded(&first, &Proto { id: 5 }), [0, 0, 0, 0, 2, 0, 8, 5]);
    assert_eq!(encoded(&nested, &Proto { id: 5 }), [0, 0, 0, 0, 2, 4, 2, 0, 8, 5]);
    for bytes in [&[0, 0, 0, 0, 2, 0, 8, 5][..], &[0, 0, 0, 0, 2, 4, 2, 0, 8, 5], &[0, 0, 0, 0, 2, 2, 0, 8, 5]] {
        assert_eq!(first.decode(bytes), Ok(Proto { id: 5 }));
    }
    for bytes in [&[0, 0, 0, 0, 2][..], &[0, 0, 0, 0, 2, 1], &[0, 0, 0, 0, 2, 0xfe, 0xff, 0xff, 0xff, 0x0f]] {
        assert!(first.decode(bytes).is_err(), "{bytes:?}");
    }
    let asked: Vec<String> = double.requests();
    assert!(asked.iter().all(|request| request.starts_with("POST")), "{asked:?}");
}

#[test]
fn what_is_no_record_of_a_registry_is_undecodable_and_what_cannot_be_asked_is_not() {
    let double = Double::start();
    let format = double.registry().avro::<Order>("orders-value", ORDER).expect("a schema");
    let message = |bytes: &[u8]| match format.decode(bytes) {
        Err(SerdeError::Custom(message)) => message,
        other => panic!("{other:?}"),
    };
    assert!(message(b"{\"id\":1}").contains("the first byte is 123, not 0"));
    assert!(message(&[0, 0]).contains("2 bytes are too few"));
    assert!(message(&[0, 0, 0, 0, 9, 2]).contains("40403: Schema not found"));
    let json = double.register("j", json!({ "schema": "{}", "schemaType": "JSON" }));
    assert!(message(&[&[0][..], &json.to_be_bytes(), &[2]].concat()).contains("Json, not Avro"));

    let id = double.register("orders-value", json!({ "schema": ORDER }));
    let bytes = [&[0][..], &id.to_be_bytes(), &[2, 0]].concat();
    for (status, body, expected) in [
        (500, r#"{"error_code":50001,"message":"Error in the backend data store"}"#, "500"),
        (401, r#"{"error_code":401,"message":"Unauthorized"}"#, "401: Unauthorized"),
        (200, "<html>", "no answer of a schema registry"),
        (302, "", "302"),
        (404, "default backend - 404", "404: default backend"),
        (404, r#"{"error_code":404,"message":"HTTP 404 Not Found"}"#, "404: HTTP 404"),
    ] {
        double.fail(status, body);
        match format.decode(&bytes) {
            Err(SerdeError::Unavailable(message)) => assert!(message.contains(expected), "{message}"),
            other => panic!("{other:?}"),
        }
    }
    double.state.lock().expect("no test panics with it").failing = None;
    assert_eq!(format.decode(&bytes), Ok(Order { id: 1, text: String::new() }), "a failure is not remembered");
}

#[test]
fn a_schema_is_registered_only_if_that_is_wanted() {
    let double = Double::start();
    let config = RegistryConfig { auto_register: false, ..RegistryConfig::new(&double.url) };
    let format = SchemaRegistry::new(config).json::<Order>("orders-value", "{}");
    let order = Order { id: 1, text: "a".to_owned() };
    let error = format.encode(&order, &mut Vec::new()).expect_err("nobody has registered it");
    assert!(matches!(&error, SerdeError::Unavailable(message) if message.contains("40403")), "{error}");
    double.register("orders-value", json!({ "schema": "{}", "schemaType": "JSON" }));
    assert_eq!(encoded(&format, &order)[..5], [0, 0, 0, 0, 1]);
    assert_eq!(double.requests(), ["POST /subjects/orders-value"; 2]);
}

#[test]
fn the_next_server_is_asked_if_one_does_not_answer() {
    let double = Double::start();
    let id = double.register("orders-value", json!({ "schema": ORDER }));
    // A port that no other test can get.
    let nobody = "127.0.0.1:1";
    let urls = format!("http://{nobody}, {}/", double.url);
    let credentials = Some(("user".to_owned(), "pass".to_owned()));
    let config = RegistryConfig { credentials, timeout: Duration::from_secs(10), ..RegistryConfig::new(&urls) };
    assert!(!format!("{config:?}").contains("pass"));
    let registry = SchemaRegistry::new(config);
    assert_eq!(registry.schema(id).expect("the second has it").schema, ORDER);
    let authorization = double.state.lock().expect("no test panics with it").requests[0].2.clone();
    assert_eq!(authorization.as_deref(), Some("Basic dXNlcjpwYXNz"));

    let nobody = SchemaRegistry::at(&format!("http://{nobody}"));
    let error = nobody.schema(1).expect_err("nobody listens");
    assert!(error.to_string().contains("cannot be asked") && !error.is_not_found(), "{error}");
    let nowhere = SchemaRegistry::at("").schema(1).expect_err("there is no address");
    assert!(nowhere.to_string().contains("no address is configured"));
}

/// Bytes that `AvroSerializer`, `JSONSerializer` and `ProtobufSerializer` of confluent-kafka 2.16.1 for Python wrote,
/// with its registry in memory (`mock://`).
mod of_confluent {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use proptest::sample::Index;
    use proptest::{collection, proptest};

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Everything {
        i: i32,
        l: i64,
        f: f32,
        d: f64,
        b: bool,
        s: String,
        #[serde(with = "apache_avro::serde::bytes")]
        raw: Vec<u8>,
        maybe: Option<String>,
        list: Vec<i64>,
        map: BTreeMap<String, i32>,
        kind: Kind,
        at: Point,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Kind {
        #[serde(rename = "SMALL")]
        Small,
        #[serde(rename = "LARGE")]
        Large,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Point {
        x: i32,
        y: i32,
    }

    const EVERYTHING: &str = r#"{"type":"record","name":"Everything","fields":[
        {"name":"i","type":"int"},{"name":"l","type":"long"},{"name":"f","type":"float"},{"name":"d","type":"double"},
        {"name":"b","type":"boolean"},{"name":"s","type":"string"},{"name":"raw","type":"bytes"},
        {"name":"maybe","type":["null","string"],"default":null},
        {"name":"list","type":{"type":"array","items":"long"}},
        {"name":"map","type":{"type":"map","values":"int"}},
        {"name":"kind","type":{"type":"enum","name":"Kind","symbols":["SMALL","LARGE"]}},
        {"name":"at","type":{"type":"record","name":"Point","fields":[
            {"name":"x","type":"int"},{"name":"y","type":"int"}]}}
    ]}"#;

    fn everything() -> Everything {
        Everything {
            i: -5,
            l: 1 << 40,
            f: 0.5,
            d: -2.25,
            b: true,
            s: "w\u{f6}rter".to_owned(),
            raw: vec![0, 0xff],
            maybe: Some("yes".to_owned()),
            list: vec![1, -2, 300],
            map: BTreeMap::from([("a".to_owned(), 7)]),
            kind: Kind::Large,
            at: Point { x: 1, y: -1 },
        }
    }

    proptest! {
        /// Whatever a topic holds is a value or an error: bytes by chance, and what is right but for one byte.
        #[test]
        fn no_bytes_panic(random in collection::vec(any::<u8>(), 0..80), at in any::<Index>(), byte: u8) {
            let double = Double::start();
            let registry = double.registry();
            let avro = registry.avro::<Everything>("orders-value", EVERYTHING).expect("a schema");
            let plain = crate::Avro::<Everything>::new(EVERYTHING).expect("a schema");
            let mut changed = encoded(&avro, &everything());
            *at.get_mut(&mut changed) = byte;
            for bytes in [&random, &changed] {
                let _ = (avro.decode(bytes), plain.decode(bytes), registry.json::<Order>("j", "{}").decode(bytes));
                let _ = registry.protobuf::<()>("p", "", &[0]).decode(bytes);
                let _ = (crate::Csv::<Order>::new().decode(bytes), crate::Csv::<Vec<u8>>::new().decode(bytes));
            }
        }
    }

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal")).collect()
    }

    #[test]
    fn avro_is_written_and_read_alike() {
        let double = Double::start();
        let format = double.registry().avro::<Everything>("orders-value", EVERYTHING).expect("a schema");
        let full = "0000000001098080808080400000003f00000000000002c0010e77c3b672746572\
                    0400ff0206796573060203d804000202610e00020201";
        let empty = Everything { maybe: None, list: Vec::new(), map: BTreeMap::new(), ..everything() };
        let written_empty = "0000000001098080808080400000003f00000000000002c0010e77c3b6727465720400ff000000020201";
        for (value, hex) in [(everything(), full), (empty, written_empty)] {
            assert_eq!(encoded(&format, &value), bytes(hex));
            assert_eq!(format.decode(&bytes(hex)), Ok(value));
        }
        // The same by way of another version of the schema.
        let doc = EVERYTHING.replacen("\"name\":\"i\"", "\"name\":\"gone\",\"type\":\"int\"},{\"name\":\"i\"", 1);
        let other = double.register("orders-value", json!({ "schema": doc }));
        let resolved = [&[0][..], &other.to_be_bytes(), &[84], &bytes(full)[5..]].concat();
        assert_eq!(format.decode(&resolved), Ok(everything()));
    }

    #[test]
    fn json_and_protobuf_are_written_and_read_alike() {
        #[derive(Clone, PartialEq, prost::Message)]
        struct Timestamp {
            #[prost(int64, tag = "1")]
            seconds: i64,
            #[prost(int32, tag = "2")]
            nanos: i32,
        }

        #[derive(Clone, PartialEq, prost::Message)]
        struct ListValue {
            #[prost(message, repeated, tag = "1")]
            values: Vec<Number>,
        }

        #[derive(Clone, PartialEq, prost::Message)]
        struct Number {
            #[prost(double, tag = "2")]
            number: f64,
        }

        let double = Double::start();
        let registry = double.registry();
        let stamp = Timestamp { seconds: 1_700_000_000, nanos: 5 };
        let format = registry.protobuf::<Timestamp>("orders-value", "the first message", &[0]);
        assert_eq!(encoded(&format, &stamp), bytes("0000000001000880e2cfaa061005"));
        assert_eq!(format.decode(&bytes("0000000001000880e2cfaa061005")), Ok(stamp));
        let list = ListValue { values: vec![Number { number: 1.5 }] };
        let format = registry.protobuf::<ListValue>("lists-value", "the third message", &[2]);
        assert_eq!(encoded(&format, &list), bytes("000000000202040a0911000000000000f83f"));
        assert_eq!(format.decode(&bytes("000000000202040a0911000000000000f83f")), Ok(list));
        let json = registry.json::<Value>("j-value", "{}");
        assert_eq!(json.decode(&bytes("00000000027b226964223a317d")), Ok(json!({ "id": 1 })));
    }
}
