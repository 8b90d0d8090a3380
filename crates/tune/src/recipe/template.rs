//! Chat templates by LLaMA-Factory's names, for base models that have none of their own.
//!
//! A model's own template always wins: what it was trained with is what it is served with, and a
//! name given beside it only says so again.

use lathe_engine::template::SpecialTokens;
use lathe_engine::{ChatTemplate, Config, Model, RawModel, Tokenizer};

use crate::TuneError;

/// Names with the Jinja text and the token that ends a turn.
const TEMPLATES: &[(&[&str], &str, &str)] = &[
    (
        &["chatml", "qwen", "qwen3", "smollm", "smollm2"],
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
        "<|im_end|>",
    ),
    (
        &["gemma", "gemma2", "gemma3"],
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set first = messages[0]['content'] + '\n\n' %}{% set turns = messages[1:] %}{% else %}{% set first = '' %}{% set turns = messages %}{% endif %}{% for message in turns %}{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\n' + (first if loop.first else '') + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}",
        "<end_of_turn>",
    ),
    (
        &["llama3"],
        "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}",
        "<|eot_id|>",
    ),
];

/// The names there are.
pub fn names() -> impl Iterator<Item = &'static str> {
    TEMPLATES
        .iter()
        .flat_map(|(names, _, _)| names.iter().copied())
}

/// Gives `model` the template called `name`, unless it has one of its own; whether it was given.
///
/// # Errors
/// [`TuneError::Recipe`] for an unknown name, or a model whose vocabulary lacks the token that ends
/// its turns; [`TuneError::NoTemplate`] where there is neither name nor template.
pub fn give(model: &mut Model, name: Option<&str>) -> Result<bool, TuneError> {
    give_parts(
        &model.tokenizer,
        &mut model.template,
        &mut model.config,
        name,
    )
}

/// The same for a model whose file is open and whose weights are not read.
///
/// # Errors
/// As [`give`].
pub fn give_opened(model: &mut RawModel, name: Option<&str>) -> Result<bool, TuneError> {
    give_parts(
        &model.tokenizer,
        &mut model.template,
        &mut model.config,
        name,
    )
}

fn give_parts(
    tokenizer: &Tokenizer,
    template: &mut Option<ChatTemplate>,
    config: &mut Config,
    name: Option<&str>,
) -> Result<bool, TuneError> {
    if template.is_some() {
        return Ok(false);
    }
    let name = name.ok_or(TuneError::NoTemplate)?;
    let refuse = |reason: String| TuneError::Recipe {
        key: "template".to_owned(),
        reason,
    };
    let (_, source, end) = TEMPLATES
        .iter()
        .find(|(names, _, _)| names.contains(&name))
        .ok_or_else(|| {
            let all: Vec<&str> = names().collect();
            refuse(format!(
                "the model has no template of its own, and {name:?} is none of {}",
                all.join(", ")
            ))
        })?;
    let end_token = tokenizer.token_id(end).ok_or_else(|| {
        refuse(format!(
            "the model's vocabulary has no token {end}, with which {name} ends a turn"
        ))
    })?;
    let text = |token: Option<u32>| token.map(|id| tokenizer.decode(&[id], false));
    let mut special = SpecialTokens::new();
    special.insert("bos_token".to_owned(), text(config.bos).unwrap_or_default());
    special.insert("eos_token".to_owned(), (*end).to_owned());
    *template = Some(ChatTemplate::new(source, special)?);
    if !config.eos.contains(&end_token) {
        config.eos.push(end_token);
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use lathe_engine::Message;

    #[test]
    fn the_models_own_template_stays() {
        let mut model = testing::model();
        let before = model
            .template
            .as_ref()
            .expect("it has one")
            .source()
            .to_owned();
        assert!(!give(&mut model, Some("gemma")).expect("nothing to do"));
        assert_eq!(model.template.expect("it has one").source(), before);
    }

    #[test]
    fn a_model_without_one_is_given_one_or_told_why_not() {
        let mut model = testing::model();
        model.template = None;
        assert!(matches!(give(&mut model, None), Err(TuneError::NoTemplate)));
        let unknown = give(&mut model, Some("vicuna"))
            .expect_err("unknown")
            .to_string();
        assert!(unknown.contains("chatml"), "{unknown}");
        let alien = give(&mut model, Some("gemma"))
            .expect_err("no such token")
            .to_string();
        assert!(alien.contains("<end_of_turn>"), "{alien}");
        assert!(give(&mut model, Some("chatml")).expect("the fixture has its tokens"));
        let message = Message::new("user", "hi");
        let text = model
            .template
            .expect("given")
            .render(&[message], true)
            .expect("renders");
        assert_eq!(
            text,
            "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
        );
    }

    #[test]
    fn every_template_renders_a_system_message_and_turns() {
        let turns = [
            Message::new("system", "S"),
            Message::new("user", "Q"),
            Message::new("assistant", "A"),
            Message::new("user", "R"),
        ];
        for (names, source, end) in TEMPLATES {
            let special = SpecialTokens::from([("bos_token".to_owned(), "<bos>".to_owned())]);
            let text = ChatTemplate::new(source, special).and_then(|it| it.render(&turns, true));
            let text = text.unwrap_or_else(|error| panic!("{names:?}: {error}"));
            for part in ["S", "Q", "A", "R", end] {
                assert!(text.contains(part), "{names:?}: {text}");
            }
        }
    }
}
