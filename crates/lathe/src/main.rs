//! `lathe`: the command line of the workshop.
//!
//! Parse, call one function, print. What a command does stands in its file
//! under `commands/`; nothing is decided here.

// First: what is printed anywhere below is printed by its macros.
#[macro_use]
mod out;

mod bars;
mod client;
mod commands;
mod daemon;
mod fail;
mod follow;
mod interrupt;
mod keys;
mod logs;
mod marks;
mod notify;
mod syslog;
mod table;
mod tls;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::commands::{
    Globals, approve, backup, breaker, bundle, checkpoint, data, doctor, dossier, eval, export,
    feedback, filing, gate, ledger, merge, model, order, pack, people, project, register, restore,
    restored, run, settings, token, tour, trace, tune, up, upgrade, upstream, verify, version,
    withdraw,
};

const AFTER_HELP: &str = "\
Examples:
  lathe run packs/customer-care              run an order and serve its model
  lathe run packs/customer-care --quick      the same on a few records, marked \"demonstration\"
  lathe run packs/customer-care --exit       end after the last step
  lathe up --listen 127.0.0.1:7878           serve what is deployed until Ctrl-C
  lathe data add reviews.csv --licence MIT --owner me
  lathe order list

Exit codes:
  0  done
  1  it failed; the error says why and what to do next
  2  the command line was not understood
  3  the order waits for somebody: for approval, or to be resumed
  130  ended by Ctrl-C; the same command resumes
  141  nobody reads what it prints any more, as after `| head`

Environment:
  LATHE_HOME     where everything lives (default ~/.lathe)
  LATHE_LANG     en or zh (default: from LANG)
  LATHE_THREADS  threads to compute with (default: all that this process may use)
  LATHE_KEY      the key to present to a daemon whose home this user cannot read
  LATHE_AUDIT_SYSLOG  where what is decided is told to: /dev/log, udp://HOST:PORT or tcp://HOST:PORT
  LATHE_LOG      what the daemon logs to standard error, for instance info or lathe_serve=debug";

/// Tune a base model on your data, hold it against its gate, and serve it: on the machine you have.
#[derive(Debug, Parser)]
#[command(name = "lathe", version, after_help = AFTER_HELP, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a pack as an order: from base model and data to a served model.
    Run(run::Args),
    /// Tune by a recipe, in the foreground: a folder for other tools, nothing served.
    Tune(tune::Args),
    /// Score a tuned folder on a further file.
    Eval(eval::Args),
    /// Merge a tuned folder into its base: a model for other tools, checked against what was tuned.
    Merge(merge::Args),
    /// Serve the pages and the deployed models until Ctrl-C.
    Up(up::Args),
    /// Follow an answer back to its training sentences, and see what happens when evidence breaks.
    Tour(tour::Args),
    /// Look at orders, pause, resume, clone and compare them.
    Order(order::Args),
    /// Add and look at datasets.
    Data(data::Args),
    /// Look at models.
    Model(model::Args),
    /// Check packs.
    Pack(pack::Args),
    /// Verify the home as a stranger would.
    Verify(verify::Args),
    /// Print the dossier of a registration.
    Dossier(dossier::Args),
    /// Hand a deployment on with all it rests on.
    Bundle(bundle::Args),
    /// Write what other people's tools read: bill of materials, signed weights.
    Export(export::Args),
    /// Follow an answer back to its records, a record to its answers, a quotation to its answer.
    Trace(trace::Args),
    /// Take a record, a dataset or an agreement back.
    Withdraw(withdraw::Args),
    /// Look at the register, and cancel in it.
    Register(register::Args),
    /// Decide about a model that waits for approval.
    Approve(approve::Args),
    /// Look at, make, add and retire keys.
    Keys(commands::keys::Args),
    /// Issue keys of the API, with scopes and limits, list them and take them back.
    Token(token::Args),
    /// Let people in, give them roles, shut them out.
    People(people::Args),
    /// Make projects, and give people a part in them.
    Project(project::Args),
    /// Let other OpenAI-compatible servers answer behind the same door, list them and take them away.
    Upstream(upstream::Args),
    /// Look at breakers and move them.
    Breaker(breaker::Args),
    /// What callers say of answers: decide about it, make a dataset of it, tune on it.
    Feedback(feedback::Args),
    /// Check a pack's gate for rules that cannot bite.
    Gate(gate::Args),
    /// Which act of an authority (备案) applies, the package for it, and the act as evidence.
    Filing(filing::Args),
    /// Print the newest signed checkpoint, to be kept outside.
    Checkpoint(checkpoint::Args),
    /// Look at the ledger, and export it.
    Ledger(ledger::Args),
    /// Look at this machine and the home: what is well, what is not, how fast models will be.
    Doctor(doctor::Args),
    /// Write the home into one file, while it is served.
    Backup(backup::Args),
    /// Make an empty home the one that was backed up.
    Restore(restore::Args),
    /// Bring a home of an older version to this one: rehearse it, do it, take it back.
    Upgrade(upgrade::Args),
    /// Say that the home was restored from a backup.
    Restored(restored::Args),
    /// What the workshop runs with, and where each of it is changed.
    Settings(settings::Args),
    /// Print the version and what this machine computes with.
    Version(version::Args),
    /// Run one step of an order; started by the daemon, not by people.
    #[command(hide = true)]
    Worker,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Run(args) => run::run(&cli.globals, &args),
        Command::Tune(args) => tune::run(&cli.globals, &args),
        Command::Eval(args) => eval::run(&cli.globals, &args),
        Command::Merge(args) => merge::run(&cli.globals, &args),
        Command::Up(args) => up::run(&cli.globals, &args),
        Command::Tour(args) => tour::run(&cli.globals, &args),
        Command::Order(args) => order::run(&cli.globals, &args),
        Command::Data(args) => data::run(&cli.globals, &args),
        Command::Model(args) => model::run(&cli.globals, &args),
        Command::Pack(args) => pack::run(&cli.globals, &args),
        Command::Verify(args) => verify::run(&cli.globals, &args),
        Command::Dossier(args) => dossier::run(&cli.globals, &args),
        Command::Bundle(args) => bundle::run(&cli.globals, &args),
        Command::Export(args) => export::run(&cli.globals, &args),
        Command::Trace(args) => trace::run(&cli.globals, &args),
        Command::Withdraw(args) => withdraw::run(&cli.globals, &args),
        Command::Register(args) => register::run(&cli.globals, &args),
        Command::Approve(args) => approve::run(&cli.globals, &args),
        Command::Keys(args) => commands::keys::run(&cli.globals, &args),
        Command::Token(args) => token::run(&cli.globals, &args),
        Command::People(args) => people::run(&cli.globals, &args),
        Command::Project(args) => project::run(&cli.globals, &args),
        Command::Upstream(args) => upstream::run(&cli.globals, &args),
        Command::Breaker(args) => breaker::run(&cli.globals, &args),
        Command::Feedback(args) => feedback::run(&cli.globals, &args),
        Command::Gate(args) => gate::run(&args),
        Command::Filing(args) => filing::run(&cli.globals, &args),
        Command::Checkpoint(args) => checkpoint::run(&cli.globals, &args),
        Command::Ledger(args) => ledger::run(&cli.globals, &args),
        Command::Doctor(args) => doctor::run(&cli.globals, &args),
        Command::Backup(args) => backup::run(&cli.globals, &args),
        Command::Restore(args) => restore::run(&cli.globals, &args),
        Command::Upgrade(args) => upgrade::run(&cli.globals, &args),
        Command::Restored(args) => restored::run(&cli.globals, &args),
        Command::Settings(args) => settings::run(&cli.globals, &args),
        Command::Version(args) => version::run(&args),
        Command::Worker => return commands::worker::run(),
    };
    done.unwrap_or_else(|failure| failure.report())
}
