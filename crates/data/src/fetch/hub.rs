//! Files of a Hugging Face repository, or of a mirror that speaks like one (`HF_ENDPOINT`).
//!
//! A private or gated repository needs `HF_TOKEN`. Weights in pickled form are never fetched.

use serde::Deserialize;
use url::Url;

use super::Environment;
use super::http::{Client, Failed, Request};
use crate::DataError;
use crate::bounds::INDEX_BYTES_MAX;

/// The hub that is asked when nothing is configured.
const PUBLIC_HUB: &str = "https://huggingface.co";

/// The most files a folder source may have.
const FILES_MAX: usize = 1000;

/// A repository at a revision.
pub(super) struct Repository<'a> {
    /// Whether it holds a dataset instead of a model.
    pub dataset: bool,
    /// OWNER/NAME.
    pub name: &'a str,
    /// Branch, tag or commit.
    pub revision: &'a str,
}

#[derive(Deserialize)]
struct Listing {
    sha: Option<String>,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

impl Repository<'_> {
    /// The request for one of its files.
    pub(super) fn file(&self, path: &str, environment: &Environment) -> Result<Request, DataError> {
        self.file_at(path, self.revision, environment)
    }

    fn file_at(
        &self,
        path: &str,
        revision: &str,
        environment: &Environment,
    ) -> Result<Request, DataError> {
        let mut parts = Vec::new();
        if self.dataset {
            parts.push("datasets");
        }
        parts.extend(self.name.split('/'));
        parts.extend(["resolve", revision]);
        parts.extend(path.split('/'));
        request(&parts, environment)
    }

    /// The requests for the files that make a model: weights in safetensors, configuration,
    /// tokenizer, template, licence; each with its path. All of the same commit.
    pub(super) fn model_files(
        &self,
        client: &Client<'_>,
        environment: &Environment,
    ) -> Result<Vec<(String, Request)>, DataError> {
        let kind = if self.dataset { "datasets" } else { "models" };
        let mut parts = vec!["api", kind];
        parts.extend(self.name.split('/'));
        parts.extend(["revision", self.revision]);
        let request = request(&parts, environment)?;
        let about = |failed: Failed| failed.about(&request.url);
        let page = client.get_page(&request, INDEX_BYTES_MAX).map_err(about)?;
        if page.status != 200 {
            return Err(about(refused(page.status)));
        }
        let listing: Listing = serde_json::from_slice(&page.bytes).map_err(|error| {
            about(Failed::final_(format!(
                "it is no listing of a repository ({error}); check HF_ENDPOINT"
            )))
        })?;
        // A branch may move between two files: the commit that was listed does not.
        let revision = listing.sha.as_deref().unwrap_or(self.revision);
        let paths = listing
            .siblings
            .into_iter()
            .map(|sibling| sibling.rfilename);
        let mut files: Vec<String> = paths.filter(|path| belongs_to_model(path)).collect();
        files.sort();
        if files.is_empty() || files.len() > FILES_MAX {
            return Err(about(Failed::final_(format!(
                "it lists {} model files (safetensors, json, jinja); name one file after `#`",
                files.len()
            ))));
        }
        files
            .into_iter()
            .map(|path| {
                let request = self.file_at(&path, revision, environment)?;
                Ok((path, request))
            })
            .collect()
    }
}

/// What a status means, with the hub's own cure.
fn refused(status: u16) -> Failed {
    match status {
        401 | 403 => Failed::final_(format!(
            "the hub answered {status}: the repository is private, gated or not there; accept its terms on its page and set HF_TOKEN"
        )),
        other => Failed::from_status(other),
    }
}

fn request(parts: &[&str], environment: &Environment) -> Result<Request, DataError> {
    let endpoint = environment.get("HF_ENDPOINT").unwrap_or(PUBLIC_HUB);
    let bad_endpoint = || DataError::Network {
        url: super::http::shown(endpoint),
        reason: "HF_ENDPOINT is no web address; write it as https://HOST".to_owned(),
    };
    let mut url = Url::parse(endpoint).map_err(|_| bad_endpoint())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(bad_endpoint());
    }
    url.path_segments_mut()
        .map_err(|()| bad_endpoint())?
        .pop_if_empty()
        .extend(parts);
    let mut request = Request::new(&url);
    if let Some(token) = environment.get("HF_TOKEN") {
        request.authorization = Some(format!("Bearer {}", token.trim()));
    }
    Ok(request)
}

fn belongs_to_model(path: &str) -> bool {
    let in_place = !path.contains('/') && !path.starts_with('.');
    let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
    let named = path.to_uppercase();
    in_place
        && (matches!(extension, "safetensors" | "json" | "jinja" | "model")
            || path == "merges.txt"
            || named.starts_with("LICENSE")
            || named.starts_with("LICENCE"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_the_hubs() {
        let environment = Environment::of(&[
            ("HF_ENDPOINT", "https://mirror/hf/"),
            ("HF_TOKEN", "secret\n"),
        ]);
        let repository = Repository {
            dataset: true,
            name: "Owner/Name",
            revision: "refs/pr/1",
        };
        let request = repository.file("a b/c.csv", &environment).unwrap();
        assert_eq!(
            request.url.as_str(),
            "https://mirror/hf/datasets/Owner/Name/resolve/refs%2Fpr%2F1/a%20b/c.csv"
        );
        assert_eq!(request.authorization.as_deref(), Some("Bearer secret"));
        let error = repository.file("x", &Environment::of(&[("HF_ENDPOINT", "mirror")]));
        assert!(error.unwrap_err().to_string().contains("HF_ENDPOINT"));
    }

    #[test]
    fn only_what_makes_a_model_is_taken() {
        for path in [
            "model.safetensors",
            "config.json",
            "chat_template.jinja",
            "LICENSE",
            "merges.txt",
        ] {
            assert!(belongs_to_model(path), "{path}");
        }
        for path in [
            "pytorch_model.bin",
            "onnx/model.json",
            ".gitattributes",
            "README.md",
            "model.pt",
        ] {
            assert!(!belongs_to_model(path), "{path}");
        }
    }
}
