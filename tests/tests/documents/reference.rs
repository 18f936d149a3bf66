//! The generated references: of settings, from the comments and defaults of `Config`; of commands, from `--help`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use conformance::programs;
use kafka_wire::client::Properties;
use processor::Config;
use processor::runtime::KEYS;

use crate::page::root;

/// Compares a page with the text that it must have; with `WATERWHEEL_BLESS=1` writes it.
pub(crate) fn check(path: &str, text: &str) {
    let file = root().join(path);
    if std::env::var_os("WATERWHEEL_BLESS").is_some_and(|value| value == "1") {
        fs::write(&file, text).expect("docs/ can be written");
    }
    let there = fs::read_to_string(&file).unwrap_or_default();
    let stale = there.lines().zip(text.lines()).position(|(there, now)| there != now);
    let hint = "WATERWHEEL_BLESS=1 cargo test -p conformance --test documents";
    assert!(there == text, "{path} is stale, from line {:?} on; write it anew: {hint}", stale.map(|line| line + 1));
}

/// Every setting of [`Config`], with its default and the comment of its field.
pub(crate) fn config() -> String {
    let source = fs::read_to_string(root().join(SOURCE)).expect("the configuration has its file");
    let defaults = defaults();
    let mut page = CONFIG_HEAD.to_owned();
    for (field, comment) in fields(&source) {
        let setting = comment.strip_prefix('`').and_then(|comment| comment.split_once('`'));
        let (key, rest) = setting.unwrap_or_else(|| panic!("the comment of `{field}` does not begin with its key"));
        let text = rest.split_once(": ").map_or(rest, |(_, text)| text);
        let default = defaults.get(&field).map_or("-", String::as_str);
        writeln!(page, "| `{key}` | {default} | {} |", sentence(text)).expect("a String takes every write");
    }
    let missing: Vec<_> = KEYS.iter().filter(|key| !page.contains(&format!("| `{key}` |"))).collect();
    assert!(missing.is_empty(), "no field of Config has a comment that begins with {missing:?}");
    page
}

/// Returns the table of all keys of a client, from the tables of the code.
pub(crate) fn client_config() -> String {
    let mut page = CLIENT_HEAD.to_owned();
    let mut group = "";
    for key in Properties::keys() {
        if key.group != group {
            group = key.group;
            let title = sentence(group);
            writeln!(page, "\n## {title}\n\n| key | default | takes | meaning |\n|---|---|---|---|")
                .expect("a String takes every write");
        }
        let names: Vec<_> = std::iter::once(&key.name).chain(key.aliases).map(|name| format!("`{name}`")).collect();
        let default = if key.default.is_empty() { "-".to_owned() } else { format!("`{}`", key.default) };
        writeln!(page, "| {} | {default} | {} | {} |", names.join(", "), key.takes, key.doc)
            .expect("a String takes every write");
    }
    page
}

/// Fields of the struct `Config` and their comments, in order.
fn fields(source: &str) -> Vec<(String, String)> {
    let body = source.split_once("pub struct Config {").map_or("", |(_, after)| after);
    let body = body.split("\n}").next().unwrap_or_default();
    let mut comment = String::new();
    let mut fields = Vec::new();
    for line in body.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            comment.push_str(text.trim());
            comment.push(' ');
        } else if let Some((name, _)) = line.strip_prefix("pub ").and_then(|field| field.split_once(':')) {
            fields.push((name.to_owned(), std::mem::take(&mut comment)));
        }
    }
    fields
}

/// The defaults by field, as people write them.
fn defaults() -> BTreeMap<String, String> {
    let printed = format!("{:#?}", Config::new(""));
    let temporary = std::env::temp_dir().display().to_string();
    let mut defaults = BTreeMap::new();
    let mut lines = printed.lines().filter_map(|line| line.strip_prefix("    "));
    while let Some(line) = lines.next() {
        let Some((field, value)) = line.split_once(": ") else { continue };
        let value = if value == "Some(" { lines.next().unwrap_or_default().trim() } else { value };
        let value = value.trim_end_matches(',').replace(&temporary, "<temporary files>");
        let value = match value.as_str() {
            "None" if field == "compression" => "`none`".to_owned(),
            "[]" | "{}" | "None" => "-".to_owned(),
            value => format!("`{}`", setting(value.trim_matches('"'))),
        };
        defaults.insert(field.to_owned(), value);
    }
    defaults
}

/// A value in the form of a setting: durations are printed as `6s` or `500ms`, and no time as `0ns`.
fn setting(printed: &str) -> String {
    let millis = |count: &str, unit: u64| count.parse::<u64>().ok().map(|count| (count * unit).to_string());
    let from_ns = printed.strip_suffix("ns").and_then(|count| millis(count, 0));
    let from_ms = printed.strip_suffix("ms").and_then(|count| millis(count, 1));
    let from_s = printed.strip_suffix('s').and_then(|count| millis(count, 1_000));
    from_ns.or(from_ms).or(from_s).unwrap_or_else(|| printed.to_lowercase())
}

/// The text for a cell of a table: one line that begins with a capital.
fn sentence(text: &str) -> String {
    let text = text.trim().replace('|', "\\|");
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// The output of `--help`, for both programs and all their commands.
pub(crate) fn cli() -> String {
    let mut page = CLI_HEAD.to_owned();
    help(&mut page, &["waterwheel"]);
    help(&mut page, &["wordcount"]);
    page
}

fn help(page: &mut String, command: &[&str]) {
    let program = programs::folder().join(command[0]);
    let output =
        Command::new(program).args(&command[1..]).arg("--help").env_remove("RUST_LOG").env_remove(SERVERS).output();
    let output = output.expect("the program starts");
    let text = String::from_utf8(output.stdout).expect("help is text");
    let temporary = std::env::temp_dir().display().to_string();
    let lines: Vec<&str> = text.trim_end().lines().map(str::trim_end).collect();
    let text = lines.join("\n").replace(&temporary, "<temporary files>");
    let title = command.join(" ");
    writeln!(page, "\n## {title}\n\n```text\n{text}\n```").expect("a String takes every write");
    for name in commands(&text) {
        let mut below = command.to_vec();
        below.push(&name);
        help(page, &below);
    }
}

/// The names under `Commands:`, without `help`.
fn commands(text: &str) -> Vec<String> {
    let list = text.split_once("\nCommands:\n").map_or("", |(_, after)| after);
    let list = list.split("\n\n").next().unwrap_or_default();
    let names = list.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

/// The variable is unset, because `--help` shows its value.
const SERVERS: &str = "KAFKA_BOOTSTRAP_SERVERS";

const SOURCE: &str = "processor/src/runtime/config.rs";

const CONFIG_HEAD: &str = "# Settings of a job\n
Generated from `Config` of the crate processor; its fields have the same text. In Rust: `Config::new(\"HOST:PORT\")`, then
`config.set(\"num.workers\", \"4\")`, or the field. With the word count: `-X num.workers=4`. Names are Kafka's where Kafka has one; an
unknown one is answered with one that is near. Times are whole milliseconds, sizes bytes.\n
| key | default | what it is |
|---|---|---|
";

const CLIENT_HEAD: &str = "# Settings of a client\n
Generated from the tables of kafka-wire. `Properties` takes these keys from a Java properties file, the environment or pairs, and makes
`ClientConfig`, `ProducerConfig` and `ConsumerConfig` of them; a job takes those of the client and of security, see
[config.md](config.md). The first name is Java's, or ours where Java has none; the others are librdkafka's. Times are whole
milliseconds, sizes bytes.
";

const CLI_HEAD: &str = "# Commands\n
Generated: what `--help` prints. `waterwheel` is the binary of `cli/`, `wordcount` that of `examples/`.
";
