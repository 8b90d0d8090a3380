//! `/data/bring`: a file of one's own, brought, looked at under a mapping of its columns, and made a dataset
//! version with a pack to tune on.
//!
//! The whole way stands in plain forms; the script adds progress, and pieces that go on where they broke
//! off. What a file gives is the workshop's to say (`lathe_workshop::bring`).

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::multipart::{Field as Part, Multipart, MultipartError, MultipartRejection};
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use lathe_workshop::bring::{
    AnswerKind, BringBegin, BringFound, BringLook, BringMade, BringMake, BringSeen, BroughtFile,
    Finding, Mapping, PIECE_BYTES_MAX, Rendered,
};
use lathe_workshop::people::{Right, reach};
use lathe_workshop::{ModelView, Operation, WorkshopError};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::alert::Alert;
use super::dataset::{self, Field, LeftOut};
use super::in_path::InPath;
use super::lesson::{self, RowView};
use super::order::Tile;
use super::{Frame, Problem, asked, projects};
use crate::format;
use crate::lang::{Say, Tongue};
use crate::{AppState, api};

/// Base models that are offered.
const MODELS_MAX: u32 = 200;
/// Characters of a cell of the sample.
const CELL_CHARS_MAX: usize = 200;
/// Characters of a question that its record is headed by.
const HEADING_CHARS_MAX: usize = 60;
/// Bytes of a field that is a word.
const WORD_BYTES_MAX: usize = 200;

#[derive(Template)]
#[template(path = "bring.html")]
struct BringPage {
    frame: Frame,
    files: Vec<FileRow>,
    /// The projects that a file can be brought into, where there is a choice.
    projects: Vec<projects::Choice>,
    error: Option<Alert>,
}

struct FileRow {
    id: String,
    name: String,
    size: String,
    state: String,
    complete: bool,
    created: String,
    created_text: String,
}

#[derive(Template)]
#[template(path = "bring_file.html")]
struct FilePage {
    frame: Frame,
    file: FileRow,
    facts: String,
    columns: Vec<String>,
    sample: Vec<Vec<String>>,
    form: MakeForm,
    mapping: Mapping,
    kinds: Vec<(&'static str, String, bool)>,
    models: Vec<(String, String)>,
    mistakes: BTreeMap<String, Alert>,
    error: Option<Alert>,
    found: bool,
    tiles: Vec<Tile>,
    fields: Vec<Field>,
    left_out: LeftOut,
    contradictions: String,
    personal: Vec<(String, String)>,
    findings: Vec<Finding>,
    rendered: Vec<Rendered>,
    rows: Vec<RowView>,
    marks: Vec<(&'static str, String)>,
}

impl FilePage {
    /// What is wrong with a field, and what to do.
    fn mistake(&self, key: &str) -> Option<&Alert> {
        self.mistakes.get(key)
    }
}

/// The form as a browser sends it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct MakeForm {
    #[serde(rename = "do")]
    does: String,
    kind: String,
    question: String,
    answer: String,
    instruction: String,
    group: String,
    sheet: String,
    name: String,
    licence: String,
    owner: String,
    language: String,
    model: String,
    next_version: Option<String>,
}

impl MakeForm {
    fn mapping(&self) -> Mapping {
        // Browsers send lines with carriage returns.
        let said = |text: &str| {
            let text = text.replace("\r\n", "\n").trim().to_owned();
            Some(text).filter(|text| !text.is_empty())
        };
        Mapping {
            kind: match &self.kind[..] {
                "label" => AnswerKind::Label,
                "conversation" => AnswerKind::Conversation,
                _ => AnswerKind::Text,
            },
            question: self.question.clone(),
            answer: self.answer.clone(),
            instruction: said(&self.instruction),
            group: said(&self.group),
            sheet: said(&self.sheet),
        }
    }

    /// The fields without which nothing is made and that were sent empty.
    fn emptied(&self) -> Vec<&'static str> {
        let needed = [
            ("name", &self.name),
            ("licence", &self.licence),
            ("owner", &self.owner),
        ];
        let empty = needed
            .into_iter()
            .filter(|(_, said)| said.trim().is_empty());
        empty.map(|(key, _)| key).collect()
    }

    fn make(&self, id: &str) -> BringMake {
        let said = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        BringMake {
            id: id.to_owned(),
            mapping: self.mapping(),
            name: self.name.trim().to_owned(),
            licence: self.licence.trim().to_owned(),
            owner: self.owner.trim().to_owned(),
            language: said(&self.language),
            model: said(&self.model),
            next_version: self.next_version.is_some(),
        }
    }
}

/// `GET /data/bring`.
pub(super) async fn page(State(state): State<AppState>, tongue: Tongue) -> Response {
    list(&state, tongue, None).await
}

/// `POST /data/bring`: takes the file of a form, piece by piece, and goes to its page.
pub(super) async fn take(
    State(state): State<AppState>,
    tongue: Tongue,
    parts: Result<Multipart, MultipartRejection>,
) -> Response {
    let parts = match parts {
        Ok(parts) => parts,
        Err(rejection) => return rejection.into_response(),
    };
    match taken(&state, parts).await {
        Ok(id) => Redirect::to(&format!("/data/bring/{id}")).into_response(),
        Err(error) => list(&state, tongue, Some(&error)).await,
    }
}

async fn taken(state: &AppState, mut parts: Multipart) -> Result<String, WorkshopError> {
    let mut project = None;
    while let Some(mut part) = parts.next_field().await.map_err(|error| broken(&error))? {
        if part.name() == Some("project") {
            project = short_text(&mut part).await?;
        }
        if part.name() != Some("file") {
            continue;
        }
        let begin = BringBegin {
            name: part.file_name().unwrap_or_default().to_owned(),
            bytes: None,
            sha256: None,
            project: project.clone(),
        };
        let file: BroughtFile = asked(state, Operation::BringBegin(begin)).await?;
        let mut offset = 0;
        while let Some(piece) = part.chunk().await.map_err(|error| broken(&error))? {
            for piece in piece.chunks(PIECE_BYTES_MAX) {
                let taken = state.desk.bring_piece(&file.id, offset, piece.to_vec());
                if let Err(error) = taken.await {
                    // What did not fit is of no use to anybody.
                    let id = file.id.clone();
                    let _ = state.desk.operate(Operation::BringForget { id }).await;
                    return Err(error);
                }
                offset += piece.len() as u64;
            }
        }
        let id = file.id.clone();
        state.desk.operate(Operation::BringEnd { id }).await?;
        return Ok(file.id);
    }
    Err(WorkshopError::new(
        "bring-file",
        "the form came without a file",
        "choose a file first",
    ))
}

/// A field that is a word, read no further than one can be; none where it is empty.
async fn short_text(part: &mut Part<'_>) -> Result<Option<String>, WorkshopError> {
    let mut bytes = Vec::new();
    while let Some(piece) = part.chunk().await.map_err(|error| broken(&error))? {
        if bytes.len() + piece.len() > WORD_BYTES_MAX {
            return Err(WorkshopError::new(
                "bring-file",
                format!("a field of the form has more than {WORD_BYTES_MAX} bytes"),
                "open the page anew and send it again",
            ));
        }
        bytes.extend_from_slice(&piece);
    }
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn broken(error: &MultipartError) -> WorkshopError {
    WorkshopError::new(
        "bring-file",
        format!("the file did not come whole: {error}"),
        "send it again",
    )
}

async fn list(state: &AppState, tongue: Tongue, error: Option<&WorkshopError>) -> Response {
    #[derive(Deserialize)]
    struct Brought {
        brought: Vec<BroughtFile>,
    }
    let brought: Result<Brought, _> = asked(state, Operation::Brought {}).await;
    let files = match brought {
        Ok(Brought { brought }) => brought,
        Err(error) => return Problem::from(error).page(tongue),
    };
    let say = tongue.say;
    let page = BringPage {
        files: files.into_iter().map(|file| file_row(say, file)).collect(),
        projects: projects::choices(state, say, Right::Data, None),
        error: error.map(|it| Alert::new(say, it)),
        frame: Frame::new(tongue, "data"),
    };
    page.frame
        .answer(error.map_or(StatusCode::OK, api::status_of), &page)
}

fn file_row(say: Say, file: BroughtFile) -> FileRow {
    let state = match (file.complete, file.bytes) {
        (true, _) => say.it("web.bring.here"),
        (false, Some(bytes)) => say.with(
            "web.bring.part",
            &[
                ("received", &format::bytes(file.received)),
                ("bytes", &format::bytes(bytes)),
            ],
        ),
        (false, None) => say.it("web.bring.broke"),
    };
    FileRow {
        size: format::bytes(file.received),
        created: format::moment(file.created_ms),
        created_text: format::moment_text(file.created_ms),
        id: file.id,
        name: file.name,
        complete: file.complete,
        state,
    }
}

/// `GET /data/bring/{id}`: the file under the mapping that is guessed.
pub(super) async fn file(
    State(state): State<AppState>,
    tongue: Tongue,
    InPath(id): InPath,
) -> Response {
    show(&state, tongue, id, None, None).await
}

/// `POST /data/bring/{id}`: looks at it under another mapping, makes a dataset of it, or forgets it.
pub(super) async fn act(
    State(state): State<AppState>,
    tongue: Tongue,
    InPath(id): InPath,
    Form(form): Form<MakeForm>,
) -> Response {
    match &form.does[..] {
        "forget" => match state.desk.operate(Operation::BringForget { id }).await {
            Ok(_) => Redirect::to("/data/bring").into_response(),
            Err(error) => Problem::from(error).page(tongue),
        },
        "make" if form.emptied().is_empty() => {
            let made: Result<BringMade, _> =
                asked(&state, Operation::BringMake(form.make(&id))).await;
            match made {
                // Whoever brings data need not be who tunes on it.
                Ok(made) if !reach::may_anywhere(Right::Tune) => {
                    Redirect::to(&format!("/data/{}", made.dataset.digest)).into_response()
                }
                Ok(made) => {
                    Redirect::to(&format!("/orders/new?pack={}", made.pack)).into_response()
                }
                Err(error) => show(&state, tongue, id, Some(form), Some(error)).await,
            }
        }
        _ => show(&state, tongue, id, Some(form), None).await,
    }
}

async fn show(
    state: &AppState,
    tongue: Tongue,
    id: String,
    form: Option<MakeForm>,
    error: Option<WorkshopError>,
) -> Response {
    let look = BringLook {
        id,
        mapping: form.as_ref().map(MakeForm::mapping),
        model: form.as_ref().map(|form| form.model.clone()),
    };
    let seen: Result<BringSeen, _> = asked(state, Operation::BringLook(look)).await;
    let seen = match seen {
        Ok(seen) => seen,
        Err(error) if error.code() == "bring-unknown" => return Problem::Missing.page(tongue),
        // The file cannot be read at all: back to the list, where another one is brought.
        Err(error) => return list(state, tongue, Some(&error)).await,
    };
    let models = match state.desk.models(MODELS_MAX, 0).await {
        Ok(models) => models,
        Err(error) => return Problem::from(error).page(tongue),
    };
    let is_made = form.as_ref().filter(|form| form.does == "make");
    let emptied = is_made.map_or_else(Vec::new, MakeForm::emptied);
    let status = match (&error, emptied.is_empty()) {
        (Some(error), _) => api::status_of(error),
        (None, true) => StatusCode::OK,
        (None, false) => StatusCode::BAD_REQUEST,
    };
    let mut page = view(tongue, seen, models, form, error);
    let say = page.frame.say;
    for key in emptied {
        let told = Alert::own(&say.it("web.form.empty"), &say.it("web.form.empty.next"));
        page.mistakes.insert(key.to_owned(), told);
    }
    page.frame.answer(status, &page)
}

fn view(
    tongue: Tongue,
    seen: BringSeen,
    models: Vec<ModelView>,
    form: Option<MakeForm>,
    error: Option<WorkshopError>,
) -> FilePage {
    let say = tongue.say;
    let mut mistakes: BTreeMap<String, Alert> = seen
        .mistakes
        .iter()
        .map(|it| (it.key.clone(), Alert::at(say, it)))
        .collect();
    let error = error.filter(|error| match at(error) {
        Some(key) => {
            let told = alert_at(say, &key, error);
            mistakes.entry(key).or_insert(told);
            false
        }
        None => true,
    });
    let form = form.unwrap_or_else(|| MakeForm {
        name: name_of(&seen.file.name),
        ..MakeForm::default()
    });
    let facts = say.with(
        "web.bring.facts",
        &[
            ("rows", &format::count(seen.rows)),
            ("columns", &seen.columns.len().to_string()),
            ("encoding", &seen.encoding),
        ],
    );
    let sample = seen.sample.iter().map(|row| cells(&seen.columns, row));
    let mut page = FilePage {
        facts,
        sample: sample.collect(),
        kinds: kinds(say, seen.mapping.kind),
        models: bases(models),
        mistakes,
        error: error.as_ref().map(|it| Alert::new(say, it)),
        found: seen.found.is_some(),
        tiles: Vec::new(),
        fields: Vec::new(),
        left_out: LeftOut::default(),
        contradictions: String::new(),
        personal: Vec::new(),
        findings: Vec::new(),
        rendered: Vec::new(),
        rows: Vec::new(),
        marks: lesson::marks(say),
        file: file_row(say, seen.file),
        columns: seen.columns,
        mapping: seen.mapping,
        form,
        frame: Frame::new(tongue, "data"),
    };
    if let Some(found) = seen.found {
        fill(&mut page, say, found);
    }
    page
}

fn fill(page: &mut FilePage, say: Say, found: BringFound) {
    page.tiles = dataset::tiles(say, &found.statistics);
    let fields = dataset::fields(say, &found.statistics);
    page.fields = fields
        .into_iter()
        .filter(|field| field.name != "id")
        .collect();
    page.left_out = LeftOut::new(say, found.duplicates, found.broken);
    if found.contradictions > 0 {
        let count = format::count(found.contradictions);
        page.contradictions = say.of("web.bring.contradictions", count);
    }
    let kinds = found.personal.into_iter();
    page.personal = kinds
        .map(|(kind, count)| (say.name_of("web.bring.kind", &kind), format::count(count)))
        .collect();
    page.findings = found.findings;
    for finding in &mut page.findings {
        finding.kind = say.name_of("web.bring.kind", &finding.kind);
    }
    let rows = found.preview.map_or_else(Vec::new, |preview| preview.rows);
    page.rows = rows.iter().map(|row| lesson::row_view(say, row)).collect();
    for row in &mut page.rows {
        // Its leaf is none yet: nothing is sealed.
        row.href.clear();
    }
    // The same records, in the same order: each is headed by what is asked in it.
    for (row, asked) in page.rows.iter_mut().zip(&found.rendered) {
        row.heading = headed(say, asked);
    }
    page.rendered = found.rendered;
}

/// What a record is headed by before it has a place: its line, and how its question begins.
fn headed(say: Say, asked: &Rendered) -> String {
    let question = asked.question.split_whitespace();
    let question = question.collect::<Vec<_>>().join(" ");
    let mut begins: String = question.chars().take(HEADING_CHARS_MAX).collect();
    if begins.len() < question.len() {
        begins.push('…');
    }
    let line = format::count(asked.line);
    say.with(
        "web.bring.heading",
        &[("line", &line), ("question", &begins)],
    )
}

/// The field that a refusal is about, where it is about one.
fn at(error: &WorkshopError) -> Option<String> {
    match error.code() {
        "bring-exists" => Some("name".to_owned()),
        "bring-mapping" => error.to_string().split('`').nth(1).map(str::to_owned),
        _ => None,
    }
}

/// What is told of an error at a field: of the name and the terms in words of their own.
fn alert_at(say: Say, key: &str, error: &WorkshopError) -> Alert {
    let (text, next) = match (error.code(), key) {
        ("bring-mapping", "name") => ("web.bring.name.wrong", "web.bring.name.next"),
        ("bring-mapping", "licence" | "owner") => ("web.bring.terms.wrong", "web.bring.terms.next"),
        (code, _) => return Alert::of_field(say, code, &error.to_string(), error.next()),
    };
    Alert::own(&say.it(text), &say.it(next))
}

/// What a row has in these columns.
pub(super) fn cells(columns: &[String], row: &Map<String, Value>) -> Vec<String> {
    let cell = |name: &String| match row.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.chars().take(CELL_CHARS_MAX).collect(),
        Some(other) => other.to_string().chars().take(CELL_CHARS_MAX).collect(),
    };
    columns.iter().map(cell).collect()
}

fn kinds(say: Say, chosen: AnswerKind) -> Vec<(&'static str, String, bool)> {
    let kinds = [
        ("label", AnswerKind::Label),
        ("text", AnswerKind::Text),
        ("conversation", AnswerKind::Conversation),
    ];
    let kind = |(name, kind)| (name, say.it_of("web.bring.answers", name), kind == chosen);
    kinds.map(kind).into()
}

/// Digest and name of the base models, each name once.
fn bases(models: Vec<ModelView>) -> Vec<(String, String)> {
    let mut bases: Vec<(String, String)> = Vec::new();
    for model in models.into_iter().filter(|model| model.kind == "base") {
        if !bases.iter().any(|(_, name)| *name == model.name) {
            bases.push((model.digest, model.name));
        }
    }
    bases
}

/// A name for what a file becomes: its own, as far as it can be one.
fn name_of(file: &str) -> String {
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    let name: String = stem.chars().take(60).map(plain).collect();
    name.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lathe_workshop::words::Lang;

    #[test]
    fn a_record_is_headed_by_its_line_and_how_its_question_begins() {
        let asked = |question: &str| Rendered {
            line: 1_204,
            question: question.to_owned(),
            answer: String::new(),
        };
        let say = Say::new(Lang::En);
        let short = headed(say, &asked("Does it\nfit?"));
        assert_eq!(short, "Line 1,204: “Does it fit?”");
        let long = headed(Say::new(Lang::Zh), &asked(&"长".repeat(200)));
        assert!(long.starts_with("第 1,204 行：“长") && long.ends_with("长…”"));
        assert!(long.chars().count() < 80, "{long}");
    }

    #[test]
    fn a_name_that_cannot_be_is_told_in_the_reader_s_language() {
        let text = "`name`: \"Our Reviews\" cannot be a name";
        let error = WorkshopError::new("bring-mapping", text, "use 1 to 60 lower-case letters");
        assert_eq!(at(&error).as_deref(), Some("name"));
        let told = alert_at(Say::new(Lang::Zh), "name", &error);
        assert_eq!(told.text, "此名称不符合要求。");
        assert!(
            told.said.is_empty() && told.next.contains("连字符"),
            "{told:?}"
        );
        let told = alert_at(Say::new(Lang::Zh), "question", &error);
        assert!(told.said.contains("Our Reviews"), "{told:?}");
    }
}
