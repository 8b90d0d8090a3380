//! The keys and roles of messages: LLaMA-Factory's `tags`.

/// How messages name who speaks and what is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tags {
    /// The key of the role.
    pub role: String,
    /// The key of the content.
    pub content: String,
    /// The role of who asks.
    pub user: String,
    /// The role of the model.
    pub assistant: String,
    /// The role of what a tool gave back.
    pub observation: String,
    /// The role of the model when it calls a tool, the call being the content.
    pub function: String,
    /// The role of the system prompt.
    pub system: String,
}

/// Who speaks, with calls apart: sharegpt gives them a role of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaker {
    System,
    User,
    Assistant,
    Call,
    Tool,
}

/// Roles that mean the same in every dataset, for where the tags do not name them.
const USUAL: [(&str, Speaker); 13] = [
    ("system", Speaker::System),
    ("developer", Speaker::System),
    ("user", Speaker::User),
    ("human", Speaker::User),
    ("assistant", Speaker::Assistant),
    ("gpt", Speaker::Assistant),
    ("chatgpt", Speaker::Assistant),
    ("model", Speaker::Assistant),
    ("function_call", Speaker::Call),
    ("tool", Speaker::Tool),
    ("function", Speaker::Tool),
    ("observation", Speaker::Tool),
    ("function_response", Speaker::Tool),
];

impl Tags {
    /// LLaMA-Factory's own: `from` and `value`, `human` and `gpt`.
    pub fn share_gpt() -> Self {
        Self::new(["from", "value", "human", "gpt", "observation"])
    }

    /// OpenAI's: `role` and `content`, `user` and `assistant`.
    pub fn open_ai() -> Self {
        Self::new(["role", "content", "user", "assistant", "tool"])
    }

    fn new(names: [&str; 5]) -> Self {
        let [role, content, user, assistant, observation] = names.map(str::to_owned);
        Self {
            role,
            content,
            user,
            assistant,
            observation,
            function: "function_call".to_owned(),
            system: "system".to_owned(),
        }
    }

    /// Who speaks under `role`: by the tags first, then as is usual.
    pub(super) fn speaker(&self, role: &str) -> Option<Speaker> {
        let tagged = [
            (&self.user, Speaker::User),
            (&self.assistant, Speaker::Assistant),
            (&self.observation, Speaker::Tool),
            (&self.function, Speaker::Call),
            (&self.system, Speaker::System),
        ];
        let tagged = tagged.into_iter().find(|(tag, _)| *tag == role);
        let usual = || USUAL.into_iter().find(|(name, _)| *name == role);
        tagged
            .map(|(_, speaker)| speaker)
            .or_else(|| usual().map(|(_, speaker)| speaker))
    }

    /// The roles that the tags name, for errors.
    pub(super) fn roles(&self) -> [&str; 5] {
        [
            &self.system,
            &self.user,
            &self.assistant,
            &self.function,
            &self.observation,
        ]
    }
}
