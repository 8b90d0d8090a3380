//! What this workshop runs with: every setting with its value and where it is changed, in sections. It is read
//! only; what changes a setting is a flag, a variable, a file or a command, and each names its own.
//!
//! The types here are what goes out as JSON; gathering stands in `gather`, the words for people in `told`. What
//! only the program knows that opened the workshop it hands over once ([`Started`]). Not here: whether the machine
//! and the home are well (the command `doctor`), the settings of an order (its pack), and anything secret: no key,
//! no password and no content of a file is told.

mod gather;
mod started;
mod told;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use started::{RunningLimits, Started};

/// What a workshop runs with, in sections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkshopSettings {
    /// What belongs together, in the order in which it is shown.
    pub sections: Vec<SettingsSection>,
}

/// Settings that belong together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SettingsSection {
    /// What they are about: `build`, `listen`, `people`, `approval`, `evidence`, `feedback`, `computation`, `limits`,
    /// `log`, `storage` or `language`.
    pub name: String,
    /// The settings.
    pub settings: Vec<SettingLine>,
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SettingLine {
    /// Its name; a unit stands in it.
    pub name: String,
    /// A number, a text, yes or no, or a list of texts; null where there is none.
    pub value: Value,
    /// The flags, variables, files and commands that change it; none for what this version or this machine says.
    pub changed_by: Vec<String>,
}

impl WorkshopSettings {
    /// The value of a setting, if there is such a one.
    pub fn value(&self, section: &str, setting: &str) -> Option<&Value> {
        let section = self.sections.iter().find(|it| it.name == section)?;
        let line = section.settings.iter().find(|it| it.name == setting)?;
        Some(&line.value)
    }
}
