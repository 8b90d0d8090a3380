//! `lathe order pause`, `resume` and `clone`: what is done to the queue, and how it is told.

use std::process::ExitCode;

use lathe_workshop::pack::change;
use lathe_workshop::words::{self, Lang};
use lathe_workshop::{Operation, OrderId, Origin};
use serde_json::Value;

use super::{Globals, ask_daemon, operate, order, print_json};
use crate::fail::{Failure, Outcome};

/// Sets an order aside.
pub fn pause(globals: &Globals, order: OrderId, json: bool) -> Outcome {
    let operation = Operation::OrderPause { order };
    let (done, _) = ask_daemon(globals, |client| client.operate(&operation))?;
    if json {
        print_json(&done)?;
        return Ok(ExitCode::SUCCESS);
    }
    let id = done["order"].as_str().unwrap_or_default();
    // A step that runs in the daemon is not broken off.
    let key = match done["state"] == "paused" {
        true => "cli.order.paused",
        false => "cli.order.pausing",
    };
    println!("{}", words::get(Lang::from_env(), key, &[("order", id)]));
    Ok(ExitCode::SUCCESS)
}

/// Puts an order back.
pub fn resume(globals: &Globals, order: OrderId, json: bool) -> Outcome {
    queue(globals, &Operation::OrderResume { order }, json)
}

/// Places an order again with `settings` changed, in another project where one is named.
pub fn clone(
    globals: &Globals,
    order: OrderId,
    (settings, project): (&[String], Option<String>),
    json: bool,
) -> Outcome {
    let set = change::parse_all(settings.iter().map(String::as_str))?;
    let operation = Operation::OrderClone {
        order,
        set,
        project,
    };
    queue(globals, &operation, json)
}

/// Prints what a clone would be, with its mistakes.
pub fn plan_clone(
    globals: &Globals,
    order: OrderId,
    (settings, project): (&[String], Option<String>),
    json: bool,
) -> Outcome {
    let set = change::parse_all(settings.iter().map(String::as_str))?;
    let planned = Operation::OrderClonePlan {
        order,
        set,
        project,
    };
    operate(globals, json, &planned)
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
