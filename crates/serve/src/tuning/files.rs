//! `/v1/files`: take a file in, list files, look at one, give it back, forget it.

use axum::Json;
use axum::body::Body;
use axum::extract::multipart::{Field, Multipart, MultipartError, MultipartRejection};
use axum::extract::{Query as Queried, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use lathe_workshop::Workshop;
use lathe_workshop::tuning::{FILE_BYTES_MAX, FileRow, Upload};
use serde_json::{Value, json};
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use super::page::{self, Query};
use crate::api::error::ApiError;
use crate::api::in_path::InPath;
use crate::asker::Asker;

/// What files are for.
const PURPOSE: &str = "fine-tune";
/// Longest value of a part that is no file.
const TEXT_BYTES_MAX: usize = 1024;
/// The most entries of a page, and how many there are unless asked.
const LIST_MAX: usize = 10_000;
/// Bytes that are read at once.
const PIECE_BYTES: usize = 64 << 10;

/// Takes a file in.
pub(super) async fn create(
    State(shop): State<Workshop>,
    asker: Asker,
    parts: Result<Multipart, MultipartRejection>,
) -> Result<Json<Value>, ApiError> {
    let mut parts = parts.map_err(|rejection| {
        let message = format!(
            "The request's body must be multipart/form-data with 'purpose' and 'file': {rejection}."
        );
        ApiError::invalid(None, message)
    })?;
    let (mut purpose, mut upload) = (None, None);
    while let Some(part) = parts.next_field().await.map_err(broken)? {
        match part.name() {
            Some("purpose") => purpose = Some(text(part).await?),
            Some("file") if upload.is_some() => {
                return Err(ApiError::invalid(Some("file"), "'file' is given twice."));
            }
            Some("file") => upload = Some(take(&shop, part).await?),
            // OpenAI's `expires_after` among them: a file stays until it is deleted.
            other => {
                let name = other
                    .unwrap_or_default()
                    .chars()
                    .take(60)
                    .collect::<String>();
                let message = format!("Unrecognized form field: '{name}'.");
                return Err(ApiError::invalid(None, message));
            }
        }
    }
    let missing = |name: &str| {
        let message = format!("Missing required parameter: '{name}'.");
        ApiError::invalid(Some(name), message)
    };
    let purpose = purpose.ok_or_else(|| missing("purpose"))?;
    let upload = upload.ok_or_else(|| missing("file"))?;
    if purpose != PURPOSE {
        let message = format!("'purpose' must be '{PURPOSE}': this server keeps files to tune on.");
        return Err(ApiError::invalid(Some("purpose"), message));
    }
    let kept = shop.keep_file(upload, asker.name()).await;
    let kept = kept.map_err(|error| ApiError::of_workshop(&error, "file"))?;
    Ok(Json(told(&kept)))
}

async fn text(mut part: Field<'_>) -> Result<String, ApiError> {
    let mut bytes = Vec::new();
    while let Some(piece) = part.chunk().await.map_err(broken)? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > TEXT_BYTES_MAX {
            return Err(ApiError::invalid(None, "A form field is too long."));
        }
    }
    let text = String::from_utf8(bytes);
    text.map_err(|_| ApiError::invalid(None, "A form field is not UTF-8."))
}

/// The file is written as it comes; nobody holds it in memory.
async fn take(shop: &Workshop, mut part: Field<'_>) -> Result<Upload, ApiError> {
    let refused = |error: lathe_workshop::WorkshopError| ApiError::of_workshop(&error, "file");
    let name = part.file_name().unwrap_or("file.jsonl").to_owned();
    let mut upload = shop.upload(&name).await.map_err(refused)?;
    while let Some(piece) = part.chunk().await.map_err(broken)? {
        upload.write(&piece).await.map_err(refused)?;
    }
    Ok(upload)
}

fn broken(error: MultipartError) -> ApiError {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            ApiError::body_too_large(usize::try_from(FILE_BYTES_MAX).unwrap_or(usize::MAX))
        }
        _ => {
            let reason = error.body_text();
            let message = format!("The request's form could not be read: {reason}.");
            ApiError::invalid(None, message)
        }
    }
}

/// All files, the newest first unless `order=asc`.
pub(super) async fn list(
    State(shop): State<Workshop>,
    Queried(query): Queried<Query>,
) -> Result<Json<Value>, ApiError> {
    let limit = page::limit(&query, LIST_MAX, LIST_MAX)?;
    let files = shop.files().await;
    let files = files.map_err(|error| ApiError::of_workshop(&error, "file"))?;
    let wanted = query
        .get("purpose")
        .is_none_or(|purpose| purpose == PURPOSE);
    let mut all: Vec<Value> = files.iter().filter(|_| wanted).map(told).collect();
    match query.get("order").map(String::as_str) {
        None | Some("desc") => {}
        Some("asc") => all.reverse(),
        Some(_) => {
            return Err(ApiError::invalid(
                Some("order"),
                "'order' must be 'asc' or 'desc'.",
            ));
        }
    }
    Ok(Json(page::list(page::after(&all, &query), limit)))
}

/// One file.
pub(super) async fn retrieve(
    State(shop): State<Workshop>,
    InPath(id): InPath,
) -> Result<Json<Value>, ApiError> {
    found(&shop, &id).await.map(|file| Json(told(&file)))
}

/// Its bytes as they came.
pub(super) async fn content(
    State(shop): State<Workshop>,
    InPath(id): InPath,
) -> Result<Response, ApiError> {
    let row = found(&shop, &id).await?;
    let file = File::open(shop.file_path(&row)).await;
    let file = file.map_err(|error| {
        ApiError::internal(format!("The file {id} could not be opened: {error}."))
    })?;
    let pieces = stream::unfold(Some(file), |file| async {
        let mut file = file?;
        let mut piece = vec![0; PIECE_BYTES];
        match file.read(&mut piece).await {
            Ok(0) => None,
            Ok(read) => {
                piece.truncate(read);
                Some((Ok(piece), Some(file)))
            }
            Err(error) => Some((Err(error), None)),
        }
    });
    let headers = [(header::CONTENT_TYPE, "application/jsonl")];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// Forgets a file.
pub(super) async fn delete(
    State(shop): State<Workshop>,
    InPath(id): InPath,
) -> Result<Json<Value>, ApiError> {
    let deleted = shop.delete_file(&id).await;
    deleted.map_err(|error| ApiError::of_workshop(&error, "id"))?;
    Ok(Json(json!({"id": id, "object": "file", "deleted": true})))
}

async fn found(shop: &Workshop, id: &str) -> Result<FileRow, ApiError> {
    let found = shop.file(id).await;
    found.map_err(|error| ApiError::of_workshop(&error, "id"))
}

fn told(file: &FileRow) -> Value {
    json!({
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": file.created_ms / 1000,
        "filename": file.name,
        "purpose": PURPOSE,
        "status": "processed",
        "status_details": null,
        "expires_at": null,
        "lathe": {"records": file.records, "form": file.form, "artifact": file.artifact},
    })
}
