//! How the records of a file are laid out: which columns hold what.

use super::Tags;

/// How records are laid out. [`super::SampleSource::detect`] finds it, a `dataset_info.json` says it,
/// or the caller does.
#[derive(Debug, Clone, PartialEq)]
pub enum Layout {
    /// A question in one or two columns and an answer, as Stanford Alpaca laid them out.
    Alpaca {
        /// The columns.
        columns: AlpacaColumns,
        /// What is learnt.
        goal: Goal,
    },
    /// A list of messages, questions and answers strictly in turn, as ShareGPT laid them out.
    ShareGpt {
        /// The columns.
        columns: ChatColumns,
        /// The messages' keys and roles.
        tags: Tags,
        /// What is learnt.
        goal: Goal,
    },
    /// A list of messages in OpenAI's form, in any order that ends on an assistant.
    Messages {
        /// The columns.
        columns: ChatColumns,
        /// The messages' keys and roles.
        tags: Tags,
        /// What is learnt.
        goal: Goal,
    },
    /// A prompt and its completion, each a text or a list of messages, as TRL has them. Only the
    /// completion is learnt from.
    PromptCompletion {
        /// The column of the prompt.
        prompt: String,
        /// The column of the completion.
        completion: String,
    },
    /// Plain text.
    Text {
        /// Its column.
        column: String,
    },
    /// Two answers to a prompt, each a text or a list of messages, as TRL has them. Without a
    /// prompt both lists are whole conversations, and what they share is the prompt.
    Preference {
        /// The column of the prompt.
        prompt: String,
        /// The column of the better answer.
        chosen: String,
        /// The column of the worse answer.
        rejected: String,
        /// The column of the system prompt.
        system: String,
    },
    /// A prompt, a completion, and whether it is wanted, as TRL has them.
    Kto {
        /// The column of the prompt.
        prompt: String,
        /// The column of the completion.
        completion: String,
        /// The column that says whether it is wanted.
        wanted: String,
    },
    /// Any other table, its columns named by the caller.
    Columns(TableColumns),
}

/// What is learnt from a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// The answers.
    Answers,
    /// To prefer one answer to another.
    Pair {
        /// The column of the better one.
        chosen: String,
        /// The column of the worse one.
        rejected: String,
    },
    /// That an answer is wanted, or is not.
    Judged {
        /// The column that says so.
        wanted: String,
    },
}

/// The columns of an alpaca record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlpacaColumns {
    /// The instruction.
    pub prompt: Option<String>,
    /// What the instruction is about; it follows the instruction on a line of its own.
    pub query: Option<String>,
    /// The answer.
    pub response: Option<String>,
    /// Earlier rounds: pairs of question and answer, whose answers are learnt from too.
    pub history: Option<String>,
    /// The system prompt.
    pub system: Option<String>,
    /// The tools that may be called.
    pub tools: Option<String>,
}

/// The columns of a record that holds a list of messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatColumns {
    /// The messages.
    pub messages: String,
    /// The system prompt, where the messages do not begin with one.
    pub system: Option<String>,
    /// The tools that may be called.
    pub tools: Option<String>,
}

/// A plain table: which columns ask and which answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableColumns {
    /// The names of the first columns, in order, of a csv or tsv file without a header; empty if
    /// its first row names them.
    pub names: Vec<String>,
    /// The columns that make up the question, each on a line of its own.
    pub input: Vec<String>,
    /// The column that is the answer.
    pub output: String,
    /// A template for the question in place of `input`'s lines, in Jinja, with the columns as
    /// variables: `Which intent has this request? {{ text }}`.
    pub prompt: Option<String>,
    /// What stands before every question, as a system prompt.
    pub system: Option<String>,
}

/// Which kind of sample a layout gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampleKind {
    /// Conversations.
    Chat,
    /// Plain text.
    Text,
    /// Two answers to a question.
    Pair,
    /// A judged answer.
    Judged,
}

impl Layout {
    /// The layout's name, as errors and logs have it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Alpaca { .. } => "alpaca",
            Self::ShareGpt { .. } => "sharegpt",
            Self::Messages { .. } => "messages",
            Self::PromptCompletion { .. } => "prompt and completion",
            Self::Text { .. } => "text",
            Self::Preference { .. } => "chosen and rejected",
            Self::Kto { .. } => "kto",
            Self::Columns(_) => "columns",
        }
    }

    /// Which kind of sample it gives.
    pub fn kind(&self) -> SampleKind {
        match self {
            Self::Alpaca { goal, .. }
            | Self::ShareGpt { goal, .. }
            | Self::Messages { goal, .. } => match goal {
                Goal::Answers => SampleKind::Chat,
                Goal::Pair { .. } => SampleKind::Pair,
                Goal::Judged { .. } => SampleKind::Judged,
            },
            Self::PromptCompletion { .. } | Self::Columns(_) => SampleKind::Chat,
            Self::Text { .. } => SampleKind::Text,
            Self::Preference { .. } => SampleKind::Pair,
            Self::Kto { .. } => SampleKind::Judged,
        }
    }

    /// The names of a headerless table's first columns.
    pub(super) fn column_names(&self) -> &[String] {
        match self {
            Self::Columns(table) => &table.names,
            _ => &[],
        }
    }
}

impl Default for AlpacaColumns {
    /// All columns under the names that are usual for them.
    fn default() -> Self {
        let named = |name: &str| Some(name.to_owned());
        Self {
            prompt: named("instruction"),
            query: named("input"),
            response: named("output"),
            history: named("history"),
            system: named("system"),
            tools: named("tools"),
        }
    }
}

impl ChatColumns {
    /// Messages in the column of that name, with the usual names for the rest.
    pub fn new(messages: &str) -> Self {
        Self {
            messages: messages.to_owned(),
            system: Some("system".to_owned()),
            tools: Some("tools".to_owned()),
        }
    }
}

impl SampleKind {
    /// The kind in words, for errors.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "conversations",
            Self::Text => "plain text",
            Self::Pair => "chosen and rejected answers",
            Self::Judged => "judged answers",
        }
    }
}
