//! What a list of orders, or of receipts, is asked for: which rows, in which order, from where.
//!
//! No reading here (`store::listing`, `store::receipts`), and no words.

use serde::{Deserialize, Serialize};

use crate::order::{Ending, OrderState};

/// Longest text that orders are searched for, in characters.
pub const SOUGHT_CHARS_MAX: usize = 200;

/// Points of a loss curve that are read at once; whoever wants more asks from the last one on.
pub const CURVE_POINTS_MAX: u32 = 10_000;
/// About how many points of a loss curve are drawn.
pub const OUTLINE_POINTS: u32 = 2_000;

/// Which orders are listed, and which comes first. Nothing set: all of them, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrdersAsked {
    /// Only those in this state.
    pub state: Option<OrderState>,
    /// Only those that ended like this, not finished; all of them have failed.
    pub ending: Option<Ending>,
    /// Only those of the pack with this name.
    pub pack: Option<String>,
    /// Only those with this text in their title, pack, id or the name they answer under.
    pub text: Option<String>,
    /// Only those of this project.
    pub project: Option<String>,
    /// Which comes first.
    pub sort: OrdersSort,
}

/// Which order comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrdersSort {
    /// The one that was placed last.
    #[default]
    Newest,
    /// The one that was placed first.
    Oldest,
    /// By the pack's name; of one pack the newest.
    Pack,
    /// The one that took longest; those that are not over come last.
    Longest,
}

impl OrdersSort {
    /// All of them, as a form offers them.
    pub const ALL: [OrdersSort; 4] = [
        OrdersSort::Newest,
        OrdersSort::Oldest,
        OrdersSort::Pack,
        OrdersSort::Longest,
    ];

    /// Its word in queries and keys.
    pub fn as_str(self) -> &'static str {
        match self {
            OrdersSort::Newest => "newest",
            OrdersSort::Oldest => "oldest",
            OrdersSort::Pack => "pack",
            OrdersSort::Longest => "longest",
        }
    }
}

impl OrdersAsked {
    /// Whether some orders may be left out.
    pub fn narrows(&self) -> bool {
        self.state.is_some()
            || self.ending.is_some()
            || self.pack.is_some()
            || self.text.is_some()
            || self.project.is_some()
    }

    /// The text as it is looked for: without the spaces around it, within its bound, or none.
    pub fn sought(&self) -> Option<String> {
        sought(self.text.as_deref()?)
    }
}

/// A text as a list is searched for it: without the spaces around it, within its bound, or none.
pub(crate) fn sought(text: &str) -> Option<String> {
    let text: String = text.trim().chars().take(SOUGHT_CHARS_MAX).collect();
    (!text.is_empty()).then_some(text)
}

/// From where a list of receipts is read. By a receipt's id rather than by a count, so that a page deep
/// in a million costs what the first one costs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ReceiptsFrom {
    /// The newest.
    #[default]
    Newest,
    /// Those that were opened before this one.
    Before(String),
    /// The oldest of those that were opened after this one; still newest first.
    After(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_that_serde_reads() {
        for sort in OrdersSort::ALL {
            let word = serde_json::Value::from(sort.as_str());
            assert_eq!(serde_json::from_value::<OrdersSort>(word).unwrap(), sort);
        }
    }

    #[test]
    fn a_text_is_sought_within_its_bound() {
        let asked = |text: &str| OrdersAsked {
            text: Some(text.to_owned()),
            ..OrdersAsked::default()
        };
        assert_eq!(asked("  客户 ").sought().as_deref(), Some("客户"));
        assert_eq!(asked("   ").sought(), None);
        let long = asked(&"长".repeat(1000)).sought().unwrap();
        assert_eq!(long.chars().count(), SOUGHT_CHARS_MAX);
    }
}
