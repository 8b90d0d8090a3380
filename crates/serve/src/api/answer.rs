//! The answers to a request on their way to the caller: one JSON object, or server-sent events.
//!
//! The receipt of an answer is closed, durably, before its last part goes out. Dropping the answers,
//! as happens when the caller goes away, drops the receiver of their events, by which the
//! scheduler knows to stop, and the receipts, which are then closed as cancelled.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response, sse};
use futures_util::future::join_all;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;
use uuid::Uuid;

use super::calls::{CallReader, Part};
use super::error::ApiError;
use super::form::{Form, Said};
use super::label;
use super::terms::StreamUsage;
use crate::door::Inner;
use crate::receipt::OpenReceipt;
use crate::scheduler::{Event, FinishReason, Finished, TokenScore};

/// Names the code that made an answer, next to the seed.
const FINGERPRINT: &str = concat!("lathe-", env!("CARGO_PKG_VERSION"));

/// The answers to one request.
pub(super) struct Answer {
    door: Arc<Inner>,
    id: String,
    created: u64,
    model: String,
    form: Form,
    /// How many answers belong to one prompt; they stand side by side.
    per_prompt: usize,
    events: UnboundedReceiver<(usize, Event)>,
    choices: Vec<Choice>,
}

/// One of them.
struct Choice {
    receipt: OpenReceipt,
    /// Where tools may be called.
    reader: Option<CallReader>,
    finished: Option<Finished>,
}

/// What came of one choice.
#[derive(Default)]
struct Gathered {
    text: String,
    calls: Vec<Value>,
    scores: Vec<TokenScore>,
}

impl Answer {
    /// Answers of `model`, so many to each prompt, whose events come from `events`, each under an
    /// open receipt.
    pub(super) fn new(
        door: Arc<Inner>,
        model: &str,
        (form, per_prompt): (Form, usize),
        events: UnboundedReceiver<(usize, Event)>,
        receipts: Vec<OpenReceipt>,
    ) -> Answer {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let choice = |receipt| Choice {
            receipt,
            reader: form.reader(),
            finished: None,
        };
        Answer {
            door,
            id: format!("{}{}", form.id_prefix(), Uuid::now_v7().simple()),
            created: now.map_or(0, |since| since.as_secs()),
            model: model.to_owned(),
            choices: receipts.into_iter().map(choice).collect(),
            form,
            per_prompt,
            events,
        }
    }

    /// Waits for the end and sends all at once.
    ///
    /// # Errors
    /// 503 when the scheduler is gone or a receipt cannot be closed, 500 when an answer failed.
    pub(super) async fn whole(mut self) -> Result<Response, ApiError> {
        let prompts = self.choices.len().div_ceil(self.per_prompt);
        let mut prompt_scores: Vec<Vec<TokenScore>> = vec![Vec::new(); prompts];
        let mut gathered: Vec<Gathered> = Vec::new();
        gathered.resize_with(self.choices.len(), Gathered::default);
        let mut left = self.choices.len();
        while left > 0 {
            let (index, event) = self.next_event().await?;
            match event {
                Event::Prompt(scores) => prompt_scores[index / self.per_prompt] = scores,
                Event::Text { text, scores, .. } => {
                    let parts = self.choices[index].read(&text);
                    gathered[index].take(parts);
                    gathered[index].scores.extend(scores);
                }
                Event::Finished(finished) => {
                    let parts = self.end(index, finished).await?;
                    gathered[index].take(parts);
                    left -= 1;
                }
                Event::Failed(reason) => return Err(failed(&reason)),
                Event::Stuck(reason) => return Err(stuck(&reason)),
                Event::Overdue(waited_s) => return Err(ApiError::overdue(waited_s)),
            }
        }
        let labels = self.close_all().await?;
        let choices = self.rendered(&gathered, &prompt_scores);
        let mut response = Json(self.body(choices, labels)).into_response();
        label::set_headers(&mut response, self.choices[0].receipt.opened());
        Ok(response)
    }

    fn rendered(&self, gathered: &[Gathered], prompt_scores: &[Vec<TokenScore>]) -> Vec<Value> {
        let all = self.choices.iter().zip(gathered).enumerate();
        all.filter_map(|(index, (choice, gathered))| {
            let said = Said {
                text: &gathered.text,
                calls: &gathered.calls,
                scores: &gathered.scores,
                prompt_scores: &prompt_scores[index / self.per_prompt],
            };
            let finished = choice.finished?;
            Some(self.form.whole(index, &said, finished.reason))
        })
        .collect()
    }

    /// The whole body: one answer's label stands beside OpenAI's members, those of several with
    /// their choices.
    fn body(&self, mut choices: Vec<Value>, labels: Vec<Value>) -> Value {
        let mut alone = None;
        if choices.len() == 1 {
            alone = labels.into_iter().next();
        } else {
            for (choice, label) in choices.iter_mut().zip(labels) {
                choice["lathe"] = label;
            }
        }
        let mut body = self.envelope(self.form.object(), Value::Array(choices));
        body["usage"] = self.usage();
        if let Some(label) = alone {
            body["lathe"] = label;
        }
        body
    }

    /// Sends pieces as they come. The first chunks go out at once, before the
    /// request has its turn.
    pub(super) fn stream(self, usage: StreamUsage) -> Response {
        let opened = self.choices[0].receipt.opened().clone();
        let silence = Duration::from_millis(self.door.limits.ping_ms.max(1));
        let stream = stream::unfold(Chunks::new(self, usage), async |mut chunks| {
            let event = chunks.next().await?;
            Some((Ok::<_, Infallible>(event), chunks))
        });
        let pings = KeepAlive::new().interval(silence);
        let mut response = Sse::new(stream).keep_alive(pings).into_response();
        label::set_headers(&mut response, &opened);
        response
    }

    async fn next_event(&mut self) -> Result<(usize, Event), ApiError> {
        let Some((index, event)) = self.events.recv().await else {
            self.abort().await;
            let reason = self.door.scheduler.why_dropped().await;
            return Err(ApiError::unavailable(format!(
                "The answer was lost: {reason}."
            )));
        };
        match &event {
            Event::Text {
                text,
                answer_tokens,
                ..
            } => self.choices[index].receipt.add(text, *answer_tokens),
            Event::Failed(_) | Event::Stuck(_) | Event::Overdue(_) => self.abort().await,
            Event::Prompt(_) | Event::Finished(_) => {}
        }
        Ok((index, event))
    }

    /// A choice has ended: what of it was held back.
    ///
    /// # Errors
    /// 500 for a call of a tool that is none; the receipts are closed as aborted.
    async fn end(&mut self, index: usize, finished: Finished) -> Result<Vec<Part>, ApiError> {
        let choice = &mut self.choices[index];
        choice.finished = Some(finished);
        let cut = finished.reason != FinishReason::Stop;
        let rest = choice.reader.as_mut().map(|reader| reader.finish(cut));
        match rest.transpose() {
            Ok(parts) => Ok(parts.unwrap_or_default()),
            Err(reason) => {
                self.abort().await;
                Err(ApiError::call_unreadable(&reason))
            }
        }
    }

    /// Closes the receipts of what will not reach the caller.
    async fn abort(&mut self) {
        let choices = self.choices.iter_mut();
        join_all(choices.map(|choice| choice.receipt.abort())).await;
    }

    /// Closes the receipts of all answers, which have ended; what these then say of themselves.
    async fn close_all(&mut self) -> Result<Vec<Value>, ApiError> {
        let closing = self.choices.iter_mut().map(Choice::close);
        join_all(closing).await.into_iter().collect()
    }

    fn envelope(&self, object: &str, choices: Value) -> Value {
        json!({
            "id": self.id,
            "object": object,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": FINGERPRINT,
            "choices": choices,
        })
    }

    /// What was read and made: a prompt counts once, whatever the number of its answers.
    fn usage(&self) -> Value {
        let firsts = self.choices.iter().step_by(self.per_prompt);
        let firsts = firsts.filter_map(|choice| choice.finished);
        let (prompt, cached) = firsts.fold((0, 0), |(prompt, cached), it| {
            (prompt + it.prompt_tokens, cached + it.cached_tokens)
        });
        let all = self.choices.iter().filter_map(|choice| choice.finished);
        let answers: usize = all.map(|it| it.answer_tokens).sum();
        json!({
            "prompt_tokens": prompt,
            "completion_tokens": answers,
            "total_tokens": prompt + answers,
            "prompt_tokens_details": {"cached_tokens": cached},
        })
    }
}

impl Gathered {
    fn take(&mut self, parts: Vec<Part>) {
        for part in parts {
            match part {
                Part::Text(text) => self.text.push_str(&text),
                Part::Call(call) => self.calls.push(call),
            }
        }
    }
}

impl Choice {
    /// What the next piece of text tells.
    fn read(&mut self, text: &str) -> Vec<Part> {
        match &mut self.reader {
            Some(reader) => reader.push(text),
            None => vec![Part::Text(text.to_owned())],
        }
    }

    /// Whether a tool was called.
    fn called(&self) -> bool {
        self.reader.as_ref().is_some_and(CallReader::called)
    }

    /// Closes the receipt of an answer that has ended.
    async fn close(&mut self) -> Result<Value, ApiError> {
        let Some(finished) = self.finished else {
            return Err(failed("it has no end"));
        };
        let producer = self.receipt.origin();
        let closed = self.receipt.close(finished).await;
        let receipt = closed.map_err(|error| ApiError::not_closed(&error))?;
        Ok(label::at_end(self.receipt.opened(), &receipt, &producer))
    }
}

fn failed(reason: &str) -> ApiError {
    ApiError::internal(format!("The answer could not be finished: {reason}."))
}

/// The request asks for a shape that this answer cannot have: not the server's failure.
fn stuck(reason: &str) -> ApiError {
    let message = format!(
        "The answer could not be finished: {reason}. Ask for a shape that is simpler, or freer."
    );
    ApiError::invalid(None, message).with_code("shape_not_kept")
}

/// The answers as chunks.
struct Chunks {
    answer: Answer,
    usage: StreamUsage,
    /// What is to be sent before anything else is waited for.
    ready: VecDeque<sse::Event>,
    /// Answers without an end.
    left: usize,
    /// Nothing comes any more.
    ended: bool,
}

impl Chunks {
    fn new(answer: Answer, usage: StreamUsage) -> Chunks {
        let mut chunks = Chunks {
            left: answer.choices.len(),
            answer,
            usage,
            ready: VecDeque::new(),
            ended: false,
        };
        for index in 0..chunks.left {
            let mut chunk = chunks.chunk(chunks.answer.form.begin(index));
            chunk["lathe"] = label::at_begin(chunks.answer.choices[index].receipt.opened());
            chunks.push(&chunk);
        }
        chunks
    }

    async fn next(&mut self) -> Option<sse::Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            match self.answer.next_event().await {
                Ok((index, event)) => self.take(index, event).await,
                Err(error) => self.fail(&error),
            }
        }
    }

    async fn take(&mut self, index: usize, event: Event) {
        match event {
            Event::Prompt(scores) => {
                let per_prompt = self.answer.per_prompt;
                let first = index / per_prompt * per_prompt;
                for index in first..first + per_prompt {
                    let chunk = self.chunk(self.answer.form.prompt(index, &scores));
                    self.push(&chunk);
                }
            }
            Event::Text { text, scores, .. } => {
                let parts = self.answer.choices[index].read(&text);
                self.tell(index, parts, &scores);
            }
            Event::Finished(finished) => self.finish(index, finished).await,
            Event::Failed(reason) => self.fail(&failed(&reason)),
            Event::Stuck(reason) => self.fail(&stuck(&reason)),
            Event::Overdue(waited_s) => self.fail(&ApiError::overdue(waited_s)),
        }
    }

    /// The chunks of what was read; `scores` of held back text stand beside an empty one.
    fn tell(&mut self, index: usize, parts: Vec<Part>, scores: &[TokenScore]) {
        let mut scores = Some(scores);
        for part in parts {
            let piece = match part {
                Part::Text(text) => {
                    let scores = scores.take().unwrap_or_default();
                    self.answer.form.piece(index, &text, scores)
                }
                Part::Call(call) => self.answer.form.call(index, &call),
            };
            let chunk = self.chunk(piece);
            self.push(&chunk);
        }
        if let Some(scores) = scores.filter(|scores| !scores.is_empty()) {
            let chunk = self.chunk(self.answer.form.piece(index, "", scores));
            self.push(&chunk);
        }
    }

    /// The chunk with `finish_reason`, once the receipt is closed; after the last of them the end.
    async fn finish(&mut self, index: usize, finished: Finished) {
        let ended = match self.answer.end(index, finished).await {
            Ok(parts) => {
                self.tell(index, parts, &[]);
                self.answer.choices[index].close().await
            }
            Err(error) => Err(error),
        };
        let label = match ended {
            Ok(label) => label,
            Err(error) => return self.fail(&error),
        };
        self.left -= 1;
        let called = self.answer.choices[index].called();
        let mut chunk = self.chunk(self.answer.form.end(index, finished.reason, called));
        if self.left == 0 && self.usage == StreamUsage::WithFinish {
            chunk["usage"] = self.answer.usage();
        }
        chunk["lathe"] = label;
        self.push(&chunk);
        if self.left > 0 {
            return;
        }
        if self.usage == StreamUsage::OwnChunk {
            let object = self.answer.form.chunk_object();
            let mut chunk = self.answer.envelope(object, json!([]));
            chunk["usage"] = self.answer.usage();
            self.push(&chunk);
        }
        self.ready.push_back(sse::Event::default().data("[DONE]"));
        self.ended = true;
    }

    /// An error, after which nothing comes.
    fn fail(&mut self, error: &ApiError) {
        self.push(&error.body());
        self.ended = true;
    }

    /// A chunk of one choice.
    fn chunk(&self, choice: Value) -> Value {
        let object = self.answer.form.chunk_object();
        let mut chunk = self.answer.envelope(object, json!([choice]));
        if self.usage == StreamUsage::OwnChunk {
            // OpenAI sends it as null on every chunk but the last.
            chunk["usage"] = Value::Null;
        }
        chunk
    }

    fn push(&mut self, value: &Value) {
        let event = sse::Event::default().data(value.to_string());
        self.ready.push_back(event);
    }
}
