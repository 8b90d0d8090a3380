//! The receipt of one answer while the answer is being made.
//!
//! [`OpenReceipt::open`] writes it into the book before anything is computed, [`OpenReceipt::close`]
//! before the last part leaves. One that is dropped in between, because its caller went away, is
//! closed as cancelled behind their back. What the book does with it, and whether it lets an answer
//! begin at all, is the workshop's.

use std::time::Instant;

use lathe_data::shingles::shingles;
use lathe_engine::Message;
use lathe_evidence::receipt::{Ended, Receipt, Relayed};
use lathe_evidence::{Digest, canonical};
use lathe_workshop::people::reach;
use lathe_workshop::{BookError, Opened, ReceiptDraft, Refused, Texts};
use serde_json::{Value, json};

use crate::answerer::Answerer;
use crate::api::Prompt;
use crate::scheduler::{FinishReason, Finished};

/// The one target of the log under which texts stand: `lathe up` keeps it off, whatever else is logged,
/// unless it is told `--log-texts`.
const TEXTS_LOG: &str = "lathe_serve::texts";

/// What was asked, as far as the receipt needs it.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// The messages as canonical JSON.
    messages: String,
    /// The last message.
    last: String,
    /// Asked as the model was measured, so that its answer should satisfy the task: the same
    /// system message, greedy, and free to end by itself.
    as_measured: bool,
    /// The caller takes an answer of a restricted deployment.
    accepts_restricted: bool,
    /// Whether the answer is words, which a record may say too, and not vectors.
    answered_in_words: bool,
}

impl Question {
    /// The question of a request. Tools stand before the messages.
    pub(crate) fn new(
        messages: &[Message],
        tools: Option<&Value>,
        as_measured: bool,
        accepts_restricted: bool,
    ) -> Self {
        let tools = tools.map(|tools| json!({"tools": tools.to_string()}));
        let written: Vec<Value> = tools
            .into_iter()
            .chain(messages.iter().map(written))
            .collect();
        Question {
            last: messages.last().map_or("", Message::text).to_owned(),
            as_measured,
            accepts_restricted,
            ..Question::of_written(written)
        }
    }

    /// The question that these messages are, their members texts and whole numbers alone.
    pub(crate) fn of_written(messages: Vec<Value>) -> Self {
        let last = messages.last().and_then(|it| it["content"].as_str());
        let last = last.unwrap_or_default().to_owned();
        let bytes = canonical::to_bytes(&Value::Array(messages)).expect("texts and whole numbers");
        Question {
            messages: String::from_utf8(bytes).expect("JSON is UTF-8"),
            last,
            as_measured: false,
            accepts_restricted: false,
            answered_in_words: true,
        }
    }

    /// The messages as canonical JSON.
    pub(crate) fn messages(&self) -> &str {
        &self.messages
    }

    /// The same, of a caller who takes an answer of a restricted deployment or does not, and wants words
    /// or vectors.
    pub(crate) fn asked_by(mut self, accepts_restricted: bool, to_embed: bool) -> Self {
        self.accepts_restricted = accepts_restricted;
        self.answered_in_words = !to_embed;
        self
    }

    /// The question of a request without a conversation: each text is a message of the role `prompt`,
    /// or `input` where it is to be embedded, beside its tokens where the caller gave those.
    pub(crate) fn of_texts(texts: &[Prompt], accepts_restricted: bool, to_embed: bool) -> Self {
        let role = if to_embed { "input" } else { "prompt" };
        let written = texts.iter().map(|text| {
            let mut written = json!({"role": role, "content": text.text});
            if text.was_tokens {
                written["tokens"] = json!(text.tokens);
            }
            written
        });
        Question::of_written(written.collect()).asked_by(accepts_restricted, to_embed)
    }
}

/// A message for canonical JSON, which knows no fractions: calls, whose arguments may hold some, are
/// the text that spells them.
fn written(message: &Message) -> Value {
    let mut written = json!({"role": message.role, "content": message.content});
    let more = [
        ("name", message.name.clone()),
        ("reasoning_content", message.reasoning_content.clone()),
        ("tool_call_id", message.tool_call_id.clone()),
        (
            "tool_calls",
            message.tool_calls.as_ref().map(Value::to_string),
        ),
    ];
    for (key, value) in more {
        if let Some(value) = value {
            written[key] = Value::from(value);
        }
    }
    written
}

/// A receipt that is open.
pub(crate) struct OpenReceipt {
    opened: Opened,
    /// None once it is being closed.
    making: Option<Making>,
}

/// What the receipt will say, so far.
struct Making {
    by: Answerer,
    opened: Opened,
    question: Question,
    answer: String,
    prompt_tokens: usize,
    answer_tokens: usize,
    /// Set where another server answers.
    relayed: Option<Relayed>,
}

impl OpenReceipt {
    /// Writes that an answer of `by` begins; durable when this returns.
    ///
    /// # Errors
    /// The book's refusal: the breaker, or trouble with the store.
    pub(crate) async fn open(
        by: impl Into<Answerer>,
        question: Question,
        prompt_tokens: usize,
    ) -> Result<OpenReceipt, Refused> {
        let by = by.into();
        // In a task of its own: a caller who goes away meanwhile leaves no open receipt behind,
        // since the task's result is then dropped.
        let began = Instant::now();
        let opening = reach::spawn(async move {
            let prompt = Digest::of(question.messages.as_bytes());
            let opening = by.opening(prompt, question.accepts_restricted);
            let opened = by.book().open(opening).await?;
            tracing::debug!(us = began.elapsed().as_micros() as u64, "receipt opened");
            Ok(OpenReceipt {
                opened: opened.clone(),
                making: Some(Making {
                    relayed: by.relayed(),
                    by,
                    opened,
                    question,
                    answer: String::new(),
                    prompt_tokens,
                    answer_tokens: 0,
                }),
            })
        });
        opening
            .await
            .unwrap_or_else(|panic| Err(stumbled(&panic.to_string())))
    }

    /// What the book wrote.
    pub(crate) fn opened(&self) -> &Opened {
        &self.opened
    }

    /// Who answers, by the workshop's origin: GB 45438's ContentProducer.
    pub(crate) fn origin(&self) -> String {
        let making = self.making.as_ref();
        making.map_or_else(String::new, |it| it.by.origin().to_owned())
    }

    /// The answer goes on.
    pub(crate) fn add(&mut self, text: &str, answer_tokens: usize) {
        if let Some(making) = &mut self.making {
            making.answer.push_str(text);
            making.answer_tokens = answer_tokens;
        }
    }

    /// The answer so far is this, in place of what was added before.
    pub(crate) fn replace(&mut self, text: String, answer_tokens: usize) {
        if let Some(making) = &mut self.making {
            making.answer = text;
            making.answer_tokens = answer_tokens;
        }
    }

    /// What another server told of itself, and how many tokens the prompt had.
    pub(crate) fn told(&mut self, relayed: Relayed, prompt_tokens: usize) {
        if let Some(making) = &mut self.making {
            making.relayed = Some(relayed);
            making.prompt_tokens = prompt_tokens;
        }
    }

    /// The answer is complete. Durable when this returns.
    ///
    /// # Errors
    /// The book's trouble; the answer must not end as if all were well.
    pub(crate) async fn close(&mut self, finished: Finished) -> Result<Receipt, BookError> {
        let ended = match finished.reason {
            FinishReason::Stop | FinishReason::Sequence => Ended::Stop,
            FinishReason::Length => Ended::Length,
        };
        if let Some(making) = &mut self.making {
            making.answer_tokens = finished.answer_tokens;
        }
        self.end(ended).await
    }

    /// The answer broke off by the server's fault. Nothing happens to one that is closed.
    pub(crate) async fn abort(&mut self) {
        if self.making.is_none() {
            return;
        }
        if let Err(error) = self.end(Ended::Aborted).await {
            tracing::error!("{error}; {}", error.next);
        }
    }

    async fn end(&mut self, ended: Ended) -> Result<Receipt, BookError> {
        let Some(making) = self.making.take() else {
            return Err(not_closed("it was closed before"));
        };
        // Goes on when the caller goes away at the last moment.
        let began = Instant::now();
        let closing = reach::spawn(making.close(ended));
        let closed = closing
            .await
            .unwrap_or_else(|panic| Err(not_closed(&panic.to_string())));
        tracing::debug!(us = began.elapsed().as_micros() as u64, "receipt closed");
        closed
    }
}

impl Drop for OpenReceipt {
    fn drop(&mut self) {
        let Some(making) = self.making.take() else {
            return;
        };
        // Without a runtime the process is ending; the book closes it when it opens again.
        if tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        // Whoever asked is gone: it is closed as the workshop's own.
        reach::spawn(reach::own(async move {
            if let Err(error) = making.close(Ended::Cancelled).await {
                tracing::error!("{error}; {}", error.next);
            }
        }));
    }
}

impl Making {
    async fn close(self, ended: Ended) -> Result<Receipt, BookError> {
        let book = self.by.book().clone();
        // Searching the records takes about a millisecond: not on a thread that moves bytes.
        let draft = reach::spawn_blocking(move || self.draft(ended)).await;
        let draft = draft.map_err(|panic| not_closed(&panic.to_string()))?;
        book.close(draft).await
    }

    fn draft(self, ended: Ended) -> ReceiptDraft {
        tracing::info!(
            target: TEXTS_LOG,
            receipt = self.opened.id.as_str(),
            prompt = self.question.messages.as_str(),
            answer = self.answer.as_str(),
            "texts"
        );
        let Question {
            messages,
            last,
            as_measured,
            answered_in_words,
            ..
        } = self.question;
        let said = if answered_in_words {
            &self.answer[..]
        } else {
            ""
        };
        if let Some(task) = self.by.task()
            && as_measured
            && ended == Ended::Stop
        {
            let valid = task.read_answer(&self.answer).is_some();
            self.by.book().valid(self.by.name(), valid);
        }
        let spans = self.by.spans().map(|index| index.find(&last, said));
        let mut hashes = shingles(&last);
        hashes.extend(shingles(said));
        let texts = self.by.book().keeps_texts().then(|| Texts {
            prompt: messages,
            answer: self.answer.clone(),
        });
        ReceiptDraft {
            opened: self.opened,
            answer: Digest::of(self.answer.as_bytes()),
            ended,
            prompt_tokens: self.prompt_tokens as u64,
            answer_tokens: self.answer_tokens as u64,
            spans: spans.unwrap_or_default(),
            shingles: hashes,
            relayed: self.relayed,
            texts,
        }
    }
}

fn stumbled(reason: &str) -> Refused {
    Refused {
        code: "receipt_failed",
        state: lathe_evidence::statement::BreakerState::ForcedOpen,
        text: format!("cannot open a receipt: {reason}"),
        next: "look at the workshop's log".to_owned(),
    }
}

fn not_closed(reason: &str) -> BookError {
    BookError {
        text: format!("cannot close a receipt: {reason}"),
        next: "look at the workshop's log".to_owned(),
    }
}
