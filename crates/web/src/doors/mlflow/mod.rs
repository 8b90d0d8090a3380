//! MLflow's registry as its client asks for it (REST API 2.0): registered models, versions, aliases, and
//! their files by the proxied artifacts API.
//!
//! A registered model is a name of the register, a version a model that was judged under it. What is not
//! handed out is listed with its status and the reason, and has no files. Aliases are set by the operation
//! `alias`. Not here: runs, experiments, stages and tags to be set, creating and uploading; they are
//! answered as MLflow answers what it lacks.

mod answers;
mod filter;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use lathe_workshop::ops::AliasRequest;
use lathe_workshop::shelf::{ShelfFile, ShelfModel, ShelfVersion};
use lathe_workshop::{Operation, WorkshopError};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Asker, file};
use crate::AppState;
use crate::api::status_of;
use answers::{SOURCE, artifacts, model_json, version_json};
use filter::Page;

/// Rows of one answer where the request names no number, as MLflow's server has it.
const MODELS_DEFAULT: usize = 100;
/// Rows of one answer at most.
const ROWS_MAX: usize = 10_000;

/// Path and handler of every endpoint that answers JSON.
pub(super) fn router() -> Router<AppState> {
    Router::new()
        .route(
            "/api/2.0/mlflow/registered-models/search",
            get(search_models),
        )
        .route("/api/2.0/mlflow/registered-models/get", get(one_model))
        .route(
            "/api/2.0/mlflow/registered-models/get-latest-versions",
            get(latest_versions).post(latest_versions_of),
        )
        .route(
            "/api/2.0/mlflow/registered-models/alias",
            get(by_alias).post(set_alias).delete(remove_alias),
        )
        .route(
            "/api/2.0/mlflow/model-versions/search",
            get(search_versions),
        )
        .route("/api/2.0/mlflow/model-versions/get", get(one_version))
        .route(
            "/api/2.0/mlflow/model-versions/get-download-uri",
            get(download_uri),
        )
        .route("/api/2.0/mlflow-artifacts/artifacts", get(list_artifacts))
        .route("/api/2.0/mlflow/{*rest}", any(lacking))
}

/// Where files are handed out.
pub(super) fn files() -> Router<AppState> {
    Router::new().route("/api/2.0/mlflow-artifacts/artifacts/{*path}", get(download))
}

/// An error in MLflow's shape.
#[derive(Debug)]
struct Refused {
    status: StatusCode,
    code: &'static str,
    text: String,
}

impl Refused {
    fn missing(what: &str) -> Refused {
        Refused {
            status: StatusCode::NOT_FOUND,
            code: "RESOURCE_DOES_NOT_EXIST",
            text: format!("this workshop has no {what}"),
        }
    }

    fn invalid(text: impl Into<String>) -> Refused {
        Refused {
            status: StatusCode::BAD_REQUEST,
            code: "INVALID_PARAMETER_VALUE",
            text: text.into(),
        }
    }
}

impl From<WorkshopError> for Refused {
    fn from(error: WorkshopError) -> Refused {
        let code = match error.code() {
            "alias-refused" | "model-withheld" => "INVALID_STATE",
            "alias-invalid" => "INVALID_PARAMETER_VALUE",
            "alias-unknown" | "model-unknown" => "RESOURCE_DOES_NOT_EXIST",
            _ => "INTERNAL_ERROR",
        };
        Refused {
            status: status_of(&error),
            code,
            text: format!("{error}. What to do: {}", error.next()),
        }
    }
}

impl From<QueryRejection> for Refused {
    fn from(rejection: QueryRejection) -> Refused {
        Refused {
            status: rejection.status(),
            ..Refused::invalid(rejection.body_text())
        }
    }
}

impl From<JsonRejection> for Refused {
    fn from(rejection: JsonRejection) -> Refused {
        Refused {
            status: rejection.status(),
            ..Refused::invalid(rejection.body_text())
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.status, refused(self.code, &self.text)).into_response()
    }
}

/// The body of an error as MLflow's client reads it.
pub(crate) fn refused(code: &str, text: &str) -> Json<Value> {
    Json(json!({ "error_code": code, "message": text }))
}

type Answer = Result<Json<Value>, Refused>;
type Pairs = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// What stands after the question mark; a name may stand there more than once.
struct Given(Vec<(String, String)>);

impl Given {
    fn of(pairs: Pairs) -> Result<Given, Refused> {
        let Query(pairs) = pairs?;
        Ok(Given(pairs))
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |(key, _)| key == name);
        named.map(|(_, value)| value.as_str())
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    fn required(&self, name: &str) -> Result<&str, Refused> {
        let given = self.text(name).filter(|text| !text.is_empty());
        given.ok_or_else(|| Refused::invalid(format!("the request lacks the parameter {name}")))
    }

    fn page(&self, rows_default: usize) -> Result<Page, Refused> {
        Page::of(
            (self.text("max_results"), rows_default, ROWS_MAX),
            self.text("page_token"),
        )
        .map_err(Refused::invalid)
    }
}

fn model_of<'a>(models: &'a [ShelfModel], name: &str) -> Result<&'a ShelfModel, Refused> {
    let found = models.iter().find(|it| it.name == name);
    found.ok_or_else(|| Refused::missing(&format!("registered model {name}")))
}

fn version_of<'a>(model: &'a ShelfModel, number: &str) -> Result<&'a ShelfVersion, Refused> {
    let found = number.parse().ok().and_then(|number| model.version(number));
    found.ok_or_else(|| Refused::missing(&format!("version {number} of {}", model.name)))
}

/// `GET …/registered-models/search?filter=&max_results=&order_by=&page_token=`.
async fn search_models(State(state): State<AppState>, asker: Asker, pairs: Pairs) -> Answer {
    let given = Given::of(pairs)?;
    let page = given.page(MODELS_DEFAULT)?;
    let wanted = filter::parse(given.text("filter")).map_err(Refused::invalid)?;
    let order = filter::order(given.all("order_by")).map_err(Refused::invalid)?;
    let mut models = asker.shelf(&state).await?;
    models.retain(|model| wanted.iter().all(|it| it.fits(&model.name, None)));
    filter::sort_models(&mut models, &order);
    let (rows, next) = page.cut(&models);
    let rows: Vec<Value> = rows.iter().map(model_json).collect();
    Ok(Json(
        json!({ "registered_models": rows, "next_page_token": next }),
    ))
}

/// `GET …/registered-models/get?name=`.
async fn one_model(State(state): State<AppState>, asker: Asker, pairs: Pairs) -> Answer {
    let given = Given::of(pairs)?;
    let name = given.required("name")?;
    let models = asker.shelf(&state).await?;
    let model = model_of(&models, name)?;
    Ok(Json(json!({ "registered_model": model_json(model) })))
}

/// `GET …/registered-models/get-latest-versions?name=&stages=`.
async fn latest_versions(State(state): State<AppState>, asker: Asker, pairs: Pairs) -> Answer {
    let given = Given::of(pairs)?;
    let name = given.required("name")?.to_owned();
    let stages = given.all("stages").map(str::to_owned).collect();
    latest(&state, &asker, LatestOf { name, stages }).await
}

/// What `get-latest-versions` takes.
#[derive(Debug, Deserialize)]
struct LatestOf {
    name: String,
    #[serde(default)]
    stages: Vec<String>,
}

/// `POST …/registered-models/get-latest-versions`, as clients ask first.
async fn latest_versions_of(
    State(state): State<AppState>,
    asker: Asker,
    body: Result<Json<LatestOf>, JsonRejection>,
) -> Answer {
    let Json(asked) = body?;
    latest(&state, &asker, asked).await
}

/// The newest version of each stage, of those that are asked for.
async fn latest(state: &AppState, asker: &Asker, asked: LatestOf) -> Answer {
    let models = asker.shelf(state).await?;
    let model = model_of(&models, &asked.name)?;
    let wanted = |stage: &str| {
        let mut stages = asked.stages.iter();
        asked.stages.is_empty() || stages.any(|it| it.eq_ignore_ascii_case(stage))
    };
    let newest = answers::newest_of_stages(model).into_iter();
    let newest = newest.filter(|version| wanted(answers::stage(version)));
    let rows: Vec<Value> = newest.map(|it| version_json(&model.name, it)).collect();
    Ok(Json(json!({ "model_versions": rows })))
}

/// `GET …/registered-models/alias?name=&alias=`.
async fn by_alias(State(state): State<AppState>, asker: Asker, pairs: Pairs) -> Answer {
    let given = Given::of(pairs)?;
    let (name, alias) = (given.required("name")?, given.required("alias")?);
    let models = asker.shelf(&state).await?;
    let model = model_of(&models, name)?;
    let found = model.labelled(alias);
    let found = found.ok_or_else(|| Refused::missing(&format!("alias {alias} of {name}")))?;
    Ok(Json(json!({ "model_version": version_json(name, found) })))
}

/// What setting and removing an alias take.
#[derive(Debug, Deserialize)]
struct AliasOf {
    name: String,
    alias: String,
    #[serde(default)]
    version: Option<String>,
}

/// `POST …/registered-models/alias`: one that serves passes admission, or is told what is missing.
async fn set_alias(
    State(state): State<AppState>,
    asker: Asker,
    body: Result<Json<AliasOf>, JsonRejection>,
) -> Answer {
    let Json(asked) = body?;
    let given = asked.version.as_deref().unwrap_or_default();
    let version: u32 = given
        .parse()
        .map_err(|_| Refused::invalid("the version is no number from 1; write it as text"))?;
    alias(&state, &asker, asked, Some(version)).await
}

/// `DELETE …/registered-models/alias`.
async fn remove_alias(
    State(state): State<AppState>,
    asker: Asker,
    body: Result<Json<AliasOf>, JsonRejection>,
) -> Answer {
    let Json(asked) = body?;
    alias(&state, &asker, asked, None).await
}

async fn alias(state: &AppState, asker: &Asker, asked: AliasOf, version: Option<u32>) -> Answer {
    let AliasOf { name, alias, .. } = asked;
    if !asker.sees(&name) {
        return Err(Refused::missing(&format!("registered model {name}")));
    }
    let asked = AliasRequest {
        name,
        alias,
        version,
    };
    state.desk.operate(Operation::Alias(asked)).await?;
    Ok(Json(json!({})))
}

/// `GET …/model-versions/search?filter=&max_results=&order_by=&page_token=`.
async fn search_versions(State(state): State<AppState>, asker: Asker, pairs: Pairs) -> Answer {
    let given = Given::of(pairs)?;
    let page = given.page(ROWS_MAX)?;
    let wanted = filter::parse(given.text("filter")).map_err(Refused::invalid)?;
    let order = filter::order(given.all("order_by")).map_err(Refused::invalid)?;
    let models = asker.shelf(&state).await?;
    let mut versions: Vec<(&str, &ShelfVersion)> = Vec::new();
    for model in &models {
        let all = model.versions.iter().map(|it| (model.name.as_str(), it));
        versions.extend(all.filter(|(name, it)| wanted.iter().all(|one| one.fits(name, Some(it)))));
    }
    filter::sort_versions(&mut versions, &order);
    let (rows, next) = page.cut(&versions);
    let rows: Vec<Value> = rows
        .iter()
        .map(|(name, it)| version_json(name, it))
        .collect();
    Ok(Json(
        json!({ "model_versions": rows, "next_page_token": next }),
    ))
}

/// `GET …/model-versions/get?name=&version=`.
async fn one_version(State(state): State<AppState>, asker: Asker, pairs: Pairs) -> Answer {
    let given = Given::of(pairs)?;
    let (name, number) = (given.required("name")?, given.required("version")?);
    let models = asker.shelf(&state).await?;
    let version = version_of(model_of(&models, name)?, number)?;
    Ok(Json(
        json!({ "model_version": version_json(name, version) }),
    ))
}

/// `GET …/model-versions/get-download-uri?name=&version=`; refused for what is not handed out.
async fn download_uri(State(state): State<AppState>, asker: Asker, pairs: Pairs) -> Answer {
    let given = Given::of(pairs)?;
    let (name, number) = (given.required("name")?, given.required("version")?);
    let models = asker.shelf(&state).await?;
    let version = version_of(model_of(&models, name)?, number)?;
    // Asked for the reason why not.
    state.desk.shelf_files(version).await?;
    let uri = answers::source(name, version);
    Ok(Json(json!({ "artifact_uri": uri })))
}

/// The files of the version that a path of artifacts names, and the rest of the path.
async fn at<'a>(
    state: &AppState,
    asker: &Asker,
    path: &'a str,
) -> Result<(Vec<ShelfFile>, &'a str), Refused> {
    let missing = || Refused::missing(&format!("artifact {path}"));
    let models = asker.shelf(state).await?;
    let under = path.strip_prefix(SOURCE).ok_or_else(missing)?;
    // A name is held as a whole: nothing of what is asked becomes a path of this machine.
    let found = models.iter().find_map(|model| {
        let rest = under.strip_prefix(&model.name)?.strip_prefix('/')?;
        let (number, rest) = rest.split_once('/').unwrap_or((rest, ""));
        Some((model.version(number.parse().ok()?)?, rest))
    });
    let (version, rest) = found.ok_or_else(missing)?;
    Ok((state.desk.shelf_files(version).await?, rest))
}

/// `GET /api/2.0/mlflow-artifacts/artifacts?path=`: what lies directly under a path.
async fn list_artifacts(State(state): State<AppState>, asker: Asker, pairs: Pairs) -> Answer {
    let given = Given::of(pairs)?;
    let path = given.required("path")?;
    let (files, rest) = at(&state, &asker, path).await?;
    Ok(Json(json!({ "files": artifacts(&files, rest) })))
}

/// `GET /api/2.0/mlflow-artifacts/artifacts/{path}`: a file, or a part of it.
async fn download(
    State(state): State<AppState>,
    asker: Asker,
    method: Method,
    asked: HeaderMap,
    path: Result<Path<String>, axum::extract::rejection::PathRejection>,
) -> Result<Response, Refused> {
    let path =
        path.map_err(|_| Refused::invalid("the path is no UTF-8 where its escapes are undone"));
    let Path(path) = path?;
    let (files, rest) = at(&state, &asker, &path).await?;
    let found = files.iter().find(|it| it.path == rest);
    let found = found.ok_or_else(|| Refused::missing(&format!("artifact {path}")))?;
    Ok(file::answer(&state, &method, &asked, found).await?)
}

/// What MLflow's API has beyond this.
async fn lacking(method: Method, Path(rest): Path<String>) -> Refused {
    Refused {
        status: StatusCode::NOT_FOUND,
        code: "ENDPOINT_NOT_FOUND",
        text: format!(
            "{method} {rest} is not part of what a workshop answers to MLflow: models come in by orders, and \
             what they are called is set by aliases; docs/guide/clients.md has the list"
        ),
    }
}
