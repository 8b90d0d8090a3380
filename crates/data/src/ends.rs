//! The ends between which a number of a specification has to lie, and what that is called in English.
//!
//! Not here: what a page says of it, in either language (the workshop's words).

use std::fmt;

use serde::{Deserialize, Serialize};

/// Between which ends a number has to lie; there is none where an end is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Ends {
    /// The smallest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// All are larger than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub above: Option<u64>,
    /// The largest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
    /// All are smaller than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub below: Option<u64>,
}

impl Ends {
    const ALL: Ends = Ends {
        from: None,
        above: None,
        to: None,
        below: None,
    };

    /// This and more.
    pub const fn from(from: u64) -> Ends {
        Ends {
            from: Some(from),
            ..Ends::ALL
        }
    }

    /// More than this.
    pub const fn above(above: u64) -> Ends {
        Ends {
            above: Some(above),
            ..Ends::ALL
        }
    }

    /// At most this.
    pub const fn to(self, to: u64) -> Ends {
        Ends {
            to: Some(to),
            ..self
        }
    }

    /// Less than this.
    pub const fn below(self, below: u64) -> Ends {
        Ends {
            below: Some(below),
            ..self
        }
    }

    /// Whether the number lies there; what is not finite lies nowhere.
    pub fn holds(&self, number: f64) -> bool {
        number.is_finite()
            && self.from.is_none_or(|end| number >= end as f64)
            && self.above.is_none_or(|end| number > end as f64)
            && self.to.is_none_or(|end| number <= end as f64)
            && self.below.is_none_or(|end| number < end as f64)
    }
}

/// As it follows "must be".
impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(from), Some(to)) = (self.from, self.to) {
            return write!(f, "{from} to {to}");
        }
        let from = self.from.map(|end| match end {
            0 => "0 or more".to_owned(),
            end => format!("at least {end}"),
        });
        let is_positive = *self == Ends::above(0);
        let above = self.above.map(|end| match is_positive {
            true => "positive".to_owned(),
            false => format!("above {end}"),
        });
        let to = self.to.map(|end| format!("at most {end}"));
        let below = self.below.map(|end| format!("below {end}"));
        let ends: Vec<String> = [from, above, to, below].into_iter().flatten().collect();
        f.write_str(&ends.join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_hold_and_are_told() {
        for (ends, inside, outside, told) in [
            (Ends::from(1).to(1024), 1024.0, 1025.0, "1 to 1024"),
            (Ends::from(2), 2.0, 1.0, "at least 2"),
            (Ends::from(0), 0.0, -0.5, "0 or more"),
            (Ends::above(0), 0.1, 0.0, "positive"),
            (
                Ends::above(0).to(1000),
                1000.0,
                0.0,
                "above 0 and at most 1000",
            ),
            (Ends::from(0).below(1), 0.0, 1.0, "0 or more and below 1"),
            (Ends::above(0).below(1), 0.5, 1.0, "above 0 and below 1"),
        ] {
            assert!(ends.holds(inside) && !ends.holds(outside), "{told}");
            assert!(!ends.holds(f64::NAN) && !ends.holds(f64::INFINITY));
            assert_eq!(ends.to_string(), told);
        }
    }
}
