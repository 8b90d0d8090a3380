//! `lathe people`: who may come in, and do what. From the first person on, pages and the API ask who one is.

use std::io::Read as _;

use clap::Subcommand;
use lathe_workshop::Operation;
use lathe_workshop::people::{PersonRequest, PersonRole, Right, Secret};
use serde_json::Value;

use super::{Globals, Printing, with_daemon};
use crate::client::Client;
use crate::fail::{Failure, Outcome};

/// The most that is read as a password.
const PASSWORD_BYTES_MAX: u64 = 4096;

/// Arguments of `lathe people`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    printing: Printing,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Let somebody in. From the first one on, pages and the API ask who one is.
    #[command(after_help = "Examples:
  lathe people add root --role administrator --role operator
  lathe people add anna --display \"Anna Berg\" --role tuner
  lathe people add wang --role approver --password-stdin < password.txt

Roles: tuner, approver, data-owner, operator, auditor, administrator")]
    Add(Add),
    /// List the people.
    List,
    /// Shut somebody out, everywhere they are logged in.
    Disable {
        /// What they log in with.
        name: String,
    },
    /// Let somebody in again who was shut out.
    Enable {
        /// What they log in with.
        name: String,
    },
    /// Set somebody's password: one is made and printed, or read. They are logged out everywhere.
    Password {
        /// What they log in with.
        name: String,
        /// Read the password from standard input: its first line.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Give somebody roles and take them, deny rights and allow them again.
    #[command(after_help = "Examples:
  lathe people role anna --add approver --remove tuner
  lathe people role anna --deny records

Rights: look, records, ask, tune, data, approve, operate, audit, people. What is denied stays so,
whatever the roles.")]
    Role(Change),
}

#[derive(Debug, clap::Args)]
struct Add {
    /// What they log in with: small letters, digits, `.`, `-` and `_`.
    name: String,
    /// What people call them [default: the name].
    #[arg(long, default_value = "")]
    display: String,
    /// What they do in every project; may be given more than once [default: nothing, but what a project gives].
    #[arg(long = "role", value_name = "ROLE", value_parser = role)]
    roles: Vec<PersonRole>,
    /// Read the password from standard input, its first line [default: one is made and printed].
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Debug, clap::Args)]
struct Change {
    /// What they log in with.
    name: String,
    /// A role to give; may be given more than once.
    #[arg(long, value_name = "ROLE", value_parser = role)]
    add: Vec<PersonRole>,
    /// A role to take; may be given more than once.
    #[arg(long, value_name = "ROLE", value_parser = role)]
    remove: Vec<PersonRole>,
    /// A right to deny; may be given more than once.
    #[arg(long, value_name = "RIGHT", value_parser = right)]
    deny: Vec<Right>,
    /// A right to deny no longer; may be given more than once.
    #[arg(long, value_name = "RIGHT", value_parser = right)]
    allow: Vec<Right>,
}

pub(super) fn role(text: &str) -> Result<PersonRole, String> {
    let named = PersonRole::ALL.into_iter().find(|it| it.name() == text);
    let names = PersonRole::ALL.map(PersonRole::name).join(", ");
    named.ok_or_else(|| format!("one of {names}"))
}

pub(super) fn right(text: &str) -> Result<Right, String> {
    let named = Right::ALL.into_iter().find(|it| it.name() == text);
    let names = Right::ALL.map(Right::name).join(", ");
    named.ok_or_else(|| format!("one of {names}"))
}

/// Lets in, lists, shuts out, changes.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    let operation = match &args.command {
        Command::Add(add) => Operation::PersonAdd(PersonRequest {
            name: add.name.clone(),
            display: add.display.clone(),
            roles: add.roles.clone(),
            denied: Vec::new(),
            password: password(add.password_stdin)?,
        }),
        Command::List => Operation::People {},
        Command::Disable { name } => Operation::PersonDisable { name: name.clone() },
        Command::Enable { name } => Operation::PersonEnable { name: name.clone() },
        Command::Password {
            name,
            password_stdin,
        } => Operation::PersonPassword {
            name: name.clone(),
            password: password(*password_stdin)?,
        },
        Command::Role(change) => {
            return with_daemon(globals, args.printing.json, |client| {
                let operation = changed(client, change)?;
                client.operate(&operation)
            });
        }
    };
    with_daemon(globals, args.printing.json, |client| {
        client.operate(&operation)
    })
}

/// The password on standard input, where it is asked for.
pub(super) fn password(is_asked: bool) -> Result<Option<Secret>, Failure> {
    if !is_asked {
        return Ok(None);
    }
    let mut text = String::new();
    std::io::stdin()
        .take(PASSWORD_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|error| {
            Failure::new(
                "password-unread",
                format!("cannot read the password from standard input: {error}"),
                "write it into the command, one line of UTF-8",
            )
        })?;
    let line = text.lines().next().unwrap_or_default();
    Ok(Some(Secret(line.to_owned())))
}

/// The roles and denials that somebody has after the change.
fn changed(client: &Client, change: &Change) -> Result<Operation, Failure> {
    let mut all = client.operate(&Operation::People {})?;
    let people = all["people"].as_array_mut().map(std::mem::take);
    let mut people = people.unwrap_or_default().into_iter();
    let person = people.find(|it| it["name"] == change.name.as_str());
    let person = person.ok_or_else(|| {
        Failure::new(
            "person-unknown",
            format!("this workshop has nobody of the name {}", change.name),
            "list them with `lathe people list`",
        )
    })?;
    let (mut roles, mut denied) = (words(&person["roles"])?, words(&person["denied"])?);
    roles.retain(|role| !change.remove.contains(role));
    roles.extend(&change.add);
    denied.retain(|right| !change.allow.contains(right));
    denied.extend(&change.deny);
    Ok(Operation::PersonRoles {
        name: change.name.clone(),
        roles,
        denied,
    })
}

fn words<T: serde::de::DeserializeOwned>(value: &Value) -> Result<Vec<T>, Failure> {
    serde_json::from_value(value.clone()).map_err(|error| {
        Failure::new(
            "daemon-strange",
            format!("the daemon tells roles that this version does not know: {error}"),
            "the daemon may be of another version: end it and run the command again",
        )
    })
}
