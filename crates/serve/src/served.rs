//! A model that answers: loaded from files that were admitted, and only those.
//!
//! The fields are private to this module and [`Served::load`] is the only way to
//! one, so nothing answers under `/v1` that did not pass admission. The base
//! model is packed once for all adapters over it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use lathe_data::spans::SpanIndex;
use lathe_data::task::Task;
use lathe_data::{DataError, Dataset};
use lathe_engine::template::Skills;
use lathe_engine::{Adapter, CallForm, EngineError, LoadOptions, Message, Model, PackedAdapter};
use lathe_workshop::{Admitted, Book, DeployableFiles, DoorError};
use serde_json::Value;

use crate::grammar::Grammars;

/// An admitted model in memory.
pub(crate) struct Served {
    files: DeployableFiles,
    model: Arc<Model>,
    grammars: Arc<Grammars>,
    skills: Skills,
    calls: Option<Arc<CallForm>>,
    adapter: Option<Arc<PackedAdapter>>,
    book: Arc<dyn Book>,
    task: Option<Task>,
    spans: Option<SpanIndex>,
}

impl Served {
    /// Loads what was admitted; its receipts go into `book`. Blocks for as long as packing takes.
    ///
    /// # Errors
    /// What the engine says of the files, a base that memory has no room for or that has no chat template,
    /// records that cannot be read.
    pub(crate) fn load(
        admitted: &Admitted<DeployableFiles>,
        book: Arc<dyn Book>,
        bases: &Bases,
    ) -> Result<Served, DoorError> {
        let files = admitted.get().clone();
        let (model, grammars) = bases.get(&files.base).map_err(|error| match error {
            NotHeld::Unread(error) => refusal(&files.name, &error),
            NotHeld::NoRoom(why) => DoorError {
                text: format!("cannot serve {}: {why}", files.name),
                next: "withdraw a deployment that is not needed, or take a smaller base model; \
                       'lathe doctor' says what fits"
                    .to_owned(),
            },
        })?;
        let Some(template) = &model.template else {
            return Err(DoorError {
                text: format!(
                    "cannot serve {}: its base model has no chat template",
                    files.name
                ),
                next: "use an instruction-tuned base model, or add the template its family uses"
                    .to_owned(),
            });
        };
        let skills = template.skills();
        let calls = template.call_form();
        // Special tokens are no text, in which a call could be found.
        let is_text = |form: &CallForm| {
            let around = [&form.open, &form.close].map(|it| model.tokenizer.encode(it));
            let mut tokens = around.iter().flatten();
            !tokens.any(|token| model.tokenizer.is_special(*token))
        };
        let calls = calls.filter(is_text).map(Arc::new);
        let adapter = match &files.adapter {
            None => None,
            Some(folder) => {
                let adapter = Adapter::load_peft(folder, &model.config)
                    .map_err(|error| refusal(&files.name, &error))?;
                Some(Arc::new(PackedAdapter::new(&model, &adapter)))
            }
        };
        let (task, spans) = records_of(&files).map_err(|error| refusal(&files.name, &error))?;
        Ok(Served {
            files,
            model,
            grammars,
            skills,
            calls,
            adapter,
            book,
            task,
            spans,
        })
    }

    /// What was admitted.
    pub(crate) fn files(&self) -> &DeployableFiles {
        &self.files
    }

    /// The base model.
    pub(crate) fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// What grammars over the base model share.
    pub(crate) fn grammars(&self) -> &Arc<Grammars> {
        &self.grammars
    }

    /// How calls of tools stand in its answers, where they can be told from text.
    pub(crate) fn calls(&self) -> Option<&Arc<CallForm>> {
        self.calls.as_ref()
    }

    /// What its template has a place for.
    pub(crate) fn skills(&self) -> Skills {
        self.skills
    }

    /// The adapter, if the model was tuned.
    pub(crate) fn adapter(&self) -> Option<&Arc<PackedAdapter>> {
        self.adapter.as_ref()
    }

    /// Where its receipts go.
    pub(crate) fn book(&self) -> &Arc<dyn Book> {
        &self.book
    }

    /// What it was tuned to answer, if that is known.
    pub(crate) fn task(&self) -> Option<&Task> {
        self.task.as_ref()
    }

    /// What the records say that it was tuned on.
    pub(crate) fn spans(&self) -> Option<&SpanIndex> {
        self.spans.as_ref()
    }

    /// Whether both are over one base model in memory, so that one forward pass serves both.
    pub(crate) fn same_base(&self, other: &Served) -> bool {
        Arc::ptr_eq(&self.model, &other.model)
    }

    /// Whether both compute the same of the same tokens, so that they can share keys and values.
    pub(crate) fn same_weights(&self, other: &Served) -> bool {
        let adapters = (self.adapter.as_ref(), other.adapter.as_ref());
        self.same_base(other)
            && match adapters {
                (None, None) => true,
                (Some(a), Some(b)) => Arc::ptr_eq(a, b),
                _ => false,
            }
    }

    /// The tokens of a conversation, the assistant's turn opened. Exactly the
    /// caller's messages and tools: no system prompt is added.
    ///
    /// # Errors
    /// What the model's template says of the messages, and [`EngineError::Request`]
    /// for an empty prompt, of which nothing can be computed.
    pub(crate) fn prompt(
        &self,
        messages: &[Message],
        tools: Option<&Value>,
    ) -> Result<Vec<u32>, EngineError> {
        let template = self
            .model
            .template
            .as_ref()
            .expect("load refuses a base without one");
        let text = template.render_with_tools(messages, tools, true)?;
        let tokens = self.model.tokenizer.encode(&text);
        if tokens.is_empty() {
            let reason = "the chat template makes an empty prompt of the messages".to_owned();
            return Err(EngineError::Request { reason });
        }
        Ok(tokens)
    }
}

/// The task, and the index over the records it was tuned on.
fn records_of(files: &DeployableFiles) -> Result<(Option<Task>, Option<SpanIndex>), DataError> {
    let Some(spec) = &files.task else {
        return Ok((None, None));
    };
    let task = Task::new(spec.clone())?;
    let Some(folder) = &files.dataset else {
        return Ok((Some(task), None));
    };
    let records = Dataset::load(folder)?.prepared.train;
    let mut texts = Vec::with_capacity(records.len());
    for record in &records {
        let example = task.render(record)?;
        texts.push((example.leaf, vec![example.prompt, example.answer]));
    }
    for folder in &files.further_datasets {
        // They are of other stages, whose records the task does not render.
        for record in Dataset::load(folder)?.prepared.train {
            let fields = record.record.fields.values();
            let own = fields.filter_map(|field| field.as_str().map(str::to_owned));
            texts.push((record.leaf, own.collect()));
        }
    }
    let all = texts.len();
    let index = SpanIndex::new(texts);
    if index.left_out() > 0 {
        let left_out = index.left_out();
        tracing::warn!(
            "{}: {left_out} of {all} records are not searched for spans",
            files.name
        );
    }
    Ok((Some(task), Some(index)))
}

fn refusal(name: &str, error: &dyn std::error::Error) -> DoorError {
    DoorError {
        text: format!("cannot serve {name}: {error}"),
        next: "repair the named file, then run the order again".to_owned(),
    }
}

/// A base model and what grammars over it share, while somebody holds them.
struct HeldBase {
    model: Weak<Model>,
    grammars: Weak<Grammars>,
    /// What its weights take.
    bytes: usize,
}

/// Why a base model is not in memory.
#[derive(Debug)]
enum NotHeld {
    Unread(EngineError),
    NoRoom(String),
}

impl From<EngineError> for NotHeld {
    fn from(error: EngineError) -> NotHeld {
        NotHeld::Unread(error)
    }
}

/// The base models in memory, each once, for as long as something is served over it.
pub(crate) struct Bases {
    by_path: Mutex<HashMap<PathBuf, HeldBase>>,
    /// What the weights of all may take.
    bytes_max: usize,
}

impl Bases {
    /// None yet; the weights of all may take so many bytes.
    pub(crate) fn new(bytes_max: usize) -> Bases {
        Bases {
            by_path: Mutex::default(),
            bytes_max,
        }
    }

    /// The model at `path`, packed for inference, and what grammars over it share; loads it if nobody
    /// holds it and there is room.
    fn get(&self, path: &Path) -> Result<(Arc<Model>, Arc<Grammars>), NotHeld> {
        // Held while loading, so that two deployments over one base do not pack it twice.
        let mut by_path = self.by_path.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = by_path.get(path)
            && let (Some(model), Some(grammars)) = (held.model.upgrade(), held.grammars.upgrade())
        {
            return Ok((model, grammars));
        }
        by_path.retain(|_, held| held.model.strong_count() > 0);
        let raw = lathe_engine::open(path)?;
        // What a token reads is all matrices but an embedding table of its own, which is looked up.
        let bytes = usize::try_from(raw.token_work().bytes).unwrap_or(usize::MAX);
        let held: usize = by_path.values().map(|held| held.bytes).sum();
        if held.saturating_add(bytes) > self.bytes_max {
            let [bytes, held, most] =
                [bytes, held, self.bytes_max].map(|bytes| bytes.div_ceil(1 << 20));
            return Err(NotHeld::NoRoom(format!(
                "the weights of {} take {bytes} MiB, those of other models hold {held} of the {most} MiB that \
                 weights may take",
                path.display()
            )));
        }
        let model = Arc::new(Model::pack(raw, LoadOptions::for_answers())?);
        let grammars = Arc::new(Grammars::default());
        let held = HeldBase {
            model: Arc::downgrade(&model),
            grammars: Arc::downgrade(&grammars),
            bytes,
        };
        by_path.insert(path.to_path_buf(), held);
        Ok((model, grammars))
    }
}
