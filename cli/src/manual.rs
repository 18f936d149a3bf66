//! `waterwheel completions` and `waterwheel man`: shell completions and manual pages, from the same definitions
//! as `--help`.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::Shell;

use crate::output::{self, note};

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell. Bash: `waterwheel completions bash > ~/.local/share/bash-completion/completions/waterwheel`; zsh: the
    /// file `_waterwheel` in a folder of `$fpath`; fish: `~/.config/fish/completions/waterwheel.fish`.
    shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The command whose page is printed, as in `waterwheel man wire decode | man -l -`; without one, the program's.
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
    /// Writes the pages of all commands into this folder, in place of printing one.
    #[arg(long, value_name = "FOLDER", conflicts_with = "command")]
    dir: Option<PathBuf>,
}

/// Prints the completions of a shell.
pub(crate) fn completions(options: &Completions, mut program: Command) -> Result<ExitCode, Box<dyn Error>> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut program, "waterwheel", &mut script);
    output::print(&String::from_utf8(script)?)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints one page, or writes all of them.
pub(crate) fn man(options: &Man, mut program: Command) -> Result<ExitCode, Box<dyn Error>> {
    program.build();
    if let Some(folder) = &options.dir {
        let named = |error| format!("{}: {error}", folder.display());
        fs::create_dir_all(folder).map_err(named)?;
        clap_mangen::generate_to(program, folder).map_err(named)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut command = &program;
    for name in &options.command {
        let Some(found) = command.find_subcommand(name) else {
            let known: Vec<_> = command.get_subcommands().map(Command::get_name).collect();
            note!("error: `{}` has no command `{name}`; it has: {}", command.get_name(), known.join(", "));
            return Ok(ExitCode::from(2));
        };
        command = found;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    output::print(&String::from_utf8(page)?)?;
    Ok(ExitCode::SUCCESS)
}
