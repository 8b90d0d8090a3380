//! What a licence permits, by a table in a data file and SPDX expressions.
//!
//! `OR` needs one side to permit the use, `AND` both; an exception after `WITH` grants more and is
//! passed over. A licence that the table does not know permits nothing: silence is no permission.

use std::sync::LazyLock;

use crate::policy::{LicenceRules, Use};

/// The longest expression that is read, in bytes.
const EXPRESSION_BYTES_MAX: usize = 1000;

/// How deep parentheses may nest.
const DEPTH_MAX: usize = 20;

/// The table: identifier in lower case, and the uses it permits.
static TABLE: LazyLock<Vec<(String, Vec<&'static str>)>> = LazyLock::new(|| {
    let rows = include_str!("../data/licences.tsv").lines();
    rows.filter(|row| !row.starts_with('#'))
        .filter_map(|row| {
            let mut columns = row.split('\t');
            let name = columns.next()?.to_ascii_lowercase();
            Some((name, columns.next()?.split(' ').collect()))
        })
        .collect()
});

/// Whether `expression` permits what `rules` ask, else the licence that does not and why.
pub(crate) fn permits(expression: &str, rules: &LicenceRules) -> Result<(), String> {
    if expression.len() > EXPRESSION_BYTES_MAX {
        return Err(format!(
            "the licence is longer than {EXPRESSION_BYTES_MAX} bytes"
        ));
    }
    // A name of one's own may hold words that look like operators.
    if let Some(decided) = by_list(expression.trim(), rules) {
        return decided;
    }
    let spaced = expression.replace('(', " ( ").replace(')', " ) ");
    let mut parser = Parser {
        tokens: spaced.split_whitespace().collect(),
        next: 0,
        rules,
    };
    let outcome = parser.any(0)?;
    match parser.tokens.get(parser.next) {
        None => outcome,
        Some(_) => Err(format!("`{expression}` is not an SPDX expression")),
    }
}

/// What the policy's own lists say of one licence.
fn by_list(name: &str, rules: &LicenceRules) -> Option<Result<(), String>> {
    let is_in = |list: &[String]| list.iter().any(|it| it.eq_ignore_ascii_case(name));
    if is_in(&rules.deny) {
        return Some(Err(format!("{name} is denied by the policy")));
    }
    is_in(&rules.allow).then_some(Ok(()))
}

fn one(name: &str, rules: &LicenceRules) -> Result<(), String> {
    if let Some(decided) = by_list(name, rules) {
        return decided;
    }
    let lower = name.trim_end_matches('+').to_ascii_lowercase();
    let purpose = rules.purpose.name();
    match TABLE.iter().find(|(known, _)| *known == lower) {
        Some((_, uses)) if uses.contains(&purpose) => Ok(()),
        Some((_, uses)) => Err(format!(
            "{name} permits {} use only, not {purpose}",
            uses.join(" and ")
        )),
        None => Err(format!("nothing is known of the licence {name:?}")),
    }
}

type Outcome = Result<(), String>;

/// A reader of SPDX expressions (SPDX 2.3, annex D) that decides as it goes. The outer result is
/// about the expression's form, the inner about what it permits.
struct Parser<'a> {
    tokens: Vec<&'a str>,
    next: usize,
    rules: &'a LicenceRules,
}

impl Parser<'_> {
    fn any(&mut self, depth: usize) -> Result<Outcome, String> {
        let mut outcome = self.all(depth)?;
        while self.take("OR") {
            let other = self.all(depth)?;
            outcome = outcome.or(other);
        }
        Ok(outcome)
    }

    fn all(&mut self, depth: usize) -> Result<Outcome, String> {
        let mut outcome = self.atom(depth)?;
        while self.take("AND") {
            let other = self.atom(depth)?;
            outcome = outcome.and(other);
        }
        Ok(outcome)
    }

    fn atom(&mut self, depth: usize) -> Result<Outcome, String> {
        if self.take("(") {
            if depth == DEPTH_MAX {
                return Err("the licence nests too deep".to_owned());
            }
            let inner = self.any(depth + 1)?;
            return if self.take(")") {
                Ok(inner)
            } else {
                Err("a parenthesis of the licence is not closed".to_owned())
            };
        }
        let name = self.tokens.get(self.next).copied();
        let name = name.ok_or_else(|| "no licence is given".to_owned())?;
        self.next += 1;
        if self.take("WITH") {
            self.next += 1;
        }
        Ok(one(name, self.rules))
    }

    fn take(&mut self, token: &str) -> bool {
        let here = self.tokens.get(self.next);
        let taken = here.is_some_and(|it| it.eq_ignore_ascii_case(token));
        self.next += usize::from(taken);
        taken
    }
}

/// Licences of the table that permit `purpose` (or do not), for fixtures of the lint.
pub(crate) fn example(purpose: Use, permitted: bool) -> &'static str {
    let rows = TABLE.iter();
    let mut found = rows.filter(|(_, uses)| uses.contains(&purpose.name()) == permitted);
    found.next().map_or("an unknown licence", |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(purpose: Use) -> LicenceRules {
        LicenceRules {
            purpose,
            allow: vec!["Contract 7 OR 8".to_owned()],
            deny: vec!["AGPL-3.0-only".to_owned()],
        }
    }

    #[test]
    fn the_table_is_sound() {
        assert!(TABLE.len() > 50);
        for (name, uses) in TABLE.iter() {
            assert!(!uses.is_empty() && uses.contains(&"research"), "{name}");
            for used in uses {
                assert!(
                    ["commercial", "internal", "research"].contains(used),
                    "{name}: {used}"
                );
            }
            let rows = TABLE.iter().filter(|(other, _)| other == name);
            assert_eq!(rows.count(), 1, "{name}");
        }
    }

    #[test]
    fn expressions_are_decided() {
        let check = |expression: &str, purpose: Use, expected: Result<(), &str>| match (
            permits(expression, &rules(purpose)),
            expected,
        ) {
            (Ok(()), Ok(())) => {}
            (Err(reason), Err(part)) if reason.contains(part) => {}
            (found, _) => panic!("{expression}: {found:?}, expected {expected:?}"),
        };
        let commercial = Use::Commercial;
        check("MIT", commercial, Ok(()));
        check("mit", commercial, Ok(()));
        check(
            "CC-BY-NC-4.0",
            commercial,
            Err("research use only, not commercial"),
        );
        check("CC-BY-NC-4.0", Use::Internal, Err("not internal"));
        check("CC-BY-NC-4.0", Use::Research, Ok(()));
        check("CC-BY-ND-4.0", Use::Internal, Ok(()));
        check("MIT OR CC-BY-NC-4.0", commercial, Ok(()));
        check("CC-BY-NC-4.0 OR MIT", commercial, Ok(()));
        check("MIT AND CC-BY-NC-4.0", commercial, Err("CC-BY-NC-4.0"));
        check("MIT AND (CC-BY-NC-4.0 OR ISC)", commercial, Ok(()));
        check(
            "(MIT OR ISC) AND CC-BY-NC-4.0",
            commercial,
            Err("CC-BY-NC-4.0"),
        );
        check(
            "GPL-2.0-only WITH Classpath-exception-2.0",
            commercial,
            Ok(()),
        );
        check("AGPL-3.0-only", commercial, Err("denied"));
        check("Contract 7 or 8", commercial, Ok(()));
        check("ours", commercial, Err("nothing is known"));
        for broken in ["", "MIT OR", "(MIT", "MIT)", "MIT ISC", "AND"] {
            assert!(permits(broken, &rules(commercial)).is_err(), "{broken}");
        }
        assert!(permits(&"(".repeat(900), &rules(commercial)).is_err());
    }
}
