//! Where results are written: one file per day and kind of machine.

use std::fs::OpenOptions;
use std::io::Write as _;

use crate::shell::{self, Outcome};

/// Appends a section to today's results file and shows it.
///
/// `command` is the line that made the figures; `body` is Markdown.
pub fn append(title: &str, command: &str, body: &str) -> Outcome {
    let date = shell::output(&mut shell::command("date", &["+%F"]))?;
    let path = shell::root().join(format!(
        "benches/results/{}-{}.md",
        date.trim(),
        machine_slug()
    ));
    let is_new = !path.exists();
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(|error| format!("opening {}: {error}", path.display()))?;
    let head = if is_new {
        format!("# Results of {} on {}\n", date.trim(), machine())
    } else {
        String::new()
    };
    let section = format!("{head}\n## {title}\n`{command}`\n\n{}\n", body.trim_end());
    print!("{section}");
    file.write_all(section.as_bytes())
        .map_err(|error| format!("writing {}: {error}", path.display()))
}

/// The processor and how many of its cores may be used.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        info.lines()
            .find(|line| line.starts_with(name))
            .and_then(|line| line.split_once(':'))
            .map_or("unknown", |(_, value)| value.trim())
            .to_owned()
    };
    format!(
        "{}, family {} model {}, {cores} cores",
        field("model name"),
        field("cpu family"),
        field("model\t")
    )
}

fn machine_slug() -> String {
    let slug: String = machine()
        .to_lowercase()
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join("-");
    slug.replace("-family-", "-f").replace("-model-", "-m")
}
