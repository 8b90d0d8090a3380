//! `lathe feedback`: what callers say of answers, decided about, made a dataset, tuned on.

use clap::{Subcommand, ValueEnum};
use lathe_workshop::Operation;
use lathe_workshop::feedback::{
    FeedbackDataset, FeedbackEdit, FeedbackList, FeedbackReview, FeedbackState, FeedbackTune,
    Review,
};
use lathe_workshop::pack::change;

use super::{Globals, Printing, operate, order_change};
use crate::fail::Outcome;

/// Arguments of `lathe feedback`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    printing: Printing,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List what was said, the newest first.
    #[command(after_help = "Example:\n  lathe feedback list --state received")]
    List {
        /// In this state alone.
        #[arg(long, value_enum)]
        state: Option<State>,
        /// What came before this one, by its id.
        #[arg(long, value_name = "ID")]
        before: Option<String>,
        /// The most entries.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100))]
        limit: u32,
    },
    /// Show one, with what was asked.
    Show {
        /// Its id.
        id: String,
    },
    /// Stand by corrections and complaints: accepted corrections are learnt.
    #[command(after_help = "Example:\n  lathe feedback accept fb-0193… fb-0194… --by \"Li Lei\"")]
    Accept(Decision),
    /// Do not stand by them: they count for nothing.
    #[command(
        after_help = "Example:\n  lathe feedback reject fb-0193… --reason \"the answer was right\""
    )]
    Reject(Decision),
    /// Accept another right answer in the place of one that was given.
    #[command(
        after_help = "Example:\n  lathe feedback edit fb-0193… --correction '{\"feeling\":-2.1,\"class\":\"negative\"}' --by \"Li Lei\""
    )]
    Edit(Edit),
    /// Make the next version of a dataset of the corrections that are accepted now.
    #[command(after_help = "Examples:
  lathe feedback dataset corrections
  lathe feedback dataset care-corrections --of customer-care --licence CC-BY-4.0 --owner \"the shop\"")]
    Dataset(Dataset),
    /// Tune a deployment on its corrections: its order again, with one stage more, behind the same gate.
    #[command(after_help = "Examples:
  lathe feedback tune customer-care
  lathe feedback tune customer-care --dataset corrections --set tune.corrections.learn.epochs=2")]
    Tune(Tune),
}

/// What became of it.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum State {
    /// Nobody has looked at it.
    Received,
    /// Somebody stands by it.
    Accepted,
    /// Somebody does not.
    Rejected,
}

#[derive(Debug, clap::Args)]
struct Decision {
    /// Their ids.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Who decides; it is kept [default: $USER].
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Why; a rejection needs it.
    #[arg(long)]
    reason: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Edit {
    /// The id of the one that was given.
    id: String,
    /// The right answer.
    #[arg(long)]
    correction: String,
    /// Who decides; it is kept [default: $USER].
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Why.
    #[arg(long)]
    reason: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Dataset {
    /// The dataset's name.
    name: String,
    /// The name whose answers were corrected [default: all].
    #[arg(long, value_name = "NAME")]
    of: Option<String>,
    /// The licence, as an SPDX identifier where there is one [default: that of the version before, else
    /// NOASSERTION].
    #[arg(long)]
    licence: Option<String>,
    /// Who owns it [default: as for the licence].
    #[arg(long)]
    owner: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Tune {
    /// The deployment's name.
    deployment: String,
    /// The dataset of corrections to learn [default: the next version of the deployment's own].
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    /// A setting of the pack to change; may be given more than once.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

/// Lists, decides, makes, places.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    let operation = match &args.command {
        Command::List {
            state,
            before,
            limit,
        } => Operation::FeedbackList(FeedbackList {
            state: state.map(FeedbackState::from),
            before: before.clone(),
            limit: Some(*limit),
        }),
        Command::Show { id } => Operation::FeedbackShow { id: id.clone() },
        Command::Accept(decision) => review(decision, Review::Accept),
        Command::Reject(decision) => review(decision, Review::Reject),
        Command::Edit(it) => Operation::FeedbackEdit(FeedbackEdit {
            id: it.id.clone(),
            correction: it.correction.clone(),
            by: it.by.clone().unwrap_or_else(user),
            reason: it.reason.clone(),
        }),
        Command::Dataset(it) => Operation::FeedbackDataset(FeedbackDataset {
            name: it.name.clone(),
            of: it.of.clone(),
            licence: it.licence.clone(),
            owner: it.owner.clone(),
        }),
        Command::Tune(it) => {
            let asked = FeedbackTune {
                deployment: it.deployment.clone(),
                dataset: it.dataset.clone(),
                set: change::parse_all(it.settings.iter().map(String::as_str))?,
            };
            let operation = Operation::FeedbackTune(asked);
            return order_change::queue(globals, &operation, args.printing.json);
        }
    };
    operate(globals, args.printing.json, &operation)
}

fn review(decision: &Decision, review: Review) -> Operation {
    Operation::FeedbackReview(FeedbackReview {
        ids: decision.ids.clone(),
        review,
        by: decision.by.clone().unwrap_or_else(user),
        reason: decision.reason.clone(),
    })
}

fn user() -> String {
    std::env::var("USER").unwrap_or_default()
}

impl From<State> for FeedbackState {
    fn from(state: State) -> Self {
        match state {
            State::Received => FeedbackState::Received,
            State::Accepted => FeedbackState::Accepted,
            State::Rejected => FeedbackState::Rejected,
        }
    }
}
