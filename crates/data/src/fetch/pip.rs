//! How pip is configured here: index, extra indexes, link pages, certificate, proxy.
//!
//! Read from pip's variables and configuration files as pip orders them (global, user, site, then
//! `PIP_CONFIG_FILE`; a later one overrules; variables overrule all). pip itself is never run.

use std::path::{Path, PathBuf};

use super::Environment;

/// The index that pip asks when nothing is configured.
const PUBLIC_INDEX: &str = "https://pypi.org/simple";

/// The largest configuration file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Names and values of settings.
type Settings = Vec<(String, String)>;

/// pip's settings, as far as they matter here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PipSettings {
    /// The index to ask first; none with `no-index`.
    pub index_url: Option<String>,
    /// More indexes.
    pub extra_index_urls: Vec<String>,
    /// Folders and pages of links to files.
    pub find_links: Vec<String>,
    /// A file of certificates to trust as well.
    pub cert: Option<PathBuf>,
    /// pip's own proxy.
    pub proxy: Option<String>,
}

impl PipSettings {
    pub(super) fn new(environment: &Environment) -> Self {
        let files: Vec<Settings> = files(environment)
            .iter()
            .filter_map(|path| read_bounded(path))
            .map(|text| settings(&text))
            .collect();
        let value = |key: &str| {
            let variable = format!("PIP_{}", key.to_uppercase().replace('-', "_"));
            let set = environment.get(&variable).map(str::to_owned);
            set.or_else(|| {
                let in_files = files.iter().rev().flatten();
                in_files
                    .clone()
                    .find(|(name, _)| name == key)
                    .map(|(_, value)| value.clone())
            })
        };
        let words = |key: &str| {
            let text = value(key).unwrap_or_default();
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let truthy = |text: String| {
            matches!(
                text.to_lowercase().as_str(),
                "1" | "true" | "yes" | "on" | "t" | "y"
            )
        };
        let no_index = value("no-index").is_some_and(truthy);
        Self {
            index_url: (!no_index)
                .then(|| value("index-url").unwrap_or_else(|| PUBLIC_INDEX.to_owned())),
            extra_index_urls: if no_index {
                Vec::new()
            } else {
                words("extra-index-url")
            },
            find_links: words("find-links"),
            cert: value("cert").map(PathBuf::from),
            proxy: value("proxy"),
        }
    }
}

/// pip's configuration files from the weakest to the strongest.
fn files(environment: &Environment) -> Vec<PathBuf> {
    let named = environment.get("PIP_CONFIG_FILE");
    if named == Some("/dev/null") {
        // pip's documented way to read no file at all.
        return Vec::new();
    }
    let folders = environment.get("XDG_CONFIG_DIRS").unwrap_or("/etc/xdg");
    let mut files: Vec<PathBuf> = folders
        .split(':')
        .rev()
        .map(|folder| Path::new(folder).join("pip/pip.conf"))
        .collect();
    files.push(PathBuf::from("/Library/Application Support/pip/pip.conf"));
    files.push(PathBuf::from("/etc/pip.conf"));
    if let Some(home) = environment.get("HOME").map(Path::new) {
        files.push(home.join(".pip/pip.conf"));
        let user = environment.get("XDG_CONFIG_HOME").map(PathBuf::from);
        files.push(
            user.unwrap_or_else(|| home.join(".config"))
                .join("pip/pip.conf"),
        );
        files.push(home.join("Library/Application Support/pip/pip.conf"));
    }
    if let Some(prefix) = environment
        .get("VIRTUAL_ENV")
        .or_else(|| environment.get("CONDA_PREFIX"))
    {
        files.push(Path::new(prefix).join("pip.conf"));
    }
    files.extend(named.map(PathBuf::from));
    files
}

/// A file's text; nothing where there is none, as most of the places are empty.
fn read_bounded(path: &Path) -> Option<String> {
    let size = std::fs::metadata(path).ok()?.len();
    if size > FILE_BYTES_MAX {
        return None;
    }
    std::fs::read_to_string(path).ok()
}

/// The settings of the sections `[global]` and `[install]`, the strongest first.
fn settings(text: &str) -> Settings {
    let mut section = String::new();
    let (mut global, mut install): (Settings, Settings) = Default::default();
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = trimmed
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            name.trim().clone_into(&mut section);
            continue;
        }
        let target = match section.as_str() {
            "global" => &mut global,
            "install" => &mut install,
            _ => continue,
        };
        if line.starts_with([' ', '\t']) {
            // A value that goes on over more lines.
            if let Some((_, value)) = target.last_mut() {
                value.push('\n');
                value.push_str(trimmed);
            }
        } else if let Some(at) = trimmed.find(['=', ':']) {
            let (name, value) = (trimmed[..at].trim(), trimmed[at + 1..].trim());
            let name = name.to_lowercase().replace('_', "-");
            target.push((name, value.to_owned()));
        }
    }
    install.reverse();
    global.reverse();
    install.extend(global);
    install
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_file(path: &Path, text: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// An environment that sees nothing of this machine's own configuration but /etc/pip.conf,
    /// whose settings the tests overrule.
    fn environment(home: &Path, more: &[(&str, &str)]) -> Environment {
        let home = home.to_str().unwrap();
        let mut variables = vec![("HOME", home), ("XDG_CONFIG_DIRS", home)];
        variables.extend(more);
        Environment::of(&variables)
    }

    #[test]
    fn without_any_setting_the_public_index_is_asked() {
        let settings = PipSettings::new(&Environment::of(&[("PIP_CONFIG_FILE", "/dev/null")]));
        assert_eq!(settings.index_url.as_deref(), Some(PUBLIC_INDEX));
        assert_eq!((settings.find_links.len(), settings.cert), (0, None));
    }

    #[test]
    fn later_files_overrule_earlier_ones_and_variables_all() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        let index = |more: &[(&str, &str)]| {
            PipSettings::new(&environment(home.path(), more))
                .index_url
                .unwrap()
        };
        with_file(
            &at("pip/pip.conf"),
            "[global]\nindex-url = http://global/\n",
        );
        with_file(
            &at(".pip/pip.conf"),
            "[global]\nindex_url: http://legacy/\n",
        );
        assert_eq!(index(&[]), "http://legacy/");
        with_file(
            &at(".config/pip/pip.conf"),
            "[global]\nindex-url = http://user/\n",
        );
        assert_eq!(index(&[]), "http://user/");
        with_file(&at("venv/pip.conf"), "[global]\nindex-url = http://site/\n");
        let venv = at("venv");
        let site = ("VIRTUAL_ENV", venv.to_str().unwrap());
        assert_eq!(index(&[site]), "http://site/");
        with_file(
            &at("own.conf"),
            "[install]\nindex-url = http://own/\n[global]\nindex-url = http://weaker/\n",
        );
        let own = at("own.conf");
        let own = ("PIP_CONFIG_FILE", own.to_str().unwrap());
        assert_eq!(index(&[site, own]), "http://own/");
        assert_eq!(
            index(&[site, own, ("PIP_INDEX_URL", "http://variable/")]),
            "http://variable/"
        );
    }

    #[test]
    fn lists_go_over_lines_and_comments_are_none() {
        let home = tempfile::tempdir().unwrap();
        with_file(
            &home.path().join(".config/pip/pip.conf"),
            "# comment\n[global]\nextra-index-url =\n    http://one/\n    # not this\n    http://two/\nfind-links = /srv/wheels\n; comment\ncert = /etc/ca.pem\nproxy = http://p:1\n[list]\nindex-url = http://no/\nno section\n",
        );
        let settings = PipSettings::new(&environment(home.path(), &[]));
        assert_eq!(settings.extra_index_urls, ["http://one/", "http://two/"]);
        assert_eq!(settings.find_links, ["/srv/wheels"]);
        assert_eq!(settings.cert.as_deref(), Some(Path::new("/etc/ca.pem")));
        assert_eq!(settings.proxy.as_deref(), Some("http://p:1"));
    }

    #[test]
    fn no_index_leaves_the_links_only() {
        let home = tempfile::tempdir().unwrap();
        let variables = [
            ("PIP_NO_INDEX", "1"),
            ("PIP_FIND_LINKS", "/a https://b/"),
            ("PIP_EXTRA_INDEX_URL", "http://x/"),
        ];
        let settings = PipSettings::new(&environment(home.path(), &variables));
        assert_eq!(settings.index_url, None);
        assert!(settings.extra_index_urls.is_empty());
        assert_eq!(settings.find_links, ["/a", "https://b/"]);
    }
}
