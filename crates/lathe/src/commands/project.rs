//! `lathe project`: projects, and who does what in each. Roles in the whole workshop are `lathe people`'s.

use clap::Subcommand;
use lathe_workshop::Operation;
use lathe_workshop::people::{PersonRole, ProjectRequest, Right};

use super::people::{right, role};
use super::{Globals, Printing, operate};
use crate::fail::Outcome;

/// Arguments of `lathe project`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    printing: Printing,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a project. Its models answer under names that begin with its id.
    #[command(after_help = "Examples:
  lathe project create ward --name \"Ward 7\"
  lathe run packs/customer-care --project ward
  lathe token create --name \"the ward's desk\" --project ward")]
    Create {
        /// Its id: small letters, digits and hyphens.
        id: String,
        /// What people call it [default: the id].
        #[arg(long, default_value = "")]
        name: String,
    },
    /// List the projects with their members.
    List,
    /// Show a project: its members, and how much belongs to it.
    Show {
        /// Its id.
        id: String,
    },
    /// Call a project something else; its id stays, since names of models begin with it.
    #[command(after_help = "Example:\n  lathe project rename ward \"Ward 8\"")]
    Rename {
        /// Its id.
        id: String,
        /// What people call it.
        name: String,
    },
    /// Delete a project to which nothing belongs; refused with what still does.
    Delete {
        /// Its id.
        id: String,
    },
    /// Give somebody a part in a project, in the place of the one they have.
    #[command(after_help = "Examples:
  lathe project member ward anna --role tuner
  lathe project member ward wang --role tuner --role data-owner --deny approve

Roles: tuner, approver, data-owner, operator, auditor, administrator
Rights: look, records, ask, tune, data, approve, operate, audit, people. What is denied stays so,
whatever the roles, here and in the workshop.")]
    Member(Member),
    /// Take somebody's part in a project away.
    Leave {
        /// The project.
        project: String,
        /// What they log in with.
        person: String,
    },
}

#[derive(Debug, clap::Args)]
struct Member {
    /// The project.
    project: String,
    /// What they log in with.
    person: String,
    /// What they do there; may be given more than once.
    #[arg(long = "role", value_name = "ROLE", value_parser = role, required_unless_present = "denied")]
    roles: Vec<PersonRole>,
    /// A right that they never have there; may be given more than once.
    #[arg(long = "deny", value_name = "RIGHT", value_parser = right)]
    denied: Vec<Right>,
}

/// Makes, lists, shows, gives parts and takes them away.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    let operation = match &args.command {
        Command::Create { id, name } => Operation::ProjectCreate(ProjectRequest {
            id: id.clone(),
            name: name.clone(),
        }),
        Command::List => Operation::Projects {},
        Command::Show { id } => Operation::ProjectShow { id: id.clone() },
        Command::Rename { id, name } => Operation::ProjectRename {
            id: id.clone(),
            name: name.clone(),
        },
        Command::Delete { id } => Operation::ProjectDelete { id: id.clone() },
        Command::Member(member) => Operation::ProjectMember {
            project: member.project.clone(),
            person: member.person.clone(),
            roles: member.roles.clone(),
            denied: member.denied.clone(),
        },
        Command::Leave { project, person } => Operation::ProjectLeave {
            project: project.clone(),
            person: person.clone(),
        },
    };
    operate(globals, args.printing.json, &operation)
}
