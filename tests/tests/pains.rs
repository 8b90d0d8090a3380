//! What users of other tools suffer from, and that each of it has a test here that is named after it, so that a
//! test that is renamed or removed is missed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use lathe_tests::root;

/// The pains, by their number in the names of tests.
const PAINS: [(usize, &str); 10] = [
    (1, "good in training, bad when merged or served"),
    (2, "merging into 4 bits loses the tune"),
    (3, "a GGUF file of gibberish"),
    (4, "label masks that are wrong"),
    (5, "a model that never stops"),
    (6, "gradient accumulation that is scaled wrongly"),
    (7, "packed samples that leak into one another"),
    (8, "a resumed run that is another run"),
    (9, "gradients that are no number, a loss of zero"),
    (10, "tokenising that stalls and eats memory"),
];

/// The names of tests below `folder` that begin with a pain's number, by that number.
fn collect(folder: &Path, found: &mut BTreeMap<usize, Vec<String>>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let source = fs::read_to_string(&path).expect("reads");
            let lines: Vec<&str> = source.lines().map(str::trim).collect();
            let tests = lines.windows(2).filter(|pair| pair[0].ends_with("test]"));
            for name in tests.filter_map(|pair| name(pair[1])) {
                let (_, numbers) = name.split_once('_').expect("it begins so");
                let numbers = numbers.split('_').filter(|part| *part != "and");
                for number in numbers.map_while(|part| part.parse().ok()) {
                    found.entry(number).or_default().push(name.to_owned());
                }
            }
        }
    }
}

/// The name of a test that is called after a pain, in the line that declares it.
fn name(line: &str) -> Option<&str> {
    let declared = line.trim_start_matches("async ").strip_prefix("fn ")?;
    let (name, _) = declared.split_once('(')?;
    (name.starts_with("pain_") || name.starts_with("pains_")).then_some(name)
}

#[test]
fn every_pain_has_a_test_named_after_it() {
    let mut found = BTreeMap::new();
    for crate_folder in fs::read_dir(root().join("crates")).expect("crates") {
        let folder = crate_folder.expect("an entry").path();
        for part in ["src", "tests"].map(|name| folder.join(name)) {
            if part.is_dir() {
                collect(&part, &mut found);
            }
        }
    }
    collect(&root().join("tests/tests"), &mut found);
    for (number, pain) in PAINS {
        let tests = found.remove(&number).unwrap_or_default();
        assert!(
            !tests.is_empty(),
            "no test is named after pain {number}: {pain}"
        );
    }
}
