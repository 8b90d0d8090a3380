//! `cargo xtask bench pages [--orders N] [--records N] [--receipts N]`: every page and list over loopback, with
//! very much in the store; lists also as members of a large and of a small project see them.
//!
//! The tiny pack's order runs once in a fresh home; then the store is filled with copies of what it left, one
//! dataset of many records is read from a file, and every address is asked a few times. Not here: how the
//! store is filled (`lathe_workshop::seed`), and models that answer.

use serde_json::Value;

use crate::acceptance::{FreshHome, append};
use crate::shell::{self, Outcome};

/// The project's own bound on the median of any page, in milliseconds.
const MEDIAN_MS_MAX: f64 = 300.0;
/// No page and no list of 500 rows is longer.
const BYTES_MAX: u64 = 4 << 20;
/// Requests for each address.
const REQUESTS: &str = "9";
/// What the order of this home is an order of.
const PACK: &str = "tests/fixtures/tiny-pack";

/// Makes the home, asks, writes the table.
pub fn run(arguments: &[String]) -> Outcome {
    let [orders, records, receipts] = amounts(arguments)?;
    for (package, kind, name) in [
        ("lathe", "--bin", "lathe"),
        ("lathe-web", "--example", "pages_bench"),
    ] {
        let build = ["build", "--release", "--locked", "--package", package];
        shell::run(shell::cargo(&build).args([kind, name]))?;
    }
    let home = FreshHome::new("bench-pages")?;
    shell::run(&mut home.lathe(&["run", PACK, "--exit"]))?;
    let program = shell::target_dir().join("release/examples/pages_bench");
    let filled = shell::last_object(
        shell::command(&program, &[])
            .arg(home.path())
            .args(["fill", &orders, &records, &receipts]),
    )?;
    let asked = shell::last_object(
        shell::command(&program, &[])
            .arg(home.path())
            .args(["ask", REQUESTS]),
    )?;
    append(
        "Pages and lists with much in the store",
        &format!(
            "cargo xtask bench pages --orders {orders} --records {records} --receipts {receipts}"
        ),
        &table(&filled, &asked),
    )?;
    judge(&asked)
}

/// How much of each; the project's own bound where nothing is said.
fn amounts(arguments: &[String]) -> Result<[String; 3], String> {
    let mut amounts = ["10000", "1000000", "1000000"].map(str::to_owned);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let names = ["--orders", "--records", "--receipts"];
        let place = names.iter().position(|name| name == argument);
        let place = place.ok_or(format!("no option '{argument}'; there are {names:?}"))?;
        let value = rest.next().ok_or(format!("{argument} needs a number"))?;
        amounts[place].clone_from(value);
    }
    Ok(amounts)
}

fn rows(asked: &Value) -> &[Value] {
    asked["rows"].as_array().map_or(&[], Vec::as_slice)
}

fn table(filled: &Value, asked: &Value) -> String {
    let mut text = format!(
        "{} orders, {} records in one dataset, {} receipts, {} registrations, a curve and a log of {} lines; \
         the store has {} MiB and was filled in {:.0} s. Median and slowest of {} requests over loopback, each \
         on a connection of its own; the first one is the slowest where something is read for the first time.\n\n\
         | address | by | status | KiB | median ms | slowest ms |\n|---|---|---|---|---|---|\n",
        filled["orders"],
        filled["records"],
        filled["receipts"],
        filled["registrations"],
        filled["points"],
        filled["store_bytes"].as_u64().unwrap_or(0) >> 20,
        filled["fill_s"].as_f64().unwrap_or(f64::NAN),
        asked["requests"],
    );
    for row in rows(asked) {
        let number = |name: &str| row[name].as_f64().unwrap_or(f64::NAN);
        text.push_str(&format!(
            "| `{}` | {} | {} | {:.0} | {:.1} | {:.1} |\n",
            shown(row["path"].as_str().unwrap_or_default()),
            row["by"].as_str().unwrap_or_default(),
            row["status"],
            number("bytes") / 1024.0,
            number("median_ms"),
            number("max_ms"),
        ));
    }
    text
}

/// An address with its ids cut short.
fn shown(path: &str) -> String {
    let parts = path.split_inclusive(['/', '=', '&', '?']);
    let cut = parts.map(|part| {
        let word = part.trim_end_matches(['/', '=', '&', '?']);
        match word.len() {
            0..=32 => part.to_owned(),
            length => format!("{}…{}", &word[..8], &part[length..]),
        }
    });
    cut.collect()
}

fn judge(asked: &Value) -> Outcome {
    let wrong = |row: &&Value| {
        row["status"] != 200
            || row["median_ms"]
                .as_f64()
                .is_none_or(|it| it > MEDIAN_MS_MAX)
            || row["bytes"].as_u64().is_none_or(|it| it > BYTES_MAX)
    };
    let short: Vec<String> = rows(asked)
        .iter()
        .filter(wrong)
        .map(Value::to_string)
        .collect();
    if short.is_empty() && !rows(asked).is_empty() {
        return Ok(());
    }
    Err(format!(
        "not answered with 200, within {MEDIAN_MS_MAX} ms and {BYTES_MAX} bytes: {}",
        short.join("\n")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_cut_in_the_table_and_words_are_not() {
        let id = "0123456789abcdef0123456789abcdef0123456789abcdef";
        assert_eq!(
            shown(&format!("/orders/{id}/live?page=2")),
            "/orders/01234567…/live?page=2"
        );
        assert_eq!(shown("/?sort=longest&page=50"), "/?sort=longest&page=50");
    }
}
