//! Sources as text: enough of Rust to find paths, comments and functions in code formatted by rustfmt.

use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the workspace.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").to_path_buf()
}

/// One Rust file.
pub(crate) struct Source {
    /// Path from the workspace on, with `/`.
    pub(crate) path: String,
    text: String,
}

/// The Rust files below a folder of the workspace, in the order of their paths.
pub(crate) fn files(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    collect(&workspace().join(folder), &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn collect(folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("a folder of the workspace can be read").path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source is UTF-8");
            let path = path.strip_prefix(workspace()).expect("it was found there");
            found.push(Source { path: path.to_string_lossy().replace('\\', "/"), text });
        }
    }
}

impl Source {
    /// A file by its path and text.
    #[cfg(test)]
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// The text before the test module at the end of the file.
    pub(crate) fn code(&self) -> &str {
        self.text.find("\n#[cfg(test)]\nmod tests {").map_or(&self.text, |at| &self.text[..=at])
    }

    /// Lines with their numbers, from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// The top-level module that a file of a crate's `src` belongs to; none for the root itself.
    pub(crate) fn module(&self) -> Option<String> {
        let inside = self.path.split_once("/src/")?.1;
        let module = inside.split('/').next()?.trim_end_matches(".rs");
        (!["lib", "main"].contains(&module)).then(|| module.to_owned())
    }

    /// Whether the whole file is a test.
    pub(crate) fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// Numbers of lines before and in the test module at the end of the file.
    pub(crate) fn code_and_test_lines(&self) -> (usize, usize) {
        let (all, code) = (self.text.lines().count(), self.code().lines().count());
        (code, all - code)
    }

    /// Comments with the numbers of their lines; `//` inside a string also counts as one.
    pub(crate) fn comments(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines().filter_map(|(number, line)| line.find("//").map(|at| (number, &line[at..])))
    }

    /// Line, name and length of every function, found by the indentation of its last line.
    pub(crate) fn functions(&self) -> Vec<(usize, &str, usize)> {
        let lines = self.text.lines().collect::<Vec<_>>();
        let mut found = Vec::new();
        for (index, line) in lines.iter().enumerate() {
            let Some(name) = function_name(line) else { continue };
            let indent = line.len() - line.trim_start().len();
            let end = format!("{}}}", " ".repeat(indent));
            if line.ends_with(['}', ';']) {
                continue;
            }
            let signature_end = lines[index..].iter().find(|line| line.ends_with(['{', ';']));
            if signature_end.is_some_and(|line| line.ends_with('{')) {
                let length = lines[index..].iter().take_while(|line| **line != end).count() + 1;
                found.push((index + 1, name, length));
            }
        }
        found
    }
}

fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let qualifiers = ["pub", "pub(crate)", "pub(super)", "const", "async"];
    let is_declaration = before.split_whitespace().all(|word| qualifiers.contains(&word));
    let end = after.find(|character: char| !character.is_alphanumeric() && character != '_')?;
    is_declaration.then(|| &after[..end])
}

/// Names after `crate::`, and after enough `super::` to leave the top-level module, with the numbers of their lines.
pub(crate) fn top_level_uses(source: &Source) -> Vec<(usize, String)> {
    let code = source.lines().map(|(_, line)| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    let mut record = |at: usize| {
        let line = code[..at].matches('\n').count() + 1;
        let names = first_names(&code[at..]).into_iter().filter(|name| !name.is_empty());
        found.extend(names.map(|name| (line, name)));
    };
    for (at, matched) in code.match_indices("crate::") {
        let is_whole = !code[..at].ends_with(|character: char| character.is_alphanumeric() || "_$".contains(character));
        if is_whole {
            record(at + matched.len());
        }
    }
    let supers = "super::".repeat(depth(&source.path));
    for (at, _) in code.match_indices(&supers).filter(|(at, _)| !code[..*at].ends_with("super::")) {
        // In a nested module, one more `super` is needed to leave the file.
        let is_outermost = code[..at].rsplit('\n').next().is_some_and(|line| line.starts_with("use "));
        if is_outermost {
            record(at + supers.len());
        }
    }
    found
}

/// The number of `super` that lead from this file to the crate's root.
fn depth(path: &str) -> usize {
    let inside = path.split_once("/src/").map_or("", |(_, inside)| inside);
    let parts = inside.split('/').filter(|part| *part != "mod.rs").count();
    parts.max(1)
}

/// The first name of a path, or the first names of the paths in a group.
fn first_names(path: &str) -> Vec<String> {
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let mut names = Vec::new();
    let mut depth = 0;
    let mut start = 0;
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.push(name(&group[start..at]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(name(&group[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    names
}

fn name(path: &str) -> String {
    path.trim_start().chars().take_while(|character| character.is_alphanumeric() || *character == '_').collect()
}

#[cfg(test)]
mod tests {
    use super::{Source, top_level_uses};

    #[test]
    fn uses_are_found_in_every_form() {
        let text = "//! crate::no::comment\nuse crate::wire::{Str, Uuid};\nuse crate::{\n    time::Moment,\n    record::{Batch, a::B},\n};\n\
                    fn f(x: crate::types::Offset) -> $crate::macros::X {}\nuse super::super::group::Member;\nuse super::own;\n";
        let uses = top_level_uses(&Source::new("kafka-wire/src/session/frame.rs", text));
        let expected = [(2, "wire"), (3, "time"), (3, "record"), (7, "types"), (8, "group")];
        assert_eq!(uses.iter().map(|(line, name)| (*line, name.as_str()),).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn functions_are_measured() {
        let text = "fn short() {}\n\nimpl X {\n    pub fn long(\n        a: i32,\n    ) -> i32 {\n        a\n    }\n}\n\nfn declared(\n    a: i32,\n);\n";
        assert_eq!(Source::new("x.rs", text).functions(), [(4, "long", 5)]);
    }

    #[test]
    fn tests_at_the_end_are_counted_apart() {
        let text = "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    fn g() {}\n}\n";
        assert_eq!(Source::new("x.rs", text).code_and_test_lines(), (2, 4));
    }
}
