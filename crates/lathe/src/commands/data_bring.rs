//! `lathe data bring`: a file of one's own becomes a dataset version and a pack, as on the page of this name.
//!
//! The file goes to the daemon in pieces, from where an earlier try broke off. Without `--name` it is only looked
//! at: which column is taken for what, what is counted, what stands in the way. With it a pack is made.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;
use lathe_evidence::digest::Hasher;
use lathe_workshop::Operation;
use lathe_workshop::bring::{
    AnswerKind, BringBegin, BringFound, BringLook, BringMade, BringMake, BringSeen, BroughtFile,
    Mapping, PIECE_BYTES_MAX,
};
use lathe_workshop::words::{self, Lang};
use serde::de::DeserializeOwned;

use super::{Globals, ask_daemon, print_json};
use crate::client::{Client, escaped};
use crate::fail::{Failure, Outcome};

/// Labels that are printed; the rest is counted.
const LABELS_SHOWN: usize = 12;

/// Arguments of `lathe data bring`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lathe data bring reviews.csv                                 # looks: columns, counts, what stands in the way
  lathe data bring reviews.csv --answer stars --name reviews --licence CC0-1.0 --owner \"Our shop\"
  psql -c '\\copy … csv header' | lathe data bring - --as tickets.csv")]
pub struct Args {
    /// The file: csv, tsv, jsonl, json, xlsx or parquet; - is the standard input.
    #[arg(required_unless_present = "brought")]
    file: Option<PathBuf>,
    /// The name of what comes by the standard input; its ending says the format.
    #[arg(long = "as", value_name = "NAME")]
    named: Option<String>,
    /// The project that it and what is made of it belong to [default: the common one].
    #[arg(long, value_name = "ID", conflicts_with = "brought")]
    project: Option<String>,
    /// A file that is at the daemon already, by its id.
    #[arg(long, value_name = "ID", conflicts_with_all = ["file", "named"])]
    brought: Option<String>,
    #[command(flatten)]
    columns: Columns,
    #[command(flatten)]
    wanted: Wanted,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Which column is what; what is not said is guessed.
#[derive(Debug, clap::Args)]
struct Columns {
    /// What is answered.
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// The column with the question.
    #[arg(long, value_name = "COLUMN")]
    question: Option<String>,
    /// The column with the right answer.
    #[arg(long, value_name = "COLUMN")]
    answer: Option<String>,
    /// What the model is told before every question.
    #[arg(long, value_name = "TEXT")]
    instruction: Option<String>,
    /// The column whose equal values stay on one side of the split.
    #[arg(long, value_name = "COLUMN")]
    group: Option<String>,
    /// The sheet of a workbook [default: the first].
    #[arg(long)]
    sheet: Option<String>,
}

/// What is to be made.
#[derive(Debug, clap::Args)]
struct Wanted {
    /// Make a dataset version and a pack of this name: lower-case letters, digits and hyphens.
    #[arg(long, requires_all = ["licence", "owner"])]
    name: Option<String>,
    /// The licence it comes under, as an SPDX identifier where there is one.
    #[arg(long)]
    licence: Option<String>,
    /// Who owns it.
    #[arg(long)]
    owner: Option<String>,
    /// The language of the data, as a BCP 47 tag.
    #[arg(long, value_name = "TAG")]
    language: Option<String>,
    /// The base model, by its digest [default: the newest here, else the sample's].
    #[arg(long, value_name = "DIGEST")]
    model: Option<String>,
    /// It is the next version of what has the name already.
    #[arg(long)]
    next_version: bool,
}

/// What an answer is.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// One of a few labels.
    Label,
    /// Free words.
    Text,
    /// Whole conversations, in a column `messages`.
    Conversation,
}

impl From<Kind> for AnswerKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Label => AnswerKind::Label,
            Kind::Text => AnswerKind::Text,
            Kind::Conversation => AnswerKind::Conversation,
        }
    }
}

impl Columns {
    /// The guess with what was said in its place; nothing where nothing was said.
    fn over(&self, guess: &Mapping) -> Option<Mapping> {
        let mut mapping = guess.clone();
        if let Some(kind) = self.kind {
            mapping.kind = kind.into();
        }
        if let Some(question) = &self.question {
            mapping.question.clone_from(question);
        }
        if let Some(answer) = &self.answer {
            mapping.answer.clone_from(answer);
        }
        for (said, place) in [
            (&self.instruction, &mut mapping.instruction),
            (&self.group, &mut mapping.group),
            (&self.sheet, &mut mapping.sheet),
        ] {
            if said.is_some() {
                place.clone_from(said);
            }
        }
        (mapping != *guess).then_some(mapping)
    }
}

/// Brings, looks, makes.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    let ((seen, made), _) = ask_daemon(globals, |client| {
        let id = match (&args.brought, &args.file) {
            (Some(id), _) => id.clone(),
            (None, Some(file)) => {
                let (named, project) = (args.named.as_deref(), args.project.as_deref());
                bring(client, file, named, project)?.id
            }
            // clap asks for one of them.
            (None, None) => String::new(),
        };
        let seen = look(client, &id, args)?;
        let made = match &args.wanted.name {
            Some(name) => Some(make(client, name, &seen, args)?),
            None => None,
        };
        Ok((seen, made))
    })?;
    match (&made, args.json) {
        (Some(made), true) => print_json(made)?,
        (None, true) => print_json(&seen)?,
        (Some(made), false) => tell_made(made),
        (None, false) => tell(&seen),
    }
    let is_well = made.is_some() || seen.mistakes.is_empty();
    Ok(ExitCode::from(u8::from(!is_well)))
}

/// Sends a file, from where an earlier try broke off.
fn bring(
    client: &Client,
    file: &Path,
    named: Option<&str>,
    project: Option<&str>,
) -> Result<BroughtFile, Failure> {
    if file == Path::new("-") {
        let name = named.ok_or_else(|| {
            Failure::new(
                "bring-file",
                "what comes by the standard input has no name",
                "say --as NAME.csv, whose ending is the format",
            )
        })?;
        let begun = begin(client, name, (None, None), project)?;
        let sent = send(client, begun, &mut io::stdin().lock(), "-")?;
        return operate(client, &Operation::BringEnd { id: sent.id });
    }
    let shown = file.display().to_string();
    let cannot = |error: io::Error| cannot_read(&shown, &error);
    let mut opened = File::open(file).map_err(cannot)?;
    let mut hasher = Hasher::new();
    let mut piece = vec![0; PIECE_BYTES_MAX];
    let mut bytes = 0;
    loop {
        let count = opened.read(&mut piece).map_err(cannot)?;
        if count == 0 {
            break;
        }
        hasher.update(&piece[..count]);
        bytes += count as u64;
    }
    let own = file.file_name().unwrap_or_default().to_string_lossy();
    let name = named.unwrap_or(&own);
    let said = (Some(bytes), Some(hasher.finish()));
    let begun = begin(client, name, said, project)?;
    opened
        .seek(SeekFrom::Start(begun.received))
        .map_err(cannot)?;
    send(client, begun, &mut opened, &shown)
}

fn begin(
    client: &Client,
    name: &str,
    (bytes, sha256): (Option<u64>, Option<lathe_evidence::Digest>),
    project: Option<&str>,
) -> Result<BroughtFile, Failure> {
    let asked = BringBegin {
        name: name.to_owned(),
        bytes,
        sha256,
        project: project.map(str::to_owned),
    };
    operate(client, &Operation::BringBegin(asked))
}

/// Sends what `source` still has, piece by piece.
fn send(
    client: &Client,
    mut file: BroughtFile,
    source: &mut dyn Read,
    shown: &str,
) -> Result<BroughtFile, Failure> {
    while !file.complete {
        let mut piece = Vec::new();
        // Whole pieces, whatever a pipe hands over at a time.
        source
            .take(PIECE_BYTES_MAX as u64)
            .read_to_end(&mut piece)
            .map_err(|error| cannot_read(shown, &error))?;
        if piece.is_empty() {
            break;
        }
        let path = format!(
            "/api/brought/{}?offset={}",
            escaped(&file.id),
            file.received
        );
        file = client.put(&path, &piece)?;
    }
    Ok(file)
}

fn cannot_read(shown: &str, error: &io::Error) -> Failure {
    Failure::new(
        "data-missing",
        format!("cannot read {shown}: {error}"),
        "name a csv, tsv, jsonl, json, xlsx or parquet file",
    )
}

/// Looks at it under the mapping that is guessed, then under what was said in its place.
fn look(client: &Client, id: &str, args: &Args) -> Result<BringSeen, Failure> {
    let ask = |mapping: Option<Mapping>| {
        let asked = BringLook {
            id: id.to_owned(),
            mapping,
            model: args.wanted.model.clone(),
        };
        operate::<BringSeen>(client, &Operation::BringLook(asked))
    };
    let guessed = ask(None)?;
    match args.columns.over(&guessed.mapping) {
        Some(mapping) => ask(Some(mapping)),
        None => Ok(guessed),
    }
}

fn make(client: &Client, name: &str, seen: &BringSeen, args: &Args) -> Result<BringMade, Failure> {
    if let Some(mistake) = seen.mistakes.first() {
        let text = format!("{}: {}", mistake.key, mistake.text);
        return Err(Failure::new(&mistake.code, text, &mistake.next));
    }
    let wanted = &args.wanted;
    let asked = BringMake {
        id: seen.file.id.clone(),
        mapping: seen.mapping.clone(),
        name: name.to_owned(),
        licence: wanted.licence.clone().unwrap_or_default(),
        owner: wanted.owner.clone().unwrap_or_default(),
        language: wanted.language.clone(),
        model: wanted.model.clone(),
        next_version: wanted.next_version,
    };
    operate(client, &Operation::BringMake(asked))
}

fn operate<T: DeserializeOwned>(client: &Client, operation: &Operation) -> Result<T, Failure> {
    let value = client.operate(operation)?;
    serde_json::from_value(value).map_err(|error| {
        Failure::new(
            "daemon-strange",
            format!("the daemon's answer about a file is of another form: {error}"),
            "the daemon may be of another version: end it and run the command again",
        )
    })
}

fn tell(seen: &BringSeen) {
    for line in lines(seen, Lang::from_env()) {
        println!("{line}");
    }
}

/// What a look says: the file, the mapping, the counts or the mistakes, and the next step.
fn lines(seen: &BringSeen, lang: Lang) -> Vec<String> {
    let say = |key: &str, args: &[(&str, &str)]| words::get(lang, key, args);
    let name = seen.file.name.as_str();
    let (rows, columns) = (seen.rows.to_string(), seen.columns.join(", "));
    let mut lines = vec![
        say(
            "cli.bring.file",
            &[("name", name), ("rows", &rows), ("columns", &columns)],
        ),
        format!("  --kind {}", kind_name(seen.mapping.kind)),
    ];
    let mapping = &seen.mapping;
    let optional = |text: &Option<String>| text.clone().unwrap_or_default();
    for (option, column) in [
        ("question", mapping.question.clone()),
        ("answer", mapping.answer.clone()),
        ("instruction", optional(&mapping.instruction)),
        ("group", optional(&mapping.group)),
        ("sheet", optional(&mapping.sheet)),
    ] {
        if !column.is_empty() {
            lines.push(format!("  --{option} '{column}'"));
        }
    }
    if let Some(found) = &seen.found {
        lines.extend(counts(found, lang));
    }
    for mistake in &seen.mistakes {
        lines.push(format!("✗ {}: {}", mistake.key, mistake.text));
        lines.push(format!("  → {}", mistake.next));
    }
    if seen.mistakes.is_empty() {
        let id = seen.file.id.as_str();
        lines.push(say("cli.bring.next", &[("id", id)]));
    }
    lines
}

/// The mapping's kind as the option is written.
fn kind_name(kind: AnswerKind) -> &'static str {
    match kind {
        AnswerKind::Label => "label",
        AnswerKind::Text => "text",
        AnswerKind::Conversation => "conversation",
    }
}

fn counts(found: &BringFound, lang: Lang) -> Vec<String> {
    let say = |key: &str, args: &[(&str, &str)]| words::get(lang, key, args);
    let statistics = &found.statistics;
    let [records, train, test, duplicates, contradictions, broken] = [
        statistics.records,
        statistics.train,
        statistics.test,
        statistics.duplicates,
        found.contradictions,
        statistics.broken,
    ]
    .map(|count| count.to_string());
    let mut lines = vec![say(
        "cli.bring.counts",
        &[
            ("records", &records),
            ("train", &train),
            ("test", &test),
            ("duplicates", &duplicates),
            ("contradictions", &contradictions),
            ("broken", &broken),
        ],
    )];
    let joined = |pairs: &mut dyn Iterator<Item = (&String, &u64)>| {
        let each = pairs.map(|(name, count)| format!("{name} {count}"));
        each.collect::<Vec<_>>().join(", ")
    };
    if !found.labels.is_empty() {
        let shown = &mut found.labels.iter().take(LABELS_SHOWN).map(|(a, b)| (a, b));
        let (count, shown) = (found.labels.len().to_string(), joined(shown));
        lines.push(say(
            "cli.bring.labels",
            &[("count", &count), ("labels", &shown)],
        ));
    }
    if !found.personal.is_empty() {
        let kinds = joined(&mut found.personal.iter());
        lines.push(say("cli.bring.personal", &[("kinds", &kinds)]));
    }
    lines
}

fn tell_made(made: &BringMade) {
    let digest: String = made.dataset.digest.chars().take(12).collect();
    let args = [("pack", made.pack.as_str()), ("digest", digest.as_str())];
    println!("{}", words::get(Lang::from_env(), "cli.bring.made", &args));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Columns {
        Columns {
            kind: None,
            question: None,
            answer: None,
            instruction: None,
            group: None,
            sheet: None,
        }
    }

    #[test]
    fn what_is_said_stands_in_the_place_of_the_guess() {
        let guess = Mapping {
            kind: AnswerKind::Label,
            question: "text".into(),
            answer: "label".into(),
            instruction: Some("Sort it.".into()),
            group: None,
            sheet: None,
        };
        assert_eq!(columns().over(&guess), None);
        let same = Columns {
            answer: Some("label".into()),
            ..columns()
        };
        assert_eq!(same.over(&guess), None);
        let said = Columns {
            kind: Some(Kind::Text),
            answer: Some("reply".into()),
            ..columns()
        };
        let mapping = said.over(&guess).expect("it differs");
        assert_eq!(
            (mapping.kind, &mapping.answer[..]),
            (AnswerKind::Text, "reply")
        );
        assert_eq!(mapping.instruction, guess.instruction);
    }
}
