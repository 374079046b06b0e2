// SPDX-License-Identifier: MPL-2.0
//! Shows and changes what `orion-launch` does, over MQTT: as a command line for scripts, as menus for people.

mod asking;
mod broker;
mod cli;
mod failure;
mod menu;
mod out;
#[path = "../../papers.rs"]
mod papers;
mod requests;
mod run;
mod sightings;
mod status;
mod text;
mod watch;
mod words;

use std::{io::IsTerminal, process::ExitCode};

use clap::{CommandFactory, Parser};

use crate::{
    cli::{Arguments, Command},
    failure::Failure,
    out::{note, say},
};

fn main() -> ExitCode {
    let mut arguments = Arguments::parse();
    // An empty variable says nothing.
    arguments.common.id = arguments.common.id.filter(|id| !id.is_empty());
    let json = arguments.common.json;
    match act(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let text = failure.to_string();
            if !text.is_empty() {
                note(&text);
                if json && matches!(failure, Failure::NoAnswer(_)) {
                    // Whoever reads nothing any more has the exit code.
                    let _ = say(&text::no_answer(&text).to_string());
                }
            }
            ExitCode::from(failure.code())
        }
    }
}

fn act(arguments: &Arguments) -> Result<(), Failure> {
    let broken = |error: std::io::Error| out::failed(&error);
    let ours = matches!(&arguments.command, Some(Command::Completions { .. } | Command::Man { .. }));
    if !ours {
        words::broker(&arguments.common.broker).map_err(|error| Failure::Usage(format!("--broker: {error}")))?;
    }
    match &arguments.command {
        Some(Command::Completions { shell }) => papers::completions(Arguments::command(), *shell).map_err(broken),
        Some(Command::Man { directory }) => papers::manual(Arguments::command(), directory.as_deref()).map_err(broken),
        Some(command) => block_on(run::run(&arguments.common, command)),
        None if is_terminal() => block_on(menu::run(&arguments.common)),
        None => Err(Failure::Usage("without a terminal a command is needed, see orion-config --help".into())),
    }
}

fn is_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal() && std::io::stderr().is_terminal()
}

fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| out::failed(&error))?;
    let done = runtime.block_on(work);
    // A name that is being looked up must not keep the process.
    runtime.shutdown_background();
    done
}
