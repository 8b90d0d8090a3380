//! LLaMA-Factory's `dataset_info.json`: datasets by name, each a file and how it is laid out.
//!
//! Entries are checked when they are asked for: the file that comes with LLaMA-Factory lists
//! dozens that lie on hubs. What an entry says and what is not read (hubs, scripts, pictures) is
//! refused rather than passed over. Two things differ from the original, both where it would stop
//! or skip records: a role that the tags leave out keeps its usual name, and `num_samples` takes
//! the first records instead of drawing them.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::stream::Records;
use super::{AlpacaColumns, ChatColumns, Goal, Layout, SampleSource, Tags};
use crate::bounds::DATASET_INFO_BYTES_MAX;
use crate::{DataError, nearest};

/// The file's name inside a folder of datasets.
const FILE_NAME: &str = "dataset_info.json";
/// How many records are looked into for the columns that an entry names.
const RECORDS_LOOKED_INTO: usize = 100;

const KEYS: [&str; 14] = [
    "file_name",
    "formatting",
    "ranking",
    "subset",
    "split",
    "folder",
    "num_samples",
    "columns",
    "tags",
    "hf_hub_url",
    "ms_hub_url",
    "om_hub_url",
    "script_url",
    "cloud_file_name",
];
const COLUMNS: [&str; 13] = [
    "prompt", "query", "response", "history", "messages", "system", "tools", "images", "videos",
    "audios", "chosen", "rejected", "kto_tag",
];
const TAGS: [&str; 7] = [
    "role_tag",
    "content_tag",
    "user_tag",
    "assistant_tag",
    "observation_tag",
    "function_tag",
    "system_tag",
];
const FORMATTINGS: [&str; 3] = ["alpaca", "sharegpt", "openai"];

/// A `dataset_info.json`.
#[derive(Debug, Clone)]
pub struct DatasetInfo {
    path: PathBuf,
    entries: Map<String, Value>,
}

/// One dataset, as it is written; what is unknown has been refused before.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    file_name: Option<String>,
    formatting: Option<String>,
    ranking: bool,
    subset: Option<String>,
    split: Option<String>,
    folder: Option<String>,
    num_samples: Option<u64>,
    columns: Option<Columns>,
    tags: Option<TagNames>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Columns {
    prompt: Option<String>,
    query: Option<String>,
    response: Option<String>,
    history: Option<String>,
    messages: Option<String>,
    system: Option<String>,
    tools: Option<String>,
    chosen: Option<String>,
    rejected: Option<String>,
    kto_tag: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TagNames {
    role_tag: Option<String>,
    content_tag: Option<String>,
    user_tag: Option<String>,
    assistant_tag: Option<String>,
    observation_tag: Option<String>,
    function_tag: Option<String>,
    system_tag: Option<String>,
}

impl DatasetInfo {
    /// Reads the `dataset_info.json` in the folder `dir`.
    ///
    /// # Errors
    /// A file that is not there, is too large, or is no object in JSON.
    pub fn load(dir: &Path) -> Result<Self, DataError> {
        let path = dir.join(FILE_NAME);
        let mut bytes = Vec::new();
        File::open(&path)
            .and_then(|file| {
                file.take(DATASET_INFO_BYTES_MAX + 1)
                    .read_to_end(&mut bytes)
            })
            .map_err(|error| DataError::file("read", &path, error))?;
        Self::parse(path.clone(), &bytes).map_err(|reason| DataError::Info { path, reason })
    }

    fn parse(path: PathBuf, bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() as u64 > DATASET_INFO_BYTES_MAX {
            return Err(format!("it has more than {DATASET_INFO_BYTES_MAX} bytes"));
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let entries = serde_json::from_slice(bytes)
            .map_err(|error| format!("it is no object of datasets in JSON: {error}"))?;
        Ok(Self { path, entries })
    }

    /// The datasets' names, in the file's order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The dataset `name`.
    ///
    /// # Errors
    /// A name that is not there, an entry that cannot be used as it is written, a column that none
    /// of the first records has.
    pub fn source(&self, name: &str) -> Result<SampleSource, DataError> {
        let Some(entry) = self.entries.get(name) else {
            let hint = nearest::hint(name, self.names());
            return Err(DataError::Missing {
                what: format!("the dataset `{name}`"),
                place: self.path.display().to_string(),
                next: match hint.is_empty() {
                    true => "it lists none".to_owned(),
                    false => hint.trim_start_matches("; ").to_owned(),
                },
            });
        };
        let refuse = |reason| self.refusal(name, reason);
        let entry = parse_entry(entry).map_err(refuse)?;
        let file_name = file_name(&entry).map_err(refuse)?;
        let source = SampleSource {
            path: self.path.with_file_name(file_name),
            layout: layout(&entry).map_err(refuse)?,
            records_max: entry.num_samples,
        };
        self.check_columns(name, &entry, &source)?;
        Ok(source)
    }

    fn refusal(&self, name: &str, reason: String) -> DataError {
        DataError::Info {
            path: self.path.clone(),
            reason: format!("the dataset `{name}` cannot be used: {reason}"),
        }
    }

    /// Refuses a named column that none of the first records has: optional ones may be absent from
    /// a record, but a misspelt one would be from all, and nobody would see it.
    fn check_columns(
        &self,
        name: &str,
        entry: &Entry,
        source: &SampleSource,
    ) -> Result<(), DataError> {
        let mut missing = entry
            .columns
            .as_ref()
            .map(Columns::named)
            .unwrap_or_default();
        if missing.is_empty() {
            return Ok(());
        }
        let mut seen = Vec::new();
        let records = Records::open(&source.path, &[])?;
        for fields in records.take(RECORDS_LOOKED_INTO).flatten() {
            missing.retain(|(_, column)| !fields.contains_key(*column));
            if seen.is_empty() {
                seen = fields.keys().cloned().collect();
            }
        }
        match missing.first() {
            Some((key, column)) if !seen.is_empty() => Err(self.refusal(
                name,
                format!(
                    "its `{key}` names the column `{column}`, which none of the first {RECORDS_LOOKED_INTO} records has{}",
                    nearest::hint(column, seen.iter().map(String::as_str))
                ),
            )),
            _ => Ok(()),
        }
    }
}

impl Columns {
    /// The columns that are named, with their keys.
    fn named(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("prompt", &self.prompt),
            ("query", &self.query),
            ("response", &self.response),
            ("history", &self.history),
            ("messages", &self.messages),
            ("system", &self.system),
            ("tools", &self.tools),
            ("chosen", &self.chosen),
            ("rejected", &self.rejected),
            ("kto_tag", &self.kto_tag),
        ];
        all.into_iter()
            .filter_map(|(key, column)| Some((key, column.as_deref()?)))
            .collect()
    }
}

fn parse_entry(value: &Value) -> Result<Entry, String> {
    check_keys(value, "", &KEYS)?;
    for key in [
        "hf_hub_url",
        "ms_hub_url",
        "om_hub_url",
        "script_url",
        "cloud_file_name",
    ] {
        if !value[key].is_null() {
            return Err(format!(
                "`{key}` is not fetched from here; download the dataset, put its file beside this one, and write its name as `file_name` in place of `{key}`"
            ));
        }
    }
    if !value["columns"].is_null() {
        check_keys(&value["columns"], "columns.", &COLUMNS)?;
        for media in ["images", "videos", "audios"] {
            if !value["columns"][media].is_null() {
                return Err(format!(
                    "`columns.{media}` names pictures, films or sounds, and only text is learnt from; use a dataset without them"
                ));
            }
        }
    }
    if !value["tags"].is_null() {
        check_keys(&value["tags"], "tags.", &TAGS)?;
    }
    typed(value)
}

/// Refuses keys that are not known, naming the nearest that is.
fn check_keys(value: &Value, prefix: &str, known: &[&str]) -> Result<(), String> {
    let Value::Object(members) = value else {
        return Err(match prefix.trim_end_matches('.') {
            "" => "it is no object".to_owned(),
            key => format!("`{key}` is no object"),
        });
    };
    match members.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => {
            let hint = nearest::hint(key, known.iter().copied());
            Err(format!("it has the unknown key `{prefix}{key}`{hint}"))
        }
    }
}

fn typed<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    serde_json::from_value(value.clone()).map_err(|error| error.to_string())
}

fn file_name(entry: &Entry) -> Result<&str, String> {
    let hubs_only = [
        ("subset", &entry.subset),
        ("folder", &entry.folder),
        ("split", &entry.split),
    ];
    for (key, value) in hubs_only {
        // LLaMA-Factory calls all of a file its split `train`.
        if value
            .as_deref()
            .is_some_and(|value| (key, value) != ("split", "train"))
        {
            return Err(format!(
                "`{key}` chooses a part of a dataset on a hub; a file is read whole, so remove it"
            ));
        }
    }
    match entry.file_name.as_deref() {
        Some(name) if !name.is_empty() => Ok(name),
        _ => Err(
            "it has no `file_name`; write the name of its file, which lies beside this one"
                .to_owned(),
        ),
    }
}

fn layout(entry: &Entry) -> Result<Layout, String> {
    let formatting = entry.formatting.as_deref().unwrap_or("alpaca");
    match formatting {
        "alpaca" => alpaca(entry),
        "sharegpt" => {
            chat(entry, Tags::share_gpt()).map(|(columns, tags, goal)| Layout::ShareGpt {
                columns,
                tags,
                goal,
            })
        }
        "openai" => chat(entry, Tags::open_ai()).map(|(columns, tags, goal)| Layout::Messages {
            columns,
            tags,
            goal,
        }),
        other => Err(format!(
            "`formatting: {other}` is not known{}",
            nearest::hint(other, FORMATTINGS)
        )),
    }
}

/// What is learnt; where no columns are named at all, the answers have their usual ones.
fn goal(entry: &Entry) -> Result<Goal, String> {
    let named = |column: fn(&Columns) -> &Option<String>| {
        entry
            .columns
            .as_ref()
            .and_then(|columns| column(columns).clone())
    };
    let wanted = named(|columns| &columns.kto_tag);
    let chosen = named(|columns| &columns.chosen);
    let rejected = named(|columns| &columns.rejected);
    match (entry.ranking, wanted) {
        (true, Some(_)) => {
            Err("it has `ranking` and `kto_tag`; answers are either ranked or judged".to_owned())
        }
        (false, Some(wanted)) => Ok(Goal::Judged { wanted }),
        (true, None) => Ok(Goal::Pair {
            chosen: chosen.unwrap_or_else(|| "chosen".to_owned()),
            rejected: rejected.unwrap_or_else(|| "rejected".to_owned()),
        }),
        (false, None) if chosen.is_some() || rejected.is_some() => Err(
            "it names `chosen` or `rejected` and is not ranked; add `\"ranking\": true`".to_owned(),
        ),
        (false, None) => Ok(Goal::Answers),
    }
}

fn alpaca(entry: &Entry) -> Result<Layout, String> {
    if entry.tags.is_some() {
        return Err("`tags` belong to `\"formatting\": \"sharegpt\"`".to_owned());
    }
    let goal = goal(entry)?;
    // Without `columns` the usual three hold; with them, only what they name.
    let columns = match &entry.columns {
        None => AlpacaColumns {
            history: None,
            system: None,
            tools: None,
            ..AlpacaColumns::default()
        },
        Some(named) if named.messages.is_some() => {
            return Err("`columns.messages` belongs to `\"formatting\": \"sharegpt\"`".to_owned());
        }
        Some(named) => AlpacaColumns {
            prompt: named.prompt.clone(),
            query: named.query.clone(),
            response: named.response.clone(),
            history: named.history.clone(),
            system: named.system.clone(),
            tools: named.tools.clone(),
        },
    };
    match (&columns.prompt, &columns.query, &columns.response) {
        (None, None, _) => Err("its `columns` name no `prompt`".to_owned()),
        // LLaMA-Factory's form of pretraining: a prompt and nothing else.
        (Some(column), None, None) if goal == Goal::Answers => Ok(Layout::Text {
            column: column.clone(),
        }),
        (_, _, None) if !matches!(goal, Goal::Pair { .. }) => {
            Err("its `columns` name no `response`".to_owned())
        }
        _ => Ok(Layout::Alpaca { columns, goal }),
    }
}

fn chat(entry: &Entry, usual: Tags) -> Result<(ChatColumns, Tags, Goal), String> {
    let goal = goal(entry)?;
    let default = Columns::default();
    let named = entry.columns.as_ref().unwrap_or(&default);
    let alpacas = ["prompt", "query", "response", "history"];
    if let Some((key, _)) = named
        .named()
        .into_iter()
        .find(|(key, _)| alpacas.contains(key))
    {
        return Err(format!(
            "`columns.{key}` belongs to `\"formatting\": \"alpaca\"`"
        ));
    }
    let columns = ChatColumns {
        messages: named
            .messages
            .clone()
            .unwrap_or_else(|| match entry.formatting.as_deref() {
                Some("openai") => "messages".to_owned(),
                _ => "conversations".to_owned(),
            }),
        system: named.system.clone(),
        tools: named.tools.clone(),
    };
    Ok((columns, tags(entry, usual), goal))
}

fn tags(entry: &Entry, usual: Tags) -> Tags {
    let Some(named) = &entry.tags else {
        return usual;
    };
    let or = |named: &Option<String>, usual: String| named.clone().unwrap_or(usual);
    Tags {
        role: or(&named.role_tag, usual.role),
        content: or(&named.content_tag, usual.content),
        user: or(&named.user_tag, usual.user),
        assistant: or(&named.assistant_tag, usual.assistant),
        observation: or(&named.observation_tag, usual.observation),
        function: or(&named.function_tag, usual.function),
        system: or(&named.system_tag, usual.system),
    }
}

/// Reads outside bytes as a `dataset_info.json`, opening none of its files; for fuzzing.
pub(super) fn fuzz(bytes: &[u8]) {
    let Ok(info) = DatasetInfo::parse(PathBuf::from("fuzzed"), bytes) else {
        return;
    };
    for entry in info.entries.values() {
        if let Ok(entry) = parse_entry(entry) {
            let _layout_or_refusal = (layout(&entry), file_name(&entry));
        }
    }
}
