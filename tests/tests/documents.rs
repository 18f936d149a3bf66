//! The documents are correct: their commands run, their Rust code compiles, their references match the code,
//! and their links lead to files.
//!
//! The info string of a fenced block says how it is tested. `sh` is run, all blocks of a page in order, in one shell
//! and an empty folder, with `waterwheel` and `wordcount` on the path; 9092 stands for a free port.
//! `sh skip: why` is not run. `text output` has lines that the block before it prints, each as a part of some line;
//! `...` stands for anything.

#[path = "documents/page.rs"]
mod page;
#[path = "documents/reference.rs"]
mod reference;
#[path = "documents/shell.rs"]
mod shell;

use std::path::Path;

use page::{Page, pages, root};

#[test]
fn commands_run_as_they_stand() {
    let mut failures = Vec::new();
    let (mut run, mut skipped) = (0, Vec::new());
    for page in pages() {
        skipped.extend(page.skipped());
        match shell::run(&page) {
            Ok(count) => run += count,
            Err(failure) => failures.push(failure),
        }
    }
    eprintln!("{run} blocks run, {} not:\n  {}", skipped.len(), skipped.join("\n  "));
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(run > 0, "the documents have commands");
}

#[test]
fn every_block_says_what_it_is() {
    let known = ["rust", "rust no_run", "sh", "text", "text output", "toml", "json", "yaml"];
    let is_known =
        |info: &str| known.contains(&info) || info.strip_prefix("sh skip: ").is_some_and(|why| why.len() > 8);
    let mut found = Vec::new();
    for page in pages() {
        found.extend(page.blocks.iter().filter(|block| !is_known(&block.info)).map(|block| page.at(block)));
    }
    assert!(found.is_empty(), "a fence without a known kind:\n  {}", found.join("\n  "));
}

#[test]
fn every_page_with_rust_is_a_doctest() {
    let doctests = include_str!("../src/lib.rs");
    // A crate on which these tests do not depend includes its README by itself.
    let includes_itself = |path: &str| {
        let library = path.strip_suffix("README.md").map(|folder| root().join(folder).join("src/lib.rs"));
        let library = library.and_then(|library| std::fs::read_to_string(library).ok()).unwrap_or_default();
        library.contains("#[cfg(doctest)]\n#[doc = include_str!(\"../README.md\")]")
    };
    let is_missing = |page: &Page| {
        page.blocks.iter().any(|block| block.info.starts_with("rust"))
            && !doctests.contains(&format!("include_str!(\"../../{}\")", page.path))
            && !includes_itself(&page.path)
    };
    let missing: Vec<_> = pages().into_iter().filter(is_missing).map(|page| page.path).collect();
    assert!(missing.is_empty(), "neither in tests/src/lib.rs nor in the library beside it: {missing:?}");
}

#[test]
fn links_lead_to_files() {
    let mut broken = Vec::new();
    for page in pages() {
        let folder = root().join(&page.path).parent().map(Path::to_owned).unwrap_or_default();
        for (line, target) in page.links() {
            let file = target.split('#').next().unwrap_or_default();
            if !target.contains("://") && !file.is_empty() && !folder.join(file).exists() {
                broken.push(format!("{}:{line}: {target}", page.path));
            }
        }
    }
    assert!(broken.is_empty(), "links to nothing:\n  {}", broken.join("\n  "));
}

#[test]
fn the_reference_of_settings_is_that_of_the_code() {
    reference::check("docs/reference/config.md", &reference::config());
}

#[test]
fn the_reference_of_the_clients_settings_is_that_of_the_code() {
    reference::check("docs/reference/client-config.md", &reference::client_config());
}

#[test]
fn the_reference_of_commands_is_that_of_the_programs() {
    reference::check("docs/reference/cli.md", &reference::cli());
}
