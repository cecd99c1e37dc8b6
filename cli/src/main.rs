//! The command line of Pellucid: results on standard output, everything else on standard error.

mod adapters;
mod bench;
mod chat;
mod direction;
mod doctor;
mod drawing;
mod edits;
mod generate;
mod hub;
mod input;
mod inspect;
mod interrupt;
mod options;
mod output;
mod score;
mod tokenize;
mod tokenizer;
mod train;
mod tune;
mod visible;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use log::{Level, LevelFilter};
use pellucid::Result;
use pellucid::generate::Finish;

/// Run, train and inspect language models on any GPU
#[derive(Debug, Parser)]
#[command(name = "pellucid", version, arg_required_else_help = true, after_help = ENDING)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// The end of `--help`.
const ENDING: &str = "`pellucid <COMMAND> -h` lists the options of a command; `--help` says more.\n\
                      To try it: pellucid generate \"ROMEO:\"";

/// Each command describes itself, at its own options.
#[derive(Debug, Subcommand)]
enum Command {
    Generate(generate::Generate),
    Chat(chat::Chat),
    Score(score::Score),
    Inspect(Box<inspect::Inspect>),
    Direction(Box<direction::Direction>),
    Tokenize(tokenize::Tokenize),
    Tokenizer(tokenizer::Command),
    Adapters(adapters::Adapters),
    Doctor(doctor::Doctor),
    Train(Box<train::Train>),
    Tune(tune::Tune),
    Bench(bench::Bench),
}

fn main() -> ExitCode {
    quiet_mesa();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => return told(&answer),
    };
    start_log();
    match pollster::block_on(run(cli.command)) {
        Ok(code) => code,
        // The reader of our output has closed it, as `head` does.
        Err(error) if output::is_closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(&format!("error: {}", output::sentence(&error)));
            ExitCode::FAILURE
        }
    }
}

/// Shows the help that was asked for, or what is wrong with the command line: it may quote the names of
/// files, which a shell puts in the place of a `*`.
fn told(answer: &clap::Error) -> ExitCode {
    let text = answer.to_string();
    if answer.use_stderr() {
        output::note(text.trim_end_matches('\n'));
    } else {
        // Whoever closed our output does not want the rest.
        let _ = output::piece(&text);
    }
    ExitCode::from(u8::try_from(answer.exit_code()).unwrap_or(2))
}

/// Mesa's layer that orders GPUs asks the Wayland session which one it uses. Without a session, as
/// for root or on a server, libwayland prints an error before every run. The layer is disabled
/// then: nothing is drawn, and the best GPU is chosen by its kind.
#[allow(unsafe_code, reason = "the layer reads the environment only")]
fn quiet_mesa() {
    let asked = ["NODEVICE_SELECT", "MESA_VK_DEVICE_SELECT", "DRI_PRIME", "XDG_RUNTIME_DIR"];
    if cfg!(target_os = "linux") && asked.iter().all(|name| std::env::var_os(name).is_none()) {
        // SAFETY: no other thread has been started that could read the environment meanwhile.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}

async fn run(command: Command) -> Result<ExitCode> {
    interrupt::listen()?;
    match command {
        Command::Generate(command) => {
            if command.run().await? == Finish::Interrupted {
                return Ok(interrupt::exit_code());
            }
        }
        Command::Chat(command) => {
            if !command.run().await? {
                return Ok(interrupt::exit_code());
            }
        }
        Command::Score(command) => command.run().await?,
        Command::Inspect(command) => command.run().await?,
        Command::Direction(command) => command.run().await?,
        Command::Tokenize(command) => command.run()?,
        Command::Tokenizer(command) => command.run()?,
        Command::Adapters(command) => command.run().await?,
        Command::Doctor(command) => command.run().await?,
        Command::Train(command) => {
            if !command.run().await? {
                return Ok(interrupt::exit_code());
            }
        }
        Command::Tune(command) => command.run().await?,
        Command::Bench(command) => command.run().await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Warnings go to standard error; `RUST_LOG` shows more. Messages of the graphics stack are shown
/// only if `RUST_LOG` names it: what matters among them is also an error of ours.
fn start_log() {
    env_logger::Builder::new()
        .filter_level(LevelFilter::Warn)
        .filter_module("wgpu_core", LevelFilter::Error)
        .filter_module("wgpu_hal", LevelFilter::Off)
        .filter_module("naga", LevelFilter::Error)
        .parse_default_env()
        .format(|to, record| {
            let text = output::bounded(&record.args().to_string());
            match record.level() {
                Level::Error => writeln!(to, "error: {text}"),
                Level::Warn => writeln!(to, "warning: {text}"),
                level => writeln!(to, "{level} {}: {text}", record.target()),
            }
        })
        .init();
}
