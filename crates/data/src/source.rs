//! Where bytes come from, as a pack writes it: `SCHEME:ORIGIN#inner/path#inner/path`.
//!
//! Parsing and printing only; bringing the bytes is [`crate::fetch`]'s work. A source prints exactly
//! as it was written, because its text enters the records' leaves.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::DataError;
use crate::bounds::{ARCHIVE_NAME_BYTES_MAX, ARCHIVE_STEPS_MAX, SOURCE_BYTES_MAX};

/// What a source may look like, for the errors.
const FORMS: &str = "write pypi:NAME==VERSION#path, file:PATH, https://…, or hf:OWNER/NAME@REVISION#path; a further #path goes into an archive";

/// A source: an origin and the way through archives inside archives to one file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Source {
    /// Where the outermost file comes from.
    pub origin: Origin,
    /// The path of the wanted file inside the archive, then inside that, and so on; empty when the
    /// outermost file is wanted itself.
    pub inner: Vec<String>,
}

/// Where the outermost file comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Origin {
    /// `pypi:NAME==VERSION`: a file of that version in the package index pip is configured with.
    Pypi {
        /// The package's name as written; [`normalised_name`] for comparing.
        name: String,
        /// The version as written.
        version: String,
    },
    /// `file:PATH`, relative to the pack; a file, or a folder taken whole.
    File {
        /// The path as written.
        path: String,
    },
    /// `http:` or `https:`.
    Http {
        /// The whole address without its fragment.
        url: String,
    },
    /// `hf:OWNER/NAME@REVISION#PATH`, a file of a Hugging Face repository; without PATH its model
    /// files as a folder. `hf:datasets/OWNER/NAME@REVISION#PATH` for a dataset repository.
    Hf {
        /// Whether it is a dataset repository.
        dataset: bool,
        /// OWNER/NAME.
        repository: String,
        /// Branch, tag or commit.
        revision: String,
        /// The path in the repository.
        path: Option<String>,
    },
}

impl FromStr for Source {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        parse(text).map_err(|reason| DataError::Source {
            text: text.chars().take(200).collect(),
            reason,
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Pypi { name, version } => write!(f, "pypi:{name}=={version}")?,
            Origin::File { path } => write!(f, "file:{path}")?,
            Origin::Http { url } => f.write_str(url)?,
            Origin::Hf {
                dataset,
                repository,
                revision,
                path,
            } => {
                let prefix = if *dataset { "datasets/" } else { "" };
                write!(f, "hf:{prefix}{repository}@{revision}")?;
                if let Some(path) = path {
                    write!(f, "#{path}")?;
                }
            }
        }
        self.inner.iter().try_for_each(|path| write!(f, "#{path}"))
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// A package's name as the index spells it (PEP 503): lower case, each run of `-`, `_` and `.` one
/// `-`.
pub fn normalised_name(name: &str) -> String {
    let mut normal = String::with_capacity(name.len());
    for character in name.chars() {
        if !matches!(character, '-' | '_' | '.') {
            normal.extend(character.to_lowercase());
        } else if !normal.ends_with('-') {
            normal.push('-');
        }
    }
    normal
}

fn parse(text: &str) -> Result<Source, String> {
    if text.len() > SOURCE_BYTES_MAX {
        return Err(format!(
            "it is longer than {SOURCE_BYTES_MAX} bytes; {FORMS}"
        ));
    }
    if text.chars().any(char::is_control) {
        return Err(format!("it holds a control character; {FORMS}"));
    }
    let mut parts = text.split('#');
    let origin = parts.next().unwrap_or_default();
    let mut inner = parts.map(check_inner).collect::<Result<Vec<_>, _>>()?;
    let (scheme, rest) = origin
        .split_once(':')
        .ok_or_else(|| format!("it has no scheme; {FORMS}"))?;
    let origin = match scheme {
        "pypi" => parse_pypi(rest)?,
        "file" => parse_file(rest)?,
        "http" | "https" => parse_http(origin)?,
        "hf" => {
            let path = (!inner.is_empty()).then(|| inner.remove(0));
            parse_hf(rest, path)?
        }
        other => return Err(format!("there is no scheme `{other}`; {FORMS}")),
    };
    if inner.len() > ARCHIVE_STEPS_MAX {
        return Err(format!(
            "it goes through {} archives, more than {ARCHIVE_STEPS_MAX}; repack the data",
            inner.len()
        ));
    }
    Ok(Source { origin, inner })
}

fn check_inner(path: &str) -> Result<String, String> {
    let plain = path
        .split('/')
        .all(|part| !part.is_empty() && part != "." && part != "..");
    if !plain || path.len() as u64 > ARCHIVE_NAME_BYTES_MAX {
        return Err(format!(
            "`#{path}` is not a plain path inside an archive; write it as the archive lists it, without a leading `/` and without `..`"
        ));
    }
    Ok(path.to_owned())
}

fn parse_pypi(rest: &str) -> Result<Origin, String> {
    let (name, version) = rest
        .split_once("==")
        .ok_or_else(|| format!("a package needs its exact version; write pypi:{rest}==VERSION"))?;
    let alphanumeric = |c: char| c.is_ascii_alphanumeric();
    let name_is_sound = name.starts_with(alphanumeric)
        && name.ends_with(alphanumeric)
        && name.chars().all(|c| alphanumeric(c) || "-_.".contains(c));
    if !name_is_sound {
        return Err(format!(
            "`{name}` is no package name; it has letters, digits, `-`, `_` and `.`"
        ));
    }
    let version_is_sound = version.starts_with(alphanumeric)
        && version
            .chars()
            .all(|c| alphanumeric(c) || "-_.+!".contains(c));
    if !version_is_sound {
        return Err(format!(
            "`{version}` is no exact version; write it as the index lists it, such as {name}==1.2.3"
        ));
    }
    Ok(Origin::Pypi {
        name: name.to_owned(),
        version: version.to_owned(),
    })
}

fn parse_file(rest: &str) -> Result<Origin, String> {
    if rest.is_empty() {
        return Err("it names no file; write file:PATH, relative to the pack".to_owned());
    }
    Ok(Origin::File {
        path: rest.to_owned(),
    })
}

fn parse_http(text: &str) -> Result<Origin, String> {
    let url = url::Url::parse(text).map_err(|error| format!("it is no web address: {error}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "it holds a user name or password, which would be kept with every record; take them out of the address"
                .to_owned(),
        );
    }
    Ok(Origin::Http {
        url: text.to_owned(),
    })
}

fn parse_hf(rest: &str, path: Option<String>) -> Result<Origin, String> {
    let (name, revision) = rest.split_once('@').ok_or_else(|| {
        format!("it names no revision; write hf:{rest}@COMMIT so that it stays the same")
    })?;
    let (dataset, repository) = match name.strip_prefix("datasets/") {
        Some(repository) => (true, repository),
        None => (false, name),
    };
    let word = |text: &str| {
        !text.is_empty()
            && !text.starts_with('.')
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    let sound_repository = repository
        .split_once('/')
        .is_some_and(|(owner, name)| word(owner) && word(name));
    if !sound_repository || !revision.split('/').all(word) {
        return Err(format!(
            "`{rest}` is not OWNER/NAME@REVISION; write it as the hub's address shows it"
        ));
    }
    Ok(Origin::Hf {
        dataset,
        repository: repository.to_owned(),
        revision: revision.to_owned(),
        path,
    })
}

/// Parses outside bytes as a source and prints it back; for fuzzing.
pub fn fuzz(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(source) = text.parse::<Source>() {
        assert_eq!(source.to_string(), text, "a source prints as written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, origin: Origin, inner: &[&str]) {
        let source: Source = text.parse().unwrap();
        assert_eq!(source.origin, origin);
        assert_eq!(source.inner, inner);
        assert_eq!(source.to_string(), text);
    }

    #[track_caller]
    fn refuse(text: &str, reason: &str) {
        let error = text.parse::<Source>().unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }

    #[test]
    fn every_form_parses_and_prints_as_written() {
        check(
            "pypi:vaderSentiment==0.5#a/b.tar.gz#c/d.txt",
            Origin::Pypi {
                name: "vaderSentiment".to_owned(),
                version: "0.5".to_owned(),
            },
            &["a/b.tar.gz", "c/d.txt"],
        );
        for path in ["data/a b.csv", "/srv/a.csv", "../a.zip"] {
            let path = path.to_owned();
            check(&format!("file:{path}"), Origin::File { path }, &[]);
        }
        let url = "https://example.org/a.zip?x=1".to_owned();
        check(&format!("{url}#in.csv"), Origin::Http { url }, &["in.csv"]);
        let hf = |dataset, path: Option<&str>| Origin::Hf {
            dataset,
            repository: "Owner/Name-1.0".to_owned(),
            revision: "refs/pr/1".to_owned(),
            path: path.map(str::to_owned),
        };
        check("hf:Owner/Name-1.0@refs/pr/1", hf(false, None), &[]);
        check(
            "hf:datasets/Owner/Name-1.0@refs/pr/1#data/x.zip#x.csv",
            hf(true, Some("data/x.zip")),
            &["x.csv"],
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_how_to_write_it() {
        refuse("", "no scheme");
        refuse("data.csv", "no scheme");
        refuse("ftp://host/x", "no scheme `ftp`");
        refuse("pypi:name", "write pypi:name==VERSION");
        refuse("pypi:na me==1", "no package name");
        refuse("pypi:name==1/../2", "no exact version");
        refuse("pypi:name==1#../x", "without `..`");
        refuse("pypi:name==1#/etc/passwd", "without a leading `/`");
        refuse("pypi:name==1#", "not a plain path");
        refuse("file:", "names no file");
        refuse("http://", "no web address");
        refuse("https://user:secret@host/x", "take them out");
        refuse("hf:owner/name", "write hf:owner/name@COMMIT");
        refuse("hf:name@main", "OWNER/NAME@REVISION");
        refuse("hf:../..@main", "OWNER/NAME@REVISION");
        refuse("file:a\nb", "control character");
        refuse(&format!("file:{}", "x".repeat(20_000)), "longer than");
        refuse(&format!("file:a{}", "#b".repeat(9)), "9 archives");
    }

    #[test]
    fn names_are_normalised_as_pep_503_says() {
        for name in [
            "Friendly-Bard",
            "FRIENDLY.bard",
            "friendly__bard",
            "fRiendly-._.-Bard",
        ] {
            assert_eq!(normalised_name(name), "friendly-bard");
        }
    }

    #[test]
    fn arbitrary_bytes_do_not_panic() {
        for text in [
            "pypi:a==1#b#c",
            "hf:datasets/a/b@c#d",
            "https://[::1]:9/x#y",
        ] {
            for cut in 0..=text.len() {
                fuzz(&text.as_bytes()[..cut]);
                let mut changed = text.as_bytes().to_vec();
                changed.insert(cut, 0xff);
                fuzz(&changed);
                changed[cut] = b'#';
                fuzz(&changed);
            }
        }
    }
}
