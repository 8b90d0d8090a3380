//! The nearest known name to one that is not known, for errors.

/// `; the nearest is …` for the nearest of `known`, or `; there are: …` where none is near.
pub fn hint<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    /// How many names are listed where none is near.
    const LISTED_MAX: usize = 12;
    let mut known: Vec<&str> = known.into_iter().collect();
    known.sort_unstable();
    if known.is_empty() {
        return String::new();
    }
    match nearest(name, &known) {
        Some(nearest) => format!("; the nearest is `{nearest}`"),
        None => {
            let more = if known.len() > LISTED_MAX {
                ", …"
            } else {
                ""
            };
            known.truncate(LISTED_MAX);
            format!("; there are: {}{more}", known.join(", "))
        }
    }
}

/// The most alike of `known`, if it is alike at all. A path that ends in the same file name is
/// nearer than any spelling.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    /// Below this similarity (0 to 1) a name is not what was meant.
    const ALIKE_MIN: f64 = 0.6;
    let last_part = |path: &str| path.rsplit('/').next().unwrap_or_default().to_lowercase();
    let score = |candidate: &str| {
        let same_file = candidate.contains('/') && last_part(candidate) == last_part(name);
        let alike =
            strsim::normalized_damerau_levenshtein(&name.to_lowercase(), &candidate.to_lowercase());
        alike + f64::from(u8::from(same_file))
    };
    let best = known
        .iter()
        .map(|candidate| (score(candidate), *candidate))
        .max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= ALIKE_MIN).then_some(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelling_a_moved_file_and_a_stranger() {
        let known = ["data/train.csv", "data/test.csv", "README"];
        assert_eq!(
            hint("data/trian.csv", known),
            "; the nearest is `data/train.csv`"
        );
        assert_eq!(
            hint("x-1.0/other/test.csv", known),
            "; the nearest is `data/test.csv`"
        );
        assert_eq!(hint("zzz", ["b", "a"]), "; there are: a, b");
        assert_eq!(hint("zzz", []), "");
    }
}
