//! `lathe order pause`, `resume`, `cancel` and `clone`: what is done to the queue, and how it is told.

use std::process::ExitCode;

use lathe_workshop::pack::change;
use lathe_workshop::words::{self, Lang};
use lathe_workshop::{Operation, OrderId, Origin};
use serde_json::Value;

use super::{Globals, ask_daemon, operate, order, print_json};
use crate::fail::{Failure, Outcome};

/// Sets an order aside.
pub fn pause(globals: &Globals, order: OrderId, json: bool) -> Outcome {
    let keys = ["cli.order.paused", "cli.order.pausing"];
    end(globals, &Operation::OrderPause { order }, keys, json)
}

/// Gives an order up.
pub fn cancel(globals: &Globals, order: OrderId, json: bool) -> Outcome {
    let keys = ["cli.order.cancelled", "cli.order.cancelling"];
    end(globals, &Operation::OrderCancel { order }, keys, json)
}

/// Ends an order's turn, and tells by the first key that it is over, or by the second that its step still runs:
/// one that runs in the daemon is not broken off.
fn end(globals: &Globals, operation: &Operation, keys: [&str; 2], json: bool) -> Outcome {
    let (done, _) = ask_daemon(globals, |client| client.operate(operation))?;
    if json {
        print_json(&done)?;
        return Ok(ExitCode::SUCCESS);
    }
    let id = done["order"].as_str().unwrap_or_default();
    let [over, still] = keys;
    let key = match done["state"] == "running" {
        true => still,
        false => over,
    };
    println!("{}", words::get(Lang::from_env(), key, &[("order", id)]));
    Ok(ExitCode::SUCCESS)
}

/// Puts an order back.
pub fn resume(globals: &Globals, order: OrderId, json: bool) -> Outcome {
    queue(globals, &Operation::OrderResume { order }, json)
}

/// Places an order again with `settings` changed, in another project where one is named; or prints what it would
/// be, with its mistakes.
pub fn clone(
    globals: &Globals,
    order: OrderId,
    (settings, project): (&[String], Option<String>),
    (is_planned, json): (bool, bool),
) -> Outcome {
    let set = change::parse_all(settings.iter().map(String::as_str))?;
    if is_planned {
        let planned = Operation::OrderClonePlan {
            order,
            set,
            project,
        };
        return operate(globals, json, &planned);
    }
    let operation = Operation::OrderClone {
        order,
        set,
        project,
    };
    queue(globals, &operation, json)
}

/// Does what puts an order into the queue, and tells where it stands.
pub(super) fn queue(globals: &Globals, operation: &Operation, json: bool) -> Outcome {
    let (done, runs) = ask_daemon(globals, |client| client.operate(operation))?;
    if json {
        print_json(&done)?;
    } else {
        tell(&done, runs)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn tell(done: &Value, runs: bool) -> Result<(), Failure> {
    let lang = Lang::from_env();
    let id = OrderId(done["order"].as_str().unwrap_or_default().to_owned());
    let origin = done.get("origin").cloned().unwrap_or_default();
    let origin: Option<Origin> = serde_json::from_value(origin)
        .map_err(|error| Failure::new("json", error.to_string(), ""))?;
    if let Some(origin) = origin {
        order::tell_origin(lang, &id, &origin);
    }
    // The slot may have been free: then it runs already.
    if let Some(place) = done["position"].as_u64() {
        let place = place.to_string();
        let args = [("order", id.0.as_str()), ("place", place.as_str())];
        println!("{}", words::get(lang, "cli.order.queued", &args));
    }
    if !runs {
        println!("{}", words::get(lang, "cli.order.needs-daemon", &[]));
    }
    Ok(())
}
