//! Markdown, as far as the tests need it: fenced blocks and links.

use std::fs;
use std::path::{Path, PathBuf};

/// A page of the documents.
pub(crate) struct Page {
    /// Path from the workspace on.
    pub(crate) path: String,
    pub(crate) blocks: Vec<Block>,
    text: String,
}

/// A fenced block.
pub(crate) struct Block {
    /// Line of its fence, from 1.
    pub(crate) line: usize,
    /// The info string after the fence.
    pub(crate) info: String,
    pub(crate) text: String,
}

/// The folder of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").to_owned()
}

/// The README of the project, those of the crates, and all of `docs/`.
pub(crate) fn pages() -> Vec<Page> {
    let mut paths: Vec<String> = READMES.iter().map(|&path| path.to_owned()).collect();
    collect(&root().join("docs"), &mut paths);
    paths.sort();
    paths.into_iter().map(Page::read).collect()
}

fn collect(folder: &Path, paths: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("docs/ can be read") {
        let path = entry.expect("docs/ can be read").path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            let path = path.strip_prefix(root()).expect("it was found there");
            paths.push(path.to_string_lossy().into_owned());
        }
    }
}

impl Page {
    fn read(path: String) -> Self {
        let text = fs::read_to_string(root().join(&path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self { blocks: blocks(&text), text, path }
    }

    /// The place of a block, as a compiler would name it.
    pub(crate) fn at(&self, block: &Block) -> String {
        format!("{}:{}: {}", self.path, block.line, block.info)
    }

    /// Blocks of commands that are not run, with the reasons.
    pub(crate) fn skipped(&self) -> Vec<String> {
        self.blocks.iter().filter(|block| block.info.starts_with("sh skip")).map(|block| self.at(block)).collect()
    }

    /// Targets of `[text](target)` outside of blocks, with their lines.
    pub(crate) fn links(&self) -> Vec<(usize, &str)> {
        let mut found = Vec::new();
        let mut in_block = false;
        for (index, line) in self.text.lines().enumerate() {
            in_block ^= line.starts_with("```");
            if !in_block {
                let targets = line.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
                found.extend(targets.map(|(target, _)| (index + 1, target)));
            }
        }
        found
    }
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    for (index, line) in text.lines().enumerate() {
        if let Some(info) = line.strip_prefix("```") {
            open = !open;
            if open {
                blocks.push(Block { line: index + 1, info: info.trim().to_owned(), text: String::new() });
            }
        } else if open {
            let block = blocks.last_mut().expect("a block is open");
            block.text.push_str(line);
            block.text.push('\n');
        }
    }
    blocks
}

const READMES: &[&str] = &[
    "README.md",
    "cli/README.md",
    "kafka-wire/README.md",
    "kafka-wire/compression/README.md",
    "processor/README.md",
    "processor/derive/README.md",
    "processor/formats/README.md",
    "testkit/README.md",
];
