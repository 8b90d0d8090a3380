//! Prints what the scan finds in the records of a prepared dataset:
//! `cargo run -p lathe-data --example scan -- FOLDER`.
//!
//! For looking at false alarms before a policy is written.

use std::path::PathBuf;

use lathe_data::{Dataset, scan};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.ok_or("name the folder of a prepared dataset")?;
    let prepared = Dataset::load(&folder)?.prepared;
    let mut found = 0;
    for sealed in prepared.train.iter().chain(&prepared.test) {
        let risks = scan::risks(&sealed.record.fields);
        if !risks.is_empty() {
            found += 1;
            let fields = serde_json::to_string(&sealed.record.fields)?;
            println!("{}: {fields}", risks.join(", "));
        }
    }
    let all = prepared.train.len() + prepared.test.len();
    println!("{found} of {all} records; scan version {}", scan::VERSION);
    Ok(())
}
