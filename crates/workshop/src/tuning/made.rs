//! The pack of a job: what was asked as the files of a pack would say it.
//!
//! Its gate asks that held-out answers are likelier than to the base model, of pairs that the preferred
//! answer is further from the other than to the base model; that everything behind it stands in the
//! ledger. The records of a conversation that stand twice are held once, pairs of one question on one
//! side, so that nothing that is measured was learnt.

use std::path::Path;

use lathe_data::bounds::RECORDS_MAX;
use lathe_data::task::ChatForm;
use lathe_eval::metrics::{ANSWER_LOGPROB, PREFERENCE_MARGIN};
use lathe_tune::sft::SftSpec;
use lathe_tune::stages::LearnSpec;
use serde_json::{Map, Value, json};

use super::{Asked, FileRow, HELD_OUT_MAX, HELD_OUT_SHARE, Hyperparameters, Method};
use crate::catalogue::ModelView;
use crate::error::WorkshopError;
use crate::order::OrderId;
use crate::pack::{self, JOB_PREFIX, Pack};
use crate::steps::figures::figure;

/// The field that marks the records of a validation file.
pub(super) const HELD_OUT: &str = "held_out";

/// What a data's terms are where nobody said: SPDX's word for it.
const UNSAID: &str = "NOASSERTION";

/// Passes over the records where nobody chose.
const EPOCHS: u32 = 3;
/// Records to a step of the optimizer: one of so many of the file, where nobody chose.
const STEPS_OF_A_PASS: u64 = 32;
/// The most records to a step where nobody chose.
const BATCH_MAX: u32 = 16;
/// The most tokens of a record; the model's context where that is less.
const TOKENS_MAX: usize = 4096;
/// The longest answer to what is asked at the end.
const ANSWER_TOKENS_MAX: usize = 64;

/// Chooses what was left open, by the size of the training file.
pub(super) fn chosen(asked: &Asked, records: u64) -> Hyperparameters {
    let given = asked.hyperparameters;
    let batch = u32::try_from(records / STEPS_OF_A_PASS).unwrap_or(BATCH_MAX);
    let beta = || lathe_tune::kto::KtoSpec::default().beta;
    Hyperparameters {
        n_epochs: given.n_epochs.or(Some(EPOCHS)),
        batch_size: given.batch_size.or(Some(batch.clamp(1, BATCH_MAX))),
        learning_rate_multiplier: given.learning_rate_multiplier.or(Some(1.0)),
        beta: match asked.method {
            Method::Supervised => None,
            Method::Dpo => given.beta.or_else(|| Some(beta())),
        },
    }
}

/// The name that the model will answer under: `ft:BASE:ORG:SUFFIX:ID`.
pub(super) fn name(asked: &Asked, order: &OrderId) -> String {
    let id: String = order.0.chars().filter(|c| *c != '-').collect();
    let suffix = asked.suffix.as_deref().unwrap_or_default();
    let parts = [
        slug(&asked.model, 60),
        slug(&asked.owner, 24),
        slug(suffix, super::SUFFIX_CHARS_MAX),
        // The end of a UUIDv7 is random.
        id[id.len().saturating_sub(8)..].to_owned(),
    ];
    format!("{JOB_PREFIX}{}", parts.join(":"))
}

/// Lower-case letters, digits, dots and hyphens of a text.
fn slug(text: &str, chars_max: usize) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.';
    let lower = text.chars().flat_map(char::to_lowercase);
    let made: String = lower
        .map(|c| if plain(c) { c } else { '-' })
        .take(chars_max)
        .collect();
    made.trim_matches('-').to_owned()
}

/// The pack of a job, whose `asked` is settled, over the data file `data`.
///
/// # Errors
/// `pack-invalid` where what was asked is no pack.
pub(super) fn pack_of(
    asked: &Asked,
    order: &OrderId,
    (base, base_file): (&ModelView, &str),
    data: &FileRow,
) -> Result<Pack, WorkshopError> {
    let name = name(asked, order);
    let words = [("model", &base.name[..]), ("file", &data.name[..])];
    let value = json!({
        "name": name,
        "title": figure("tuning.title", &words),
        "description": figure("tuning.description", &words),
        // Nobody said which.
        "language": "und",
        "model": {
            "name": base.name,
            "source": format!("file:../{}{base_file}", base.digest),
            "licence": base.licence,
            "owner": base.owner,
        },
        "data": data_of(asked, data),
        "task": {"chat": data.form},
        "tune": tune_of(asked),
        "evaluate": {"base_records": RECORDS_MAX, "tokens_max": ANSWER_TOKENS_MAX},
        "gate": {
            "thresholds": [{"metric": measured_by(data.form), "above": "base"}],
            "require": ["base-model", "dataset", "training", "evaluation"],
        },
        "ask": {"records": 1},
    });
    let pack: Pack = serde_json::from_value(value).map_err(|error| {
        WorkshopError::new(
            "pack-invalid",
            format!("what was asked makes no pack: {error}"),
            "this is a mistake in Lathe; please report it",
        )
    })?;
    pack::check(&pack, Path::new("the job"))?;
    Ok(pack)
}

fn measured_by(form: ChatForm) -> &'static str {
    match form {
        ChatForm::Messages => ANSWER_LOGPROB,
        ChatForm::Preference => PREFERENCE_MARGIN,
    }
}

fn data_of(asked: &Asked, data: &FileRow) -> Value {
    let said = |key: &str| asked.metadata.get(key).and_then(Value::as_str);
    let stem = data.name.trim_end_matches(".jsonl");
    let mut split = match asked.validation_file {
        Some(_) => json!({ "held_out": HELD_OUT }),
        None => {
            let most = HELD_OUT_MAX as f64 / data.records.max(1) as f64;
            json!({ "test_share": most.min(HELD_OUT_SHARE), "seed": asked.seed })
        }
    };
    let mut section = json!({
        "name": stem,
        "source": format!("file:{}", data.name),
        "licence": said("licence").unwrap_or(UNSAID),
        "owner": said("owner").unwrap_or(&asked.owner),
        "reader": {"format": "jsonl"},
    });
    match data.form {
        ChatForm::Messages => section["dedupe"] = json!({ "by": "messages" }),
        ChatForm::Preference => split["group"] = json!("input"),
    }
    section["split"] = split;
    section
}

fn tune_of(asked: &Asked) -> Value {
    let chosen = asked.hyperparameters;
    let times = chosen.learning_rate_multiplier.unwrap_or(1.0);
    let learning = |rate: f64| {
        Map::from_iter([
            ("learning_rate".to_owned(), json!(rate * times)),
            ("epochs".to_owned(), json!(chosen.n_epochs)),
            ("batch_records".to_owned(), json!(chosen.batch_size)),
            ("tokens_max".to_owned(), json!(TOKENS_MAX)),
            ("seed".to_owned(), json!(asked.seed)),
        ])
    };
    match asked.method {
        Method::Supervised => json!({"sft": learning(SftSpec::default().learning_rate)}),
        Method::Dpo => json!({
            "sft": {"seed": asked.seed},
            "preference_only": true,
            "preference": {
                "method": "dpo",
                "beta": chosen.beta,
                "learn": learning(LearnSpec::default().learning_rate),
            },
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::StepName;
    use crate::pack::lint::orphans;

    fn asked(method: Method) -> Asked {
        Asked {
            model: "SmolLM2 135M/Instruct".to_owned(),
            training_file: "file-1".to_owned(),
            validation_file: None,
            method,
            hyperparameters: Hyperparameters::default(),
            suffix: Some("Our Shop".to_owned()),
            seed: 7,
            metadata: Map::new(),
            owner: "local".to_owned(),
        }
    }

    fn made(asked: &Asked, form: ChatForm) -> Pack {
        let base = ModelView {
            digest: "d".repeat(64),
            kind: "base".to_owned(),
            name: asked.model.clone(),
            source: "file:x".to_owned(),
            licence: "MIT".to_owned(),
            owner: "them".to_owned(),
            bytes: 1,
            demonstration: false,
            created_ms: 0,
        };
        let data = FileRow {
            id: "file-1".to_owned(),
            name: "chats.jsonl".to_owned(),
            bytes: 1,
            records: 640,
            form,
            artifact: "a".repeat(64),
            owner: "local".to_owned(),
            created_ms: 0,
        };
        let settled = Asked {
            hyperparameters: chosen(asked, data.records),
            ..asked.clone()
        };
        let order = OrderId("01932b1e-0000-7000-8000-0000deadbeef".to_owned());
        pack_of(&settled, &order, (&base, "/m.gguf"), &data).expect("a pack")
    }

    #[test]
    fn what_is_left_open_is_chosen_by_the_size_of_the_file() {
        let open = chosen(&asked(Method::Supervised), 640);
        assert_eq!(
            (open.n_epochs, open.batch_size, open.beta),
            (Some(3), Some(16), None)
        );
        assert_eq!(chosen(&asked(Method::Dpo), 10).batch_size, Some(1));
        let mut given = asked(Method::Dpo);
        given.hyperparameters.batch_size = Some(5);
        assert_eq!(chosen(&given, 640).batch_size, Some(5));
        assert_eq!(chosen(&given, 640).beta, Some(0.1));
    }

    #[test]
    fn a_supervised_job_is_a_pack_whose_every_rule_bites() {
        let pack = made(&asked(Method::Supervised), ChatForm::Messages);
        assert_eq!(
            pack.name,
            "ft:smollm2-135m-instruct:local:our-shop:deadbeef"
        );
        assert_eq!(orphans(&pack), []);
        assert_eq!(pack.stages(), [StepName::Tune]);
        assert!((pack.data.split.test_share - HELD_OUT_SHARE).abs() < 1e-12);
        assert_eq!((pack.tune.sft.epochs, pack.tune.sft.seed), (3.0, 7));
    }

    #[test]
    fn a_dpo_job_has_no_supervised_stage_and_keeps_a_question_on_one_side() {
        let pack = made(&asked(Method::Dpo), ChatForm::Preference);
        assert_eq!(orphans(&pack), []);
        assert_eq!(pack.stages(), [StepName::Preference]);
        assert_eq!(pack.stage_before(StepName::Preference), None);
        let steps = crate::pack::stages::steps_of(&json!(pack).to_string());
        assert!(!steps.contains(&StepName::Tune) && steps.contains(&StepName::Preference));
        assert_eq!(pack.data.split.group.as_deref(), Some("input"));
    }

    #[test]
    fn a_validation_file_is_what_is_held_out() {
        let mut asked = asked(Method::Supervised);
        asked.validation_file = Some("file-2".to_owned());
        let pack = made(&asked, ChatForm::Messages);
        assert_eq!(pack.data.split.held_out.as_deref(), Some(HELD_OUT));
    }
}
