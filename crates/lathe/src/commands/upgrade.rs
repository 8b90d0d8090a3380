//! `lathe upgrade`: a home of an older version brought to this one: rehearsed, done, taken back.

use std::process::ExitCode;

use lathe_workshop::home::{HomeLock, Locked};
use lathe_workshop::store::upgrade::{self, TakenBack, Upgrade};
use lathe_workshop::words::{self, Lang};
use lathe_workshop::{Home, WorkshopError};
use serde_json::json;

use super::{Globals, Printing, runtime, say};
use crate::daemon;
use crate::fail::{Failure, Outcome};

/// Arguments of `lathe upgrade`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lathe upgrade --rehearse     what would be done, how long it takes, whether it holds; nothing is touched
  lathe upgrade                rehearsed, kept as it was, done
  lathe upgrade --back         the store as it was before the newest upgrade

A rehearsal runs on a copy and may be run while an older version serves. lathe up upgrades by itself, and
keeps the store as well; afterwards start the older version again if you went back. Exit code 1: a
problem was found, and the home is as it was.")]
pub struct Args {
    /// Only tell what would come of it.
    #[arg(long, conflicts_with = "back")]
    rehearse: bool,
    /// Put the store of before the newest upgrade back.
    #[arg(long)]
    back: bool,
    /// With --back: even if something was written since, which is then no longer there.
    #[arg(long, requires = "back")]
    lose_newer: bool,
    #[command(flatten)]
    printing: Printing,
}

/// Rehearses, does it, or takes it back.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    let home = globals.home()?;
    let runtime = runtime()?;
    if args.back {
        let lock = held(&home)?;
        let back = runtime.block_on(upgrade::take_back(&home, args.lose_newer))?;
        drop(lock);
        return tell_back(args.printing, &back);
    }
    let upgrade = if args.rehearse {
        runtime.block_on(upgrade::rehearse(&home))?
    } else {
        let lock = held(&home)?;
        let upgrade = runtime.block_on(upgrade::upgrade(&home))?;
        drop(lock);
        upgrade
    };
    tell(args.printing, &upgrade)
}

/// The right to write the home, once no worker of an older daemon lives.
fn held(home: &Home) -> Result<HomeLock, Failure> {
    if !home.store().is_file() {
        let nothing = format!("nothing was ever stored in {}", home.root().display());
        let next = "name the home with --home FOLDER";
        return Err(WorkshopError::new("upgrade-nothing", nothing, next).into());
    }
    match home.lock()? {
        Locked::Mine(lock) => {
            home.wait_for_workers()?;
            Ok(lock)
        }
        Locked::Other(holder) => Err(daemon::busy(home.root(), holder.pid)),
    }
}

fn tell(printing: Printing, upgrade: &Upgrade) -> Outcome {
    printing.print(&json!(upgrade))?;
    let sound = upgrade.problems.is_empty();
    if !printing.json {
        let word = match (sound, upgrade.from == upgrade.to, &upgrade.kept) {
            (false, _, _) => "cli.upgrade.problems",
            (true, true, _) => "cli.upgrade.nothing",
            (true, false, None) => "cli.upgrade.sound",
            (true, false, Some(_)) => "cli.upgrade.done",
        };
        println!("{}", say(word));
    }
    Ok(ExitCode::from(u8::from(!sound)))
}

fn tell_back(printing: Printing, back: &TakenBack) -> Outcome {
    printing.print(&json!(back))?;
    if !printing.json {
        let schema = back.schema.to_string();
        let holes = [("schema", schema.as_str())];
        println!(
            "{}",
            words::get(Lang::from_env(), "cli.upgrade.back", &holes)
        );
    }
    Ok(ExitCode::SUCCESS)
}
