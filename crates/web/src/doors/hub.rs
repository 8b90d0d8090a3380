//! The hub that `huggingface_hub` and what is built on it download from, with `HF_ENDPOINT` set to `/hf` of
//! the workshop.
//!
//! A registered model is `lathe/NAME`, its versions are revisions: `main` for the one that answers (else the
//! newest), `vN`, an alias, or the first 40 digits of the model's digest, which clients take for a commit.
//! What is not handed out is not there. Not here: datasets, spaces, uploads, and a model card, which no
//! manifest names.
//!
//! Paths begin with `/hf`, since the hub's own `/api/models` means something else in the workshop's API.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use lathe_evidence::Digest;
use lathe_workshop::WorkshopError;
use lathe_workshop::shelf::{ShelfFile, ShelfModel, ShelfVersion, Shelved};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Asker, file};
use crate::AppState;
use crate::api::status_of;
use crate::format::moment;

/// Whose the models are.
const OWNER: &str = "lathe";
/// Digits of a digest that clients take for a commit.
const COMMIT_DIGITS: usize = 40;
/// Models in one list at most.
const MODELS_MAX: usize = 1000;
/// What the models do, as clients filter by it.
const TASK: &str = "text-generation";

const COMMIT: HeaderName = HeaderName::from_static("x-repo-commit");
const ERROR_CODE: HeaderName = HeaderName::from_static("x-error-code");
const ERROR_MESSAGE: HeaderName = HeaderName::from_static("x-error-message");

/// Path and handler of every endpoint that answers JSON.
pub(super) fn router() -> Router<AppState> {
    Router::new()
        .route("/hf/api/models", get(list))
        .route("/hf/api/models/{owner}/{name}", get(info))
        .route(
            "/hf/api/models/{owner}/{name}/revision/{revision}",
            get(info_at),
        )
        .route("/hf/api/models/{owner}/{name}/refs", get(refs))
        .route("/hf/api/models/{owner}/{name}/tree/{revision}", get(tree))
        .route(
            "/hf/api/models/{owner}/{name}/tree/{revision}/{*path}",
            get(tree_under),
        )
}

/// Where files are handed out.
pub(super) fn files() -> Router<AppState> {
    Router::new().route(
        "/hf/{owner}/{name}/resolve/{revision}/{*path}",
        get(download),
    )
}

/// An error as the hub's clients read it: the kind in a header, words in another and in the body.
#[derive(Debug)]
struct Refused {
    status: StatusCode,
    /// The hub's own word; none where it has none.
    code: Option<&'static str>,
    text: String,
}

impl Refused {
    fn missing(code: &'static str, what: &str) -> Refused {
        Refused {
            status: StatusCode::NOT_FOUND,
            code: Some(code),
            text: format!("this workshop hands out no {what}"),
        }
    }

    fn invalid(text: impl Into<String>) -> Refused {
        Refused {
            status: StatusCode::BAD_REQUEST,
            code: None,
            text: text.into(),
        }
    }
}

impl From<WorkshopError> for Refused {
    fn from(error: WorkshopError) -> Refused {
        Refused {
            status: status_of(&error),
            code: None,
            text: format!("{error}. What to do: {}", error.next()),
        }
    }
}

impl From<QueryRejection> for Refused {
    fn from(rejection: QueryRejection) -> Refused {
        Refused::invalid(rejection.body_text())
    }
}

impl From<PathRejection> for Refused {
    fn from(_: PathRejection) -> Refused {
        Refused::invalid("the path is no UTF-8 where its escapes are undone")
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = refused(self.status, &self.text);
        if let Some(code) = self.code {
            response
                .headers_mut()
                .insert(ERROR_CODE, HeaderValue::from_static(code));
        }
        response
    }
}

/// The answer to what is refused; a header holds what is ASCII of its words.
pub(crate) fn refused(status: StatusCode, text: &str) -> Response {
    let mut response = (status, Json(json!({ "error": text }))).into_response();
    let plain: String = text
        .chars()
        .map(|letter| match letter {
            ' '..='~' => letter,
            _ => '?',
        })
        .collect();
    if let Ok(value) = HeaderValue::try_from(plain) {
        response.headers_mut().insert(ERROR_MESSAGE, value);
    }
    response
}

type Answer = Result<Json<Value>, Refused>;
type Places<T> = Result<Path<T>, PathRejection>;
type Pairs = Result<Query<Vec<(String, String)>>, QueryRejection>;

fn places<T: DeserializeOwned>(places: Places<T>) -> Result<T, Refused> {
    let Path(places) = places?;
    Ok(places)
}

/// A name as the hub allows it: letters, digits, `-`, `_` and `.`, and none of the last two in a row.
fn hub_name(name: &str) -> String {
    let plain = name.chars().map(|letter| match letter {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '.' => letter,
        _ => '_',
    });
    let plain: String = plain.collect();
    plain.replace("--", "__").replace("..", "__")
}

/// The one model that is called this here. Where two names become one, neither is meant.
fn model_of<'a>(
    models: &'a [ShelfModel],
    owner: &str,
    name: &str,
) -> Result<&'a ShelfModel, Refused> {
    let mut found = models
        .iter()
        .filter(|it| owner == OWNER && hub_name(&it.name) == name);
    match (found.next(), found.next()) {
        (Some(model), None) if model.main().is_some() => Ok(model),
        _ => Err(Refused::missing(
            "RepoNotFound",
            &format!("model {owner}/{name}"),
        )),
    }
}

fn version_of<'a>(model: &'a ShelfModel, revision: &str) -> Result<&'a ShelfVersion, Refused> {
    let number = revision.strip_prefix('v').unwrap_or(revision).parse().ok();
    let is_commit = (COMMIT_DIGITS..=64).contains(&revision.len());
    let by_digest = |it: &&ShelfVersion| is_commit && it.model.to_string().starts_with(revision);
    let found = match revision {
        "main" => model.main(),
        _ => number
            .and_then(|number| model.version(number))
            .or_else(|| model.labelled(revision))
            .or_else(|| model.versions.iter().find(by_digest)),
    };
    found
        .filter(|it| it.standing == Shelved::HandedOut)
        .ok_or_else(|| {
            let what = format!("revision {revision} of {}", model.name);
            Refused::missing("RevisionNotFound", &what)
        })
}

/// What clients take for the commit of a version.
fn commit(model: &Digest) -> String {
    let mut digits = model.to_string();
    digits.truncate(COMMIT_DIGITS);
    digits
}

/// `GET /hf/api/models?search=&author=&filter=&pipeline_tag=&limit=`: an array, by name.
async fn list(State(state): State<AppState>, asker: Asker, pairs: Pairs) -> Answer {
    let Query(pairs) = pairs?;
    let all = |name: &'static str| {
        pairs
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, it)| it)
    };
    let limit = match all("limit").next() {
        None => MODELS_MAX,
        Some(text) => text
            .parse()
            .map_err(|_| Refused::invalid("limit is no number"))?,
    };
    let mut rows = Vec::new();
    for model in asker.shelf(&state).await? {
        let Some(version) = model.main() else {
            continue;
        };
        let id = format!("{OWNER}/{}", hub_name(&model.name));
        let tags = tags(version);
        let fits = all("search").all(|text| id.to_lowercase().contains(&text.to_lowercase()))
            && all("author").all(|author| author == OWNER)
            && all("pipeline_tag").all(|task| task == TASK)
            && all("filter").all(|tag| tags.contains(tag));
        if fits && rows.len() < limit.min(MODELS_MAX) {
            rows.push(info_json(&model, version, None));
        }
    }
    Ok(Json(json!(rows)))
}

/// `GET /hf/api/models/{owner}/{name}`: the model as `main` is.
async fn info(
    State(state): State<AppState>,
    asker: Asker,
    path: Places<(String, String)>,
    pairs: Pairs,
) -> Answer {
    let (owner, name) = places(path)?;
    told(&state, &asker, (&owner, &name, "main"), pairs).await
}

/// `GET /hf/api/models/{owner}/{name}/revision/{revision}`.
async fn info_at(
    State(state): State<AppState>,
    asker: Asker,
    path: Places<(String, String, String)>,
    pairs: Pairs,
) -> Answer {
    let (owner, name, revision) = places(path)?;
    told(&state, &asker, (&owner, &name, &revision), pairs).await
}

async fn told(
    state: &AppState,
    asker: &Asker,
    (owner, name, revision): (&str, &str, &str),
    pairs: Pairs,
) -> Answer {
    let Query(pairs) = pairs?;
    let models = asker.shelf(state).await?;
    let model = model_of(&models, owner, name)?;
    let version = version_of(model, revision)?;
    let files = state.desk.shelf_files(version).await?;
    let detailed = pairs.iter().any(|(key, _)| key == "blobs");
    let siblings = files.iter().map(|it| match detailed {
        false => json!({ "rfilename": it.path }),
        true => json!({
            "rfilename": it.path,
            "size": it.size,
            "blobId": it.sha256,
            "lfs": { "size": it.size, "sha256": it.sha256, "pointerSize": pointer_bytes(it) },
        }),
    });
    let siblings: Vec<Value> = siblings.collect();
    Ok(Json(info_json(model, version, Some(siblings))))
}

/// How many bytes a Git LFS pointer to the file has.
fn pointer_bytes(file: &ShelfFile) -> usize {
    let (digest, size) = (file.sha256, file.size);
    let pointer =
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {size}\n");
    pointer.len()
}

fn tags(version: &ShelfVersion) -> Vec<String> {
    let mut tags = vec![OWNER.to_owned(), TASK.to_owned()];
    if version.parts.is_some_and(|(_, adapter)| adapter.is_some()) {
        tags.push("peft".to_owned());
    }
    if !version.licence.is_empty() {
        tags.push(format!("license:{}", version.licence.to_lowercase()));
    }
    tags
}

fn info_json(model: &ShelfModel, version: &ShelfVersion, siblings: Option<Vec<Value>>) -> Value {
    let id = format!("{OWNER}/{}", hub_name(&model.name));
    let tuned = version.parts.is_some_and(|(_, adapter)| adapter.is_some());
    let created = model.versions.first().map_or(0, |it| it.created_ms);
    let mut info = json!({
        "_id": commit(&version.model),
        "id": id,
        "modelId": id,
        "author": OWNER,
        "sha": commit(&version.model),
        "createdAt": moment(created),
        "lastModified": moment(version.updated_ms),
        "private": false,
        "gated": false,
        "disabled": false,
        "tags": tags(version),
        "pipeline_tag": TASK,
        "lathe": {
            "name": model.name,
            "version": version.number,
            "model": version.model,
            "registration": version.registration,
            "deployment": version.deployment,
            "answers": version.answers,
            "demonstration": version.demonstration,
        },
    });
    if tuned {
        info["library_name"] = json!("peft");
    }
    if let Some(siblings) = siblings {
        info["siblings"] = json!(siblings);
    }
    info
}

/// `GET /hf/api/models/{owner}/{name}/refs`: `main` and the versions.
async fn refs(
    State(state): State<AppState>,
    asker: Asker,
    path: Places<(String, String)>,
) -> Answer {
    let (owner, name) = places(path)?;
    let models = asker.shelf(&state).await?;
    let model = model_of(&models, &owner, &name)?;
    let main = version_of(model, "main")?;
    let handed_out = model
        .versions
        .iter()
        .filter(|it| it.standing == Shelved::HandedOut);
    let tag = |name: String, version: &ShelfVersion| {
        let of = format!("refs/tags/{name}");
        json!({ "name": name, "ref": of, "targetCommit": commit(&version.model) })
    };
    let mut tags = Vec::new();
    for version in handed_out {
        tags.push(tag(format!("v{}", version.number), version));
        tags.extend(
            version
                .labels
                .iter()
                .map(|label| tag(label.clone(), version)),
        );
    }
    let branch =
        json!({ "name": "main", "ref": "refs/heads/main", "targetCommit": commit(&main.model) });
    Ok(Json(
        json!({ "branches": [branch], "tags": tags, "converts": [] }),
    ))
}

/// `GET /hf/api/models/{owner}/{name}/tree/{revision}?recursive=`: an array of files and folders.
async fn tree(
    State(state): State<AppState>,
    asker: Asker,
    path: Places<(String, String, String)>,
    pairs: Pairs,
) -> Answer {
    let (owner, name, revision) = places(path)?;
    listed(&state, &asker, (&owner, &name, &revision), "", pairs).await
}

/// `GET /hf/api/models/{owner}/{name}/tree/{revision}/{path}?recursive=`: what lies under a folder.
async fn tree_under(
    State(state): State<AppState>,
    asker: Asker,
    path: Places<(String, String, String, String)>,
    pairs: Pairs,
) -> Answer {
    let (owner, name, revision, folder) = places(path)?;
    listed(&state, &asker, (&owner, &name, &revision), &folder, pairs).await
}

async fn listed(
    state: &AppState,
    asker: &Asker,
    (owner, name, revision): (&str, &str, &str),
    folder: &str,
    pairs: Pairs,
) -> Answer {
    let Query(pairs) = pairs?;
    let is_true = |text: &str| text.eq_ignore_ascii_case("true") || text == "1";
    let deep = pairs
        .iter()
        .any(|(key, value)| key == "recursive" && is_true(value));
    let models = asker.shelf(state).await?;
    let version = version_of(model_of(&models, owner, name)?, revision)?;
    let files = state.desk.shelf_files(version).await?;
    let rows = entries(&files, folder, deep);
    if rows.is_empty() && !folder.is_empty() {
        return Err(Refused::missing(
            "EntryNotFound",
            &format!("folder {folder}"),
        ));
    }
    Ok(Json(json!(rows)))
}

/// What lies under a folder, its own folders with it; all that lies in those too where it is `deep`.
fn entries(files: &[ShelfFile], folder: &str, deep: bool) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut told: Vec<&str> = Vec::new();
    for file in files {
        let start = match folder.is_empty() {
            true => 0,
            false => folder.len() + 1,
        };
        let under = file
            .path
            .get(..start)
            .is_some_and(|it| it.trim_end_matches('/') == folder);
        if !under {
            continue;
        }
        let inner = file.path[start..].match_indices('/');
        let folders: Vec<&str> = inner.map(|(at, _)| &file.path[..start + at]).collect();
        let shown = folders.len().min(if deep { usize::MAX } else { 1 });
        for one in &folders[..shown] {
            if !told.contains(one) {
                told.push(one);
                let oid = Digest::of(one.as_bytes());
                rows.push(json!({ "type": "directory", "oid": oid, "size": 0, "path": one }));
            }
        }
        if deep || folders.is_empty() {
            rows.push(json!({
                "type": "file",
                "oid": file.sha256,
                "size": file.size,
                "path": file.path,
                "lfs": { "oid": file.sha256, "size": file.size, "pointerSize": pointer_bytes(file) },
            }));
        }
    }
    rows
}

/// `GET` and `HEAD /hf/{owner}/{name}/resolve/{revision}/{path}`: a file, or a part of it.
async fn download(
    State(state): State<AppState>,
    asker: Asker,
    method: Method,
    asked: HeaderMap,
    path: Places<(String, String, String, String)>,
) -> Result<Response, Refused> {
    let (owner, name, revision, path) = places(path)?;
    let models = asker.shelf(&state).await?;
    let version = version_of(model_of(&models, &owner, &name)?, &revision)?;
    let files = state.desk.shelf_files(version).await?;
    let found = files.iter().find(|it| it.path == path);
    let mut response = match found {
        Some(found) => file::answer(&state, &method, &asked, found).await?,
        None => Refused::missing("EntryNotFound", &format!("file {path}")).into_response(),
    };
    let commit = HeaderValue::try_from(commit(&version.model)).expect("digits");
    response.headers_mut().insert(COMMIT, commit);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_such_as_the_hub_allows() {
        assert_eq!(hub_name("customer-care"), "customer-care");
        assert_eq!(hub_name("ft:tiny:me::7"), "ft_tiny_me__7");
        assert_eq!(hub_name("a--b..c/d"), "a__b__c_d");
        assert_eq!(hub_name("客服"), "__");
    }

    #[test]
    fn a_tree_is_listed_with_its_folders() {
        let file = |path: &str| ShelfFile {
            path: path.to_owned(),
            size: 3,
            sha256: Digest::of(b"abc"),
            artifact: Digest::of(b""),
            within: path.to_owned(),
        };
        let files = ["a.json", "base/b.gguf", "base/c/d", "base/c/e"].map(file);
        let paths = |folder: &str, deep: bool| {
            let rows = entries(&files, folder, deep).into_iter();
            rows.map(|it| it["path"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(paths("", false), ["a.json", "base"]);
        let all = [
            "a.json",
            "base",
            "base/b.gguf",
            "base/c",
            "base/c/d",
            "base/c/e",
        ];
        assert_eq!(paths("", true), all);
        assert_eq!(paths("base", false), ["base/b.gguf", "base/c"]);
        assert_eq!(paths("base/c", true), ["base/c/d", "base/c/e"]);
        for nothing in ["bas", "base/..", "a.json", "base/c/d"] {
            assert_eq!(paths(nothing, true), [""; 0], "{nothing}");
        }
    }

    #[test]
    fn a_pointer_is_as_long_as_git_lfs_writes_it() {
        let file = ShelfFile {
            path: "a".to_owned(),
            size: 12_345,
            sha256: Digest::of(b"abc"),
            artifact: Digest::of(b""),
            within: "a".to_owned(),
        };
        // `git lfs pointer --file` of a file of that size writes 130 bytes.
        assert_eq!(pointer_bytes(&file), 130);
    }
}
