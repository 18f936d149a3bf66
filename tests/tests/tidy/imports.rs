//! Imports between the files of a crate, and the circles among them.
//!
//! A path is followed to the file that defines the name: through modules, and through re-exports of modules.
//! A module that only re-exports the names of its children (`pub use`) does not import them; one that uses them
//! itself does. Files below a module are parts of it, so their imports from the module's own file do not count;
//! imports among them do.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Source;

/// The imports of one crate.
pub(crate) struct Imports {
    /// Files by module path; the root is the empty path.
    files: BTreeMap<Vec<String>, File>,
}

struct File {
    path: String,
    /// Every path in the file with its line, without tests.
    paths: Vec<Path>,
    /// Number of occurrences of each name outside of imports.
    names: BTreeMap<String, usize>,
    /// Names of the items that the file defines.
    items: BTreeSet<String>,
}

struct Path {
    line: usize,
    segments: Vec<String>,
    /// The name that the import gives to its target; none for a path in code.
    binds: Option<String>,
    is_public: bool,
}

impl Imports {
    /// Reads the files of one crate: all below its `src`.
    pub(crate) fn read<'s>(sources: impl IntoIterator<Item = &'s Source>) -> Self {
        let mut files = BTreeMap::new();
        for source in sources.into_iter().filter(|source| !source.is_test()) {
            let tokens = tokens(source.code());
            let (paths, names) = paths(&tokens);
            let file = File { path: source.path.clone(), paths, names, items: items(&tokens) };
            files.insert(module_path(&source.path), file);
        }
        Self { files }
    }

    /// The circles of files that import each other, each as lines of `file:line -> file (name)`.
    pub(crate) fn circles(&self) -> Vec<String> {
        let edges = self.edges();
        let reachable = |from: &str| {
            let (mut seen, mut next) = (BTreeSet::new(), vec![from.to_owned()]);
            while let Some(file) = next.pop() {
                for (_, to) in edges.keys().filter(|(other, _)| *other == file) {
                    if seen.insert(to.clone()) {
                        next.push(to.clone());
                    }
                }
            }
            seen
        };
        let reach: BTreeMap<&str, BTreeSet<String>> =
            self.files.values().map(|file| (file.path.as_str(), reachable(&file.path))).collect();
        let is_circular = |from: &str, to: &str| reach.get(to).is_some_and(|reached| reached.contains(from));
        let circular = edges.iter().filter(|((from, to), _)| is_circular(from, to));
        circular.map(|((from, to), (line, name))| format!("{from}:{line} -> {to} ({name})")).collect()
    }

    /// For each pair of files, the first line that imports, and the imported name.
    fn edges(&self) -> BTreeMap<(String, String), (usize, String)> {
        let mut edges = BTreeMap::new();
        for (module, file) in &self.files {
            for path in &file.paths {
                // A re-export that the file does not use itself only passes the name on.
                let is_passed_on =
                    path.is_public && path.binds.as_ref().is_some_and(|name| !file.names.contains_key(name));
                if is_passed_on {
                    continue;
                }
                let Some(target) = self.resolve(module, &path.segments, 0) else { continue };
                let is_part_of_target = module.starts_with(&target);
                let target = &self.files[&target].path;
                if !is_part_of_target {
                    let name = path.segments.last().cloned().unwrap_or_default();
                    edges.entry((file.path.clone(), target.clone())).or_insert((path.line, name));
                }
            }
        }
        edges
    }

    /// The module whose file defines the target of a path in `module`; none if that is in another crate.
    fn resolve(&self, module: &[String], segments: &[String], depth: usize) -> Option<Vec<String>> {
        let mut current = module.to_vec();
        let mut rest = segments;
        match segments.first()?.as_str() {
            "crate" => (current, rest) = (Vec::new(), &segments[1..]),
            "self" => rest = &segments[1..],
            "super" => {
                while rest.first().is_some_and(|segment| segment == "super") {
                    current.pop()?;
                    rest = &rest[1..];
                }
            }
            first if self.files.contains_key(&child(module, first)) => {}
            _ => return None,
        }
        for (index, segment) in rest.iter().enumerate() {
            let below = child(&current, segment);
            if self.files.contains_key(&below) {
                current = below;
                continue;
            }
            if let Some(found) = self.follow(&current, segment, &rest[index + 1..], depth) {
                return Some(found);
            }
            break;
        }
        Some(current)
    }

    /// Follows an import of `name` in `module`, if there is one.
    fn follow(&self, module: &[String], name: &str, rest: &[String], depth: usize) -> Option<Vec<String>> {
        let file = self.files.get(module).filter(|file| !file.items.contains(name) && depth < REEXPORTS_MAX)?;
        let by_name = file.paths.iter().filter(|path| path.binds.as_deref() == Some(name));
        let named = by_name.map(|path| [path.segments.as_slice(), rest].concat());
        let globs = file.paths.iter().filter(|path| path.binds.as_deref() == Some("*"));
        let through_glob = globs.filter_map(|path| {
            let target = self.resolve(module, &path.segments, depth + 1)?;
            let has_it = self.files[&target].items.contains(name);
            has_it.then(|| [path.segments.as_slice(), &[name.to_owned()], rest].concat())
        });
        named.chain(through_glob).find_map(|path| self.resolve(module, &path, depth + 1))
    }
}

fn child(module: &[String], name: &str) -> Vec<String> {
    [module, &[name.to_owned()]].concat()
}

/// `kafka-wire/src/client/tls.rs` is `client::tls`, `client/mod.rs` is `client`, `lib.rs` the root.
fn module_path(path: &str) -> Vec<String> {
    let inside = path.split_once("/src/").map_or(path, |(_, inside)| inside);
    let segments = inside.trim_end_matches(".rs").split('/').map(str::to_owned);
    segments.filter(|segment| !["lib", "main", "mod"].contains(&segment.as_str())).collect()
}

/// A word or a symbol, and its line.
struct Token<'t> {
    line: usize,
    text: &'t str,
}

/// Words and symbols, without comments and literals.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let bytes = text.as_bytes();
    let (mut tokens, mut at, mut line) = (Vec::new(), 0, 1);
    while at < bytes.len() {
        let rest = &text[at..];
        let length = match bytes[at] {
            b'/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            b'/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            b'r' if raw_string(rest).is_some() => raw_string(rest).unwrap_or(1),
            b'"' => string(rest),
            b'\'' => character(rest),
            byte if byte.is_ascii_alphanumeric() || byte == b'_' => {
                let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(rest.len());
                tokens.push(Token { line, text: &rest[..end] });
                end
            }
            b':' if rest.starts_with("::") => {
                tokens.push(Token { line, text: "::" });
                2
            }
            _ => {
                let length = rest.chars().next().map_or(1, char::len_utf8);
                if !rest.starts_with(char::is_whitespace) {
                    tokens.push(Token { line, text: &rest[..length] });
                }
                length
            }
        };
        line += rest[..length].matches('\n').count();
        at += length;
    }
    tokens
}

/// Length in bytes of a raw string at the start.
fn raw_string(text: &str) -> Option<usize> {
    let hashes = text[1..].len() - text[1..].trim_start_matches('#').len();
    text[1 + hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(2 + hashes + text[2 + hashes..].find(&end)? + end.len())
}

/// Length in bytes of a string at the start.
fn string(text: &str) -> usize {
    let mut is_escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 2)
}

/// Length in bytes of a character literal at the start; of the quote alone, if it begins a lifetime.
fn character(text: &str) -> usize {
    let mut letters = text.char_indices().skip(1);
    match (letters.next(), letters.next()) {
        (Some((_, '\\')), Some((escaped, _))) => text[escaped + 1..].find('\'').map_or(1, |end| escaped + end + 2),
        (Some(_), Some((end, '\''))) => end + 1,
        _ => 1,
    }
}

/// Every path of a file, and the number of occurrences of each name outside of imports.
fn paths(tokens: &[Token<'_>]) -> (Vec<Path>, BTreeMap<String, usize>) {
    let (mut found, mut names) = (Vec::new(), BTreeMap::new());
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        if token.text == "use" && token_text(tokens, at + 1) != "<" {
            // `pub(crate) use` ends in `)`, `pub use` in `pub`.
            let is_public = at > 0 && ["pub", ")"].contains(&tokens[at - 1].text);
            at += 1;
            tree(tokens, &mut at, &mut Vec::new(), is_public, &mut found);
            continue;
        }
        let is_word = token.text.starts_with(|letter: char| letter.is_alphabetic() || letter == '_');
        if is_word {
            *names.entry(token.text.to_owned()).or_default() += 1;
        }
        let begins = is_word && (at == 0 || !["::", "."].contains(&tokens[at - 1].text));
        if begins && token_text(tokens, at + 1) == "::" {
            let mut segments = vec![token.text.to_owned()];
            let mut next = at + 1;
            while token_text(tokens, next) == "::" && token_text(tokens, next + 1).starts_with(char::is_alphabetic) {
                segments.push(tokens[next + 1].text.to_owned());
                next += 2;
            }
            found.push(Path { line: token.line, segments, binds: None, is_public: false });
        }
        at += 1;
    }
    (found, names)
}

fn token_text<'t>(tokens: &[Token<'t>], at: usize) -> &'t str {
    tokens.get(at).map_or("", |token| token.text)
}

/// Parses one branch of a `use`, from `at` on; leaves `at` after it.
fn tree(tokens: &[Token<'_>], at: &mut usize, prefix: &mut Vec<String>, is_public: bool, found: &mut Vec<Path>) {
    let depth = prefix.len();
    let line = tokens.get(*at).map_or(0, |token| token.line);
    let mut binds = None;
    while let Some(token) = tokens.get(*at) {
        *at += 1;
        match token.text {
            "::" => {}
            "{" => {
                while !["}", ""].contains(&token_text(tokens, *at)) {
                    tree(tokens, at, prefix, is_public, found);
                    if token_text(tokens, *at) == "," {
                        *at += 1;
                    }
                }
                *at += 1;
                prefix.truncate(depth);
                return;
            }
            "as" => {
                binds = Some(token_text(tokens, *at).to_owned());
                *at += 1;
            }
            "*" => binds = Some("*".to_owned()),
            "," | "}" | ";" => {
                *at -= usize::from(token.text != ";");
                break;
            }
            // `use a::{self, b}` imports `a` itself.
            "self" if depth > 0 => {}
            name => prefix.push(name.to_owned()),
        }
    }
    let segments = prefix.clone();
    let binds = binds.or_else(|| segments.last().cloned());
    found.push(Path { line, segments, binds, is_public });
    prefix.truncate(depth);
}

/// Names of the items that the file defines, at any depth.
fn items(tokens: &[Token<'_>]) -> BTreeSet<String> {
    let keywords = ["fn", "struct", "enum", "trait", "type", "const", "static", "union"];
    let named = tokens.windows(2).filter(|pair| keywords.contains(&pair[0].text));
    let macros = tokens.windows(3).filter(|three| three[0].text == "macro_rules" && three[1].text == "!");
    named.map(|pair| pair[1].text.to_owned()).chain(macros.map(|three| three[2].text.to_owned())).collect()
}

/// Most re-exports of re-exports that are followed.
const REEXPORTS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::Imports;
    use crate::source::Source;

    fn circles(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<_> = files.iter().map(|(path, text)| Source::new(&format!("x/src/{path}"), text)).collect();
        Imports::read(&sources).circles()
    }

    #[test]
    fn a_circle_is_found_through_every_form_of_import() {
        for (a, b) in [
            ("use crate::b::B;", "use super::a::A;"),
            ("use crate::b::{self, B};", "fn f() { crate::a::g(); }"),
            ("use super::b;", "use crate::{a as other};"),
        ] {
            assert_eq!(circles(&[("lib.rs", "mod a; mod b;"), ("a.rs", a), ("b.rs", b)]).len(), 2, "{a} {b}");
        }
    }

    #[test]
    fn a_re_export_is_followed_to_its_origin() {
        let root = ("m/mod.rs", "mod a;\nmod b;\npub use a::A;");
        let passed_on = [root, ("m/a.rs", "pub struct A;"), ("m/b.rs", "use super::A;")];
        assert_eq!(circles(&passed_on), [""; 0]);
        let circle = [root, ("m/a.rs", "use super::b::B; pub struct A;"), ("m/b.rs", "use super::A; pub struct B;")];
        assert_eq!(circles(&circle), ["x/src/m/a.rs:1 -> x/src/m/b.rs (B)", "x/src/m/b.rs:1 -> x/src/m/a.rs (A)"]);
    }

    #[test]
    fn a_file_is_part_of_the_modules_above_it() {
        let child = ("m/a.rs", "use super::P; pub struct A(P);");
        assert_eq!(circles(&[("m/mod.rs", "mod a; pub use a::A; pub struct P; fn f(a: A) {}"), child]), [""; 0]);
        let other = ("n.rs", "use crate::m::P;");
        let through_parent = [("m/mod.rs", "mod a; use crate::n::f; pub struct P;"), child, other];
        assert_eq!(circles(&through_parent).len(), 2);
    }

    #[test]
    fn comments_strings_and_tests_import_nothing() {
        let a = "// use crate::b::B;\nconst T: &str = \"crate::b::B\"; const R: &str = r#\"crate::b::B\"#; const C: char = '\"';\n\
                 #[cfg(test)]\nmod tests {\n    use crate::b::B;\n}\n";
        assert_eq!(circles(&[("a.rs", a), ("b.rs", "use crate::a::T; pub struct B;")]), [""; 0]);
    }
}
