// SPDX-License-Identifier: MPL-2.0
//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum, builder::BoolishValueParser};
use clap_complete::Shell;
use orion_core::{
    command::{RATE_HZ, Size},
    geometry::NormRect,
};

use crate::words;

/// Shows and changes what orion-launch does, over MQTT
#[derive(Debug, Parser)]
#[command(
    name = "orion-config",
    version,
    after_help = "\
Without a command, and on a terminal, there are menus. A change is answered when it is in force.
Exit codes: 0 done; 1 refused, nothing has changed; 2 the command line is wrong; 3 no answer (broker or instance not there, or not
in time); 130 Ctrl-C. A password comes from --password-file or ORION_MQTT_PASSWORD."
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What every command takes.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Options for all commands")]
pub(crate) struct Common {
    /// Whom it is for: an instance_id, or `all`; default: the only one that is online
    #[arg(long, global = true, env = "ORION_ID", value_name = "ID", value_parser = words::instance)]
    pub(crate) id: Option<String>,
    /// The broker, mqtt://[user@]host[:port] or mqtts://…
    #[arg(long, global = true, env = "ORION_BROKER", value_name = "URI", default_value = "mqtt://127.0.0.1:1883")]
    pub(crate) broker: String,
    /// Who logs in at the broker; default: the user in --broker, else ORION_MQTT_USERNAME
    #[arg(long, global = true, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(crate) username: String,
    /// A file with the password; without it ORION_MQTT_PASSWORD counts
    #[arg(
        long,
        global = true,
        env = "ORION_PASSWORD_FILE",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) password_file: String,
    /// Authorities to trust with mqtts://, PEM; default: those of the system
    #[arg(
        long,
        global = true,
        env = "ORION_TLS_CA_FILE",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) tls_ca_file: String,
    /// What is shown to the broker, PEM
    #[arg(
        long,
        global = true,
        env = "ORION_TLS_CERT_FILE",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) tls_cert_file: String,
    /// Its private key, PEM, not encrypted
    #[arg(
        long,
        global = true,
        env = "ORION_TLS_KEY_FILE",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) tls_key_file: String,
    /// Take any broker for good; for tests
    #[arg(long, global = true, env = "ORION_TLS_INSECURE", value_parser = BoolishValueParser::new())]
    pub(crate) tls_insecure: bool,
    /// First part of every topic, as mqtt.prefix of the daemon
    #[arg(long, global = true, env = "ORION_PREFIX", value_name = "TEXT", default_value = "care", value_parser = words::prefix)]
    pub(crate) prefix: String,
    /// Seconds within which it is over, 0.1..3600 [default: 10; where workers are started 60]
    #[arg(long, global = true, env = "ORION_TIMEOUT", value_name = "S", value_parser = words::timeout)]
    pub(crate) timeout: Option<f64>,
    /// Answers as JSON, one line each
    #[arg(long, global = true, env = "ORION_JSON", value_parser = BoolishValueParser::new())]
    pub(crate) json: bool,
}

/// How a change is to be made.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct How {
    /// Check it only, change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Only if the state still has this revision
    #[arg(long, value_name = "N")]
    pub(crate) if_revision: Option<u64>,
}

/// What to do about auto focus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "the words say it")]
pub(crate) enum Focus {
    On,
    Off,
    Simple,
    Smoothing,
    Velocity,
}

/// Figures of the strategies.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct Tuning {
    /// smoothing: weight of the newest suggestion, 0..1
    #[arg(long, value_name = "X")]
    pub(crate) alpha: Option<f64>,
    /// velocity: speed from which on a target is fast, fractions of the frame per frame, 0..1
    #[arg(long, value_name = "X")]
    pub(crate) velocity_threshold: Option<f64>,
    /// velocity: by how many frames' ways a fast target's region grows, 0..100
    #[arg(long, value_name = "X")]
    pub(crate) velocity_factor: Option<f64>,
    /// velocity: the most that it grows, fractions of the frame, 0..1
    #[arg(long, value_name = "X")]
    pub(crate) max_expansion: Option<f64>,
    /// For how many frames a suggestion is remembered, 1..10000
    #[arg(long, value_name = "N")]
    pub(crate) history_frames: Option<u32>,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Command {
    /// Tells how it goes: stream, broker, workers, presence, settings
    Status,
    /// Lists every instance that the broker knows of
    List,
    /// Shows results as they come, of all instances unless --id names one
    Watch {
        /// Ends after so many results
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        count: Option<u64>,
    },
    /// Takes another model (orion, n, s, m, l, x), without losing a frame
    SetModel {
        #[arg(value_name = "SIZE", value_parser = words::size)]
        size: Size,
        #[command(flatten)]
        how: How,
    },
    /// Looks so many times a second, 0.1..30
    SetRate {
        #[arg(value_name = "HZ", value_parser = words::rate, allow_negative_numbers = true)]
        hz: f64,
        #[command(flatten)]
        how: How,
    },
    /// Looks at these regions, x,y,width,height each, as fractions of the frame
    SetRoi {
        #[arg(value_name = "X,Y,W,H", required = true, value_parser = words::region, allow_hyphen_values = true)]
        regions: Vec<NormRect>,
        #[command(flatten)]
        how: How,
    },
    /// Looks at the whole frame again
    ClearRoi {
        #[command(flatten)]
        how: How,
    },
    /// Follows what was found, or not; a strategy switches it on
    AutoFocus {
        #[arg(value_name = "MODE")]
        mode: Focus,
        #[command(flatten)]
        tuning: Tuning,
        #[command(flatten)]
        how: How,
    },
    /// Looks at no more frames
    Pause {
        #[command(flatten)]
        how: How,
    },
    /// Looks at them again
    Resume {
        #[command(flatten)]
        how: How,
    },
    /// Starts new worker processes, without losing a frame
    RestartWorker {
        /// Which one, as `status` names it; default: all
        name: Option<String>,
        #[command(flatten)]
        how: How,
    },
    /// Changes any keys of the configuration, all or none of them
    UpdateConfig {
        /// Such as stream.fps=10; null takes the default
        #[arg(value_name = "KEY=VALUE", required = true, value_parser = words::setting)]
        settings: Vec<(String, String)>,
        #[command(flatten)]
        how: How,
    },
    /// Lists, adds or removes cameras of a daemon of several
    Cameras {
        #[command(subcommand)]
        action: Option<Cameras>,
    },
    /// Stops the daemon
    Shutdown {
        #[command(flatten)]
        how: How,
    },
    /// Sends a command as it is
    Raw {
        /// A JSON object such as {"command": "get_status"}; `-` reads it from standard input
        #[arg(value_name = "JSON")]
        request: String,
    },
    /// Prints completions for a shell
    Completions {
        /// Which one
        shell: Shell,
    },
    /// Prints the manual page
    Man {
        /// Write the page of each command there instead
        #[arg(value_name = "DIR")]
        directory: Option<PathBuf>,
    },
}

/// What to do about cameras.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Cameras {
    /// Watches one camera more
    Add {
        /// Its instance_id
        #[arg(value_name = "ID", value_parser = words::instance)]
        camera: String,
        /// What its entry in the configuration holds, such as camera.rtsp_url=rtsp://…
        #[arg(value_name = "KEY=VALUE", value_parser = words::setting)]
        settings: Vec<(String, String)>,
        /// More of it as a JSON object from a file, `-` for standard input: the place for an address with a password
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
        #[command(flatten)]
        how: How,
    },
    /// Watches a camera no longer
    Remove {
        /// Its instance_id
        #[arg(value_name = "ID", value_parser = words::instance)]
        camera: String,
        #[command(flatten)]
        how: How,
    },
}

/// Whether a rate can be asked for.
pub(crate) fn is_rate(hz: f64) -> bool {
    RATE_HZ.contains(&hz)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_documented_commands_are_those_that_there_are() {
        let mut table = String::new();
        let mut whole = Arguments::command();
        whole.build();
        for command in whole.get_subcommands().filter(|command| command.get_name() != "help") {
            let arguments = command.get_positionals().map(|argument| {
                let name = argument.get_value_names().map_or_else(String::new, |names| names[0].to_string());
                let many = if argument.get_num_args().is_some_and(|n| n.max_values() > 1) { " ..." } else { "" };
                match argument.is_required_set() {
                    true => format!(" {name}{many}"),
                    false => format!(" [{name}{many}]"),
                }
            });
            let mut arguments: String = arguments.collect();
            let below = command.get_subcommands().map(clap::Command::get_name).filter(|name| *name != "help");
            let below: Vec<_> = below.collect();
            if !below.is_empty() {
                write!(arguments, " [{}]", below.join(", ")).unwrap();
            }
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            writeln!(table, "| `{}{arguments}` | {about} |", command.get_name()).unwrap();
        }
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/orion-config.md");
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.contains(&format!("|---|---|\n{table}\n")), "{file} lacks this table:\n{table}");
    }
}
