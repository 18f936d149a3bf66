//! Writes the seed inputs of a target into a folder: `cargo run -p fuzz-targets --example seeds TARGET FOLDER`.

use std::path::PathBuf;
use std::{env, fs, io};

use fuzz_targets::seeds;

fn main() -> io::Result<()> {
    let mut words = env::args_os().skip(1);
    let (Some(target), Some(folder)) = (words.next(), words.next().map(PathBuf::from)) else {
        return Err(io::Error::other("usage: seeds TARGET FOLDER"));
    };
    fs::create_dir_all(&folder)?;
    for (name, input) in seeds::of(&target.to_string_lossy()) {
        fs::write(folder.join(name), input)?;
    }
    Ok(())
}
